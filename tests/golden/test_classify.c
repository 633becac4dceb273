/* Steps of a classifier above a trained encoder against PyTorch: results of float64 stored by
 * tools/reference/golden_classify.py. */
#include "../expect.h"
#include "../run_suite.h"
#include "golden.h"
#include "parity.h"

#include <check.h>
#include <massflow/random.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const mf_parity options = {.rate = 1e-4, .encoder_rate = 1e-5, .weight_decay = 1e-4};

typedef struct sizes {
    int64_t channels[5], blocks[4], crop[3], cases, classes, steps;
} sizes;

static void read_sizes(const mf_tensors *golden, sizes *s)
{
    memcpy(s->channels, mf_tensors_find(golden, "channels")->data, sizeof s->channels);
    memcpy(s->blocks, mf_tensors_find(golden, "blocks")->data, sizeof s->blocks);
    memcpy(s->crop, mf_tensors_find(golden, "crop")->data, sizeof s->crop);
    memcpy(&s->cases, mf_tensors_find(golden, "sizes")->data, 3 * sizeof(int64_t));
}

static void draw(mf_tensors *t, const char *name, int rank, const int64_t *shape)
{
    mf_array *a;
    ok(mf_tensors_make(t, name, MF_F32, rank, shape, &a));
    golden_draw_weight(name, rank, shape, a->data);
}

static void draw_conv(mf_tensors *t, const char *block, const char *which, int64_t i, int64_t o)
{
    char name[128];
    snprintf(name, sizeof name, "encoder.%s.%s.conv.weight", block, which);
    draw(t, name, 5, (const int64_t[]){o, i, 3, 3, 3});
}

static void draw_residual(mf_tensors *t, const char *block, int64_t i, int64_t o)
{
    draw_conv(t, block, "conv1", i, o);
    draw_conv(t, block, "conv2", o, o);
    if (i != o)
        draw_conv(t, block, "shortcut", i, o);
}

static void draw_encoder(const sizes *s, mf_tensors *t)
{
    draw(t, "encoder.inc.conv1.weight", 5, (const int64_t[]){s->channels[0], 1, 3, 3, 3});
    draw_residual(t, "inc.conv2", s->channels[0], s->channels[0]);
    for (int depth = 1; depth < 5; depth++)
        for (int block = 1; block <= s->blocks[depth - 1]; block++) {
            char name[64];
            snprintf(name, sizeof name, "down%d.conv.%d", depth, block);
            draw_residual(t, name, s->channels[block > 1 ? depth : depth - 1], s->channels[depth]);
        }
}

static void draw_head(const sizes *s, const char *pooling, mf_tensors *t)
{
    const int64_t c = s->channels[4], sites = s->crop[0] * s->crop[1] * s->crop[2] / 4096;
    const int64_t width = strcmp(pooling, "none") ? c : c * sites;
    if (!strcmp(pooling, "attention")) {
        draw(t, "pool.attention.0.weight", 5, (const int64_t[]){c / 4, c, 1, 1, 1});
        draw(t, "pool.attention.0.bias", 1, (const int64_t[]){c / 4});
        draw(t, "pool.attention.2.weight", 5, (const int64_t[]){1, c / 4, 1, 1, 1});
        draw(t, "pool.attention.2.bias", 1, (const int64_t[]){1});
    }
    draw(t, "fc.weight", 2, (const int64_t[]){s->classes, width});
    draw(t, "fc.bias", 1, &s->classes);
}

