/* session.c - see session.h. */
#include "session.h"

#include <string.h>

/* Running statistics of batch norms that nobody has learned make a net's numbers grow without
 * bound. */
static mf_status check_kept(const mf_artifact *init, const char *why, const char *instead)
{
    if (!init)
        return mf_hint(mf_fail(MF_INVALID,
                               "%s, but there is no `init` whose running statistics could be kept",
                               why),
                       "connect a trained or inflated model as `init`, or set %s", instead);
    return mf_within(mf_model_check_statistics(init), "%s", why);
}

mf_status mf_session_iris(mf_task *t, const mf_model_sizes *sizes, const char *batch_norm,
                          bool probing, mf_iris *iris)
{
    const mf_artifact *init;
    MF_TRY(mf_in(t, "init", &init));
    MF_TRY(init ? mf_within(mf_model_iris(init, iris), "the model of `init`")
                : mf_model_configure_backbone(sizes, iris));
    if (init)
        MF_TRY(mf_model_check_backbone(sizes->backbone, iris));
    iris->frozen_norms = !strcmp(batch_norm, "frozen");
    if (iris->frozen_norms && !iris->i3d.width)
        return mf_hint(
            mf_fail(MF_INVALID, "batch_norm is frozen, but a ResUNet has no batch norms"),
            "remove `batch_norm`%s", init ? "" : ", or set backbone: i3d");
    if (!iris->i3d.width)
        return MF_OK;
    if (iris->frozen_norms)
        return check_kept(init, "batch_norm is frozen", "batch_norm: batch");
    return probing ? check_kept(init, "mode is probing", "mode: full") : MF_OK;
}

mf_status mf_session_open(mf_task *t, const int64_t crop[3], mf_predictor **predictor)
{
    const mf_artifact *model;
    mf_tensors weights = {0};
    mf_queue *queue;
    *predictor = NULL;
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(mf_within(mf_model_check_statistics(model), "the model"));
    MF_TRY(mf_task_queue(t, &queue));
    mf_status status = mf_model_read(model, true, &weights);
    if (!status)
        status = mf_predictor_new(mf_queue_device(queue), &weights, crop, predictor);
    mf_tensors_clear(&weights);
    return status;
}
