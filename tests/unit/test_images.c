/* test_images.c - ops over images [N,H,W,C], rotary position and rows against references in double,
 * and what happens where a gradient is missing. */
#include "../run_suite.h"
#include "op_case.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(x) (sizeof(x) / sizeof((x)[0]))

/* Pixel of x [N,H,W,C], 0 outside. */
static double pixel(const double *x, const int64_t *s, int64_t n, int64_t row, int64_t column,
                    int64_t c)
{
    const bool inside = row >= 0 && row < s[1] && column >= 0 && column < s[2];
    return inside ? x[((n * s[1] + row) * s[2] + column) * s[3] + c] : 0;
}

/* ---- convolutions; i: stride, padding, whether there is a bias ----------------------------------
 */

static mf_value build_conv(mf_program *p, const mf_value *in, const op_case *c)
{
    return mf_conv2d(p, in[0], in[1], c->i[2] ? in[2] : MF_NONE, (int)c->i[0], (int)c->i[1]);
}

static void reference_conv(const op_case *c, double *const *in, double *out)
{
    const int64_t *s = c->in[0].dim, *w = c->in[1].dim, k = w[2];
    const int64_t height = (s[1] + 2 * c->i[1] - k) / c->i[0] + 1;
    const int64_t width = (s[2] + 2 * c->i[1] - k) / c->i[0] + 1;
    for (int64_t e = 0; e < s[0] * height * width * w[0]; e++) {
        const int64_t o = e % w[0], x = e / w[0] % width, y = e / w[0] / width % height;
        const int64_t n = e / w[0] / width / height;
        double sum = c->i[2] ? in[2][o] : 0;
        for (int64_t i = 0; i < w[1]; i++)
            for (int64_t ky = 0; ky < k; ky++)
                for (int64_t kx = 0; kx < k; kx++)
                    sum += in[1][((o * w[1] + i) * k + ky) * k + kx] *
                           pixel(in[0], s, n, y * c->i[0] + ky - c->i[1],
                                 x * c->i[0] + kx - c->i[1], i);
        out[e] = sum;
    }
}

START_TEST(test_conv2d)
{
    static const struct {
        int64_t in[4], out, k, stride, padding;
        int bias;
    } cases[] = {
        {{2, 17, 30, 3}, 96, 7, 4, 3, 1}, {{2, 9, 11, 1}, 4, 3, 2, 1, 1},
        {{2, 8, 6, 4}, 16, 3, 2, 1, 1},   {{1, 7, 8, 16}, 64, 3, 2, 1, 0},
        {{2, 8, 70, 4}, 32, 3, 2, 1, 1},  {{1, 5, 4, 64}, 256, 3, 2, 1, 1},
        {{3, 8, 10, 1}, 4, 2, 2, 0, 1},   {{2, 6, 5, 4}, 16, 2, 2, 0, 1},
        {{2, 12, 9, 1}, 1, 4, 4, 0, 1},   {{2, 5, 7, 32}, 8, 1, 1, 0, 1},
        {{2, 5, 7, 5}, 3, 1, 2, 0, 1},    {{1, 3, 3, 5}, 7, 3, 1, 1, 0},
        {{1, 1, 1, 2}, 20, 3, 1, 1, 1},   {{1, 40, 41, 2}, 2, 5, 1, 2, 1},
        {{1, 9, 9, 18}, 33, 3, 1, 0, 1},  {{1, 5, 67, 1}, 4, 3, 2, 4, 1},
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        const int64_t i = cases[k].in[3];
        op_case c = {"conv2d",
                     build_conv,
                     reference_conv,
                     3,
                     {{4, .kind = CONSTANT},
                      {4, {cases[k].out, i, cases[k].k, cases[k].k}, CONSTANT},
                      {1, {cases[k].out}, CONSTANT}},
                     {cases[k].stride, cases[k].padding, cases[k].bias},
                     .terms = (double)(i * cases[k].k * cases[k].k)};
        memcpy(c.in[0].dim, cases[k].in, sizeof(cases[k].in));
        check_case(&c);
    }
}
END_TEST

static mf_value build_depthwise(mf_program *p, const mf_value *in, const op_case *c)
{
    return mf_conv2d_depthwise(p, in[0], in[1], c->i[0] ? in[2] : MF_NONE);
}