static void draw_inputs(const sizes *s, bool multi, int64_t steps, mf_tensors *t)
{
    static const float class_weights[] = {0.5f, 2, 1.25f}, pos_weight[] = {3, 0.25f, 1};
    const int64_t n = s->cases * steps, shape[4] = {n, s->crop[0], s->crop[1], s->crop[2]};
    const int64_t both[2] = {n, s->classes};
    mf_array *a;
    mf_random random;
    ok(mf_tensors_make(t, "images", MF_F32, 4, shape, &a));
    mf_random_seed(&random, GOLDEN_INPUTS, "images", 0);
    for (int64_t i = 0; i < mf_array_count(a); i++)
        ((float *)a->data)[i] = (float)mf_random_uniform(&random, -1, 1);
    ok(mf_tensors_make(t, "target", multi ? MF_F32 : MF_I64, multi ? 2 : 1, both, &a));
    for (int64_t i = 0; i < n; i++) {
        if (!multi)
            ((int64_t *)a->data)[i] = i % s->classes;
        for (int64_t c = 0; c < s->classes && multi; c++)
            ((float *)a->data)[i * s->classes + c] = (float)(i >> c & 1);
    }
    ok(mf_tensors_make(t, multi ? "pos_weight" : "class_weights", MF_F32, 1, &s->classes, &a));
    memcpy(a->data, multi ? pos_weight : class_weights, a->bytes);
}

static void run(const sizes *s, const mf_parity *o, bool multi, mf_tensors *out)
{
    mf_tensors weights = {0}, in = {0};
    mf_device *device;
    draw_encoder(s, &weights);
    draw_head(s, o->pooling, &weights);
    draw_inputs(s, multi, o->steps, &in);
    ok(mf_device_open("", &device));
    ok(mf_parity_classify(device, o, &weights, &in, out));
    mf_device_unref(device);
    mf_tensors_clear(&weights);
    mf_tensors_clear(&in);
}

static const struct {
    const char *name, *pooling;
    bool multi;
} kinds[] = {{"attention", "attention", false},
             {"mean", "mean", false},
             {"max", "max", false},
             {"none", "none", false},
             {"multi", "attention", true}};

/* golden_compare, by the name without the kind of head. */
static void compare(const mf_tensors *golden, const char *stored, const char *name,
                    const mf_array *ours, golden_tally *t)
{
    if (golden_is_gradient(name))
        golden_compare_gradient(golden, stored, name, ours, t);
    else
        golden_compare(golden, stored, name, ours, t);
}

START_TEST(one_step)
{
    mf_tensors golden = {0}, out = {0};
    golden_tally t = {0};
    sizes s;
    mf_parity o = options;
    o.pooling = kinds[_i].pooling;
    o.steps = 1;
    golden_read("classify", &golden);
    read_sizes(&golden, &s);
    run(&s, &o, kinds[_i].multi, &out);
    int compared = 0;
    for (size_t i = 0; i < out.count; i++) {
        char stored[256];
        const char *name = out.item[i].name;
        snprintf(stored, sizeof stored, "%s.%s", kinds[_i].name, name);
        /* A softmax does not see its bias: zero gradient. */
        if (!mf_tensors_find(&golden, stored) || strstr(name, "attention.2.bias"))
            continue;
        compare(&golden, stored, name, out.item[i].array, &t);
        compared++;
    }
    const double median = golden_quantile(&t, 0.5), nearly_all = golden_quantile(&t, 0.9);
    printf("classify, %s: %d values at most %.2f; %d gradients and stepped weights %.2f in the "
           "median, 90%% at most %.2f\n",
           kinds[_i].name, t.values, t.most, t.gradients, median, nearly_all);
    ck_assert_int_ge(compared, 3 + 2 * 5);
    ck_assert_int_eq(t.worse, 0);
    ck_assert_double_le(median, 1.5);
    ck_assert_double_le(nearly_all, 3);
    mf_tensors_clear(&golden);
    mf_tensors_clear(&out);
}
END_TEST

