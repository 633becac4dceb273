/* nms.c - greedy non-maximum suppression of 3D masks. Masks are compared as bits, 64 voxels of a
 * row at a time; words are aligned to the grid, so that two masks meet word by word. */
#include "nms.h"
#include <stdlib.h>
#include <string.h>

typedef struct candidate {
    const mf_artifact *source;
    int64_t index, order, voxels;
} candidate;

typedef struct pooled {
    int64_t lo[3], hi[3]; /* z, y in pooled voxels; x in words of 64 of them */
    uint64_t *words;
    int64_t voxels;
} pooled;

/* Largest first; among equals in order of source. */
static int by_size(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->voxels != y->voxels)
        return x->voxels > y->voxels ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static mf_status dense_mask(const candidate *c, mf_mask *m, uint8_t **dense)
{
    size_t bytes = 1;
    MF_TRY(mf_masks_get(c->source, c->index, m));
    for (int a = 0; a < 3; a++)
        if (!mf_size_mul(bytes, (size_t)(m->hi[a] - m->lo[a]), &bytes))
            return mf_fail(MF_CORRUPT, "mask %lld has an impossible box", (long long)c->index);
    *dense = malloc(bytes ? bytes : 1);
    if (!*dense)
        return mf_no_memory(0, "mask %lld", (long long)c->index);
    mf_status status = mf_masks_crop(c->source, c->index, m->lo, m->hi, *dense);
    if (status) {
        free(*dense);
        *dense = NULL;
    }
    return status;
}

static mf_status pool_mask(const mf_mask *m, const uint8_t *dense, int64_t by, pooled *p)
{
    for (int a = 0; a < 3; a++) {
        int64_t unit = a == 2 ? 64 * by : by;
        p->lo[a] = m->lo[a] / unit;
        p->hi[a] = (m->hi[a] + unit - 1) / unit;
    }
    int64_t rows = p->hi[1] - p->lo[1], width = p->hi[2] - p->lo[2];
    int64_t words = (p->hi[0] - p->lo[0]) * rows * width;
    p->words = calloc((size_t)words, sizeof *p->words);
    if (!p->words)
        return mf_no_memory((size_t)words * sizeof *p->words, "a pooled mask");
    for (int64_t z = m->lo[0]; z < m->hi[0]; z++)
        for (int64_t y = m->lo[1]; y < m->hi[1]; y++) {
            uint64_t *row = p->words + ((z / by - p->lo[0]) * rows + y / by - p->lo[1]) * width;
            for (int64_t x = m->lo[2]; x < m->hi[2]; x++)
                if (*dense++)
                    row[x / by / 64 - p->lo[2]] |= 1ull << x / by % 64;
        }
    p->voxels = 0;
    for (int64_t i = 0; i < words; i++)
        p->voxels += __builtin_popcountll(p->words[i]);
    return MF_OK;
}

static int64_t intersection(const pooled *a, const pooled *b)
{
    int64_t lo[3], hi[3], sum = 0;
    for (int k = 0; k < 3; k++) {
        lo[k] = a->lo[k] > b->lo[k] ? a->lo[k] : b->lo[k];
        hi[k] = a->hi[k] < b->hi[k] ? a->hi[k] : b->hi[k];
        if (lo[k] >= hi[k])
            return 0;
    }
    int64_t wa = a->hi[2] - a->lo[2], wb = b->hi[2] - b->lo[2];
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++) {
            const uint64_t *p =
                a->words + ((z - a->lo[0]) * (a->hi[1] - a->lo[1]) + y - a->lo[1]) * wa;
            const uint64_t *q =
                b->words + ((z - b->lo[0]) * (b->hi[1] - b->lo[1]) + y - b->lo[1]) * wb;
            for (int64_t x = lo[2]; x < hi[2]; x++)
                sum += __builtin_popcountll(p[x - a->lo[2]] & q[x - b->lo[2]]);
        }
    return sum;
}

static bool is_double(const pooled *p, const pooled *kept, int64_t count, double iou)
{
    for (int64_t i = 0; i < count; i++) {
        const pooled *k = &kept[i];
        double less = (double)(p->voxels < k->voxels ? p->voxels : k->voxels);
        double more = (double)(p->voxels < k->voxels ? k->voxels : p->voxels);
        if (less <= iou * more)
            continue; /* the overlap cannot be larger */
        double both = (double)intersection(p, k);
        if (both > iou * ((double)(p->voxels + k->voxels) - both))
            return true;
    }
    return false;
}

