/* prompt.h - prompts as the mask decoder reads them: points and boxes become tokens (few: on the
 * host), masks a map (in a program). */
#ifndef SAM2_PROMPT_H
#define SAM2_PROMPT_H

#include "widths.h"

#include <massflow/program.h>

enum { SAM2_POINT_LABELS = 4 }; /* outside, inside, first and second corner of a box */

/* What tokens are made of; borrowed from the model's tensors. */
typedef struct sam2_token_source {
    int64_t dim, image;
    const float *object_score;              /* [dim], or NULL */
    const float *iou;                       /* [dim] */
    const float *masks;                     /* [4,dim] */
    const float *frequencies;               /* [2,dim/2] */
    const float *labels[SAM2_POINT_LABELS]; /* [dim] each */
    const float *none;                      /* [dim] */
} sam2_token_source;

MF_MUST_USE mf_status sam2_token_source_of(const mf_tensors *t, const sam2_config *c,
                                           sam2_token_source *s);
/* Tokens that the decoder starts from: its own, then one a point. */
int64_t sam2_token_count(const sam2_token_source *s, int64_t points);
/* xy [points,2] px of the model's input, labels [points] (-1: none) -> tokens
 * [sam2_token_count,dim] */
void sam2_tokens(const sam2_token_source *s, int64_t points, const float *xy, const int32_t *labels,
                 float *tokens);

/* Logits of masks [n,4h,4h,1] -> [n,h*h,dim] */
mf_value sam2_mask_prompt(mf_program *p, const sam2_config *c, const sam2_widths *w,
                          mf_value logits);
/* Masks of pixels [n,image,image,1], 0 or 1 -> logits [n,4h,4h,1] */
mf_value sam2_mask_logits(mf_program *p, mf_value pixels);

#endif
