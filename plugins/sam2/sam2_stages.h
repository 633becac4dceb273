/* sam2_stages.h - the stages of this plugin. */
#ifndef SAM2_STAGES_H
#define SAM2_STAGES_H

#include <massflow/stage.h>

extern const mf_stage mf_stage_sam2_masks, mf_stage_sam2_propagate, mf_stage_sam2_segment;

#endif
