/* test_images.c - ops over images [N,H,W,C], by the list of checks, and what happens where a
 * gradient is missing or a shape does not fit. */
#include "../run_suite.h"
#include "checked.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(x) (sizeof(x) / sizeof((x)[0]))

static const char *const families[] = {"conv2d", "image"};

START_TEST(test_families)
{
    check_family(families[_i]);
}
END_TEST

/* ---- errors ------------------------------------------------------------------------------------
 */

static void expect_failure(mf_program *p, const char *text)
{
    mf_weights *w;
    mf_executable *e = NULL;
    ok(mf_weights_new(test_device(), &w));
    mf_status status = mf_program_compile(p, w, &e);
    ck_assert_msg(status != MF_OK, "compiled, wants: %s", text);
    char *got = mf_error_text(status);
    ck_assert_msg(strstr(got, text) != NULL, "%s\nwants: %s", got, text);
    free(got);
    mf_error_free(status);
    mf_weights_free(w);
    mf_program_free(p);
}

START_TEST(test_missing_gradient)
{
    mf_program *p;
    ok(mf_program_new(&p));
    mf_scope(p, "neck");
    const mf_value x = mf_weight(p, "x", 4, (int64_t[]){1, 4, 4, 2});
    const mf_value y = mf_max_pool2d(p, x);
    mf_scope_end(p);
    mf_differentiate(p, mf_sum(p, mf_reshape(p, y, 1, (int64_t[]){8}), 0));
    expect_failure(p, "max_pool2d has no gradient, but the loss depends on a weight through it");
}
END_TEST

START_TEST(test_no_gradient_is_missed)
{
    /* The op stands before all weights, or beside the loss: nothing is to flow through it. */
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &w));
    const mf_value image = mf_input(p, "image", MF_F32, 4, (int64_t[]){1, 4, 4, 2});
    const mf_value gain = mf_weight(p, "gain", 1, (int64_t[]){2});
    const mf_value y = mf_mul_rows(p, mf_max_pool2d(p, image), gain);
    mf_output(p, "beside", mf_max_pool2d(p, y));
    mf_differentiate(p, mf_sum(p, mf_reshape(p, y, 1, (int64_t[]){8}), 0));
    ok(mf_program_compile(p, w, &e));
    mf_executable_free(e);
    mf_weights_free(w);
    mf_program_free(p);
}
END_TEST

START_TEST(test_shapes_are_checked)
{
    static const struct {
        int which;
        const char *text;
    } cases[] = {
        {0, "conv2d of [1,6,5,4] by weight [8,3,3,3] and bias none"},
        {1, "conv2d of [1,6,5,4] by weight [8,4,7,7] with stride 1, padding 0"},
        {2, "conv2d_depthwise of [1,6,5,4] by weight [4,1,2,2] and bias none"},
        {3, "conv2d_transpose2 of [1,6,5,4] by weight [4,8,2,2] and bias [4]"},
        {4, "max_pool2d of [1,1,5,4]: an axis has fewer than 2 pixels"},
        {5, "resize2d of [1,6,5,4] to 0 x 5 pixels; each side is 1 to 32768"},
        {6, "window_partition of [1,6,5,4] into windows of 0 pixels"},
        {7, "window_merge of [4,9,4], windows of 3, to [1,7,5,C]"},
        {8, "rotary of [1,30,4] by a table [7,3,2]; it must be [T,channels / 2,2]"},
        {9, "rotary of 20 tokens of [1,30,4] by a table [7,2,2]"},
        {10, "add_rows: [5,3] is not the trailing part of [1,6,5,4]"},
        {11, "mul_rows: [1,1,6,5,4] is not the trailing part of [1,6,5,4]"},
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        mf_program *p;
        ok(mf_program_new(&p));
#define SHAPE(...)                                                                                 \
    (int)COUNT(((int64_t[]){__VA_ARGS__})), (int64_t[])                                            \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define W(...) mf_weight(p, "w", SHAPE(__VA_ARGS__))
        const mf_value x = mf_input(p, "x", MF_F32, SHAPE(1, 6, 5, 4));
        const mf_value tokens = mf_input(p, "tokens", MF_F32, SHAPE(1, 30, 4));
        switch (cases[k].which) {
        case 0:
            mf_conv2d(p, x, W(8, 3, 3, 3), MF_NONE, 1, 1);
            break;
        case 1:
            mf_conv2d(p, x, W(8, 4, 7, 7), MF_NONE, 1, 0);
            break;
        case 2:
            mf_conv2d_depthwise(p, x, W(4, 1, 2, 2), MF_NONE);
            break;
        case 3:
            mf_conv2d_transpose2(p, x, W(4, 8, 2, 2), mf_weight(p, "b", SHAPE(4)));
            break;
        case 4:
            mf_max_pool2d(p, mf_slice(p, x, 1, 2, 1));
            break;
        case 5:
            mf_resize2d(p, x, 0, 5, MF_RESAMPLE_NEAREST);
            break;
        case 6:
            mf_window_partition(p, x, 0);
            break;
        case 7:
            mf_window_merge(p, W(4, 9, 4), 3, 1, 7, 5);
            break;
        case 8:
            mf_rotary(p, tokens, W(7, 3, 2), 7);
            break;
        case 9:
            mf_rotary(p, tokens, W(7, 2, 2), 20);
            break;
        case 10:
            mf_add_rows(p, x, W(5, 3));
            break;
        default:
            mf_mul_rows(p, x, W(1, 1, 6, 5, 4));
        }
        expect_failure(p, cases[k].text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("images");
    TCase *t = tcase_create("images");
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, test_families, 0, COUNT(families));
    tcase_add_test(t, test_missing_gradient);
    tcase_add_test(t, test_no_gradient_is_missed);
    tcase_add_test(t, test_shapes_are_checked);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
