/* model.c - the plugin's entry. */
#include "model_check.h"
#include "model_stages.h"
#include "model_write.h"

static const mf_type model_type = {.name = "model",
                                   .suffixes = ".pth .pt",
                                   .write = mf_write_torch_model,
                                   .reads = ".safetensors .pt .pth",
                                   .read = mf_read_model,
                                   .check = mf_model_check};
static const mf_type *const types[] = {&model_type, NULL};

MF_PLUGIN_WITH_TYPES("model", types, &mf_stage_model_load)
