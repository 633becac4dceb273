/* gradients.h - runs one op in a program of its own, for tests: its value, and the gradient of
 * <value, cotangent> for every operand. Each device form is tried: `form` "" is the device's own,
 * "gpu" the GPU form of the kernels wherever they run. */
#ifndef MASSFLOW_TEST_GRADIENTS_H
#define MASSFLOW_TEST_GRADIENTS_H

#include "../expect.h"
#include <massflow/program.h>

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPERANDS = 3 };

typedef struct trial {
    const char *form;
    int operands;
    mf_value (*build)(mf_program *p, const mf_value *operands, const void *parameters);
    const void *parameters;
    int rank[OPERANDS];
    int64_t shape[OPERANDS][MF_MAX_RANK];
    float *x[OPERANDS], *gradient[OPERANDS];
    int64_t count[OPERANDS], results;
    float *result, *cotangent;
} trial;

/* Uniform in [-1, 1), by a linear congruential generator (Knuth, MMIX). */
static inline float *noise(int64_t count, uint64_t seed)
{
    float *x = malloc((size_t)(count > 0 ? count : 1) * sizeof(float));
    ck_assert_ptr_nonnull(x);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)((double)(seed >> 40) / (1 << 23) - 1.0);
    }
    return x;
}

static inline void trial_run(trial *t)
{
    mf_program *p;
    mf_device *device;
    mf_weights *weights;
    mf_executable *e;
    setenv("MASSFLOW_KERNELS", t->form, 1);
    ok(mf_device_open("", &device));
    ok(mf_program_new(&p));
    mf_value operands[OPERANDS] = {MF_NONE, MF_NONE, MF_NONE};
    const char *names[] = {"a", "b", "c"};
    for (int k = 0; k < t->operands; k++)
        operands[k] = mf_weight(p, names[k], t->rank[k], t->shape[k]);
    const mf_value y = t->build(p, operands, t->parameters);
    t->results = mf_count(p, y);
    int64_t shape[MF_MAX_RANK];
    for (int axis = 0; axis < mf_rank(p, y); axis++)
        shape[axis] = mf_dim(p, y, axis);
    mf_output(p, "y", y);
    const mf_value cotangent = mf_input(p, "cotangent", MF_F32, mf_rank(p, y), shape);
    const int64_t flat[] = {1, t->results};
    mf_differentiate(p, mf_sum(p, mf_reshape(p, mf_mul(p, y, cotangent), 2, flat), 1));
    ok(mf_weights_new(device, &weights));
    ok(mf_program_compile(p, weights, &e));
    for (int k = 0; k < t->operands; k++) {
        t->count[k] = mf_count(p, operands[k]);
        t->x[k] = noise(t->count[k], (uint64_t)k + 1);
        ok(mf_weights_set(weights, (size_t)mf_weights_find(weights, names[k]), t->x[k]));
    }
    t->cotangent = noise(t->results, 17);
    t->result = malloc((size_t)t->results * sizeof(float));
    ok(mf_executable_set(e, "cotangent", t->cotangent));
    ok(mf_weights_clear_gradients(weights));
    ok(mf_executable_run(e));
    ok(mf_executable_get(e, "y", t->result));
    for (int k = 0; k < t->operands; k++) {
        t->gradient[k] = malloc((size_t)t->count[k] * sizeof(float));
        ok(mf_weights_get_gradient(weights, (size_t)mf_weights_find(weights, names[k]),
                                   t->gradient[k]));
    }
    mf_executable_free(e);
    mf_weights_free(weights);
    mf_program_free(p);
    mf_device_unref(device);
}

static inline void trial_free(trial *t)
{
    for (int k = 0; k < t->operands; k++) {
        free(t->x[k]);
        free(t->gradient[k]);
    }
    free(t->result);
    free(t->cotangent);
}

/* A sum of products and the sum of their magnitudes. */
typedef struct sum {
    double value, size;
    int64_t terms;
} sum;

static inline void sum_add(sum *s, double term)
{
    s->value += term;
    s->size += fabs(term);
    s->terms++;
}

/* Rounding of a float sum of n terms t: 2 sqrt(n) eps sum |t|. */
static inline void sum_check(const char *what, int64_t at, float got, sum s)
{
    const double tolerance = 2 * sqrt((double)s.terms) * FLT_EPSILON * s.size;
    if (!(fabs(got - s.value) <= tolerance))
        ck_abort_msg("%s [%lld]: %.9g, not %.9g within %.2g", what, (long long)at, (double)got,
                     s.value, tolerance);
}

/* The whole error of compiling what `build` declares. */
static inline void trial_refuses(mf_value (*build)(mf_program *p), const char *expected)
{
    mf_program *p;
    mf_device *device;
    mf_weights *weights;
    mf_executable *e = NULL;
    ok(mf_device_open("", &device));
    ok(mf_program_new(&p));
    ok(mf_weights_new(device, &weights));
    ck_assert_int_lt(build(p).id, 0);
    mf_status status = mf_program_compile(p, weights, &e);
    ck_assert_ptr_nonnull(status);
    ck_assert_str_eq(mf_error_message(status), expected);
    mf_error_free(status);
    mf_weights_free(weights);
    mf_program_free(p);
    mf_device_unref(device);
}

#endif
