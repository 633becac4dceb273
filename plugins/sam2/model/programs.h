/* programs.h - compiled programs of one model on one device, by shape: the most recently used stay,
 * as many as the memory allows. */
#ifndef SAM2_PROGRAMS_H
#define SAM2_PROGRAMS_H

#include "decoder.h"
#include "memory.h"

typedef enum sam2_program_kind {
    SAM2_ENCODER,
    SAM2_DECODER,
    SAM2_ATTENTION,
    SAM2_MEMORY
} sam2_program_kind;

typedef struct sam2_shape {
    sam2_program_kind kind; /* which of those below counts */
    sam2_decoder_shape decoder;
    sam2_attention_shape attention;
    sam2_memory_shape memory;
} sam2_shape;

typedef struct sam2_programs sam2_programs;
/* t: checked tensors. budget: most device bytes of the programs together; 0: half of the device. */
MF_MUST_USE mf_status sam2_programs_new(mf_device *device, const sam2_config *c,
                                        const mf_tensors *t, size_t budget, sam2_programs **all);
void sam2_programs_free(sam2_programs *all);
/* Borrowed until the next call. A program that does not fit is MF_NO_MEMORY. */
MF_MUST_USE mf_status sam2_programs_get(sam2_programs *all, const sam2_shape *shape,
                                        mf_executable **executable);
/* What `count` shapes, used one after another, take of the memory of a device like `device`,
 * weights and all; `budget` as in sam2_programs_new. Batches are halved while they do not fit. */
MF_MUST_USE mf_status sam2_programs_count(mf_device *device, const sam2_config *c,
                                          const sam2_widths *w, size_t budget,
                                          const sam2_shape *shapes, int count, size_t *bytes);
/* The largest decoder that is kept for as many tokens and the like, of at least `batch` prompts and
 * at most twice as many; `batch` where there is none. */
int64_t sam2_programs_batch(const sam2_programs *all, const sam2_decoder_shape *decoder);

#endif
