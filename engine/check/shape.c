/* shape.c - references of ops that move elements and change none. */
#include "check/reference.h"

/* ---- reshape, slice, concat ------------------------------------------------------------------ */

static mf_value build_reshape(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    int64_t n = mf_check_count(c, 0);
    return mf_reshape(p, in[0], 1, &n);
}

static void value_reshape(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < mf_check_count(c, 0); i++)
        mf_term(&out[i], in[0][i]);
}

static const mf_check_op op_reshape = {
    "reshape", build_reshape, value_reshape, mf_check_moved, {0, 0}};

/* i: axis, start, count */
static mf_value build_slice(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_slice(p, in[0], (int)c->i[0], c->i[1], c->i[2]);
}

static void value_slice(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t a, b, rows = c->in[0].dim[c->i[0]];
    mf_check_sides(c, c->i[0], &a, &b);
    for (int64_t i = 0; i < a; i++)
        for (int64_t j = 0; j < c->i[2] * b; j++)
            mf_term(&out[i * c->i[2] * b + j], in[0][(i * rows + c->i[1]) * b + j]);
}

static const mf_check_op op_slice = {"slice", build_slice, value_slice, mf_check_moved, {0, 0}};

/* i: axis */
static mf_value build_concat(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_concat(p, in[0], in[1], (int)c->i[0]);
}

static void value_concat(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t a, b, axis = c->i[0];
    mf_check_sides(c, axis, &a, &b);
    int64_t first = c->in[0].dim[axis] * b, second = c->in[1].dim[axis] * b;
    for (int64_t i = 0; i < a; i++)
        for (int64_t j = 0; j < first + second; j++)
            mf_term(&out[i * (first + second) + j],
                    j < first ? in[0][i * first + j] : in[1][i * second + j - first]);
}

static const mf_check_op op_concat = {"concat", build_concat, value_concat, mf_check_moved, {0, 0}};

/* ---- channels and space; i: scale, whether to the fine grid ---------------------------------- */

static mf_value build_shuffle(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return c->i[1] ? mf_pixel_shuffle3(p, in[0], (int)c->i[0])
                   : mf_pixel_unshuffle3(p, in[0], (int)c->i[0]);
}

static void value_shuffle(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    const int64_t *dim = c->in[0].dim;
    int64_t s = c->i[0], coarse[5], fine[5];
    bool up = c->i[1];
    for (int k = 0; k < 5; k++) {
        coarse[k] = up ? dim[k] : k == 4 ? dim[k] * s * s * s : k ? dim[k] / s : dim[k];
        fine[k] = !up ? dim[k] : k == 4 ? dim[k] / (s * s * s) : k ? dim[k] * s : dim[k];
    }
    for (int64_t e = 0; e < mf_check_count(c, 0); e++) {
        int64_t k = e % fine[4], x = e / fine[4] % fine[3], y = e / fine[4] / fine[3] % fine[2];
        int64_t z = e / fine[4] / fine[3] / fine[2] % fine[1];
        int64_t n = e / fine[4] / fine[3] / fine[2] / fine[1];
        int64_t cell = (z % s * s + y % s) * s + x % s;
        int64_t channel = up ? k * s * s * s + cell : cell * fine[4] + k;
        int64_t a = mf_at5(coarse, n, z / s, y / s, x / s, channel);
        mf_term(up ? &out[e] : &out[a], up ? in[0][a] : in[0][e]);
    }
}

static const mf_check_op op_shuffle[] = {
    {"pixel_unshuffle3", build_shuffle, value_shuffle, mf_check_moved, {0, 0}},
    {"pixel_shuffle3", build_shuffle, value_shuffle, mf_check_moved, {0, 0}},
};

void mf_check_shape(mf_check_list *list)
{
    static const mf_check_case cases[] = {
        {&op_reshape, 1, {{3, {3, 5, 7}}}, .quick = true},
        {&op_slice, 1, {{3, {3, 5, 7}}}, {2, 2, 3}, .quick = true},
        {&op_slice, 1, {{3, {3, 5, 48}}}, {2, 16, 32}},
        {&op_slice, 1, {{3, {3, 5, 7}}}, {1, 4, 1}},
        {&op_slice, 1, {{3, {5, 3, 17}}}, {0, 1, 2}},
        {&op_slice, 1, {{2, {5, 33}}}, {0, 0, 5}},
        {&op_slice, 1, {{2, {768, 256}}}, {0, 256, 256}, .model = true},
        {&op_concat, 2, {{3, {3, 5, 16}}, {3, {3, 5, 32}}}, {2}},
        {&op_concat, 2, {{3, {3, 5, 1}}, {3, {3, 5, 2}}}, {2}, .quick = true},
        {&op_concat, 2, {{2, {3, 5}}, {2, {1, 5}}}, {0}},
        {&op_concat, 2, {{5, {1, 16, 16, 16, 64}}, {5, {1, 16, 16, 16, 64}}}, {4}, .model = true},
        {&op_shuffle[1], 1, {{5, {2, 3, 1, 2, 5}}}, {1, 1}},
        {&op_shuffle[1], 1, {{5, {1, 3, 1, 2, 24}}}, {2, 1}},
        {&op_shuffle[1], 1, {{5, {2, 1, 2, 1, 54}}}, {3, 1}, .quick = true},
        {&op_shuffle[1], 1, {{5, {1, 8, 8, 8, 512}}}, {8, 1}, .model = true},
        {&op_shuffle[0], 1, {{5, {2, 2, 4, 6, 3}}}, {2, 0}, .quick = true},
        {&op_shuffle[0], 1, {{5, {1, 4, 4, 8, 2}}}, {4, 0}},
        {&op_shuffle[0], 1, {{5, {1, 64, 64, 64, 1}}}, {8, 0}, .model = true},
    };
    for (int k = 0; k < COUNT_OF(cases); k++)
        mf_check_add(list, cases[k]);
}
