/* mass_labels.c - the stage mass.labels: a label map on the grid of a sample. */
#include "mass_labels.code.h"
#include "prepare_stages.h"
#include "sample.h"

#include <string.h>

typedef struct labels_params {
    mf_real3 spacing;
    mf_int3 min_size;
} labels_params;

static const mf_param params[] = {
    MF_REAL3(labels_params, spacing, "[1.5, 1.5, 1.5]", 0.05, 100, "mm",
             "Target spacing along x, y, z, as in mass.prepare."),
    MF_INT3(labels_params, min_size, "[135, 135, 135]", 1, 4096, "voxels",
            "Minimum size along x, y, z, as in mass.prepare."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("labels", "labels", "Label map of a scan, on the scan's grid."),
    MF_PORT("sample", "sample?", "The scan's sample: the labels must come to lie on its grid."),
    MF_END};
static const mf_port outputs[] = {MF_PORT("labels", "labels", "Labels on the training grid."),
                                  MF_END};

static mf_status check_sample(mf_task *t, const mf_grid *padded)
{
    const mf_artifact *sample;
    mf_grid grid;
    MF_TRY(mf_in(t, "sample", &sample));
    if (!sample)
        return MF_OK;
    MF_TRY(mf_artifact_grid(sample, &grid));
    if (mf_grid_equal(&grid, padded, 1e-3))
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "the labels come to lie on another grid than the sample"),
                   "give spacing and min_size as in the mass.prepare of the sample, and labels "
                   "that are loaded `like` its scan");
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const labels_params *o = p;
    mf_sample_settings settings = {0};
    const mf_artifact *labels;
    mf_grid from, inner, padded;
    int64_t before[3];
    memcpy(settings.spacing, o->spacing.v, sizeof settings.spacing);
    memcpy(settings.least, o->min_size.v, sizeof settings.least);
    MF_TRY(mf_in(t, "labels", &labels));
    MF_TRY(mf_artifact_grid(labels, &from));
    MF_TRY(mf_sample_grids(&from, &settings, &inner, &padded, before));
    n->host_bytes =
        (size_t)(4 * (double)mf_grid_voxels(&from) + 8 * (double)mf_grid_voxels(&padded));
    n->cost = 5e-9 * (double)mf_grid_voxels(&padded);
    return MF_OK;
}

static mf_status publish(mf_task *t, const mf_artifact *labels, const mf_grid *padded,
                         mf_array *voxels)
{
    mf_artifact *a;
    MF_TRY(mf_artifact_new("labels", &a));
    mf_status status = mf_artifact_set_grid(a, padded);
    if (!status)
        status = mf_artifact_inherit(a, labels);
    if (!status)
        status = mf_artifact_copy_names(a, labels);
    if (!status)
        status = mf_artifact_add(a, "voxels", voxels);
    if (!status)
        return mf_out(t, "labels", a);
    mf_artifact_unref(a);
    return status;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const labels_params *o = p;
    mf_sample_settings settings = {0};
    const mf_artifact *labels;
    mf_grid from, inner, padded;
    int64_t before[3];
    mf_array *voxels, *resampled;
    (void)session;
    memcpy(settings.spacing, o->spacing.v, sizeof settings.spacing);
    memcpy(settings.least, o->min_size.v, sizeof settings.least);
    MF_TRY(mf_in(t, "labels", &labels));
    MF_TRY(mf_artifact_grid(labels, &from));
    MF_TRY(mf_sample_grids(&from, &settings, &inner, &padded, before));
    MF_TRY(check_sample(t, &padded));
    MF_TRY(mf_artifact_array(labels, "voxels", &voxels));
    mf_status status = mf_sample_labels(voxels, &from, &inner, &padded, before, &resampled);
    mf_array_unref(voxels);
    MF_TRY(status);
    status = publish(t, labels, &padded, resampled);
    mf_array_unref(resampled);
    return status;
}

MF_STAGE(mf_stage_mass_labels, "mass.labels", 2, "Puts a label map on the grid of a sample.",
         .help = "Nearest neighbour, padded with 0 as mass.prepare pads the image. For `export: "
                 "{labels: \"bcv/${case.id}_gt.npy\"}`, which the official MASS code evaluates and "
                 "fine-tunes on.",
         .params = params, .params_size = sizeof(labels_params), .in = inputs, .out = outputs,
         .needs = needs, .run = run);