static void reference_depthwise(const op_case *c, double *const *in, double *out)
{
    const int64_t *s = c->in[0].dim, k = c->in[1].dim[2];
    for (int64_t e = 0; e < case_count(c, 0); e++) {
        const int64_t o = e % s[3], x = e / s[3] % s[2], y = e / s[3] / s[2] % s[1];
        double sum = c->i[0] ? in[2][o] : 0;
        for (int64_t ky = 0; ky < k; ky++)
            for (int64_t kx = 0; kx < k; kx++)
                sum += in[1][(o * k + ky) * k + kx] *
                       pixel(in[0], s, e / s[3] / s[2] / s[1], y + ky - k / 2, x + kx - k / 2, o);
        out[e] = sum;
    }
}

START_TEST(test_depthwise)
{
    static const int64_t cases[][5] = {
        {2, 9, 10, 48, 7}, {1, 3, 40, 16, 7}, {1, 5, 4, 5, 3}, {2, 2, 3, 17, 5}, {1, 4, 4, 1, 1}};
    for (size_t k = 0; k < COUNT(cases); k++)
        for (int bias = 0; bias < 2; bias++) {
            const int64_t *d = cases[k];
            op_case c = {"conv2d_depthwise",
                         build_depthwise,
                         reference_depthwise,
                         3,
                         {{4, {d[0], d[1], d[2], d[3]}, CONSTANT},
                          {4, {d[3], 1, d[4], d[4]}, CONSTANT},
                          {1, {d[3]}, CONSTANT}},
                         {bias},
                         .terms = (double)(d[4] * d[4])};
            check_case(&c);
        }
}
END_TEST

static mf_value build_transpose(mf_program *p, const mf_value *in, const op_case *c)
{
    return mf_conv2d_transpose2(p, in[0], in[1], c->i[0] ? in[2] : MF_NONE);
}

static void reference_transpose(const op_case *c, double *const *in, double *out)
{
    const int64_t *s = c->in[0].dim, channels = c->in[1].dim[1];
    const int64_t width = 2 * s[2], height = 2 * s[1];
    for (int64_t e = 0; e < 4 * s[0] * s[1] * s[2] * channels; e++) {
        const int64_t o = e % channels, x = e / channels % width, y = e / channels / width % height;
        double sum = c->i[0] ? in[2][o] : 0;
        for (int64_t i = 0; i < s[3]; i++)
            sum += in[1][(i * channels + o) * 4 + y % 2 * 2 + x % 2] *
                   pixel(in[0], s, e / channels / width / height, y / 2, x / 2, i);
        out[e] = sum;
    }
}

START_TEST(test_transpose)
{
    static const int64_t cases[][5] = {
        {2, 5, 6, 64, 16}, {1, 3, 70, 16, 8}, {1, 4, 3, 5, 3}, {3, 1, 1, 2, 1}, {1, 2, 9, 32, 40}};
    for (size_t k = 0; k < COUNT(cases); k++)
        for (int bias = 0; bias < 2; bias++) {
            const int64_t *d = cases[k];
            op_case c = {"conv2d_transpose2",
                         build_transpose,
                         reference_transpose,
                         3,
                         {{4, {d[0], d[1], d[2], d[3]}, CONSTANT},
                          {4, {d[3], d[4], 2, 2}, CONSTANT},
                          {1, {d[4]}, CONSTANT}},
                         {bias},
                         .terms = (double)d[3]};
            check_case(&c);
        }
}
END_TEST

/* ---- pool, resize, windows ---------------------------------------------------------------------
 */

static mf_value build_pool(mf_program *p, const mf_value *in, const op_case *c)
{
    (void)c;
    return mf_max_pool2d(p, in[0]);
}

static void reference_pool(const op_case *c, double *const *in, double *out)
{
    const int64_t *s = c->in[0].dim, height = s[1] / 2, width = s[2] / 2;
    for (int64_t e = 0; e < s[0] * height * width * s[3]; e++) {
        const int64_t k = e % s[3], x = e / s[3] % width, y = e / s[3] / width % height;
        out[e] = -INFINITY;
        for (int q = 0; q < 4; q++)
            out[e] = fmax(out[e], pixel(in[0], s, e / s[3] / width / height, 2 * y + q / 2,
                                        2 * x + q % 2, k));
    }
}

START_TEST(test_max_pool)
{
    static const int64_t shapes[][4] = {{2, 2, 2, 1}, {1, 5, 7, 2}, {2, 4, 3, 48}, {3, 9, 8, 19}};
    for (size_t k = 0; k < COUNT(shapes); k++) {
        op_case c = {"max_pool2d", build_pool, reference_pool, 1, {{.rank = 4, .kind = CONSTANT}}};
        memcpy(c.in[0].dim, shapes[k], sizeof(shapes[k]));
        check_case(&c);
    }
}
END_TEST

/* i: height, width, how */
static mf_value build_resize(mf_program *p, const mf_value *in, const op_case *c)
{
    return mf_resize2d(p, in[0], c->i[0], c->i[1], (mf_resample)c->i[2]);
}

