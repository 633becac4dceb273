/* masks_stages.h - the stages of the plugin "masks". */
#ifndef MASKS_STAGES_H
#define MASKS_STAGES_H

#include <massflow/stage.h>

extern const mf_stage labels_masks, labels_volumes, masks_labels, masks_nms;

#endif
