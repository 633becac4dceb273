/* geometry.h - from an affine in a file to a grid. */
#ifndef VOLUME_GEOMETRY_H
#define VOLUME_GEOMETRY_H

#include <massflow/artifact.h>

/* Splits an affine (RAS+, three rows of four) into spacing, direction and origin of `grid`. Axes
 * that are not at right angles, and voxels of no sensible size, are refused. */
MF_MUST_USE mf_status geometry_split(const char *path, const double affine[12], mf_grid *grid);

#endif
