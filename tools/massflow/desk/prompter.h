/* prompter.h - SAM 2 on slices of one scan, in this process: what the encoder says of a slice is
 * kept, so that a click costs a decoding. On a slice it gives what sam2.segment gives there. Knows
 * no desk. One thread at a time. */
#ifndef MASSFLOW_DESK_PROMPTER_H
#define MASSFLOW_DESK_PROMPTER_H

#include <massflow/artifact.h>
#include <massflow/compute.h>

typedef struct prompter prompter;
/* model: an artifact of model.load, a SAM 2 with memory. device: as in mf_device_open. */
MF_MUST_USE mf_status prompter_new(const mf_artifact *model, const char *device, prompter **p);
void prompter_free(prompter *p); /* NULL is fine */
/* The scan: an artifact of window.rgb. What was kept of another one goes. */
MF_MUST_USE mf_status prompter_look(prompter *p, const mf_artifact *slices);

/* Prompts on one slice. axis: of arrays, 0 z, 1 y, 2 x. */
typedef struct prompter_prompts {
    int axis;
    int64_t slice;
    int64_t count;
    const double (*at)[2]; /* [count] row and column of the slice, pixel centres are whole */
    const int *labels; /* [count] 1 inside, 0 outside, 2 and 3 corners of a box, which come first */
} prompter_prompts;
/* The mask on the slice, u8 [rows, columns] 0 or 1, for free(). *encoded: the slice was not kept.
 */
MF_MUST_USE mf_status prompter_mask(prompter *p, const prompter_prompts *prompts, uint8_t **mask,
                                    int64_t *rows, int64_t *columns, bool *encoded);

#endif
