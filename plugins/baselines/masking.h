/* masking.h - which patches of a crop are hidden, and what a network then has to reconstruct.
 *
 * He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022 (MAE); Xie et al.,
 * "SimMIM: A Simple Framework for Masked Image Modeling", CVPR 2022. */
#ifndef MF_BASELINES_MASKING_H
#define MF_BASELINES_MASKING_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct mf_masking {
    int64_t crop[3]; /* z y x */
    int64_t patch;   /* edge of a patch: each side of the crop is a multiple of it */
    double share;    /* of the patches that are hidden, above 0 and below 1 */
} mf_masking;

/* The rules above, and that at least one patch is hidden and one is left. */
MF_MUST_USE mf_status mf_masking_check(const mf_masking *m);
/* How many patches there are, and how many of them are hidden: share of them, rounded up. */
int64_t mf_masking_patches(const mf_masking *m);
int64_t mf_masking_hidden(const mf_masking *m);
/* mask f32 [crop]: 1 in each voxel of a hidden patch, else 0. Which patches are hidden depends on
 * `seed` and `item` (the place of the crop in its stream) alone. */
MF_MUST_USE mf_status mf_masking_draw(const mf_masking *m, uint64_t seed, int64_t item,
                                      float *mask);
/* Each patch of an image [crop] to mean 0 and SD 1, as MAE does with its target: (x - mean) /
 * sqrt(variance + 1e-6), of the unbiased variance. `image` and `to` may be the same. */
void mf_masking_normalize(const mf_masking *m, const float *image, float *to);

#endif
