/* batch.c - the sum of the gradients of a batch, as a fixed binary tree over the index of the item
 * (its shape stands in <massflow/program.h>).
 *
 * Items come in order, as on a walk through the tree from left to right. A sum whose right sibling
 * is still to come is set aside; a stack of such sums is enough. Two items that are siblings meet
 * in the gradients themselves: the run of the second adds to what the first left there. */
#include "compute/range.h"
#include "program/weights/weights.h"

/* The place of item i: how many sums it completes, and whether its sibling is an item too. */
typedef struct place {
    int completes;
    bool paired, left;
} place;

static place find_place(int64_t count, int64_t i)
{
    place at = {0};
    while (count > 1) {
        const int64_t half = (count + 1) / 2;
        at.left = i < half;
        at.paired = count == 2;
        at.completes = at.left ? 0 : at.completes + 1;
        i -= at.left ? 0 : half;
        count = at.left ? half : count - half;
    }
    return at;
}

mf_status mf_weights_begin_batch(mf_weights *w, int64_t count)
{
    if (count < 1 || count > (int64_t)1 << MF_WEIGHT_LEVELS)
        return mf_fail(MF_INVALID, "a batch of %lld items; it has 1 to %lld", (long long)count,
                       (long long)1 << MF_WEIGHT_LEVELS);
    MF_TRY(mf_weights_clear_gradients(w));
    w->batch.count = count;
    return MF_OK;
}

static mf_status add(mf_weights *w, mf_weight_block *b, const char *kernel, mf_buffer *first,
                     mf_buffer *second)
{
    const int wide = w->device->info.plain ? 16 : 4;
    const mf_arg args[] = {{.kind = MF_ARG_LONG, .i = b->floats},
                           {.kind = MF_ARG_BUFFER, .buffer = first},
                           {.kind = MF_ARG_BUFFER, .buffer = second}};
    return mf_queue_launch(w->queue, w->optimizer, kernel, mf_range1((b->floats + wide - 1) / wide),
                           args, 3);
}

/* Sets the gradients aside on top of the sums that are kept, and begins anew from 0. */
static mf_status set_aside(mf_weights *w)
{
    const int level = w->batch.levels++;
    for (int32_t i = 0; i < w->block_count; i++) {
        mf_weight_block *b = &w->blocks[i];
        b->holds[level] = b->gradients != NULL;
        if (!b->gradients)
            continue;
        if (!b->kept[level])
            MF_TRY(mf_within(mf_buffer_new(w->device, b->gradients->bytes, &b->kept[level]),
                             "the sum of gradients"));
        MF_TRY(add(w, b, "set_aside", b->gradients, b->kept[level]));
    }
    return MF_OK;
}

/* Adds the last sum that was kept to the gradients, its right sibling. */
static mf_status join(mf_weights *w)
{
    const int level = --w->batch.levels;
    for (int32_t i = 0; i < w->block_count; i++) {
        mf_weight_block *b = &w->blocks[i];
        if (b->holds[level])
            MF_TRY(add(w, b, "accumulate", b->kept[level], b->gradients));
    }
    return MF_OK;
}

mf_status mf_weights_end_item(mf_weights *w)
{
    mf_batch *batch = &w->batch;
    if (batch->done >= batch->count)
        return mf_fail(MF_INVALID, "item %lld of a batch of %lld", (long long)batch->done + 1,
                       (long long)batch->count);
    const place at = find_place(batch->count, batch->done++);
    batch->runs = 0;
    MF_TRY(mf_weights_module(w));
    for (int k = at.paired ? 1 : 0; k < at.completes; k++)
        MF_TRY(join(w));
    const bool waits = at.paired && at.left; /* for the item that is its sibling */
    return waits || batch->done == batch->count ? MF_OK : set_aside(w);
}

mf_status mf_batch_take_run(mf_weights *w)
{
    if (w->batch.count > 1 && w->batch.runs++)
        return mf_fail(MF_INVALID, "item %lld of a batch of %lld has had its run",
                       (long long)w->batch.done + 1, (long long)w->batch.count);
    return MF_OK;
}

mf_status mf_batch_check_whole(const mf_weights *w)
{
    if (w->batch.done == w->batch.count)
        return MF_OK;
    return mf_fail(MF_INVALID, "a step after %lld of a batch of %lld items",
                   (long long)w->batch.done, (long long)w->batch.count);
}
