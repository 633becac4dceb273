/* case.c - a program of one op is compiled, run and compared with its reference.
 *
 * Its memory is filled with NaN before the run, so that a kernel that reads what nothing has
 * written shows. It runs twice and must give the same bits. */
#include "check/case.h"
#include "check/reference.h"
#include "check/resources.h"
#include "program/compile/differentiate.h"
#include "program/compile/executable.h"

#include <massflow/seconds.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct one {
    const mf_check_case *c;
    mf_program *program;
    mf_weights *weights;
    mf_executable *executable;
    mf_value in[MF_CHECK_INPUTS], y;
    int64_t count; /* of the value */
    int rank;
    int64_t shape[MF_MAX_RANK];
    bool differentiated;
    double *x[MF_CHECK_INPUTS], *g;
    float *floats[2]; /* as long as the longest operand */
    mf_check_number *numbers;
    mf_check_number *gradients[MF_CHECK_INPUTS];
} one;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a check");
}

static bool trained(const one *t, int k)
{
    return t->c->in[k].kind == MF_CHECK_TRAINED || t->c->in[k].kind == MF_CHECK_FOLLOWER;
}

static void input_name(int k, char name[16])
{
    snprintf(name, 16, "x%d", k);
}

static void declare(one *t)
{
    const mf_check_case *c = t->c;
    mf_program *p = t->program;
    bool wanted = false;
    for (int k = 0; k < c->inputs; k++) {
        char name[16];
        input_name(k, name);
        wanted |= trained(t, k);
        t->in[k] = trained(t, k)
                       ? mf_weight(p, name, c->in[k].rank, c->in[k].dim)
                       : mf_input(p, name, c->in[k].kind == MF_CHECK_MASK ? MF_U8 : MF_F32,
                                  c->in[k].rank, c->in[k].dim);
    }
    t->y = c->op->build(p, t->in, c);
    if (t->y.id < 0)
        return;
    t->count = mf_count(p, t->y);
    t->rank = mf_rank(p, t->y);
    for (int k = 0; k < t->rank; k++)
        t->shape[k] = mf_dim(p, t->y, k);
    mf_output(p, "y", t->y);
    t->differentiated = wanted && c->op->gradient;
    if (t->differentiated) { /* what is added to a weight's gradient is the value of an op */
        mf_value g = mf_input(p, "g", MF_F32, 1, &t->count);
        mf_differentiate_from(p, t->y, mf_reshape(p, g, t->rank, t->shape));
    }
}

/* Values that f32 holds exactly, so that both sides see the same. */
static void fill(one *t)
{
    const mf_check_case *c = t->c;
    uint64_t state = 88172645463325252u;
    for (int k = 0; k < c->inputs; k++) {
        double low = c->in[k].low, high = c->in[k].high;
        if (low == 0 && high == 0) {
            low = -2;
            high = 2;
        }
        for (int64_t i = 0; i < mf_check_count(c, k); i++)
            t->x[k][i] = c->in[k].kind == MF_CHECK_MASK
                             ? (double)(mf_check_uniform(&state) < 0.4)
                             : (double)(float)(low + (high - low) * mf_check_uniform(&state));
    }
    if (c->op->prepare)
        c->op->prepare(c, t->x);
    for (int64_t i = 0; i < t->count; i++)
        t->g[i] = (double)(float)(2 * mf_check_uniform(&state) - 1);
}

static mf_status allocate(one *t)
{
    int64_t most = t->count;
    for (int k = 0; k < t->c->inputs; k++) {
        int64_t n = mf_check_count(t->c, k);
        most = n > most ? n : most;
        t->x[k] = calloc((size_t)n + 1, sizeof(double));
        if (t->differentiated && trained(t, k)) {
            t->gradients[k] = calloc((size_t)n + 1, sizeof(mf_check_number));
            if (!t->gradients[k])
                return no_memory();
        }
        if (!t->x[k])
            return no_memory();
    }
    t->g = calloc((size_t)t->count + 1, sizeof(double));
    t->numbers = calloc((size_t)t->count + 1, sizeof(mf_check_number));
    for (int k = 0; k < 2; k++)
        t->floats[k] = calloc((size_t)most + 1, sizeof(float));
    return t->g && t->numbers && t->floats[0] && t->floats[1] ? MF_OK : no_memory();
}

