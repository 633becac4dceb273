/* test_ops.c - elementwise ops, reductions, moves and norms: values and gradients of each on odd
 * sizes and all classes of channels. */
#include "../run_suite.h"
#include "op_case.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N(c, k) case_count(c, k)

/* ---- elementwise ----------------------------------------------------------------------------- */

enum { ADD, MUL, SCALE, RELU, GELU, SIGMOID, TANH, CUBE };

static mf_value build_elementwise(mf_program *p, const mf_value *in, const op_case *c)
{
    switch (c->i[0]) {
    case ADD:
        return mf_add(p, in[0], in[1]);
    case MUL:
        return mf_mul(p, in[0], in[1]);
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
    default: /* gradients that meet at one value */
        return mf_mul(p, in[0], mf_mul(p, in[0], in[0]));
    }
}

static void reference_elementwise(const op_case *c, double *const *in, double *out)
{
    for (int64_t i = 0; i < N(c, 0); i++) {
        double x = in[0][i];
        switch (c->i[0]) {
        case ADD:
            out[i] = x + in[1][i];
            break;
        case MUL:
            out[i] = x * in[1][i];
            break;
        case SCALE:
            out[i] = x * c->f;
            break;
        case RELU:
            out[i] = fmax(x, 0);
            break;
        case GELU:
            out[i] = 0.5 * x * (1 + erf(x / sqrt(2)));
            break;
        case SIGMOID:
            out[i] = 1 / (1 + exp(-x));
            break;
        case TANH:
            out[i] = tanh(x);
            break;
        default:
            out[i] = x * x * x;
        }
    }
}

START_TEST(test_elementwise)
{
    static const int64_t counts[] = {1, 3, 16, 77, 1030};
    for (int op = ADD; op <= CUBE; op++)
        for (int n = 0; n < 5; n++) {
            op_case c = {"elementwise",
                         build_elementwise,
                         reference_elementwise,
                         .inputs = op <= MUL ? 2 : 1,
                         .i = {op},
                         .f = -0.75};
            for (int k = 0; k < 2; k++) {
                c.in[k].rank = 1;
                c.in[k].dim[0] = counts[n];
                c.in[k].low = op == GELU || op == SIGMOID ? -6 : -2;
                c.in[k].high = 4;
            }
            check_case(&c);
        }
}
END_TEST

static mf_value build_extreme(mf_program *p, const mf_value *in, const op_case *c)
{
    (void)c;
    return mf_add(p, mf_sigmoid(p, in[0]), mf_tanh(p, in[0]));
}

static void reference_extreme(const op_case *c, double *const *in, double *out)
{
    for (int64_t i = 0; i < N(c, 0); i++)
        out[i] = 1 / (1 + exp(-in[0][i])) + tanh(in[0][i]);
}

START_TEST(test_extreme_activations_stay_finite)
{
    op_case c = {
        "extreme", build_extreme, reference_extreme, 1, {{1, {40}, .low = -200, .high = 200}}};
    check_case(&c);
}
END_TEST

static mf_value build_to_float(mf_program *p, const mf_value *in, const op_case *c)
{
    (void)c;
    return mf_mul(p, mf_to_float(p, in[0]), in[1]);
}

static void reference_to_float(const op_case *c, double *const *in, double *out)
{
    for (int64_t i = 0; i < N(c, 0); i++)
        out[i] = in[0][i] * in[1][i];
}

START_TEST(test_to_float)
{
    op_case c = {
        "to_float", build_to_float, reference_to_float, 2, {{2, {3, 11}, MASK}, {2, {3, 11}}}};
    check_case(&c);
}
END_TEST

/* ---- sums ------------------------------------------------------------------------------------ */

enum { SUM, MEAN, REPEAT, DIVIDE };

static mf_value build_reduce(mf_program *p, const mf_value *in, const op_case *c)
{
    switch (c->i[0]) {
    case SUM:
        return mf_sum(p, in[0], (int)c->i[1]);
    case MEAN:
        return mf_mean(p, in[0], (int)c->i[1]);
    case REPEAT:
        return mf_repeat(p, in[0], c->i[1]);
    default:
        return mf_divide_rows(p, in[0], in[1], (float)c->f);
    }
}

