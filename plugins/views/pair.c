/* pair.c - see pair.h. The draws follow the official MASS data set step by step. */
#include "pair.h"
#include "affine.h"
#include "draw.h"

#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a pair of views");
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void mf_crops_draw(const int64_t shape[3], const mf_pair_settings *settings, mf_random *random,
                   mf_crops *crops)
{
    int64_t anchor[3];
    for (int i = 0; i < 3; i++) {
        int64_t size = least(settings->size[i] + settings->margin, shape[i]), half = size / 2;
        crops->size[i] = size;
        anchor[i] = mf_draw_between(random, half, most(shape[i] - half, half + 1) - 1);
    }
    for (int view = 0; view < 2; view++)
        for (int i = 0; i < 3; i++) {
            int64_t size = crops->size[i];
            int64_t lo = most(0, anchor[i] - size + 1), hi = least(anchor[i], shape[i] - size);
            if (view) {
                int64_t away = size - (int64_t)((double)size * settings->overlap_ratio);
                lo = most(lo, crops->lo[0][i] - away);
                hi = least(hi, crops->lo[0][i] + away);
            }
            crops->lo[view][i] = mf_draw_between(random, lo, hi);
        }
}

mf_status mf_subset_draw(int64_t n, int64_t count, mf_random *random, int64_t *chosen)
{
    /* Reservoir in order (Knuth 3.4.2, algorithm S): ascending without sorting. */
    int64_t taken = 0;
    if (count > n)
        return mf_fail(MF_INTERNAL, "%lld of %lld masks asked for", (long long)count, (long long)n);
    for (int64_t i = 0; i < n && taken < count; i++)
        if (mf_random_below(random, n - i) < count - taken)
            chosen[taken++] = i;
    return MF_OK;
}

static bool meets_both(const mf_mask *mask, const mf_crops *crops)
{
    for (int i = 0; i < 6; i++) {
        int64_t lo = crops->lo[i / 3][i % 3], hi = lo + crops->size[i % 3];
        if (mask->lo[i % 3] >= hi || mask->hi[i % 3] <= lo)
            return false;
    }
    return true;
}

/* The masks to choose from, into list [masks of the sample]: all, or those whose boxes meet both
 * crops, unless none does. */
static mf_status candidates(const mf_artifact *sample, const mf_pair_settings *settings,
                            const mf_crops *crops, int64_t *list, int64_t *count)
{
    int64_t n = mf_masks_count(sample);
    *count = 0;
    for (int64_t k = 0; settings->visible_only && k < n; k++) {
        mf_mask mask;
        MF_TRY(mf_masks_get(sample, k, &mask));
        if (meets_both(&mask, crops))
            list[(*count)++] = k;
    }
    if (*count)
        return MF_OK;
    for (int64_t k = 0; k < n; k++)
        list[k] = k;
    *count = n;
    return MF_OK;
}

/* How many masks each of u unions has, into size; n: masks that there are for them, at least 2 u.
 */
static int64_t draw_sizes(int64_t n, int64_t u, mf_random *random, int64_t *size)
{
    int64_t all = 0;
    for (int64_t i = 0; i < u; i++) {
        int64_t room = n - all - 2 * (u - i - 1); /* the others have 2 at least */
        size[i] = mf_draw_between(random, 2, least(MF_UNION_MOST, room));
        all += size[i];
    }
    return all;
}

mf_status mf_unions_draw(int64_t n, int64_t count, mf_random *random, mf_unions *unions,
                         bool *drawn)
{
    int64_t size[MF_PAIR_MASKS_MAX], u, all;
    *drawn = false;
    if (n < count + 2)
        return MF_OK;
    u = mf_draw_between(random, 1, most(count / 2, 1));
    if (count + u > n)
        return MF_OK;
    all = count - u + draw_sizes(n - (count - u), u, random, size);
    MF_TRY(mf_subset_draw(n, all, random, unions->member));
    for (int64_t i = all - 1; i > 0; i--) { /* Fisher and Yates: which are in which union */
        int64_t k = mf_random_below(random, i + 1), held = unions->member[i];
        unions->member[i] = unions->member[k];
        unions->member[k] = held;
    }
    for (int64_t k = 0, at = 0; k <= count; k++) {
        unions->first[k] = at;
        at += k < count - u ? 1 : k < count ? size[k - (count - u)] : 0;
    }
    *drawn = true;
    return MF_OK;
}