/* The losses of ten steps: within 1e-3 of float64, or twice PyTorch's own float32. */
START_TEST(ten_steps)
{
    mf_tensors golden = {0}, out = {0};
    double most = 0, theirs = 0;
    sizes s;
    mf_parity o = options;
    golden_read("classify", &golden);
    read_sizes(&golden, &s);
    o.pooling = "attention";
    o.steps = s.steps;
    run(&s, &o, false, &out);
    const double *exact = mf_tensors_find(&golden, "ten.losses")->data;
    const double *drift = mf_tensors_find(&golden, "ten.drift")->data;
    const float *ours = mf_tensors_find(&out, "losses")->data;
    for (int64_t i = 0; i < s.steps; i++) {
        const double apart = fabs((double)ours[i] - exact[i]);
        ck_assert_msg(apart <= fmax(1e-3, 2 * drift[i]), "step %d: %g, not %g", (int)i + 1,
                      (double)ours[i], exact[i]);
        most = fmax(most, apart);
        theirs = fmax(theirs, drift[i]);
    }
    printf("classify: the losses of %d steps lie within %.2e of float64, PyTorch's float32 within "
           "%.2e\n",
           (int)s.steps, most, theirs);
    mf_tensors_clear(&golden);
    mf_tensors_clear(&out);
}
END_TEST

/* A frozen encoder gives the same logits and gradients of the head, and none of its own. */
START_TEST(frozen)
{
    mf_tensors golden = {0}, whole = {0}, out = {0};
    sizes s;
    mf_parity o = options;
    golden_read("classify", &golden);
    read_sizes(&golden, &s);
    o.pooling = "attention";
    o.steps = 1;
    run(&s, &o, false, &whole);
    o.frozen = true;
    run(&s, &o, false, &out);
    for (size_t i = 0; i < out.count; i++) {
        const char *name = out.item[i].name;
        const mf_array *a = out.item[i].array, *b = mf_tensors_find(&whole, name);
        ck_assert_msg(!strstr(name, "encoder."), "%s", name);
        if (!strncmp(name, "grad.", 5) || !strcmp(name, "logits") || !strcmp(name, "loss"))
            ck_assert_msg(!memcmp(a->data, b->data, a->bytes), "%s", name);
    }
    ck_assert_ptr_nonnull(mf_tensors_find(&out, "grad.fc.weight"));
    mf_tensors_clear(&golden);
    mf_tensors_clear(&whole);
    mf_tensors_clear(&out);
}
END_TEST

START_TEST(wrong_inputs)
{
    mf_tensors golden = {0}, weights = {0}, in = {0}, out = {0};
    mf_device *device;
    sizes s;
    mf_parity o = options;
    golden_read("classify", &golden);
    read_sizes(&golden, &s);
    draw_encoder(&s, &weights);
    o.pooling = "mean";
    draw_inputs(&s, false, 1, &in);
    ok(mf_device_open("", &device));
    fails(mf_parity_classify(device, &o, &weights, &in, &out),
          "not a classifier: it has no matrix fc.weight");
    /* a head for maps of other channels */
    draw(&weights, "fc.weight", 2, (const int64_t[]){s.classes, 64});
    draw(&weights, "fc.bias", 1, &s.classes);
    fails(mf_parity_classify(device, &o, &weights, &in, &out),
          "tensor fc.weight is [3,64], the model's is [3,96]");
    ((int64_t *)mf_tensors_find(&in, "target")->data)[1] = 3;
    fails(mf_parity_classify(device, &o, &weights, &in, &out), "target 3 is not a class (0 to 2)");
    o.steps = 3;
    ((int64_t *)mf_tensors_find(&in, "target")->data)[1] = 2;
    fails(mf_parity_classify(device, &o, &weights, &in, &out), "4 images are not 3 equal batches");
    mf_device_unref(device);
    mf_tensors_clear(&golden);
    mf_tensors_clear(&weights);
    mf_tensors_clear(&in);
    mf_tensors_clear(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("classify");
    TCase *tests = tcase_create("pytorch");
    tcase_set_timeout(tests, 0);
    tcase_add_loop_test(tests, one_step, 0, sizeof kinds / sizeof *kinds);
    tcase_add_test(tests, ten_steps);
    tcase_add_test(tests, frozen);
    tcase_add_test(tests, wrong_inputs);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
