/* baselines_stages.h - the stages of this plugin. */
#ifndef MF_BASELINES_STAGES_H
#define MF_BASELINES_STAGES_H

#include <massflow/stage.h>

extern const mf_stage mf_stage_simclr_train, mf_stage_moco_train, mf_stage_dino_train;
extern const mf_stage mf_stage_genesis_train, mf_stage_reconstruct_train, mf_stage_supervised_train;

#endif
