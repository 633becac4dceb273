/* body_box.h - the box of the body that inference.py crops a scan to before it segments it.
 *
 * CT: above -500 HU. MR and PET: |intensity| above a thousandth of its 99th percentile (at least
 * 1e-6). Then closed twice (6 neighbours; outside of the volume counts as empty), holes filled, the
 * largest component alone. */
#ifndef MF_MASS_BODY_BOX_H
#define MF_MASS_BODY_BOX_H

#include "../common/normalize.h"

#include <stdbool.h>

/* voxels f32 [size], z y x, finite. The box [lo, hi) with `margin` voxels around it, inside of the
 * volume. *found is false where there is no body: the box is the whole volume then. */
MF_MUST_USE mf_status mf_body_box(const float *voxels, const int64_t size[3], mf_modality modality,
                                  const int64_t margin[3], int64_t lo[3], int64_t hi[3],
                                  bool *found);

#endif
