/* memory.h - SAM 2's memory as programs: what is remembered of a frame and its masks, and how
 * another frame looks at what is remembered. */
#ifndef SAM2_MEMORY_H
#define SAM2_MEMORY_H

#include "widths.h"

#include <massflow/program.h>

/* Memory attention of `batch` objects that share a frame and have equally many memories. Inputs
 * picture [1,h*h,dim], memory [batch,S,memory_dim], places [S,memory_dim], where S = slots*h*h
 * + extra: maps, then object pointers. Output picture [batch,h*h,dim]. */
enum { SAM2_POINTERS_MOST = 16 }; /* of objects, that a frame looks at */
typedef struct sam2_attention_shape {
    int64_t batch, slots, extra;
} sam2_attention_shape;
void sam2_attention_declare(mf_program *p, const sam2_config *c, const sam2_widths *w,
                            const sam2_attention_shape *s);

/* Inputs picture [h,h,dim] and masks: logits f32 [batch,4h,4h,1] (tracked), or u8
 * [batch,image,image,1], 0 or 1 (prompted). Output memory [batch,h,h,memory_dim]. */
typedef struct sam2_memory_shape {
    int64_t batch;
    bool pixels;
} sam2_memory_shape;
void sam2_memory_declare(mf_program *p, const sam2_config *c, const sam2_widths *w,
                         const sam2_memory_shape *s);

#endif
