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

static mf_status run(mf_task *t, const void *p, void *session)
{
    const normalize_params *o = p;
    mf_scan_settings settings = {.modality = mf_normalize_modality(o->modality),
                                 .normalize = MF_NORMALIZE_OF(o)};
    const mf_artifact *volume;
    mf_normalized report;
    mf_modality modality;
    mf_array *voxels;
    mf_grid grid;
    float *read;
    (void)session;
    memcpy(settings.spacing, o->spacing.v, sizeof settings.spacing);
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_scan_read(volume, &settings, &grid, &read, &modality));
    mf_status status =
        mf_normalize_voxels(read, mf_grid_voxels(&grid), modality, &settings.normalize, &report);
    if (!status)
        status = mf_out_volume(t, "volume", &grid, MF_F32, &voxels);
    if (!status) {
        memcpy(voxels->data, read, voxels->bytes);
        if (modality == MF_MODALITY_NORMALIZED)
            mf_log(t, "normalized already: intensities stay");
        else
            mf_log(t, "%s: clipped to %g..%g, mean %g, SD %g", mf_modality_text(modality),
                   report.low, report.high, report.mean, report.deviation);
    }
    free(read);
    return status;
}

MF_STAGE(mf_stage_mass_normalize, "mass.normalize", 1,
         "Resamples and normalizes a scan as for training, without masks.",
         .help =
             "The scan is resampled linearly to `spacing`, clipped by modality, and normalized to "
             "mean 0 and standard deviation 1, as mass.prepare does it. It is not padded.",
         .params = params, .params_size = sizeof(normalize_params), .in = inputs, .out = outputs,
         .check = check, .needs = needs, .run = run);