/* `masks` masks of n, each alone: drawn without repeating, ascending; where there are fewer, these
 * again from the first, so that all pairs have the same shape. */
static mf_status draw_single(int64_t n, int64_t masks, mf_random *random, mf_unions *chosen)
{
    int64_t count = least(masks, n);
    MF_TRY(mf_subset_draw(n, count, random, chosen->member));
    for (int64_t i = count; i < masks; i++)
        chosen->member[i] = chosen->member[i - count];
    for (int64_t i = 0; i <= masks; i++)
        chosen->first[i] = i;
    return MF_OK;
}

/* settings->masks masks of the sample, or unions of them. */
static mf_status choose_masks(const mf_artifact *sample, const mf_pair_settings *settings,
                              const mf_crops *crops, mf_random *random, mf_unions *chosen)
{
    int64_t n;
    bool merged = false;
    int64_t *list = malloc((size_t)mf_masks_count(sample) * sizeof *list);
    if (!list)
        return no_memory();
    mf_status status = candidates(sample, settings, crops, list, &n);
    if (!status && settings->merge_prob > 0 &&
        mf_random_uniform(random, 0, 1) < settings->merge_prob)
        status = mf_unions_draw(n, settings->masks, random, chosen, &merged);
    if (!status && !merged)
        status = draw_single(n, settings->masks, random, chosen);
    for (int64_t i = 0; !status && i < chosen->first[settings->masks]; i++)
        chosen->member[i] = list[chosen->member[i]];
    free(list);
    return status;
}

/* One view while it is being made. */
typedef struct view {
    const mf_artifact *sample;
    const mf_pair_settings *settings;
    const mf_view_settings *own;
    mf_random *random;
    const int64_t *crop_lo, *crop_size; /* z y x */
    const mf_unions *chosen;            /* masks of the sample */
    int64_t count;                      /* of the pair */
    int64_t ones;                       /* the one of them that is all ones, or -1 */
    mf_array *image, *masks;
} view;

static int64_t voxels_of(const int64_t size[3])
{
    return size[0] * size[1] * size[2];
}

/* Adds mask k of the sample as bit b of u16 [crop_size]. */
static mf_status pack_mask(const view *v, int64_t k, int b, uint16_t *bits)
{
    mf_mask mask;
    int64_t lo[3], hi[3];
    bool apart = false;
    MF_TRY(mf_masks_get(v->sample, k, &mask));
    for (int i = 0; i < 3; i++) {
        lo[i] = most(mask.lo[i], v->crop_lo[i]);
        hi[i] = least(mask.hi[i], v->crop_lo[i] + v->crop_size[i]);
        apart = apart || lo[i] >= hi[i];
    }
    if (apart)
        return MF_OK;
    const int64_t size[3] = {hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]};
    uint8_t *dense = malloc((size_t)voxels_of(size)), *line = dense;
    if (!dense)
        return no_memory();
    mf_status status = mf_masks_crop(v->sample, k, lo, hi, dense);
    for (int64_t z = lo[0] - v->crop_lo[0]; !status && z < hi[0] - v->crop_lo[0]; z++)
        for (int64_t y = lo[1] - v->crop_lo[1]; y < hi[1] - v->crop_lo[1]; y++) {
            uint16_t *out =
                bits + (z * v->crop_size[1] + y) * v->crop_size[2] + lo[2] - v->crop_lo[2];
            for (int64_t x = 0; x < size[2]; x++)
                out[x] |= (uint16_t)(*line++ << b);
        }
    free(dense);
    return status;
}

