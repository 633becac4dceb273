/* load_weights.h - a model's tensors as weights of its programs. */
#ifndef SAM2_LOAD_WEIGHTS_H
#define SAM2_LOAD_WEIGHTS_H

#include "widths.h"

#include <massflow/program.h>

/* Declares the weights of all programs. */
MF_MUST_USE mf_status sam2_declare(mf_weights *weights, const sam2_config *c, const sam2_widths *w);
/* Declares and fills them: tensors by name, projections of queries,
 * keys and values apart, and what is computed from the sizes. */
MF_MUST_USE mf_status sam2_load(mf_weights *weights, const mf_tensors *t, const sam2_config *c,
                                const sam2_widths *w);

#endif
