/* query.c - see query.h. */
#include "query.h"
#include "body_box.h"
#include "largest.h"

#include <stdlib.h>
#include <string.h>

typedef struct work {
    mf_task *task;
    mf_predictor *predictor;
    const mf_query *q;
    const mf_embedding *e;
    mf_grid own, grid;          /* of the scan; the training grid */
    int64_t whole[3];           /* size of the training grid, z y x */
    int64_t lo[3], size[3];     /* of the part that is segmented, z y x */
    int64_t own_voxels, voxels; /* of the scan; of that part */
    float *image;               /* [size], normalized */
    float *group;               /* probabilities of the labels of one group [k, size] */
    float *best;                /* [size] */
    uint16_t *labels, *part;    /* [size]: of all labels; of one */
    uint8_t *mask;              /* [size] */
    void *full;                 /* [whole], of 4 bytes a voxel */
    int64_t groups, at;         /* how many; the one in work */
    mf_masks_builder *masks;    /* where each label stands alone */
    int32_t *kept;              /* labels of these masks */
    int64_t kept_count;
    mf_array *probabilities; /* [K, own], or NULL */
} work;

void mf_query_result_clear(mf_query_result *r)
{
    mf_artifact_unref(r->labels);
    mf_artifact_unref(r->masks);
    mf_artifact_unref(r->probabilities);
    *r = (mf_query_result){0};
}

static int64_t group_of(const mf_query *q, int64_t labels)
{
    return q->group > 0 && q->group < labels ? q->group : labels;
}

size_t mf_query_host_bytes(const mf_query *q, int64_t labels, int64_t own, int64_t grid)
{
    double k = (double)group_of(q, labels);
    /* image, its padded copy, weights, best, whole grid; labels, part and mask; two maps a label */
    double voxel = 5 * 4 + 2 + 2 + 1 + 2 * 4 * k;
    double own_voxel = 2 + 1 + (q->probabilities ? 4 * (double)labels : 0);
    return (size_t)((double)grid * voxel + (double)own * own_voxel);
}

/* ---- the scan -------------------------------------------------------------------------------- */

/* The part of the training grid that is segmented: the body, or all. */
static mf_status choose_part(work *w, const float *voxels, mf_modality modality)
{
    int64_t hi[3];
    bool found = true;
    for (int i = 0; i < 3; i++) {
        w->lo[i] = 0;
        hi[i] = w->whole[i];
    }
    if (w->q->body_crop && modality == MF_MODALITY_NORMALIZED)
        return mf_hint(mf_fail(MF_INVALID, "body_crop needs the scan's own intensities, and the "
                                           "volume is normalized already"),
                       "connect the scan itself, or set body_crop: false");
    if (w->q->body_crop)
        MF_TRY(mf_body_box(voxels, w->whole, modality, w->q->margin, w->lo, hi, &found));
    if (!found)
        mf_log(w->task, "no body was found: the whole scan is segmented");
    w->voxels = 1;
    for (int i = 0; i < 3; i++) {
        w->size[i] = hi[i] - w->lo[i];
        w->voxels *= w->size[i];
    }
    if (w->q->body_crop && found)
        mf_log(w->task, "body: voxels %lld..%lld, %lld..%lld, %lld..%lld of %lld x %lld x %lld",
               (long long)w->lo[2], (long long)hi[2] - 1, (long long)w->lo[1], (long long)hi[1] - 1,
               (long long)w->lo[0], (long long)hi[0] - 1, (long long)w->whole[2],
               (long long)w->whole[1], (long long)w->whole[0]);
    return MF_OK;
}

static mf_status read_scan(work *w, const mf_artifact *scan)
{
    mf_modality modality;
    float *voxels;
    MF_TRY(mf_artifact_grid(scan, &w->own));
    w->own_voxels = mf_grid_voxels(&w->own);
    MF_TRY(mf_scan_read(scan, &w->q->scan, &w->grid, &voxels, &modality));
    if (w->q->modality && *w->q->modality && strcmp(w->q->modality, mf_modality_text(modality)))
        mf_log(w->task, "the scan is %s, and the examples of the embedding are %s",
               mf_modality_text(modality), w->q->modality);
    mf_zyx(w->grid.size, w->whole);
    mf_status status = choose_part(w, voxels, modality);
    if (!status && !(w->image = malloc((size_t)w->voxels * sizeof *w->image)))
        status =
            mf_no_memory((size_t)w->voxels * sizeof *w->image, "%lld voxels", (long long)w->voxels);
    if (!status)
        mf_scan_crop(voxels, w->whole, w->lo, w->size, sizeof *voxels, w->image);
    free(voxels);
    return status ? status
                  : mf_normalize_voxels(w->image, w->voxels, modality, &w->q->scan.normalize, NULL);
}

