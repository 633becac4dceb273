/* labels_masks.c - stage labels.masks: a label map as a set of masks. */
#include "labels.h"
#include "labels_masks.code.h"
#include "masks_stages.h"

typedef struct labels_masks_params {
    int64_t min_voxels;
} labels_masks_params;

static const mf_param params[] = {MF_INT(labels_masks_params, min_voxels, "1", 1, 1e12, "voxels",
                                         "Minimum size. Smaller labels are dropped."),
                                  MF_END};
static const mf_port inputs[] = {MF_PORT("labels", "labels", "Label map; 0 is background."),
                                 MF_END};
static const mf_port outputs[] = {
    MF_PORT("masks", "masks",
            "One mask per label, in order of label. The array `label` has the values."),
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
    mf_status status = masks_of_labels(voxels, &grid, o->min_voxels, &masks);
    mf_array_unref(voxels);
    MF_TRY(status);
    status = mf_artifact_inherit(masks, labels);
    if (!status)
        status = mf_artifact_copy_names(masks, labels);
    if (status) {
        mf_artifact_unref(masks);
        return status;
    }
    mf_log(t, "%lld masks", (long long)mf_masks_count(masks));
    return mf_out(t, "masks", masks);
}

MF_STAGE(labels_masks, "labels.masks", 2, "Converts a label map to masks, one per label.",
         .help = "Where labels are available they are the best masks to "
                 "train on. Label values have no influence on the training.",
         .params = params, .params_size = sizeof(labels_masks_params), .in = inputs, .out = outputs,
         .run = run);
