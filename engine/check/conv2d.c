/* conv2d.c - references of convolutions over images. */
#include "check/reference.h"

#include <string.h>

/* Pixel of x [N,H,W,C]; false outside. */
static bool pixel(const int64_t *s, int64_t n, int64_t row, int64_t column, int64_t c, int64_t *at)
{
    *at = ((n * s[1] + row) * s[2] + column) * s[3] + c;
    return row >= 0 && row < s[1] && column >= 0 && column < s[2];
}

/* ---- weight [O,I,k,k]; i: stride, padding, whether there is a bias ----------------------------
 */

static mf_value build_conv(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_conv2d(p, in[0], in[1], c->i[2] ? in[2] : MF_NONE, (int)c->i[0], (int)c->i[1]);
}

static int64_t side(const mf_check_case *c, int d)
{
    return (c->in[0].dim[d] + 2 * c->i[1] - c->in[1].dim[2]) / c->i[0] + 1;
}

static void value_conv(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    const int64_t *s = c->in[0].dim, *w = c->in[1].dim, k = w[2];
    const int64_t height = side(c, 1), width = side(c, 2);
    for (int64_t e = 0, at; e < s[0] * height * width * w[0]; e++) {
        const int64_t o = e % w[0], x = e / w[0] % width, y = e / w[0] / width % height;
        if (c->i[2])
            mf_term(&out[e], in[2][o]);
        for (int64_t i = 0; i < w[1]; i++)
            for (int64_t t = 0; t < k * k; t++)
                if (pixel(s, e / w[0] / width / height, y * c->i[0] + t / k - c->i[1],
                          x * c->i[0] + t % k - c->i[1], i, &at))
                    mf_term(&out[e], in[1][(o * w[1] + i) * k * k + t] * in[0][at]);
    }
}

static double work_conv(const mf_check_case *c)
{
    return 2.0 * (double)(c->in[0].dim[0] * side(c, 1) * side(c, 2)) * (double)mf_check_count(c, 1);
}

static const mf_check_op op_conv = {"conv2d", build_conv, value_conv,
                                    NULL,     {0.5, 0.5}, .work = work_conv};

static void add_conv(mf_check_list *list)
{
    static const struct {
        int64_t in[4], out, k, stride, padding, bias;
        bool quick, model, thorough;
    } cases[] = {
        {{2, 8, 6, 4}, 16, 3, 2, 1, 1, .quick = true},
        {{2, 17, 30, 3}, 96, 7, 4, 3, 1, .thorough = true},
        {{2, 5, 7, 5}, 3, 1, 2, 0, 1},
        {{1, 3, 3, 5}, 7, 3, 1, 1, 0, .thorough = true},
        {{2, 9, 11, 1}, 4, 3, 2, 1, 1, .thorough = true},
        {{1, 7, 8, 16}, 64, 3, 2, 1, 0, .thorough = true},
        {{2, 8, 70, 4}, 32, 3, 2, 1, 1, .thorough = true},
        {{1, 5, 4, 64}, 256, 3, 2, 1, 1, .thorough = true},
        {{3, 8, 10, 1}, 4, 2, 2, 0, 1, .thorough = true},
        {{2, 6, 5, 4}, 16, 2, 2, 0, 1, .thorough = true},
        {{2, 12, 9, 1}, 1, 4, 4, 0, 1, .thorough = true},
        {{2, 5, 7, 32}, 8, 1, 1, 0, 1, .thorough = true},
        {{1, 1, 1, 2}, 20, 3, 1, 1, 1, .thorough = true},
        {{1, 40, 41, 2}, 2, 5, 1, 2, 1, .thorough = true},
        {{1, 9, 9, 18}, 33, 3, 1, 0, 1, .thorough = true},
        {{1, 5, 67, 1}, 4, 3, 2, 4, 1, .thorough = true},
        {{1, 128, 128, 3}, 96, 7, 4, 3, 1, .model = true}, /* patches of SAM 2's encoder */
        {{1, 32, 32, 64}, 256, 3, 2, 1, 1, .model = true}, /* the last of its mask downsampler */
    };
    for (int k = 0; k < COUNT_OF(cases); k++) {
        const int64_t i = cases[k].in[3];
        mf_check_case c = {.op = &op_conv,
                           .inputs = 3,
                           .in = {{4, .kind = MF_CHECK_CONSTANT},
                                  {4, {cases[k].out, i, cases[k].k, cases[k].k}},
                                  {1, {cases[k].out}}},
                           .i = {cases[k].stride, cases[k].padding, cases[k].bias},
                           .quick = cases[k].quick,
                           .thorough = cases[k].thorough,
                           .model = cases[k].model};
        memcpy(c.in[0].dim, cases[k].in, sizeof cases[k].in);
        mf_check_add(list, c);
        c.quick = c.model = false; /* a filter that is computed is packed in each run */
        c.in[1].kind = MF_CHECK_CONSTANT;
        if (k < 2)
            mf_check_add(list, c);
    }
}

