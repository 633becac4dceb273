/* sam2.c - plugin "sam2": things in slices by SAM 2, and followed through a scan. */
#include "sam2_stages.h"

MF_PLUGIN("sam2", &mf_stage_sam2_masks, &mf_stage_sam2_propagate, &mf_stage_sam2_segment)
