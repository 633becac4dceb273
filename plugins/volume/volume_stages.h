/* volume_stages.h - the stages of the plugin "volume". */
#ifndef VOLUME_STAGES_H
#define VOLUME_STAGES_H

#include <massflow/stage.h>

extern const mf_stage volume_load, labels_load;

#endif
