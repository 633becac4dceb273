/* test_losses.c - softmax, and the losses with their gradients. */
#include "../run_suite.h"
#include "op_case.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

enum { SOFTMAX, DICE, BCE, CROSS };

static mf_value build(mf_program *p, const mf_value *in, const op_case *c)
{
    switch (c->i[0]) {
    case SOFTMAX:
        return mf_softmax(p, in[0]);
    case DICE:
        return mf_dice_loss(p, in[0], in[1]);
    case BCE:
        return mf_bce_loss(p, in[0], in[1]);
    default:
        return mf_cross_entropy(p, in[0], in[1], in[2]);
    }
}

static double log_sum_exp(const double *x, int64_t n)
{
    double most = -INFINITY, all = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, x[i]);
    for (int64_t i = 0; i < n; i++)
        all += exp(x[i] - most);
    return most + log(all);
}

static double dice(const double *x, const double *t, int64_t n)
{
    double tp = 0, fp = 0, fn = 0;
    for (int64_t i = 0; i < n; i++) {
        double p = 1 / (1 + exp(-x[i]));
        tp += p * t[i];
        fp += p * (1 - t[i]);
        fn += (1 - p) * t[i];
    }
    double a = fmin(fmax(fp / (fp + fn + 1e-6), 0.2), 0.8);
    return 1 - tp / (tp + a * fp + (1 - a) * fn + 1e-6);
}

static void reference(const op_case *c, double *const *in, double *out)
{
    int64_t rows = c->in[0].dim[0], n = c->in[0].dim[1];
    double weights = 0;
    if (c->i[0] == CROSS)
        out[0] = 0;
    for (int64_t r = 0; r < rows; r++) {
        const double *x = in[0] + r * n, *t = in[1] + r * n;
        double all = 0;
        switch (c->i[0]) {
        case SOFTMAX:
            for (int64_t i = 0; i < n; i++)
                out[r * n + i] = exp(x[i] - log_sum_exp(x, n));
            break;
        case DICE:
            out[r] = dice(x, t, n);
            break;
        case BCE:
            for (int64_t i = 0; i < n; i++)
                all += fmax(x[i], 0) - x[i] * t[i] + log1p(exp(-fabs(x[i])));
            out[r] = all / (double)n;
            break;
        default:
            for (int64_t i = 0; i < n; i++)
                all += t[i] * (log_sum_exp(x, n) - x[i]);
            out[0] += in[2][r] * all;
            weights += in[2][r];
        }
    }
    if (c->i[0] == CROSS)
        out[0] /= weights;
}

START_TEST(test_softmax)
{
    static const int64_t shapes[][2] = {{1, 1}, {3, 2}, {5, 7}, {2, 16}, {3, 100}};
    for (int s = 0; s < 5; s++) {
        op_case c = {"softmax",
                     build,
                     reference,
                     1,
                     {{2, {shapes[s][0], shapes[s][1]}, .low = -90, .high = 90}},
                     {SOFTMAX},
                     .terms = 4000};
        check_case(&c); /* terms: exp of 90 has 90 roundings of its argument */
        c.in[0].low = -3;
        c.in[0].high = 3;
        c.terms = 16;
        check_case(&c);
    }
}
END_TEST

START_TEST(test_dice)
{
    /* logits that lean down or up bring alpha below, inside and above its bounds */
    static const double lows[] = {-7, -2, 0};
    static const int64_t shapes[][2] = {{1, 3}, {3, 77}, {2, 160}};
    for (int s = 0; s < 3; s++)
        for (int k = 0; k < 3; k++) {
            op_case c = {"dice_loss",
                         build,
                         reference,
                         2,
                         {{2, {shapes[s][0], shapes[s][1]}, .low = lows[k], .high = lows[k] + 5},
                          {2, {shapes[s][0], shapes[s][1]}, MASK}},
                         {DICE},
                         .terms = 160};
            check_case(&c);
        }
}
END_TEST

START_TEST(test_bce)
{
    static const int64_t shapes[][2] = {{1, 1}, {3, 77}, {2, 160}};
    for (int s = 0; s < 3; s++) {
        op_case c = {"bce_loss",
                     build,
                     reference,
                     2,
                     {{2, {shapes[s][0], shapes[s][1]}, .low = -30, .high = 30},
                      {2, {shapes[s][0], shapes[s][1]}, MASK}},
                     {BCE},
                     .terms = 160};
        check_case(&c);
    }
}
END_TEST

START_TEST(test_losses_of_many_chunks)
{
    for (int op = DICE; op <= BCE; op++) {
        op_case c = {"loss of chunks",
                     build,
                     reference,
                     2,
                     {{2, {3, 9001}, CONSTANT}, {2, {3, 9001}, MASK}},
                     {op},
                     .terms = 64};
        check_case(&c);
    }
}
END_TEST

START_TEST(test_cross_entropy)
{
    static const int64_t shapes[][2] = {{1, 2}, {5, 3}, {9, 20}};
    for (int s = 0; s < 3; s++) {
        op_case c = {"cross_entropy",
                     build,
                     reference,
                     3,
                     {{2, {shapes[s][0], shapes[s][1]}},
                      {2, {shapes[s][0], shapes[s][1]}, CONSTANT, .low = 0, .high = 1},
                      {1, {shapes[s][0]}, CONSTANT, .low = 0.1, .high = 2}},
                     {CROSS},
                     .terms = 64};
        check_case(&c);
    }
}
END_TEST

START_TEST(test_empty_mask)
{
    /* No foreground: TP = FN = 0, alpha = 0.8, loss 1. */
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &w));
    mf_value x = mf_weight(p, "x", 2, (int64_t[]){1, 20});
    mf_value t = mf_input(p, "t", MF_U8, 2, (int64_t[]){1, 20});
    mf_value loss = mf_dice_loss(p, x, t);
    mf_output(p, "loss", loss);
    mf_differentiate(p, loss);
    ok(mf_program_compile(p, w, &e));
    float values[20], got, gradient[20];
    uint8_t none[20] = {0};
    for (int i = 0; i < 20; i++)
        values[i] = -200.0f; /* FP underflows too: 0 / (0 + 1e-6) */
    ok(mf_weights_set(w, 0, values));
    ok(mf_executable_set(e, "t", none));
    ok(mf_executable_run(e));
    ok(mf_executable_get(e, "loss", &got));
    ok(mf_weights_get_gradient(w, 0, gradient));
    ck_assert_float_eq(got, 1.0f);
    for (int i = 0; i < 20; i++)
        ck_assert_float_eq(gradient[i], 0.0f);
    mf_executable_free(e);
    mf_weights_free(w);
    mf_program_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("losses");
    TCase *t = tcase_create("losses");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_softmax);
    tcase_add_test(t, test_dice);
    tcase_add_test(t, test_bce);
    tcase_add_test(t, test_losses_of_many_chunks);
    tcase_add_test(t, test_cross_entropy);
    tcase_add_test(t, test_empty_mask);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
