/* optimizer.c - one update of all weights: LAMB or AdamW, clipping, averages. A few launches a
 * block of weights; the norm of the gradient is summed on the host in double. */
#include "compute/range.h"
#include "optimizer.cl.h"
#include "program/weights/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

mf_status mf_weights_module(mf_weights *w)
{
    if (w->optimizer)
        return MF_OK;
    return mf_module_build(w->device, (const char *const[]){optimizer_cl, NULL}, NULL,
                           &w->optimizer);
}

static mf_status launch(mf_weights *w, const char *kernel, mf_range range, const mf_arg *args,
                        int count)
{
    return mf_queue_launch(w->queue, w->optimizer, kernel, range, args, count);
}

#define BUFFER(b) ((mf_arg){.kind = MF_ARG_BUFFER, .buffer = (b)})
#define FLOAT(x) ((mf_arg){.kind = MF_ARG_FLOAT, .f = (float)(x)})
#define LAUNCH(w, kernel, range, ...)                                                              \
    launch(w, kernel, range, (const mf_arg[]){__VA_ARGS__},                                        \
           (int)(sizeof((const mf_arg[]){__VA_ARGS__}) / sizeof(mf_arg)))

static mf_range teams(const mf_weights *w, int64_t rows)
{
    return mf_range1(rows * (w->device->info.plain ? 1 : 64));
}

static mf_status fill(mf_weights *w, mf_buffer *like, mf_buffer **buffer)
{
    if (*buffer)
        return MF_OK;
    MF_TRY(mf_buffer_new(w->device, like->bytes, buffer));
    return mf_buffer_fill(w->queue, *buffer, 0, like->bytes, 0);
}

/* The pieces that work-items take, and where sums go. */
static mf_status make_tables(mf_weights *w, mf_weight_block *b)
{
    if (b->chunk_table)
        return MF_OK;
    int64_t chunks = 0;
    for (int32_t i = b->first; i < b->first + b->count; i++)
        chunks += (w->weights[i].count + MF_WEIGHT_CHUNK - 1) / MF_WEIGHT_CHUNK;
    int32_t(*table)[4] = calloc((size_t)chunks, sizeof *table);
    b->host_sums = calloc((size_t)chunks, 2 * sizeof(float));
    if (!table || !b->host_sums) {
        free(table);
        return mf_no_memory(0, "the optimizer");
    }
    int32_t n = 0;
    for (int32_t i = 0; i < b->count; i++) {
        const mf_weight_record *weight = &w->weights[b->first + i];
        for (int64_t at = 0; at < weight->count; at += MF_WEIGHT_CHUNK, n++) {
            int64_t left = weight->count - at;
            table[n][0] = i;
            table[n][1] = (int32_t)(weight->start + at);
            table[n][2] = (int32_t)(left < MF_WEIGHT_CHUNK ? left : MF_WEIGHT_CHUNK);
        }
    }
    b->chunks = n;
    size_t bytes = (size_t)n * sizeof *table;
    mf_status status = mf_buffer_new(w->device, bytes, &b->chunk_table);
    if (!status)
        status = mf_buffer_write(w->queue, b->chunk_table, 0, table, bytes);
    free(table);
    MF_TRY(status);
    MF_TRY(mf_buffer_new(w->device, (size_t)n * 2 * sizeof(float), &b->sums));
    MF_TRY(mf_buffer_new(w->device, (size_t)b->count * sizeof(float), &b->trust));
    return mf_buffer_new(w->device, (size_t)b->count * 4 * sizeof(int32_t), &b->weight_table);
}

/* Which weights of a block a launch is for: those with a gradient, of one group or of all; running
 * statistics are apart from both. */
enum { ANY_GROUP = -2, STATISTICS = -3 };

static bool takes_part(const mf_weight_record *weight, int32_t group)
{
    if (!weight->touched || (weight->momentum > 0) != (group == STATISTICS))
        return false;
    return group < -1 ? weight->group >= 0 : weight->group == group;
}

