/* propagation.c - see propagation.h. A slice's features are asked for once for all objects that
 * walk together; what they leave on it is kept as bits. */
#include "propagation.h"
#include "../../common/parallel.h"
#include "../shared/area.h"
#include "../shared/zoom.h"
#include <stdlib.h>
#include <string.h>

/* Reverse reads the memories of up to so many slices behind the seed: before those are there
 * nothing may end, or the result would depend on who walks together. */
enum { REMEMBERED = 16 };

static mf_status no_memory(void)
{
    return mf_no_memory(0, "the propagation of objects");
}

/* Objects first..first + count - 1 of a group, as one batch of the model. */
typedef struct chunk {
    int64_t first, count;
    sam2_track *track;
} chunk;

typedef struct tool {
    sam2_zoom *zoom;
    sam2_parts parts;
} tool;

typedef struct walk {
    sam2_propagator *f;
    const sam2_group *g;
    int64_t first, count; /* objects of the group that walk now */
    int64_t frames, at;   /* at: the slice that is looked at */
    bool reverse;
    int64_t low; /* edge of low-resolution logits */
    chunk *chunk;
    int64_t chunks;
    float *logits;     /* [count, low, low] of this slice */
    sam2_patch *patch; /* [count, frames] */
    int64_t *empty;    /* [count] slices in a row without it */
    bool *ended;       /* [count] */
    tool *tools;       /* [threads] */
} walk;

/* ---- order ----------------------------------------------------------------------------------- */

/* Place of a slice in a walk from `seed`: forward, then reverse. */
static int64_t place(int64_t slice, int64_t seed, int64_t frames)
{
    return slice >= seed ? slice - seed : frames - 1 - slice;
}

static int64_t when(const void *user, int64_t slice)
{
    const walk *w = user;
    const sam2_propagator *f = w->f;
    const int64_t now = place(w->at, w->g->slice, w->frames);
    const int64_t then = place(slice, w->g->slice, w->frames);
    if (then > now)
        return then - now;
    if (w->first + w->count < w->g->count) /* the rest of the group walks next */
        return w->frames - now + then;
    if (f->next_axis != w->g->axis)
        return INT64_MAX;
    return w->frames - now + place(slice, f->next_slice, w->frames);
}

/* ---- one slice ------------------------------------------------------------------------------- */

/* Takes down object i's mask on the slice: holes filled, logits above 0. */
static mf_status note(void *user, int worker, int64_t i)
{
    walk *w = user;
    tool *own = w->tools + worker;
    float *logits = w->logits + i * w->low * w->low;
    sam2_patch *p = w->patch + i * w->frames + w->at;
    const int64_t max_empty_slices = w->f->o.max_empty_slices;
    if (w->ended[i])
        return MF_OK;
    MF_TRY(sam2_area_fill(&own->parts, logits, w->low, w->low, w->f->o.fill_hole_area));
    MF_TRY(sam2_zoom_patch(own->zoom, logits, 0, p));
    w->empty[i] = p->bits ? 0 : w->empty[i] + 1;
    w->ended[i] = max_empty_slices > 0 && w->empty[i] >= max_empty_slices;
    return MF_OK;
}

static bool all_ended(const walk *w)
{
    const int64_t away = w->at > w->g->slice ? w->at - w->g->slice : w->g->slice - w->at;
    if (!w->reverse && away < REMEMBERED)
        return false;
    for (int64_t i = 0; i < w->count; i++)
        if (!w->ended[i])
            return false;
    return true;
}

static mf_status step(walk *w)
{
    const sam2_features *features;
    MF_TRY(mf_cancel_point(w->f->task));
    MF_TRY(sam2_cache_get(w->f->cache, w->g->axis, w->at, when, w, &features));
    for (int64_t c = 0; c < w->chunks; c++) {
        float *logits = w->logits + (w->chunk[c].first - w->first) * w->low * w->low;
        MF_TRY(sam2_track_step(w->chunk[c].track, w->at, w->reverse, features, logits, NULL, NULL));
    }
    return mf_parallel(w->f->o.threads, w->count, note, w);
}

static void tell(const walk *w, int64_t steps)
{
    mf_progress(w->f->task, w->f->done + steps * w->count, w->f->total, w->f->words);
}

static mf_status go(walk *w, bool reverse, int64_t *steps)
{
    const int64_t by = reverse ? -1 : 1;
    w->reverse = reverse;
    memset(w->empty, 0, (size_t)w->count * sizeof *w->empty);
    memset(w->ended, 0, (size_t)w->count * sizeof *w->ended);
    for (w->at = w->g->slice + by; w->at >= 0 && w->at < w->frames; w->at += by) {
        MF_TRY(step(w));
        tell(w, ++*steps);
        if (all_ended(w))
            break;
    }
    return MF_OK;
}

/* ---- the seed -------------------------------------------------------------------------------- */

