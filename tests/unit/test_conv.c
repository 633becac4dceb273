/* test_conv.c - 3D convolutions, by the list of checks, and shapes that do not fit. */
#include "../run_suite.h"
#include "checked.h"

#include <check.h>

START_TEST(test_family)
{
    check_family("conv");
}
END_TEST

static mf_value conv_of_wrong_channels(mf_program *p)
{
    return mf_conv3d(p, mf_input(p, "x", MF_F32, 5, (int64_t[]){1, 4, 4, 4, 16}),
                     mf_weight(p, "w", 5, (int64_t[]){8, 24, 3, 3, 3}), MF_NONE);
}

static mf_value conv_of_wrong_filter(mf_program *p)
{
    return mf_conv3d(p, mf_input(p, "x", MF_F32, 5, (int64_t[]){1, 4, 4, 4, 16}),
                     mf_weight(p, "w", 5, (int64_t[]){8, 16, 1, 3, 3}), MF_NONE);
}

static mf_value conv_of_wrong_bias(mf_program *p)
{
    return mf_conv3d(p, mf_input(p, "x", MF_F32, 5, (int64_t[]){1, 4, 4, 4, 16}),
                     mf_weight(p, "w", 5, (int64_t[]){8, 16, 3, 3, 3}),
                     mf_weight(p, "b", 1, (int64_t[]){16}));
}

START_TEST(shapes_that_do_not_fit_are_refused)
{
    refuses(conv_of_wrong_channels, "conv3d: x is [1,4,4,4,16], but the weight is [8,24,3,3,3]");
    refuses(conv_of_wrong_filter,
            "conv3d: the weight is [8,16,1,3,3], not [O,I,1,1,1] or [O,I,3,3,3]");
    refuses(conv_of_wrong_bias, "conv3d: the weight is [8,16,3,3,3], but the bias is [16]");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conv");
    TCase *tests = tcase_create("conv");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, test_family);
    tcase_add_test(tests, shapes_that_do_not_fit_are_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
