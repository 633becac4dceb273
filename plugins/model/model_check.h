/* model_check.h - whether the tensors of a model artifact are those of its architecture. */
#ifndef MF_MODEL_CHECK_H
#define MF_MODEL_CHECK_H

#include <massflow/artifact.h>

/* Of an Iris (MASS) or a SAM 2; what is neither may have any. */
MF_MUST_USE mf_status mf_model_check(const mf_artifact *model);

#endif
