/* masking.c - see masking.h. */
#include "masking.h"

#include <massflow/memory.h>
#include <massflow/random.h>

#include <math.h>
#include <stdlib.h>

int64_t mf_masking_patches(const mf_masking *m)
{
    return m->crop[0] / m->patch * (m->crop[1] / m->patch) * (m->crop[2] / m->patch);
}

int64_t mf_masking_hidden(const mf_masking *m)
{
    /* 0.6 x 35 is a little above 21 in binary */
    return (int64_t)ceil((double)mf_masking_patches(m) * m->share - 1e-9);
}

mf_status mf_masking_check(const mf_masking *m)
{
    if (!(m->share > 0 && m->share < 1))
        return mf_fail(MF_INVALID,
                       "a mask share of %g: it must be above 0, or there is no loss, and below 1, "
                       "or nothing is seen",
                       m->share);
    for (int i = 0; i < 3; i++)
        if (m->crop[i] % m->patch)
            return mf_hint(mf_fail(MF_INVALID,
                                   "a crop of %lld x %lld x %lld (z y x) is not whole patches of "
                                   "%lld voxels",
                                   (long long)m->crop[0], (long long)m->crop[1],
                                   (long long)m->crop[2], (long long)m->patch),
                           "change mask_patch, or the size of the crops");
    const int64_t all = mf_masking_patches(m), hidden = mf_masking_hidden(m);
    if (hidden == 0 || hidden == all)
        return mf_hint(mf_fail(MF_INVALID,
                               "a mask share of %g hides %lld of the %lld patches of a crop of "
                               "%lld x %lld x %lld (z y x); at least one must be hidden and one "
                               "seen",
                               m->share, (long long)hidden, (long long)all, (long long)m->crop[0],
                               (long long)m->crop[1], (long long)m->crop[2]),
                       "lower mask_patch, or change mask_share");
    return MF_OK;
}

/* First voxel of patch i. */
static int64_t corner(const mf_masking *m, int64_t i)
{
    const int64_t along_x = m->crop[2] / m->patch, along_y = m->crop[1] / m->patch;
    const int64_t x = i % along_x, y = i / along_x % along_y, z = i / along_x / along_y;
    return ((z * m->crop[1] + y) * m->crop[2] + x) * m->patch;
}

/* Voxel v of a patch, from its corner. */
static int64_t offset(const mf_masking *m, int64_t v)
{
    const int64_t n = m->patch;
    return (v / (n * n) * m->crop[1] + v / n % n) * m->crop[2] + v % n;
}

mf_status mf_masking_draw(const mf_masking *m, uint64_t seed, int64_t item, float *mask)
{
    const int64_t all = mf_masking_patches(m), hidden = mf_masking_hidden(m);
    const int64_t voxels = m->patch * m->patch * m->patch;
    mf_random random;
    int64_t *order = calloc((size_t)all, sizeof *order);
    if (!order)
        return mf_no_memory((size_t)all * sizeof *order, "%lld patches", (long long)all);
    mf_random_seed(&random, seed, "mask", (uint64_t)item);
    for (int64_t i = 0; i < all; i++)
        order[i] = i;
    for (int64_t i = 0; i < all; i++) { /* Fisher and Yates: the first `hidden` are hidden */
        const int64_t k = i < hidden ? i + mf_random_below(&random, all - i) : i;
        const int64_t patch = order[k];
        order[k] = order[i];
        for (int64_t v = 0; v < voxels; v++)
            mask[corner(m, patch) + offset(m, v)] = i < hidden ? 1 : 0;
    }
    free(order);
    return MF_OK;
}

void mf_masking_normalize(const mf_masking *m, const float *image, float *to)
{
    const int64_t n = m->patch * m->patch * m->patch;
    for (int64_t i = 0; i < mf_masking_patches(m); i++) {
        const int64_t first = corner(m, i);
        double sum = 0, squares = 0;
        for (int64_t v = 0; v < n; v++)
            sum += (double)image[first + offset(m, v)];
        const double mean = sum / (double)n;
        for (int64_t v = 0; v < n; v++) {
            const double d = (double)image[first + offset(m, v)] - mean;
            squares += d * d;
        }
        const double scale = 1 / sqrt(squares / (double)(n > 1 ? n - 1 : 1) + 1e-6);
        for (int64_t v = 0; v < n; v++) {
            const int64_t at = first + offset(m, v);
            to[at] = (float)(((double)image[at] - mean) * scale);
        }
    }
}