/* Says which weights of the block take part; *any: whether one does. */
static mf_status mark_touched(mf_weights *w, mf_weight_block *b, int32_t group, bool *any)
{
    *any = false;
    int32_t(*table)[4] = calloc((size_t)b->count, sizeof *table);
    if (!table)
        return mf_no_memory(0, "the optimizer");
    int32_t chunk = 0;
    for (int32_t i = 0; i < b->count; i++) {
        const mf_weight_record *weight = &w->weights[b->first + i];
        table[i][0] = chunk;
        table[i][1] = (int32_t)((weight->count + MF_WEIGHT_CHUNK - 1) / MF_WEIGHT_CHUNK);
        table[i][2] = takes_part(weight, group);
        memcpy(&table[i][3], &weight->momentum, sizeof weight->momentum);
        chunk += table[i][1];
        *any |= table[i][2] != 0;
    }
    mf_status status =
        mf_buffer_write(w->queue, b->weight_table, 0, table, (size_t)b->count * sizeof *table);
    free(table);
    return status;
}

/* Adds the squares of the gradient of the weights that are marked. */
static mf_status add_squares(mf_weights *w, mf_weight_block *b, double *all)
{
    MF_TRY(LAUNCH(w, "gradient_sums", teams(w, b->chunks), BUFFER(b->chunk_table),
                  BUFFER(b->weight_table), BUFFER(b->gradients), BUFFER(b->sums)));
    MF_TRY(
        mf_buffer_read(w->queue, b->sums, 0, b->host_sums, (size_t)b->chunks * 2 * sizeof(float)));
    for (int32_t i = 0; i < b->chunks; i++)
        *all += b->host_sums[2 * i];
    return MF_OK;
}

static mf_status gradient_norm(mf_weights *w, const bool *any, double *norm)
{
    double all = 0;
    for (int32_t k = 0; k < w->block_count; k++)
        if (any[k])
            MF_TRY(add_squares(w, &w->blocks[k], &all));
    *norm = sqrt(all);
    return MF_OK;
}

static mf_status update(mf_weights *w, mf_weight_block *b, const mf_optimizer_step *step,
                        double scale)
{
    MF_TRY(fill(w, b->values, &b->first_moment));
    MF_TRY(fill(w, b->values, &b->second_moment));
    mf_range chunks = teams(w, b->chunks);
    if (step->kind == MF_ADAMW) {
        double t = (double)step->step;
        double rate1 = step->rate / (1 - pow(step->beta1, t));
        double root2 = sqrt(1 - pow(step->beta2, t));
        double keep = 1 - step->rate * step->weight_decay;
        return LAUNCH(w, "adamw", chunks, BUFFER(b->chunk_table), BUFFER(b->weight_table),
                      BUFFER(b->gradients), BUFFER(b->first_moment), BUFFER(b->second_moment),
                      BUFFER(b->values), FLOAT(scale), FLOAT(step->beta1), FLOAT(1 - step->beta1),
                      FLOAT(step->beta2), FLOAT(1 - step->beta2), FLOAT(step->eps), FLOAT(rate1),
                      FLOAT(root2), FLOAT(keep));
    }
    MF_TRY(LAUNCH(w, "lamb_moments", chunks, BUFFER(b->chunk_table), BUFFER(b->weight_table),
                  BUFFER(b->gradients), BUFFER(b->values), BUFFER(b->first_moment),
                  BUFFER(b->second_moment), FLOAT(scale), FLOAT(step->beta1),
                  FLOAT(1 - step->beta1), FLOAT(step->beta2), FLOAT(1 - step->beta2),
                  FLOAT(step->eps), FLOAT(step->weight_decay), BUFFER(b->sums)));
    MF_TRY(LAUNCH(w, "lamb_trust", mf_range1(b->count),
                  ((mf_arg){.kind = MF_ARG_INT, .i = b->count}), BUFFER(b->weight_table),
                  BUFFER(b->sums), BUFFER(b->trust)));
    return LAUNCH(w, "lamb_apply", chunks, BUFFER(b->chunk_table), BUFFER(b->weight_table),
                  BUFFER(b->trust), BUFFER(b->first_moment), BUFFER(b->second_moment),
                  BUFFER(b->values), FLOAT(step->rate), FLOAT(step->eps),
                  FLOAT(step->weight_decay));
}

