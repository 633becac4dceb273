/* prepare.c - the stage mass.prepare: a scan and its masks as training reads them. */
#include "../common/normalize_params.h"
#include "prepare.code.h"
#include "prepare_stages.h"
#include "sample.h"
#include <massflow/stage.h>
#include <string.h>

typedef struct prepare_params {
    mf_real3 spacing;
    mf_int3 min_size;
    double weight;
    MF_NORMALIZE_FIELDS;
} prepare_params;

static const mf_param params[] = {
    MF_REAL3(prepare_params, spacing, "[1.5, 1.5, 1.5]", 0.05, 100, "mm",
             "Target spacing along x, y, z."),
    MF_INT3(prepare_params, min_size, "[135, 135, 135]", 1, 4096, "voxels",
            "Minimum size along x, y, z: smaller scans are padded. "
            "It is at least the patch size of the training."),
    MF_REAL(prepare_params, weight, "1", 0, 1e6, "",
            "How often augment.views draws this sample with sampling: "
            "weighted, in proportion to the others. 0: never."),
    MF_NORMALIZE_PARAMS(prepare_params), MF_END};
static const mf_port inputs[] = {MF_PORT("volume", "volume", "The scan."),
                                 MF_PORT("masks", "masks?", "Its masks, on the same grid."),
                                 MF_PORT("labels", "labels?",
                                         "Its label map, on the same grid, for stages that train "
                                         "on label values (mass.finetune)."),
                                 MF_END};
static const mf_port outputs[] = {
    MF_PORT("sample", "sample", "Normalized image and masks on the training grid."), MF_END};

static void settings_of(const prepare_params *o, mf_sample_settings *settings)
{
    *settings = (mf_sample_settings){0};
    memcpy(settings->spacing, o->spacing.v, sizeof settings->spacing);
    memcpy(settings->least, o->min_size.v, sizeof settings->least);
    settings->modality = mf_normalize_modality(o->modality);
    settings->normalize = MF_NORMALIZE_OF(o);
}

static mf_status check(const void *p)
{
    const prepare_params *o = p;
    return mf_normalize_check(&MF_NORMALIZE_OF(o));
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    mf_sample_settings settings;
    const mf_artifact *volume;
    mf_grid from, inner, padded;
    int64_t before[3];
    settings_of(p, &settings);
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_artifact_grid(volume, &from));
    MF_TRY(mf_sample_grids(&from, &settings, &inner, &padded, before));
    double floats = (double)mf_grid_voxels(&padded);
    if (mf_grid_voxels(&inner) != mf_grid_voxels(&padded))
        floats += (double)mf_grid_voxels(&inner);
    n->host_bytes = (size_t)(4 * floats) + (64u << 20); /* slabs, masks */
    if (mf_in_count(t, "labels")) /* as they come, as doubles and u16; on both grids u16 */
        n->host_bytes += 14 * (size_t)mf_grid_voxels(&from) + (size_t)(2 * floats);
    n->cost = 2e-8 * floats + 5e-9 * (double)mf_grid_voxels(&from);
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    mf_sample_settings settings;
    mf_sample_report report;
    const mf_artifact *volume, *masks;
    mf_artifact *sample;
    const prepare_params *o = p;

    (void)session;
    settings_of(p, &settings);
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_in(t, "masks", &masks));
    MF_TRY(mf_in(t, "labels", &settings.labels));
    if (!masks && !settings.labels)
        return mf_hint(mf_fail(MF_INVALID, "neither masks nor labels are connected"),
                       "connect the input `masks`, `labels` or both");
    MF_TRY(mf_cancel_point(t));
    MF_TRY(mf_sample_make(volume, masks, &settings, &report, &sample));
    if (report.guessed)
        mf_log(t, "the volume does not state its modality: normalized like %s",
               report.modality == MF_MODALITY_CT ? "CT" : "MR and PET");
    if (report.modality == MF_MODALITY_NORMALIZED)
        mf_log(t, "normalized already: intensities stay; %lld masks", (long long)report.masks);
    else
        mf_log(t, "%s: clipped to %g..%g, mean %g, SD %g; %lld masks",
               mf_modality_text(report.modality), report.normalized.low, report.normalized.high,
               report.normalized.mean, report.normalized.deviation, (long long)report.masks);
    if (report.dropped)
        mf_log(t, "%lld masks fall between the voxels of the training grid: dropped",
               (long long)report.dropped);
    if (report.replaced)
        mf_log(t, "%lld voxels were NaN or infinite: taken as %s", (long long)report.replaced,
               report.modality == MF_MODALITY_CT ? "air" : "0");
    if (o->weight != 1) {
        mf_status status = mf_artifact_set_reals(sample, "weight", &o->weight, 1);
        if (status) {
            mf_artifact_unref(sample);
            return status;
        }
    }
    return mf_out(t, "sample", sample);
}

MF_STAGE(
    mf_stage_mass_prepare, "mass.prepare", 4,
    "Resamples and normalizes a scan and its masks for training.",
    .help = "The image is resampled linearly to `spacing`, clipped by modality, normalized to mean "
            "0 and standard deviation 1, and padded symmetrically with 0. Masks are resampled by "
            "nearest neighbour on the same grid, and so is a label map, with its values. Masks "
            "that vanish are dropped; the log counts them. The world coordinates are "
            "preserved.",
    .params = params, .params_size = sizeof(prepare_params), .in = inputs, .out = outputs,
    .check = check, .needs = needs, .run = run);
MF_PLUGIN("prepare", &mf_stage_mass_prepare, &mf_stage_mass_labels)
