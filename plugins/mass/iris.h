/* iris.h - Iris, the in-context segmentation model of MASS, as tensor programs.
 *
 * Gao et al., "Show and Segment: Universal Medical Image Segmentation via In-Context Learning",
 * CVPR 2025; MASS (arXiv 2603.13660) pretrains it. Weight names and shapes are those of the
 * official PyTorch code. One program is one sample: an image, and K masks of a reference.
 *
 * The encoder is the ResUNet of the official code, or an I3D-ResNet. Of the latter each map goes
 * through a 1x1x1 convolution with bias (decoder.lateral.0..4, deepest first) to the channels of
 * the decoder's level, and is brought trilinearly to the level's grid: full resolution, then halved
 * along every axis four times. The maps have these strides along z, and twice them along y and x.
 * So task encoder and decoder are the same with both. */
#ifndef MF_MASS_IRIS_H
#define MF_MASS_IRIS_H

#include "i3d.h"

enum {
    MF_IRIS_DEPTHS = 5,  /* feature maps: full resolution, then halved four times */
    MF_IRIS_LEVELS = 3,  /* the deepest of them carry task embeddings */
    MF_IRIS_TOKENS = 11, /* of a task embedding: ten learned queries, then the foreground */
    MF_IRIS_BLOCKS_MOST = 16
};

typedef struct mf_iris {
    int64_t channels[MF_IRIS_DEPTHS];   /* shallowest first */
    int64_t blocks[MF_IRIS_DEPTHS - 1]; /* residual blocks after each halving, and of the decoder
                                         * where it is undone */
    int64_t positions; /* edge of the position embedding: most voxels along an axis of a crop */
    mf_i3d i3d;        /* the encoder where its width is not 0; `channels` are the decoder's then */
    bool frozen_norms; /* training leaves the running statistics of batch norms, and uses them */
    float share;       /* of batch statistics in a pass of the encoder (mf_batch_norm); 0 outside of
                        * training, which sets it */
} mf_iris;

/* The rules: every count at least 1, channels of the deepest three multiples of 32 (a head has 32),
 * positions from 16 to 512. */
MF_MUST_USE mf_status mf_iris_check(const mf_iris *iris);
/* The rules of a crop (z y x): multiples of 16, at most `positions`. */
MF_MUST_USE mf_status mf_iris_check_crop(const int64_t crop[3], int64_t positions);
/* Reads the configuration from the shapes of weights. `find` gives false for a name not there. */
typedef bool (*mf_iris_find)(const void *self, const char *name, int *rank, int64_t *shape);
MF_MUST_USE mf_status mf_iris_from_shapes(mf_iris_find find, const void *self, mf_iris *iris);
/* The same of an encoder alone: positions becomes 0. */
MF_MUST_USE mf_status mf_iris_encoder_from_shapes(mf_iris_find find, const void *self,
                                                  mf_iris *iris);

/* The encoder's own deepest map: its channels, and its voxels (z y x) of a crop. */
int64_t mf_iris_deepest_channels(const mf_iris *iris);
void mf_iris_deepest_size(const mf_iris *iris, const int64_t crop[3], int64_t size[3]);
/* image [1,D,H,W,1] -> the encoder's own deepest map. */
mf_value mf_iris_deepest(mf_program *p, const mf_iris *iris, mf_value image);
/* image [1,D,H,W,1] -> features[i] [1,D/16..,C], deepest first (PyTorch's feat5 .. feat1). */
void mf_iris_encoder(mf_program *p, const mf_iris *iris, mf_value image,
                     mf_value features[MF_IRIS_DEPTHS]);
/* Task embeddings of the masks (u8 [K,D,H,W]) on their image's features: priors[i] [K,11,C]. */
void mf_iris_task_embedding(mf_program *p, const mf_iris *iris,
                            const mf_value features[MF_IRIS_DEPTHS], mf_value masks,
                            mf_value priors[MF_IRIS_LEVELS]);
/* Features of the target and task embeddings -> [1,D,H,W,C0]; posteriors[i] [K,C]: token 0 of
 * each task after it has met the target. */
mf_value mf_iris_decoder(mf_program *p, const mf_iris *iris,
                         const mf_value features[MF_IRIS_DEPTHS],
                         const mf_value priors[MF_IRIS_LEVELS],
                         mf_value posteriors[MF_IRIS_LEVELS]);
/* The same decoder without tasks: no prior fusion, so a U-Net on the encoder. Its weights are those
 * of decoder.up1 .. up4. */
mf_value mf_iris_plain_decoder(mf_program *p, const mf_iris *iris,
                               const mf_value features[MF_IRIS_DEPTHS]);
/* -> logits [K,V]: a 1x1x1 convolution whose weights each task's posteriors predict. */
mf_value mf_iris_classifier(mf_program *p, const mf_iris *iris, mf_value decoded,
                            const mf_value posteriors[MF_IRIS_LEVELS]);

typedef struct mf_iris_training {
    mf_value features[MF_IRIS_DEPTHS]; /* of the target */
    mf_value priors[MF_IRIS_LEVELS], posteriors[MF_IRIS_LEVELS];
    mf_value decoded, logits; /* [1,D,H,W,C0], [K,V] */
    mf_value dice, bce, loss; /* one element each */
} mf_iris_training;
/* The ends of blocks are marked as kept (mf_recompute).
 * Inputs target and reference (f32 [1,D,H,W,1]), target_masks (u8 [K,V]), reference_masks
 * (u8 [K,D,H,W]); outputs dice, bce, loss. */
void mf_iris_declare_training(mf_program *p, const mf_iris *iris, const int64_t crop[3], int64_t k,
                              mf_iris_training *t);
/* The same with task embeddings that are weights themselves, tokens.0..2 [K,11,C], deepest first,
 * in place of a reference. Inputs target, target_masks. */
void mf_iris_declare_tuning(mf_program *p, const mf_iris *iris, const int64_t crop[3], int64_t k,
                            mf_iris_training *t);
/* Inputs reference (f32 [1,D,H,W,1]) and reference_masks (u8 [K,D,H,W]); outputs prior0..2. */
void mf_iris_declare_reference(mf_program *p, const mf_iris *iris, const int64_t crop[3],
                               int64_t k);
/* Inputs target (f32 [1,D,H,W,1]) and prior0..2 (f32 [K,11,C]); output probability [K,V]. */
void mf_iris_declare_query(mf_program *p, const mf_iris *iris, const int64_t crop[3], int64_t k);
/* Input image (f32 [1,D,H,W,1]); output features, the encoder's own deepest map. */
void mf_iris_declare_features(mf_program *p, const mf_iris *iris, const int64_t crop[3]);

#endif
