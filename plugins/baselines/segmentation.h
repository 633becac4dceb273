/* segmentation.h - supervised pretraining with a fixed head: the encoder, the model's decoder
 * without tasks, and a 1x1x1 convolution to the classes, as nnU-Net, STU-Net (Huang et al. 2023)
 * and SuPreM (Li et al., ICLR 2024) train. One program is one crop. */
#ifndef MF_BASELINES_SEGMENTATION_H
#define MF_BASELINES_SEGMENTATION_H

#include "../mass/iris.h"

/* image f32 [1,D,H,W,1] -> logits [V,classes]. Weights segmentation.weight and .bias, beside those
 * of the model. */
mf_value mf_segmentation_apply(mf_program *p, const mf_iris *iris, mf_value image, int64_t classes);

typedef struct mf_segmentation {
    mf_value logits, dice, ce, loss; /* [V,classes]; one element each */
} mf_segmentation;
/* Loss of a crop (z y x) with `classes` classes, the first of which is the background: cross
 * entropy, mean over voxels, plus 1 - soft Dice (2 TP + 1e-5) / (sums + 1e-5), mean over the
 * classes but the background. image f32 [1,D,H,W,1], target u8 [V,classes] (one-hot), smooth f32
 * [classes - 1] (1e-5), weight f32 [V] (1)                         inputs dice, ce, loss outputs */
void mf_segmentation_loss(mf_program *p, const mf_iris *iris, const int64_t crop[3],
                          int64_t classes, mf_segmentation *s);
/* Sets the inputs that are the same for all crops. */
MF_MUST_USE mf_status mf_segmentation_constants(const int64_t crop[3], int64_t classes,
                                                mf_executable *program);

#endif
