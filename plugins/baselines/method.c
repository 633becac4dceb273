/* method.c - a method's weights, steps and learning rates. */
#include "method.h"
#include "../mass/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;
/* Vectors (biases, gains of norms) are a group of their own, where they do not decay. */
enum { MATRICES, VECTORS, LATE = MF_BASELINE_LATE, GROUPS };

mf_status mf_baseline_new(mf_device *device, const mf_method *method,
                          const mf_baseline_params *params, const mf_iris *iris, mf_baseline **made)
{
    *made = NULL;
    mf_baseline *b = calloc(1, sizeof *b);
    if (!b)
        return mf_no_memory(sizeof *b, "a method");
    b->method = method;
    b->params = params;
    b->iris = *iris;
    b->device = device;
    b->own = calloc(1, method->size + 1);
    mf_status status =
        b->own ? mf_weights_new(device, &b->weights) : mf_no_memory(method->size, "a method");
    if (!status)
        status = method->declare(b); /* on crops that are too small for batch statistics */
    b->iris.share = iris->i3d.width ? 1 / (float)(method->views * params->batch_size) : 0;
    for (size_t i = 0; !status && method->weight_decay && i < mf_weights_count(b->weights); i++) {
        mf_weight_info info;
        mf_weights_info(b->weights, i, &info);
        status = mf_weights_set_group(b->weights, i, info.rank > 1 ? MATRICES : VECTORS);
    }
    if (status) {
        mf_baseline_close(b);
        return status;
    }
    *made = b;
    return MF_OK;
}

void mf_baseline_close(mf_baseline *b)
{
    if (!b)
        return;
    if (b->own && b->method->close)
        b->method->close(b);
    mf_weights_free(b->weights);
    free(b->own);
    free(b);
}

mf_status mf_baseline_open(mf_baseline *b, const int64_t crop[3])
{
    memcpy(b->crop, crop, sizeof b->crop);
    b->voxels = crop[0] * crop[1] * crop[2];
    return b->method->open(b);
}

bool mf_baseline_averages(const mf_baseline *b)
{
    return b->method->momentum || b->params->ema_decay > 0;
}

int mf_baseline_columns(const mf_method *method)
{
    int n = 0;
    while (method->columns && method->columns[n])
        n++;
    return n + 3;
}

/* ---- steps ----------------------------------------------------------------------------------- */

double mf_baseline_cosine(const mf_baseline *b, int64_t i, double from, double to)
{
    const double part = (double)i / (double)b->params->steps;
    return to + (from - to) / 2 * (cos(pi * part) + 1);
}

/* A linear warm-up stands before `cosine` and `constant`; no step has the rate 0. One-cycle rises
 * by itself. */
static void rate_at(const mf_baseline_params *o, int64_t i, double *rate, double *beta1)
{
    const bool one_cycle = !strcmp(o->scheduler, "one-cycle");
    const int64_t rising = one_cycle ? 0 : (int64_t)(o->warmup * (double)o->steps);
    const mf_schedule schedule = {.kind = one_cycle                         ? MF_SCHEDULE_ONE_CYCLE
                                          : !strcmp(o->scheduler, "cosine") ? MF_SCHEDULE_COSINE
                                                                            : MF_SCHEDULE_CONSTANT,
                                  .rate = o->lr,
                                  .steps = o->steps - rising,
                                  .pct_start = o->warmup,
                                  .div_factor = 25,
                                  .final_div_factor = 1000,
                                  .beta1 = 0.9,
                                  .floor = o->final_lr};
    mf_schedule_at(&schedule, i < rising ? 0 : i - rising, rate, beta1);
    if (i < rising)
        *rate = o->lr * (double)(i + 1) / (double)rising;
}

mf_status mf_baseline_learn(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs, double *row)
{
    b->diverged = false;
    MF_TRY(b->method->learn(b, i, pairs, row));
    return b->counting || isfinite(row[0]) ? MF_OK
                                           : mf_baseline_diverged(b, NULL, "the loss is", row[0]);
}

static mf_status step(mf_baseline *b, const mf_optimizer_step *s, float *norm)
{
    const mf_optimizer_group groups[GROUPS] = {[MATRICES] = {s->rate, s->weight_decay, true},
                                               [VECTORS] = {s->rate, 0, true},
                                               [LATE] = {s->rate, s->weight_decay, true}};
    const int64_t steps[GROUPS] = {s->step, s->step, s->step - b->late};
    return b->method->weight_decay
               ? mf_weights_step_groups_at(b->weights, s, groups, steps, GROUPS, norm)
               : mf_weights_step(b->weights, s, norm);
}

