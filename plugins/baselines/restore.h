/* restore.h - the methods that restore crops: masked reconstruction and Models Genesis. */
#ifndef MF_BASELINES_RESTORE_H
#define MF_BASELINES_RESTORE_H

#include "method.h"

typedef struct mf_reconstruct_params {
    mf_baseline_params shared;
    const char *mask;   /* mae, simmim */
    int64_t mask_patch; /* 0: 16 (mae), 32 (simmim) */
    double mask_share;  /* -1: 0.75 (mae), 0.6 (simmim) */
    bool normalize_target;
} mf_reconstruct_params;
extern const mf_method mf_reconstruct_method;
/* The share of patches that is hidden. */
double mf_reconstruct_share(const mf_reconstruct_params *o);
/* The edge of a patch. */
int64_t mf_reconstruct_patch(const mf_reconstruct_params *o);

typedef struct mf_genesis_params {
    mf_baseline_params shared;
    double nonlinear_prob, shuffle_prob, paint_prob, inner_prob;
} mf_genesis_params;
extern const mf_method mf_genesis_method;

#endif
