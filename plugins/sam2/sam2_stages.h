/* sam2_stages.h - the stages of this plugin. */
#ifndef SAM2_STAGES_H
#define SAM2_STAGES_H

#include <massflow/stage.h>

/* Parameters that propagation has from seeds and from prompts alike: lines of the tables. */
#define SAM2_OBJECT_PARAMS(s)                                                                      \
    MF_INT(s, fill_hole_area, "-1", -1, 1e6, "pixels",                                             \
           "Maximum area of holes that are filled, in pixels of the low-resolution logits of a "   \
           "slice. -1: 8 for a model of 1024 px, scaled for others. 0: none."),                    \
        MF_INT(s, max_empty_slices, "0", 0, 1e6, "slices",                                         \
               "An object ends after this many consecutive slices without it. 0: no limit, it "    \
               "may reappear."),                                                                   \
        MF_INT_MARKED(s, objects_per_batch, "16", 1, 1024, "", MF_NO_CACHE,                        \
                      "Objects per batch of the model. It is halved if device memory is short.")
#define SAM2_FEATURE_PARAM(s)                                                                      \
    MF_INT_MARKED(s, feature_cache, "2048", 0, 1e7, "MiB", MF_NO_CACHE,                            \
                  "Host memory for encoded slices, which are used again.")
#define SAM2_MEMORY_PARAM(s)                                                                       \
    MF_INT_MARKED(s, device_memory, "0", 0, 1e7, "MiB", MF_NO_CACHE,                               \
                  "Maximum device memory of the model. 0: chosen from the device.")

extern const mf_stage mf_stage_sam2_masks, mf_stage_sam2_propagate, mf_stage_sam2_segment;

#endif
