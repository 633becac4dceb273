/* baselines.c - the plugin's entry: pretraining methods that mass.train is compared with. */
#include "baselines_stages.h"

MF_PLUGIN("baselines", &mf_stage_simclr_train, &mf_stage_moco_train, &mf_stage_dino_train,
          &mf_stage_genesis_train, &mf_stage_reconstruct_train, &mf_stage_supervised_train)
