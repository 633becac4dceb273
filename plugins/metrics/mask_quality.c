/* mask_quality.c - see mask_quality.h. */
#include "mask_quality.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct work {
    const mf_artifact *masks;
    const mask_truth *truth;
    mask_quality *q;
    int32_t *index;   /* [MASK_QUALITY_MOST_LABELS + 1]: 1 + the place in q->matches; 0: no match */
    uint8_t *covered; /* [voxels] */
    int64_t *common;  /* [1 + q->count] voxels of one mask, by index */
} work;

static int64_t voxels_of(const int64_t size[3])
{
    return size[0] * size[1] * size[2];
}

/* Marks the labels that are compared with 1. */
static mf_status mark(work *w)
{
    const mask_truth *t = w->truth;
    for (size_t i = 0; i < t->chosen_count; i++)
        w->index[t->chosen[i]] = 1; /* the parameter's range is that of labels */
    for (int64_t v = 0; v < voxels_of(t->size); v++) {
        int32_t l = t->labels[v];
        if (l < 0 || l > MASK_QUALITY_MOST_LABELS)
            return mf_fail(MF_UNSUPPORTED, "label %d; 0 to %d are compared", l,
                           MASK_QUALITY_MOST_LABELS);
        if (!t->chosen_count)
            w->index[l] = 1;
    }
    w->index[0] = 0;
    return MF_OK;
}

static mf_status list_labels(work *w)
{
    mask_quality *q = w->q;
    MF_TRY(mark(w));
    for (int32_t l = 1; l <= MASK_QUALITY_MOST_LABELS; l++)
        q->count += w->index[l];
    q->matches = calloc((size_t)q->count + 1, sizeof *q->matches);
    w->common = calloc((size_t)q->count + 1, sizeof *w->common);
    if (!q->matches || !w->common)
        return mf_no_memory((size_t)q->count * sizeof *q->matches, "a list of labels");
    q->count = 0;
    for (int32_t l = 1; l <= MASK_QUALITY_MOST_LABELS; l++)
        if (w->index[l]) {
            q->matches[q->count] = (mask_match){.label = l, .mask = -1};
            w->index[l] = (int32_t)++q->count;
        }
    for (int64_t v = 0; v < voxels_of(w->truth->size); v++) {
        int32_t i = w->index[w->truth->labels[v]];
        if (i)
            q->matches[i - 1].voxels++;
    }
    for (int64_t i = 0; i < q->count; i++)
        q->matches[i].dice = q->matches[i].voxels ? 0 : NAN;
    return MF_OK;
}

/* Voxels of a mask in all and by label. dense: its box. */
static int64_t count_voxels(work *w, const mf_mask *mask, const uint8_t *dense)
{
    const int64_t *n = w->truth->size;
    int64_t voxels = 0;
    memset(w->common, 0, ((size_t)w->q->count + 1) * sizeof *w->common);
    for (int64_t z = mask->lo[0]; z < mask->hi[0]; z++)
        for (int64_t y = mask->lo[1]; y < mask->hi[1]; y++)
            for (int64_t x = mask->lo[2]; x < mask->hi[2]; x++, dense++) {
                int64_t v = (z * n[1] + y) * n[2] + x;
                if (!*dense)
                    continue;
                voxels++;
                w->covered[v] = 1;
                w->common[w->index[w->truth->labels[v]]]++;
            }
    return voxels;
}

static mf_status compare_mask(work *w, int64_t k)
{
    mask_quality *q = w->q;
    mf_mask mask;
    bool above = false;
    MF_TRY(mf_masks_get(w->masks, k, &mask));
    size_t box = 1;
    for (int i = 0; i < 3; i++) {
        if (mask.lo[i] < 0 || mask.hi[i] > w->truth->size[i])
            return mf_fail(MF_CORRUPT, "mask %lld reaches outside of its grid", (long long)k);
        box *= (size_t)(mask.hi[i] - mask.lo[i]);
    }
    uint8_t *dense = malloc(box);
    mf_status status =
        dense ? mf_masks_crop(w->masks, k, mask.lo, mask.hi, dense) : mf_no_memory(box, "a mask");
    if (!status)
        q->mask_voxels[k] = count_voxels(w, &mask, dense);
    free(dense);
    MF_TRY(status);
    for (int64_t i = 0; i < q->count; i++) {
        mask_match *m = &q->matches[i];
        int64_t common = w->common[i + 1];
        double dice = common ? 2 * (double)common / (double)(q->mask_voxels[k] + m->voxels) : 0;
        above = above || dice > w->truth->threshold;
        if (dice > m->dice) { /* false of no voxels, whose Dice is no number */
            m->dice = dice;
            m->mask = k;
            m->mask_voxels = q->mask_voxels[k];
        }
    }
    q->above += above;
    return MF_OK;
}

static void count_covered(const work *w)
{
    const mask_truth *t = w->truth;
    for (int64_t v = 0; v < voxels_of(t->size); v++) {
        const bool labelled = w->index[t->labels[v]] != 0, body = !t->body || t->body[v];
        w->q->labelled += labelled;
        w->q->labelled_covered += labelled && w->covered[v];
        w->q->body += body;
        w->q->body_covered += body && w->covered[v];
    }
}

static mf_status measure(work *w)
{
    mask_quality *q = w->q;
    MF_TRY(list_labels(w));
    for (int64_t k = 0; k < q->masks; k++)
        MF_TRY(compare_mask(w, k));
    count_covered(w);
    return MF_OK;
}

mf_status mask_quality_measure(const mf_artifact *masks, const mask_truth *truth, mask_quality *q)
{
    const size_t voxels = (size_t)voxels_of(truth->size);
    *q = (mask_quality){.masks = mf_masks_count(masks)};
    work w = {.masks = masks, .truth = truth, .q = q};
    w.index = calloc(MASK_QUALITY_MOST_LABELS + 1, sizeof *w.index);
    w.covered = calloc(voxels ? voxels : 1, 1);
    q->mask_voxels = calloc((size_t)q->masks + 1, sizeof *q->mask_voxels);
    mf_status status = w.index && w.covered && q->mask_voxels
                           ? measure(&w)
                           : mf_no_memory(voxels, "a comparison of masks");
    free(w.index);
    free(w.covered);
    free(w.common);
    return status;
}

void mask_quality_clear(mask_quality *q)
{
    free(q->matches);
    free(q->mask_voxels);
    *q = (mask_quality){0};
}
