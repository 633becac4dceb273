/* restoration.h - networks that give an image back: from one with hidden patches (masked
 * reconstruction), or from one that was distorted (Models Genesis). The encoder is that of the
 * model; what decodes is thrown away after the training, or, for Models Genesis, is the model's own
 * decoder without tasks. One program is one crop. It knows no cases and no files. */
#ifndef MF_BASELINES_RESTORATION_H
#define MF_BASELINES_RESTORATION_H

#include "../mass/iris.h"

typedef enum mf_restoration_kind {
    /* MAE: hidden voxels are 0; a decoder of one convolution a level, without skip connections;
     * squared error. */
    MF_RESTORATION_MAE,
    /* SimMIM: hidden voxels have one learned value; one linear layer from the deepest map to its 16
     * x 16 x 16 voxels; absolute error. */
    MF_RESTORATION_SIMMIM,
    /* Models Genesis: the decoder of the model with its skip connections, and a 1x1x1 convolution;
     * squared error. */
    MF_RESTORATION_GENESIS
} mf_restoration_kind;

/* image f32 [1,D,H,W,1], what is seen; mask f32 of that shape or MF_NONE (not hidden) -> the image
 * as it is restored [1,D,H,W,1]. Weights of the kind: restoration.*, beside those of the model. */
mf_value mf_restoration_apply(mf_program *p, mf_restoration_kind kind, const mf_iris *iris,
                              mf_value image, mf_value mask);

/* The loss [1] of a crop (z y x), with inputs and outputs of these names:
 *   image   f32 [1,D,H,W,1]  seen by the encoder
 *   target  the same         what to restore, with its sign changed
 *   mask    the same         1 where it is hidden (not for Models Genesis)
 *   weight  the same         of each voxel in the loss; they add up to 1
 *   restored, loss           outputs */
mf_value mf_restoration_loss(mf_program *p, mf_restoration_kind kind, const mf_iris *iris,
                             const int64_t crop[3]);

#endif
