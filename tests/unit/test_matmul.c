/* test_matmul.c - products of matrices and linear layers against sums in double, with gradients. */
#include "../run_suite.h"
#include "gradients.h"

typedef struct sides {
    int batch, m, n, k;
} sides;

static mf_value build_nt(mf_program *p, const mf_value *x, const void *parameters)
{
    (void)parameters;
    return mf_matmul_nt(p, x[0], x[1]);
}

static mf_value build_nn(mf_program *p, const mf_value *x, const void *parameters)
{
    (void)parameters;
    return mf_matmul_nn(p, x[0], x[1]);
}

static mf_value build_linear(mf_program *p, const mf_value *x, const void *parameters)
{
    (void)parameters;
    return mf_linear(p, x[0], x[1], x[2]);
}

/* C = A B (or A B^T with b_t), dA = dC B^T, dB = A^T dC; row r of B's element k in b is b_at. */
static void check_product(const char *form, sides s, bool b_t)
{
    trial t = {.form = form,
               .operands = 2,
               .build = b_t ? build_nt : build_nn,
               .rank = {3, 3},
               .shape = {{s.batch, s.m, s.k}, {s.batch, b_t ? s.n : s.k, b_t ? s.k : s.n}}};
    trial_run(&t);
    ck_assert_int_eq(t.results, (int64_t)s.batch * s.m * s.n);
#define B_PLACE(k, n) (b_t ? (size_t)(n)*s.k + (k) : (size_t)(k)*s.n + (n))
    for (int batch = 0; batch < s.batch; batch++) {
        const size_t at_a = (size_t)batch * s.m * s.k, at_b = (size_t)batch * s.n * s.k;
        const size_t at_c = (size_t)batch * s.m * s.n;
        const float *a = t.x[0] + at_a, *b = t.x[1] + at_b, *dc = t.cotangent + at_c;
        for (int m = 0; m < s.m; m++)
            for (int n = 0; n < s.n; n++) {
                sum c = {0};
                for (int k = 0; k < s.k; k++)
                    sum_add(&c, (double)a[m * s.k + k] * b[B_PLACE(k, n)]);
                sum_check("c", m * s.n + n, t.result[at_c + m * s.n + n], c);
            }
        for (int m = 0; m < s.m; m++)
            for (int k = 0; k < s.k; k++) {
                sum da = {0};
                for (int n = 0; n < s.n; n++)
                    sum_add(&da, (double)dc[m * s.n + n] * b[B_PLACE(k, n)]);
                sum_check("da", m * s.k + k, t.gradient[0][at_a + m * s.k + k], da);
            }
        for (int k = 0; k < s.k; k++)
            for (int n = 0; n < s.n; n++) {
                sum db = {0};
                for (int m = 0; m < s.m; m++)
                    sum_add(&db, (double)a[m * s.k + k] * dc[m * s.n + n]);
                sum_check("db", B_PLACE(k, n), t.gradient[1][at_b + B_PLACE(k, n)], db);
            }
    }
    trial_free(&t);
}

/* Tails of every tile, one row, few against many (either way round), sums long enough for chunks.
 */
static const sides shapes[] = {
    {1, 1, 1, 1},    {2, 5, 3, 7},     {2, 37, 50, 45}, {1, 64, 64, 32},
    {1, 3, 700, 32}, {1, 700, 13, 32}, {2, 13, 48, 8},  {1, 13, 32, 3000},
};

START_TEST(products_equal_sums_in_double)
{
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        check_product("", shapes[i], true);
        check_product("", shapes[i], false);
    }
    /* db sums in parts, launch after launch. */
    check_product("", (sides){1, 1000, 256, 300}, false);
}
END_TEST

START_TEST(products_equal_sums_in_double_in_gpu_form)
{
    for (size_t i = 1; i < 5; i++) {
        check_product("gpu", shapes[i], true);
        check_product("gpu", shapes[i], false);
    }
}
END_TEST

static void check_linear(const char *form, int rows, int in, int out, bool bias)
{
    trial t = {.form = form,
               .operands = bias ? 3 : 2,
               .build = build_linear,
               .rank = {3, 2, 1},
               .shape = {{1, rows, in}, {out, in}, {out}}};
    trial_run(&t);
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < out; n++) {
            sum y = {0};
            if (bias)
                sum_add(&y, t.x[2][n]);
            for (int k = 0; k < in; k++)
                sum_add(&y, (double)t.x[0][m * in + k] * t.x[1][n * in + k]);
            sum_check("y", m * out + n, t.result[m * out + n], y);
        }
    for (int m = 0; m < rows; m++)
        for (int k = 0; k < in; k++) {
            sum dx = {0};
            for (int n = 0; n < out; n++)
                sum_add(&dx, (double)t.cotangent[m * out + n] * t.x[1][n * in + k]);
            sum_check("dx", m * in + k, t.gradient[0][m * in + k], dx);
        }
    for (int n = 0; n < out; n++) {
        sum db = {0};
        for (int m = 0; m < rows; m++)
            sum_add(&db, t.cotangent[m * out + n]);
        if (bias)
            sum_check("db", n, t.gradient[2][n], db);
        for (int k = 0; k < in; k++) {
            sum dw = {0};
            for (int m = 0; m < rows; m++)
                sum_add(&dw, (double)t.cotangent[m * out + n] * t.x[0][m * in + k]);
            sum_check("dw", n * in + k, t.gradient[1][n * in + k], dw);
        }
    }
    trial_free(&t);
}

START_TEST(linear_layers_equal_sums_in_double)
{
    check_linear("", 11, 32, 96, true);
    check_linear("", 1, 5, 3, true);
    check_linear("", 300, 48, 8, false);
    check_linear("", 1111, 24, 40, true);
    check_linear("gpu", 150, 20, 70, true);
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
    trial_refuses(linear_of_wrong_width, "linear: x is [1,11,32], but the weight is [64,48]");
    trial_refuses(linear_of_wrong_bias, "linear: the weight is [64,48], but the bias is [48]");
    trial_refuses(product_of_wrong_depth, "matmul_nn: a is [2,3,4], but b is [2,5,6]");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("matmul");
    TCase *tests = tcase_create("matmul");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, products_equal_sums_in_double);
    tcase_add_test(tests, products_equal_sums_in_double_in_gpu_form);
    tcase_add_test(tests, linear_layers_equal_sums_in_double);
    tcase_add_test(tests, shapes_that_do_not_fit_are_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
