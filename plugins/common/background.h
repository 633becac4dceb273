/* background.h - whether a scan has a background, and where the patient is then. */
#ifndef MF_PLUGINS_BACKGROUND_H
#define MF_PLUGINS_BACKGROUND_H

#include "normalize.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mf_background_kind {
    MF_BACKGROUND_SOME,
    MF_BACKGROUND_NONE,     /* the body is the whole volume, as in what follows */
    MF_BACKGROUND_CONSTANT, /* one value everywhere, or none */
    MF_BACKGROUND_ALL       /* nothing would be left */
} mf_background_kind;

/* What was found, all as shares of the volume. */
typedef struct mf_background {
    mf_background_kind kind;
    mf_modality modality;
    int64_t inside;   /* voxels of the body */
    double body;      /* their share */
    double padding;   /* voxels that are not finite, or one constant at the border */
    double air;       /* other background */
    bool constant;    /* there is a constant padding: */
    double value;     /* its value */
    double threshold; /* air is at most this, in the scan's unit */
    bool smoothed;    /* and so are means of 3 x 3 x 3 voxels, for single ones are too noisy */
    bool bright;      /* MR, PET: the darkest voxels are too bright for air */
    double sure;      /* MR, PET: dark regions at the border, a share of what is no padding */
    double doubtful;  /* dark regions at the border that do not look like air: kept */
    double level;     /* MR, PET: the median of dark regions at the border */
    double spread;    /* MR, PET: half of the way from percentile 16 to 84 of these */
    double clipped;   /* the lowest value at the border, which may be clipped tissue: kept */
} mf_background;

/* Finds the body: what is neither padding nor air, holes filled slice by slice along z; everything
 * where there is no background. Where there is air, parts of less than a fiftieth of the largest
 * are dropped: noise in the air, a table.
 *
 * What may be tissue is kept: a mask that is too large costs little, one that is too small loses
 * data. What was in doubt is told.
 *
 * Padding: voxels that are not finite, and regions of the commonest value on the six faces of the
 * volume, if they are pockets (below), hold 0.5% of the volume, and that value is the lowest of all
 * or fills four of the eight corners. The lowest value may instead be tissue that was clipped, and
 * is kept: at most 5% of the volume, where at least half as many voxels hold the highest value
 * (percentiles); in CT a value above -950 HU (a window) that does not hold the four edges of the
 * volume along any axis.
 * Air in CT: pockets of voxels at most `threshold` of which half are at most -950 HU; voxels above
 * that are lung even with emphysema (Gevenois et al. 1995). Where nothing but dark voxels
 * lies within reach, means of 3 x 3 x 3 voxels must have a median of at most -995 HU, or of at most
 * 18 HU above their percentile 16: lung with emphysema varies more than air does.
 * Air in MR and PET: pockets of voxels at most T. T is first a tenth of the way from percentile 2
 * to 98 of what is no padding (as BET begins, Smith 2002); it must not be above a quarter of
 * percentile 98, counted from 0, or from the lowest value where that is negative: the darker one of
 * two tissues is no air. Then T goes down to the lowest valley of the histogram below it that has
 * 1.7 times as many voxels on both sides, if there is one: what is above is dark tissue beside air.
 * A voxel is surely air if 95% of the voxels around it, within 5 mm along each axis (at least a
 * voxel, at most a tenth of the volume), are at most T. From the percentiles
 * 16, 50 and 84 of these T becomes the 50th + 5 times the larger of the two steps, if that is lower
 * and leaves half of the sure voxels: for noise as magnitude images have it (Rayleigh; Gudbjartsson
 * and Patz 1995) 7 voxels of air in a million are above that. Air is what is at most T and within
 * reach of a sure voxel (a morphological opening). There is a background if 5% of what is no
 * padding are surely air; else all is tried again on means of 3 x 3 x 3 voxels, where noise may
 * hide the air, and then 20% must be. The sure voxels of the scan must look like air (is_noise in
 * background.c): skewed noise about no signal. A pocket is a 6-connected region with at least a
 * third as much surface on the volume's border or on padding as on other tissue: the lung that is
 * cut off by the border has less, the air around a body more.
 *
 * voxels: f32 [z,y,x]; spacing: mm along z, y, x; body: u8 [z,y,x], 1 inside. */
MF_MUST_USE mf_status mf_background_find(const float *voxels, const int64_t shape[3],
                                         const double spacing[3], mf_modality modality,
                                         double threshold, uint8_t *body, mf_background *found);

enum { MF_BACKGROUND_WORDS = 512 }; /* room for: */
/* One sentence: what was taken, and why. */
void mf_background_words(const mf_background *found, char *words, size_t size);

#endif