mf_status mf_baseline_update(mf_baseline *b, int64_t i, double *row)
{
    const mf_baseline_params *o = b->params;
    const mf_method *m = b->method;
    const bool lamb = !strcmp(o->optimizer, "lamb");
    const int columns = mf_baseline_columns(m);
    double rate, beta1;
    float norm = 0;
    rate_at(o, i, &rate, &beta1);
    mf_optimizer_step s = {.kind = lamb ? MF_LAMB : MF_ADAMW,
                           .rate = rate,
                           .beta1 = beta1,
                           .beta2 = 0.999,
                           .eps = lamb ? 1e-6 : 1e-8,
                           .weight_decay =
                               m->weight_decay ? m->weight_decay(b, i) : o->weight_decay,
                           .max_norm = o->max_grad_norm,
                           .grad_scale = 1,
                           .ema_decay = m->momentum ? m->momentum(b, i) : o->ema_decay,
                           .step = i + 1};
    mf_status status = step(b, &s, &norm);
    if (status && mf_error_code(status) == MF_INVALID)
        b->diverged = true;
    MF_TRY(status);
    row[columns - 2] = rate;
    row[columns - 1] = (double)norm;
    return m->finish ? m->finish(b, i) : MF_OK;
}

/* ---- for methods ----------------------------------------------------------------------------- */

mf_status mf_baseline_within(const mf_baseline *b, const mf_baseline_pair *pair, mf_status status)
{
    const char *item = b->method->labelled ? "crop" : "pair";
    return pair->sample
               ? mf_within(status, "%s %lld, of %s", item, (long long)pair->index, pair->sample)
               : mf_within(status, "%s %lld", item, (long long)pair->index);
}

mf_status mf_baseline_diverged(mf_baseline *b, const mf_baseline_pair *pair, const char *what,
                               double value)
{
    b->diverged = true;
    mf_status status = mf_fail(MF_INVALID, "%s %g", what, value);
    return pair ? mf_baseline_within(b, pair, status) : status;
}

mf_status mf_baseline_finite(mf_baseline *b, const mf_baseline_pair *pair, const char *what,
                             const float *values, int64_t count)
{
    for (int64_t i = 0; i < count && !b->counting; i++)
        if (!isfinite(values[i]))
            return mf_baseline_diverged(b, pair, what, (double)values[i]);
    return MF_OK;
}

void mf_baseline_part(const mf_baseline *b, int64_t count, int64_t *first, int64_t *items)
{
    mf_batch_part(count, b->ranks ? b->ranks->ranks : 1, b->ranks ? b->ranks->rank : 0, first,
                  items);
}

mf_status mf_baseline_gather(mf_baseline *b, void *values, int64_t count, size_t bytes)
{
    return b->ranks ? mf_transport_gather(b->ranks, values, count, bytes) : MF_OK;
}

mf_status mf_baseline_exchange(mf_baseline *b)
{
    return b->ranks ? mf_weights_exchange(b->weights, b->ranks) : MF_OK;
}

enum { VALUES = MF_BASELINE_COLUMNS + 1 }; /* of a pair */

static mf_status
learn_part(mf_baseline *b, const mf_baseline_pair *pairs, int64_t first, int64_t items,
           mf_status (*learn)(mf_baseline *b, const mf_baseline_pair *pair, double *values),
           double (*made)[VALUES])
{
    MF_TRY(mf_weights_begin_batch(b->weights, items));
    for (int64_t k = first; k < first + items; k++) {
        MF_TRY(learn(b, &pairs[k], made[k]));
        MF_TRY(mf_weights_end_item(b->weights));
        mf_baseline_progress(b, (double)(k + 1 - first) / (double)items);
    }
    MF_TRY(mf_baseline_gather(b, made, b->params->batch_size, sizeof *made));
    return mf_baseline_exchange(b);
}

mf_status mf_baseline_each(mf_baseline *b, const mf_baseline_pair *pairs, int count,
                           mf_status (*learn)(mf_baseline *b, const mf_baseline_pair *pair,
                                              double *values),
                           double *values)
{
    const int64_t n = b->params->batch_size;
    int64_t first, items;
    double(*made)[VALUES] = calloc((size_t)n, sizeof *made);
    if (!made)
        return mf_no_memory((size_t)n * sizeof *made, "the losses of a batch");
    mf_baseline_part(b, n, &first, &items);
    mf_status status = learn_part(b, pairs, first, items, learn, made);
    memset(values, 0, (size_t)count * sizeof *values);
    for (int64_t k = 0; k < n; k++)
        for (int i = 0; i < count; i++)
            values[i] += made[k][i];
    free(made);
    return status;
}

void mf_baseline_progress(mf_baseline *b, double part)
{
    if (b->progress)
        b->progress(b->task, part);
}

mf_status mf_baseline_declare(mf_weights *w, mf_program *p)
{
    mf_status status = mf_weights_declare(w, p);
    mf_program_free(p);
    return status;
}

mf_status mf_baseline_compile(mf_program *p, mf_weights *w, mf_executable **e)
{
    mf_status status = mf_program_compile(p, w, e);
    mf_program_free(p);
    return status;
}

void mf_baseline_recompute(const mf_baseline *b, mf_program *p)
{
    if (!strcmp(b->params->recompute, "blocks"))
        mf_recompute(p);
}
