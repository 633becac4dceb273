/* parity_tensors.h - inputs and results of the parity programs, under PyTorch's names and in its
 * layouts (channels first). The programs alone include it. */
#ifndef MF_PARITY_TENSORS_H
#define MF_PARITY_TENSORS_H

#include "parity.h"
#include <massflow/program.h>

/* The tensor `name` as `dtype`, new reference. A leading axis of 1 (the batch) may be there. */
MF_MUST_USE mf_status mf_parity_input(const mf_tensors *in, const char *name, mf_dtype dtype,
                                      int rank, mf_array **array, const int64_t **shape);
/* [N,V,C] -> [N,C,V] */
void mf_parity_channels_first(const float *from, int64_t n, int64_t c, int64_t sites, float *to);

/* One output of a program: its name, and PyTorch's shape, whose axis 1 is the channel. */
typedef struct mf_parity_wanted {
    char name[16];
    int rank;
    int64_t shape[5];
    bool last; /* ours has the channels last */
} mf_parity_wanted;
MF_MUST_USE mf_status mf_parity_output(mf_executable *e, const mf_parity_wanted *w,
                                       mf_tensors *out);
MF_MUST_USE mf_status mf_parity_number(mf_tensors *out, const char *name, double value);
/* grad.NAME or after.NAME of every weight. */
MF_MUST_USE mf_status mf_parity_weights(mf_weights *w, const char *prefix, bool gradient,
                                        mf_tensors *out);
/* grad.NAME, norm (of the gradient) and, after the step, after.NAME. */
MF_MUST_USE mf_status mf_parity_step(mf_weights *w, const mf_optimizer_step *step, mf_tensors *out);
/* The same of LAMB, clipped to norm 1, with rate and weight decay of `o`. */
MF_MUST_USE mf_status mf_parity_lamb(mf_weights *w, const mf_parity *o, mf_tensors *out);

#endif
