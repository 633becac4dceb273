/* pair.h - one training pair: two overlapping crops of a sample, each with its own distortions. */
#ifndef MF_VIEWS_PAIR_H
#define MF_VIEWS_PAIR_H

#include "view.h"

typedef struct mf_pair_settings {
    int64_t size[3];      /* z y x, of each view */
    int64_t margin;       /* voxels that a crop has more than its view, along each axis */
    double overlap_ratio; /* minimum fraction of a crop, along each axis, that the other covers */
    int64_t masks;        /* of each pair */
    double ones_mask_prob;
    bool visible_only;
    mf_view_settings weak, strong; /* reference, query */
} mf_pair_settings;

#define MF_PAIR_MASKS_MAX 64

/* Two crops lo .. lo + size (z y x) of an image of `shape`, drawn as the official code draws them:
 * size is view + margin, at most the image; both hold the anchor. */
typedef struct mf_crops {
    int64_t size[3], lo[2][3];
} mf_crops;
void mf_crops_draw(const int64_t shape[3], const mf_pair_settings *settings, mf_random *random,
                   mf_crops *crops);

/* `count` of 0 .. n - 1, each at most once, ascending. */
MF_MUST_USE mf_status mf_subset_draw(int64_t n, int64_t count, mf_random *random, int64_t *chosen);

/* The pair (type pair) of a sample that `random` leads to. The sample may be lazy: only the crops
 * are read. Fails when the sample is smaller than a view, or has no mask. */
MF_MUST_USE mf_status mf_pair_make(const mf_artifact *sample, const mf_pair_settings *settings,
                                   mf_random *random, mf_artifact **pair);

#endif
