/* moco_v2.h - MoCo v2: a query against its key and a memory bank of older keys. */
#ifndef MF_BASELINES_MOCO_V2_H
#define MF_BASELINES_MOCO_V2_H

#include "method.h"

/* Weights of the head: head.fc1, head.fc2. */
extern const mf_method mf_moco_v2;
/* The keys that are there, before the first step: unit vectors [memory_bank, dim]. For tests. */
MF_MUST_USE mf_status mf_moco_set_queue(mf_baseline *b, const float *keys);

#endif
