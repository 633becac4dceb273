/* session.h - the models that a stage is connected with: what it keeps open of its input `model`
 * from one task to the next, and the configuration of `init`. */
#ifndef MF_MASS_SESSION_H
#define MF_MASS_SESSION_H

#include "model.h"
#include "predict.h"

#include <massflow/stage.h>

/* On the task's device, for crops of one size (z y x), with the averaged weights where there are
 * any. */
MF_MUST_USE mf_status mf_session_open(mf_task *t, const int64_t crop[3], mf_predictor **predictor);
/* The configuration of `init` or, where that is not connected, of the parameters; with batch norms
 * as the parameter `batch_norm` says. probing: the encoder does not learn. Where the running
 * statistics of an I3D are used, `init` must be trained. */
MF_MUST_USE mf_status mf_session_iris(mf_task *t, const mf_model_sizes *sizes,
                                      const char *batch_norm, bool probing, mf_iris *iris);
/* Whether a crop (z y x) has voxels enough for the batch statistics of the model in training: an
 * error where the deepest map has one, a line in the log of `t`, if that is not NULL, where it has
 * few. */
MF_MUST_USE mf_status mf_session_check_crop(mf_task *t, const mf_iris *iris, const int64_t crop[3]);

#endif
