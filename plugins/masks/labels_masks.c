/* labels_masks.c - stage labels.masks: a label map as a set of masks. */
#include "labels.h"
#include "labels_masks.code.h"
#include "masks_stages.h"

typedef struct labels_masks_params {
    int64_t min_voxels;
} labels_masks_params;

static const mf_param params[] = {MF_INT(labels_masks_params, min_voxels, "1", 1, 1e12, "voxels",
                                         "Labels with fewer voxels are left out."),
                                  MF_END};
static const mf_port inputs[] = {{"labels", "labels", "The label map; 0 is background.", 0},
                                 MF_END};
static const mf_port outputs[] = {
    {"masks", "masks", "One mask a label, in order of label; array label says which.", 0},
    MF_END};

static mf_status run(mf_task *t, const void *p, void *session)
{
    const labels_masks_params *o = p;
    const mf_artifact *labels;
    mf_array *voxels;
    mf_grid grid;
    mf_artifact *masks;
    (void)session;
    MF_TRY(mf_in(t, "labels", &labels));
    MF_TRY(mf_artifact_grid(labels, &grid));
    MF_TRY(mf_artifact_array(labels, "voxels", &voxels));
    mf_status failed = masks_of_labels(voxels, &grid, o->min_voxels, &masks);
    mf_array_unref(voxels);
    MF_TRY(failed);
    failed = mf_artifact_inherit(masks, labels);
    if (failed) {
        mf_artifact_unref(masks);
        return failed;
    }
    mf_log(t, "%lld masks", (long long)mf_masks_count(masks));
    return mf_out(t, "masks", masks);
}

const mf_stage labels_masks = {
    .name = "labels.masks",
    .version = 1,
    .summary = "A label map as masks, one a label.",
    .help = "Where labels are known they are the best masks to learn from. What they are called "
            "does not matter: training never sees the label values.",
    .params = params,
    .params_size = sizeof(labels_masks_params),
    .in = inputs,
    .out = outputs,
    .code = MF_CODE,
    .run = run};
