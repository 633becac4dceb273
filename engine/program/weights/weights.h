/* weights.h - what compiling asks of the weights. */
#ifndef MF_PROGRAM_WEIGHTS_H
#define MF_PROGRAM_WEIGHTS_H

#include "program/record/record.h"

/* Makes room for the gradient of weight i (and its neighbours in the block), zeroed. */
MF_MUST_USE mf_status mf_weights_need_gradient(mf_weights *w, int32_t i);
/* sum[i] += g[i]; `sum` is a weight's gradient. */
MF_MUST_USE mf_status mf_record_accumulate(mf_recorder *r, mf_value g, mf_buffer *sum,
                                           int64_t count);
size_t mf_arena_limit(const mf_weights *w);

#endif
