/* session.h - what tasks of a stage share: a model on its device. */
#ifndef SAM2_SESSION_H
#define SAM2_SESSION_H

#include "predictor.h"

#include <massflow/stage.h>

/* A model on a device; budget and video as below. */
MF_MUST_USE mf_status sam2_session_of(mf_device *device, const mf_artifact *model, int64_t budget,
                                      bool video, sam2_predictor **predictor);
/* Opens the artifact of port "model"; budget: MiB of the device for programs, 0: as it sees fit.
 * video: the model needs its memory, for propagation. */
MF_MUST_USE mf_status sam2_session_open(mf_task *t, int64_t budget, bool video, void **session);
/* What the session's programs will take of a device: of `points` prompts at once where it is above
 * 0, of `objects` that are propagated at once through slices of a scan where that is. MF_NO_MEMORY
 * where not even one fits. */
MF_MUST_USE mf_status sam2_session_needs(mf_task *t, int64_t budget, int64_t points,
                                         int64_t objects, const mf_grid *slices, mf_needs *n);
void sam2_session_close(void *session); /* a sam2_predictor */

/* What is meant by fill_hole_area: pixels, or -1 for the official 8 in proportion to the model. */
int64_t sam2_hole_area(const void *session, int64_t given);

#endif
