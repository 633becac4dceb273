/* sam2_segment.c - stage sam2.segment: 3D masks of objects from points, boxes or masks. */
#include "model/session.h"
#include "propagation/propagation.h"
#include "propagation/request.h"
#include "sam2_segment.code.h"
#include "sam2_stages.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct segment_params {
    mf_reals points, box;
    mf_ints labels, obj_ids;
    const char *unit, *axis;
    int64_t min_voxels, fill_hole_area, max_empty_slices, objects_per_batch, feature_cache,
        device_memory;
    bool keep_largest;
} segment_params;

static const mf_param params[] = {
    MF_REALS(segment_params, points, "[]", -1e9, 1e9, "",
             "Points: x, y, z, x, y, z, ... in `unit`."),
    MF_INTS(segment_params, labels, "[]", 0, 1, "",
            "Label of each point: 1 foreground, 0 background. Empty: all foreground."),
    MF_REALS(segment_params, box, "[]", -1e9, 1e9, "",
             "Boxes: x, y, z of two opposite corners, six numbers per box, in `unit`. Of a box "
             "with several slices, the middle slice is used."),
    MF_INTS(segment_params, obj_ids, "[]", 1, 1e6, "",
            "Object id of each point, then of each box. Empty: all belong to one object."),
    MF_CHOICE(segment_params, unit, "voxel", "voxel|mm",
              "Unit of points and boxes. voxel: voxels of the scan's file, from 0, as in viewers "
              "and nibabel. mm: world coordinates (RAS+)."),
    MF_CHOICE(segment_params, axis, "slices", "slices|z|y|x",
              "Axis of the prompted slice and of the propagation. slices: that of the input."),
    MF_INT(segment_params, min_voxels, "1", 0, 1e12, "voxels",
           "Minimum size. Smaller masks are dropped."),
    MF_BOOL(segment_params, keep_largest, "false",
            "Keep only the largest component of a mask that intersects its prompted slice."),
    SAM2_OBJECT_PARAMS(segment_params),
    SAM2_FEATURE_PARAM(segment_params),
    SAM2_MEMORY_PARAM(segment_params),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("slices", "slices", "The scan as RGB slices, from window.rgb."),
    MF_PORT("model", "model", "A SAM 2 model with memory (video)."),
    MF_PORT(
        "prompt", "labels?",
        "Mask prompts instead of points and boxes: each label is an object, prompted on the slice "
        "where it is largest."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("masks", "masks",
            "3D masks in order of object id or label; the array `label` has "
            "the values. Masks below min_voxels are missing."),
    MF_END};

static sam2_request request_of(const segment_params *o)
{
    return (sam2_request){o->points, o->labels, o->box, o->obj_ids, !strcmp(o->unit, "mm")};
}

static mf_status check(const void *p)
{
    const sam2_request r = request_of(p);
    return sam2_request_check(&r);
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const segment_params *o = p;
    const mf_artifact *slices;
    mf_grid grid;
    MF_TRY(mf_in(t, "slices", &slices));
    MF_TRY(mf_artifact_grid(slices, &grid));
    n->host_bytes =
        (size_t)((double)mf_grid_voxels(&grid) * 6) + ((size_t)o->feature_cache << 20) + (1u << 30);
    n->cpu = 4;
    n->cost = (double)grid.size[2];
    return sam2_session_needs(t, o->device_memory, 1, o->objects_per_batch, &grid, n);
}

typedef struct work {
    mf_task *task;
    const segment_params *o;
    const mf_artifact *slices;
    sam2_stack stack;
    sam2_propagator propagator;
    int axis;
    sam2_list list;
    char words[64];
} work;

static int64_t image_of(const work *w)
{
    return sam2_predictor_config(w->propagator.predictor)->image;
}

static mf_status follow(work *w, int64_t slice, int64_t count, const sam2_object *objects,
                        int64_t next_slice)
{
    const sam2_group group = {w->axis, slice, count, objects};
    snprintf(w->words, sizeof w->words, "%lld objects of slice %lld across %c", (long long)count,
             (long long)slice, "zyx"[w->axis]);
    w->propagator.next_axis = next_slice < 0 ? -1 : w->axis;
    w->propagator.next_slice = next_slice;
    return mf_within(sam2_propagate(&w->propagator, &group, &w->list), "%s", w->words);
}

/* ---- points and boxes ------------------------------------------------------------------------ */

/* Pixels of the slice as the model has them. */
static void to_model(const work *w, sam2_target *t)
{
    int64_t h, width;
    sam2_stack_size(&w->stack, w->axis, &h, &width);
    for (int64_t i = 0; i < t->count; i++) {
        t->xy[2 * i] = t->xy[2 * i] / (float)width * (float)image_of(w);
        t->xy[2 * i + 1] = t->xy[2 * i + 1] / (float)h * (float)image_of(w);
    }
}

/* One after another: objects with other numbers of points do not fit into one batch. */
static mf_status follow_targets(work *w)
{
    const sam2_request r = request_of(w->o);
    sam2_target *targets;
    int64_t count;
    MF_TRY(sam2_request_targets(&r, &w->stack, w->axis, &targets, &count));
    mf_status status = count ? MF_OK
                             : mf_hint(mf_fail(MF_INVALID, "there is no prompt"),
                                       "give points, a box, or labels at the input 'prompt'");
    w->propagator.total = count * (sam2_stack_count(&w->stack, w->axis) - 1);
    mf_progress(w->task, 0, w->propagator.total, NULL);
    for (int64_t i = 0; i < count && !status; i++) {
        sam2_target *t = targets + i;
        to_model(w, t);
        const sam2_object object = {.xy = t->xy,
                                    .labels = t->labels,
                                    .points = t->count,
                                    .score = 1,
                                    .label = (int32_t)t->object};
        status = follow(w, t->slice, 1, &object, i + 1 < count ? targets[i + 1].slice : -1);
    }
    sam2_targets_free(targets, count);
    return status;
}

/* ---- labels ---------------------------------------------------------------------------------- */

typedef struct shown {
    int32_t label;
    int64_t slice; /* where it is largest, the first of equals */
} shown;

static int by_slice(const void *a, const void *b)
{
    const shown *x = a, *y = b;
    if (x->slice != y->slice)
        return x->slice < y->slice ? -1 : 1;
    return (x->label > y->label) - (x->label < y->label);
}

/* The labels there are among voxels u16 [count], in order of their first voxel. number: [65536] of
 * zeros, 1 + place of each label in the list. */
static int64_t number_labels(const uint16_t *voxels, int64_t count, int32_t *number, shown *list)
{
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        if (voxels[i] && !number[voxels[i]]) {
            list[n].label = voxels[i];
            number[voxels[i]] = (int32_t)++n;
        }
    return n;
}

/* areas: [labels, slices], voxels of each label on each slice across the axis. */
static void count_areas(const work *w, const uint16_t *voxels, const int32_t *number,
                        int64_t *areas)
{
    const int64_t *size = w->stack.grid.size, slices = sam2_stack_count(&w->stack, w->axis);
    int64_t at[3];
    for (at[0] = 0; at[0] < size[2]; at[0]++)
        for (at[1] = 0; at[1] < size[1]; at[1]++)
            for (at[2] = 0; at[2] < size[0]; at[2]++, voxels++)
                if (*voxels)
                    areas[(number[*voxels] - 1) * slices + at[w->axis]]++;
}

/* voxels u16 [z, y, x] -> the labels there are, by slice; list: [65535] of zeros. */
static mf_status find_labels(const work *w, const uint16_t *voxels, shown *list, int64_t *count)
{
    const int64_t slices = sam2_stack_count(&w->stack, w->axis);
    int32_t *number = calloc(65536, sizeof *number);
    if (!number)
        return mf_no_memory(65536 * sizeof *number, "labels");
    *count = number_labels(voxels, mf_grid_voxels(&w->stack.grid), number, list);
    int64_t *areas = calloc((size_t)(*count * slices) + 1, sizeof *areas);
    if (!areas) {
        free(number);
        return mf_no_memory(((size_t)(*count * slices) + 1) * sizeof *areas,
                            "the areas of %lld labels", (long long)*count);
    }
    count_areas(w, voxels, number, areas);
    for (int64_t i = 0; i < *count; i++)
        for (int64_t s = 0; s < slices; s++)
            if (areas[i * slices + s] > areas[i * slices + list[i].slice])
                list[i].slice = s;
    free(areas);
    free(number);
    qsort(list, (size_t)*count, sizeof *list, by_slice);
    return MF_OK;
}

/* A label on its slice, at the size of the model. */
static mf_status read_mask(const work *w, const uint16_t *voxels, const shown *s, uint8_t *mask)
{
    int64_t h, width, at[3], end[3];
    const int64_t *size = w->stack.grid.size;
    sam2_stack_size(&w->stack, w->axis, &h, &width);
    uint8_t *slice = malloc((size_t)(h * width));
    if (!slice)
        return mf_no_memory((size_t)(h * width), "a slice");
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < width; x++) {
            sam2_slice_box(w->axis, s->slice, (int64_t[]){y, x}, (int64_t[]){y + 1, x + 1}, at,
                           end);
            slice[y * width + x] = voxels[(at[0] * size[1] + at[1]) * size[0] + at[2]] == s->label;
        }
    mf_status status = sam2_picture_mask(slice, h, width, image_of(w), mask);
    free(slice);
    return status;
}

