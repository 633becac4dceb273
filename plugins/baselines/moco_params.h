/* moco_params.h - the parameters of MoCo. */
#ifndef MF_BASELINES_MOCO_PARAMS_H
#define MF_BASELINES_MOCO_PARAMS_H

#include "method.h"

typedef struct mf_moco_params {
    mf_baseline_params shared;
    const char *version;          /* "v2" or "v3" */
    double temperature, momentum; /* 0: the version's */
    int64_t memory_bank;
    int64_t projection_hidden, projection_dim; /* 0: the version's */
    bool same_scan_negatives;
} mf_moco_params;

/* The rules of the parameters. */
MF_MUST_USE mf_status mf_moco_check(const mf_moco_params *o);
/* The parameters with the version's values where they say so: temperature and momentum 0, warmup
 * and weight_decay -1. */
mf_moco_params mf_moco_resolved(const mf_moco_params *o);
bool mf_moco_is_v3(const mf_moco_params *o);
int64_t mf_moco_dim(const mf_moco_params *o); /* of queries and keys */

#endif
