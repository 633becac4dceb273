/* voxels.h - what values a scan holds, and the smallest dtype that holds them exactly. */
#ifndef VOLUME_VOXELS_H
#define VOLUME_VOXELS_H

#include <massflow/array.h>

typedef struct voxel_facts {
    double min, max; /* of the finite ones; 0 where there are none */
    int64_t nan, inf;
    bool whole;
} voxel_facts;
mf_status voxels_measure(const mf_array *voxels, voxel_facts *facts);
/* Reals that are all whole become integers, wide integers narrow ones; 64-bit reals are rounded to
 * 32 bits. */
mf_status voxels_narrow(mf_array **voxels, const voxel_facts *facts);
/* v * slope + intercept, in integers where slope, intercept and voxels are whole. */
mf_status voxels_scale(mf_array **voxels, double slope, double intercept);
/* NaN and infinity become 0. */
void voxels_zero_odd(mf_array *voxels);
/* Refuses 64-bit integers that were read from an unsigned type and reach beyond the signed one. */
mf_status voxels_check_unsigned(const char *path, const mf_array *voxels);
/* Turns each voxel to the other byte order. */
void voxels_swap(mf_array *voxels);

#endif