static mf_status start_masks(walk *w, chunk *c, const sam2_features *features)
{
    const int64_t image = sam2_predictor_config(w->f->predictor)->image, pixels = image * image;
    uint8_t *masks = malloc((size_t)(c->count * pixels));
    if (!masks)
        return no_memory();
    for (int64_t i = 0; i < c->count; i++)
        memcpy(masks + i * pixels, w->g->object[c->first + i].mask, (size_t)pixels);
    mf_status status = sam2_track_new(w->f->predictor, w->frames, w->g->slice, c->count, masks,
                                      features, w->f->o.fill_hole_area, &c->track);
    free(masks);
    return status;
}

static mf_status start_points(walk *w, chunk *c, const sam2_features *features)
{
    const int64_t points = w->g->object[c->first].points, n = c->count * points;
    float *xy = malloc((size_t)n * sizeof(float[2]));
    int32_t *labels = malloc((size_t)n * sizeof *labels);
    mf_status status = xy && labels ? MF_OK : no_memory();
    for (int64_t i = 0; i < c->count && !status; i++) {
        const sam2_object *o = w->g->object + c->first + i;
        memcpy(xy + 2 * i * points, o->xy, (size_t)points * sizeof(float[2]));
        memcpy(labels + i * points, o->labels, (size_t)points * sizeof *labels);
    }
    const sam2_prompts prompts = {c->count, points, xy, labels, true, NULL};
    if (!status)
        status = sam2_track_new_prompted(w->f->predictor, w->frames, w->g->slice, &prompts,
                                         features, w->f->o.fill_hole_area, &c->track);
    free(xy);
    free(labels);
    return status;
}

static mf_status start(walk *w)
{
    const sam2_features *features;
    w->at = w->g->slice;
    MF_TRY(sam2_cache_get(w->f->cache, w->g->axis, w->at, when, w, &features));
    for (int64_t first = 0; first < w->count; first += w->f->o.batch) {
        const int64_t rest = w->count - first;
        chunk *c = w->chunk + w->chunks++;
        *c = (chunk){w->first + first, rest < w->f->o.batch ? rest : w->f->o.batch, NULL};
        MF_TRY(w->g->object[c->first].mask ? start_masks(w, c, features)
                                           : start_points(w, c, features));
        sam2_track_seed_output(c->track, w->logits + first * w->low * w->low, NULL, NULL);
    }
    return mf_parallel(w->f->o.threads, w->count, note, w);
}

/* ---- what remains ---------------------------------------------------------------------------- */

/* The box of all patches of an object; false where there is none. */
static bool box_of(const walk *w, const sam2_patch *patch, int64_t lo[3], int64_t hi[3])
{
    int64_t first = -1, last = -1, low[2] = {0}, high[2] = {0};
    for (int64_t i = 0; i < w->frames; i++) {
        if (!patch[i].bits)
            continue;
        for (int k = 0; k < 2; k++) {
            low[k] = first < 0 || patch[i].lo[k] < low[k] ? patch[i].lo[k] : low[k];
            high[k] = first < 0 || patch[i].hi[k] > high[k] ? patch[i].hi[k] : high[k];
        }
        first = first < 0 ? i : first;
        last = i;
    }
    if (first < 0)
        return false;
    sam2_slice_box(w->g->axis, first, low, high, lo, hi);
    hi[w->g->axis] = last + 1;
    return true;
}

/* Patches of all slices as dense u8 [hi - lo]. */
static mf_status fill(const walk *w, const sam2_patch *patch, const int64_t lo[3],
                      const int64_t hi[3], uint8_t *dense)
{
    const int axis = w->g->axis, rows = axis == 0 ? 1 : 0, columns = axis == 2 ? 1 : 2;
    const int64_t low[2] = {lo[rows], lo[columns]}, high[2] = {hi[rows], hi[columns]};
    const int64_t h = high[0] - low[0], width = high[1] - low[1];
    const int64_t size[3] = {hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]};
    const int64_t step[3] = {size[1] * size[2], size[2], 1};
    uint8_t *flat = malloc((size_t)(h * width));
    if (!flat)
        return no_memory();
    for (int64_t i = lo[axis]; i < hi[axis]; i++) {
        uint8_t *to = dense + (i - lo[axis]) * step[axis];
        sam2_patch_crop(patch + i, low, high, width, flat);
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < width; x++)
                to[y * step[rows] + x * step[columns]] = flat[y * width + x];
    }
    free(flat);
    return MF_OK;
}

