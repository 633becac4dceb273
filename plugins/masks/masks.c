/* masks.c - plugin "masks": what is done with masks wherever they come from. */
#include "masks_stages.h"

MF_PLUGIN("masks", &labels_masks, &labels_volumes, &masks_labels, &masks_nms)
