/* slabs.h - slices of a source across any axis, from slabs that are kept.
 *
 * A stored volume lies in bricks of 64 voxels a side, so that one slice costs as much to read as 64
 * of them. Slabs of whole bricks are therefore read and kept, turned so that each slice lies in
 * one piece; those that were not used for longest go when there is no more room. Any thread may
 * ask; two that ask for one slab wait for one reading. */
#ifndef MASSFLOW_DESK_SLABS_H
#define MASSFLOW_DESK_SLABS_H

#include "source.h"

typedef struct desk_slabs desk_slabs;
/* bytes: of slabs that are kept; one that is read now may be beyond it. */
MF_MUST_USE mf_status desk_slabs_new(size_t bytes, desk_slabs **slabs);
void desk_slabs_free(desk_slabs *slabs);
size_t desk_slabs_read_count(desk_slabs *slabs); /* how many slabs were read so far */

/* Which slices. Axes are those of arrays: 0 z, 1 y, 2 x. Rows and columns of a slice are y x, z x
 * or z y. */
typedef struct desk_cut {
    int axis;
    int64_t first, count;
} desk_cut;
/* Rows and columns of slices across an axis. */
void desk_slice_shape(const desk_source *source, int axis, int64_t *rows, int64_t *columns);
/* Copies slices [count, rows, columns] to dst, in source->dtype. `name` tells sources apart: the
 * content id of the artifact. `only`: see desk_source_read; its part of the name is `shown`, ""
 * where it is NULL. MF_INVALID for slices that are not there. */
MF_MUST_USE mf_status desk_slabs_slices(desk_slabs *slabs, const desk_source *source,
                                        const char *name, const uint8_t *only, const char *shown,
                                        const desk_cut *cut, void *dst);

#endif
