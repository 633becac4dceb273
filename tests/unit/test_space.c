/* test_space.c - max pool, trilinear resize and its adjoint, position embedding. */
#include "../run_suite.h"
#include "op_case.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

/* Index into [N,D,H,W,C] */
static int64_t at5(const int64_t *dim, int64_t n, int64_t z, int64_t y, int64_t x, int64_t c)
{
    return (((n * dim[1] + z) * dim[2] + y) * dim[3] + x) * dim[4] + c;
}

/* ---- max pool -------------------------------------------------------------------------------- */

static mf_value build_pool(mf_program *p, const mf_value *in, const op_case *c)
{
    (void)c;
    return mf_max_pool2(p, in[0]);
}

static void reference_pool(const op_case *c, double *const *in, double *out)
{
    const int64_t *s = c->in[0].dim;
    int64_t t[5] = {s[0], s[1] / 2, s[2] / 2, s[3] / 2, s[4]};
    for (int64_t i = 0; i < t[0] * t[1] * t[2] * t[3] * t[4]; i++) {
        int64_t k = i % t[4], x = i / t[4] % t[3], y = i / t[4] / t[3] % t[2];
        int64_t z = i / t[4] / t[3] / t[2] % t[1], n = i / t[4] / t[3] / t[2] / t[1];
        out[i] = -INFINITY;
        for (int q = 0; q < 8; q++)
            out[i] =
                fmax(out[i],
                     in[0][at5(s, n, 2 * z + (q >> 2), 2 * y + (q >> 1 & 1), 2 * x + (q & 1), k)]);
    }
}

START_TEST(test_max_pool)
{
    static const int64_t shapes[][5] = {{2, 2, 2, 2, 1},  {1, 3, 5, 7, 2},  {2, 4, 3, 2, 3},
                                        {1, 5, 4, 2, 16}, {1, 2, 6, 3, 33}, {1, 2, 2, 5, 8}};
    for (int s = 0; s < 6; s++) {
        op_case c = {"max_pool2", build_pool, reference_pool, 1, {{5}}};
        for (int k = 0; k < 5; k++)
            c.in[0].dim[k] = shapes[s][k];
        check_case(&c);
    }
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

/* ---- resize ---------------------------------------------------------------------------------- */

/* i: D, H, W of the result, adjoint */
static mf_value build_resize(mf_program *p, const mf_value *in, const op_case *c)
{
    return c->i[3] ? mf_resize_adjoint(p, in[0], c->i[0], c->i[1], c->i[2])
                   : mf_resize(p, in[0], c->i[0], c->i[1], c->i[2]);
}

/* What input i gives to output o: a hat function around it. */
static double hat(int64_t o, int64_t i, int64_t in, int64_t out)
{
    double at = out == 1 ? 0 : (double)o * (double)(in - 1) / (double)(out - 1);
    return fmax(0, 1 - fabs(at - (double)i));
}

static void reference_resize(const op_case *c, double *const *in, double *out)
{
    const int64_t *s = c->in[0].dim;
    int64_t t[5] = {s[0], c->i[0], c->i[1], c->i[2], s[4]};
    const int64_t *small = c->i[3] ? t : s, *large = c->i[3] ? s : t;
    for (int64_t i = 0; i < t[0] * t[1] * t[2] * t[3] * t[4]; i++)
        out[i] = 0;
    for (int64_t n = 0; n < s[0]; n++)
        for (int64_t Z = 0; Z < large[1]; Z++)
            for (int64_t Y = 0; Y < large[2]; Y++)
                for (int64_t X = 0; X < large[3]; X++)
                    for (int64_t z = 0; z < small[1]; z++)
                        for (int64_t y = 0; y < small[2]; y++)
                            for (int64_t x = 0; x < small[3]; x++) {
                                double weight = hat(Z, z, small[1], large[1]) *
                                                hat(Y, y, small[2], large[2]) *
                                                hat(X, x, small[3], large[3]);
                                if (weight == 0)
                                    continue;
                                for (int64_t k = 0; k < s[4]; k++) {
                                    int64_t a = at5(small, n, z, y, x, k);
                                    int64_t b = at5(large, n, Z, Y, X, k);
                                    if (c->i[3])
                                        out[a] += weight * in[0][b];
                                    else
                                        out[b] += weight * in[0][a];
                                }
                            }
}

START_TEST(test_resize)
{
    static const struct {
        int64_t from[5], to[3];
    } cases[] = {
        {{1, 2, 2, 2, 3}, {4, 4, 4}},   {{2, 3, 1, 2, 1}, {5, 3, 4}}, {{1, 4, 5, 3, 16}, {7, 9, 5}},
        {{1, 3, 3, 3, 2}, {3, 3, 3}},   {{1, 5, 4, 3, 8}, {2, 3, 1}}, {{1, 1, 1, 1, 17}, {3, 2, 1}},
        {{1, 2, 3, 7, 1}, {5, 11, 13}},
    };
    for (int i = 0; i < 7; i++)
        for (int adjoint = 0; adjoint < 2; adjoint++) {
            op_case c = {"resize", build_resize, reference_resize, 1, {{5}}, .terms = 64};
            for (int k = 0; k < 5; k++)
                c.in[0].dim[k] = cases[i].from[k];
            for (int k = 0; k < 3; k++)
                c.i[k] = cases[i].to[k];
            c.i[3] = adjoint;
            check_case(&c);
        }
}
END_TEST

/* ---- position embedding -----------------------------------------------------------------------
 */

static mf_value build_position(mf_program *p, const mf_value *in, const op_case *c)
{
    (void)c;
    return mf_add_position(p, in[0], in[1]);
}

static void reference_position(const op_case *c, double *const *in, double *out)
{
    const int64_t *s = c->in[0].dim, *e = c->in[1].dim;
    for (int64_t i = 0; i < case_count(c, 0); i++) {
        int64_t k = i % s[4], x = i / s[4] % s[3], y = i / s[4] / s[3] % s[2];
        int64_t z = i / s[4] / s[3] / s[2] % s[1];
        out[i] = in[0][i] + in[1][((k * e[2] + z) * e[3] + y) * e[4] + x];
    }
}

START_TEST(test_add_position)
{
    op_case cases[] = {
        {"add_position",
         build_position,
         reference_position,
         2,
         {{5, {2, 3, 1, 2, 5}}, {5, {1, 5, 4, 3, 2}}}},
        {"add_position whole",
         build_position,
         reference_position,
         2,
         {{5, {1, 2, 2, 3, 16}}, {5, {1, 16, 2, 2, 3}}}},
    };
    check_case(&cases[0]);
    check_case(&cases[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("space");
    TCase *t = tcase_create("space");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_max_pool);
    tcase_add_test(t, test_max_pool_gives_ties_to_the_first);
    tcase_add_test(t, test_resize);
    tcase_add_test(t, test_add_position);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