/* Object i as a 3D mask: cleaned up, and dropped where little is left. */
static mf_status finish(walk *w, int64_t i, sam2_list *list)
{
    sam2_propagator *f = w->f;
    sam2_found found = {.mask = {.score = w->g->object[w->first + i].score,
                                 .seed_axis = w->g->axis,
                                 .seed_slice = (int32_t)w->g->slice},
                        .label = w->g->object[w->first + i].label};
    const sam2_patch *patch = w->patch + i * w->frames;
    int64_t *lo = found.mask.lo, *hi = found.mask.hi, voxels = 0;
    if (!box_of(w, patch, lo, hi)) {
        f->empty++;
        return MF_OK;
    }
    const int64_t size[3] = {hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]};
    uint8_t *dense = malloc((size_t)(size[0] * size[1] * size[2]));
    mf_status status = dense ? fill(w, patch, lo, hi, dense) : no_memory();
    if (!status && f->o.keep_largest)
        status = sam2_area_keep(&w->tools[0].parts, dense, size, w->g->axis,
                                w->g->slice - lo[w->g->axis], &voxels);
    for (int64_t v = 0; !f->o.keep_largest && v < size[0] * size[1] * size[2] && !status; v++)
        voxels += dense[v];
    if (!status && voxels < f->o.min_voxels)
        f->small++;
    else if (!status)
        status = sam2_list_add(list, &found, dense);
    free(dense);
    return status;
}

/* ---- a walk ---------------------------------------------------------------------------------- */

static void walk_clear(walk *w)
{
    for (int64_t c = 0; c < w->chunks; c++)
        sam2_track_free(w->chunk[c].track);
    for (int64_t i = 0; i < w->count * w->frames && w->patch; i++)
        sam2_patch_clear(w->patch + i);
    for (int i = 0; i < w->f->o.threads && w->tools; i++) {
        sam2_zoom_free(w->tools[i].zoom);
        sam2_parts_clear(&w->tools[i].parts);
    }
    free(w->chunk);
    free(w->logits);
    free(w->patch);
    free(w->empty);
    free(w->ended);
    free(w->tools);
}

static mf_status walk_new(walk *w)
{
    int64_t h, width;
    const size_t n = (size_t)w->count;
    sam2_stack_size(w->f->stack, w->g->axis, &h, &width);
    w->chunk = calloc(n, sizeof *w->chunk);
    w->logits = malloc(n * (size_t)(w->low * w->low) * sizeof *w->logits);
    w->patch = calloc(n * (size_t)w->frames, sizeof *w->patch);
    w->empty = calloc(n, sizeof *w->empty);
    w->ended = calloc(n, sizeof *w->ended);
    w->tools = calloc((size_t)w->f->o.threads, sizeof *w->tools);
    if (!w->chunk || !w->logits || !w->patch || !w->empty || !w->ended || !w->tools)
        return no_memory();
    for (int i = 0; i < w->f->o.threads; i++)
        MF_TRY(sam2_zoom_new(w->low, h, width, &w->tools[i].zoom));
    return MF_OK;
}

/* Objects first..first + count - 1 of the group. Nothing is added before all has gone well. */
static mf_status run(sam2_propagator *f, const sam2_group *g, int64_t first, int64_t count,
                     sam2_list *list)
{
    walk w = {.f = f,
              .g = g,
              .first = first,
              .count = count,
              .frames = sam2_stack_count(f->stack, g->axis),
              .low = sam2_predictor_config(f->predictor)->image / 4};
    const int64_t before = list->count, small = f->small, empty = f->empty;
    int64_t steps = 0;
    mf_status status = walk_new(&w);
    if (!status)
        status = start(&w);
    if (!status)
        status = go(&w, false, &steps);
    if (!status)
        status = go(&w, true, &steps);
    for (int64_t i = 0; i < count && !status; i++)
        status = finish(&w, i, list);
    if (status) {
        sam2_list_cut(list, before);
        f->small = small;
        f->empty = empty;
    } else {
        f->done += count * (w.frames - 1);
        mf_progress(f->task, f->done, f->total, f->words);
    }
    walk_clear(&w);
    return status;
}

/* Fewer together, then smaller batches; false when there is but one object. */
static bool shrink(sam2_propagator *f, int64_t count)
{
    if (count <= 1)
        return false;
    f->together = count > f->o.batch && count / 2 < f->o.batch ? f->o.batch : count / 2;
    f->o.batch = f->o.batch < f->together ? f->o.batch : f->together;
    mf_log(f->task, "memory is short: %lld objects together, %lld in a batch",
           (long long)f->together, (long long)f->o.batch);
    return true;
}

mf_status sam2_propagate(sam2_propagator *f, const sam2_group *g, sam2_list *list)
{
    for (int64_t first = 0; first < g->count;) {
        const int64_t rest = g->count - first;
        const int64_t count = f->together && f->together < rest ? f->together : rest;
        mf_status status = run(f, g, first, count, list);
        if (!status) {
            first += count;
            continue;
        }
        if (mf_error_code(status) != MF_NO_MEMORY || !shrink(f, count))
            return status;
        mf_error_free(status);
    }
    return MF_OK;
}
