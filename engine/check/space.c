/* space.c - references of max pool, trilinear resize and its adjoint, position embedding. */
#include "check/reference.h"

#include <string.h>

/* ---- max pool -------------------------------------------------------------------------------- */

static mf_value build_pool(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_max_pool2(p, in[0]);
}

/* Where the largest of output e lies, the first of equals. */
static int64_t largest(const mf_check_case *c, const double *x, int64_t e)
{
    const int64_t *s = c->in[0].dim;
    int64_t t[5] = {s[0], s[1] / 2, s[2] / 2, s[3] / 2, s[4]}, best = -1;
    int64_t k = e % t[4], u = e / t[4] % t[3], v = e / t[4] / t[3] % t[2];
    int64_t z = e / t[4] / t[3] / t[2] % t[1], n = e / t[4] / t[3] / t[2] / t[1];
    for (int q = 0; q < 8; q++) {
        int64_t at = mf_at5(s, n, 2 * z + (q >> 2), 2 * v + (q >> 1 & 1), 2 * u + (q & 1), k);
        if (best < 0 || x[at] > x[best])
            best = at;
    }
    return best;
}

static int64_t pooled(const mf_check_case *c)
{
    const int64_t *s = c->in[0].dim;
    return s[0] * (s[1] / 2) * (s[2] / 2) * (s[3] / 2) * s[4];
}

static void value_pool(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t e = 0; e < pooled(c); e++)
        mf_term(&out[e], in[0][largest(c, in[0], e)]);
}

static void gradient_pool(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                          mf_check_number *const *dx)
{
    for (int64_t e = 0; e < count; e++)
        mf_term(&dx[0][largest(c, in[0], e)], g[e]);
}

static const mf_check_op op_pool = {"max_pool2", build_pool, value_pool, gradient_pool, {0, 0}};

/* ---- resize; i: D, H, W of the result, whether the adjoint ------------------------------------
 */

static mf_value build_resize(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return c->i[3] ? mf_resize_adjoint(p, in[0], c->i[0], c->i[1], c->i[2])
                   : mf_resize(p, in[0], c->i[0], c->i[1], c->i[2]);
}

/* Where output o lies among `in` inputs: corners aligned. */
static double position(int64_t o, int64_t in, int64_t out)
{
    return out == 1 ? 0 : (double)o * (double)(in - 1) / (double)(out - 1);
}

/* One pair of a coarse and a fine place. The position of the fine one is a product and a quotient
 * of floats, so the weight is wrong by some roundings of the position. */
static void resize_term(const int64_t *small, const int64_t *large, const int64_t *from,
                        const int64_t *to, bool down, const double *x, mf_check_number *out)
{
    double at[3], part[3];
    for (int d = 0; d < 3; d++) {
        at[d] = position(to[d + 1], small[d + 1], large[d + 1]);
        part[d] = fmax(0, 1 - fabs(at[d] - (double)from[d + 1]));
    }
    double weight = part[0] * part[1] * part[2];
    double slack =
        at[0] * part[1] * part[2] + part[0] * at[1] * part[2] + part[0] * part[1] * at[2];
    for (int64_t k = 0; k < small[4]; k++) {
        int64_t a = mf_at5(small, from[0], from[1], from[2], from[3], k);
        int64_t b = mf_at5(large, to[0], to[1], to[2], to[3], k);
        double v = down ? x[b] : x[a];
        mf_term_of(&out[down ? a : b], weight * v, (weight + slack) * fabs(v));
    }
}

/* Every fine place with the coarse ones around it. */
static void resize(const int64_t *small, const int64_t *large, bool down, const double *x,
                   mf_check_number *out)
{
    int64_t to[4], from[4];
    for (to[0] = 0; to[0] < large[0]; to[0]++)
        for (to[1] = 0; to[1] < large[1]; to[1]++)
            for (to[2] = 0; to[2] < large[2]; to[2]++)
                for (to[3] = 0; to[3] < large[3]; to[3]++)
                    for (int q = 0; q < 27; q++) {
                        bool inside = true;
                        const int step[3] = {q / 9 - 1, q / 3 % 3 - 1, q % 3 - 1};
                        from[0] = to[0];
                        for (int d = 0; d < 3; d++) {
                            double at = position(to[d + 1], small[d + 1], large[d + 1]);
                            from[d + 1] = (int64_t)floor(at + 0.5) + step[d];
                            inside &= from[d + 1] >= 0 && from[d + 1] < small[d + 1] &&
                                      fabs(at - (double)from[d + 1]) <= 1;
                        }
                        if (inside)
                            resize_term(small, large, from, to, down, x, out);
                    }
}

static void result_shape(const mf_check_case *c, int64_t shape[5])
{
    for (int d = 0; d < 5; d++)
        shape[d] = d == 0 || d == 4 ? c->in[0].dim[d] : c->i[d - 1];
}

