/* component.h - the largest component of a thresholded volume. */
#ifndef VOLUME_COMPONENT_H
#define VOLUME_COMPONENT_H

#include "orient.h"

/* The box of the largest component (six neighbours) of the voxels above `threshold`; false where
 * no voxel is above it. */
MF_MUST_USE mf_status crop_largest(const mf_array *voxels, double threshold, index_box *box,
                                   bool *found);

#endif
