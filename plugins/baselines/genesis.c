/* genesis.c - see genesis.h. */
#include "genesis.h"
#include "curve.h"
#include "painting.h"

#include <massflow/memory.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

mf_status mf_genesis_check(const int64_t crop[3])
{
    for (int a = 0; a < 3; a++)
        if (crop[a] < MF_PAINTING_LEAST)
            return mf_fail(MF_INVALID,
                           "a crop of %lld x %lld x %lld (z y x): the boxes of Models Genesis need "
                           "%d voxels along each side",
                           (long long)crop[0], (long long)crop[1], (long long)crop[2],
                           MF_PAINTING_LEAST);
    return MF_OK;
}

/* With probability `chance`. It draws once in any case, so that one choice never moves another. */
static bool happens(mf_random *random, double chance)
{
    return mf_random_uniform(random, 0, 1) < chance;
}

static mf_status bend(mf_random *random, int64_t count, float *unit)
{
    mf_curve *curve = malloc(sizeof *curve);
    if (!curve)
        return mf_no_memory(sizeof *curve, "a curve");
    mf_curve_draw(random, curve);
    for (int64_t i = 0; i < count; i++)
        unit[i] = (float)mf_curve_at(curve, (double)unit[i]);
    free(curve);
    return MF_OK;
}

/* from, to: intensities 0 .. 1. */
static mf_status distort(const mf_genesis *g, mf_random *random, const int64_t crop[3],
                         const float *from, float *to)
{
    const int64_t count = crop[0] * crop[1] * crop[2];
    if (happens(random, g->shuffle_prob))
        MF_TRY(mf_painting_shuffle(random, crop, from, to));
    else
        memcpy(to, from, (size_t)count * sizeof *to);
    if (happens(random, g->nonlinear_prob))
        MF_TRY(bend(random, count, to));
    if (!happens(random, g->paint_prob))
        return MF_OK;
    if (happens(random, g->inner_prob)) {
        mf_painting_inside(random, crop, to);
        return MF_OK;
    }
    return mf_painting_outside(random, crop, to);
}

mf_status mf_genesis_distort(const mf_genesis *g, uint64_t seed, int64_t item,
                             const int64_t crop[3], const float *image, float *to)
{
    const int64_t count = crop[0] * crop[1] * crop[2];
    double low = INFINITY, high = -INFINITY;
    mf_random random;
    MF_TRY(mf_genesis_check(crop));
    for (int64_t i = 0; i < count; i++) {
        low = fmin(low, (double)image[i]);
        high = fmax(high, (double)image[i]);
    }
    if (!(high > low)) { /* one value: there is nothing to distort */
        memcpy(to, image, (size_t)count * sizeof *to);
        return MF_OK;
    }
    float *unit = malloc((size_t)count * sizeof *unit);
    if (!unit)
        return mf_no_memory((size_t)count * sizeof *unit, "a crop to distort");
    for (int64_t i = 0; i < count; i++)
        unit[i] = (float)(((double)image[i] - low) / (high - low));
    mf_random_seed(&random, seed, "genesis", (uint64_t)item);
    mf_status status = distort(g, &random, crop, unit, to);
    for (int64_t i = 0; i < count && !status; i++)
        to[i] = (float)(low + (double)to[i] * (high - low));
    free(unit);
    return status;
}
