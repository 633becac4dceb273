/* surface.h - how far apart two outlines lie, in mm. */
#ifndef METRICS_SURFACE_H
#define METRICS_SURFACE_H

#include <massflow/array.h>

/* Squared Euclidean distance from each point of a grid to the nearest point whose value is 0, exact
 * (Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions", 2012). On entry
 * squared[z, y, x] is 0 at the points and INFINITY elsewhere. spacing: mm along z, y, x. */
MF_MUST_USE mf_status surface_distances(float *squared, const int64_t n[3],
                                        const double spacing[3]);

typedef struct overlap {
    int64_t a, b, both; /* voxels */
    double dice;        /* NaN where both are empty */
    double hd95, asd;   /* mm; NaN where one is empty */
} overlap;

/* Compares two label maps of one size [z, y, x] at one label. */
MF_MUST_USE mf_status overlap_measure(const int32_t *a, const int32_t *b, const int64_t n[3],
                                      const double spacing[3], int32_t label, overlap *o);

#endif
