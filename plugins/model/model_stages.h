/* model_stages.h - the stages of this plugin. */
#ifndef MF_MODEL_STAGES_H
#define MF_MODEL_STAGES_H

#include <massflow/stage.h>

extern const mf_stage mf_stage_model_load;

/* Any file of weights as an artifact of type model, for a look at it. */
MF_MUST_USE mf_status mf_read_model(const char *path, mf_artifact **model);

#endif
