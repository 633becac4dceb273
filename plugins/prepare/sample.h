/* sample.h - a scan and its masks on the training grid: resampled, normalized, padded. */
#ifndef MF_PREPARE_SAMPLE_H
#define MF_PREPARE_SAMPLE_H

#include "../common/normalize.h"
#include "../common/resample.h"

typedef struct mf_sample_settings {
    double spacing[3];    /* mm along x, y, z */
    int64_t least[3];     /* voxels along x, y, z, padded to where there are fewer */
    const char *modality; /* "CT", "MR", "PET", or NULL for the volume's own */
    mf_normalize normalize;
    const mf_artifact *labels; /* a label map on the volume's grid that the sample keeps, or NULL */
} mf_sample_settings;

typedef struct mf_sample_report {
    mf_modality modality;
    bool guessed; /* neither the settings nor the volume say the modality: CT, or like MR and PET */
    mf_normalized normalized;
    int64_t replaced; /* voxels of the scan that were NaN or infinite */
    int64_t masks, dropped;
} mf_sample_report;

/* The grids that a scan on `from` comes to: resampled, and padded around that. before: voxels that
 * the padding adds before index 0 of x, y, z. */
MF_MUST_USE mf_status mf_sample_grids(const mf_grid *from, const mf_sample_settings *settings,
                                      mf_grid *inner, mf_grid *padded, int64_t before[3]);

/* A label map [z,y,x] on `from`, of any type, on the padded grid: nearest neighbour, 0 in the
 * padding. */
MF_MUST_USE mf_status mf_sample_labels(const mf_array *voxels, const mf_grid *from,
                                       const mf_grid *inner, const mf_grid *padded,
                                       const int64_t before[3], mf_array **labels);

/* volume: type volume or lazy; masks: type masks on the same grid, or NULL. The new artifact (type
 * sample) has image f32 [z,y,x], whose padding is 0 (after the z-score: the mean of the scan, as in
 * the official export), and the masks that have voxels left. With labels it has labels u16 [z,y,x],
 * 0 in the padding, and attributes window and percentiles: how the image was clipped. */
MF_MUST_USE mf_status mf_sample_make(const mf_artifact *volume, const mf_artifact *masks,
                                     const mf_sample_settings *settings, mf_sample_report *report,
                                     mf_artifact **sample);

#endif
