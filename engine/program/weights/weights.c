/* weights.c - weights on a device by name, their gradients, and packed copies for kernels.
 *
 * A call of mf_weights_declare lays its new weights one after another in a block (several, where
 * one allocation would be too large), each at a multiple of the device's alignment. */
#include "program/weights/weights.h"
#include "program/ir/program.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "weights");
}

mf_status mf_weights_new(mf_device *device, mf_weights **weights)
{
    *weights = NULL;
    mf_weights *w = calloc(1, sizeof *w);
    if (!w)
        return no_memory();
    mf_status status = mf_queue_new(device, &w->queue);
    if (status) {
        free(w);
        return status;
    }
    w->device = mf_device_ref(device);
    w->arena_limit = device->info.max_allocation;
    w->program_limit = SIZE_MAX;
    *weights = w;
    return MF_OK;
}

static void free_block(mf_weight_block *b)
{
    mf_buffer_free(b->values);
    mf_buffer_free(b->gradients);
    mf_buffer_free(b->chunk_table);
    mf_buffer_free(b->weight_table);
    mf_buffer_free(b->first_moment);
    mf_buffer_free(b->second_moment);
    mf_buffer_free(b->average);
    mf_buffer_free(b->sums);
    mf_buffer_free(b->trust);
    for (int k = 0; k < MF_WEIGHT_LEVELS; k++)
        mf_buffer_free(b->kept[k]);
    free(b->host_sums);
}

void mf_weights_free(mf_weights *w)
{
    if (!w)
        return;
    mf_error_free(mf_queue_finish(w->queue));
    for (int32_t i = 0; i < w->packing_count; i++) {
        mf_packing *packing = w->packings[i];
        for (int k = 0; k < packing->launch_count; k++)
            mf_launch_clear(&packing->launches[k]);
        mf_buffer_free(packing->buffer);
        free(packing->launches);
        free(packing->kind);
        free(packing);
    }
    for (int32_t i = 0; i < w->count; i++) {
        mf_buffer_free(w->weights[i].values);
        mf_buffer_free(w->weights[i].gradient);
        free(w->weights[i].name);
    }
    for (int32_t i = 0; i < w->block_count; i++)
        free_block(&w->blocks[i]);
    mf_buffer_free(w->arrived);
    mf_queue_free(w->queue);
    mf_device_unref(w->device);
    free(w->weights);
    free(w->blocks);
    free(w->packings);
    free(w);
}

void mf_weights_limit(mf_weights *w, size_t bytes)
{
    w->program_limit = bytes;
}

size_t mf_arena_limit(const mf_weights *w)
{
    return w->arena_limit;
}

/* ---- declaring ------------------------------------------------------------------------------- */

static mf_status zeroed(mf_weights *w, int64_t floats, mf_buffer **buffer)
{
    size_t bytes = (size_t)floats * sizeof(float);
    MF_TRY(mf_buffer_new(w->device, bytes, buffer));
    return mf_buffer_fill(w->queue, *buffer, 0, bytes, 0);
}

/* Allocates the values of the last block, whose weights are listed. */
static mf_status make_block(mf_weights *w, mf_weight_block *b)
{
    MF_TRY(mf_within(zeroed(w, b->floats, &b->values), "weights"));
    for (int32_t i = b->first; i < b->first + b->count; i++) {
        mf_weight_record *weight = &w->weights[i];
        MF_TRY(mf_buffer_view(b->values, (size_t)weight->start * sizeof(float),
                              (size_t)weight->count * sizeof(float), &weight->values));
    }
    return MF_OK;
}

static mf_status add_weight(mf_weights *w, const mf_value_record *v, mf_weight_block *b)
{
    int64_t align = (int64_t)(w->device->alignment / sizeof(float));
    mf_weight_record *list = mf_list_more(w->weights, (size_t)w->count, sizeof *list);
    if (!list)
        return no_memory();
    w->weights = list;
    char *name = strdup(v->name);
    if (!name)
        return no_memory();
    list[w->count++] = (mf_weight_record){.name = name,
                                          .shape = v->shape,
                                          .count = v->count,
                                          .momentum = v->momentum,
                                          .block = w->block_count,
                                          .start = b->floats};
    b->floats += (v->count + align - 1) / align * align;
    b->count++;
    return MF_OK;
}

static mf_status end_block(mf_weights *w, mf_weight_block *b)
{
    if (!b->count)
        return MF_OK;
    mf_weight_block *blocks = mf_list_more(w->blocks, (size_t)w->block_count, sizeof *blocks);
    if (!blocks)
        return no_memory();
    w->blocks = blocks;
    blocks[w->block_count++] = *b;
    *b = (mf_weight_block){.first = w->count};
    return make_block(w, &blocks[w->block_count - 1]);
}

