/* test_matmul.c - products of matrices and linear layers, by the list of checks, and shapes that do
 * not fit. */
#include "../run_suite.h"
#include "checked.h"

#include <check.h>

START_TEST(test_family)
{
    check_family("matmul");
}
END_TEST

static mf_value linear_of_wrong_width(mf_program *p)
{
    return mf_linear(p, mf_input(p, "x", MF_F32, 3, (int64_t[]){1, 11, 32}),
                     mf_weight(p, "w", 2, (int64_t[]){64, 48}), MF_NONE);
}

static mf_value linear_of_wrong_bias(mf_program *p)
{
    return mf_linear(p, mf_input(p, "x", MF_F32, 2, (int64_t[]){11, 48}),
                     mf_weight(p, "w", 2, (int64_t[]){64, 48}),
                     mf_weight(p, "b", 1, (int64_t[]){48}));
}

static mf_value product_of_wrong_depth(mf_program *p)
{
    return mf_matmul_nn(p, mf_input(p, "a", MF_F32, 3, (int64_t[]){2, 3, 4}),
                        mf_input(p, "b", MF_F32, 3, (int64_t[]){2, 5, 6}));
}

START_TEST(shapes_that_do_not_fit_are_refused)
{
    refuses(linear_of_wrong_width, "linear: x is [1,11,32], but the weight is [64,48]");
    refuses(linear_of_wrong_bias, "linear: the weight is [64,48], but the bias is [48]");
    refuses(product_of_wrong_depth, "matmul_nn: a is [2,3,4], but b is [2,5,6]");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("matmul");
    TCase *tests = tcase_create("matmul");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, test_family);
    tcase_add_test(tests, shapes_that_do_not_fit_are_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
