/* itk_volume.h - the one door to ITK: C outside, C++ inside.
 *
 * Nothing of its exceptions, warnings and left-handed habits passes through: world coordinates
 * are RAS+ here, errors are mf_status, and nothing is printed. */
#ifndef VOLUME_ITK_VOLUME_H
#define VOLUME_ITK_VOLUME_H

#include <massflow/names.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes voxels [z, y, x] or [layer, z, y, x], compressed: as .nrrd, else as MetaImage. With names
 * a .nrrd is a Slicer segmentation, a segment for each; NULL or none: it is not. */
MF_MUST_USE mf_status itk_write(const char *path, const mf_grid *grid, const mf_array *voxels,
                                const mf_names *names);

#ifdef __cplusplus
}
#endif
#endif
