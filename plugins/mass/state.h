/* state.h - weights in the middle of training, as part of a saved state. */
#ifndef MF_MASS_STATE_H
#define MF_MASS_STATE_H

#include <massflow/program.h>

/* Adds values, moments and, where `averages` says so, averages of all weights, f32 in their shapes,
 * as "value.NAME", "first.NAME", "second.NAME", "average.NAME". */
MF_MUST_USE mf_status mf_state_put_weights(mf_artifact *state, mf_weights *w, bool averages);
MF_MUST_USE mf_status mf_state_get_weights(const mf_artifact *state, mf_weights *w, bool averages);

/* The same of weight i alone. */
MF_MUST_USE mf_status mf_state_put_weight(mf_artifact *state, mf_weights *w, size_t i,
                                          bool averages);
MF_MUST_USE mf_status mf_state_get_weight(const mf_artifact *state, mf_weights *w, size_t i,
                                          bool averages);

/* Adds a vector of `count` elements; copies one that must have as many. */
MF_MUST_USE mf_status mf_state_put(mf_artifact *state, const char *name, mf_dtype dtype,
                                   int64_t count, const void *values);
MF_MUST_USE mf_status mf_state_get(const mf_artifact *state, const char *name, mf_dtype dtype,
                                   int64_t count, void *values);

#endif