/* Where output o lies: two inputs, and the second one's share. */
static double between(int64_t o, int64_t in, int64_t out, int64_t how, int64_t *a, int64_t *b)
{
    if (how == MF_RESAMPLE_NEAREST) {
        *a = *b = o * in / out;
        return 0;
    }
    const double at = fmax(((double)o + 0.5) * (double)in / (double)out - 0.5, 0);
    *a = (int64_t)at;
    *b = *a + 1 < in ? *a + 1 : *a;
    return at - (double)*a;
}

static void reference_resize(const op_case *c, double *const *in, double *out)
{
    const int64_t *s = c->in[0].dim, height = c->i[0], width = c->i[1];
    for (int64_t e = 0; e < s[0] * height * width * s[3]; e++) {
        const int64_t k = e % s[3], n = e / s[3] / width / height;
        int64_t x0, x1, y0, y1;
        const double fx = between(e / s[3] % width, s[2], width, c->i[2], &x0, &x1);
        const double fy = between(e / s[3] / width % height, s[1], height, c->i[2], &y0, &y1);
        const double *x = in[0];
        out[e] =
            (1 - fy) * ((1 - fx) * pixel(x, s, n, y0, x0, k) + fx * pixel(x, s, n, y0, x1, k)) +
            fy * ((1 - fx) * pixel(x, s, n, y1, x0, k) + fx * pixel(x, s, n, y1, x1, k));
    }
}

START_TEST(test_resize)
{
    static const int64_t cases[][6] = {
        {1, 7, 7, 96, 16, 16}, {2, 4, 5, 1, 16, 20}, {1, 3, 8, 2, 7, 5}, {1, 1, 1, 5, 3, 4},
        {2, 9, 13, 33, 4, 6},  {1, 6, 4, 16, 6, 4},  {1, 2, 3, 1, 1, 1}, {1, 5, 11, 1, 25, 77}};
    for (size_t k = 0; k < COUNT(cases); k++)
        for (int how = MF_RESAMPLE_NEAREST; how <= MF_RESAMPLE_BILINEAR; how++) {
            const int64_t *d = cases[k];
            op_case c = {"resize2d",
                         build_resize,
                         reference_resize,
                         1,
                         {{4, {d[0], d[1], d[2], d[3]}, CONSTANT}},
                         {d[4], d[5], how}};
            check_case(&c);
        }
}
END_TEST

/* i: size, n, height, width; in[0] is the image or, to merge, the windows */
static mf_value build_partition(mf_program *p, const mf_value *in, const op_case *c)
{
    return mf_window_partition(p, in[0], (int)c->i[0]);
}

static mf_value build_merge(mf_program *p, const mf_value *in, const op_case *c)
{
    return mf_window_merge(p, in[0], (int)c->i[0], c->i[1], c->i[2], c->i[3]);
}

static void reference_partition(const op_case *c, double *const *in, double *out)
{
    const int64_t *s = c->in[0].dim, size = c->i[0];
    const int64_t nh = (s[1] + size - 1) / size, nw = (s[2] + size - 1) / size;
    for (int64_t z = 0; z < s[0] * nh * nw; z++)
        for (int64_t e = 0; e < size * size * s[3]; e++)
            *out++ = pixel(in[0], s, z / (nh * nw), z / nw % nh * size + e / s[3] / size,
                           z % nw * size + e / s[3] % size, e % s[3]);
}

static void reference_merge(const op_case *c, double *const *in, double *out)
{
    const int64_t size = c->i[0], height = c->i[2], width = c->i[3], channels = c->in[0].dim[2];
    const int64_t nh = (height + size - 1) / size, nw = (width + size - 1) / size;
    for (int64_t e = 0; e < c->i[1] * height * width * channels; e++) {
        const int64_t x = e / channels % width, y = e / channels / width % height;
        const int64_t z = (e / channels / width / height * nh + y / size) * nw + x / size;
        out[e] = in[0][((z * size + y % size) * size + x % size) * channels + e % channels];
    }
}

START_TEST(test_windows)
{
    static const int64_t cases[][5] = {{2, 16, 24, 96, 8}, {1, 9, 10, 16, 7}, {3, 4, 4, 3, 4},
                                       {1, 3, 5, 33, 14},  {2, 5, 3, 1, 1},   {2, 9, 5, 2, 3}};
    for (size_t k = 0; k < COUNT(cases); k++) {
        const int64_t *d = cases[k], size = d[4];
        const int64_t windows = d[0] * ((d[1] + size - 1) / size) * ((d[2] + size - 1) / size);
        op_case c = {"window_partition",
                     build_partition,
                     reference_partition,
                     1,
                     {{4, {d[0], d[1], d[2], d[3]}, CONSTANT}},
                     {size, d[0], d[1], d[2]}};
        check_case(&c);
        c = (op_case){"window_merge",
                      build_merge,
                      reference_merge,
                      1,
                      {{3, {windows, size * size, d[3]}, CONSTANT}},
                      {size, d[0], d[1], d[2]}};
        check_case(&c);
    }
}
END_TEST

