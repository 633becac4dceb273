/* prepared.h - how the samples of a training were clipped before they were normalized. */
#ifndef MF_MASS_PREPARED_H
#define MF_MASS_PREPARED_H

#include "../common/normalize.h"

#include <massflow/stage.h>

/* All samples of the list ports must be clipped alike: CTs to one window, MRs and PETs to the same
 * percentiles, scans of unknown modality to the same of both. Names two that differ. Samples that
 * do not say how they were clipped are passed over. */
MF_MUST_USE mf_status mf_prepared_alike(mf_task *t, const char *const *ports, int count);
/* The voxels of all must have one size. */
MF_MUST_USE mf_status mf_prepared_spacing(mf_task *t, const char *const *ports, int count);
/* How the samples of `port`, which are alike, were clipped: the window of the CTs, the percentiles
 * of the MRs and PETs; for what there is none of, those of the first sample that says any. */
MF_MUST_USE mf_status mf_prepared_clip(mf_task *t, const char *port, mf_normalize *clip);

#endif
