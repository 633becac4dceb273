/* image.c - references of pool, resize and windows of images [N,H,W,C]. */
#include "check/reference.h"

#include <string.h>

static int64_t pixel(const int64_t *s, int64_t n, int64_t row, int64_t column, int64_t c)
{
    return ((n * s[1] + row) * s[2] + column) * s[3] + c;
}

/* ---- pool ------------------------------------------------------------------------------------ */

static mf_value build_pool(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_max_pool2d(p, in[0]);
}

static void value_pool(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    const int64_t *s = c->in[0].dim, height = s[1] / 2, width = s[2] / 2;
    for (int64_t e = 0; e < s[0] * height * width * s[3]; e++) {
        const int64_t x = e / s[3] % width, y = e / s[3] / width % height;
        double most = -INFINITY;
        for (int q = 0; q < 4; q++)
            most = fmax(
                most,
                in[0][pixel(s, e / s[3] / width / height, 2 * y + q / 2, 2 * x + q % 2, e % s[3])]);
        mf_term(&out[e], most);
    }
}

static const mf_check_op op_pool = {"max_pool2d", build_pool, value_pool, NULL, {0, 0}};

/* ---- resize; i: height, width, how ----------------------------------------------------------- */

static mf_value build_resize(mf_program *p, const mf_value *in, const mf_check_case *c)
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

static void value_resize(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    const int64_t *s = c->in[0].dim, height = c->i[0], width = c->i[1];
    for (int64_t e = 0; e < s[0] * height * width * s[3]; e++) {
        const int64_t k = e % s[3], n = e / s[3] / width / height;
        int64_t x[2], y[2];
        const double fx = between(e / s[3] % width, s[2], width, c->i[2], &x[0], &x[1]);
        const double fy = between(e / s[3] / width % height, s[1], height, c->i[2], &y[0], &y[1]);
        if (c->i[2] == MF_RESAMPLE_NEAREST) {
            mf_term(&out[e], in[0][pixel(s, n, y[0], x[0], k)]);
            continue;
        }
        /* a position is a product and a quotient of floats: shares are wrong relative to it */
        for (int q = 0; q < 4; q++) {
            const double v = in[0][pixel(s, n, y[q / 2], x[q % 2], k)];
            const double px = q % 2 ? fx : 1 - fx, py = q / 2 ? fy : 1 - fy;
            mf_term_of(&out[e], px * py * v,
                       (px * py + ((double)x[0] + 1) * py + px * ((double)y[0] + 1)) * fabs(v));
        }
    }
}

static const mf_check_op op_resize[] = {
    {"resize2d, nearest", build_resize, value_resize, NULL, {0, 0}},
    {"resize2d, bilinear", build_resize, value_resize, NULL, {4, 4}},
};

/* ---- windows; i: size, n, height, width; in[0] is the image or, to merge, the windows ----------
 */

static mf_value build_partition(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_window_partition(p, in[0], (int)c->i[0]);
}

static mf_value build_merge(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_window_merge(p, in[0], (int)c->i[0], c->i[1], c->i[2], c->i[3]);
}

static void value_partition(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    const int64_t *s = c->in[0].dim, size = c->i[0];
    const int64_t nh = (s[1] + size - 1) / size, nw = (s[2] + size - 1) / size;
    for (int64_t z = 0; z < s[0] * nh * nw; z++)
        for (int64_t e = 0; e < size * size * s[3]; e++, out++) {
            int64_t row = z / nw % nh * size + e / s[3] / size;
            int64_t column = z % nw * size + e / s[3] % size;
            bool inside = row < s[1] && column < s[2];
            mf_term(out, inside ? in[0][pixel(s, z / (nh * nw), row, column, e % s[3])] : 0);
        }
}

static void value_merge(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    const int64_t size = c->i[0], height = c->i[2], width = c->i[3], channels = c->in[0].dim[2];
    const int64_t nh = (height + size - 1) / size, nw = (width + size - 1) / size;
    for (int64_t e = 0; e < c->i[1] * height * width * channels; e++) {
        const int64_t x = e / channels % width, y = e / channels / width % height;
        const int64_t z = (e / channels / width / height * nh + y / size) * nw + x / size;
        mf_term(&out[e],
                in[0][((z * size + y % size) * size + x % size) * channels + e % channels]);
    }
}

static const mf_check_op op_partition = {
    "window_partition", build_partition, value_partition, NULL, {0, 0}};
static const mf_check_op op_merge = {"window_merge", build_merge, value_merge, NULL, {0, 0}};

void mf_check_image(mf_check_list *list)
{
    static const int64_t pools[][4] = {
        {2, 2, 2, 1}, {1, 5, 7, 2}, {2, 4, 3, 48}, {3, 9, 8, 19}, {1, 64, 64, 192}};
    for (int k = 0; k < COUNT_OF(pools); k++) {
        mf_check_case c = {.op = &op_pool,
                           .inputs = 1,
                           .in = {{.rank = 4, .kind = MF_CHECK_CONSTANT}},
                           .quick = k == 3,
                           .model = k == COUNT_OF(pools) - 1};
        memcpy(c.in[0].dim, pools[k], sizeof pools[k]);
        mf_check_add(list, c);
    }
    static const int64_t sizes[][6] = {
        {1, 7, 7, 96, 16, 16}, {2, 4, 5, 1, 16, 20},  {1, 3, 8, 2, 7, 5},
        {1, 1, 1, 5, 3, 4},    {2, 9, 13, 33, 4, 6},  {1, 6, 4, 16, 6, 4},
        {1, 2, 3, 1, 1, 1},    {1, 5, 11, 1, 25, 77}, {4, 64, 64, 1, 256, 256}};
    for (int how = MF_RESAMPLE_NEAREST; how <= MF_RESAMPLE_BILINEAR; how++)
        for (int k = 0; k < COUNT_OF(sizes); k++) {
            const int64_t *d = sizes[k];
            mf_check_add(list,
                         (mf_check_case){.op = &op_resize[how],
                                         .inputs = 1,
                                         .in = {{4, {d[0], d[1], d[2], d[3]}, MF_CHECK_CONSTANT}},
                                         .i = {d[4], d[5], how},
                                         .quick = k == 2,
                                         .model = k == COUNT_OF(sizes) - 1});
        }
    static const int64_t windows[][5] = {{2, 16, 24, 96, 8}, {1, 9, 10, 16, 7}, {3, 4, 4, 3, 4},
                                         {1, 3, 5, 33, 14},  {2, 5, 3, 1, 1},   {2, 9, 5, 2, 3},
                                         {1, 64, 64, 192, 7}};
    for (int merge = 0; merge < 2; merge++)
        for (int k = 0; k < COUNT_OF(windows); k++) {
            const int64_t *d = windows[k], size = d[4];
            const int64_t count = d[0] * ((d[1] + size - 1) / size) * ((d[2] + size - 1) / size);
            mf_check_case c = {.op = &op_partition,
                               .inputs = 1,
                               .in = {{4, {d[0], d[1], d[2], d[3]}, MF_CHECK_CONSTANT}},
                               .i = {size, d[0], d[1], d[2]},
                               .quick = k == 1,
                               .model = k == COUNT_OF(windows) - 1};
            if (merge) {
                c.op = &op_merge;
                c.in[0].rank = 3;
                memcpy(c.in[0].dim, (int64_t[]){count, size * size, d[3]}, 3 * sizeof(int64_t));
            }
            mf_check_add(list, c);
        }
}