static void reference_reduce(const op_case *c, double *const *in, double *out)
{
    int64_t axis = c->i[1], a = 1, b = 1;
    for (int k = 0; k < c->in[0].rank; k++) {
        a *= k < axis ? c->in[0].dim[k] : 1;
        b *= k > axis ? c->in[0].dim[k] : 1;
    }
    if (c->i[0] == REPEAT) {
        for (int64_t i = 0; i < N(c, 0) * axis; i++)
            out[i] = in[0][i % N(c, 0)];
    } else if (c->i[0] == DIVIDE) {
        for (int64_t i = 0; i < N(c, 0); i++)
            out[i] = in[0][i] / fmax(in[1][i / c->in[0].dim[1]], (double)(float)c->f);
    } else {
        int64_t rows = c->in[0].dim[axis];
        for (int64_t i = 0; i < a * b; i++) {
            out[i] = 0;
            for (int64_t r = 0; r < rows; r++)
                out[i] += in[0][(i / b * rows + r) * b + i % b];
            if (c->i[0] == MEAN)
                out[i] /= (double)rows;
        }
    }
}

START_TEST(test_reduce)
{
    static const int64_t shapes[][3] = {
        {1, 1, 1}, {3, 5, 7}, {2, 300, 3}, {1, 600, 16}, {3, 2, 48}};
    for (int s = 0; s < 5; s++)
        for (int op = SUM; op <= REPEAT; op++)
            for (int axis = 0; axis < 3; axis++) {
                op_case c = {"reduce",    build_reduce, reference_reduce,
                             1,           {{3}},        {op, axis + (op == REPEAT)},
                             .terms = 700};
                memcpy(c.in[0].dim, shapes[s], sizeof shapes[s]);
                check_case(&c);
            }
}
END_TEST

START_TEST(test_long_sums_keep_their_digits)
{
    /* A plain running sum of 2^20 ones and thirds in f32 is off by 1e-3; levels keep 1e-6. */
    enum { COUNT = 1 << 20 };
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    ok(mf_program_new(&p));
    ok(mf_weights_new(test_device(), &w));
    mf_value x = mf_input(p, "x", MF_F32, 2, (int64_t[]){1, COUNT});
    mf_output(p, "row", mf_sum(p, x, 1));
    mf_output(p, "rows", mf_sum(p, mf_reshape(p, x, 2, (int64_t[]){COUNT / 2, 2}), 0));
    ok(mf_program_compile(p, w, &e));
    float *v = malloc(COUNT * sizeof *v), row, rows[2];
    double want = 0;
    for (int i = 0; i < COUNT; i++) {
        v[i] = i % 2 ? 1.0f : 1.0f / 3;
        want += v[i];
    }
    ok(mf_executable_set(e, "x", v));
    ok(mf_executable_run(e));
    ok(mf_executable_get(e, "row", &row));
    ok(mf_executable_get(e, "rows", rows));
    ck_assert_double_le(fabs(row - want), 1e-6 * want);
    ck_assert_double_le(fabs((double)rows[0] + rows[1] - want), 1e-6 * want);
    free(v);
    mf_executable_free(e);
    mf_weights_free(w);
    mf_program_free(p);
}
END_TEST

START_TEST(test_divide_rows)
{
    op_case c = {"divide_rows",
                 build_reduce,
                 reference_reduce,
                 2,
                 {{2, {9, 5}}, {1, {9}, .low = -0.5, .high = 3}},
                 {DIVIDE},
                 .f = 0.25};
    check_case(&c);
}
END_TEST

/* ---- moves ----------------------------------------------------------------------------------- */

enum { RESHAPE, SLICE, CONCAT, SHUFFLE, UNSHUFFLE };

static mf_value build_move(mf_program *p, const mf_value *in, const op_case *c)
{
    switch (c->i[0]) {
    case RESHAPE:
        return mf_reshape(p, mf_mul(p, in[0], in[0]), 1, (int64_t[]){N(c, 0)});
    case SLICE:
        return mf_slice(p, in[0], (int)c->i[1], c->i[2], c->i[3]);
    case CONCAT:
        return mf_concat(p, in[0], in[1], (int)c->i[1]);
    case SHUFFLE:
        return mf_pixel_shuffle3(p, in[0], (int)c->i[1]);
    default:
        return mf_pixel_unshuffle3(p, in[0], (int)c->i[1]);
    }
}

/* Index into [N,d,h,w,channels] */
static int64_t at5(const int64_t *dim, int64_t n, int64_t z, int64_t y, int64_t x, int64_t c)
{
    return (((n * dim[1] + z) * dim[2] + y) * dim[3] + x) * dim[4] + c;
}

