/* test_attention.c - attention, by the list of checks, and shapes that do not fit. */
#include "../run_suite.h"
#include "checked.h"

#include <check.h>

START_TEST(test_family)
{
    check_family("attention");
}
END_TEST

static mf_value attention_of_wrong_heads(mf_program *p)
{
    const mf_value x = mf_input(p, "x", MF_F32, 3, (int64_t[]){1, 11, 32});
    return mf_attention(p, x, x, x, 3);
}

static mf_value attention_of_wrong_values(mf_program *p)
{
    return mf_attention(p, mf_input(p, "q", MF_F32, 3, (int64_t[]){1, 11, 32}),
                        mf_input(p, "k", MF_F32, 3, (int64_t[]){1, 64, 32}),
                        mf_input(p, "v", MF_F32, 3, (int64_t[]){1, 63, 32}), 1);
}

static mf_value attention_of_too_many_channels(mf_program *p)
{
    const mf_value x = mf_input(p, "x", MF_F32, 3, (int64_t[]){1, 1, 1 << 25});
    return mf_attention(p, x, x, x, 1 << 15);
}

START_TEST(shapes_that_do_not_fit_are_refused)
{
    refuses(attention_of_wrong_heads,
            "attention: 32 channels do not make 3 heads of 1 to 1024 channels");
    refuses(attention_of_wrong_values,
            "attention: q is [1,11,32], but k is [1,64,32] and v is [1,63,32]");
    refuses(attention_of_too_many_channels, "attention: 33554432 channels, not 1 to 33554431");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attention");
    TCase *tests = tcase_create("attention");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, test_family);
    tcase_add_test(tests, shapes_that_do_not_fit_are_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
