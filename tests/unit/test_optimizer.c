/* test_optimizer.c - LAMB, AdamW, clipping and averages against the same in double. */
#include "../run_suite.h"
#include "op_case.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Weights: one element, a few, more than one chunk, zeros, one of norm above 10, one that no
 * gradient reaches. */
enum { WEIGHTS = 6, MOST = 5003 };
static const int64_t counts[WEIGHTS] = {1, 7, MOST, 16, 400, 9};
enum { ZERO = 3, LARGE = 4, UNUSED = 5 };

typedef struct model {
    double p[WEIGHTS][MOST], m[WEIGHTS][MOST], v[WEIGHTS][MOST], mean[WEIGHTS][MOST];
    bool averaging;
} model;

/* The gradient of weight k at step t; loss = sum over k of w_k . g_k. */
static float gradient(int k, int64_t i, int t)
{
    return 0.3f * sinf((float)((i + 1) * (k + 2)) + (float)t);
}

static double norm_of(int t, double scale)
{
    double all = 0;
    for (int k = 0; k < UNUSED; k++)
        for (int64_t i = 0; i < counts[k]; i++)
            all += pow(gradient(k, i, t), 2);
    return sqrt(all) * scale;
}

/* One weight's update in double, as Stanford-AIMI/MASS training/lamb_optimizer.py does it. */
static void lamb(model *o, int k, const mf_optimizer_step *s, double scale, int t)
{
    double pp = 0, uu = 0;
    static double u[MOST];
    for (int64_t i = 0; i < counts[k]; i++) {
        double g = gradient(k, i, t) * scale;
        o->m[k][i] = s->beta1 * o->m[k][i] + (1.0 - s->beta1) * g;
        o->v[k][i] = s->beta2 * o->v[k][i] + (1.0 - s->beta2) * g * g;
        u[i] = o->m[k][i] / (sqrt(o->v[k][i]) + s->eps) + s->weight_decay * o->p[k][i];
        pp += o->p[k][i] * o->p[k][i];
        uu += u[i] * u[i];
    }
    double p = fmin(sqrt(pp), 10), trust = pp == 0 || uu == 0 ? 1 : p / sqrt(uu);
    for (int64_t i = 0; i < counts[k]; i++)
        o->p[k][i] -= s->rate * trust * u[i];
}

/* torch.optim.AdamW */
static void adamw(model *o, int k, const mf_optimizer_step *s, double scale, int t)
{
    for (int64_t i = 0; i < counts[k]; i++) {
        double g = gradient(k, i, t) * scale;
        o->p[k][i] *= 1 - s->rate * s->weight_decay;
        o->m[k][i] = s->beta1 * o->m[k][i] + (1.0 - s->beta1) * g;
        o->v[k][i] = s->beta2 * o->v[k][i] + (1.0 - s->beta2) * g * g;
        double m = o->m[k][i] / (1 - pow(s->beta1, (double)s->step));
        double v = o->v[k][i] / (1 - pow(s->beta2, (double)s->step));
        o->p[k][i] -= s->rate * m / (sqrt(v) + s->eps);
    }
}

static void step_model(model *o, const mf_optimizer_step *s, int t)
{
    double norm = norm_of(t, s->grad_scale);
    double clip = s->max_norm > 0 ? fmin(1, s->max_norm / (norm + 1e-6)) : 1;
    if (s->ema_decay > 0 && !o->averaging)
        memcpy(o->mean, o->p, sizeof o->p);
    o->averaging |= s->ema_decay > 0;
    for (int k = 0; k < WEIGHTS; k++) {
        if (k != UNUSED)
            (s->kind == MF_LAMB ? lamb : adamw)(o, k, s, clip * s->grad_scale, t);
        for (int64_t i = 0; o->averaging && i < counts[k]; i++)
            o->mean[k][i] = s->ema_decay * o->mean[k][i] + (1.0 - s->ema_decay) * o->p[k][i];
    }
}

typedef struct rig {
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
} rig;

static rig make_rig(model *o)
{
    rig r;
    ok(mf_program_new(&r.p));
    ok(mf_weights_new(test_device(), &r.w));
    mf_value loss = MF_NONE;
    for (int k = 0; k < WEIGHTS; k++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", k);
        mf_value w = mf_weight(r.p, name, 1, &counts[k]);
        if (k == UNUSED)
            continue;
        mf_value x = mf_input(r.p, name, MF_F32, 1, &counts[k]);
        mf_value part = mf_sum(r.p, mf_mul(r.p, w, x), 0);
        loss = k ? mf_add(r.p, loss, part) : part;
    }
    mf_output(r.p, "loss", loss);
    mf_differentiate(r.p, loss);
    ok(mf_program_compile(r.p, r.w, &r.e));
    for (int k = 0; k < WEIGHTS; k++) {
        static float values[MOST];
        for (int64_t i = 0; i < counts[k]; i++) {
            values[i] = k == ZERO ? 0 : (k == LARGE ? 3.0f : 0.1f) * cosf((float)(i * 3 + k));
            o->p[k][i] = values[i];
        }
        ok(mf_weights_set(r.w, (size_t)k, values));
    }
    return r;
}

static void free_rig(rig *r)
{
    mf_executable_free(r->e);
    mf_weights_free(r->w);
    mf_program_free(r->p);
}

