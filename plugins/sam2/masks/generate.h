/* generate.h - the automatic mask generator: a grid of points on a picture and its crops, masks
 * that the model is sure of, each proposal once. Follows the official SAM2AutomaticMaskGenerator,
 * with its names; knows the model only by what it asks of it. */
#ifndef SAM2_GENERATE_H
#define SAM2_GENERATE_H

#include "../model/predictor.h"
#include "../shared/patch.h"
#include "../shared/picture.h"

/* Official names; ranges are the caller's to check. */
typedef struct sam2_generate_options {
    int64_t points_per_side, points_per_batch;
    double pred_iou_thresh, stability_score_thresh, stability_score_offset, mask_threshold;
    double box_nms_thresh, crop_nms_thresh, crop_overlap_ratio;
    int64_t crop_n_layers, crop_n_points_downscale_factor;
    int64_t min_mask_region_area; /* pixels of the low-resolution logits; 0: none */
    bool use_m2m, multimask_output;
    const double *point_grids; /* [grid_points, 2] x y in 0..1 for every layer, or NULL: by side */
    int64_t grid_points;
    int threads; /* of the host, 1 or more; they change nothing */
} sam2_generate_options;

/* What answers: the model, or a test. */
typedef struct sam2_eye {
    void *self;
    int64_t image; /* edge of the model's input; logits are [image / 4, image / 4] */
    /* Further prompts are about this crop. */
    mf_status (*look)(void *self, const sam2_picture *crop);
    mf_status (*decode)(void *self, const sam2_prompts *prompts, sam2_answers *answers);
    void (*choose)(void *self, const sam2_answers *answers, int64_t batch, int32_t *index);
    /* Between batches; a place to stop. */
    mf_status (*step)(void *self, int64_t done, int64_t total);
} sam2_eye;

typedef struct sam2_proposal {
    sam2_patch patch; /* on the whole picture; never empty */
    float iou, stability;
    float point[2];  /* x y, px of the picture */
    int32_t crop[4]; /* x0 y0 x1 y1, half-open */
    float box[4];    /* x0 y0 x1 y1 of the outermost pixels, as official code has it */
} sam2_proposal;

typedef struct sam2_proposals {
    sam2_proposal *item;
    int64_t count;
} sam2_proposals; /* starts as {0} */
void sam2_proposals_clear(sam2_proposals *t);

/* Crops of a picture, the whole first: x0 y0 x1 y1 half-open, and the layer of each. Official crops
 * of no width are left out. *boxes: [count, 5], for free(). */
MF_MUST_USE mf_status sam2_crop_boxes(int64_t h, int64_t w, int64_t layers, double overlap,
                                      int32_t (**boxes)[5], int64_t *count);

/* Greedy suppression of boxes [count, 4] (x0 y0 x1 y1) by score, the highest first, the first of
 * equals. keep: [count], the indices that stay, in that order; how many. torchvision's nms. */
MF_MUST_USE mf_status sam2_box_nms(const float *boxes, const float *scores, int64_t count,
                                   double threshold, int64_t *keep, int64_t *kept);

/* Batches of points that a picture takes, for progress. */
MF_MUST_USE mf_status sam2_generate_batches(int64_t h, int64_t w, const sam2_generate_options *o,
                                            int64_t *batches);

/* The masks of a picture in official order: with crops those of the smallest first, else by
 * predicted IoU. */
MF_MUST_USE mf_status sam2_generate(const sam2_eye *eye, const sam2_picture *picture,
                                    const sam2_generate_options *o, sam2_proposals *proposals);

#endif
