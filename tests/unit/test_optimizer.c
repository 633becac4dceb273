/* test_optimizer.c - LAMB, AdamW, clipping and averages, by the list of checks; saved and
 * continued. */
#include "../run_suite.h"
#include "checked.h"
#include "program/weights/weights.h"

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

static void feed_item(rig *r, int t)
{
    for (int k = 0; k < UNUSED; k++) {
        static float g[MOST];
        char name[8];
        snprintf(name, sizeof name, "w%d", k);
        for (int64_t i = 0; i < counts[k]; i++)
            g[i] = gradient(k, i, t);
        ok(mf_executable_set(r->e, name, g));
    }
}

static void feed(rig *r, int t)
{
    ok(mf_weights_clear_gradients(r->w));
    feed_item(r, t);
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

/* ---- batches --------------------------------------------------------------------------------- */

enum { ITEMS_MOST = 33 };

/* The gradients of `count` items from `first` on, which the device sums. */
static void sum_on_device(rig *r, int first, int count, float (*sum)[MOST])
{
    ok(mf_weights_begin_batch(r->w, count));
    for (int i = first; i < first + count; i++) {
        feed_item(r, i);
        ok(mf_executable_run(r->e));
        ok(mf_weights_end_item(r->w));
    }
    for (int k = 0; k < WEIGHTS; k++)
        ok(mf_weights_get_gradient(r->w, (size_t)k, sum[k]));
}

/* The same by the definition in <massflow/program.h>, from the gradients of single items. */
static float sum_by_hand(const float *item, int64_t stride, int count)
{
    if (count == 1)
        return *item;
    const int half = (count + 1) / 2;
    const float left = sum_by_hand(item, stride, half);
    return left + sum_by_hand(item + half * stride, stride, count - half);
}

START_TEST(test_a_batch_is_summed_as_a_tree)
{
    static float items[ITEMS_MOST][WEIGHTS][MOST], sum[WEIGHTS][MOST];
    rig r = make_rig();
    int64_t other = 0;
    for (int i = 0; i < ITEMS_MOST; i++)
        sum_on_device(&r, i, 1, items[i]);
    for (int count = 1; count <= ITEMS_MOST; count++) {
        sum_on_device(&r, 0, count, sum);
        for (int k = 0; k < WEIGHTS; k++)
            for (int64_t i = 0; i < counts[k]; i++) {
                const float want = sum_by_hand(&items[0][k][i], WEIGHTS * MOST, count);
                float chain = 0;
                for (int n = 0; n < count; n++)
                    chain += items[n][k][i];
                ck_assert_msg(sum[k][i] == want, "batch of %d, weight %d, %lld: %a, by hand %a",
                              count, k, (long long)i, (double)sum[k][i], (double)want);
                other += want != chain;
            }
    }
    ck_assert_int_gt(other, 10000); /* or the test would not tell a tree from a chain */
    free_rig(&r);
}
END_TEST

/* What 2, 4 and 8 processes do: each sums a part, then they add theirs pairwise. */
START_TEST(test_parts_of_a_batch_are_computed_apart)
{
    static float whole[WEIGHTS][MOST], part[8][WEIGHTS][MOST];
    rig r = make_rig();
    for (int count = 8; count <= ITEMS_MOST; count++) {
        sum_on_device(&r, 0, count, whole);
        for (int ranks = 2; ranks <= 8; ranks *= 2) {
            int sizes[8] = {count}, first = 0;
            for (int parts = 1; parts < ranks; parts *= 2)
                for (int n = parts - 1; n >= 0; n--) {
                    const int all = sizes[n];
                    sizes[2 * n] = (all + 1) / 2;
                    sizes[2 * n + 1] = all / 2;
                }
            for (int n = 0; n < ranks; first += sizes[n++]) {
                ck_assert_int_ge(sizes[n], count / ranks);
                ck_assert_int_le(sizes[n], (count + ranks - 1) / ranks);
                sum_on_device(&r, first, sizes[n], part[n]);
            }
            for (int step = 1; step < ranks; step *= 2)
                for (int n = 0; n < ranks; n += 2 * step)
                    for (int k = 0; k < WEIGHTS; k++)
                        for (int64_t i = 0; i < counts[k]; i++)
                            part[n][k][i] += part[n + step][k][i];
            for (int k = 0; k < WEIGHTS; k++)
                ck_assert_mem_eq(whole[k], part[0][k], (size_t)counts[k] * sizeof(float));
        }
    }
    free_rig(&r);
}
END_TEST

/* The sums that wait: none for 1 and 2 items, then ceil(log2(count)) - 1 at most. */
START_TEST(test_memory_of_a_batch)
{
    static const struct {
        int items, sums;
    } expected[] = {{1, 0}, {2, 0}, {3, 1}, {4, 1}, {5, 1}, {6, 2}, {8, 2}, {16, 3}, {32, 4}};
    for (size_t n = 0; n < sizeof expected / sizeof *expected; n++) {
        rig r = make_rig();
        ok(mf_weights_begin_batch(r.w, expected[n].items));
        for (int i = 0; i < expected[n].items; i++) {
            ok(mf_executable_run(r.e));
            ok(mf_weights_end_item(r.w));
        }
        int sums = 0;
        while (r.w->blocks[0].kept[sums])
            sums++;
        ck_assert_int_eq(sums, expected[n].sums);
        free_rig(&r);
    }
}
END_TEST

START_TEST(test_a_batch_is_used_in_order)
{
    rig r = make_rig();
    const mf_optimizer_step step = {MF_LAMB, 1e-3, 0.9, 0.999, 1e-8, .grad_scale = 1};
    fails(mf_weights_begin_batch(r.w, 0), "a batch of 0 items; it has 1 to 1073741824");
    fails(mf_weights_end_item(r.w), "item 1 of a batch of 0");
    ok(mf_weights_begin_batch(r.w, 3));
    ok(mf_executable_run(r.e));
    fails(mf_executable_run(r.e), "item 1 of a batch of 3 has had its run");
    ok(mf_weights_end_item(r.w));
    fails(mf_weights_step(r.w, &step, NULL), "a step after 1 of a batch of 3 items");
    for (int i = 1; i < 3; i++) {
        ok(mf_executable_run(r.e));
        ok(mf_weights_end_item(r.w));
    }
    fails(mf_weights_end_item(r.w), "item 4 of a batch of 3");
    ok(mf_weights_step(r.w, &step, NULL));
    ok(mf_weights_begin_batch(r.w, 3));
    ok(mf_weights_clear_gradients(r.w)); /* forgets it */
    ok(mf_executable_run(r.e));
    ok(mf_executable_run(r.e));
    ok(mf_weights_step(r.w, &step, NULL));
    free_rig(&r);
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

/* ---- groups ---------------------------------------------------------------------------------- */

static const mf_optimizer_step adamw = {.kind = MF_ADAMW,
                                        .rate = 0.01,
                                        .beta1 = 0.9,
                                        .beta2 = 0.99,
                                        .eps = 1e-8,
                                        .weight_decay = 0.1,
                                        .max_norm = 0.5,
                                        .grad_scale = 0.5,
                                        .ema_decay = 0.9};

static void go_in_groups(rig *r, mf_optimizer_step step, const mf_optimizer_group *groups,
                         int count, float *norm)
{
    for (step.step = 1; step.step <= 3; step.step++) {
        feed(r, (int)step.step);
        ok(mf_weights_step_groups(r->w, &step, groups, count, norm));
    }
}

START_TEST(test_one_group_is_all_weights)
{
    static float one[4][WEIGHTS][MOST], all[4][WEIGHTS][MOST];
    const mf_optimizer_group group = {adamw.rate, adamw.weight_decay, true};
    rig first = make_rig(), second = make_rig();
    float norm, whole = 0;
    go_in_groups(&first, adamw, &group, 1, &norm);
    mf_optimizer_step step = adamw;
    for (step.step = 1; step.step <= 3; step.step++) {
        feed(&second, (int)step.step);
        ok(mf_weights_step(second.w, &step, &whole));
    }
    copy_parts(&first, one, false);
    copy_parts(&second, all, false);
    ck_assert_mem_eq(one, all, sizeof one);
    ck_assert(norm == whole && norm > 0.5f);
    free_rig(&first);
    free_rig(&second);
}
END_TEST

/* Weights 0 and 1 are clipped, 2 has another rate and is not, 4 stays; the others have no group of
 * their own, and 5 no gradient. Each group is what a step over it alone makes of it. */
START_TEST(test_groups_have_rates_and_norms_of_their_own)
{
    static float got[4][WEIGHTS][MOST], clipped[4][WEIGHTS][MOST], free_of[4][WEIGHTS][MOST];
    static float before[4][WEIGHTS][MOST];
    const mf_optimizer_group groups[] = {{0.01, 0.1, true}, {0.003, 0.2, false}};
    rig r = make_rig(), a = make_rig(), b = make_rig();
    float norm;
    copy_parts(&r, before, false);
    ok(mf_weights_set_group(r.w, 2, 1));
    ok(mf_weights_set_group(r.w, LARGE, -1));
    go_in_groups(&r, adamw, groups, 2, &norm);
    for (size_t k = 0; k < WEIGHTS; k++) {
        ok(mf_weights_set_group(a.w, k, k == 2 || k == LARGE ? -1 : 0));
        ok(mf_weights_set_group(b.w, k, k == 2 ? 0 : -1));
    }
    go_in_groups(&a, adamw, groups, 1, NULL);
    mf_optimizer_step step = adamw;
    step.max_norm = 0;
    go_in_groups(&b, step, groups + 1, 1, NULL);
    copy_parts(&r, got, false);
    copy_parts(&a, clipped, false);
    copy_parts(&b, free_of, false);
    for (int part = 0; part < 4; part++)
        for (int k = 0; k < WEIGHTS; k++)
            ck_assert_mem_eq(got[part][k], k == 2 ? free_of[part][k] : clipped[part][k],
                             (size_t)counts[k] * sizeof(float));
    ck_assert_mem_eq(got[MF_WEIGHT_VALUE][LARGE], before[MF_WEIGHT_VALUE][LARGE], 400 * 4);
    ck_assert_mem_eq(got[MF_WEIGHT_VALUE][UNUSED], before[MF_WEIGHT_VALUE][UNUSED], 9 * 4);
    double squares = 0;
    for (int k = 0; k < UNUSED; k++)
        for (int64_t i = 0; i < counts[k] && k != 2 && k != LARGE; i++)
            squares += pow(0.5 * (double)gradient(k, i, 3), 2);
    ck_assert_double_eq_tol(norm, sqrt(squares), 1e-6);
    free_rig(&r);
    free_rig(&a);
    free_rig(&b);
}
END_TEST

/* Weights that learn from the second step on are, in their own steps, what a training of them alone
 * is that begins there; the others are what they are without. */
START_TEST(test_a_group_begins_later)
{
    static float got[4][WEIGHTS][MOST], alone[4][WEIGHTS][MOST], others[4][WEIGHTS][MOST];
    const mf_optimizer_group groups[] = {{0.01, 0.1, true}, {0.01, 0.1, true}};
    rig r = make_rig(), late = make_rig(), early = make_rig();
    mf_optimizer_step step = adamw;
    step.max_norm = 0;
    for (size_t k = 0; k < WEIGHTS; k++) {
        ok(mf_weights_set_group(late.w, k, k == 2 ? 0 : -1));
        ok(mf_weights_set_group(early.w, k, k == 2 ? -1 : 0));
    }
    for (step.step = 1; step.step <= 3; step.step++) {
        const int64_t steps[] = {step.step, step.step - 1};
        ok(mf_weights_set_group(r.w, 2, step.step > 1 ? 1 : -1));
        feed(&r, (int)step.step);
        ok(mf_weights_step_groups_at(r.w, &step, groups, steps, 2, NULL));
        feed(&early, (int)step.step);
        ok(mf_weights_step_groups(early.w, &step, groups, 1, NULL));
    }
    for (step.step = 1; step.step <= 2; step.step++) {
        feed(&late, (int)step.step + 1);
        ok(mf_weights_step_groups(late.w, &step, groups, 1, NULL));
    }
    copy_parts(&r, got, false);
    copy_parts(&late, alone, false);
    copy_parts(&early, others, false);
    for (int part = 0; part < MF_WEIGHT_AVERAGE; part++)
        for (int k = 0; k < WEIGHTS; k++)
            ck_assert_mem_eq(got[part][k], k == 2 ? alone[part][k] : others[part][k],
                             (size_t)counts[k] * sizeof(float));
    free_rig(&r);
    free_rig(&late);
    free_rig(&early);
}
END_TEST

START_TEST(test_a_gradient_that_is_not_finite_changes_nothing)
{
    static float before[4][WEIGHTS][MOST], after[4][WEIGHTS][MOST];
    const mf_optimizer_group groups[] = {{0.01, 0.1, true}, {0.01, 0.1, false}};
    rig r = make_rig();
    go_in_groups(&r, adamw, groups, 2, NULL);
    copy_parts(&r, before, false);
    ok(mf_weights_set_group(r.w, 1, 1));
    feed(&r, 4);
    float g[7] = {1, 2, NAN};
    ok(mf_weights_clear_gradients(r.w));
    ok(mf_executable_set(r.e, "w1", g));
    ok(mf_executable_run(r.e));
    mf_optimizer_step step = adamw;
    step.step = 4;
    mf_status status = mf_weights_step_groups(r.w, &step, groups, 2, NULL);
    ck_assert_ptr_nonnull(status);
    ck_assert_str_eq(mf_error_message(status), "the norm of the gradient is nan");
    mf_error_free(status);
    copy_parts(&r, after, false);
    ck_assert_mem_eq(before, after, sizeof before);
    status = mf_weights_step_groups(r.w, &step, groups, 1, NULL);
    ck_assert_str_eq(mf_error_message(status), "weight w1 is of group 1, of 1");
    mf_error_free(status);
    status = mf_weights_set_group(r.w, WEIGHTS, 0);
    ck_assert_str_eq(mf_error_message(status), "weight 6 of 6, group 0");
    mf_error_free(status);
    free_rig(&r);
}
END_TEST

/* loss = (a.w) (b.w): frozen, b.w still passes its value on, and has no gradient. */
START_TEST(test_frozen_weights_get_no_gradient)
{
    const int64_t shape[1] = {3};
    const float a[3] = {1, 2, 3}, b[3] = {4, 5, 6};
    float values[3];
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &w));
    mf_value x = mf_weight(p, "a.w", 1, shape), y = mf_weight(p, "b.w", 1, shape);
    mf_value loss = mf_sum(p, mf_mul(p, x, y), 0);
    mf_freeze(p, "b.");
    mf_differentiate(p, loss);
    ck_assert_int_ge(mf_gradient(p, x).id, 0);
    ck_assert_int_lt(mf_gradient(p, y).id, 0);
    ok(mf_program_compile(p, w, &e));
    ok(mf_weights_set(w, 0, a));
    ok(mf_weights_set(w, 1, b));
    ok(mf_executable_run(e));
    ok(mf_weights_get_gradient(w, 0, values));
    ck_assert_mem_eq(values, b, sizeof b);
    mf_optimizer_step step = adamw;
    step.step = 1;
    ok(mf_weights_step(w, &step, NULL));
    ok(mf_weights_get(w, 1, values));
    ck_assert_mem_eq(values, b, sizeof b);
    mf_executable_free(e);
    mf_weights_free(w);
    mf_program_free(p);
}
END_TEST

