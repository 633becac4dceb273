/* seeds.h - which slices of a scan are seeded, and the slices themselves. */
#ifndef SAM2_SEEDS_H
#define SAM2_SEEDS_H

#include "picture.h"

#include <massflow/artifact.h>

/* RGB slices of a scan, across any axis: 0 z, 1 y, 2 x. */
typedef struct sam2_stack {
    mf_grid grid;
    mf_grid scan;  /* of the scan's own file; `grid` where it has none */
    int axis;      /* that rgb is cut across */
    mf_array *rgb; /* u8 [n, h, w, 3] */
} sam2_stack;      /* starts as {0} */
void sam2_stack_clear(sam2_stack *s);
/* From an artifact `slices`; what does not fit together is an error. */
MF_MUST_USE mf_status sam2_stack_read(const mf_artifact *slices, sam2_stack *s);
int64_t sam2_stack_count(const sam2_stack *s, int axis);
/* Rows and columns of a slice: y x, z x or z y of the scan. */
void sam2_stack_size(const sam2_stack *s, int axis, int64_t *h, int64_t *w);
double sam2_stack_spacing(const sam2_stack *s, int axis); /* mm from slice to slice */
/* Copies slice i across `axis` to u8 [h, w, 3]. */
void sam2_stack_slice(const sam2_stack *s, int axis, int64_t i, uint8_t *rgb);

typedef struct sam2_seeding {
    double interval; /* mm between seeded slices */
    int64_t least;   /* seeded slices at least, or all */
    int64_t densely; /* so many times as dense where `dense` is */
} sam2_seeding;

/* Seeded slices, ascending, of `count` slices `spacing` mm apart. body, dense: u8 [count], whether
 * a slice has voxels of them, or NULL (all have; none has). A body without any slice is an error.
 * *slices: for free(). As official MASS code. */
MF_MUST_USE mf_status sam2_seed_slices(const sam2_seeding *o, int64_t count, double spacing,
                                       const uint8_t *body, const uint8_t *dense, int64_t **slices,
                                       int64_t *chosen);

/* Which slices across an axis have voxels that are not 0: voxels u8 [z, y, x], of the grid's size;
 * has: u8 [slices across the axis]. */
void sam2_project(const mf_grid *grid, const uint8_t *voxels, int axis, uint8_t *has);

/* Rectangle lo..hi (rows, columns) of slice i across an axis as a box z y x of the scan. */
void sam2_slice_box(int axis, int64_t i, const int64_t lo[2], const int64_t hi[2],
                    int64_t box_lo[3], int64_t box_hi[3]);

#endif
