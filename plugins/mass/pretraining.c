/* pretraining.c - the parts of one step of pretraining. */
#include "pretraining.h"

mf_status mf_pretraining_compile(mf_weights *w, const mf_iris *iris, const int64_t crop[3],
                                 int64_t k, bool recompute, mf_executable **e)
{
    mf_iris_training values;
    mf_program *p;
    *e = NULL;
    MF_TRY(mf_program_new(&p));
    mf_iris_declare_training(p, iris, crop, k, &values);
    if (recompute)
        mf_recompute(p);
    mf_differentiate(p, values.loss);
    mf_status status = mf_program_compile(p, w, e);
    mf_program_free(p);
    return status;
}

mf_status mf_pretraining_run(mf_executable *e, const mf_pretraining_pair *pair,
                             mf_pretraining_losses *losses)
{
    MF_TRY(mf_executable_set(e, "target", pair->query));
    MF_TRY(mf_executable_set(e, "reference", pair->reference));
    MF_TRY(mf_executable_set(e, "target_masks", pair->query_masks));
    MF_TRY(mf_executable_set(e, "reference_masks", pair->reference_masks));
    MF_TRY(mf_executable_run(e));
    MF_TRY(mf_executable_get(e, "loss", &losses->loss));
    MF_TRY(mf_executable_get(e, "dice", &losses->dice));
    return mf_executable_get(e, "bce", &losses->bce);
}

mf_status mf_pretraining_update(mf_weights *w, const mf_pretraining *p, int64_t i, double *rate,
                                float *norm)
{
    double beta1;
    mf_schedule_at(&p->schedule, i, rate, &beta1);
    const mf_optimizer_step step = {.kind = p->lamb ? MF_LAMB : MF_ADAMW,
                                    .rate = *rate,
                                    .beta1 = beta1,
                                    .beta2 = 0.999,
                                    .eps = p->lamb ? 1e-6 : 1e-8,
                                    .weight_decay = p->weight_decay,
                                    .max_norm = p->max_norm,
                                    .grad_scale = 1 / (double)p->batch,
                                    .ema_decay = p->ema_decay,
                                    .step = i + 1};
    return mf_weights_step(w, &step, norm);
}
