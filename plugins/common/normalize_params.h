/* normalize_params.h - the parameters of stages that normalize a scan as training does: one for the
 * modality, four for its bounds. */
#ifndef MF_PLUGINS_NORMALIZE_PARAMS_H
#define MF_PLUGINS_NORMALIZE_PARAMS_H

#include "normalize.h"
#include <massflow/stage.h>

#include <string.h>

/* The fields in the parameter struct. */
#define MF_NORMALIZE_FIELDS                                                                        \
    const char *modality;                                                                          \
    double window_low, window_high, percentile_low, percentile_high

/* Their lines in the table. */
#define MF_NORMALIZE_PARAMS(s)                                                                     \
    MF_CHOICE_FOLDED(s, modality, "volume", "volume|" MF_MODALITIES,                               \
                     "Modality that selects the clipping. volume: that of the scan, or a guess "   \
                     "if the scan does not state it."),                                            \
        MF_REAL(s, window_low, "-991", -32768, 32767, "HU",                                        \
                "CT: lower bound of the clipping window."),                                        \
        MF_REAL(s, window_high, "500", -32768, 32767, "HU",                                        \
                "CT: upper bound of the clipping window."),                                        \
        MF_REAL(s, percentile_low, "2", 0, 100, "%",                                               \
                "MR and PET: percentile of the lower clipping bound."),                            \
        MF_REAL(s, percentile_high, "98", 0, 100, "%",                                             \
                "MR and PET: percentile of the upper clipping bound.")

/* What they mean, of a pointer to the struct. */
#define MF_NORMALIZE_OF(p)                                                                         \
    ((mf_normalize){{(p)->window_low, (p)->window_high},                                           \
                    {(p)->percentile_low, (p)->percentile_high}})

/* The modality that a parameter sets; NULL: the volume's own, or a guess. */
static inline const char *mf_normalize_modality(const char *param)
{
    return strcmp(param, "volume") != 0 ? param : NULL;
}

#endif
