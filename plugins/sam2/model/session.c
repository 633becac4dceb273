/* session.c - see session.h. */
#include "session.h"
#include "../shared/area.h"

static mf_status read_tensors(const mf_artifact *model, mf_tensors *t)
{
    for (size_t i = 0; i < mf_artifact_array_count(model); i++) {
        mf_array_info info;
        mf_array *array;
        mf_artifact_array_info(model, i, &info);
        MF_TRY(mf_artifact_array(model, info.name, &array));
        MF_TRY(mf_tensors_add(t, info.name, array));
    }
    return MF_OK;
}

mf_status sam2_session_open(mf_task *t, int64_t budget, bool video, void **session)
{
    const mf_artifact *model;
    sam2_config config;
    mf_tensors weights = {0};
    sam2_predictor *p = NULL;
    mf_queue *queue;
    *session = NULL;
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(sam2_config_of(model, &config));
    if (video && config.memories == 0)
        return mf_hint(mf_fail(MF_INVALID, "this model is for still pictures: it has no memory"),
                       "propagation from slice to slice needs a SAM 2 with its memory");
    MF_TRY(mf_task_queue(t, &queue));
    mf_status status = read_tensors(model, &weights);
    if (!status)
        status = sam2_config_match(&weights, &config);
    if (!status)
        status =
            sam2_predictor_new(mf_queue_device(queue), &config, &weights, (size_t)budget << 20, &p);
    mf_tensors_clear(&weights);
    *session = p;
    return status;
}

void sam2_session_close(void *session)
{
    sam2_predictor_free(session);
}

int64_t sam2_hole_area(const void *session, int64_t given)
{
    return given >= 0 ? given : sam2_area_for(8, sam2_predictor_config(session)->image);
}
