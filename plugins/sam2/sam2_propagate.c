/* sam2_propagate.c - stage sam2.propagate: propagates 2D masks through the scan. */
#include "model/session.h"
#include "propagation/propagation.h"
#include "sam2_propagate.code.h"
#include "sam2_stages.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct propagate_params {
    int64_t min_voxels, fill_hole_area, max_empty_slices, objects_per_batch, objects_per_pass,
        feature_cache, device_memory;
    bool keep_largest;
    double checkpoint_interval;
} propagate_params;

static const mf_param params[] = {
    MF_INT(propagate_params, min_voxels, "-1", -1, 1e12, "voxels",
           "Minimum size. Smaller masks are dropped. -1: min_voxels of the seeds, or 1."),
    MF_BOOL(propagate_params, keep_largest, "true",
            "Keep only the largest component of a mask that intersects its seed slice."),
    SAM2_OBJECT_PARAMS(propagate_params),
    MF_INT_MARKED(propagate_params, objects_per_pass, "0", 0, 1e6, "", MF_NO_CACHE,
                  "Objects of a slice that are propagated in one pass; each pass encodes every "
                  "slice once. 0: all. It is halved if memory is short."),
    SAM2_FEATURE_PARAM(propagate_params),
    SAM2_MEMORY_PARAM(propagate_params),
    MF_REAL_MARKED(
        propagate_params, checkpoint_interval, "120", 0, 1e9, "s", MF_NO_CACHE,
        "Minimum time between two checkpoints. Checkpoints are saved between seed slices."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("slices", "slices", "The scan as RGB slices, from window.rgb."),
    MF_PORT("seeds", "seeds", "2D masks on some of its slices, across any axis."),
    MF_PORT("model", "model", "A SAM 2 model with memory (video)."), MF_END};
static const mf_port outputs[] = {
    MF_PORT("masks", "masks",
            "3D masks. score: predicted IoU of the seed. seed: its axis and slice."),
    MF_END};

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const propagate_params *o = p;
    const mf_artifact *slices, *seeds, *model;
    sam2_config config;
    mf_grid grid;
    MF_TRY(mf_in(t, "slices", &slices));
    MF_TRY(mf_in(t, "seeds", &seeds));
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(mf_artifact_grid(slices, &grid));
    MF_TRY(sam2_config_of(model, &config));
    const double voxels = (double)mf_grid_voxels(&grid), objects = (double)mf_masks_count(seeds);
    /* slices, one mask as voxels, all as bits; features; weights while they are read */
    n->host_bytes = (size_t)(voxels * 4 + voxels * objects / 64) +
                    ((size_t)o->feature_cache << 20) + (1u << 30);
    n->cpu = 4;
    n->cost = objects * (double)grid.size[2] * (double)(config.image * config.image) * 1e-7;
    return sam2_session_needs(t, o->device_memory, 0, o->objects_per_batch, &grid, n);
}

/* ---- groups ---------------------------------------------------------------------------------- */

typedef struct order {
    int axis;
    int64_t slice, index; /* of the seed */
} order;

