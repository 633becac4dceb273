/* test_optimizer.c - LAMB, AdamW, clipping and averages, by the list of checks; saved and
 * continued. */
#include "../run_suite.h"
#include "checked.h"

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

/* The gradient of weight k at step t; loss = sum over k of w_k . g_k. */
static float gradient(int k, int64_t i, int t)
{
    return 0.3f * sinf((float)((i + 1) * (k + 2)) + (float)t);
}

typedef struct rig {
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
} rig;

static rig make_rig(void)
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
        for (int64_t i = 0; i < counts[k]; i++)
            values[i] = k == ZERO ? 0 : (k == LARGE ? 3.0f : 0.1f) * cosf((float)(i * 3 + k));
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

START_TEST(test_family)
{
    check_family("optimizer");
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
    rig first = make_rig(), second = make_rig();
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
}
END_TEST

START_TEST(test_adamw_counts_from_one)
{
    rig r = make_rig();
    mf_optimizer_step step = {MF_ADAMW, 1e-3, 0.9, 0.999, 1e-8, .grad_scale = 1};
    mf_status status = mf_weights_step(r.w, &step, NULL);
    ck_assert_ptr_nonnull(status);
    ck_assert_str_eq(mf_error_message(status), "AdamW counts steps from 1, given 0");
    mf_error_free(status);
    free_rig(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optimizer");
    TCase *t = tcase_create("optimizer");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_family);
    tcase_add_loop_test(t, test_parts_are_all_that_a_step_needs, 0, 2);
    tcase_add_test(t, test_adamw_counts_from_one);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
