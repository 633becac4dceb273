/* predictor.h - one SAM 2 model on one device: what it sees in a picture, and the masks that
 * prompts make of it. All arrays are host memory, row-major, channels last; h = image / 16. */
#ifndef SAM2_PREDICTOR_H
#define SAM2_PREDICTOR_H

#include "config.h"

#include <massflow/compute.h>

typedef struct sam2_predictor sam2_predictor;
/* weights: checked by sam2_config_from, f32, original names. budget: most device bytes for
 * programs, 0: half of the device. */
MF_MUST_USE mf_status sam2_predictor_new(mf_device *device, const sam2_config *config,
                                         const mf_tensors *weights, size_t budget,
                                         sam2_predictor **p);
void sam2_predictor_free(sam2_predictor *p);
const sam2_config *sam2_predictor_config(const sam2_predictor *p);

/* What the encoder says of one picture. */
typedef struct sam2_features {
    float *embed; /* [h,h,dim] without no_mem_embed */
    float *high0; /* [4h,4h,dim/8] */
    float *high1; /* [2h,2h,dim/4] */
} sam2_features;  /* starts as {0} */
void sam2_features_clear(sam2_features *f);
/* image [image,image,3], normalized */
MF_MUST_USE mf_status sam2_encode(sam2_predictor *p, const float *image, sam2_features *f);

/* Prompts on one picture, equally many points each. */
typedef struct sam2_prompts {
    int64_t batch, points; /* points of each; may be 0 */
    const float *xy;       /* [batch,points,2] px of the model's input, BEFORE the shift by 0.5 */
    const int32_t
        *labels;        /* [batch,points]: 1 inside, 0 outside, 2 and 3 corners of a box, -1 none */
    bool pad;           /* one more point with label -1 behind them (official: unless there is a
                         * box apart from the points) */
    const float *masks; /* [batch,4h,4h] logits, or NULL */
} sam2_prompts;
/* The caller's arrays; any may be NULL. */
typedef struct sam2_answers {
    float *logits;       /* [batch,4,4h,4h]: 0 the single mask, 1..3 the three */
    float *iou;          /* [batch,4] */
    float *object_score; /* [batch] logits; 10 where the model has none */
} sam2_answers;
/* The most prompts that are decoded at once. */
int64_t sam2_part_batch(const sam2_config *c);
/* The picture is one without memory (no_mem_embed is added). Any batch: it is cut in parts that fit
 * the device. */
MF_MUST_USE mf_status sam2_decode(sam2_predictor *p, const sam2_features *f,
                                  const sam2_prompts *prompts, sam2_answers *answers);

/* The single mask, or the best of three where it is not stable (its areas at logits +0.05 and -0.05
 * differ by more than 2%): index 0..3 for each. Reads logits and iou. */
void sam2_choose_single(const sam2_config *c, const sam2_answers *answers, int64_t batch,
                        int32_t *index);
/* The best of three by predicted IoU: 1..3. iou [4] */
int32_t sam2_choose_best(const float *iou);

#endif