/* Masks first .. first + n of the view's, as bits of u16 [crop_size]. */
static mf_status pack_masks(const view *v, int64_t first, int n, uint16_t *bits)
{
    memset(bits, 0, (size_t)voxels_of(v->crop_size) * sizeof *bits);
    for (int b = 0; b < n; b++) {
        const int64_t *of = &v->chosen->first[first + b];
        for (int64_t i = of[0]; i < of[1] && first + b != v->ones; i++)
            MF_TRY(pack_mask(v, v->chosen->member[i], b, bits));
        for (int64_t i = 0; i < voxels_of(v->crop_size) && first + b == v->ones; i++)
            bits[i] |= (uint16_t)(1u << b);
    }
    return MF_OK;
}

/* The view's image and masks out of its crop by an affine map, its center cut out. */
static mf_status cut_affine(view *v, float *crop, uint16_t *bits, uint16_t *row)
{
    mf_affine affine;
    mf_index_map map;
    int64_t lo[3], hi[3];
    const int64_t *size = v->settings->size;
    mf_view_draw_affine(v->own, v->random, &affine);
    mf_affine_map(&affine, v->crop_size, &map);
    for (int i = 0; i < 3; i++)
        hi[i] = v->crop_lo[i] + v->crop_size[i];
    MF_TRY(mf_artifact_read_box(v->sample, "image", v->crop_lo, hi, crop));
    for (int i = 0; i < 3; i++)
        lo[i] = (v->crop_size[i] - size[i]) / 2;
    mf_affine_image(&map, crop, v->crop_size, lo, size, v->image->data);
    for (int64_t first = 0; first < v->count; first += 16) {
        int n = (int)least(16, v->count - first);
        MF_TRY(pack_masks(v, first, n, bits));
        mf_affine_masks(&map, bits, v->crop_size, lo, size, n, row,
                        (uint8_t *)v->masks->data + first * voxels_of(size));
    }
    return MF_OK;
}

/* Mask k of the view, from the box lo .. hi of the sample, into dst. */
static mf_status cut_mask(const view *v, int64_t k, const int64_t lo[3], const int64_t hi[3],
                          uint8_t *dst)
{
    const int64_t *of = &v->chosen->first[k], voxels = voxels_of(v->settings->size);
    MF_TRY(mf_masks_crop(v->sample, v->chosen->member[of[0]], lo, hi, dst));
    if (of[1] - of[0] == 1)
        return MF_OK;
    uint8_t *one = malloc((size_t)voxels);
    mf_status status = one ? MF_OK : no_memory();
    for (int64_t i = of[0] + 1; i < of[1] && !status; i++) {
        status = mf_masks_crop(v->sample, v->chosen->member[i], lo, hi, one);
        for (int64_t x = 0; x < voxels && !status; x++)
            dst[x] |= one[x];
    }
    free(one);
    return status;
}

/* The view's image and masks from a random place of its crop. */
static mf_status cut_plain(view *v)
{
    int64_t lo[3], hi[3];
    const int64_t *size = v->settings->size;
    for (int i = 0; i < 3; i++) { /* the last place is left out, as there */
        int64_t room = v->crop_size[i] - size[i];
        lo[i] = v->crop_lo[i] + mf_draw_between(v->random, 0, most(room, 1) - 1);
        hi[i] = lo[i] + size[i];
    }
    MF_TRY(mf_artifact_read_box(v->sample, "image", lo, hi, v->image->data));
    for (int64_t k = 0; k < v->count; k++) {
        uint8_t *dst = (uint8_t *)v->masks->data + k * voxels_of(size);
        if (k == v->ones)
            memset(dst, 1, (size_t)voxels_of(size));
        else
            MF_TRY(cut_mask(v, k, lo, hi, dst));
    }
    return MF_OK;
}

