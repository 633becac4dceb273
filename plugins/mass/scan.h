/* scan.h - a scan as the model sees it: on the training grid, normalized by its modality. */
#ifndef MF_MASS_SCAN_H
#define MF_MASS_SCAN_H

#include "../common/normalize.h"
#include "../common/resample.h"
#include "crop.h"

typedef struct mf_scan_settings {
    double spacing[3];    /* mm along x, y, z */
    const char *modality; /* "CT", "MR", "PET"; NULL: the scan's own, or a guess. A volume that is
                           * normalized already stays so. */
    mf_normalize normalize;
} mf_scan_settings;

/* The image of `volume` on the training grid, in its own units, and its modality. The caller frees
 * *voxels [z,y,x]. */
MF_MUST_USE mf_status mf_scan_read(const mf_artifact *volume, const mf_scan_settings *settings,
                                   mf_grid *grid, float **voxels, mf_modality *modality);

#endif
