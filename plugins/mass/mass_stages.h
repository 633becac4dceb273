/* mass_stages.h - the stages of this plugin. */
#ifndef MF_MASS_STAGES_H
#define MF_MASS_STAGES_H

#include <massflow/stage.h>

extern const mf_stage mf_stage_mass_init, mf_stage_mass_train, mf_stage_mass_segment,
    mf_stage_mass_features, mf_stage_mass_embed, mf_stage_probe_train, mf_stage_embedding_load,
    mf_stage_mass_finetune, mf_stage_mass_normalize, mf_stage_mass_classify, mf_stage_mass_inflate;

#endif
