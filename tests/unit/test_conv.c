/* test_conv.c - 3D convolutions against sums in double, with all three gradients. */
#include "../run_suite.h"
#include "gradients.h"

typedef struct layer {
    int n, d, h, w, in, out, k;
    bool bias;
} layer;

static mf_value build_conv(mf_program *p, const mf_value *x, const void *parameters)
{
    (void)parameters;
    return mf_conv3d(p, x[0], x[1], x[2]);
}

/* What one tap of one output position adds to the value and to the gradients; from and to count
 * positions. */
static void add_tap(const layer *s, const trial *t, int64_t from, int64_t to, int tap, sum *value,
                    sum *dx, sum *dw)
{
    for (int o = 0; o < s->out; o++)
        for (int i = 0; i < s->in; i++) {
            const int64_t at = ((int64_t)o * s->in + i) * (s->k * s->k * s->k) + tap;
            const double w = t->x[1][at], g = t->cotangent[to * s->out + o];
            const double v = t->x[0][from * s->in + i];
            sum_add(&value[to * s->out + o], v * w);
            sum_add(&dx[from * s->in + i], g * w);
            sum_add(&dw[at], g * v);
        }
}

static void add_taps(const layer *s, const trial *t, sum *value, sum *dx, sum *dw)
{
    const int64_t positions = (int64_t)s->n * s->d * s->h * s->w;
    for (int64_t to = 0; to < positions; to++)
        for (int tap = 0; tap < s->k * s->k * s->k; tap++) {
            const int64_t line = to / s->w, slab = line / s->h, n = slab / s->d;
            const int64_t z = slab % s->d + tap / (s->k * s->k) - s->k / 2;
            const int64_t y = line % s->h + tap / s->k % s->k - s->k / 2;
            const int64_t x = to % s->w + tap % s->k - s->k / 2;
            if (z >= 0 && z < s->d && y >= 0 && y < s->h && x >= 0 && x < s->w)
                add_tap(s, t, ((n * s->d + z) * s->h + y) * s->w + x, to, tap, value, dx, dw);
        }
}

static void check_conv(const char *form, layer s)
{
    trial t = {.form = form,
               .operands = s.bias ? 3 : 2,
               .build = build_conv,
               .rank = {5, 5, 1},
               .shape = {{s.n, s.d, s.h, s.w, s.in}, {s.out, s.in, s.k, s.k, s.k}, {s.out}}};
    trial_run(&t);
    const int64_t positions = (int64_t)s.n * s.d * s.h * s.w;
    sum *y = calloc((size_t)(positions * s.out), sizeof(sum));
    sum *dx = calloc((size_t)t.count[0], sizeof(sum));
    sum *dw = calloc((size_t)t.count[1], sizeof(sum));
    for (int64_t i = 0; s.bias && i < positions * s.out; i++)
        sum_add(&y[i], t.x[2][i % s.out]);
    add_taps(&s, &t, y, dx, dw);
    for (int64_t i = 0; i < positions * s.out; i++)
        sum_check("y", i, t.result[i], y[i]);
    for (int64_t i = 0; i < t.count[0]; i++)
        sum_check("dx", i, t.gradient[0][i], dx[i]);
    for (int64_t i = 0; i < t.count[1]; i++)
        sum_check("dw", i, t.gradient[1][i], dw[i]);
    for (int o = 0; s.bias && o < s.out; o++) {
        sum db = {0};
        for (int64_t i = 0; i < positions; i++)
            sum_add(&db, t.cotangent[i * s.out + o]);
        sum_check("db", o, t.gradient[2][o], db);
    }
    free(y);
    free(dx);
    free(dw);
    trial_free(&t);
}

/* Channels of the network's ends, of the small model, of concatenations and odd ones; rows shorter
 * and longer than every tile, a plane, a line, a single voxel. */
static const layer layers[] = {
    {2, 3, 4, 5, 1, 32, 3, false},  {1, 2, 3, 37, 2, 1, 3, true},   {1, 3, 4, 19, 8, 8, 3, false},
    {1, 2, 3, 16, 24, 8, 3, false}, {1, 3, 3, 4, 32, 64, 3, false}, {2, 2, 3, 9, 48, 16, 3, true},
    {1, 1, 5, 6, 5, 3, 3, true},    {1, 1, 1, 1, 16, 24, 3, false}, {1, 4, 1, 2, 16, 96, 3, false},
    {2, 3, 4, 37, 1, 1, 3, true},   {1, 1, 3, 16, 1, 1, 3, false},  {1, 2, 1, 1, 1, 1, 3, false},
};

START_TEST(convolutions_equal_sums_in_double)
{
    check_conv("", layers[_i]);
}
END_TEST

START_TEST(pointwise_convolutions_equal_sums_in_double)
{
    check_conv("", (layer){2, 3, 4, 5, 16, 8, 1, true});
    check_conv("", (layer){1, 2, 3, 4, 64, 3, 1, false});
}
END_TEST

START_TEST(convolutions_equal_sums_in_double_in_gpu_form)
{
    check_conv("gpu", (layer){2, 3, 4, 5, 1, 32, 3, false});
    check_conv("gpu", (layer){1, 2, 5, 17, 24, 5, 3, true});
    check_conv("gpu", (layer){1, 2, 2, 3, 16, 80, 3, false});
}
END_TEST

static mf_value conv_of_wrong_channels(mf_program *p)
{
    return mf_conv3d(p, mf_input(p, "x", MF_F32, 5, (int64_t[]){1, 4, 4, 4, 16}),
                     mf_weight(p, "w", 5, (int64_t[]){8, 24, 3, 3, 3}), MF_NONE);
}

static mf_value conv_of_wrong_filter(mf_program *p)
{
    return mf_conv3d(p, mf_input(p, "x", MF_F32, 5, (int64_t[]){1, 4, 4, 4, 16}),
                     mf_weight(p, "w", 5, (int64_t[]){8, 16, 1, 3, 3}), MF_NONE);
}

static mf_value conv_of_wrong_bias(mf_program *p)
{
    return mf_conv3d(p, mf_input(p, "x", MF_F32, 5, (int64_t[]){1, 4, 4, 4, 16}),
                     mf_weight(p, "w", 5, (int64_t[]){8, 16, 3, 3, 3}),
                     mf_weight(p, "b", 1, (int64_t[]){16}));
}

START_TEST(shapes_that_do_not_fit_are_refused)
{
    trial_refuses(conv_of_wrong_channels,
                  "conv3d: x is [1,4,4,4,16], but the weight is [8,24,3,3,3]");
    trial_refuses(conv_of_wrong_filter,
                  "conv3d: the weight is [8,16,1,3,3], not [O,I,1,1,1] or [O,I,3,3,3]");
    trial_refuses(conv_of_wrong_bias, "conv3d: the weight is [8,16,3,3,3], but the bias is [16]");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conv");
    TCase *tests = tcase_create("conv");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, convolutions_equal_sums_in_double, 0,
                        sizeof(layers) / sizeof(layers[0]));
    tcase_add_test(tests, pointwise_convolutions_equal_sums_in_double);
    tcase_add_test(tests, convolutions_equal_sums_in_double_in_gpu_form);
    tcase_add_test(tests, shapes_that_do_not_fit_are_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
