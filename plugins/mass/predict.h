/* predict.h - a trained model at work: task embeddings from references, then masks of a query. */
#ifndef MF_MASS_PREDICT_H
#define MF_MASS_PREDICT_H

#include "../weights/tensors.h"
#include "iris.h"
#include "window.h"

/* One model on one device for crops of one size; programs are made when first asked for. */
typedef struct mf_predictor mf_predictor;
/* t: the model's weights; the configuration comes from their shapes. Of an encoder alone only
 * features can be computed. */
MF_MUST_USE mf_status mf_predictor_new(mf_device *device, const mf_tensors *t,
                                       const int64_t crop[3], mf_predictor **predictor);
/* The same without values for the weights. */
MF_MUST_USE mf_status mf_predictor_new_empty(mf_device *device, const mf_iris *iris,
                                             const int64_t crop[3], mf_predictor **predictor);
/* Makes the program of mf_predictor_embed for one mask; of mf_predictor_segment for k; of
 * mf_predictor_features. */
MF_MUST_USE mf_status mf_predictor_make_embed(mf_predictor *predictor);
MF_MUST_USE mf_status mf_predictor_make_segment(mf_predictor *predictor, int64_t k);
MF_MUST_USE mf_status mf_predictor_make_features(mf_predictor *predictor);
/* Other values for all its weights. */
MF_MUST_USE mf_status mf_predictor_load(mf_predictor *predictor, const mf_tensors *t);
void mf_predictor_free(mf_predictor *predictor);
const mf_iris *mf_predictor_iris(const mf_predictor *predictor);
mf_weights *mf_predictor_weights(mf_predictor *predictor);

/* Task embeddings of k masks. */
typedef struct mf_priors {
    int64_t k;
    float *level[MF_IRIS_LEVELS]; /* [k, 11, channels of the level], deepest first */
} mf_priors;                      /* starts as {0} */
void mf_priors_clear(mf_priors *priors);
MF_MUST_USE mf_status mf_priors_make(const mf_iris *iris, int64_t k, mf_priors *priors); /* zeros */
/* to[at] += factor * from[0] */
void mf_priors_add(const mf_iris *iris, mf_priors *to, int64_t at, const mf_priors *from,
                   float factor);

/* image f32 [crop], masks u8 [k, crop] (0 or 1) -> priors of k masks, made here. */
MF_MUST_USE mf_status mf_predictor_embed(mf_predictor *predictor, const float *image,
                                         const uint8_t *masks, int64_t k, mf_priors *priors);
/* How a volume is processed in windows: see window.h. */
typedef struct mf_segmenting {
    double overlap;
    bool uniform, repeat_last; /* as evaluate.py does */
    unsigned flips;            /* 1 z, 2 y, 4 x, or sums: also seen flipped along these axes */
    mf_status (*step)(void *user, int64_t done, int64_t total); /* as in window.h, or NULL */
    void *user;
} mf_segmenting;
/* image f32 [size] -> probability [count, size] of the task embeddings first .. first + count - 1.
 * With flips, the mean over all flips along any of the axes. */
MF_MUST_USE mf_status mf_predictor_segment(mf_predictor *predictor, const float *image,
                                           const int64_t size[3], const mf_priors *priors,
                                           int64_t first, int64_t count, const mf_segmenting *how,
                                           float *probability);
/* image f32 [crop] -> the deepest feature map [crop/16 .., C], channels last. */
MF_MUST_USE mf_status mf_predictor_features(mf_predictor *predictor, const float *image,
                                            float *features);

#endif
