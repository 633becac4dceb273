/* pretraining.h - the parts of one step of pretraining: a batch of pairs of views with masks, one
 * pair at a time, and the update. A step is mf_weights_begin_batch, for each pair
 * mf_pretraining_run and mf_weights_end_item, then mf_pretraining_update. */
#ifndef MF_MASS_PRETRAINING_H
#define MF_MASS_PRETRAINING_H

#include "iris.h"
#include "schedule.h"

/* Forward and backward pass of a pair with k masks (mf_iris_declare_training), compiled.
 * recompute: see mf_recompute. */
MF_MUST_USE mf_status mf_pretraining_compile(mf_weights *w, const mf_iris *iris,
                                             const int64_t crop[3], int64_t k, bool recompute,
                                             mf_executable **e);

typedef struct mf_pretraining_pair {
    const void *query, *query_masks;         /* f32 [D,H,W], u8 [K,D,H,W] */
    const void *reference, *reference_masks; /* the same */
} mf_pretraining_pair;
typedef struct mf_pretraining_losses {
    float loss, dice, bce;
} mf_pretraining_losses;
/* Runs the passes of one pair. */
MF_MUST_USE mf_status mf_pretraining_run(mf_executable *e, const mf_pretraining_pair *pair,
                                         mf_pretraining_losses *losses);

typedef struct mf_pretraining {
    mf_schedule schedule;
    bool lamb; /* else AdamW */
    double weight_decay, max_norm, ema_decay;
    int64_t batch; /* pairs whose gradients were added */
} mf_pretraining;
/* The update of step i = 0, 1, ...; its rate and the norm of the gradient before clipping. A
 * gradient that is not finite is MF_INVALID, and changes nothing. */
MF_MUST_USE mf_status mf_pretraining_update(mf_weights *w, const mf_pretraining *p, int64_t i,
                                            double *rate, float *norm);

#endif
