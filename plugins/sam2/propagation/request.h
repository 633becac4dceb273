/* request.h - what a user points at in a scan, as objects on slices. */
#ifndef SAM2_REQUEST_H
#define SAM2_REQUEST_H

#include "../shared/seeds.h"

#include <massflow/stage.h>

/* As the user gives them: x y z each, in voxels of the scan's own file (as viewers count them from
 * 0; centers are whole numbers) or RAS+ mm. */
typedef struct sam2_request {
    mf_reals points; /* [n, 3] */
    mf_ints labels;  /* [n] 1 inside, 0 outside; or empty: all inside */
    mf_reals boxes;  /* [m, 6] two corners */
    mf_ints object;  /* [n + m] which object it is about; or empty: all about object 1 */
    bool world;      /* mm */
} sam2_request;

/* One object: its points on one slice, corners of its box before them. */
typedef struct sam2_target {
    int64_t object, slice, count;
    float *xy;       /* [count, 2] px of the slice */
    int32_t *labels; /* [count] 1, 0, 2 and 3 */
} sam2_target;

/* Lists fit together; needs no scan. */
MF_MUST_USE mf_status sam2_request_check(const sam2_request *r);
/* Objects in order of their number, of slices across `axis`. What lies outside of the scan, or on
 * several slices, is an error. *targets: for sam2_targets_free. */
MF_MUST_USE mf_status sam2_request_targets(const sam2_request *r, const sam2_stack *s, int axis,
                                           sam2_target **targets, int64_t *count);
void sam2_targets_free(sam2_target *targets, int64_t count);

#endif