static mf_status set_operands(one *t)
{
    const mf_check_case *c = t->c;
    float *values = t->floats[0];
    for (int k = 0; k < c->inputs; k++) {
        char name[16];
        input_name(k, name);
        int64_t n = mf_check_count(c, k);
        uint8_t *bytes = (uint8_t *)values;
        for (int64_t i = 0; i < n; i++)
            if (c->in[k].kind == MF_CHECK_MASK)
                bytes[i] = (uint8_t)t->x[k][i];
            else
                values[i] = (float)t->x[k][i];
        if (trained(t, k))
            MF_TRY(mf_weights_set(t->weights, (size_t)mf_weights_find(t->weights, name), values));
        else
            MF_TRY(mf_executable_set(t->executable, name, values));
    }
    if (!t->differentiated)
        return MF_OK;
    for (int64_t i = 0; i < t->count; i++)
        values[i] = (float)t->g[i];
    return mf_executable_set(t->executable, "g", values);
}

static mf_status compare_gradients(one *t, mf_check_result *result)
{
    const mf_check_case *c = t->c;
    if (!t->differentiated)
        return MF_OK;
    c->op->gradient(c, t->x, t->count, t->g, t->gradients);
    for (int k = 0; k < c->inputs; k++) {
        char name[16], what[32];
        if (!trained(t, k))
            continue;
        input_name(k, name);
        snprintf(what, sizeof what, "gradient of input %d", k);
        MF_TRY(mf_weights_get_gradient(t->weights, (size_t)mf_weights_find(t->weights, name),
                                       t->floats[0]));
        mf_check_compare(result, what, c->in[k].rank, c->in[k].dim, mf_check_count(c, k),
                         t->floats[0], t->gradients[k], c->op->roundings[1]);
    }
    return MF_OK;
}

static mf_status run_twice(one *t, mf_check_result *result)
{
    t->executable->poison = true;
    MF_TRY(mf_weights_clear_gradients(t->weights));
    MF_TRY(mf_executable_run(t->executable));
    MF_TRY(mf_executable_get(t->executable, "y", t->floats[0]));
    t->c->op->value(t->c, t->x, t->numbers);
    mf_check_compare(result, "value", t->rank, t->shape, t->count, t->floats[0], t->numbers,
                     t->c->op->roundings[0]);
    memcpy(t->floats[1], t->floats[0], (size_t)t->count * sizeof(float));
    MF_TRY(compare_gradients(t, result));
    MF_TRY(mf_executable_run(t->executable));
    MF_TRY(mf_executable_get(t->executable, "y", t->floats[0]));
    for (int64_t i = 0; i < t->count; i++)
        t->numbers[i] = (mf_check_number){.value = (double)t->floats[1][i]};
    mf_check_compare(result, "value of a second run", t->rank, t->shape, t->count, t->floats[0],
                     t->numbers, 0);
    return MF_OK;
}

/* ---- time and resources ---------------------------------------------------------------------- */

static bool accumulates(const mf_launch *launch)
{
    const char *slash = strrchr(launch->label, '/');
    return !strcmp(slash ? slash + 1 : launch->label, "accumulate");
}

