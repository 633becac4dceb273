/* strided.c - references of convolutions with a stride and of max pools of any size. */
#include "check/reference.h"

/* ---- convolution: x [N,D,H,W,I], weight [O,I,kd,kh,kw], bias [O] or none; i: stride, padding ----
 */

static mf_value build_conv(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    int stride[3], padding[3];
    for (int k = 0; k < 3; k++) {
        stride[k] = (int)c->i[k];
        padding[k] = (int)c->i[k + 3];
    }
    return mf_conv3d_strided(p, in[0], in[1], c->inputs > 2 ? in[2] : MF_NONE, stride, padding);
}

/* Windows along z, y, x. */
static void count_windows(const mf_check_case *c, const int64_t *kernel, const int64_t *stride,
                          const int64_t *padding, int64_t count[3])
{
    for (int k = 0; k < 3; k++)
        count[k] = (c->in[0].dim[k + 1] + 2 * padding[k] - kernel[k]) / stride[k] + 1;
}

/* The voxel under tap t of window `to` (both counted through all), -1: outside of the volume. */
static int64_t voxel_under(const mf_check_case *c, const int64_t *kernel, const int64_t *stride,
                           const int64_t *padding, int64_t to, int64_t t)
{
    const int64_t *s = c->in[0].dim;
    int64_t count[3];
    count_windows(c, kernel, stride, padding, count);
    const int64_t line = to / count[2], slab = line / count[1], n = slab / count[0];
    const int64_t z = slab % count[0] * stride[0] - padding[0] + t / (kernel[1] * kernel[2]);
    const int64_t y = line % count[1] * stride[1] - padding[1] + t / kernel[2] % kernel[1];
    const int64_t x = to % count[2] * stride[2] - padding[2] + t % kernel[2];
    if (z < 0 || z >= s[1] || y < 0 || y >= s[2] || x < 0 || x >= s[3])
        return -1;
    return ((n * s[1] + z) * s[2] + y) * s[3] + x;
}

static int64_t conv_windows(const mf_check_case *c)
{
    int64_t count[3];
    count_windows(c, c->in[1].dim + 2, c->i, c->i + 3, count);
    return c->in[0].dim[0] * count[0] * count[1] * count[2];
}

static int64_t conv_taps(const mf_check_case *c)
{
    return c->in[1].dim[2] * c->in[1].dim[3] * c->in[1].dim[4];
}

static void value_conv(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    const int64_t *w = c->in[1].dim, taps = conv_taps(c);
    for (int64_t to = 0; to < conv_windows(c); to++)
        for (int64_t o = 0; o < w[0]; o++) {
            mf_check_number *y = &out[to * w[0] + o];
            if (c->inputs > 2)
                mf_term(y, in[2][o]);
            for (int64_t t = 0; t < taps; t++) {
                const int64_t from = voxel_under(c, w + 2, c->i, c->i + 3, to, t);
                for (int64_t i = 0; i < w[1] && from >= 0; i++)
                    mf_term(y, in[0][from * w[1] + i] * in[1][(o * w[1] + i) * taps + t]);
            }
        }
}

static void gradient_conv(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                          mf_check_number *const *dx)
{
    const int64_t *w = c->in[1].dim, taps = conv_taps(c);
    (void)count;
    for (int64_t to = 0; to < conv_windows(c); to++)
        for (int64_t o = 0; o < w[0]; o++) {
            const double grad = g[to * w[0] + o];
            if (c->inputs > 2)
                mf_term(&dx[2][o], grad);
            for (int64_t t = 0; t < taps; t++) {
                const int64_t from = voxel_under(c, w + 2, c->i, c->i + 3, to, t);
                for (int64_t i = 0; i < w[1] && from >= 0; i++) {
                    const int64_t at = (o * w[1] + i) * taps + t;
                    mf_term(&dx[0][from * w[1] + i], grad * in[1][at]);
                    mf_term(&dx[1][at], grad * in[0][from * w[1] + i]);
                }
            }
        }
}

static double work_conv(const mf_check_case *c)
{
    return 2.0 * (double)conv_windows(c) * (double)mf_check_count(c, 1);
}

static const mf_check_op op_conv = {
    .name = "conv3d, strided",
    .build = build_conv,
    .value = value_conv,
    .gradient = gradient_conv,
    .roundings = {0.5, 0.5},
    .work = work_conv,
};

/* ---- max pool; i: kernel, stride, padding ------------------------------------------------------
 */

typedef struct pool {
    int64_t kernel[3], stride[3], padding[3], windows;
} pool;

static pool pool_of(const mf_check_case *c)
{
    pool g;
    int64_t count[3];
    for (int k = 0; k < 3; k++) {
        g.kernel[k] = c->i[0];
        g.stride[k] = c->i[1];
        g.padding[k] = c->i[2];
    }
    count_windows(c, g.kernel, g.stride, g.padding, count);
    g.windows = c->in[0].dim[0] * count[0] * count[1] * count[2];
    return g;
}

