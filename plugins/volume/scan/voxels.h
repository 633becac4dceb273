/* voxels.h - what values a scan holds, and the smallest dtype that holds them exactly. */
#ifndef VOLUME_VOXELS_H
#define VOLUME_VOXELS_H

#include <massflow/array.h>

typedef struct voxel_facts {
    double min, max; /* of the finite ones that 32-bit reals can hold; 0 where there are none */
    int64_t nan, inf;
    int64_t beyond; /* finite 64-bit reals that would be infinite in 32 bits */
    bool faint;     /* 64-bit reals of which too little would be left in 32 bits */
    bool whole;
} voxel_facts;
MF_MUST_USE mf_status voxels_measure(const mf_array *voxels, voxel_facts *facts);
/* Reals that are all whole become integers, wide integers narrow ones; 64-bit reals are rounded to
 * 32 bits. */
MF_MUST_USE mf_status voxels_narrow(mf_array **voxels, const voxel_facts *facts);
/* v * slope + intercept: in integers where slope, intercept and voxels are whole, in 64-bit reals
 * where 32 bits cannot hold the values, else in 32-bit reals. */
MF_MUST_USE mf_status voxels_scale(mf_array **voxels, double slope, double intercept);
/* Makes whole numbers of the values of a label map that lie within 1e-3 of one (such maps were
 * stored as reals or scaled), and narrows them. Refuses others, with the value and its place along
 * the array's axes x, y, z. *rounded: how many were not whole. */
MF_MUST_USE mf_status voxels_round_labels(const char *path, mf_array **voxels, int64_t *rounded);
/* NaN, infinity and what 32-bit reals cannot hold become 0. */
void voxels_zero_odd(mf_array *voxels);
/* Refuses 64-bit integers that were read from an unsigned type and reach beyond the signed one. */
MF_MUST_USE mf_status voxels_check_unsigned(const char *path, const mf_array *voxels);
/* Turns each voxel to the other byte order. */
void voxels_swap(mf_array *voxels);

#endif