static mf_status follow_slice(work *w, const uint16_t *voxels, const shown *list, int64_t n,
                              int64_t next_slice)
{
    const int64_t pixels = image_of(w) * image_of(w);
    sam2_object *objects = calloc((size_t)n, sizeof *objects);
    uint8_t *masks = malloc((size_t)(n * pixels));
    mf_status status = objects && masks ? MF_OK : mf_no_memory(0, "the masks of a slice");
    for (int64_t i = 0; i < n && !status; i++) {
        objects[i] = (sam2_object){.mask = masks + i * pixels, .score = 1, .label = list[i].label};
        status = read_mask(w, voxels, list + i, masks + i * pixels);
    }
    if (!status)
        status = follow(w, list->slice, n, objects, next_slice);
    free(objects);
    free(masks);
    return status;
}

static int by_label(const void *a, const void *b)
{
    const sam2_found *x = a, *y = b;
    return (x->label > y->label) - (x->label < y->label);
}

static mf_status follow_labels(work *w)
{
    const mf_volume *labels;
    int64_t count = 0;
    if (w->o->points.count || w->o->box.count)
        return mf_fail(MF_INVALID, "points and boxes exclude the input 'prompt'");
    MF_TRY(mf_in_volume(w->task, "prompt", MF_U16, &labels));
    if (!mf_grid_equal(&labels->grid, &w->stack.grid, 0.01))
        return mf_fail(MF_INVALID, "prompt does not lie on the slices' grid");
    shown *list = calloc(65536, sizeof *list);
    mf_status status =
        list ? find_labels(w, labels->voxels->data, list, &count) : mf_no_memory(0, "labels");
    if (!status && count == 0)
        status = mf_fail(MF_INVALID, "prompt has no label other than 0");
    w->propagator.total = count * (sam2_stack_count(&w->stack, w->axis) - 1);
    mf_progress(w->task, 0, w->propagator.total, NULL);
    for (int64_t i = 0, n; i < count && !status; i += n) {
        for (n = 1; i + n < count && list[i + n].slice == list[i].slice; n++)
            ;
        status = follow_slice(w, labels->voxels->data, list + i, n,
                              i + n < count ? list[i + n].slice : -1);
    }
    free(list);
    if (!status && w->list.count)
        qsort(w->list.item, (size_t)w->list.count, sizeof *w->list.item, by_label);
    return status;
}

