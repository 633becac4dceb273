/* voxels.h - label maps as stages of this plugin compare them. */
#ifndef METRICS_VOXELS_H
#define METRICS_VOXELS_H

#include <massflow/artifact.h>

/* The voxels of a label map or mask as i32; the caller unrefs. */
MF_MUST_USE mf_status voxels_read(const mf_artifact *a, mf_array **wide);
/* Whether what is called `a` and `b` of a case lie on one grid; an error that says their sizes. */
MF_MUST_USE mf_status voxels_check_grids(const char *name, const char *a, const mf_grid *grid_a,
                                         const char *b, const mf_grid *grid_b);

#endif
