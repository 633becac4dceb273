/* intensity.h - changes of a view's intensities, one call each, in place; f32 [z,y,x]. */
#ifndef MF_VIEWS_INTENSITY_H
#define MF_VIEWS_INTENSITY_H

#include <massflow/error.h>
#include <stdint.h>

void mf_intensity_multiply(float *voxels, int64_t count, float factor);
void mf_intensity_add(float *voxels, int64_t count, float value);

/* ((v - min) / range)^gamma * range + min, then mean and standard deviation (of n - 1) as before. A
 * constant view stays as it is. */
void mf_intensity_gamma(float *voxels, int64_t count, double gamma);

/* (v - mean) * factor + mean, clamped to the range that was there. */
void mf_intensity_contrast(float *voxels, int64_t count, double factor);

/* Gaussian of 2 ceil(3 sigma) + 1 voxels an axis, sigma in voxels; 0 beyond the borders. size: z y
 * x.
 */
MF_MUST_USE mf_status mf_intensity_blur(float *voxels, const int64_t size[3], double sigma);

/* Adds normal numbers of this deviation; voxel i's depends on key and i alone. */
void mf_intensity_noise(float *voxels, int64_t count, const uint32_t key[2], float deviation);

#endif
