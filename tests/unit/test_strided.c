/* test_strided.c - convolutions and max pools of any size and stride, batch norm: by the list of
 * checks; what is refused; and which running statistics a step moves. */
#include "../expect.h"
#include "../run_suite.h"
#include "checked.h"

#include <check.h>
#include <math.h>
#include <string.h>

START_TEST(test_family)
{
    check_family("strided");
}
END_TEST

static mf_value volume(mf_program *p, int64_t depth, int64_t channels)
{
    return mf_input(p, "x", MF_F32, 5, (int64_t[]){1, depth, 4, 4, channels});
}

static mf_value conv(mf_program *p, int64_t depth, int64_t channels, int stride, int padding)
{
    return mf_conv3d_strided(p, volume(p, depth, channels),
                             mf_weight(p, "w", 5, (int64_t[]){8, 16, 3, 3, 3}), MF_NONE,
                             (int[]){stride, 2, 2}, (int[]){padding, 1, 1});
}

static mf_value wrong_channels(mf_program *p)
{
    return conv(p, 4, 24, 2, 1);
}

static mf_value no_stride(mf_program *p)
{
    return conv(p, 4, 16, 0, 1);
}

static mf_value too_short(mf_program *p)
{
    return conv(p, 2, 16, 2, 0);
}

static mf_value much_padding(mf_program *p)
{
    return mf_max_pool3d(p, volume(p, 4, 2), 3, 2, 3);
}

static mf_norm_weights norm_of(mf_program *p, int64_t channels)
{
    static const char *const names[4] = {"gain", "bias", "mean", "variance"};
    mf_value w[4];
    for (int k = 0; k < 4; k++)
        w[k] = mf_weight(p, names[k], 1, &channels);
    return (mf_norm_weights){w[0], w[1], w[2], w[3]};
}

static mf_value norm_of_others(mf_program *p)
{
    const mf_norm_weights w = norm_of(p, 3);
    return mf_batch_norm(p, volume(p, 4, 2), &w, 1e-5f, 0.1f, 1);
}

static mf_value norm_of_one(mf_program *p)
{
    const mf_norm_weights w = norm_of(p, 2);
    return mf_batch_norm(p, mf_input(p, "x", MF_F32, 3, (int64_t[]){1, 1, 2}), &w, 1e-5f, 0.1f, 1);
}

static mf_value norm_with(mf_program *p, const mf_norm_weights *w, float momentum)
{
    return mf_batch_norm(p, volume(p, 4, 2), w, 1e-5f, momentum, 1);
}

static mf_value norm_that_stays(mf_program *p)
{
    const mf_norm_weights w = norm_of(p, 2);
    return norm_with(p, &w, 0);
}

static mf_value norm_that_leaps(mf_program *p)
{
    const mf_norm_weights w = norm_of(p, 2);
    return norm_with(p, &w, 1.5f);
}

static mf_value norm_of_a_part(mf_program *p)
{
    mf_norm_weights w = norm_of(p, 2);
    w.variance = mf_slice(p, mf_weight(p, "both", 1, (int64_t[]){4}), 0, 2, 2);
    return norm_with(p, &w, 0.1f);
}

START_TEST(shapes_that_do_not_fit_are_refused)
{
    refuses(wrong_channels, "conv3d: x is [1,4,4,4,24], but the weight is [8,16,3,3,3]");
    refuses(no_stride,
            "conv3d of [1,4,4,4,16] by windows of 3 x 3 x 3, stride 0 2 2, padding 1 1 1");
    refuses(too_short,
            "conv3d of [1,2,4,4,16] by windows of 3 x 3 x 3, stride 2 2 2, padding 0 1 1");
    refuses(much_padding,
            "max_pool3d of [1,4,4,4,2] by windows of 3 x 3 x 3, stride 2 2 2, padding 3 3 3");
    refuses(norm_of_others, "batch_norm of [1,4,4,4,2] with a weight of [3]");
    refuses(norm_of_one, "batch_norm of [1,1,2]: 1 values of a channel, where 2 to 2147483647 have "
                         "a mean and a variance");
    refuses(norm_that_stays, "batch_norm: momentum is 0, not above 0 and at most 1");
    refuses(norm_that_leaps, "batch_norm: momentum is 1.5, not above 0 and at most 1");
    refuses(norm_of_a_part, "batch_norm: the running variance is not a weight, but made of others");
}
END_TEST

/* As PyTorch: once a window holds NaN, it is its largest; and of equals the first has the gradient.
 */