/* ---- each channel by its own filter: weight [C,1,k,k]; i: whether there is a bias --------------
 */

static mf_value build_depthwise(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_conv2d_depthwise(p, in[0], in[1], c->i[0] ? in[2] : MF_NONE);
}

static void value_depthwise(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    const int64_t *s = c->in[0].dim, k = c->in[1].dim[2];
    for (int64_t e = 0, at; e < mf_check_count(c, 0); e++) {
        const int64_t o = e % s[3], x = e / s[3] % s[2], y = e / s[3] / s[2] % s[1];
        if (c->i[0])
            mf_term(&out[e], in[2][o]);
        for (int64_t t = 0; t < k * k; t++)
            if (pixel(s, e / s[3] / s[2] / s[1], y + t / k - k / 2, x + t % k - k / 2, o, &at))
                mf_term(&out[e], in[1][o * k * k + t] * in[0][at]);
    }
}

static double work_depthwise(const mf_check_case *c)
{
    return 2.0 * (double)mf_check_count(c, 0) * (double)(c->in[1].dim[2] * c->in[1].dim[2]);
}

static const mf_check_op op_depthwise = {
    "conv2d_depthwise", build_depthwise, value_depthwise, NULL, {0.5, 0.5}, .work = work_depthwise};

/* ---- kernel 2, stride 2: weight [I,O,2,2]; i: whether there is a bias --------------------------
 */

static mf_value build_transpose(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_conv2d_transpose2(p, in[0], in[1], c->i[0] ? in[2] : MF_NONE);
}

static void value_transpose(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    const int64_t *s = c->in[0].dim, channels = c->in[1].dim[1];
    const int64_t width = 2 * s[2], height = 2 * s[1];
    for (int64_t e = 0, at; e < 4 * s[0] * s[1] * s[2] * channels; e++) {
        const int64_t o = e % channels, x = e / channels % width, y = e / channels / width % height;
        if (c->i[0])
            mf_term(&out[e], in[2][o]);
        for (int64_t i = 0; i < s[3]; i++)
            if (pixel(s, e / channels / width / height, y / 2, x / 2, i, &at))
                mf_term(&out[e], in[1][(i * channels + o) * 4 + y % 2 * 2 + x % 2] * in[0][at]);
    }
}

static double work_transpose(const mf_check_case *c)
{
    return 8.0 * (double)mf_check_count(c, 0) * (double)c->in[1].dim[1];
}

static const mf_check_op op_transpose = {"conv2d_transpose2", build_transpose,
                                         value_transpose,     NULL,
                                         {0.5, 0.5},          .work = work_transpose};

/* N, H, W, channels, edge or channels of the result */
static void add_either(mf_check_list *list, const mf_check_op *op, const int64_t (*cases)[5],
                       int count, bool depthwise)
{
    for (int k = 0; k < count; k++)
        for (int bias = 0; bias < 2; bias++) {
            const int64_t *d = cases[k];
            mf_check_case c = {.op = op,
                               .inputs = 3,
                               .in = {{4, {d[0], d[1], d[2], d[3]}, MF_CHECK_CONSTANT}, {4}, {1}},
                               .i = {bias},
                               .quick = k == 0 && bias,
                               .thorough = k > 0 && k < count - 1,
                               .model = k == count - 1 && bias};
            int64_t filter[4] = {d[3], depthwise ? 1 : d[4], depthwise ? d[4] : 2,
                                 depthwise ? d[4] : 2};
            memcpy(c.in[1].dim, filter, sizeof filter);
            c.in[2].dim[0] = depthwise ? d[3] : d[4];
            mf_check_add(list, c);
        }
}

void mf_check_conv2d(mf_check_list *list)
{
    static const int64_t depthwise[][5] = {{2, 9, 10, 48, 7}, {1, 3, 40, 16, 7},
                                           {1, 5, 4, 5, 3},   {2, 2, 3, 17, 5},
                                           {1, 4, 4, 1, 1},   {1, 32, 32, 256, 7}};
    static const int64_t transpose[][5] = {{2, 5, 6, 64, 16}, {1, 3, 70, 16, 8},
                                           {1, 4, 3, 5, 3},   {3, 1, 1, 2, 1},
                                           {1, 2, 9, 32, 40}, {1, 32, 32, 256, 64}};
    add_conv(list);
    add_either(list, &op_depthwise, depthwise, COUNT_OF(depthwise), true);
    add_either(list, &op_transpose, transpose, COUNT_OF(transpose), false);
}
