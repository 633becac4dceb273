/* pretext.c - see pretext.h. */
#include "pretext.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

mf_status mf_pretext_check(const mf_pretext *t)
{
    if (t->kind == MF_RESTORATION_GENESIS)
        return mf_genesis_check(t->crop);
    MF_TRY(mf_masking_check(&t->masking));
    if (t->crop[0] * t->crop[1] * t->crop[2] <= 4096) /* an instance norm of one voxel is 0 */
        return mf_hint(
            mf_fail(MF_INVALID,
                    "crops of %lld x %lld x %lld voxels (z y x): the deepest map has one "
                    "voxel, whose norm is 0, and nothing can be restored from it",
                    (long long)t->crop[0], (long long)t->crop[1], (long long)t->crop[2]),
            "take larger crops");
    return MF_OK;
}

/* What the encoder sees, what it restores (with its sign changed), where it is hidden, what counts:
 * [crop] each. */
typedef struct arrays {
    float *image, *target, *mask, *weight;
} arrays;

static mf_status fill_masked(const mf_pretext *t, int64_t item, const float *crop, int64_t n,
                             const arrays *a)
{
    const int64_t patch = t->masking.patch;
    const double hidden = (double)mf_masking_hidden(&t->masking) * (double)(patch * patch * patch);
    const float weight = (float)(t->share / hidden);
    MF_TRY(mf_masking_draw(&t->masking, t->seed, item, a->mask));
    if (t->normalize)
        mf_masking_normalize(&t->masking, crop, a->target);
    else
        memcpy(a->target, crop, (size_t)n * sizeof *crop);
    for (int64_t i = 0; i < n; i++) {
        a->target[i] = -a->target[i];
        a->image[i] = a->mask[i] > 0 ? 0 : crop[i];
        a->weight[i] = a->mask[i] * weight;
    }
    return MF_OK;
}

static mf_status fill_distorted(const mf_pretext *t, int64_t item, const float *crop, int64_t n,
                                const arrays *a)
{
    MF_TRY(mf_genesis_distort(&t->genesis, t->seed, item, t->crop, crop, a->image));
    for (int64_t i = 0; i < n; i++) {
        a->target[i] = -crop[i];
        a->weight[i] = (float)(t->share / (double)n);
    }
    return MF_OK;
}

static mf_status set(const mf_pretext *t, const arrays *a, mf_executable *program)
{
    MF_TRY(mf_executable_set(program, "image", a->image));
    MF_TRY(mf_executable_set(program, "target", a->target));
    MF_TRY(mf_executable_set(program, "weight", a->weight));
    return t->kind == MF_RESTORATION_SIMMIM ? mf_executable_set(program, "mask", a->mask) : MF_OK;
}

mf_status mf_pretext_set(const mf_pretext *t, int64_t item, const float *crop,
                         mf_executable *program)
{
    const int64_t n = t->crop[0] * t->crop[1] * t->crop[2];
    float *all = malloc((size_t)n * 4 * sizeof *all);
    if (!all)
        return mf_no_memory((size_t)n * 4 * sizeof *all, "a crop to restore");
    const arrays a = {all, all + n, all + 2 * n, all + 3 * n};
    mf_status status = t->kind == MF_RESTORATION_GENESIS ? fill_distorted(t, item, crop, n, &a)
                                                         : fill_masked(t, item, crop, n, &a);
    if (!status)
        status = set(t, &a, program);
    free(all);
    return status;
}
