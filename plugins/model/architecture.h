/* architecture.h - which model the tensors of a file are, and the artifact that it makes. */
#ifndef MF_MODEL_ARCHITECTURE_H
#define MF_MODEL_ARCHITECTURE_H

#include "../mass/model.h"
#include "../sam2/model/config.h"
#include "../sam2/model/tensor_names.h"

/* A model artifact from the tensors of a file, as f32, under the names of the official code: an
 * Iris (MASS), its encoder alone, the head of a classifier, or a SAM 2. said: what the user says of
 * a SAM 2 of a size of its own; else it is taken from the file's metadata. A number that is not
 * finite is an error that names its tensor. Renames `t`. */
MF_MUST_USE mf_status mf_architecture_model(mf_tensors *t, const sam2_config *said,
                                            mf_artifact **model);

#endif
