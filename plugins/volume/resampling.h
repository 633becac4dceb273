/* resampling.h - what volume.resample and labels.resample share. */
#ifndef VOLUME_RESAMPLING_H
#define VOLUME_RESAMPLING_H

#include <massflow/stage.h>

/* The grid that a task resamples `from` to: that of its input `like`, or that of the spacing, where
 * all three are above 0. One of the two must be given. *like: NULL without. */
MF_MUST_USE mf_status resampling_grid(mf_task *t, const mf_grid *from, const mf_real3 *spacing,
                                      mf_grid *to, const mf_artifact **like);

#endif
