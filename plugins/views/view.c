/* view.c - see view.h. The draws follow the official MASS data sets step by step. */
#include "view.h"
#include "intensity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static double draw_in(mf_random *random, const mf_reals *range)
{
    return mf_random_uniform(random, range->v[0], range->v[1]);
}

void mf_view_draw_affine(const mf_view_settings *own, mf_random *random, mf_affine *affine)
{
    for (int i = 0; i < 3; i++)
        affine->scale[i] =
            mf_random_uniform(random, 1 - own->scale.v[i], 1 / (1 - own->scale.v[i]));
    for (int i = 0; i < 6; i++)
        affine->shear[i] = mf_random_uniform(random, -own->shear.v[i / 2], own->shear.v[i / 2]);
    for (int i = 0; i < 3; i++)
        affine->shift[i] = mf_random_uniform(random, -own->translate.v[i], own->translate.v[i]);
    for (int i = 0; i < 3; i++) { /* whole degrees, the upper end left out */
        int64_t r = own->rotate.v[i];
        affine->degrees[i] = (int)(mf_random_below(random, r + (r > 1 ? r : 1)) - r);
    }
}

mf_status mf_view_change_intensities(const mf_view_settings *own, const int64_t size[3],
                                     mf_random *random, float *voxels)
{
    int64_t count = size[0] * size[1] * size[2];
    if (mf_random_uniform(random, 0, 1) < own->brightness_prob)
        mf_intensity_multiply(voxels, count, (float)draw_in(random, &own->brightness_range));
    if (mf_random_uniform(random, 0, 1) < own->brightness_additive_prob)
        mf_intensity_add(voxels, count,
                         (float)(own->brightness_additive_std * mf_random_normal(random)));
    if (mf_random_uniform(random, 0, 1) < own->gamma_prob)
        mf_intensity_gamma(voxels, count, draw_in(random, &own->gamma_range));
    if (mf_random_uniform(random, 0, 1) < own->contrast_prob)
        mf_intensity_contrast(voxels, count, draw_in(random, &own->contrast_range));
    if (mf_random_uniform(random, 0, 1) < own->blur_prob)
        MF_TRY(mf_intensity_blur(voxels, size, draw_in(random, &own->blur_range)));
    if (mf_random_uniform(random, 0, 1) < own->gaussian_noise_prob) {
        uint32_t key[2];
        key[0] = mf_random_u32(random);
        key[1] = mf_random_u32(random);
        mf_intensity_noise(voxels, count, key, (float)own->gaussian_noise_std);
    }
    return MF_OK;
}

mf_status mf_view_check_range(const mf_reals *range, const char *name)
{
    if (range->count != 2)
        return mf_fail(MF_INVALID, "%s takes two numbers, minimum and maximum; it has %zu", name,
                       range->count);
    if (range->v[0] > range->v[1])
        return mf_fail(MF_INVALID, "%s: minimum %g, above the maximum %g", name, range->v[0],
                       range->v[1]);
    return MF_OK;
}

static mf_status set_text(mf_artifact **item, const char *name, const char *text)
{
    mf_status status = mf_artifact_set_text(*item, name, text);
    if (status) {
        mf_artifact_unref(*item);
        *item = NULL;
    }
    return status;
}

mf_status mf_view_name(const char *sample, mf_artifact **item)
{
    return set_text(item, "sample", sample);
}

/* ---- which scan ------------------------------------------------------------------------------ */

/* Each step maps h one to one, so images that differ in one word differ in their digests. */
static uint64_t digest(uint64_t h, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i += sizeof h) {
        uint64_t word = 0;
        const size_t left = count - i;
        memcpy(&word, (const char *)bytes + i, left < sizeof word ? left : sizeof word);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return h;
}

enum { MARK = 64 }; /* voxels: an edge of the part of a slice */

/* Of the middle of the middle slice: a sample may be large, and is drawn from many times. */
static mf_status digest_image(const mf_artifact *sample, uint64_t *h)
{
    mf_array_info info;
    int64_t lo[3], hi[3];
    float part[MARK * MARK];
    if (!mf_artifact_find(sample, "image", &info) || info.rank != 3 || info.dtype != MF_F32)
        return mf_fail(MF_INVALID, "the sample has no image of f32 and three axes");
    for (int k = 0; k < 3; k++) {
        const int64_t most = k ? MARK : 1, n = info.shape[k] < most ? info.shape[k] : most;
        lo[k] = (info.shape[k] - n) / 2;
        hi[k] = lo[k] + n;
    }
    MF_TRY(mf_artifact_read_box(sample, "image", lo, hi, part));
    *h = digest(1, info.shape, 3 * sizeof *info.shape);
    *h = digest(*h, part, (size_t)((hi[1] - lo[1]) * (hi[2] - lo[2])) * sizeof *part);
    return MF_OK;
}

mf_status mf_view_mark_scan(const mf_artifact *sample, mf_artifact **item)
{
    uint64_t h = 0;
    char text[24];
    mf_status status = digest_image(sample, &h);
    if (status) {
        mf_artifact_unref(*item);
        *item = NULL;
        return status;
    }
    snprintf(text, sizeof text, "%016" PRIx64, h);
    return set_text(item, "scan", text);
}
