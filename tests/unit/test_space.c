/* test_space.c - max pool, trilinear resize and position embedding, by the list of checks, and
 * ties. */
#include "../run_suite.h"
#include "checked.h"

#include <check.h>

START_TEST(test_family)
{
    check_family("space");
}
END_TEST

START_TEST(test_max_pool_gives_ties_to_the_first)
{
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &w));
    mf_value x = mf_weight(p, "x", 5, (int64_t[]){1, 2, 2, 2, 1});
    mf_value y = mf_max_pool2(p, x);
    mf_differentiate(p, mf_reshape(p, y, 1, (int64_t[]){1}));
    ok(mf_program_compile(p, w, &e));
    float values[8] = {0, 0, 5, 1, 5, 0, 0, 5}, gradient[8];
    ok(mf_weights_set(w, 0, values));
    ok(mf_executable_run(e));
    ok(mf_weights_get_gradient(w, 0, gradient));
    for (int i = 0; i < 8; i++)
        ck_assert_float_eq(gradient[i], i == 2 ? 1.0f : 0.0f);
    mf_executable_free(e);
    mf_weights_free(w);
    mf_program_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("space");
    TCase *t = tcase_create("space");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_family);
    tcase_add_test(t, test_max_pool_gives_ties_to_the_first);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
