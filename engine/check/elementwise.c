/* elementwise.c - references of ops on elements and on rows of the same shape, rotary position. */
#include "check/reference.h"
#include "program/ops/shared.h"

/* ---- two operands ---------------------------------------------------------------------------- */

static mf_value build_add(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_add(p, in[0], in[1]);
}

static void value_add(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < mf_check_count(c, 0); i++)
        mf_term(&out[i], in[0][i] + in[1][i]);
}

static void gradient_add(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                         mf_check_number *const *dx)
{
    (void)c, (void)in;
    for (int64_t i = 0; i < count; i++) {
        mf_term(&dx[0][i], g[i]);
        mf_term(&dx[1][i], g[i]);
    }
}

static const mf_check_op op_add = {"add", build_add, value_add, gradient_add, {0.5, 0}};

static mf_value build_mul(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_mul(p, in[0], in[1]);
}

static void value_mul(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < mf_check_count(c, 0); i++)
        mf_term(&out[i], in[0][i] * in[1][i]);
}

static void gradient_mul(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                         mf_check_number *const *dx)
{
    (void)c;
    for (int64_t i = 0; i < count; i++) {
        mf_term(&dx[0][i], g[i] * in[1][i]);
        mf_term(&dx[1][i], g[i] * in[0][i]);
    }
}

static const mf_check_op op_mul = {"mul", build_mul, value_mul, gradient_mul, {0.5, 0.5}};

/* Gradients that meet at one value: x x x. */
static mf_value build_cube(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_mul(p, in[0], mf_mul(p, in[0], in[0]));
}

static void value_cube(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < mf_check_count(c, 0); i++)
        mf_term(&out[i], in[0][i] * in[0][i] * in[0][i]);
}

static void gradient_cube(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                          mf_check_number *const *dx)
{
    (void)c;
    for (int64_t i = 0; i < count; i++)
        for (int k = 0; k < 3; k++)
            mf_term(&dx[0][i], g[i] * in[0][i] * in[0][i]);
}

static const mf_check_op op_cube = {
    "mul, gradients added", build_cube, value_cube, gradient_cube, {1, 1}};

/* ---- one operand; i: which ------------------------------------------------------------------- */

enum { SCALE, RELU, GELU, SIGMOID, TANH, FILL };

static mf_value build_unary(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    switch (c->i[0]) {
    case SCALE:
        return mf_scale(p, in[0], (float)c->f);
    case RELU:
        return mf_relu(p, in[0]);
    case GELU:
        return mf_gelu(p, in[0]);
    case SIGMOID:
        return mf_sigmoid(p, in[0]);
    case TANH:
        return mf_tanh(p, in[0]);
    default:
        return mf_fill_like(p, in[0], (float)c->f);
    }
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

static double normal_density(double x)
{
    return exp(-0.5 * x * x) / sqrt(2 * M_PI);
}

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

static void value_unary(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < mf_check_count(c, 0); i++) {
        double x = in[0][i];
        switch (c->i[0]) {
        case SCALE:
            mf_term(&out[i], x * c->f);
            break;
        case RELU:
            mf_term(&out[i], fmax(x, 0));
            break;
        case GELU: /* 1 + erf cancels: roundings are relative to 1 */
            mf_term_of(&out[i], x * normal_cdf(x), fabs(x));
            break;
        case SIGMOID:
            mf_term(&out[i], logistic(x));
            break;
        case TANH:
            mf_term(&out[i], tanh(x));
            break;
        default:
            mf_term(&out[i], c->f);
        }
    }
}

static void gradient_unary(const mf_check_case *c, double *const *in, int64_t count,
                           const double *g, mf_check_number *const *dx)
{
    for (int64_t i = 0; i < count; i++) {
        double x = in[0][i], size = fabs(g[i]), y;
        switch (c->i[0]) {
        case SCALE:
            mf_term(&dx[0][i], g[i] * c->f);
            break;
        case RELU:
            mf_term(&dx[0][i], x > 0 ? g[i] : 0);
            break;
        case GELU: /* the exponent x^2 / 2 is rounded before exp */
            y = fabs(x) * normal_density(x) * (1 + 0.5 * x * x);
            mf_term_of(&dx[0][i], g[i] * (normal_cdf(x) + x * normal_density(x)), size * (1 + y));
            break;
        case SIGMOID: /* y (1 - y), from y as it was rounded */
            y = logistic(x);
            mf_term_of(&dx[0][i], g[i] * y * (1 - y), size * y);
            break;
        default: /* 1 - y^2, likewise */
            y = tanh(x);
            mf_term_of(&dx[0][i], g[i] * (1 - y * y), size);
        }
    }
}

static const mf_check_op op_unary[] = {
    {"scale", build_unary, value_unary, gradient_unary, {0.5, 0.5}},
    {"relu", build_unary, value_unary, gradient_unary, {0, 0}},
    /* gelu: erf is fitted to 4e-7, halved, and three roundings */
    {"gelu", build_unary, value_unary, gradient_unary, {3.5, 8}},
    /* sigmoid: exp 3, division 2.5, sum 0.5 */
    {"sigmoid", build_unary, value_unary, gradient_unary, {6, 8}},
    {"tanh", build_unary, value_unary, gradient_unary, {5, 12}},
    {"fill", build_unary, value_unary, NULL, {0, 0}},
};

static mf_value build_to_float(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_to_float(p, in[0]);
}

static void value_to_float(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < mf_check_count(c, 0); i++)
        mf_term(&out[i], in[0][i]);
}

static const mf_check_op op_to_float = {"to_float", build_to_float, value_to_float, NULL, {0, 0}};