/* ---- back on the scan's own grid ------------------------------------------------------------- */

/* src [size] of `bytes` an element -> dst on the scan's own grid; zeros beyond the part. */
static mf_status restore(work *w, const void *src, size_t bytes, bool linear, void *dst)
{
    memset(w->full, 0, (size_t)mf_grid_voxels(&w->grid) * bytes);
    mf_scan_paste(src, w->size, w->lo, w->whole, bytes, w->full);
    return linear ? mf_resample_linear(&w->grid, w->full, &w->own, dst)
                  : mf_resample_nearest(&w->grid, w->full, &w->own, dst, bytes);
}

/* An artifact on the scan's grid with one array. */
static mf_status wrap(const work *w, const char *type, const char *name, mf_array *array,
                      const mf_artifact *scan, mf_artifact **artifact)
{
    MF_TRY(mf_artifact_new(type, artifact));
    mf_status status = name ? mf_artifact_add(*artifact, name, array) : MF_OK;
    if (!status)
        status = mf_artifact_set_grid(*artifact, &w->own);
    if (!status)
        status = mf_artifact_inherit(*artifact, scan);
    if (status) {
        mf_artifact_unref(*artifact);
        *artifact = NULL;
    }
    return status;
}

/* What the labels of the embedding are called. */
static mf_status add_names(const work *w, mf_artifact *a)
{
    mf_names kept;
    MF_TRY(mf_names_only(&w->e->names, w->e->labels, (size_t)w->e->priors.k, &kept));
    mf_status status = mf_artifact_set_names(a, &kept);
    mf_names_clear(&kept);
    return status;
}

