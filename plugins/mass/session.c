/* session.c - see session.h. */
#include "session.h"
#include "model.h"

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
