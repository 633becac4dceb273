/* mass.c - the plugin's entry. */
#include "mass_stages.h"

static const mf_type model_type = {.name = "model", .reads = ".safetensors", .read = mf_read_model};
static const mf_type *const types[] = {&model_type, NULL};

MF_PLUGIN_WITH_TYPES("mass", types, &mf_stage_model_load, &mf_stage_mass_init, &mf_stage_mass_train,
                     &mf_stage_mass_segment, &mf_stage_mass_features, &mf_stage_probe_train)