/* Running statistics of a block move towards the mean of what the batch found. Changes the marks.
 */
static mf_status follow(mf_weights *w, mf_weight_block *b, double scale)
{
    bool any = false;
    for (int32_t i = b->first; i < b->first + b->count; i++)
        any |= takes_part(&w->weights[i], STATISTICS);
    if (!any)
        return MF_OK;
    MF_TRY(mark_touched(w, b, STATISTICS, &any));
    return LAUNCH(w, "follow", teams(w, b->chunks), BUFFER(b->chunk_table), BUFFER(b->weight_table),
                  BUFFER(b->gradients), BUFFER(b->values), FLOAT(scale));
}

/* Averages start as the weights before their first update (a decay of 0 copies). */
static mf_status mix_average(mf_weights *w, mf_weight_block *b, double decay)
{
    int64_t n = b->floats;
    int wide = w->device->info.plain ? 16 : 4;
    return LAUNCH(w, "average", mf_range1((n + wide - 1) / wide),
                  ((mf_arg){.kind = MF_ARG_LONG, .i = n}), FLOAT(decay), FLOAT(1 - decay),
                  BUFFER(b->values), BUFFER(b->average));
}

static mf_status step_blocks(mf_weights *w, const mf_optimizer_step *step, const bool *any,
                             double scale)
{
    for (int32_t k = 0; k < w->block_count; k++) {
        mf_weight_block *b = &w->blocks[k];
        if (step->ema_decay > 0 && !b->average) {
            MF_TRY(fill(w, b->values, &b->average));
            MF_TRY(mix_average(w, b, 0));
        }
        if (any[k])
            MF_TRY(update(w, b, step, scale));
        MF_TRY(follow(w, b, step->grad_scale));
        if (step->ema_decay > 0)
            MF_TRY(mix_average(w, b, step->ema_decay));
    }
    return MF_OK;
}

/* What a step needs beside the weights, made with the first. */
static mf_status prepare(mf_weights *w, const mf_optimizer_step *step)
{
    if (step->kind == MF_ADAMW && step->step < 1)
        return mf_fail(MF_INVALID, "AdamW counts steps from 1, given %lld", (long long)step->step);
    MF_TRY(mf_batch_check_whole(w));
    MF_TRY(mf_weights_module(w));
    for (int32_t k = 0; k < w->block_count; k++)
        MF_TRY(make_tables(w, &w->blocks[k]));
    return MF_OK;
}

/* What multiplies gradients whose norm, as they are, is *length; after that it is that of the mean
 * gradient. */
static double scale_of(const mf_optimizer_step *step, double *length)
{
    *length *= fabs(step->grad_scale);
    double clip = step->max_norm > 0 ? step->max_norm / (*length + 1e-6) : 1; /* as PyTorch's */
    return clip >= 1 ? step->grad_scale : step->grad_scale * clip;
}

mf_status mf_weights_step(mf_weights *w, const mf_optimizer_step *step, float *norm)
{
    MF_TRY(prepare(w, step));
    bool *any = calloc((size_t)w->block_count + 1, sizeof *any);
    if (!any)
        return mf_no_memory(((size_t)w->block_count + 1) * sizeof *any, "the optimizer");
    mf_status status = MF_OK;
    for (int32_t k = 0; k < w->block_count && !status; k++)
        status = mark_touched(w, &w->blocks[k], ANY_GROUP, &any[k]);
    double length = 0;
    if (!status && (norm || step->max_norm > 0))
        status = gradient_norm(w, any, &length);
    double scale = scale_of(step, &length);
    if (!status && norm)
        *norm = (float)length;
    if (!status && !isfinite(length))
        status = mf_fail(MF_INVALID, "the norm of the gradient is %g", length);
    if (!status)
        status = step_blocks(w, step, any, scale);
    free(any);
    MF_TRY(status);
    w->version++;
    return mf_queue_flush(w->queue);
}

