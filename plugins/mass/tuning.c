/* tuning.c - see tuning.h. */
#include "tuning.h"
#include "../common/layers.h"
#include "model.h"

#include <stdio.h>
#include <string.h>

enum { MODEL = 0, TOKENS = 1, GROUPS = 2 };

static bool begins(const char *name, const char *prefix)
{
    return !strncmp(name, prefix, strlen(prefix));
}

bool mf_tuning_learns(const mf_tuning *t, const char *name)
{
    if (begins(name, "tokens.") || begins(name, "out."))
        return true;
    return !t->probing && !begins(name, "task_embedding.");
}

void mf_tuning_program(mf_program *p, const mf_tuning *t, mf_iris_training *values)
{
    mf_iris own = *t->iris;
    own.frozen_norms |= t->probing;
    mf_iris_declare_tuning(p, &own, t->crop, t->k, values);
    if (t->probing) {
        mf_freeze(p, "encoder.");
        mf_freeze(p, "decoder.");
    }
    if (t->recompute)
        mf_recompute(p);
    mf_differentiate(p, values->loss);
}

/* Encoder and decoder alone. */
static void declare_frozen(mf_program *p, const mf_tuning *t)
{
    mf_value features[MF_IRIS_DEPTHS], priors[MF_IRIS_LEVELS], posteriors[MF_IRIS_LEVELS];
    mf_iris_encoder(p, t->iris, mf_input(p, "target", MF_F32, SHAPE(1, 16, 16, 16, 1)), features);
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "prior%d", i);
        priors[i] = mf_input(p, name, MF_F32, SHAPE(1, MF_IRIS_TOKENS, t->iris->channels[4 - i]));
    }
    mf_iris_decoder(p, t->iris, features, priors, posteriors);
}

static void declare_learning(mf_program *p, const mf_tuning *t)
{
    static const int64_t crop[3] = {16, 16, 16};
    mf_iris_training values;
    mf_iris own = *t->iris;
    own.frozen_norms = true; /* a crop so small has no batch statistics */
    mf_iris_declare_tuning(p, &own, crop, t->k, &values);
}

static mf_status declare(mf_weights *w, const mf_tuning *t,
                         void (*what)(mf_program *, const mf_tuning *))
{
    mf_program *p;
    MF_TRY(mf_program_new(&p));
    what(p, t);
    mf_status status = mf_weights_declare(w, p);
    mf_program_free(p);
    return status;
}

/* Weights that learn and weights that don't lie in blocks of their own: the latter take no memory
 * for gradients, moments and averages, and their averages stay what they are. */
mf_status mf_tuning_declare(mf_weights *w, const mf_tuning *t)
{
    if (t->probing)
        MF_TRY(declare(w, t, declare_frozen));
    MF_TRY(declare(w, t, declare_learning));
    MF_TRY(mf_model_declare(w, t->iris));
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_weights_info(w, i, &info);
        int group = begins(info.name, "tokens.") ? TOKENS : MODEL;
        MF_TRY(mf_weights_set_group(w, i, mf_tuning_learns(t, info.name) ? group : -1));
    }
    return MF_OK;
}

mf_status mf_tuning_update(mf_weights *w, const mf_tuning_step *s, float *norm)
{
    const mf_optimizer_group groups[GROUPS] = {
        [MODEL] = {s->rate, s->weight_decay, true},
        [TOKENS] = {s->token_rate, s->weight_decay, false},
    };
    const mf_optimizer_step step = {.kind = MF_ADAMW,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .eps = 1e-8,
                                    .max_norm = s->max_norm,
                                    .grad_scale = 1 / (double)s->batch,
                                    .ema_decay = s->ema_decay,
                                    .step = s->step};
    return mf_weights_step_groups(w, &step, groups, GROUPS, norm);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static size_t find_tokens(const mf_weights *w, int level)
{
    char name[16];
    snprintf(name, sizeof name, "tokens.%d", level);
    return (size_t)mf_weights_find(w, name);
}

mf_status mf_tuning_get_tokens(mf_weights *w, const mf_tuning *t, bool averages, mf_priors *priors)
{
    MF_TRY(mf_priors_make(t->iris, t->k, priors));
    mf_status status = MF_OK;
    for (int i = 0; i < MF_IRIS_LEVELS && !status; i++)
        status = averages ? mf_weights_get_average(w, find_tokens(w, i), priors->level[i])
                          : mf_weights_get(w, find_tokens(w, i), priors->level[i]);
    if (status)
        mf_priors_clear(priors);
    return status;
}

mf_status mf_tuning_set_tokens(mf_weights *w, const mf_priors *priors)
{
    for (int i = 0; i < MF_IRIS_LEVELS; i++)
        MF_TRY(mf_weights_set(w, find_tokens(w, i), priors->level[i]));
    return MF_OK;
}
