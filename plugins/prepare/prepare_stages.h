/* prepare_stages.h - the stages of this plugin. */
#ifndef MF_PREPARE_STAGES_H
#define MF_PREPARE_STAGES_H

#include <massflow/stage.h>

extern const mf_stage mf_stage_mass_prepare, mf_stage_mass_labels;

#endif