static int by_slice(const void *a, const void *b)
{
    const order *x = a, *y = b;
    if (x->axis != y->axis)
        return x->axis < y->axis ? -1 : 1;
    if (x->slice != y->slice)
        return x->slice < y->slice ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

typedef struct work {
    mf_task *task;
    const propagate_params *o;
    const mf_artifact *slices, *seeds;
    sam2_stack stack;
    sam2_propagator propagator;
    order *order; /* [seeds] */
    int64_t count;
    sam2_list list;
    char words[64];
} work;

/* Seeds by axis and slice; those outside of the scan, or thicker than a slice, are an error. */
static mf_status sort_seeds(work *w)
{
    w->count = mf_masks_count(w->seeds);
    w->order = calloc((size_t)w->count + 1, sizeof *w->order);
    if (!w->order)
        return mf_no_memory(((size_t)w->count + 1) * sizeof *w->order, "a list of seeds");
    for (int64_t i = 0; i < w->count; i++) {
        mf_mask m;
        MF_TRY(mf_masks_get(w->seeds, i, &m));
        const int a = m.seed_axis;
        if (a < 0 || a > 2 || m.lo[a] != m.seed_slice || m.hi[a] != m.lo[a] + 1)
            return mf_fail(MF_INVALID, "seed %lld is not a mask of one slice", (long long)i);
        for (int k = 0; k < 3; k++)
            if (m.hi[k] > sam2_stack_count(&w->stack, k))
                return mf_fail(MF_INVALID, "seed %lld reaches outside of the scan", (long long)i);
        w->order[i] = (order){a, m.seed_slice, i};
    }
    qsort(w->order, (size_t)w->count, sizeof *w->order, by_slice);
    return MF_OK;
}

/* Seeds from `first` on that share a slice. */
static int64_t group_size(const work *w, int64_t first)
{
    int64_t n = 1;
    while (first + n < w->count && w->order[first + n].axis == w->order[first].axis &&
           w->order[first + n].slice == w->order[first].slice)
        n++;
    return n;
}

/* A seed's mask at the size of the model, u8 [image, image]. */
static mf_status read_seed(const work *w, int64_t index, int64_t image, uint8_t *mask, float *score)
{
    int64_t h, width, lo[3], hi[3];
    mf_mask m;
    MF_TRY(mf_masks_get(w->seeds, index, &m));
    sam2_stack_size(&w->stack, m.seed_axis, &h, &width);
    uint8_t *slice = malloc((size_t)(h * width));
    if (!slice)
        return mf_no_memory((size_t)(h * width), "a seed");
    sam2_slice_box(m.seed_axis, m.seed_slice, (int64_t[]){0, 0}, (int64_t[]){h, width}, lo, hi);
    mf_status status = mf_masks_crop(w->seeds, index, lo, hi, slice);
    if (!status)
        status = sam2_picture_mask(slice, h, width, image, mask);
    free(slice);
    *score = m.score;
    return status;
}

static mf_status follow_group(work *w, int64_t first, int64_t n)
{
    sam2_propagator *f = &w->propagator;
    const order *o = w->order + first, *next = first + n < w->count ? o + n : NULL;
    const int64_t image = sam2_predictor_config(f->predictor)->image, pixels = image * image;
    sam2_object *object = calloc((size_t)n, sizeof *object);
    uint8_t *masks = malloc((size_t)(n * pixels));
    mf_status status = object && masks ? MF_OK : mf_no_memory(0, "the seeds of a slice");
    for (int64_t i = 0; i < n && !status; i++) {
        object[i].mask = masks + i * pixels;
        status = read_seed(w, o[i].index, image, masks + i * pixels, &object[i].score);
    }
    const sam2_group group = {o->axis, o->slice, n, object};
    f->next_axis = next ? next->axis : -1;
    f->next_slice = next ? next->slice : 0;
    if (!status)
        status = sam2_propagate(f, &group, &w->list);
    free(object);
    free(masks);
    return status;
}

/* ---- checkpoints: the masks of the first i seeds in their order, and what was dropped ---------
 */

static mf_status save(work *w, int64_t i)
{
    mf_artifact *state;
    MF_TRY(sam2_list_save(&w->list, &state));
    mf_status status = mf_artifact_set_int(state, "small", w->propagator.small);
    if (!status)
        status = mf_artifact_set_int(state, "empty", w->propagator.empty);
    if (!status)
        status = mf_checkpoint_save(w->task, i, state, false);
    mf_artifact_unref(state);
    return status;
}

static mf_status resume(work *w, int64_t *i)
{
    mf_artifact *state;
    *i = 0;
    MF_TRY(mf_checkpoint_load(w->task, w->count, i, &state));
    if (!state)
        return MF_OK;
    mf_status status = sam2_list_load(&w->list, state);
    if (!status && (!mf_artifact_int(state, "small", &w->propagator.small) ||
                    !mf_artifact_int(state, "empty", &w->propagator.empty)))
        status = mf_fail(MF_CORRUPT, "a checkpoint that does not say what was dropped");
    mf_artifact_unref(state);
    if (!status)
        mf_log(w->task, "resumes after %lld of %lld seeds", (long long)*i, (long long)w->count);
    return status;
}

static mf_status follow_all(work *w)
{
    int64_t done;
    MF_TRY(resume(w, &done));
    for (int64_t first = 0, n; first < w->count; first += n) {
        n = group_size(w, first);
        const order *o = w->order + first;
        if (first < done) {
            w->propagator.done += n * (sam2_stack_count(&w->stack, o->axis) - 1);
            continue;
        }
        snprintf(w->words, sizeof w->words, "%lld objects of slice %lld across %c", (long long)n,
                 (long long)o->slice, "zyx"[o->axis]);
        mf_status status = follow_group(w, first, n);
        if (status && mf_error_code(status) == MF_CANCELLED && first > done)
            mf_log_error(w->task, save(w, first)); /* what has been found is kept */
        MF_TRY(mf_within(status, "%s", w->words));
        if (first + n < w->count && mf_checkpoint_due(w->task, w->o->checkpoint_interval))
            MF_TRY(save(w, first + n));
    }
    return MF_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

static int64_t min_voxels_of(const work *w)
{
    int64_t least = w->o->min_voxels;
    if (least < 0 && !mf_artifact_int(w->seeds, "min_voxels", &least))
        least = 1;
    return least;
}

static mf_status follow_seeds(work *w)
{
    sam2_propagator *f = &w->propagator;
    mf_grid grid;
    MF_TRY(mf_in(w->task, "slices", &w->slices));
    MF_TRY(mf_in(w->task, "seeds", &w->seeds));
    MF_TRY(sam2_stack_read(w->slices, &w->stack));
    MF_TRY(mf_artifact_grid(w->seeds, &grid));
    if (!mf_grid_equal(&grid, &w->stack.grid, 0.01))
        return mf_fail(MF_INVALID, "the seeds do not lie on the slices' grid");
    MF_TRY(sort_seeds(w));
    for (int64_t i = 0; i < w->count; i++)
        f->total += sam2_stack_count(&w->stack, w->order[i].axis) - 1;
    mf_progress(w->task, 0, f->total, NULL);
    MF_TRY(sam2_cache_new(f->predictor, &w->stack, (size_t)w->o->feature_cache << 20, &f->cache));
    f->o.min_voxels = min_voxels_of(w);
    MF_TRY(follow_all(w));
    mf_log(
        w->task,
        "%lld masks of %lld seeds: %lld below %lld voxels, %lld without a mask on a second slice",
        (long long)w->list.count, (long long)w->count, (long long)f->small,
        (long long)f->o.min_voxels, (long long)f->empty);
    mf_artifact *masks;
    MF_TRY(sam2_list_publish(&w->list, "masks", &w->stack.grid, w->slices, &masks));
    return mf_out(w->task, "masks", masks);
}

static mf_status open(mf_task *t, const void *p, void **session)
{
    return sam2_session_open(t, ((const propagate_params *)p)->device_memory, true, session);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const propagate_params *o = p;
    work *w = calloc(1, sizeof *w);
    if (!w)
        return mf_no_memory(sizeof *w, "the propagation of seeds");
    w->task = t;
    w->o = o;
    w->propagator =
        (sam2_propagator){.task = t,
                          .predictor = session,
                          .stack = &w->stack,
                          .o = {.batch = o->objects_per_batch,
                                .fill_hole_area = sam2_hole_area(session, o->fill_hole_area),
                                .max_empty_slices = o->max_empty_slices,
                                .keep_largest = o->keep_largest,
                                .threads = mf_task_threads(t)},
                          .together = o->objects_per_pass,
                          .words = w->words};
    mf_status status = follow_seeds(w);
    sam2_cache_free(w->propagator.cache);
    sam2_list_clear(&w->list);
    sam2_stack_clear(&w->stack);
    free(w->order);
    free(w);
    return status;
}

MF_STAGE(
    mf_stage_sam2_propagate, "sam2.propagate", 2,
    "Propagates 2D masks through the scan to 3D masks, with SAM 2.",
    .help = "Each object starts on its seed slice and is propagated to the last slice, then to the "
            "first. Of its 3D mask, the largest component that intersects the seed slice is kept. "
            "Objects with seeds on several slices give several masks: remove the duplicates with "
            "masks.nms. Batch sizes and memory limits do not change the result.",
    .params = params, .params_size = sizeof(propagate_params), .in = inputs, .out = outputs,
    .program = true, .tolerance = 1e-2, /* voxels at the edge of a threshold */
    .needs = needs, .open = open, .close = sam2_session_close, .run = run, .saves = true);