/* loss = (a.w) x, with x an input: its gradient is a.w, an output like any other. */
START_TEST(test_an_input_may_require_a_gradient)
{
    const int64_t shape[1] = {3};
    const float a[3] = {1, 2, 3}, b[3] = {4, 5, 6};
    float values[3];
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &w));
    mf_value weight = mf_weight(p, "a.w", 1, shape), x = mf_input(p, "x", MF_F32, 1, shape);
    mf_value other = mf_input(p, "other", MF_F32, 1, shape);
    mf_require_gradient(p, x);
    mf_value product = mf_mul(p, mf_mul(p, weight, x), other);
    mf_differentiate(p, mf_sum(p, product, 0));
    mf_output(p, "gradient", mf_gradient(p, x));
    ck_assert_int_lt(mf_gradient(p, other).id, 0);
    ok(mf_program_compile(p, w, &e));
    ok(mf_weights_set(w, 0, a));
    ok(mf_executable_set(e, "x", b));
    ok(mf_executable_set(e, "other", a));
    ok(mf_executable_run(e));
    ok(mf_executable_get(e, "gradient", values));
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(values[i], a[i] * a[i]);
    ok(mf_weights_get_gradient(w, 0, values));
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(values[i], a[i] * b[i]);
    mf_executable_free(e);
    mf_program_free(p);

    ok(mf_program_new(&p));
    mf_require_gradient(p, mf_input(p, "masks", MF_U8, 1, shape));
    fails(mf_program_status(p), "a gradient is required of masks, which is no f32 input");
    mf_program_free(p);
    ok(mf_program_new(&p));
    x = mf_input(p, "x", MF_F32, 1, shape);
    mf_differentiate(p, mf_sum(p, mf_mul(p, mf_weight(p, "a.w", 1, shape), x), 0));
    mf_require_gradient(p, x);
    fails(mf_program_status(p), "a gradient is required of x after the program was differentiated");
    mf_program_free(p);
    mf_weights_free(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optimizer");
    TCase *t = tcase_create("optimizer");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_family);
    tcase_add_loop_test(t, test_parts_are_all_that_a_step_needs, 0, 2);
    tcase_add_test(t, test_a_batch_is_summed_as_a_tree);
    tcase_add_test(t, test_parts_of_a_batch_are_computed_apart);
    tcase_add_test(t, test_memory_of_a_batch);
    tcase_add_test(t, test_a_batch_is_used_in_order);
    tcase_add_test(t, test_adamw_counts_from_one);
    tcase_add_test(t, test_one_group_is_all_weights);
    tcase_add_test(t, test_groups_have_rates_and_norms_of_their_own);
    tcase_add_test(t, test_a_group_begins_later);
    tcase_add_test(t, test_a_gradient_that_is_not_finite_changes_nothing);
    tcase_add_test(t, test_frozen_weights_get_no_gradient);
    tcase_add_test(t, test_an_input_may_require_a_gradient);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
