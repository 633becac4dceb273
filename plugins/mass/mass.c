/* mass.c - the plugin's entry. */
#include "embedding.h"
#include "embedding_torch.h"
#include "mass_stages.h"

static const mf_type embedding_type = {.name = "embedding",
                                       .suffixes = ".pth .pt",
                                       .write = mf_embedding_write_torch,
                                       .check = mf_embedding_check};
static const mf_type *const types[] = {&embedding_type, NULL};

MF_PLUGIN_WITH_TYPES("mass", types, &mf_stage_mass_init, &mf_stage_mass_train,
                     &mf_stage_mass_segment, &mf_stage_mass_features, &mf_stage_mass_embed,
                     &mf_stage_probe_train, &mf_stage_embedding_load, &mf_stage_mass_finetune,
                     &mf_stage_mass_normalize, &mf_stage_mass_classify, &mf_stage_mass_inflate)
