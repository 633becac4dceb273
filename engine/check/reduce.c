/* reduce.c - references of sums over axes, repetition, division of rows. */
#include "check/reference.h"
#include "program/ops/shared.h"

#include <string.h>

/* ---- sums; i: axis, whether the mean --------------------------------------------------------- */

static mf_value build_sum(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return c->i[1] ? mf_mean(p, in[0], (int)c->i[0]) : mf_sum(p, in[0], (int)c->i[0]);
}

static void value_sum(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t a, b, rows = c->in[0].dim[c->i[0]];
    mf_check_sides(c, c->i[0], &a, &b);
    for (int64_t i = 0; i < a * b; i++)
        for (int64_t r = 0; r < rows; r++)
            mf_term(&out[i], in[0][(i / b * rows + r) * b + i % b] / (c->i[1] ? (double)rows : 1));
}

static void gradient_sum(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                         mf_check_number *const *dx)
{
    int64_t a, b, rows = c->in[0].dim[c->i[0]];
    (void)in;
    mf_check_sides(c, c->i[0], &a, &b);
    for (int64_t i = 0; i < count; i++)
        for (int64_t r = 0; r < rows; r++)
            mf_term(&dx[0][(i / b * rows + r) * b + i % b], g[i] / (c->i[1] ? (double)rows : 1));
}

/* mean: 1 / rows is rounded, and the product with it */
static const mf_check_op op_sum[] = {
    {"sum", build_sum, value_sum, gradient_sum, {0, 0}},
    {"mean", build_sum, value_sum, gradient_sum, {1, 1}},
};

/* Over all axes but the last. */
static mf_value build_rows(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_sum_rows(p, in[0]);
}

static void value_rows(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0, n = c->in[0].dim[c->in[0].rank - 1]; i < mf_check_count(c, 0); i++)
        mf_term(&out[i % n], in[0][i]);
}

static const mf_check_op op_sum_rows = {"sum of rows", build_rows, value_rows, NULL, {0, 0}};

/* ---- repetition; i: count -------------------------------------------------------------------- */

static mf_value build_repeat(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_repeat(p, in[0], c->i[0]);
}

static void value_repeat(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < mf_check_count(c, 0) * c->i[0]; i++)
        mf_term(&out[i], in[0][i % mf_check_count(c, 0)]);
}

static const mf_check_op op_repeat = {"repeat", build_repeat, value_repeat, mf_check_moved, {0, 0}};

/* ---- rows divided; f: floor ------------------------------------------------------------------ */

static mf_value build_divide(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_divide_rows(p, in[0], in[1], (float)c->f);
}

static void value_divide(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < mf_check_count(c, 0); i++)
        mf_term(&out[i], in[0][i] / fmax(in[1][i / c->in[0].dim[1]], c->f));
}

static void gradient_divide(const mf_check_case *c, double *const *in, int64_t count,
                            const double *g, mf_check_number *const *dx)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t row = i / c->in[0].dim[1];
        double d = fmax(in[1][row], c->f);
        mf_term(&dx[0][i], g[i] / d);
        if (in[1][row] > c->f)
            mf_term(&dx[1][row], -g[i] * in[0][i] / (d * d));
    }
}

/* a division 2.5; in the gradient two, and products */
static const mf_check_op op_divide = {
    "divide_rows", build_divide, value_divide, gradient_divide, {2.5, 6}};

void mf_check_reduce(mf_check_list *list)
{
    static const int64_t shapes[][3] = {{1, 1, 1},  {3, 5, 7},     {2, 300, 3},   {1, 600, 16},
                                        {3, 2, 48}, {1, 13, 9001}, {64, 1024, 32}};
    for (int mean = 0; mean < 2; mean++)
        for (int s = 0; s < COUNT_OF(shapes); s++)
            for (int axis = 0; axis < 3; axis++) {
                mf_check_case c = {.op = &op_sum[mean],
                                   .inputs = 1,
                                   .in = {{3}},
                                   .i = {axis, mean},
                                   .quick = s == 1 && axis > 0, /* a kernel each */
                                   .model = s == COUNT_OF(shapes) - 1 && axis == 1};
                memcpy(c.in[0].dim, shapes[s], sizeof shapes[s]);
                mf_check_add(list, c);
            }
    for (int s = 0; s < COUNT_OF(shapes); s++) {
        mf_check_case c = {.op = &op_sum_rows,
                           .inputs = 1,
                           .in = {{3, {0}, MF_CHECK_CONSTANT}},
                           .quick = s == 1,
                           .model = s == COUNT_OF(shapes) - 1};
        memcpy(c.in[0].dim, shapes[s], sizeof shapes[s]);
        mf_check_add(list, c);
    }
    for (int s = 0; s < COUNT_OF(shapes); s++)
        for (int64_t n = 1; n < 4; n++) {
            mf_check_case c = {.op = &op_repeat,
                               .inputs = 1,
                               .in = {{3}},
                               .i = {n},
                               .quick = s == 1 && n == 3,
                               .model = s == COUNT_OF(shapes) - 1 && n == 3};
            memcpy(c.in[0].dim, shapes[s], sizeof shapes[s]);
            mf_check_add(list, c);
        }
    mf_check_add(list, (mf_check_case){&op_divide,
                                       2,
                                       {{2, {9, 5}}, {1, {9}, .low = -0.5, .high = 3}},
                                       .f = 0.25,
                                       .quick = true});
    mf_check_add(list, (mf_check_case){&op_divide,
                                       2,
                                       {{2, {32, 512}}, {1, {32}, .low = 0.5, .high = 300}},
                                       .f = 1,
                                       .model = true});
}
