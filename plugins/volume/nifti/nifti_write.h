/* nifti_write.h - writes NIfTI-1 files. */
#ifndef VOLUME_NIFTI_WRITE_H
#define VOLUME_NIFTI_WRITE_H

#include <massflow/artifact.h>

/* voxels [z, y, x] or [layer, z, y, x] of any type but f16; compressed when the path ends in .gz.
 * The place in the world stands in the file both as sform and as qform. */
MF_MUST_USE mf_status nifti_write(const char *path, const mf_grid *grid, const mf_array *voxels);

#endif
