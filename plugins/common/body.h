/* body.h - where the patient is: a threshold, its largest connected part, holes filled. */
#ifndef MF_PLUGINS_BODY_H
#define MF_PLUGINS_BODY_H

#include <massflow/error.h>
#include <stdint.h>

/* The level that splits a histogram best in two (Otsu 1979): levels above it are the bright class.
 * bins: [count]. 0 when all lies in one bin. */
int mf_otsu(const int64_t *bins, int count);

/* Of body u8 [z,y,x] keeps the largest 6-connected part (the first at a tie) and fills, slice by
 * slice along z, what a slice's border is not connected to. */
MF_MUST_USE mf_status mf_body_clean(uint8_t *body, const int64_t shape[3]);

/* The voxels f32 [z,y,x] above `threshold`, cleaned as above: body u8 [z,y,x], 1 inside. *inside: how
 * many. */
MF_MUST_USE mf_status mf_body_above(const float *voxels, const int64_t shape[3], double threshold,
                                    uint8_t *body, int64_t *inside);
/* A threshold between air and tissue where only the range of intensities is known: a tenth of the way
 * from percentile 2 to percentile 98 (as BET begins, Smith 2002). */
MF_MUST_USE mf_status mf_body_rough(const float *voxels, int64_t count, double *threshold);

#endif
