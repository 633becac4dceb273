/* normalize.h - intensities as the model is given them: clipped by modality, then z-score.
 *
 * As the official MASS export does: CT is clipped to a window in HU; MR and PET to two percentiles
 * of the voxels; then the mean goes to 0 and the standard deviation to 1 (a constant image becomes
 * 0). */
#ifndef MF_PLUGINS_NORMALIZE_H
#define MF_PLUGINS_NORMALIZE_H

#include <massflow/artifact.h>

typedef enum mf_modality {
    MF_MODALITY_CT,
    MF_MODALITY_MR,
    MF_MODALITY_PET,
    MF_MODALITY_NORMALIZED /* of any: its intensities are normalized already */
} mf_modality;

typedef struct mf_normalize {
    double window[2];      /* HU, for CT */
    double percentiles[2]; /* 0..100, for MR and PET */
} mf_normalize;
/* The settings of the official export. */
#define MF_NORMALIZE_DEFAULT                                                                       \
    {                                                                                              \
        {-991, 500},                                                                               \
        {                                                                                          \
            2, 98                                                                                  \
        }                                                                                          \
    }

typedef struct mf_normalized {
    double low, high;       /* the bounds that voxels were clipped to */
    double mean, deviation; /* after clipping, before the z-score */
    int64_t not_finite;     /* NaN (became `low`) and infinities (became the bound of their side) */
} mf_normalized;

/* The attribute `intensities` of a volume that mf_normalize_voxels must leave as it is. */
#define MF_INTENSITIES_NORMALIZED "normalized"
bool mf_volume_normalized(const mf_artifact *volume);
/* Of one that was clipped to a window for other uses: nothing can be made of its intensities. */
#define MF_INTENSITIES_WINDOWED "windowed"
/* Refuses a volume whose intensities are not the scan's own, normalized or windowed. `what` needs
 * them ("the window in HU"). */
MF_MUST_USE mf_status mf_volume_check_raw(const mf_artifact *volume, const char *what);
/* Refuses one that was windowed: for stages that normalize, or take what is normalized. */
MF_MUST_USE mf_status mf_volume_check_not_windowed(const mf_artifact *volume);
/* Marks a volume as normalized, and says how: attributes `window` and `percentiles`, and
 * `normalized_as`, the modality that chose between them: set or guessed, so it may be another than
 * the attribute `modality`. */
MF_MUST_USE mf_status mf_volume_mark_normalized(mf_artifact *volume, mf_modality modality,
                                                const mf_normalize *settings);
/* Copies these marks, where `from` has them. */
MF_MUST_USE mf_status mf_volume_inherit_normalized(mf_artifact *to, const mf_artifact *from);
/* A volume that says how it was normalized must have been clipped by the same settings. */
MF_MUST_USE mf_status mf_volume_check_normalized(const mf_artifact *volume,
                                                 const mf_normalize *settings);

const char *mf_modality_text(mf_modality modality); /* "CT", "MR", "PET", "normalized" */
/* "CT", "MR" or "PET", in either case ("MRI", "PT" too): false for anything else. */
bool mf_modality_parse(const char *text, mf_modality *modality);
/* As the official export guesses the modality of an image that does not say it: CT when its
 * percentiles 0.5 and 99.5 are less than -200 and more than 300; else MR, which PET is treated
 * like. */
MF_MUST_USE mf_status mf_modality_guess(const float *voxels, int64_t count, mf_modality *modality);

/* Percentiles of the finite voxels, interpolated linearly between neighbours in rank (numpy's
 * default), exact and without a copy of the voxels; all 0 where none is finite. */
MF_MUST_USE mf_status mf_percentiles(const float *voxels, int64_t count, const double *percents,
                                     int n, double *values);

/* Each lower bound must be below its upper one. */
MF_MUST_USE mf_status mf_normalize_check(const mf_normalize *settings);

/* Normalizes in place; nothing where the modality is MF_MODALITY_NORMALIZED. `report` may be NULL.
 */
MF_MUST_USE mf_status mf_normalize_voxels(float *voxels, int64_t count, mf_modality modality,
                                          const mf_normalize *settings, mf_normalized *report);

#endif
