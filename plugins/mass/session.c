/* session.c - see session.h. */
#include "session.h"

#include <string.h>

/* Running statistics of batch norms that nobody has learned make a net's numbers grow without
 * bound. */
static mf_status check_frozen(const mf_artifact *init)
{
    if (!init)
        return mf_hint(mf_fail(MF_INVALID, "batch_norm is frozen, but there is no `init` whose "
                                           "running statistics could be kept"),
                       "connect a trained or inflated model as `init`, or set batch_norm: batch");
    return mf_within(mf_model_check_statistics(init), "batch_norm is frozen");
}

mf_status mf_session_iris(mf_task *t, const mf_model_sizes *sizes, const char *batch_norm,
                          mf_iris *iris)
{
    const mf_artifact *init;
    MF_TRY(mf_in(t, "init", &init));
    MF_TRY(init ? mf_within(mf_model_iris(init, iris), "the model of `init`")
                : mf_model_configure_backbone(sizes, iris));
    if (init)
        MF_TRY(mf_model_check_backbone(sizes->backbone, iris));
    iris->frozen_norms = !strcmp(batch_norm, "frozen");
    return iris->frozen_norms && iris->i3d.width ? check_frozen(init) : MF_OK;
}

mf_status mf_session_open(mf_task *t, const int64_t crop[3], mf_predictor **predictor)
{
    const mf_artifact *model;
    mf_tensors weights = {0};
    mf_queue *queue;
    *predictor = NULL;
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(mf_task_queue(t, &queue));
    mf_status status = mf_model_read(model, true, &weights);
    if (!status)
        status = mf_predictor_new(mf_queue_device(queue), &weights, crop, predictor);
    mf_tensors_clear(&weights);
    return status;
}
