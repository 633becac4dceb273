/* rgb.h - shows a scan as a series of colour pictures: each channel is one window on its values. */
#ifndef WINDOW_RGB_H
#define WINDOW_RGB_H

#include <massflow/artifact.h>

/* Minimum mask sizes belong to a profile; the stages that make masks read them. */
typedef struct window_profile {
    const char *name;
    bool quantiles; /* range: percents of the values; else center and width in the scan's unit */
    bool uptake;    /* the scan must be in SUV */
    double range[3][2]; /* red, green, blue */
    int min_pixels, min_voxels;
} window_profile;

/* NULL for an unknown name. "auto" is resolved by modality: "CT", "PET", else as MR. */
const window_profile *window_profile_find(const char *name, const char *modality);

/* Axis to slice along (0 z, 1 y, 2 x): the one whose slices have the finest mean in-plane spacing;
 * axial where all are equal. */
int window_best_axis(const mf_grid *grid);

/* voxels [z, y, x] -> rgb u8 [n, h, w, 3]; slices keep the order of rows and columns of the array.
 * A value v becomes (v - low) / (high - low) * 255, clipped and truncated. `scale` is applied to
 * voxels first (1; or the factor to SUV). body: u8 [z, y, x] or NULL: quantiles are taken where it
 * is not 0. bounds gets low and high of each channel. */
MF_MUST_USE mf_status window_rgb_make(const mf_array *voxels, const window_profile *profile,
                                      double scale, const mf_array *body, int axis, mf_array **rgb,
                                      double bounds[3][2]);

#endif
