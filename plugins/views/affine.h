/* affine.h - random scale, rotation and shear of a crop, as grid_sample does it, but only for the
 * voxels that survive the crop that follows.
 *
 * A transform acts on coordinates that run from -1 to 1 between the centers of the first and last
 * voxel of each axis (PyTorch's align_corners=True), so on a crop that is no cube it is not rigid:
 * the official code has it so. */
#ifndef MF_VIEWS_AFFINE_H
#define MF_VIEWS_AFFINE_H

#include <stdint.h>

/* One draw of the transform; index 0 is x, 1 is y, 2 is z. */
typedef struct mf_affine {
    double scale[3];
    double shear[6]; /* xy xz yx yz zx zy: row and column of the matrix */
    double shift[3];
    int degrees[3];
} mf_affine;

/* Source index = a * target index + b, in x y z; both indices count in the whole crop. */
typedef struct mf_index_map {
    double a[3][3], b[3];
} mf_index_map;

/* theta = Rx Ry Rz S, S holding scale, shear and shift, for a crop of `size` (z y x) voxels. Ry
 * turns the other way round than is common; so does the official code's. */
void mf_affine_map(const mf_affine *affine, const int64_t size[3], mf_index_map *map);

/* dst f32 [count]: the image where the target's box lo, lo + count (z y x) comes from; src f32
 * [size]. Trilinear; what lies outside counts as 0. */
void mf_affine_image(const mf_index_map *map, const float *src, const int64_t size[3],
                     const int64_t lo[3], const int64_t count[3], float *dst);

/* The same for up to 16 masks at once: bit k of src u16 [size] is mask k; dst u8 [masks][count].
 * Nearest voxel, the even one at halves; what lies outside counts as 0. row: u16 [count[2]]. */
void mf_affine_masks(const mf_index_map *map, const uint16_t *src, const int64_t size[3],
                     const int64_t lo[3], const int64_t count[3], int masks, uint16_t *row,
                     uint8_t *dst);
/* The same for a label map: dst u16 [count] from src u16 [size]. */
void mf_affine_labels(const mf_index_map *map, const uint16_t *src, const int64_t size[3],
                      const int64_t lo[3], const int64_t count[3], uint16_t *dst);

#endif