static mf_status collect(const mf_artifact *const *sources, size_t count, candidate **list,
                         int64_t *n)
{
    *n = 0;
    for (size_t i = 0; i < count; i++)
        *n += mf_masks_count(sources[i]);
    *list = calloc((size_t)*n + 1, sizeof **list);
    if (!*list)
        return mf_no_memory(0, "a list of %lld masks", (long long)*n);
    int64_t at = 0;
    for (size_t i = 0; i < count; i++)
        for (int64_t k = 0; k < mf_masks_count(sources[i]); k++, at++) {
            candidate *c = &(*list)[at];
            *c = (candidate){sources[i], k, at, 0};
            MF_TRY(mf_masks_volume(sources[i], k, &c->voxels));
        }
    qsort(*list, (size_t)*n, sizeof **list, by_size);
    return MF_OK;
}

static mf_status choose(const candidate *list, const nms_options *o, mf_masks_builder *builder,
                        pooled *kept, nms_counts *counts)
{
    for (int64_t i = 0; i < counts->given; i++) {
        mf_mask m;
        uint8_t *dense;
        bool added;
        if (list[i].voxels < o->min_voxels) {
            counts->small = counts->given - i;
            break;
        }
        if (o->most && counts->kept == o->most) {
            counts->surplus++;
            continue;
        }
        MF_TRY(dense_mask(&list[i], &m, &dense));
        pooled *p = &kept[counts->kept];
        mf_status status = pool_mask(&m, dense, o->pool, p);
        if (!status && is_double(p, kept, counts->kept, o->iou)) {
            counts->doubles++;
            free(p->words);
            p->words = NULL;
        } else if (!status) {
            status = mf_masks_add(builder, &m, dense, &added);
            counts->kept++;
        }
        free(dense);
        MF_TRY(status);
    }
    return MF_OK;
}

static mf_status finish(mf_masks_builder *builder, const mf_grid *grid, mf_artifact **made)
{
    mf_status status = mf_artifact_new("masks", made);
    if (status) {
        mf_masks_abandon(builder);
        return status;
    }
    status = mf_artifact_set_grid(*made, grid);
    if (status)
        mf_masks_abandon(builder);
    else
        status = mf_masks_finish(builder, *made);
    if (status) {
        mf_artifact_unref(*made);
        *made = NULL;
    }
    return status;
}

mf_status nms_apply(const mf_artifact *const *sources, size_t count, const nms_options *o,
                    mf_artifact **made, nms_counts *counts)
{
    mf_grid grid, other;
    *made = NULL;
    *counts = (nms_counts){0};
    if (!count)
        return mf_fail(MF_INVALID, "no masks were given");
    MF_TRY(mf_artifact_grid(sources[0], &grid));
    for (size_t i = 1; i < count; i++) {
        MF_TRY(mf_artifact_grid(sources[i], &other));
        if (!mf_grid_equal(&grid, &other, 0.01))
            return mf_fail(MF_INVALID,
                           "the masks of source %zu lie on another grid than those of "
                           "the first",
                           i + 1);
    }
    candidate *list = NULL;
    pooled *kept = NULL;
    mf_masks_builder *builder = NULL;
    mf_status status = collect(sources, count, &list, &counts->given);
    if (!status) {
        kept = calloc((size_t)counts->given + 1, sizeof *kept);
        status = kept ? mf_masks_begin(&grid, &builder) : mf_no_memory(0, "pooled masks");
    }
    if (!status)
        status = choose(list, o, builder, kept, counts);
    if (!status)
        status = finish(builder, &grid, made);
    else if (builder)
        mf_masks_abandon(builder);
    for (int64_t i = 0; kept && i < counts->given; i++)
        free(kept[i].words);
    free(kept);
    free(list);
    if (!status) {
        status = mf_artifact_inherit(*made, sources[0]);
        if (status) {
            mf_artifact_unref(*made);
            *made = NULL;
        }
    }
    return status;
}
