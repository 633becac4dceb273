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

enum { FEW_VOXELS = 8 }; /* in the deepest map: their mean and variance are rough */

mf_status mf_session_check_crop(mf_task *t, const mf_iris *iris, const int64_t crop[3])
{
    int64_t size[3];
    if (!iris->i3d.width || iris->frozen_norms)
        return MF_OK;
    mf_iris_deepest_size(iris, crop, size);
    const int64_t voxels = size[0] * size[1] * size[2];
    if (voxels < 2)
        return mf_hint(
            mf_fail(MF_INVALID,
                    "the deepest map of the I3D has one voxel of a crop of %lld x %lld x "
                    "%lld (z y x), and so no variance",
                    (long long)crop[0], (long long)crop[1], (long long)crop[2]),
            "raise patch_size, or set batch_norm: frozen where the stage has it");
    if (t && voxels < FEW_VOXELS)
        mf_log(t,
               "the deepest map of the I3D has %lld voxels of a crop: the statistics of its batch "
               "norms are rough",
               (long long)voxels);
    return MF_OK;
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