/* ---- rotary, rows ---------------------------------------------------------------------------- */

static mf_value build_rotary(mf_program *p, const mf_value *in, const op_case *c)
{
    return mf_rotary(p, in[0], in[1], c->i[0]);
}

static void reference_rotary(const op_case *c, double *const *in, double *out)
{
    const int64_t *s = c->in[0].dim;
    for (int64_t e = 0; e < case_count(c, 0); e += 2) {
        const int64_t token = e / s[2] % s[1];
        const double a = in[0][e], b = in[0][e + 1];
        const double *turn = in[1] + token % c->in[1].dim[0] * s[2] + e % s[2];
        const bool turns = token < c->i[0];
        out[e] = turns ? a * turn[0] - b * turn[1] : a;
        out[e + 1] = turns ? a * turn[1] + b * turn[0] : b;
    }
}

START_TEST(test_rotary)
{
    /* N, L, C, T, count */
    static const int64_t cases[][5] = {
        {1, 16, 256, 16, 16}, {2, 11, 32, 3, 9}, {2, 5, 6, 5, 0}, {1, 7, 18, 1, 7}};
    for (size_t k = 0; k < COUNT(cases); k++) {
        const int64_t *d = cases[k];
        op_case c = {"rotary",
                     build_rotary,
                     reference_rotary,
                     2,
                     {{3, {d[0], d[1], d[2]}, CONSTANT}, {3, {d[3], d[2] / 2, 2}, CONSTANT}},
                     {d[4]}};
        check_case(&c);
    }
}
END_TEST

static mf_value build_rows(mf_program *p, const mf_value *in, const op_case *c)
{
    return c->i[0] ? mf_mul_rows(p, in[0], in[1]) : mf_add_rows(p, in[0], in[1]);
}

static void reference_rows(const op_case *c, double *const *in, double *out)
{
    for (int64_t e = 0; e < case_count(c, 0); e++) {
        const double y = in[1][e % case_count(c, 1)];
        out[e] = c->i[0] ? in[0][e] * y : in[0][e] + y;
    }
}

START_TEST(test_rows)
{
    for (int mul = 0; mul < 2; mul++) {
        op_case cases[] = {
            {"rows [C]", build_rows, reference_rows, 2, {{3, {2, 5, 16}}, {1, {16}}}, {mul}},
            {"rows narrow", build_rows, reference_rows, 2, {{3, {2, 5, 3}}, {1, {3}}}, {mul}},
            {"rows odd", build_rows, reference_rows, 2, {{2, {7, 19}}, {1, {19}}}, {mul}},
            {"rows [H,W,C]",
             build_rows,
             reference_rows,
             2,
             {{4, {2, 3, 2, 5}}, {3, {3, 2, 5}}},
             {mul}},
            {"rows of x itself", build_rows, reference_rows, 2, {{2, {3, 4}}, {2, {3, 4}}}, {mul}},
        };
        for (size_t k = 0; k < COUNT(cases); k++)
            check_case(&cases[k]);
    }
}
END_TEST

/* ---- errors ------------------------------------------------------------------------------------
 */

static void expect_failure(mf_program *p, const char *text)
{
    mf_weights *w;
    mf_executable *e = NULL;
    ok(mf_weights_new(test_device(), &w));
    mf_status status = mf_program_compile(p, w, &e);
    ck_assert_msg(status != MF_OK, "compiled, wants: %s", text);
    char *got = mf_error_text(status);
    ck_assert_msg(strstr(got, text) != NULL, "%s\nwants: %s", got, text);
    free(got);
    mf_error_free(status);
    mf_weights_free(w);
    mf_program_free(p);
}

START_TEST(test_missing_gradient)
{
    mf_program *p;
    ok(mf_program_new(&p));
    mf_scope(p, "neck");
    const mf_value x = mf_weight(p, "x", 4, (int64_t[]){1, 4, 4, 2});
    const mf_value y = mf_max_pool2d(p, x);
    mf_scope_end(p);
    mf_differentiate(p, mf_sum(p, mf_reshape(p, y, 1, (int64_t[]){8}), 0));
    expect_failure(p, "max_pool2d has no gradient, but the loss depends on a weight through it");
}
END_TEST