static void reference_shuffle(const op_case *c, double *const *in, double *out)
{
    const int64_t *dim = c->in[0].dim;
    int64_t s = c->i[1];
    bool up = c->i[0] == SHUFFLE;
    int64_t coarse[5], fine[5];
    for (int k = 0; k < 5; k++) {
        coarse[k] = up ? dim[k] : k == 4 ? dim[k] * s * s * s : k ? dim[k] / s : dim[k];
        fine[k] = !up ? dim[k] : k == 4 ? dim[k] / (s * s * s) : k ? dim[k] * s : dim[k];
    }
    int64_t channels = fine[4];
    for (int64_t n = 0; n < fine[0]; n++)
        for (int64_t z = 0; z < fine[1]; z++)
            for (int64_t y = 0; y < fine[2]; y++)
                for (int64_t x = 0; x < fine[3]; x++)
                    for (int64_t k = 0; k < channels; k++) {
                        int64_t sz = z % s, sy = y % s, sx = x % s;
                        int64_t channel = up ? ((k * s + sz) * s + sy) * s + sx
                                             : ((sz * s + sy) * s + sx) * channels + k;
                        int64_t a = at5(coarse, n, z / s, y / s, x / s, channel);
                        int64_t b = at5(fine, n, z, y, x, k);
                        if (up)
                            out[b] = in[0][a];
                        else
                            out[a] = in[0][b];
                    }
}

static void reference_move(const op_case *c, double *const *in, double *out)
{
    int64_t axis = c->i[1], a = 1, b = 1;
    for (int k = 0; k < c->in[0].rank; k++) {
        a *= k < axis ? c->in[0].dim[k] : 1;
        b *= k > axis ? c->in[0].dim[k] : 1;
    }
    if (c->i[0] == RESHAPE) {
        for (int64_t i = 0; i < N(c, 0); i++)
            out[i] = in[0][i] * in[0][i];
    } else if (c->i[0] == SLICE) {
        int64_t rows = c->in[0].dim[axis];
        for (int64_t i = 0; i < a; i++)
            for (int64_t j = 0; j < c->i[3] * b; j++)
                out[i * c->i[3] * b + j] = in[0][(i * rows + c->i[2]) * b + j];
    } else if (c->i[0] == CONCAT) {
        int64_t first = c->in[0].dim[axis] * b, second = c->in[1].dim[axis] * b;
        for (int64_t i = 0; i < a; i++)
            for (int64_t j = 0; j < first + second; j++)
                out[i * (first + second) + j] =
                    j < first ? in[0][i * first + j] : in[1][i * second + j - first];
    } else {
        reference_shuffle(c, in, out);
    }
}

