/* masks_nms.c - stage masks.nms: near-duplicates and small masks out. */
#include "masks_nms.code.h"
#include "masks_stages.h"
#include "nms.h"
#include <stdlib.h>

typedef struct masks_nms_params {
    double iou_threshold;
    int64_t pool, min_voxels, max_masks;
} masks_nms_params;

static const mf_param params[] = {
    MF_REAL(masks_nms_params, iou_threshold, "0.95", 0, 1, "",
            "A mask is dropped if its IoU (intersection over union) with a larger mask that is "
            "kept exceeds this."),
    MF_INT(masks_nms_params, pool, "4", 1, 64, "voxels",
           "Edge of the max pooling before masks are compared. 1: no pooling."),
    MF_INT(masks_nms_params, min_voxels, "500", 0, 1e12, "voxels",
           "Minimum size. Smaller masks are dropped."),
    MF_INT(masks_nms_params, max_masks, "0", 0, 1e9, "",
           "Maximum number of masks. The largest are kept. 0: no limit."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("masks", "masks[]", "Masks of one scan, from one source or several."), MF_END};
static const mf_port outputs[] = {MF_PORT("masks", "masks", "Masks that are kept, largest first."),
                                  MF_END};

static mf_status run(mf_task *t, const void *p, void *session)
{
    const masks_nms_params *o = p;
    nms_options options = {o->iou_threshold, o->pool, o->min_voxels, o->max_masks};
    nms_counts counts;
    mf_artifact *kept;
    size_t n = mf_in_count(t, "masks");
    (void)session;
    const mf_artifact **sources = calloc(n + 1, sizeof(*sources));
    if (!sources)
        return mf_no_memory((size_t)(n + 1) * sizeof(*sources), "a list of sources");
    mf_status status = MF_OK;
    for (size_t i = 0; i < n && !status; i++)
        status = mf_in_item(t, "masks", i, &sources[i]);
    if (!status)
        status = nms_apply(sources, n, &options, &kept, &counts);
    free(sources);
    MF_TRY(status);
    mf_log(t, "%lld of %lld masks kept: %lld too small, %lld near-duplicates, %lld over the limit",
           (long long)counts.kept, (long long)counts.given, (long long)counts.small,
           (long long)counts.doubles, (long long)counts.surplus);
    return mf_out(t, "masks", kept);
}

MF_STAGE(masks_nms, "masks.nms", 2,
         "Non-maximum suppression of 3D masks: drops small masks and near-duplicates of "
         "larger masks.",
         .help =
             "Masks of several sources, such as supervoxels of three sizes, are combined here: in: "
             "{masks: [coarse, medium, fine]}. Of two near-duplicates the larger is kept.",
         .params = params, .params_size = sizeof(masks_nms_params), .in = inputs, .out = outputs,
         .run = run);
