/* op_case.c - see op_case.h. */
#include "op_case.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mf_device *test_device(void)
{
    static mf_device *device;
    if (!device) {
        const char *which = getenv("MASSFLOW_DEVICE");
        ok(mf_device_open(which, &device));
    }
    return device;
}

int64_t case_count(const op_case *c, int k)
{
    int64_t n = 1;
    for (int d = 0; d < c->in[k].rank; d++)
        n *= c->in[k].dim[d];
    return n;
}

static uint64_t state = 88172645463325252u;

static double uniform(void)
{
    state ^= state << 13; /* xorshift64 (Marsaglia 2003) */
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

/* Values that f32 holds exactly, so that both sides see the same input. */
static void fill(const op_case *c, int k, double *x)
{
    double low = c->in[k].low, high = c->in[k].high;
    if (low == 0 && high == 0) {
        low = -2;
        high = 2;
    }
    for (int64_t i = 0; i < case_count(c, k); i++)
        x[i] = c->in[k].kind == MASK ? (double)(uniform() < 0.4)
                                     : (double)(float)(low + (high - low) * uniform());
}

static double dot(const double *a, const float *b, int64_t n)
{
    double all = 0;
    for (int64_t i = 0; i < n; i++)
        all += a[i] * b[i];
    return all;
}

static void compare(const op_case *c, const char *what, const float *got, const double *want,
                    int64_t n)
{
    /* Inputs and weights of the loss are of size 1, so that is what terms that cancel have. */
    double scale = 1;
    for (int64_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(want[i]));
    /* Rounding grows at worst with the number of terms, on average with its root. */
    double terms = c->terms > 0 ? c->terms : 8;
    double tolerance = 8 * FLT_EPSILON * sqrt(terms) * scale;
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= tolerance,
                      "%s: %s[%lld] is %.9g, wants %.9g (tolerance %.3g)", c->name, what,
                      (long long)i, (double)got[i], want[i], tolerance);
}

typedef struct run {
    mf_value in[CASE_INPUTS], y;
    double *x[CASE_INPUTS];
    float *weights; /* of the elements of y in the loss */
    int64_t count;
} run;

static void set_inputs(const op_case *c, const run *t, mf_weights *w, mf_executable *e)
{
    for (int k = 0; k < c->inputs; k++) {
        int64_t n = case_count(c, k);
        char name[8];
        snprintf(name, sizeof name, "x%d", k);
        float *values = malloc((size_t)n * sizeof *values);
        uint8_t *bytes = malloc((size_t)n);
        for (int64_t i = 0; i < n; i++) {
            values[i] = (float)t->x[k][i];
            bytes[i] = (uint8_t)t->x[k][i];
        }
        if (c->in[k].kind == TRAINED)
            ok(mf_weights_set(w, (size_t)mf_weights_find(w, name), values));
        else
            ok(mf_executable_set(e, name, c->in[k].kind == MASK ? (void *)bytes : values));
        free(values);
        free(bytes);
    }
    ok(mf_executable_set(e, "r", t->weights));
}

static void check_gradients(const op_case *c, run *t, mf_weights *w, double *out)
{
    const double h = 1e-5;
    for (int k = 0; k < c->inputs; k++) {
        int64_t n = case_count(c, k);
        if (c->in[k].kind != TRAINED)
            continue;
        double *want = calloc((size_t)n, sizeof *want);
        float *got = calloc((size_t)n, sizeof *got);
        for (int64_t i = 0; i < n; i++) {
            double x = t->x[k][i];
            t->x[k][i] = x + h;
            c->reference(c, t->x, out);
            want[i] = dot(out, t->weights, t->count);
            t->x[k][i] = x - h;
            c->reference(c, t->x, out);
            want[i] = (want[i] - dot(out, t->weights, t->count)) / (2 * h);
            t->x[k][i] = x;
        }
        char name[32];
        snprintf(name, sizeof name, "x%d", k);
        ok(mf_weights_get_gradient(w, (size_t)mf_weights_find(w, name), got));
        snprintf(name, sizeof name, "gradient of input %d", k);
        compare(c, name, got, want, n);
        free(want);
        free(got);
    }
}

/* y = op(x); loss = sum(y r) with random r */
static void declare(const op_case *c, mf_program *p, run *t)
{
    bool trained = false;
    for (int k = 0; k < c->inputs; k++) {
        char name[8];
        snprintf(name, sizeof name, "x%d", k);
        trained |= c->in[k].kind == TRAINED;
        if (c->in[k].kind == TRAINED)
            t->in[k] = mf_weight(p, name, c->in[k].rank, c->in[k].dim);
        else
            t->in[k] = mf_input(p, name, c->in[k].kind == MASK ? MF_U8 : MF_F32, c->in[k].rank,
                                c->in[k].dim);
    }
    t->y = c->build(p, t->in, c);
    t->count = mf_count(p, t->y);
    mf_output(p, "y", t->y);
    mf_value r = mf_input(p, "r", MF_F32, 1, (int64_t[]){t->count});
    mf_value flat = mf_mul(p, mf_reshape(p, t->y, 1, (int64_t[]){t->count}), r);
    mf_value loss = mf_sum(p, flat, 0);
    mf_output(p, "loss", loss);
    if (trained)
        mf_differentiate(p, loss);
}

void check_case(const op_case *c)
{
    run t = {.count = 0};
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &w));
    declare(c, p, &t);
    mf_status status = mf_program_compile(p, w, &e);
    ok(mf_within(status, "%s", c->name));

    for (int k = 0; k < c->inputs; k++) {
        t.x[k] = malloc((size_t)case_count(c, k) * sizeof(double));
        fill(c, k, t.x[k]);
    }
    t.weights = malloc((size_t)t.count * sizeof(float));
    for (int64_t i = 0; i < t.count; i++)
        t.weights[i] = (float)(2 * uniform() - 1);

    double *want = calloc((size_t)t.count, sizeof *want);
    double *out = calloc((size_t)t.count, sizeof *out);
    float *got = calloc((size_t)t.count, sizeof *got),
          *again = calloc((size_t)t.count, sizeof *got);
    set_inputs(c, &t, w, e);
    ok(mf_executable_run(e));
    ok(mf_executable_get(e, "y", got));
    c->reference(c, t.x, want);
    compare(c, "value", got, want, t.count);
    check_gradients(c, &t, w, out);

    ok(mf_executable_run(e));
    ok(mf_executable_get(e, "y", again));
    ck_assert_msg(!memcmp(got, again, (size_t)t.count * sizeof *got), "%s does not repeat",
                  c->name);

    for (int k = 0; k < c->inputs; k++)
        free(t.x[k]);
    free(t.weights);
    free(want);
    free(out);
    free(got);
    free(again);
    mf_executable_free(e);
    mf_weights_free(w);
    mf_program_free(p);
}
