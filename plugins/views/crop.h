/* crop.h - one augmented crop of a labelled sample, to train on its labels. */
#ifndef MF_VIEWS_CROP_H
#define MF_VIEWS_CROP_H

#include "view.h"

typedef struct mf_crop_settings {
    int64_t size[3]; /* z y x, of the crop that comes out */
    int64_t margin;  /* voxels that are cut more along each axis, before distortions */
    mf_view_settings view;
} mf_crop_settings;

/* The crop (type crop) of a sample with labels that `random` leads to: `size` + `margin` at a
 * random place, distorted with its intensities changed, then its center. The sample may be lazy.
 * Fails when it is smaller than `size`, or has no labels. The attribute `sample` is its content id.
 */
MF_MUST_USE mf_status mf_crop_make(const mf_artifact *sample, const mf_crop_settings *settings,
                                   mf_random *random, mf_artifact **crop);

extern const mf_stage mf_stage_augment_crops;

#endif
