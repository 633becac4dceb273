/* moco.h - MoCo: a view's embedding against that which a slow copy of the encoder (the key encoder)
 * gives of the other view.
 *
 * v2: He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation
 * Learning", CVPR 2020, algorithm 1, with the head and temperature of Chen, Fan, Girshick, He,
 * "Improved Baselines with Momentum Contrastive Learning", arXiv 2003.04297. Negatives are keys of
 * earlier batches, in a queue (the memory bank).
 * v3: Chen, Xie, He, "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV
 * 2021, algorithm 1. Negatives are the keys of the batch; both views are queries, behind a
 * predictor; projector and predictor are those of its code for convolutional encoders. */
#ifndef MF_BASELINES_MOCO_H
#define MF_BASELINES_MOCO_H

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

const mf_method *mf_moco_method(const mf_moco_params *o);

#endif
