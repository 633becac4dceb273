/* genesis.h - how Models Genesis distorts a crop that is then to be restored (Zhou et al., MICCAI
 * 2019; Medical Image Analysis 2021): local shuffling, a nonlinear change of intensities, in- or
 * out-painting, each with its own probability and in this order. */
#ifndef MF_BASELINES_GENESIS_H
#define MF_BASELINES_GENESIS_H

#include <massflow/error.h>
#include <stdint.h>

typedef struct mf_genesis {
    double nonlinear_prob, shuffle_prob, paint_prob;
    double inner_prob; /* of in-painting where there is painting; else out-painting */
} mf_genesis;

/* Sides that are too small for its boxes. */
MF_MUST_USE mf_status mf_genesis_check(const int64_t crop[3]);
/* image f32 [crop] (z y x) -> to. The distortions see intensities between the crop's own minimum
 * and maximum as 0 .. 1, and noise fills that range. What is drawn depends on `seed` and `item`
 * (the place of the crop in its stream) alone. */
MF_MUST_USE mf_status mf_genesis_distort(const mf_genesis *g, uint64_t seed, int64_t item,
                                         const int64_t crop[3], const float *image, float *to);

#endif
