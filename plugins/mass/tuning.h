/* tuning.h - one step of fine-tuning: a query and task embeddings that are weights themselves,
 * "tokens.0..2" [K,11,C] beside those of the model. The task encoder is not run: its weights get no
 * gradient, and no step changes them or their averages. */
#ifndef MF_MASS_TUNING_H
#define MF_MASS_TUNING_H

#include "iris.h"
#include "predict.h"

typedef struct mf_tuning {
    const mf_iris *iris;
    int64_t crop[3], k; /* z y x; classes */
    bool probing;       /* only the classifier (`out`) and the tokens learn */
    bool recompute;     /* see mf_recompute */
} mf_tuning;

/* All weights of the model and the tokens, zeroed, in their groups of mf_tuning_step. */
MF_MUST_USE mf_status mf_tuning_declare(mf_weights *w, const mf_tuning *t);
/* Whether a weight of that name learns. */
bool mf_tuning_learns(const mf_tuning *t, const char *name);
/* Adds forward and backward pass to `p`: see mf_iris_declare_tuning. */
void mf_tuning_program(mf_program *p, const mf_tuning *t, mf_iris_training *values);

typedef struct mf_tuning_step {
    double rate, token_rate, weight_decay;
    double max_norm;  /* of the model's gradient; the tokens' is not clipped; 0: none */
    double ema_decay; /* of the averages of both; 0: none */
    int64_t batch;    /* crops whose gradients were added */
    int64_t step;     /* 1, 2, ... */
} mf_tuning_step;
/* One update by AdamW (betas 0.9, 0.999). *norm: of the model's gradient, before clipping, or NULL.
 * Where the gradient is not finite it fails, and changes nothing. */
MF_MUST_USE mf_status mf_tuning_update(mf_weights *w, const mf_tuning_step *step, float *norm);

/* The tokens: values, or averages, as new task embeddings; and set. */
MF_MUST_USE mf_status mf_tuning_get_tokens(mf_weights *w, const mf_tuning *t, bool averages,
                                           mf_priors *priors);
MF_MUST_USE mf_status mf_tuning_set_tokens(mf_weights *w, const mf_priors *priors);

#endif
