/* session.h - what a stage keeps open from one task to the next: the model of its input `model`. */
#ifndef MF_MASS_SESSION_H
#define MF_MASS_SESSION_H

#include "predict.h"

#include <massflow/stage.h>

/* On the task's device, for crops of one size (z y x), with the averaged weights where there are
 * any. */
MF_MUST_USE mf_status mf_session_open(mf_task *t, const int64_t crop[3], mf_predictor **predictor);

#endif