/* Each launch alone, waited for: the best of a few times. */
static mf_status measure(one *t, mf_check_result *result)
{
    enum { TIMES = 3 };
    mf_executable *e = t->executable;
    for (int32_t i = 0; i < e->launch_count; i++) {
        double best = INFINITY;
        if (accumulates(&e->launches[i]))
            continue;
        for (int n = 0; n < TIMES; n++) {
            double start = mf_seconds();
            MF_TRY(mf_queue_enqueue(t->weights->queue, &e->launches[i]));
            MF_TRY(mf_queue_finish(t->weights->queue));
            best = fmin(best, mf_seconds() - start);
        }
        result->seconds += best;
    }
    double bytes = (double)t->count;
    for (int k = 0; k < t->c->inputs; k++)
        bytes += (double)mf_check_count(t->c, k);
    if (t->c->op->work) /* of a product, a gradient for each factor */
        result->flops = t->c->op->work(t->c) * (t->differentiated ? 3 : 1);
    else /* each operand and result once, and once more with their gradients */
        result->bytes = 4 * bytes * (t->differentiated ? 3 : 1);
    return MF_OK;
}

/* ---- a case ---------------------------------------------------------------------------------- */

void mf_check_case_text(const mf_check_case *c, char *text, size_t size)
{
    size_t at = (size_t)snprintf(text, size, "%s", c->op->name);
    for (int k = 0; k < c->inputs && at < size; k++)
        for (int d = 0; d < c->in[k].rank && at < size; d++)
            at += (size_t)snprintf(text + at, size - at, "%s%lld%s", d ? "," : " [",
                                   (long long)c->in[k].dim[d], d + 1 == c->in[k].rank ? "]" : "");
    for (int d = 0, last = MF_CHECK_INTS; d < last && at < size; d++) {
        while (last > d && !c->i[last - 1])
            last--;
        if (d < last)
            at +=
                (size_t)snprintf(text + at, size - at, "%s%lld", d ? "," : " ", (long long)c->i[d]);
    }
}

static mf_status build(one *t, mf_device *device, mf_check_result *result, mf_check_labels *labels)
{
    MF_TRY(mf_program_new(&t->program));
    MF_TRY(mf_weights_new(device, &t->weights));
    declare(t);
    MF_TRY(mf_program_compile(t->program, t->weights, &t->executable));
    mf_check_note_executable(t->executable, result, labels);
    return MF_OK;
}

static mf_status run(one *t, mf_check_result *result)
{
    MF_TRY(allocate(t));
    fill(t);
    MF_TRY(set_operands(t));
    MF_TRY(run_twice(t, result));
    return t->c->model ? measure(t, result) : MF_OK;
}

static void clear(one *t)
{
    mf_executable_free(t->executable);
    mf_weights_free(t->weights);
    mf_program_free(t->program);
    for (int k = 0; k < MF_CHECK_INPUTS; k++) {
        free(t->x[k]);
        free(t->gradients[k]);
    }
    free(t->g);
    free(t->numbers);
    free(t->floats[0]);
    free(t->floats[1]);
}

mf_status mf_check_case_run(const mf_check_case *c, mf_device *device, mf_check_result *result,
                            mf_check_labels *labels)
{
    *result = (mf_check_result){.ratio = 0};
    mf_check_case_text(c, result->text, sizeof result->text);
    mf_status status;
    if (c->op->own) {
        status = c->op->own(c, device, result, labels);
    } else {
        one t = {.c = c};
        status = build(&t, device, result, labels);
        if (!status)
            status = run(&t, result);
        clear(&t);
    }
    /* Memory of the host is massflow's affair, all else is of the device. */
    if (!status || mf_error_code(status) == MF_NO_MEMORY || mf_error_code(status) == MF_CANCELLED)
        return status;
    char *text = mf_error_text(status);
    snprintf(result->error, sizeof result->error, "%s", text ? text : "an error");
    free(text);
    mf_error_free(status);
    result->wrong = true;
    return MF_OK;
}

mf_status mf_check_case_labels(const mf_check_case *c, mf_device *device, mf_check_labels *labels)
{
    mf_check_result result = {.ratio = 0};
    one t = {.c = c};
    if (c->op->own)
        return c->op->own(c, device, &result, labels);
    mf_status status = build(&t, device, &result, labels);
    clear(&t);
    return status;
}