static void compare(rig *r, const double (*want)[MOST], bool average, const char *what)
{
    for (int k = 0; k < WEIGHTS; k++) {
        static float got[MOST];
        ok(average ? mf_weights_get_average(r->w, (size_t)k, got)
                   : mf_weights_get(r->w, (size_t)k, got));
        for (int64_t i = 0; i < counts[k]; i++)
            ck_assert_msg(fabs(got[i] - want[k][i]) <= 3e-6 * fmax(1, fabs(want[k][i])),
                          "%s w%d[%lld] is %.9g, wants %.9g", what, k, (long long)i, (double)got[i],
                          want[k][i]);
    }
}

static void feed(rig *r, int t)
{
    ok(mf_weights_clear_gradients(r->w));
    for (int k = 0; k < UNUSED; k++) {
        static float g[MOST];
        char name[8];
        snprintf(name, sizeof name, "w%d", k);
        for (int64_t i = 0; i < counts[k]; i++)
            g[i] = gradient(k, i, t);
        ok(mf_executable_set(r->e, name, g));
    }
    ok(mf_executable_run(r->e));
}

static void train(mf_optimizer_step step, int steps)
{
    model *o = calloc(1, sizeof *o);
    rig r = make_rig(o);
    for (int t = 1; t <= steps; t++) {
        float norm;
        feed(&r, t);
        step.step = t;
        ok(mf_weights_step(r.w, &step, &norm));
        double want = norm_of(t, step.grad_scale);
        ck_assert_double_le(fabs(norm - want), 1e-6 * want);
        step_model(o, &step, t);
        compare(&r, (const double(*)[MOST])o->p, false, "weight");
    }
    compare(&r, (const double(*)[MOST])(step.ema_decay > 0 ? o->mean : o->p), true, "average");
    free_rig(&r);
    free(o);
}

START_TEST(test_lamb)
{
    train((mf_optimizer_step){MF_LAMB, 0.002, 0.9, 0.999, 1e-6, 1e-5, .grad_scale = 1}, 4);
}
END_TEST

START_TEST(test_lamb_clipped_scaled_averaged)
{
    train((mf_optimizer_step){MF_LAMB, 0.01f, 0.85f, 0.99, 1e-6, 0.01f, .max_norm = 1,
                              .grad_scale = 0.5, .ema_decay = 0.9},
          4);
}
END_TEST

START_TEST(test_adamw)
{
    train((mf_optimizer_step){MF_ADAMW, 1e-3, 0.9, 0.999, 1e-8, 0.01f, .max_norm = 100,
                              .grad_scale = 1, .ema_decay = 0.99},
          4);
}
END_TEST

/* Steps `from` + 1 .. `to`. */
static void go(rig *r, mf_optimizer_step step, int from, int to)
{
    for (step.step = from + 1; step.step <= to; step.step++) {
        feed(r, (int)step.step);
        ok(mf_weights_step(r->w, &step, NULL));
    }
}

/* All parts of all weights, one after another, read or set. */
static void copy_parts(rig *r, float (*values)[WEIGHTS][MOST], bool set)
{
    for (int part = MF_WEIGHT_VALUE; part <= MF_WEIGHT_AVERAGE; part++)
        for (int k = 0; k < WEIGHTS; k++)
            ok(set ? mf_weights_set_part(r->w, (size_t)k, part, values[part][k])
                   : mf_weights_get_part(r->w, (size_t)k, part, values[part][k]));
}

/* Saved after two of four steps and gone on with elsewhere, all ends in the same bits. */
START_TEST(test_parts_are_all_that_a_step_needs)
{
    static float half[4][WEIGHTS][MOST], whole[4][WEIGHTS][MOST], again[4][WEIGHTS][MOST];
    mf_optimizer_step step = {
        _i ? MF_ADAMW : MF_LAMB, 0.01, 0.9, 0.99, 1e-6, 0.01f, .grad_scale = 1, .ema_decay = 0.9};
    model *o = calloc(1, sizeof *o);
    rig first = make_rig(o), second = make_rig(o);
    copy_parts(&first, half, false);
    ck_assert(half[MF_WEIGHT_FIRST_MOMENT][1][0] == 0);
    ck_assert(half[MF_WEIGHT_AVERAGE][1][0] == half[MF_WEIGHT_VALUE][1][0]);
    go(&first, step, 0, 2);
    copy_parts(&first, half, false);
    go(&first, step, 2, 4);
    copy_parts(&first, whole, false);
    copy_parts(&second, half, true);
    go(&second, step, 2, 4);
    copy_parts(&second, again, false);
    ck_assert(memcmp(whole, half, sizeof whole) != 0);
    ck_assert_mem_eq(whole, again, sizeof whole);
    free_rig(&first);
    free_rig(&second);
    free(o);
}
END_TEST

START_TEST(test_adamw_counts_from_one)
{
    model *o = calloc(1, sizeof *o);
    rig r = make_rig(o);
    mf_optimizer_step step = {MF_ADAMW, 1e-3, 0.9, 0.999, 1e-8, .grad_scale = 1};
    mf_status status = mf_weights_step(r.w, &step, NULL);
    ck_assert_ptr_nonnull(status);
    ck_assert_str_eq(mf_error_message(status), "AdamW counts steps from 1, given 0");
    mf_error_free(status);
    free_rig(&r);
    free(o);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optimizer");
    TCase *t = tcase_create("optimizer");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_lamb);
    tcase_add_test(t, test_lamb_clipped_scaled_averaged);
    tcase_add_test(t, test_adamw);
    tcase_add_loop_test(t, test_parts_are_all_that_a_step_needs, 0, 2);
    tcase_add_test(t, test_adamw_counts_from_one);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
