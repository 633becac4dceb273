/* crop.h - boxes of volumes. */
#ifndef MF_MASS_CROP_H
#define MF_MASS_CROP_H

#include <stddef.h>
#include <stdint.h>

/* The box [lo, lo + crop) of src [size], z y x all, zeros where it lies outside; elements of
 * `bytes`. */
void mf_scan_crop(const void *src, const int64_t size[3], const int64_t lo[3],
                  const int64_t crop[3], size_t bytes, void *dst);
/* The other way: src [crop] at the place `lo` of dst [size], in which it lies as a whole. */
void mf_scan_paste(const void *src, const int64_t crop[3], const int64_t lo[3],
                   const int64_t size[3], size_t bytes, void *dst);

#endif
