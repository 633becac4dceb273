/* classifier.h - an encoder with a head on its deepest map: one image at a time forward and
 * backward, the gradients of a batch added, one AdamW step for both. It knows no cases and no
 * files. */
#ifndef MF_MASS_CLASSIFIER_H
#define MF_MASS_CLASSIFIER_H

#include "../weights/tensors.h"
#include "head.h"
#include "iris.h"

typedef struct mf_classifier_shape {
    mf_iris iris;    /* of its encoder; `positions` is not read */
    mf_head head;    /* its channels are the encoder's deepest */
    int64_t crop[3]; /* z y x, multiples of 16 */
    bool trainable;  /* the encoder learns, too */
    bool dropout;    /* learning takes `drop` */
} mf_classifier_shape;

typedef struct mf_classifier mf_classifier;

/* The rules of a shape. */
MF_MUST_USE mf_status mf_classifier_check(const mf_classifier_shape *shape);
/* Weights are 0 until they are loaded or drawn. */
MF_MUST_USE mf_status mf_classifier_new(mf_device *device, const mf_classifier_shape *shape,
                                        mf_classifier **classifier);
void mf_classifier_free(mf_classifier *c); /* NULL is fine */
/* What is learned: the head's weights and, where it is trainable, the encoder's (encoder.*). */
mf_weights *mf_classifier_weights(mf_classifier *c);
/* The encoder's weights: those above, or others that never change. */
mf_weights *mf_classifier_encoder(mf_classifier *c);
MF_MUST_USE mf_status mf_classifier_load_encoder(mf_classifier *c, const mf_tensors *t);
MF_MUST_USE mf_status mf_classifier_load_head(mf_classifier *c, const mf_tensors *t);
MF_MUST_USE mf_status mf_classifier_draw_head(mf_classifier *c, uint64_t seed);
/* Voxels of the deepest map, numbers of a map, numbers that dropout sees. */
int64_t mf_classifier_sites(const mf_classifier *c);
int64_t mf_classifier_map_size(const mf_classifier *c);
int64_t mf_classifier_width(const mf_classifier *c);

/* image f32 [crop] -> map [sites, channels]. */
MF_MUST_USE mf_status mf_classifier_encode(mf_classifier *c, const float *image, float *map);
/* Without dropout: logits [classes] of an image or, of a frozen encoder, of its map. */
MF_MUST_USE mf_status mf_classifier_predict(mf_classifier *c, const float *image, float *logits);
MF_MUST_USE mf_status mf_classifier_predict_map(mf_classifier *c, const float *map, float *logits);

/* One case of a batch: target and weight as mf_head_loss reads them of N = 1; share: the part of
 * the batch's loss that is its own. */
typedef struct mf_classifier_case {
    const float *image, *drop, *target, *weight;
    float share;
} mf_classifier_case;
/* One item of a batch (mf_weights_begin_batch, before the first). *loss: share times its loss;
 * logits [classes], or NULL. */
MF_MUST_USE mf_status mf_classifier_learn(mf_classifier *c, const mf_classifier_case *one,
                                          float *loss, float *logits);

typedef struct mf_classifier_step {
    double head_rate, encoder_rate, weight_decay, max_norm;
    int64_t step; /* 1, 2, ... */
} mf_classifier_step;
/* One step of AdamW; *norm: of the whole gradient, before clipping. A gradient that is not finite
 * is an error, and the weights are what they were. */
MF_MUST_USE mf_status mf_classifier_update(mf_classifier *c, const mf_classifier_step *step,
                                           float *norm);

/* The bytes that learning a batch and predicting take of a device like `device`. */
MF_MUST_USE mf_status mf_classifier_count(mf_device *device, const mf_classifier_shape *shape,
                                          int64_t batch, size_t *bytes);

#endif
