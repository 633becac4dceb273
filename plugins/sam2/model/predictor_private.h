/* predictor_private.h - what track.c asks of a predictor. */
#ifndef SAM2_PREDICTOR_PRIVATE_H
#define SAM2_PREDICTOR_PRIVATE_H

#include "predictor.h"
#include "programs.h"
#include "prompt.h"

struct sam2_predictor {
    sam2_config config;
    sam2_programs *programs;
    mf_tensors small; /* what the host reads */
    sam2_token_source source;
};

/* A run of the decoder; shape.batch is how many there are. */
typedef struct sam2_decoding {
    sam2_decoder_shape shape;
    const float *picture; /* [1 or batch,h*h,dim] */
    const sam2_features *features;
    const float *tokens; /* [batch,tokens,dim] */
    const void *masks;   /* as shape.mask says */
    /* Results, any may be NULL: */
    float *logits;   /* [batch,4,4h,4h] */
    float *iou;      /* [batch,4] */
    float *score;    /* [batch] */
    float *pointers; /* [batch,4,dim] */
} sam2_decoding;
MF_MUST_USE mf_status sam2_decoder_run(sam2_predictor *p, const sam2_decoding *d);

/* Tokens [batch,*tokens,dim] of prompts, for free(). */
MF_MUST_USE mf_status sam2_prompts_embed(const sam2_predictor *p, const sam2_prompts *prompts,
                                         int64_t *tokens, float **made);
/* Whether the prompts make sense at all. */
MF_MUST_USE mf_status sam2_prompts_check(const sam2_prompts *prompts);
/* count * size bytes, zeroed; MF_NO_MEMORY with `what` in it. */
MF_MUST_USE mf_status sam2_allocate(const char *what, int64_t count, size_t size, void *made);

#endif
