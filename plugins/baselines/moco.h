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

#include "moco_params.h"

/* Of the parameters' version. */
const mf_method *mf_moco_method(const mf_moco_params *o);

#endif
