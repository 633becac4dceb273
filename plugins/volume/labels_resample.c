/* labels_resample.c - stage labels.resample: a label map with another voxel size, or on the grid of
 * a volume. */
#include "derive.h"
#include "grid/orient.h"
#include "labels_resample.code.h"
#include "resampling.h"
#include "volume_stages.h"

typedef struct resample_params {
    mf_real3 spacing;
} resample_params;

static const mf_param params[] = {
    MF_REAL3(resample_params, spacing, "[0, 0, 0]", 0, 100, "mm",
             "Spacing along x, y, z of the label map, over the same field of view. Without "
             "`like`."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("labels", "labels", "The label map."),
    MF_PORT("like", "volume?",
            "A volume whose grid is taken, such as one of volume.resample, volume.crop or "
            "volume.pad."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("labels", "labels", "The resampled label map; 0 where the old one has no voxels."),
    MF_END};

static mf_status run(mf_task *t, const void *p, void *session)
{
    const resample_params *o = p;
    const mf_artifact *labels, *like;
    mf_artifact *made;
    mf_array *voxels, *moved;
    mf_grid from, to;
    (void)session;
    MF_TRY(mf_in(t, "labels", &labels));
    MF_TRY(mf_artifact_grid(labels, &from));
    MF_TRY(resampling_grid(t, &from, &o->spacing, &to, &like));
    MF_TRY(mf_artifact_array(labels, "voxels", &voxels));
    mf_status status = orient_restore(voxels, &from, &to, true, 0, &moved);
    mf_array_unref(voxels);
    MF_TRY(status);
    status = derive_artifact(labels, &to, moved, NULL, !like, like, &made);
    mf_array_unref(moved);
    MF_TRY(status);
    status = mf_artifact_copy_names(made, labels);
    if (!status)
        return mf_out(t, "labels", made);
    mf_artifact_unref(made);
    return status;
}

MF_STAGE(labels_resample, "labels.resample", 2,
         "Resamples a label map to a spacing, or to the grid of a volume.",
         .help = "The nearest voxel, with its value; names of labels are kept. With `like`, which "
                 "may be cropped, padded, turned or resampled, the labels are put where they lie "
                 "in the world.",
         .params = params, .params_size = sizeof(resample_params), .in = inputs, .out = outputs,
         .run = run);
