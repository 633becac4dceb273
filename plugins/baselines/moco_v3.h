/* moco_v3.h - MoCo v3: both views are queries, the keys of the batch are the negatives. */
#ifndef MF_BASELINES_MOCO_V3_H
#define MF_BASELINES_MOCO_V3_H

#include "method.h"

/* Weights: head.fc1, head.norm1, head.fc2, and the same of predictor. */
extern const mf_method mf_moco_v3;

#endif
