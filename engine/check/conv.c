/* conv.c - reference of 3D convolutions and of their three gradients. */
#include "check/reference.h"

/* ---- x [N,D,H,W,I], weight [O,I,k,k,k], bias [O] or none: then there are two operands ----------
 */

static mf_value build_conv(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_conv3d(p, in[0], in[1], c->inputs > 2 ? in[2] : MF_NONE);
}

/* Calls `tap` with each pair of places that a filter's element joins. */
typedef void (*tap_function)(const mf_check_case *c, int64_t from, int64_t to, int64_t tap,
                             double *const *in, const double *g, mf_check_number *const *out);

static void each_tap(const mf_check_case *c, tap_function tap, double *const *in, const double *g,
                     mf_check_number *const *out)
{
    const int64_t *s = c->in[0].dim, edge = c->in[1].dim[2];
    for (int64_t to = 0; to < s[0] * s[1] * s[2] * s[3]; to++)
        for (int64_t t = 0; t < edge * edge * edge; t++) {
            const int64_t line = to / s[3], slab = line / s[2], n = slab / s[1];
            const int64_t z = slab % s[1] + t / (edge * edge) - edge / 2;
            const int64_t y = line % s[2] + t / edge % edge - edge / 2;
            const int64_t x = to % s[3] + t % edge - edge / 2;
            if (z >= 0 && z < s[1] && y >= 0 && y < s[2] && x >= 0 && x < s[3])
                tap(c, ((n * s[1] + z) * s[2] + y) * s[3] + x, to, t, in, g, out);
        }
}

static void value_tap(const mf_check_case *c, int64_t from, int64_t to, int64_t tap,
                      double *const *in, const double *g, mf_check_number *const *out)
{
    const int64_t *w = c->in[1].dim, taps = w[2] * w[2] * w[2];
    (void)g;
    for (int64_t o = 0; o < w[0]; o++) {
        mf_check_number *y = &out[0][to * w[0] + o];
        for (int64_t i = 0; i < w[1]; i++)
            mf_term(y, in[0][from * w[1] + i] * in[1][(o * w[1] + i) * taps + tap]);
    }
}

static void value_conv(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t o = c->in[1].dim[0], places = mf_check_count(c, 0) / c->in[0].dim[4];
    for (int64_t e = 0; c->inputs > 2 && e < places * o; e++)
        mf_term(&out[e], in[2][e % o]);
    each_tap(c, value_tap, in, NULL, (mf_check_number *[]){out});
}

static void gradient_tap(const mf_check_case *c, int64_t from, int64_t to, int64_t tap,
                         double *const *in, const double *g, mf_check_number *const *dx)
{
    const int64_t *w = c->in[1].dim, taps = w[2] * w[2] * w[2];
    for (int64_t o = 0; o < w[0]; o++)
        for (int64_t i = 0; i < w[1]; i++) {
            const int64_t at = (o * w[1] + i) * taps + tap;
            mf_term(&dx[0][from * w[1] + i], g[to * w[0] + o] * in[1][at]);
            mf_term(&dx[1][at], g[to * w[0] + o] * in[0][from * w[1] + i]);
        }
}

static void gradient_conv(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                          mf_check_number *const *dx)
{
    for (int64_t e = 0; c->inputs > 2 && e < count; e++)
        mf_term(&dx[2][e % c->in[1].dim[0]], g[e]);
    each_tap(c, gradient_tap, in, g, dx);
}

static double work_conv(const mf_check_case *c)
{
    return 2.0 * (double)mf_check_count(c, 0) / (double)c->in[0].dim[4] *
           (double)mf_check_count(c, 1);
}

static const mf_check_op op_conv = {
    .name = "conv3d",
    .build = build_conv,
    .value = value_conv,
    .gradient = gradient_conv,
    .roundings = {0.5, 0.5},
    .work = work_conv,
};

/* Channels of the network's ends, of the small model, of concatenations and odd ones; rows shorter
 * and longer than every tile, a plane, a line, a single voxel; then layers of the model. */
void mf_check_conv(mf_check_list *list)
{
    static const struct {
        int64_t n, d, h, w, in, out, k;
        bool bias, quick, model, thorough;
    } layers[] = {
        {2, 2, 3, 9, 48, 16, 3, true, .quick = true},
        {2, 3, 4, 5, 1, 32, 3, false, .thorough = true},
        {1, 2, 5, 17, 24, 5, 3, true},
        {2, 3, 4, 37, 1, 1, 3, true},
        {1, 1, 3, 16, 1, 1, 3, false},
        {1, 2, 1, 1, 1, 1, 3, false},
        {2, 3, 4, 5, 16, 8, 1, true},
        {1, 2, 3, 37, 2, 1, 3, true, .thorough = true},
        {1, 3, 4, 19, 8, 8, 3, false, .thorough = true},
        {1, 2, 3, 16, 24, 8, 3, false, .thorough = true},
        {1, 3, 3, 4, 32, 64, 3, false, .thorough = true},
        {1, 1, 5, 6, 5, 3, 3, true, .thorough = true},
        {1, 1, 1, 1, 16, 24, 3, false, .thorough = true},
        {1, 4, 1, 2, 16, 96, 3, false, .thorough = true},
        {1, 2, 2, 3, 16, 80, 3, false, .thorough = true},
        {1, 2, 3, 4, 64, 3, 1, false, .thorough = true},
        {1, 32, 32, 32, 1, 32, 3, .model = true},
        {1, 11, 12, 19, 32, 32, 3, .model = true},
        {1, 8, 8, 8, 64, 128, 3, .model = true, .thorough = true},
        {1, 4, 4, 4, 256, 256, 3, .model = true, .thorough = true},
    };
    for (int k = 0; k < COUNT_OF(layers); k++)
        mf_check_add(
            list,
            (mf_check_case){
                .op = &op_conv,
                .inputs = layers[k].bias ? 3 : 2,
                .in = {{5, {layers[k].n, layers[k].d, layers[k].h, layers[k].w, layers[k].in}},
                       {5, {layers[k].out, layers[k].in, layers[k].k, layers[k].k, layers[k].k}},
                       {1, {layers[k].out}}},
                .quick = layers[k].quick,
                .thorough = layers[k].thorough,
                .model = layers[k].model});
}
