/* mass.c - the plugin's entry. */
#include "mass_stages.h"

MF_PLUGIN("mass", &mf_stage_mass_init, &mf_stage_mass_train, &mf_stage_mass_segment,
          &mf_stage_mass_features, &mf_stage_probe_train)