/* ---- all ------------------------------------------------------------------------------------- */

/* What the labels of the prompt are called. */
static mf_status copy_names(const work *w, mf_artifact *masks)
{
    const mf_artifact *prompt;
    MF_TRY(mf_in(w->task, "prompt", &prompt));
    return prompt ? mf_artifact_copy_names(masks, prompt) : MF_OK;
}

static mf_status publish(work *w)
{
    mf_artifact *masks;
    mf_array *label;
    MF_TRY(sam2_list_publish(&w->list, "masks", &w->stack.grid, w->slices, &masks));
    mf_status status = mf_array_new(MF_I32, 1, &w->list.count, &label);
    if (!status) {
        for (int64_t i = 0; i < w->list.count; i++)
            ((int32_t *)label->data)[i] = w->list.item[i].label;
        status = mf_artifact_add(masks, "label", label);
        mf_array_unref(label);
    }
    if (!status)
        status = copy_names(w, masks);
    if (status) {
        mf_artifact_unref(masks);
        return status;
    }
    return mf_out(w->task, "masks", masks);
}

static mf_status segment(work *w)
{
    const mf_artifact *prompt;
    const char *axis = w->o->axis;
    MF_TRY(mf_in(w->task, "slices", &w->slices));
    MF_TRY(mf_in(w->task, "prompt", &prompt));
    MF_TRY(sam2_stack_read(w->slices, &w->stack));
    w->axis = !strcmp(axis, "slices") ? w->stack.axis : axis[0] == 'z' ? 0 : axis[0] == 'y' ? 1 : 2;
    MF_TRY(sam2_cache_new(w->propagator.predictor, &w->stack, (size_t)w->o->feature_cache << 20,
                          &w->propagator.cache));
    MF_TRY(prompt ? follow_labels(w) : follow_targets(w));
    if (w->propagator.small + w->propagator.empty)
        mf_log(w->task, "%lld objects below %lld voxels and %lld that were not found are dropped",
               (long long)w->propagator.small, (long long)w->o->min_voxels,
               (long long)w->propagator.empty);
    return publish(w);
}

