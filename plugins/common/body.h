/* body.h - where the patient is: a threshold, its largest connected part, holes filled. */
#ifndef MF_PLUGINS_BODY_H
#define MF_PLUGINS_BODY_H

#include <massflow/error.h>
#include <stdint.h>

/* The level that splits a histogram best in two (Otsu 1979): levels above it are the bright class.
 * bins: [count]. 0 when all lies in one bin. */
int mf_otsu(const int64_t *bins, int count);

/* Marks all voxels of value `from` that are 6-connected to `seed`, one of them, as `to`; how many.
 * voxels: u8 [z,y,x], at most 2^31. queue: room for all; it lists the marked ones. */
int64_t mf_flood(uint8_t *voxels, const int64_t shape[3], int64_t seed, uint8_t from, uint8_t to,
                 int32_t *queue);

/* Of body u8 [z,y,x] keeps the 6-connected parts that have at least `least_part` of the largest
 * one's voxels (1: the largest alone) and fills, slice by slice along z, what a slice's border is
 * not connected to. */
MF_MUST_USE mf_status mf_body_clean(uint8_t *body, const int64_t shape[3], double least_part);

/* The voxels f32 [z,y,x] above `threshold`, cleaned as above: body u8 [z,y,x], 1 inside. *inside:
 * how many. */
MF_MUST_USE mf_status mf_body_above(const float *voxels, const int64_t shape[3], double threshold,
                                    uint8_t *body, int64_t *inside);
/* A threshold between air and tissue where only the range of intensities is known: a tenth of the
 * way from percentile 2 to percentile 98 (as BET begins, Smith 2002). */
MF_MUST_USE mf_status mf_body_rough(const float *voxels, int64_t count, double *threshold);

#endif
