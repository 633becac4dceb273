/* resample.h - from one grid to another with the same axes: linear for images, nearest for labels
 * and masks. Used by the stages that go to the training grid and back.
 *
 * Both kinds share one geometry: a target voxel takes its value from where its center lies in the
 * source, and beyond the outermost centers the outermost voxels go on. (The official MASS code
 * aligns the corners for images and not for masks, so that the two lie up to half a voxel apart and
 * the spacing is only nearly the one asked for.) There is no smoothing before downsampling, as
 * there. */
#ifndef MF_PLUGINS_RESAMPLE_H
#define MF_PLUGINS_RESAMPLE_H

#include <massflow/artifact.h>

/* The grid with `spacing` (x y z, mm) over the same field of view, around the same center: size
 * n * old / new, rounded to even at halves, at least 1. An axis within 1e-5 of its spacing is left
 * alone. */
MF_MUST_USE mf_status mf_resample_grid(const mf_grid *from, const double spacing[3], mf_grid *to);

/* `grid` grown to at least `least` voxels (x y z): half of what lacks goes before, rounded down,
 * the rest after. before: voxels (x y z) that the old voxel 0 moves by. */
void mf_resample_pad(const mf_grid *grid, const int64_t least[3], mf_grid *padded,
                     int64_t before[3]);

/* Index i of `to` lies at scale * i + offset in `from`, per axis x y z. Fails unless both grids
 * have the same directions. */
MF_MUST_USE mf_status mf_resample_axes(const mf_grid *from, const mf_grid *to, double scale[3],
                                       double offset[3]);

/* src f32 [z,y,x] on `from` -> dst f32 [z,y,x] on `to`, trilinear. */
MF_MUST_USE mf_status mf_resample_linear(const mf_grid *from, const float *src, const mf_grid *to,
                                         float *dst);
/* The same from the rank-3 array `name` of an artifact, of any dtype, read in slabs: neither the
 * whole source nor a float copy of it is ever in memory, if the artifact is lazy. NaN and infinite
 * voxels count as `missing`; how many of the source's there were goes to *replaced. */
MF_MUST_USE mf_status mf_resample_artifact(const mf_artifact *source, const char *name,
                                           const mf_grid *from, const mf_grid *to, float missing,
                                           float *dst, int64_t *replaced);
/* Nearest voxel (the upper one at halves), elements of `size` bytes: 1, 2, 4 or 8. */
MF_MUST_USE mf_status mf_resample_nearest(const mf_grid *from, const void *src, const mf_grid *to,
                                          void *dst, size_t size);

/* Adds every mask of `source` (type masks or sample, on the grid `from`) to `builder`, whose grid
 * is `to` grown by `before` voxels (x y z; zeros for none). A mask at a time, inside its own box.
 * Masks that lose all their voxels are left out; *dropped counts them. */
MF_MUST_USE mf_status mf_resample_masks(const mf_artifact *source, const mf_grid *from,
                                        const mf_grid *to, const int64_t before[3],
                                        mf_masks_builder *builder, int64_t *dropped);

#endif
