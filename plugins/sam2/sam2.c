/* sam2.c - plugin "sam2": class-agnostic masks of slices by SAM 2, and their propagation through a
 * scan. */
#include "sam2_stages.h"

MF_PLUGIN("sam2", &mf_stage_sam2_masks, &mf_stage_sam2_propagate, &mf_stage_sam2_segment)
