/* test_losses.c - softmax and the losses, by the list of checks, and a mask without foreground. */
#include "../run_suite.h"
#include "checked.h"

#include <check.h>

START_TEST(test_family)
{
    check_family("loss");
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
    tcase_add_test(t, test_family);
    tcase_add_test(t, test_empty_mask);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
