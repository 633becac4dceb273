/* orient.h - turns a volume to other axes by permuting and reversing, never by interpolating; crops
 * it; and puts results back on the grid of the scan's file. */
#ifndef VOLUME_ORIENT_H
#define VOLUME_ORIENT_H

#include <massflow/artifact.h>

/* Axis j (x, y, z) of the target runs along axis from[j] of the source, backwards where flip[j]. */
typedef struct axis_map {
    int from[3];
    bool flip[3];
} axis_map;

/* Whether `codes` names three different axes, such as "RAS" or "LPI". */
bool orient_valid(const char *codes);
/* Where the axes of a grid grow to: "RAS" when x grows to the right, y to the front, z to the
 * head. Of an oblique grid: the nearest axes, together. */
void orient_codes(const mf_grid *grid, char codes[4]);
/* The map from `source` to the orientation `codes`, and the grid that it gives. */
void orient_plan(const mf_grid *source, const char *codes, axis_map *map, mf_grid *target);
/* voxels [z, y, x] under the map; a new reference to the same array where nothing changes. */
MF_MUST_USE mf_status orient_voxels(const mf_array *voxels, const axis_map *map, mf_array **turned);

/* A box in index order x, y, z, half-open. */
typedef struct index_box {
    int64_t lo[3], hi[3];
} index_box;
void crop_grid(const mf_grid *grid, const index_box *box, mf_grid *cropped);
MF_MUST_USE mf_status crop_voxels(const mf_array *voxels, const index_box *box, mf_array **cropped);
/* Widens a box by `mm` on every side (x, y, z), within the grid. */
void crop_widen(const mf_grid *grid, const double mm[3], index_box *box);
/* The box of all voxels that are not 0; false where there is none. */
bool crop_box_of(const mf_array *voxels, index_box *box);
/* Puts voxels that lie on `from` on `to`. Where the two share a lattice (turned, flipped, cropped)
 * each voxel is copied; else `nearest` voxels are taken, or values interpolated along the three
 * axes. Voxels of `to` outside `from` get `outside`. The dtype stays. */
MF_MUST_USE mf_status orient_restore(const mf_array *voxels, const mf_grid *from, const mf_grid *to,
                                     bool nearest, double outside, mf_array **restored);

#endif
