/* encoder.h - the image encoder: Hiera (Ryali et al. 2023, arXiv 2306.00989) and a feature pyramid,
 * as a program. */
#ifndef SAM2_ENCODER_H
#define SAM2_ENCODER_H

#include "widths.h"

#include <massflow/program.h>

typedef struct sam2_encoded {
    mf_value stages[SAM2_STAGES]; /* [1,4h,4h,embed] .. [1,h/2,h/2,8*embed] */
    mf_value level2, level3;      /* of the pyramid: [1,h,h,dim], [1,h/2,h/2,dim] */
    mf_value high0, high1;        /* [1,4h,4h,dim/8], [1,2h,2h,dim/4]: what the decoder adds */
} sam2_encoded;

/* image [1,image,image,3], normalized; h = image / 16. The model's picture is level2. */
void sam2_encoder(mf_program *p, const sam2_config *c, const sam2_widths *w, mf_value image,
                  sam2_encoded *e);
/* Input image, outputs embed, high0, high1. */
void sam2_encoder_declare(mf_program *p, const sam2_config *c, const sam2_widths *w);

#endif