START_TEST(test_moves)
{
    op_case cases[] = {
        {"reshape", build_move, reference_move, 1, {{3, {3, 5, 7}}}, {RESHAPE}},
        {"slice last", build_move, reference_move, 1, {{3, {3, 5, 7}}}, {SLICE, 2, 2, 3}},
        {"slice wide", build_move, reference_move, 1, {{3, {3, 5, 48}}}, {SLICE, 2, 16, 32}},
        {"slice middle", build_move, reference_move, 1, {{3, {3, 5, 7}}}, {SLICE, 1, 4, 1}},
        {"slice first", build_move, reference_move, 1, {{3, {5, 3, 17}}}, {SLICE, 0, 1, 2}},
        {"slice all", build_move, reference_move, 1, {{2, {5, 33}}}, {SLICE, 0, 0, 5}},
        {"concat last",
         build_move,
         reference_move,
         2,
         {{3, {3, 5, 16}}, {3, {3, 5, 32}}},
         {CONCAT, 2}},
        {"concat narrow",
         build_move,
         reference_move,
         2,
         {{3, {3, 5, 1}}, {3, {3, 5, 2}}},
         {CONCAT, 2}},
        {"concat first", build_move, reference_move, 2, {{2, {3, 5}}, {2, {1, 5}}}, {CONCAT, 0}},
        {"shuffle 1", build_move, reference_move, 1, {{5, {2, 3, 1, 2, 5}}}, {SHUFFLE, 1}},
        {"shuffle 2", build_move, reference_move, 1, {{5, {1, 3, 1, 2, 24}}}, {SHUFFLE, 2}},
        {"shuffle 3", build_move, reference_move, 1, {{5, {2, 1, 2, 1, 54}}}, {SHUFFLE, 3}},
        {"unshuffle 2", build_move, reference_move, 1, {{5, {2, 2, 4, 6, 3}}}, {UNSHUFFLE, 2}},
        {"unshuffle 4", build_move, reference_move, 1, {{5, {1, 4, 4, 8, 2}}}, {UNSHUFFLE, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_case(&cases[i]);
}
END_TEST

/* ---- norms ----------------------------------------------------------------------------------- */

static mf_value build_instance(mf_program *p, const mf_value *in, const op_case *c)
{
    mf_value y = mf_instance_norm(p, in[0], (float)c->f);
    return c->i[0] ? mf_relu(p, y) : y;
}

static void reference_instance(const op_case *c, double *const *in, double *out)
{
    int64_t n = c->in[0].dim[0], ch = c->in[0].dim[c->in[0].rank - 1];
    int64_t v = case_count(c, 0) / (n * ch);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < ch; k++) {
            const double *x = in[0] + i * v * ch + k;
            double *y = out + i * v * ch + k, mean = 0, var = 0;
            for (int64_t u = 0; u < v; u++)
                mean += x[u * ch] / (double)v;
            for (int64_t u = 0; u < v; u++)
                var += (x[u * ch] - mean) * (x[u * ch] - mean) / (double)v;
            for (int64_t u = 0; u < v; u++) {
                double hat = (x[u * ch] - mean) / sqrt(var + (double)(float)c->f);
                y[u * ch] = c->i[0] && hat < 0 ? 0 : hat;
            }
        }
}

START_TEST(test_instance_norm)
{
    static const int64_t channels[] = {1, 2, 3, 8, 16, 32, 48};
    for (int k = 0; k < 7; k++)
        for (int relu = 0; relu < 2; relu++) {
            op_case c = {"instance_norm",
                         build_instance,
                         reference_instance,
                         1,
                         {{5, {2, 3, 1, 5, channels[k]}, .low = -1, .high = 3}},
                         {relu},
                         .f = 1e-4,
                         .terms = 64};
            check_case(&c);
        }
}
END_TEST

START_TEST(test_instance_norm_in_chunks)
{
    /* more than one chunk of voxels, the last one short; gradients of so many would be slow */
    static const int64_t channels[] = {1, 4, 16, 5};
    for (int k = 0; k < 4; k++) {
        op_case c = {"instance_norm in chunks",
                     build_instance,
                     reference_instance,
                     1,
                     {{5, {2, 7, 11, 9, channels[k]}, CONSTANT, .low = 99, .high = 101}},
                     {1},
                     .f = 1e-5,
                     .terms = 1e5};
        check_case(&c); /* mean 100, deviation 0.6: f32 keeps 1e-5 of a deviation */
    }
}
END_TEST

static mf_value build_layer(mf_program *p, const mf_value *in, const op_case *c)
{
    return mf_layer_norm(p, in[0], in[1], in[2], (float)c->f);
}

static void reference_layer(const op_case *c, double *const *in, double *out)
{
    int64_t ch = c->in[1].dim[0], rows = N(c, 0) / ch;
    for (int64_t r = 0; r < rows; r++) {
        const double *x = in[0] + r * ch;
        double mean = 0, var = 0;
        for (int64_t k = 0; k < ch; k++)
            mean += x[k] / (double)ch;
        for (int64_t k = 0; k < ch; k++)
            var += (x[k] - mean) * (x[k] - mean) / (double)ch;
        for (int64_t k = 0; k < ch; k++)
            out[r * ch + k] = (x[k] - mean) / sqrt(var + (double)(float)c->f) * in[1][k] + in[2][k];
    }
}

START_TEST(test_layer_norm)
{
    static const int64_t channels[] = {2, 3, 8, 16, 33, 96};
    for (int k = 0; k < 6; k++) {
        op_case c = {"layer_norm",
                     build_layer,
                     reference_layer,
                     3,
                     {{3, {2, 3, channels[k]}}, {1, {channels[k]}}, {1, {channels[k]}}},
                     .f = 1e-5,
                     .terms = 100};
        check_case(&c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops");
    TCase *t = tcase_create("ops");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_elementwise);
    tcase_add_test(t, test_extreme_activations_stay_finite);
    tcase_add_test(t, test_to_float);
    tcase_add_test(t, test_reduce);
    tcase_add_test(t, test_long_sums_keep_their_digits);
    tcase_add_test(t, test_divide_rows);
    tcase_add_test(t, test_moves);
    tcase_add_test(t, test_instance_norm);
    tcase_add_test(t, test_instance_norm_in_chunks);
    tcase_add_test(t, test_layer_norm);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
