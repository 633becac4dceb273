/* view.h - what may happen to one view of a sample, and the draws of it. */
#ifndef MF_VIEWS_VIEW_H
#define MF_VIEWS_VIEW_H

#include "affine.h"

#include <massflow/stage.h>

/* Ranges are lists of two: lowest and highest. */
typedef struct mf_view_settings {
    double affine_prob;
    mf_real3 scale, translate, shear; /* x y z; shear, translate: in half extents of the crop */
    mf_int3 rotate;                   /* degrees */
    double brightness_prob, brightness_additive_prob, gamma_prob, contrast_prob, blur_prob,
        gaussian_noise_prob;
    mf_reals brightness_range, gamma_range, contrast_range, blur_range; /* blur: sigma in voxels */
    double brightness_additive_std, gaussian_noise_std; /* in standard deviations of the scan */
} mf_view_settings;

/* Draws the transform of the affine map. */
void mf_view_draw_affine(const mf_view_settings *settings, mf_random *random, mf_affine *affine);
/* Brightness, added brightness, gamma, contrast, blur, noise, each by its probability; voxels f32
 * [size], z y x, in place. */
MF_MUST_USE mf_status mf_view_change_intensities(const mf_view_settings *settings,
                                                 const int64_t size[3], mf_random *random,
                                                 float *voxels);
/* Says in the attribute `sample` which sample an item shows, for errors of who trains on it. After
 * an error there is no item. */
MF_MUST_USE mf_status mf_view_name(const char *sample, mf_artifact **item);
/* Says in the attribute `scan` which image an item shows: a digest of its size and of the
 * middle of its middle slice, so that samples of one image with other masks, or under other names,
 * have the same. After an error there is no item. */
MF_MUST_USE mf_status mf_view_mark_scan(const mf_artifact *sample, mf_artifact **item);
/* The rule of a range; `name` as the user writes it. */
MF_MUST_USE mf_status mf_view_check_range(const mf_reals *range, const char *name);

#endif
