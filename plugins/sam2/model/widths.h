/* widths.h - the widths of hidden layers: free choices that stand in the shapes of tensors alone.
 */
#ifndef SAM2_WIDTHS_H
#define SAM2_WIDTHS_H

#include "config.h"

typedef struct sam2_widths {
    int64_t trunk[SAM2_STAGES]; /* perceptrons of a stage's blocks */
    int64_t prompt[2];          /* a mask prompt at half and a quarter of its size */
    int64_t decoder, iou, score, hyper;
    int64_t pointer, memory, fuser;
    int64_t mask[4]; /* a mask on its way into a memory, at 1/2 .. 1/16 of the picture */
} sam2_widths;

/* Of tensors that sam2_config_from has checked. */
MF_MUST_USE mf_status sam2_widths_of(const mf_tensors *t, const sam2_config *c, sam2_widths *w);

#endif
