/* moments.c - the optimizer's side of weights, read and set: moments and averages, which exist only
 * once a step has needed them. */
#include "program/weights/weights.h"

#include <string.h>

static mf_buffer **buffer_of(mf_weight_block *b, mf_weight_part part)
{
    switch (part) {
    case MF_WEIGHT_FIRST_MOMENT:
        return &b->first_moment;
    case MF_WEIGHT_SECOND_MOMENT:
        return &b->second_moment;
    case MF_WEIGHT_AVERAGE:
        return &b->average;
    default:
        return &b->values;
    }
}

static mf_status check_index(const mf_weights *w, size_t i)
{
    return i < (size_t)w->count ? MF_OK : mf_fail(MF_INVALID, "weight %zu of %d", i, (int)w->count);
}

mf_status mf_weights_get_part(mf_weights *w, size_t i, mf_weight_part part, float *values)
{
    MF_TRY(check_index(w, i));
    const mf_weight_record *weight = &w->weights[i];
    const mf_buffer *buffer = *buffer_of(&w->blocks[weight->block], part);
    size_t bytes = (size_t)weight->count * sizeof *values;
    if (buffer)
        return mf_buffer_read(w->queue, buffer, (size_t)weight->start * sizeof *values, values,
                              bytes);
    if (part == MF_WEIGHT_AVERAGE)
        return mf_weights_get(w, i, values);
    memset(values, 0, bytes);
    return MF_OK;
}

mf_status mf_weights_set_part(mf_weights *w, size_t i, mf_weight_part part, const float *values)
{
    MF_TRY(check_index(w, i));
    const mf_weight_record *weight = &w->weights[i];
    mf_weight_block *b = &w->blocks[weight->block];
    mf_buffer **buffer = buffer_of(b, part);
    if (part == MF_WEIGHT_VALUE)
        return mf_weights_set(w, i, values);
    if (!*buffer) {
        MF_TRY(mf_buffer_new(w->device, b->values->bytes, buffer));
        MF_TRY(mf_buffer_fill(w->queue, *buffer, 0, b->values->bytes, 0));
    }
    return mf_buffer_write(w->queue, *buffer, (size_t)weight->start * sizeof *values, values,
                           (size_t)weight->count * sizeof *values);
}
