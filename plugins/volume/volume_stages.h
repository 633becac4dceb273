/* volume_stages.h - the stages of the plugin "volume". */
#ifndef VOLUME_STAGES_H
#define VOLUME_STAGES_H

#include <massflow/stage.h>

/* mf_stage.parts of both: the voxels of a header, the other file of a pair. */
MF_MUST_USE mf_status volume_parts(const char *param, const char *path, mf_part_call call,
                                   void *self);

extern const mf_stage volume_load, labels_load, volume_crop, labels_merge, volume_resample,
    labels_resample, volume_pad, volume_window, labels_remap;

/* For scan_options.stop; `task` is the stage's mf_task. */
static inline MF_MUST_USE mf_status volume_stop(void *task)
{
    return mf_cancel_point(task);
}

#endif