static mf_status open(mf_task *t, const void *p, void **session)
{
    return sam2_session_open(t, ((const segment_params *)p)->device_memory, true, session);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const segment_params *o = p;
    work *w = calloc(1, sizeof *w);
    if (!w)
        return mf_no_memory(sizeof *w, "segmenting");
    w->task = t;
    w->o = o;
    w->propagator =
        (sam2_propagator){.task = t,
                          .predictor = session,
                          .stack = &w->stack,
                          .o = {.batch = o->objects_per_batch,
                                .fill_hole_area = sam2_hole_area(session, o->fill_hole_area),
                                .max_empty_slices = o->max_empty_slices,
                                .min_voxels = o->min_voxels,
                                .keep_largest = o->keep_largest,
                                .threads = mf_task_threads(t)},
                          .words = w->words};
    mf_status status = segment(w);
    sam2_cache_free(w->propagator.cache);
    sam2_list_clear(&w->list);
    sam2_stack_clear(&w->stack);
    free(w);
    return status;
}

MF_STAGE(
    mf_stage_sam2_segment, "sam2.segment", 3,
    "Segments objects in 3D from points, boxes or masks on a slice, with SAM 2.",
    .help =
        "An object is prompted on one slice: by foreground and background points, by a box, or by "
        "a label map at the input `prompt`. The mask is propagated from there in both directions.",
    .params = params, .params_size = sizeof(segment_params), .in = inputs, .out = outputs,
    .program = true, .tolerance = 1e-2, /* voxels at the edge of a threshold */
    .check = check, .needs = needs, .open = open, .close = sam2_session_close, .run = run);
