/* session.c - see session.h. */
#include "session.h"
#include "../shared/area.h"
#include "programs.h"

#include <stdlib.h>
#include <string.h>

static mf_status read_tensors(const mf_artifact *model, mf_tensors *t)
{
    for (size_t i = 0; i < mf_artifact_array_count(model); i++) {
        mf_array_info info;
        mf_array *array;
        mf_artifact_array_info(model, i, &info);
        MF_TRY(mf_artifact_array(model, info.name, &array));
        MF_TRY(mf_tensors_add(t, info.name, array));
    }
    return MF_OK;
}

mf_status sam2_session_of(mf_device *device, const mf_artifact *model, int64_t budget, bool video,
                          sam2_predictor **predictor)
{
    sam2_config config;
    mf_tensors weights = {0};
    *predictor = NULL;
    MF_TRY(sam2_config_of(model, &config));
    if (video && config.memories == 0)
        return mf_hint(mf_fail(MF_INVALID, "this model is for still pictures: it has no memory"),
                       "propagation from slice to slice needs a SAM 2 with its memory");
    mf_status status = read_tensors(model, &weights);
    if (!status)
        status = sam2_config_match(&weights, &config);
    if (!status)
        status = sam2_predictor_new(device, &config, &weights, (size_t)budget << 20, predictor);
    mf_tensors_clear(&weights);
    return status;
}

mf_status sam2_session_open(mf_task *t, int64_t budget, bool video, void **session)
{
    const mf_artifact *model;
    sam2_predictor *p = NULL;
    mf_queue *queue;
    *session = NULL;
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(mf_task_queue(t, &queue));
    mf_status status = sam2_session_of(mf_queue_device(queue), model, budget, video, &p);
    *session = p;
    return status;
}

/* Tensors with shapes and no numbers, for sam2_widths_of; both lists are for free(). */
static mf_status shapes_of(const mf_artifact *model, mf_tensors *t, mf_array **shapes)
{
    size_t count = mf_artifact_array_count(model);
    *t = (mf_tensors){.item = calloc(count + 1, sizeof *t->item), .count = count, .sorted = true};
    *shapes = calloc(count + 1, sizeof **shapes);
    if (!t->item || !*shapes)
        return mf_no_memory(count * sizeof **shapes, "a list of tensors");
    for (size_t i = 0; i < count; i++) {
        mf_array_info info;
        mf_artifact_array_info(model, i, &info);
        (*shapes)[i] = (mf_array){.dtype = info.dtype, .rank = info.rank};
        memcpy((*shapes)[i].shape, info.shape, sizeof info.shape);
        t->item[i] = (mf_tensor){(char *)info.name, &(*shapes)[i]};
    }
    return MF_OK;
}

enum { MOST_SHAPES = 8 + SAM2_POINTERS_MOST };

/* The programs of a still picture, then those of propagation through `frames` slices. */
static int list_shapes(const sam2_config *c, int64_t points, int64_t objects, int64_t frames,
                       sam2_shape shapes[MOST_SHAPES])
{
    /* tokens: IoU, four masks, the object score; a point and its padding */
    const int64_t own = 5 + c->object_scores, most = sam2_part_batch(c);
    int count = 0;
    shapes[count++] = (sam2_shape){.kind = SAM2_ENCODER};
    for (int64_t n = points < most ? points : most, k = 0; n && k < 2; n /= 2, k++) /* and a rest */
        shapes[count++] =
            (sam2_shape){.kind = SAM2_DECODER, .decoder = {n, own + 2, false, true, SAM2_NO_MASK}};
    if (!objects)
        return count;
    shapes[count++] = (sam2_shape){.kind = SAM2_DECODER, /* a mask as prompt */
                                   .decoder = {objects, own + 2, false, false, SAM2_MASK_PIXELS}};
    for (int pixels = 0; pixels < 2; pixels++)
        shapes[count++] = (sam2_shape){.kind = SAM2_MEMORY, .memory = {objects, pixels}};
    shapes[count++] = (sam2_shape){.kind = SAM2_DECODER,
                                   .decoder = {objects, own + 2, true, false, SAM2_NO_MASK}};
    for (int64_t n = 1; n <= SAM2_POINTERS_MOST && n < frames; n++) /* what has been seen so far */
        shapes[count++] = (sam2_shape){.kind = SAM2_ATTENTION,
                                       .attention = {objects, n < c->memories ? n : c->memories,
                                                     n * (c->dim / c->memory_dim)}};
    return count;
}

mf_status sam2_session_needs(mf_task *t, int64_t budget, int64_t points, int64_t objects,
                             const mf_grid *slices, mf_needs *n)
{
    const mf_artifact *model;
    sam2_config config;
    sam2_widths widths;
    sam2_shape shapes[MOST_SHAPES];
    mf_tensors tensors;
    mf_array *arrays;
    mf_device *device;
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(sam2_config_of(model, &config));
    if (objects && config.memories == 0)
        return MF_OK; /* refused when it is opened */
    int64_t frames = 0;
    for (int i = 0; i < 3; i++)
        frames = slices->size[i] > frames ? slices->size[i] : frames;
    const int count = list_shapes(&config, points, objects, frames, shapes);
    mf_status status = shapes_of(model, &tensors, &arrays);
    if (!status)
        status = sam2_widths_of(&tensors, &config, &widths);
    free(tensors.item);
    free(arrays);
    MF_TRY(status);
    MF_TRY(mf_task_counting(t, &device));
    status = sam2_programs_count(device, &config, &widths, (size_t)budget << 20, shapes, count,
                                 &n->device_bytes);
    mf_device_unref(device);
    return status;
}

void sam2_session_close(void *session)
{
    sam2_predictor_free(session);
}

int64_t sam2_hole_area(const void *session, int64_t given)
{
    return given >= 0 ? given : sam2_area_for(8, sam2_predictor_config(session)->image);
}
