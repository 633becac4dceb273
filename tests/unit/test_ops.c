/* test_ops.c - elementwise ops, reductions, moves and norms, by the list of checks, and what is
 * beyond it. */
#include "../run_suite.h"
#include "checked.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

static const char *const families[] = {"elementwise", "reduce", "shape", "norm"};

START_TEST(test_families)
{
    check_family(families[_i]);
}
END_TEST

START_TEST(test_long_sums_keep_their_digits)
{
    /* A plain running sum of 2^20 ones and thirds in f32 is off by 1e-3; levels keep 1e-6. */
    enum { COUNT = 1 << 20 };
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &w));
    mf_value x = mf_input(p, "x", MF_F32, 2, (int64_t[]){1, COUNT});
    mf_output(p, "row", mf_sum(p, x, 1));
    mf_output(p, "rows", mf_sum(p, mf_reshape(p, x, 2, (int64_t[]){COUNT / 2, 2}), 0));
    ok(mf_program_compile(p, w, &e));
    float *v = malloc(COUNT * sizeof *v), row, rows[2];
    double want = 0;
    for (int i = 0; i < COUNT; i++) {
        v[i] = i % 2 ? 1.0f : 1.0f / 3;
        want += v[i];
    }
    ok(mf_executable_set(e, "x", v));
    ok(mf_executable_run(e));
    ok(mf_executable_get(e, "row", &row));
    ok(mf_executable_get(e, "rows", rows));
    ck_assert_double_le(fabs(row - want), 1e-6 * want);
    ck_assert_double_le(fabs((double)rows[0] + rows[1] - want), 1e-6 * want);
    free(v);
    mf_executable_free(e);
    mf_weights_free(w);
    mf_program_free(p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops");
    TCase *t = tcase_create("ops");
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, test_families, 0, sizeof families / sizeof families[0]);
    tcase_add_test(t, test_long_sums_keep_their_digits);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
