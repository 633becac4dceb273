/* scan.c - reads a scan onto the training grid. */
#include "scan.h"

#include <stdlib.h>

mf_status mf_scan_read(const mf_artifact *volume, const mf_scan_settings *settings, mf_grid *grid,
                       float **voxels, mf_modality *modality)
{
    mf_grid from;
    int64_t replaced;
    const char *text =
        settings->modality ? settings->modality : mf_artifact_text(volume, "modality");
    bool known = mf_modality_parse(text, modality);
    *voxels = NULL;
    MF_TRY(mf_volume_check_not_windowed(volume));
    if (mf_volume_normalized(volume)) {
        MF_TRY(mf_volume_check_normalized(volume, &settings->normalize));
        *modality = MF_MODALITY_NORMALIZED;
        known = true;
    }
    if (!known && text && *text)
        return mf_hint(
            mf_fail(MF_UNSUPPORTED, "no normalization is known for the modality '%s'", text),
            "set the parameter modality to ct, mr or pet");
    MF_TRY(mf_artifact_grid(volume, &from));
    MF_TRY(mf_resample_grid(&from, settings->spacing, grid));
    size_t bytes;
    if (!mf_size_mul((size_t)mf_grid_voxels(grid), sizeof(float), &bytes) ||
        !(*voxels = malloc(bytes)))
        return mf_no_memory(0, "%lld voxels", (long long)mf_grid_voxels(grid));
    float missing = known && *modality == MF_MODALITY_CT ? (float)settings->normalize.window[0] : 0;
    mf_status status =
        mf_resample_artifact(volume, "voxels", &from, grid, missing, *voxels, &replaced);
    if (!status && !known)
        status = mf_modality_guess(*voxels, mf_grid_voxels(grid), modality);
    if (status) {
        free(*voxels);
        *voxels = NULL;
    }
    return status;
}