mf_status mf_weights_declare(mf_weights *w, const mf_program *p)
{
    MF_TRY(mf_program_status(p));
    mf_weight_block block = {.first = w->count};
    int64_t limit = (int64_t)(w->device->info.max_allocation / sizeof(float));
    if (limit > INT32_MAX / 2) /* the optimizer counts floats of a block in 32 bits */
        limit = INT32_MAX / 2;
    for (int32_t i = 0; i < p->value_count; i++) {
        const mf_value_record *v = &p->values[i];
        if (v->kind != MF_VALUE_WEIGHT)
            continue;
        int found = mf_weights_find(w, v->name);
        if (found >= 0) {
            if (!mf_shape_equal(w->weights[found].shape, v->shape))
                return mf_fail(MF_INVALID, "weight %s has another shape in this program", v->name);
            if (v->momentum > 0) /* of another program, which may only have named it */
                w->weights[found].momentum = v->momentum;
            continue;
        }
        if (v->count > limit)
            return mf_fail(MF_NO_MEMORY, "weight %s has %lld elements, more than fit in one block",
                           v->name, (long long)v->count);
        if (block.floats + v->count > limit)
            MF_TRY(end_block(w, &block));
        MF_TRY(add_weight(w, v, &block));
    }
    return end_block(w, &block);
}

size_t mf_weights_count(const mf_weights *w)
{
    return (size_t)w->count;
}

void mf_weights_info(const mf_weights *w, size_t i, mf_weight_info *info)
{
    const mf_weight_record *weight = &w->weights[i];
    *info =
        (mf_weight_info){.name = weight->name, .rank = weight->shape.rank, .count = weight->count};
    memcpy(info->shape, weight->shape.dim, sizeof info->shape);
}

bool mf_program_weight(const mf_program *p, size_t i, mf_weight_info *info)
{
    for (int32_t k = 0; k < p->value_count; k++) {
        const mf_value_record *v = &p->values[k];
        if (v->kind != MF_VALUE_WEIGHT || i-- > 0)
            continue;
        *info = (mf_weight_info){.name = v->name, .rank = v->shape.rank, .count = v->count};
        memcpy(info->shape, v->shape.dim, sizeof info->shape);
        return true;
    }
    return false;
}

int mf_weights_find(const mf_weights *w, const char *name)
{
    for (int32_t i = 0; i < w->count; i++)
        if (!strcmp(w->weights[i].name, name))
            return i;
    return -1;
}

/* ---- values and gradients -------------------------------------------------------------------- */

static mf_status check_index(const mf_weights *w, size_t i)
{
    return i < (size_t)w->count ? MF_OK : mf_fail(MF_INVALID, "weight %zu of %d", i, (int)w->count);
}

mf_status mf_weights_set(mf_weights *w, size_t i, const float *values)
{
    MF_TRY(check_index(w, i));
    w->version++;
    return mf_buffer_write(w->queue, w->weights[i].values, 0, values,
                           (size_t)w->weights[i].count * sizeof *values);
}

mf_status mf_weights_get(mf_weights *w, size_t i, float *values)
{
    MF_TRY(check_index(w, i));
    return mf_buffer_read(w->queue, w->weights[i].values, 0, values,
                          (size_t)w->weights[i].count * sizeof *values);
}

mf_status mf_weights_get_gradient(mf_weights *w, size_t i, float *values)
{
    MF_TRY(check_index(w, i));
    size_t bytes = (size_t)w->weights[i].count * sizeof *values;
    if (w->weights[i].gradient)
        return mf_buffer_read(w->queue, w->weights[i].gradient, 0, values, bytes);
    memset(values, 0, bytes);
    return MF_OK;
}

mf_status mf_weights_get_average(mf_weights *w, size_t i, float *values)
{
    MF_TRY(check_index(w, i));
    const mf_weight_record *weight = &w->weights[i];
    const mf_weight_block *b = &w->blocks[weight->block];
    if (!b->average)
        return mf_weights_get(w, i, values);
    return mf_buffer_read(w->queue, b->average, (size_t)weight->start * sizeof *values, values,
                          (size_t)weight->count * sizeof *values);
}

mf_status mf_weights_need_gradient(mf_weights *w, int32_t i)
{
    mf_weight_block *b = &w->blocks[w->weights[i].block];
    if (b->gradients)
        return MF_OK;
    MF_TRY(mf_within(zeroed(w, b->floats, &b->gradients), "gradients"));
    for (int32_t k = b->first; k < b->first + b->count; k++) {
        mf_weight_record *weight = &w->weights[k];
        MF_TRY(mf_buffer_view(b->gradients, (size_t)weight->start * sizeof(float),
                              (size_t)weight->count * sizeof(float), &weight->gradient));
    }
    return MF_OK;
}

mf_status mf_weights_clear_gradients(mf_weights *w)
{
    for (int32_t i = 0; i < w->block_count; i++) {
        mf_weight_block *b = &w->blocks[i];
        if (b->gradients)
            MF_TRY(mf_buffer_fill(w->queue, b->gradients, 0, b->gradients->bytes, 0));
    }
    for (int32_t i = 0; i < w->count; i++)
        w->weights[i].touched = false;
    w->batch = (mf_batch){0};
    return MF_OK;
}

/* ---- packed copies --------------------------------------------------------------------------- */

mf_status mf_weights_refresh(mf_weights *w, mf_packing *packing)
{
    if (packing->version == w->version)
        return MF_OK;
    for (int i = 0; i < packing->launch_count; i++)
        MF_TRY(mf_queue_enqueue(w->queue, &packing->launches[i]));
    packing->version = w->version;
    return MF_OK;
}
