/* decoder.h - the mask decoder of SAM 2 as a program: tokens and the picture look at each other
 * twice, then each mask token makes a filter for the picture at a quarter of its full size. */
#ifndef SAM2_DECODER_H
#define SAM2_DECODER_H

#include "widths.h"

#include <massflow/program.h>

typedef enum sam2_mask_kind { SAM2_NO_MASK, SAM2_MASK_LOGITS, SAM2_MASK_PIXELS } sam2_mask_kind;

typedef struct sam2_decoder_shape {
    int64_t batch, tokens; /* prompts; tokens of each */
    bool own_picture; /* each prompt has its own (after memory attention), else all share one */
    bool no_memory;   /* the learned embedding for that is added to the picture */
    sam2_mask_kind mask;
} sam2_decoder_shape;

/* Inputs picture [1 or batch,h*h,dim], tokens [batch,tokens,dim], high0 [4h,4h,dim/8], high1
 * [2h,2h,dim/4], and masks (f32 [batch,4h,4h,1] or u8 [batch,image,image,1]). Outputs logits
 * [batch,4,16*h*h], iou [batch,4]; score [batch,1] where the model has it; pointers [batch,4,dim]
 * where it has a memory. */
void sam2_decoder_declare(mf_program *p, const sam2_config *c, const sam2_widths *w,
                          const sam2_decoder_shape *s);

#endif
