/* encode.h - the encoder under a loss of a whole batch, image by image.
 *
 * The loss sees all images at once, the encoder one: first each image is encoded and only its
 * pooled features stay; then the loss gives its gradient at the features; then each image is
 * encoded again, and its part of that gradient goes back through the encoder (gradient caching: Gao
 * et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"). Norms of
 * the encoder, instance or batch norms, see one image at a time, so this is exact. It takes one
 * more pass forward, and the memory of one image for any batch. */
#ifndef MF_BASELINES_ENCODE_H
#define MF_BASELINES_ENCODE_H

#include "method.h"

/* image [1,D,H,W,1] -> the mean of the encoder's own deepest map over its sites, [1,C] */
mf_value mf_encode_pooled(mf_program *p, const mf_iris *iris, mf_value image);
/* Declares the encoder's weights. */
MF_MUST_USE mf_status mf_encode_declare(const mf_iris *iris, mf_weights *w);

/* Of the deepest map of a crop. */
enum { MF_ENCODE_LEAST_VOXELS = 4 };

/* The programs of one image; starts as {0}. */
typedef struct mf_encoder {
    mf_executable *forward, *backward;
    int64_t channels;
} mf_encoder;

/* b->crop is set; with the weights `w`. learns: gradients will be wanted. */
MF_MUST_USE mf_status mf_encoder_open(const mf_baseline *b, mf_weights *w, bool learns,
                                      mf_encoder *e);
void mf_encoder_close(mf_encoder *e);

/* features [views, pairs, C]: of the first `views` (1 or 2) of these views of each pair. */
typedef enum mf_which_view { MF_REFERENCE, MF_QUERY } mf_which_view;
MF_MUST_USE mf_status mf_encoder_batch(mf_baseline *b, const mf_encoder *e,
                                       const mf_baseline_pair *pairs, const mf_which_view *view,
                                       int views, float *features);

/* A loss of the features of a whole batch: a function that declares it, with an input `features`
 * and outputs `loss` and `gradient` (mf_require_gradient). */
typedef void (*mf_encoded_loss)(mf_program *p, const mf_baseline *b);
/* Declares the encoder's weights and those of the loss; compiles the loss. */
MF_MUST_USE mf_status mf_encoded_loss_declare(mf_baseline *b, mf_encoded_loss loss);
MF_MUST_USE mf_status mf_encoded_loss_compile(mf_baseline *b, mf_encoded_loss loss,
                                              mf_executable **e);
/* Begins a batch of `images` images and runs the loss, whose other inputs are set, as its first
 * item: its value, and the gradient at the features. */
MF_MUST_USE mf_status mf_encoded_loss_run(mf_baseline *b, mf_executable *e, int64_t images,
                                          const float *features, double *value, float *gradient);
/* The gradients of the same images, each an item of the batch that was begun, and those of the
 * other ranks. */
MF_MUST_USE mf_status mf_encoder_learn(mf_baseline *b, const mf_encoder *e,
                                       const mf_baseline_pair *pairs, const mf_which_view *view,
                                       int views, const float *gradient);

#endif