START_TEST(test_no_gradient_is_missed)
{
    /* The op stands before all weights, or beside the loss: nothing is to flow through it. */
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &w));
    const mf_value image = mf_input(p, "image", MF_F32, 4, (int64_t[]){1, 4, 4, 2});
    const mf_value gain = mf_weight(p, "gain", 1, (int64_t[]){2});
    const mf_value y = mf_mul_rows(p, mf_max_pool2d(p, image), gain);
    mf_output(p, "beside", mf_max_pool2d(p, y));
    mf_differentiate(p, mf_sum(p, mf_reshape(p, y, 1, (int64_t[]){8}), 0));
    ok(mf_program_compile(p, w, &e));
    mf_executable_free(e);
    mf_weights_free(w);
    mf_program_free(p);
}
END_TEST

START_TEST(test_shapes_are_checked)
{
    static const struct {
        int which;
        const char *text;
    } cases[] = {
        {0, "conv2d of [1,6,5,4] by weight [8,3,3,3] and bias none"},
        {1, "conv2d of [1,6,5,4] by weight [8,4,7,7] with stride 1, padding 0"},
        {2, "conv2d_depthwise of [1,6,5,4] by weight [4,1,2,2] and bias none"},
        {3, "conv2d_transpose2 of [1,6,5,4] by weight [4,8,2,2] and bias [4]"},
        {4, "max_pool2d of [1,1,5,4]: an axis has fewer than 2 pixels"},
        {5, "resize2d of [1,6,5,4] to 0 x 5 pixels; each side is 1 to 32768"},
        {6, "window_partition of [1,6,5,4] into windows of 0 pixels"},
        {7, "window_merge of [4,9,4], windows of 3, to [1,7,5,C]"},
        {8, "rotary of [1,30,4] by a table [7,3,2]; it must be [T,channels / 2,2]"},
        {9, "rotary of 20 tokens of [1,30,4] by a table [7,2,2]"},
        {10, "add_rows: [5,3] is not the trailing part of [1,6,5,4]"},
        {11, "mul_rows: [1,1,6,5,4] is not the trailing part of [1,6,5,4]"},
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        mf_program *p;
        ok(mf_program_new(&p));
#define SHAPE(...)                                                                                 \
    (int)COUNT(((int64_t[]){__VA_ARGS__})), (int64_t[])                                            \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define W(...) mf_weight(p, "w", SHAPE(__VA_ARGS__))
        const mf_value x = mf_input(p, "x", MF_F32, SHAPE(1, 6, 5, 4));
        const mf_value tokens = mf_input(p, "tokens", MF_F32, SHAPE(1, 30, 4));
        switch (cases[k].which) {
        case 0:
            mf_conv2d(p, x, W(8, 3, 3, 3), MF_NONE, 1, 1);
            break;
        case 1:
            mf_conv2d(p, x, W(8, 4, 7, 7), MF_NONE, 1, 0);
            break;
        case 2:
            mf_conv2d_depthwise(p, x, W(4, 1, 2, 2), MF_NONE);
            break;
        case 3:
            mf_conv2d_transpose2(p, x, W(4, 8, 2, 2), mf_weight(p, "b", SHAPE(4)));
            break;
        case 4:
            mf_max_pool2d(p, mf_slice(p, x, 1, 2, 1));
            break;
        case 5:
            mf_resize2d(p, x, 0, 5, MF_RESAMPLE_NEAREST);
            break;
        case 6:
            mf_window_partition(p, x, 0);
            break;
        case 7:
            mf_window_merge(p, W(4, 9, 4), 3, 1, 7, 5);
            break;
        case 8:
            mf_rotary(p, tokens, W(7, 3, 2), 7);
            break;
        case 9:
            mf_rotary(p, tokens, W(7, 2, 2), 20);
            break;
        case 10:
            mf_add_rows(p, x, W(5, 3));
            break;
        default:
            mf_mul_rows(p, x, W(1, 1, 6, 5, 4));
        }
        expect_failure(p, cases[k].text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("images");
    TCase *t = tcase_create("images");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_conv2d);
    tcase_add_test(t, test_depthwise);
    tcase_add_test(t, test_transpose);
    tcase_add_test(t, test_max_pool);
    tcase_add_test(t, test_resize);
    tcase_add_test(t, test_windows);
    tcase_add_test(t, test_rotary);
    tcase_add_test(t, test_rows);
    tcase_add_test(t, test_missing_gradient);
    tcase_add_test(t, test_no_gradient_is_missed);
    tcase_add_test(t, test_shapes_are_checked);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