static void value_resize(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t t[5];
    const int64_t *s = c->in[0].dim;
    result_shape(c, t);
    resize(c->i[3] ? t : s, c->i[3] ? s : t, c->i[3], in[0], out);
}

static void gradient_resize(const mf_check_case *c, double *const *in, int64_t count,
                            const double *g, mf_check_number *const *dx)
{
    int64_t t[5];
    const int64_t *s = c->in[0].dim;
    (void)in, (void)count;
    result_shape(c, t);
    resize(c->i[3] ? t : s, c->i[3] ? s : t, !c->i[3], g, dx[0]);
}

static const mf_check_op op_resize[] = {
    {"resize", build_resize, value_resize, gradient_resize, {4, 4}},
    {"resize_adjoint", build_resize, value_resize, gradient_resize, {4, 4}},
};

/* ---- position embedding ---------------------------------------------------------------------- */

static mf_value build_position(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_add_position(p, in[0], in[1]);
}

static int64_t position_of(const mf_check_case *c, int64_t i)
{
    const int64_t *s = c->in[0].dim, *e = c->in[1].dim;
    int64_t k = i % s[4], x = i / s[4] % s[3], y = i / s[4] / s[3] % s[2];
    int64_t z = i / s[4] / s[3] / s[2] % s[1];
    return ((k * e[2] + z) * e[3] + y) * e[4] + x;
}

static void value_position(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < mf_check_count(c, 0); i++)
        mf_term(&out[i], in[0][i] + in[1][position_of(c, i)]);
}

static void gradient_position(const mf_check_case *c, double *const *in, int64_t count,
                              const double *g, mf_check_number *const *dx)
{
    (void)in;
    for (int64_t i = 0; i < count; i++) {
        mf_term(&dx[0][i], g[i]);
        mf_term(&dx[1][position_of(c, i)], g[i]);
    }
}

static const mf_check_op op_position = {
    "add_position", build_position, value_position, gradient_position, {0.5, 0}};

void mf_check_space(mf_check_list *list)
{
    static const int64_t pools[][5] = {{2, 2, 2, 2, 1},    {1, 3, 5, 7, 2},  {2, 4, 3, 2, 3},
                                       {1, 5, 4, 2, 16},   {1, 2, 6, 3, 33}, {1, 2, 2, 5, 8},
                                       {1, 24, 24, 24, 32}};
    for (int s = 0; s < COUNT_OF(pools); s++) {
        mf_check_case c = {.op = &op_pool,
                           .inputs = 1,
                           .in = {{5}},
                           .quick = s == 4,
                           .model = s == COUNT_OF(pools) - 1};
        memcpy(c.in[0].dim, pools[s], sizeof pools[s]);
        mf_check_add(list, c);
    }
    static const struct {
        int64_t from[5], to[3];
    } cases[] = {
        {{1, 2, 2, 2, 3}, {4, 4, 4}},   {{2, 3, 1, 2, 1}, {5, 3, 4}},
        {{1, 4, 5, 3, 16}, {7, 9, 5}},  {{1, 3, 3, 3, 2}, {3, 3, 3}},
        {{1, 5, 4, 3, 8}, {2, 3, 1}},   {{1, 1, 1, 1, 17}, {3, 2, 1}},
        {{1, 2, 3, 7, 1}, {5, 11, 13}}, {{1, 8, 8, 8, 64}, {16, 16, 16}},
    };
    for (int adjoint = 0; adjoint < 2; adjoint++)
        for (int s = 0; s < COUNT_OF(cases); s++) {
            mf_check_case c = {.op = &op_resize[adjoint],
                               .inputs = 1,
                               .in = {{5}},
                               .i = {cases[s].to[0], cases[s].to[1], cases[s].to[2], adjoint},
                               .quick = s == 2,
                               .model = s == COUNT_OF(cases) - 1};
            memcpy(c.in[0].dim, cases[s].from, sizeof cases[s].from);
            if (adjoint && c.model) { /* of masks, to the coarsest grid */
                memcpy(c.in[0].dim, (int64_t[]){3, 32, 32, 32, 1}, 5 * sizeof(int64_t));
                c.i[0] = c.i[1] = c.i[2] = 4;
            }
            mf_check_add(list, c);
        }
    mf_check_add(list,
                 (mf_check_case){
                     &op_position, 2, {{5, {2, 3, 1, 2, 5}}, {5, {1, 5, 4, 3, 2}}}, .quick = true});
    mf_check_add(list,
                 (mf_check_case){&op_position, 2, {{5, {1, 2, 2, 3, 16}}, {5, {1, 16, 2, 2, 3}}}});
    mf_check_add(list, (mf_check_case){&op_position,
                                       2,
                                       {{5, {3, 32, 32, 32, 1}}, {5, {1, 1, 64, 64, 64}}},
                                       .model = true});
}
