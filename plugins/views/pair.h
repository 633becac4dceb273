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
    double merge_prob; /* of unions of masks; 0 draws nothing for it */
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

#define MF_UNION_MOST 5 /* masks of a union */

/* Which masks of a sample each mask of a pair is made of: mask k of the pair is the union of
 * member[first[k]] .. member[first[k + 1] - 1]. At most half of the masks are unions. */
typedef struct mf_unions {
    int64_t member[MF_PAIR_MASKS_MAX * (MF_UNION_MOST + 1) / 2], first[MF_PAIR_MASKS_MAX + 1];
} mf_unions;

/* Draws `count` masks of 0 .. n - 1 of which some are unions, as the official code's sampler
 * `_load_and_crop_merge` does: u of 1 .. count / 2 (at least 1) are unions of 2 .. 5, and no mask
 * is in two. The unions come last. *drawn is false, and nothing is written, where n is less than
 * count + 2 or than what so many unions need. count: 1 .. MF_PAIR_MASKS_MAX. */
MF_MUST_USE mf_status mf_unions_draw(int64_t n, int64_t count, mf_random *random, mf_unions *unions,
                                     bool *drawn);

/* The pair (type pair) of a sample that `random` leads to. The sample may be lazy: only the crops
 * are read. Fails when the sample is smaller than a view, or has no mask. */
MF_MUST_USE mf_status mf_pair_make(const mf_artifact *sample, const mf_pair_settings *settings,
                                   mf_random *random, mf_artifact **pair);

#endif