/* ---- groups ---------------------------------------------------------------------------------- */

mf_status mf_weights_set_group(mf_weights *w, size_t i, int group)
{
    if (i >= (size_t)w->count || group < -1)
        return mf_fail(MF_INVALID, "weight %zu of %d, group %d", i, (int)w->count, group);
    w->weights[i].group = group;
    return MF_OK;
}

/* The norms of the gradient, of all groups and of those that are clipped. */
static mf_status group_norms(mf_weights *w, const mf_optimizer_group *groups, int count,
                             double *all, double *clipped)
{
    double sum = 0, part = 0;
    for (int g = 0; g < count; g++) {
        double squares = 0;
        for (int32_t k = 0; k < w->block_count; k++) {
            bool any;
            MF_TRY(mark_touched(w, &w->blocks[k], g, &any));
            if (any)
                MF_TRY(add_squares(w, &w->blocks[k], &squares));
        }
        sum += squares;
        part += groups[g].clipped ? squares : 0;
    }
    *all = sqrt(sum);
    *clipped = sqrt(part);
    return MF_OK;
}

/* Averages of a block that no gradient reaches stay as they are, to the bit. */
static mf_status step_block_of_groups(mf_weights *w, mf_weight_block *b,
                                      const mf_optimizer_step *step,
                                      const mf_optimizer_group *groups, const int64_t *steps,
                                      int count, double scale)
{
    bool mixed = false;
    for (int32_t i = b->first; i < b->first + b->count; i++)
        mixed |= takes_part(&w->weights[i], ANY_GROUP) || takes_part(&w->weights[i], STATISTICS);
    if (!mixed)
        return MF_OK;
    if (step->ema_decay > 0 && !b->average) {
        MF_TRY(fill(w, b->values, &b->average));
        MF_TRY(mix_average(w, b, 0));
    }
    for (int g = 0; g < count; g++) {
        mf_optimizer_step own = *step;
        bool any;
        own.rate = groups[g].rate;
        own.weight_decay = groups[g].weight_decay;
        own.step = steps ? steps[g] : step->step;
        MF_TRY(mark_touched(w, b, g, &any));
        if (any)
            MF_TRY(update(w, b, &own, groups[g].clipped ? scale : step->grad_scale));
    }
    MF_TRY(follow(w, b, step->grad_scale));
    return step->ema_decay > 0 ? mix_average(w, b, step->ema_decay) : MF_OK;
}

mf_status mf_weights_step_groups(mf_weights *w, const mf_optimizer_step *step,
                                 const mf_optimizer_group *groups, int count, float *norm)
{
    return mf_weights_step_groups_at(w, step, groups, NULL, count, norm);
}

mf_status mf_weights_step_groups_at(mf_weights *w, const mf_optimizer_step *step,
                                    const mf_optimizer_group *groups, const int64_t *steps,
                                    int count, float *norm)
{
    double all, length;
    for (int32_t i = 0; i < w->count; i++)
        if (w->weights[i].group >= count)
            return mf_fail(MF_INVALID, "weight %s is of group %d, of %d", w->weights[i].name,
                           (int)w->weights[i].group, count);
    MF_TRY(prepare(w, step));
    MF_TRY(group_norms(w, groups, count, &all, &length));
    double scale = scale_of(step, &length);
    if (norm)
        *norm = (float)length;
    if (!isfinite(all))
        return mf_fail(MF_INVALID, "the norm of the gradient is %g", all);
    for (int32_t k = 0; k < w->block_count; k++)
        MF_TRY(step_block_of_groups(w, &w->blocks[k], step, groups, steps, count, scale));
    w->version++;
    return mf_queue_flush(w->queue);
}