static mf_status make_view(view *v)
{
    const int64_t *size = v->settings->size;
    if (mf_random_uniform(v->random, 0, 1) < v->own->affine_prob) {
        size_t n = (size_t)voxels_of(v->crop_size);
        float *crop = malloc(n * sizeof *crop);
        uint16_t *bits = malloc(n * sizeof *bits), *row = malloc((size_t)size[2] * sizeof *row);
        mf_status status = crop && bits && row ? cut_affine(v, crop, bits, row) : no_memory();
        free(crop);
        free(bits);
        free(row);
        MF_TRY(status);
    } else {
        MF_TRY(cut_plain(v));
    }
    return mf_view_change_intensities(v->own, v->settings->size, v->random, v->image->data);
}

static mf_status add_view(mf_artifact *pair, const char *image, const char *masks, view *v)
{
    const int64_t *size = v->settings->size;
    const int64_t shape[4] = {v->count, size[0], size[1], size[2]};
    MF_TRY(mf_array_new(MF_F32, 3, size, &v->image));
    MF_TRY(mf_array_new(MF_U8, 4, shape, &v->masks));
    MF_TRY(make_view(v));
    MF_TRY(mf_artifact_add(pair, image, v->image));
    return mf_artifact_add(pair, masks, v->masks);
}

/* The sample's image must be there and hold a view; shape z y x. */
static mf_status check_sample(const mf_artifact *sample, const mf_pair_settings *settings,
                              int64_t shape[3])
{
    mf_array_info info;
    if (!mf_artifact_find(sample, "image", &info) || info.rank != 3 || info.dtype != MF_F32)
        return mf_fail(MF_INVALID, "the sample has no image of f32 and three axes");
    for (int i = 0; i < 3; i++) {
        shape[i] = info.shape[i];
        if (shape[i] < settings->size[i])
            return mf_hint(mf_fail(MF_INVALID,
                                   "the sample has %lldx%lldx%lld voxels, a view %lldx%lldx%lld",
                                   (long long)info.shape[2], (long long)info.shape[1],
                                   (long long)info.shape[0], (long long)settings->size[2],
                                   (long long)settings->size[1], (long long)settings->size[0]),
                           "let mass.prepare pad samples to at least the view");
    }
    if (mf_masks_count(sample) == 0)
        return mf_fail(MF_INVALID, "the sample has no mask");
    return MF_OK;
}

static mf_status fill_pair(const mf_artifact *sample, const mf_pair_settings *settings,
                           mf_random *random, mf_artifact *pair)
{
    int64_t shape[3], ones = -1;
    mf_unions chosen;
    mf_crops crops;
    MF_TRY(check_sample(sample, settings, shape));
    mf_crops_draw(shape, settings, random, &crops);
    MF_TRY(choose_masks(sample, settings, &crops, random, &chosen));
    if (mf_random_uniform(random, 0, 1) < settings->ones_mask_prob)
        ones = mf_random_below(random, settings->masks);
    for (int i = 0; i < 2; i++) {
        view v = {.sample = sample,
                  .settings = settings,
                  .own = i ? &settings->strong : &settings->weak,
                  .random = random,
                  .crop_lo = crops.lo[i],
                  .crop_size = crops.size,
                  .chosen = &chosen,
                  .count = settings->masks,
                  .ones = ones};
        mf_status status =
            add_view(pair, i ? "query" : "reference", i ? "query_masks" : "reference_masks", &v);
        mf_array_unref(v.image);
        mf_array_unref(v.masks);
        MF_TRY(status);
    }
    return MF_OK;
}

mf_status mf_pair_make(const mf_artifact *sample, const mf_pair_settings *settings,
                       mf_random *random, mf_artifact **pair)
{
    MF_TRY(mf_artifact_new("pair", pair));
    mf_status status = fill_pair(sample, settings, random, *pair);
    if (status) {
        mf_artifact_unref(*pair);
        *pair = NULL;
    }
    return status;
}