static mf_status add_values(mf_artifact *a, const char *name, const int32_t *values, int64_t count)
{
    mf_array *array;
    MF_TRY(mf_array_new(MF_I32, 1, &count, &array));
    if (count)
        memcpy(array->data, values, (size_t)count * sizeof *values);
    mf_status status = mf_artifact_add(a, name, array);
    mf_array_unref(array);
    return status;
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* What is labelled by itself, on the training grid (w->mask) and as a mask of the scan. */
static mf_status stand_alone(work *w, const float *probability, int64_t label)
{
    const mf_mask whole = {.hi = {w->own.size[2], w->own.size[1], w->own.size[0]},
                           .score = 1,
                           .seed_axis = -1,
                           .seed_slice = -1};
    bool added;
    for (int64_t v = 0; v < w->voxels; v++)
        w->part[v] = (double)probability[v] >= w->q->threshold;
    if (w->q->keep_largest)
        MF_TRY(mf_largest_component(w->part, w->size));
    for (int64_t v = 0; v < w->voxels; v++)
        w->mask[v] = w->part[v] != 0;
    uint8_t *dense = malloc((size_t)w->own_voxels);
    if (!dense)
        return mf_no_memory((size_t)w->own_voxels, "a mask");
    mf_status status = restore(w, w->mask, 1, false, dense);
    if (!status)
        status = mf_masks_add(w->masks, &whole, dense, &added);
    if (!status && added)
        w->kept[w->kept_count++] = (int32_t)label;
    free(dense);
    return status;
}

static mf_status take_label(work *w, int64_t i, const float *probability)
{
    int64_t label = w->e->labels[i];
    if (!w->q->compete)
        MF_TRY(stand_alone(w, probability, label));
    mf_window_claim(probability, w->voxels, w->q->threshold, w->q->compete ? NULL : w->mask, label,
                    w->best, w->labels);
    if (!w->probabilities)
        return MF_OK;
    return restore(w, probability, sizeof *probability, true,
                   (float *)w->probabilities->data + i * w->own_voxels);
}

static mf_status step(void *user, int64_t done, int64_t total)
{
    work *w = user;
    mf_progress(w->task, w->at * total + done, w->groups * total, NULL);
    return mf_cancel_point(w->task);
}

static mf_status find_all(work *w)
{
    int64_t k = w->e->priors.k, most = group_of(w->q, k);
    mf_segmenting how = w->q->windows;
    how.step = step;
    how.user = w;
    w->groups = (k + most - 1) / most;
    for (int64_t first = 0; first < k; first += most, w->at++) {
        int64_t count = k - first < most ? k - first : most;
        MF_TRY(mf_predictor_segment(w->predictor, w->image, w->size, &w->e->priors, first, count,
                                    &how, w->group));
        for (int64_t i = 0; i < count; i++)
            MF_TRY(take_label(w, first + i, w->group + i * w->voxels));
    }
    return w->q->compete && w->q->keep_largest ? mf_largest_component(w->labels, w->size) : MF_OK;
}

static mf_status make_room(work *w)
{
    const int64_t k = w->e->priors.k;
    const int64_t shape[4] = {k, w->own.size[2], w->own.size[1], w->own.size[0]};
    size_t voxels = (size_t)w->voxels, group;
    if (!mf_size_mul(voxels * sizeof(float), (size_t)group_of(w->q, k), &group))
        return mf_fail(MF_NO_MEMORY, "sizes overflow");
    w->group = malloc(group);
    w->best = calloc(voxels, sizeof *w->best);
    w->labels = calloc(voxels, sizeof *w->labels);
    w->full = malloc((size_t)mf_grid_voxels(&w->grid) * sizeof(float));
    w->kept = calloc((size_t)k, sizeof *w->kept);
    bool all = w->group && w->best && w->labels && w->full && w->kept;
    if (!w->q->compete) {
        w->part = calloc(voxels, sizeof *w->part);
        w->mask = calloc(voxels, sizeof *w->mask);
        all = all && w->part && w->mask;
    }
    if (!all)
        return mf_no_memory(group, "%lld probability maps of %zu voxels",
                            (long long)group_of(w->q, k), voxels);
    if (!w->q->compete)
        MF_TRY(mf_masks_begin(&w->own, &w->masks));
    return w->q->probabilities ? mf_array_new(MF_F32, 4, shape, &w->probabilities) : MF_OK;
}

static mf_status publish_labels(work *w, const mf_artifact *scan, mf_artifact **labels)
{
    int64_t shape[3];
    mf_array *voxels;
    mf_zyx(w->own.size, shape);
    MF_TRY(mf_array_new(MF_U16, 3, shape, &voxels));
    mf_status status = restore(w, w->labels, sizeof *w->labels, false, voxels->data);
    if (!status)
        status = wrap(w, "labels", "voxels", voxels, scan, labels);
    mf_array_unref(voxels);
    return status ? status : add_names(w, *labels);
}

static mf_status publish_masks(work *w, const mf_artifact *scan, mf_artifact **masks)
{
    MF_TRY(wrap(w, "masks", NULL, NULL, scan, masks));
    mf_masks_builder *builder = w->masks;
    w->masks = NULL;
    MF_TRY(mf_masks_finish(builder, *masks));
    MF_TRY(add_names(w, *masks));
    return add_values(*masks, "label", w->kept, w->kept_count);
}

static mf_status publish_probabilities(work *w, const mf_artifact *scan, mf_artifact **maps)
{
    MF_TRY(wrap(w, "probabilities", "values", w->probabilities, scan, maps));
    for (int64_t i = 0; i < w->e->priors.k; i++)
        w->kept[i] = (int32_t)w->e->labels[i];
    MF_TRY(add_names(w, *maps));
    return add_values(*maps, "labels", w->kept, w->e->priors.k);
}

static mf_status segment(work *w, const mf_artifact *scan, mf_query_result *result)
{
    MF_TRY(read_scan(w, scan));
    MF_TRY(make_room(w));
    MF_TRY(find_all(w));
    MF_TRY(publish_labels(w, scan, &result->labels));
    if (w->masks)
        MF_TRY(publish_masks(w, scan, &result->masks));
    return w->probabilities ? publish_probabilities(w, scan, &result->probabilities) : MF_OK;
}

mf_status mf_query_segment(mf_task *task, mf_predictor *predictor, const mf_query *q,
                           const mf_artifact *scan, const mf_embedding *e, mf_query_result *result)
{
    work w = {.task = task, .predictor = predictor, .q = q, .e = e};
    *result = (mf_query_result){0};
    mf_status status = segment(&w, scan, result);
    if (status)
        mf_query_result_clear(result);
    if (w.masks)
        mf_masks_abandon(w.masks);
    mf_array_unref(w.probabilities);
    free(w.image);
    free(w.group);
    free(w.best);
    free(w.labels);
    free(w.part);
    free(w.mask);
    free(w.full);
    free(w.kept);
    return status;
}
