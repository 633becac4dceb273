/* clusters.h - SLIC on a grid of clusters: the iterations on a device, all else on the host.
 *
 * Achanta, Shaji, Smith, Lucchi, Fua, Susstrunk: "SLIC superpixels compared to state-of-the-art
 * superpixel methods", PAMI 2012; in 3D, with distances in mm. A voxel compares the centers of the
 * 27 cells around its own instead of a window around each center, so that no two work-items write
 * one place (Ren, Reid: gSLIC, 2011). */
#ifndef MF_SLIC_CLUSTERS_H
#define MF_SLIC_CLUSTERS_H

#include <massflow/artifact.h>
#include <massflow/compute.h>

#define MF_SLIC_LEVELS 4096 /* intensities are 0 .. 4095 */

/* The cells along one axis. */
typedef struct mf_cells {
    int count;
    int *edge; /* [count + 1], first voxel of each cell */
    int *of;   /* [voxels], the cell of each voxel */
} mf_cells;

typedef struct mf_clusters {
    int64_t shape[3];  /* z y x */
    mf_cells cells[3]; /* z y x */
    float weight[3];   /* z y x: of squared voxels against squared intensities */
    int64_t count;
    float (*centers)[4]; /* x y z voxels, intensity; in order of cell */
} mf_clusters;

/* Cells of about `size` mm, and centers in their middles, moved to the least gradient of the 27
 * voxels there. compactness: the steps of intensity, of 100, that weigh as much as one `size` of
 * distance. image: u16 [z,y,x]; spacing: mm, x y z. */
MF_MUST_USE mf_status mf_clusters_new(const uint16_t *image, const int64_t shape[3],
                                      const double spacing[3], double size, double compactness,
                                      mf_clusters *clusters);
/* About what they take of a device's memory while they are iterated. */
size_t mf_clusters_bytes(const mf_grid *grid, double size);
void mf_clusters_free(mf_clusters *clusters);

/* New centers from what mf slic_sum gives: sums i64 [count, 27, 5]. */
void mf_clusters_move(mf_clusters *clusters, const int64_t *sums);

/* Runs the iterations. module: slic.cl; run: voxels that a work-item takes, its RUN (16 in the form
 * for CPUs, else 1); image: u16 [z,y,x] with 16 elements more; slots: u8 [z,y,x], the choice of
 * each voxel, as slic.cl says. */
MF_MUST_USE mf_status mf_clusters_iterate(mf_clusters *clusters, mf_queue *queue,
                                          const mf_module *module, int run, const mf_array *image,
                                          int iterations, mf_array *slots);
/* The run of the form that a device's modules are built in. */
int mf_clusters_run(const mf_queue *queue);

/* The cluster of each voxel: label i32 [z,y,x]. */
void mf_clusters_labels(const mf_clusters *clusters, const uint8_t *slots, int32_t *label);

#endif
