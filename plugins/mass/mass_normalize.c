/* mass_normalize.c - the stage mass.normalize: a scan on the training grid, normalized, without
 * masks. */
#include "../common/normalize_params.h"
#include "mass_normalize.code.h"
#include "mass_stages.h"
#include "scan.h"

#include <stdlib.h>
#include <string.h>

typedef struct normalize_params {
    mf_real3 spacing;
    MF_NORMALIZE_FIELDS;
} normalize_params;

static const mf_param params[] = {MF_REAL3(normalize_params, spacing, "[1.5, 1.5, 1.5]", 0.05, 100,
                                           "mm", "Target spacing along x, y, z, as in training."),
                                  MF_NORMALIZE_PARAMS(normalize_params), MF_END};
static const mf_port inputs[] = {MF_PORT("volume", "volume", "The scan."), MF_END};
static const mf_port outputs[] = {
    MF_PORT("volume", "volume", "Normalized image on the training grid."), MF_END};

static mf_status check(const void *p)
{
    const normalize_params *o = p;
    return mf_normalize_check(&MF_NORMALIZE_OF(o));
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const normalize_params *o = p;
    const mf_artifact *volume;
    mf_grid from, to;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_artifact_grid(volume, &from));
    MF_TRY(mf_resample_grid(&from, o->spacing.v, &to));
    n->host_bytes = (size_t)mf_grid_voxels(&to) * 2 * sizeof(float) + (64u << 20);
    n->cost = 2e-8 * (double)mf_grid_voxels(&to) + 5e-9 * (double)mf_grid_voxels(&from);
    return MF_OK;
}

/* Later stages must not normalize it again, and can tell cases that were clipped otherwise. */
static mf_status fill(mf_artifact *out, const mf_artifact *volume, const mf_grid *grid,
                      mf_modality modality, const mf_normalize *how, const float *read)
{
    mf_array *voxels;
    int64_t shape[3];
    MF_TRY(mf_artifact_set_grid(out, grid));
    MF_TRY(mf_artifact_inherit(out, volume));
    if (modality == MF_MODALITY_NORMALIZED)
        MF_TRY(mf_volume_inherit_normalized(out, volume));
    else
        MF_TRY(mf_volume_mark_normalized(out, modality, how));
    mf_zyx(grid->size, shape);
    MF_TRY(mf_array_new(MF_F32, 3, shape, &voxels));
    memcpy(voxels->data, read, voxels->bytes);
    mf_status status = mf_artifact_add(out, "voxels", voxels);
    mf_array_unref(voxels);
    return status;
}

static mf_status publish(mf_task *t, const mf_artifact *volume, const mf_grid *grid,
                         mf_modality modality, const mf_normalize *how, const float *read)
{
    mf_artifact *out;
    MF_TRY(mf_artifact_new("volume", &out));
    mf_status status = fill(out, volume, grid, modality, how, read);
    if (status) {
        mf_artifact_unref(out);
        return status;
    }
    return mf_out(t, "volume", out);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const normalize_params *o = p;
    mf_scan_settings settings = {.modality = mf_normalize_modality(o->modality),
                                 .normalize = MF_NORMALIZE_OF(o)};
    const mf_artifact *volume;
    mf_normalized report;
    mf_modality modality;
    mf_grid grid;
    float *read;
    (void)session;
    memcpy(settings.spacing, o->spacing.v, sizeof settings.spacing);
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_scan_read(volume, &settings, &grid, &read, &modality));
    mf_status status =
        mf_normalize_voxels(read, mf_grid_voxels(&grid), modality, &settings.normalize, &report);
    if (!status)
        status = publish(t, volume, &grid, modality, &settings.normalize, read);
    if (!status) {
        if (modality == MF_MODALITY_NORMALIZED)
            mf_log(t, "normalized already: intensities stay");
        else
            mf_log(t, "%s: clipped to %g..%g, mean %g, SD %g", mf_modality_text(modality),
                   report.low, report.high, report.mean, report.deviation);
    }
    free(read);
    return status;
}

MF_STAGE(mf_stage_mass_normalize, "mass.normalize", 2,
         "Resamples and normalizes a scan as for training, without masks.",
         .help =
             "The scan is resampled linearly to `spacing`, clipped by modality, and normalized to "
             "mean 0 and standard deviation 1, as mass.prepare does it. It is not padded. The "
             "result says that it is normalized, and how: later stages leave its intensities as "
             "they are, and refuse it where they are told to clip otherwise.",
         .params = params, .params_size = sizeof(normalize_params), .in = inputs, .out = outputs,
         .check = check, .needs = needs, .run = run);