static void add_elementwise(mf_check_list *list)
{
    static const int64_t counts[] = {1, 3, 16, 77, 1030, 32 * 32 * 32 * 16};
    for (int op = -3; op < COUNT_OF(op_unary); op++) {
        for (int n = 0; n < COUNT_OF(counts); n++) {
            mf_check_case *c =
                mf_check_add(list, (mf_check_case){.op = op == -3   ? &op_add
                                                         : op == -2 ? &op_mul
                                                         : op == -1 ? &op_cube
                                                                    : &op_unary[op],
                                                   .inputs = op < -1 ? 2 : 1,
                                                   .i = {op < 0 ? 0 : op},
                                                   .f = -0.75,
                                                   .quick = n == 3,
                                                   .model = n == COUNT_OF(counts) - 1});
            for (int k = 0; k < c->inputs; k++) {
                c->in[k].rank = 1;
                c->in[k].dim[0] = counts[n];
                c->in[k].low = op == GELU || op == SIGMOID ? -6 : -2;
                c->in[k].high = 4;
            }
        }
        if (op == SIGMOID || op == TANH) /* nothing overflows */
            mf_check_add(list, (mf_check_case){.op = &op_unary[op],
                                               .inputs = 1,
                                               .in = {{1, {40}, .low = -80, .high = 80}},
                                               .i = {op}});
    }
    for (int n = 0; n < COUNT_OF(counts); n++)
        mf_check_add(list, (mf_check_case){.op = &op_to_float,
                                           .inputs = 1,
                                           .in = {{1, {counts[n]}, MF_CHECK_MASK}},
                                           .quick = n == 3,
                                           .model = n == COUNT_OF(counts) - 1});
}

/* ---- rows; i: whether they are multiplied ---------------------------------------------------- */

static mf_value build_rows(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return c->i[0] ? mf_mul_rows(p, in[0], in[1]) : mf_add_rows(p, in[0], in[1]);
}

static void value_rows(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t e = 0; e < mf_check_count(c, 0); e++) {
        const double y = in[1][e % mf_check_count(c, 1)];
        mf_term(&out[e], c->i[0] ? in[0][e] * y : in[0][e] + y);
    }
}

static void gradient_rows(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                          mf_check_number *const *dx)
{
    int64_t n = mf_check_count(c, 1);
    for (int64_t e = 0; e < count; e++) {
        mf_term(&dx[0][e], c->i[0] ? g[e] * in[1][e % n] : g[e]);
        mf_term(&dx[1][e % n], c->i[0] ? g[e] * in[0][e] : g[e]);
    }
}

static const mf_check_op op_rows[] = {
    {"add_rows", build_rows, value_rows, gradient_rows, {0.5, 0}},
    {"mul_rows", build_rows, value_rows, gradient_rows, {0.5, 0.5}},
};

static void add_rows(mf_check_list *list)
{
    for (int mul = 0; mul < 2; mul++) {
        const mf_check_case cases[] = {
            {&op_rows[mul], 2, {{3, {2, 5, 16}}, {1, {16}}}, {mul}},
            {&op_rows[mul], 2, {{3, {2, 5, 3}}, {1, {3}}}, {mul}, .quick = true},
            {&op_rows[mul], 2, {{2, {7, 19}}, {1, {19}}}, {mul}},
            {&op_rows[mul], 2, {{4, {2, 3, 2, 5}}, {3, {3, 2, 5}}}, {mul}},
            {&op_rows[mul], 2, {{2, {3, 4}}, {2, {3, 4}}}, {mul}},
            {&op_rows[mul], 2, {{3, {1, 1024, 256}}, {1, {256}}}, {mul}, .model = true},
        };
        for (int k = 0; k < COUNT_OF(cases); k++)
            mf_check_add(list, cases[k]);
    }
}

/* ---- rotary position; i: tokens that turn ---------------------------------------------------- */

static mf_value build_rotary(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_rotary(p, in[0], in[1], c->i[0]);
}

static void value_rotary(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    const int64_t *s = c->in[0].dim;
    for (int64_t e = 0; e < mf_check_count(c, 0); e += 2) {
        const int64_t token = e / s[2] % s[1];
        const double a = in[0][e], b = in[0][e + 1];
        const double *turn = in[1] + token % c->in[1].dim[0] * s[2] + e % s[2];
        if (token < c->i[0]) {
            mf_term(&out[e], a * turn[0]);
            mf_term(&out[e], -b * turn[1]);
            mf_term(&out[e + 1], a * turn[1]);
            mf_term(&out[e + 1], b * turn[0]);
        } else {
            mf_term(&out[e], a);
            mf_term(&out[e + 1], b);
        }
    }
}

static const mf_check_op op_rotary = {"rotary", build_rotary, value_rotary, NULL, {0, 0}};

static void add_rotary(mf_check_list *list)
{
    /* N, L, C, T, count */
    static const int64_t cases[][5] = {{1, 16, 256, 16, 16},
                                       {2, 11, 32, 3, 9},
                                       {2, 5, 6, 5, 0},
                                       {1, 7, 18, 1, 7},
                                       {1, 1028, 256, 1024, 1024}};
    for (int k = 0; k < COUNT_OF(cases); k++) {
        const int64_t *d = cases[k];
        mf_check_add(list, (mf_check_case){.op = &op_rotary,
                                           .inputs = 2,
                                           .in = {{3, {d[0], d[1], d[2]}, MF_CHECK_CONSTANT},
                                                  {3, {d[3], d[2] / 2, 2}, MF_CHECK_CONSTANT}},
                                           .i = {d[4]},
                                           .quick = k == 1,
                                           .model = k == COUNT_OF(cases) - 1});
    }
}

void mf_check_elementwise(mf_check_list *list)
{
    add_elementwise(list);
    add_rows(list);
    add_rotary(list);
}