static mf_value build_pool(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_max_pool3d(p, in[0], (int)c->i[0], (int)c->i[1], (int)c->i[2]);
}

/* Where the largest of element e of the result lies, the first of equals. */
static int64_t largest(const mf_check_case *c, const pool *g, const double *x, int64_t e)
{
    const int64_t channels = c->in[0].dim[4], taps = g->kernel[0] * g->kernel[1] * g->kernel[2];
    int64_t best = -1;
    for (int64_t t = 0; t < taps; t++) {
        const int64_t from =
            voxel_under(c, g->kernel, g->stride, g->padding, e / channels, t) * channels +
            e % channels;
        if (from >= 0 && (best < 0 || x[from] > x[best]))
            best = from;
    }
    return best;
}

static void value_pool(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    const pool g = pool_of(c);
    for (int64_t e = 0; e < g.windows * c->in[0].dim[4]; e++)
        mf_term(&out[e], in[0][largest(c, &g, in[0], e)]);
}

static void gradient_pool(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                          mf_check_number *const *dx)
{
    const pool geometry = pool_of(c);
    for (int64_t e = 0; e < count; e++)
        mf_term(&dx[0][largest(c, &geometry, in[0], e)], g[e]);
}

/* After a ReLU there are many equals. */
static void prepare_pool(const mf_check_case *c, double *const *in)
{
    for (int64_t e = 0; e < mf_check_count(c, 0); e++)
        in[0][e] = fmax(in[0][e], 0);
}

static const mf_check_op op_pool = {"max_pool3d",  build_pool, value_pool,
                                    gradient_pool, {0, 0},     prepare_pool};

/* Filters and strides of an I3D ResNet, odd ones; fewer channels than a vector, as many, no
 * multiple; windows that leave the volume on both sides. */
void mf_check_strided(mf_check_list *list)
{
    static const struct {
        int64_t x[5], out, kernel[3], stride[3], padding[3];
        bool bias, quick, model, thorough;
    } layers[] = {
        {{2, 3, 5, 9, 1}, 8, {3, 7, 7}, {1, 2, 2}, {1, 3, 3}, true, .quick = true},
        {{2, 5, 4, 3, 16}, 5, {3, 3, 3}, {2, 2, 2}, {1, 1, 1}, false},
        {{1, 3, 4, 5, 8}, 4, {1, 1, 1}, {2, 2, 2}, {0, 0, 0}, true},
        {{1, 4, 5, 6, 3}, 2, {5, 1, 2}, {1, 3, 2}, {2, 0, 1}, false},
        {{1, 3, 5, 4, 5}, 3, {1, 3, 3}, {1, 1, 1}, {0, 1, 1}, false, .thorough = true},
        {{1, 2, 3, 3, 4}, 2, {3, 1, 1}, {1, 1, 1}, {1, 0, 0}, true, .thorough = true},
        {{1, 8, 32, 32, 1}, 64, {3, 7, 7}, {1, 2, 2}, {1, 3, 3}, false, .model = true},
        {{1, 8, 8, 8, 128}, 128, {3, 3, 3}, {2, 2, 2}, {1, 1, 1}, false, .model = true},
    };
    for (int k = 0; k < COUNT_OF(layers); k++) {
        mf_check_case c = {.op = &op_conv,
                           .inputs = layers[k].bias ? 3 : 2,
                           .in = {{5}, {5, {layers[k].out, layers[k].x[4]}}, {1, {layers[k].out}}},
                           .quick = layers[k].quick,
                           .thorough = layers[k].thorough,
                           .model = layers[k].model};
        for (int d = 0; d < 5; d++)
            c.in[0].dim[d] = layers[k].x[d];
        for (int d = 0; d < 3; d++) {
            c.in[1].dim[d + 2] = layers[k].kernel[d];
            c.i[d] = layers[k].stride[d];
            c.i[d + 3] = layers[k].padding[d];
        }
        mf_check_add(list, c);
    }
    mf_check_add(list, (mf_check_case){.op = &op_pool,
                                       .inputs = 1,
                                       .in = {{5, {2, 4, 5, 7, 3}}},
                                       .i = {3, 2, 1},
                                       .quick = true});
    mf_check_add(list,
                 (mf_check_case){
                     .op = &op_pool, .inputs = 1, .in = {{5, {1, 5, 3, 4, 16}}}, .i = {2, 1, 0}});
    mf_check_add(list, (mf_check_case){.op = &op_pool,
                                       .inputs = 1,
                                       .in = {{5, {1, 8, 32, 32, 64}}},
                                       .i = {3, 2, 1},
                                       .model = true});
}