START_TEST(not_a_number_stays)
{
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    float values[27] = {0}, gradient[27], y[8];
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &w));
    mf_value pooled = mf_max_pool3d(p, mf_weight(p, "x", 5, (int64_t[]){1, 3, 3, 3, 1}), 3, 2, 1);
    mf_output(p, "y", pooled);
    mf_differentiate(p, mf_sum(p, mf_reshape(p, pooled, 1, (int64_t[]){8}), 0));
    ok(mf_program_compile(p, w, &e));
    values[2] = NAN;
    values[26] = -1;
    ok(mf_weights_set(w, 0, values));
    ok(mf_executable_run(e));
    ok(mf_executable_get(e, "y", y));
    ok(mf_weights_get_gradient(w, 0, gradient));
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(isnan(y[i]) != 0, i == 1);
    ck_assert_float_eq(gradient[2], 1); /* of the window of the NaN */
    ck_assert_float_eq(gradient[0], 1);
    ck_assert_float_eq(gradient[13], 1); /* the center is the first of zeros in the last window */
    mf_executable_free(e);
    mf_weights_free(w);
    mf_program_free(p);
}
END_TEST

/* A program that names weights up to the mean and knows nothing of batch norms. */
static void name_mean(mf_weights *w)
{
    mf_program *p;
    ok(mf_program_new(&p));
    for (int k = 0; k < 3; k++)
        mf_weight(p, (const char *[]){"gain", "bias", "mean"}[k], 1, (int64_t[]){1});
    ok(mf_weights_declare(w, p));
    mf_program_free(p);
}

/* One step with batch norms; the mean of x is 3, its unbiased variance 3. named: by another program
 * before. */
static void step(const char *frozen, bool named, bool by_groups, float share, float mean[1],
                 float variance[1])
{
    const mf_optimizer_step s = {MF_ADAMW,         0.1,      0.9, 0.999, 1e-8, 0, .grad_scale = 1,
                                 .ema_decay = 0.5, .step = 1};
    const mf_optimizer_group group = {.rate = 0.1, .clipped = true};
    const float x[3] = {2, 2, 5}, one = 1, zero = 0;
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &w));
    if (named)
        name_mean(w);
    const mf_norm_weights norm = norm_of(p, 1);
    mf_value y =
        mf_batch_norm(p, mf_input(p, "x", MF_F32, 2, (int64_t[]){3, 1}), &norm, 1e-5f, 0.1f, share);
    mf_freeze(p, frozen);
    mf_differentiate(p, mf_sum(p, mf_reshape(p, mf_mul(p, y, y), 1, (int64_t[]){3}), 0));
    ok(mf_program_compile(p, w, &e));
    for (size_t k = 0; k < 4; k++)
        ok(mf_weights_set(w, k, k % 3 ? &zero : &one));
    ok(mf_executable_set(e, "x", x));
    ok(mf_weights_begin_batch(w, 1));
    ok(mf_executable_run(e));
    ok(mf_weights_end_item(w));
    if (by_groups)
        ok(mf_weights_set_group(w, 3, -1)); /* the variance stays */
    ok(by_groups ? mf_weights_step_groups(w, &s, &group, 1, NULL) : mf_weights_step(w, &s, NULL));
    ok(mf_weights_get(w, 2, mean));
    ok(mf_weights_get(w, 3, variance));
    float average;
    ok(mf_weights_get_average(w, 2, &average));
    ck_assert_float_eq_tol(average, 0.5f * mean[0], 1e-6f); /* as of every weight */
    mf_executable_free(e);
    mf_weights_free(w);
    mf_program_free(p);
}

START_TEST(running_statistics_follow)
{
    float mean, variance;
    for (int named = 0; named < 2; named++) {
        step("none", named, false, 1, &mean, &variance);
        ck_assert_float_eq_tol(mean, 0.3f, 1e-6f);
        ck_assert_float_eq_tol(variance, 0.9f + 0.3f, 1e-6f);
    }
    step("none", false, true, 1, &mean, &variance);
    ck_assert_float_eq_tol(mean, 0.3f, 1e-6f);
    ck_assert_float_eq(variance, 1);
    step("mean", false, false, 1, &mean, &variance); /* mf_freeze holds for them, too */
    ck_assert_float_eq(mean, 0);
    ck_assert_float_eq_tol(variance, 1.2f, 1e-6f);
    step("none", false, false, 0, &mean, &variance);
    ck_assert_float_eq(mean, 0);
    ck_assert_float_eq(variance, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("strided");
    TCase *tests = tcase_create("strided");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, test_family);
    tcase_add_test(tests, shapes_that_do_not_fit_are_refused);
    tcase_add_test(tests, not_a_number_stays);
    tcase_add_test(tests, running_statistics_follow);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
