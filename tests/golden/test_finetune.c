/* Fine-tuning against PyTorch: one step in each mode, and the losses of ten. Results of float64 are
 * stored by tools/reference/golden_finetune.py; weights and inputs are drawn here as there. */
#include "../expect.h"
#include "../run_suite.h"
#include "golden.h"
#include "parity.h"

#include <check.h>
#include <massflow/random.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N = 2, STEPS = 10 };

typedef struct golden_model {
    mf_tensors golden, weights;
    mf_iris iris;
    int64_t crop[3], k;
    mf_device *device;
} golden_model;

static void open_model(golden_model *m)
{
    *m = (golden_model){.iris.positions = 128};
    golden_read("finetune", &m->golden);
    memcpy(m->iris.channels, mf_tensors_find(&m->golden, "channels")->data,
           sizeof m->iris.channels);
    memcpy(m->iris.blocks, mf_tensors_find(&m->golden, "blocks")->data, sizeof m->iris.blocks);
    memcpy(m->crop, mf_tensors_find(&m->golden, "crop")->data, sizeof m->crop);
    m->k = *(const int64_t *)mf_tensors_find(&m->golden, "masks")->data;
    golden_draw_model(&m->iris, &m->weights);
    ok(mf_device_open("", &m->device));
}

static void close_model(golden_model *m)
{
    mf_tensors_clear(&m->golden);
    mf_tensors_clear(&m->weights);
    mf_device_unref(m->device);
}

/* Batch t of golden_finetune.py: the last class is not in the first image. */
static void draw_batch(const golden_model *m, int64_t t, mf_tensors *in)
{
    const int64_t voxels = m->crop[0] * m->crop[1] * m->crop[2];
    const int64_t shape[4] = {N, m->crop[0], m->crop[1], m->crop[2]};
    static uint8_t mask[32 * 32 * 32];
    mf_array *images, *labels, *tokens;
    ck_assert_int_eq(voxels, sizeof mask);
    ok(mf_tensors_make(in, "images", MF_F32, 4, shape, &images));
    ok(mf_tensors_make(in, "labels", MF_U8, 4, shape, &labels));
    for (int64_t n = 0; n < N; n++) {
        float *x = (float *)images->data + n * voxels;
        uint8_t *label = (uint8_t *)labels->data + n * voxels;
        char name[32];
        mf_random random;
        for (int64_t k = 0; k < (n ? m->k : m->k - 1); k++) {
            golden_draw_mask(m->crop, k, 2 * t + n, mask);
            for (int64_t v = 0; v < voxels; v++)
                label[v] = mask[v] ? (uint8_t)(k + 1) : label[v];
        }
        snprintf(name, sizeof name, "image.%d.%d", (int)t, (int)n);
        mf_random_seed(&random, GOLDEN_INPUTS, name, 0);
        for (int64_t v = 0; v < voxels; v++)
            x[v] = 0.5f * (float)mf_random_uniform(&random, -1, 1);
        for (int64_t v = 0; v < voxels; v++)
            x[v] += label[v] == 0 ? 0 : label[v] % 2 ? -0.75f : 0.5f;
    }
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        const int64_t size[3] = {m->k, MF_IRIS_TOKENS, m->iris.channels[4 - i]};
        char name[16], drawn[32];
        snprintf(name, sizeof name, "tokens.%d", i);
        snprintf(drawn, sizeof drawn, "tokens.%d.embedding", i);
        ok(mf_tensors_make(in, name, MF_F32, 3, size, &tokens));
        golden_draw_weight(drawn, 3, size, tokens->data);
    }
}

/* Parameters whose gradient is exactly zero (a norm follows a bias): AdamW makes full steps of
 * their rounding noise, which have no effect. */
static bool no_gradient(const mf_tensors *golden, const char *mode, const char *parameter)
{
    char key[256];
    snprintf(key, sizeof key, "grad.%s.%s~", mode, parameter);
    const mf_array *facts = mf_tensors_find(golden, key);
    return facts && ((const double *)facts->data)[1] < 1e-12;
}

static void compare_step(const char *mode, int outputs, int zero)
{
    const mf_parity options = {.rate = 0.0005, .weight_decay = 0.001, .mode = mode};
    golden_model m;
    mf_tensors in = {0}, out = {0};
    static golden_tally t;
    int skipped = 0, compared = 0;
    t = (golden_tally){0};
    open_model(&m);
    draw_batch(&m, 0, &in);
    ok(mf_parity_finetune(m.device, &options, &m.weights, &in, &out));
    for (size_t i = 0; i < out.count; i++) {
        char stored[256];
        const char *name = out.item[i].name, *dot = strchr(name, '.');
        if (!strcmp(name, "norm"))
            snprintf(stored, sizeof stored, "grad.%s", mode);
        else if (dot)
            snprintf(stored, sizeof stored, "%.*s.%s%s", (int)(dot - name), name, mode, dot);
        else
            snprintf(stored, sizeof stored, "%s.%s", mode, name);
        compared++;
        if (dot && no_gradient(&m.golden, mode, dot + 1))
            skipped++;
        else
            golden_compare(&m.golden, stored, name, out.item[i].array, &t);
    }
    double median = golden_quantile(&t, 0.5), nearly_all = golden_quantile(&t, 0.9);
    printf("%s: distance from float64 over that of PyTorch's float32: %d values at most %.2f; %d "
           "gradients and stepped weights %.2f in the median, 90%% at most %.2f\n",
           mode, t.values, t.most, t.gradients, median, nearly_all);
    ck_assert_int_eq(compared, outputs);
    ck_assert_int_eq(skipped, zero);
    ck_assert_int_eq(t.worse, 0);
    ck_assert_double_le(median, 1.5);
    ck_assert_double_le(nearly_all, 3);
    mf_tensors_clear(&in);
    mf_tensors_clear(&out);
    close_model(&m);
}

START_TEST(full_step)
{
    compare_step("full", 573, 6);
}
END_TEST

START_TEST(probing_step)
{
    compare_step("probing", 31, 0);
}
END_TEST

/* Each loss within 1e-3 or twice PyTorch's own drift from float64. */
START_TEST(ten_steps)
{
    const mf_parity options = {.rate = 0.0005, .weight_decay = 0.001, .mode = "full"};
    golden_model m;
    mf_tensors in[STEPS] = {{0}};
    double curve[STEPS], most = 0, theirs = 0;
    open_model(&m);
    for (int i = 0; i < STEPS; i++)
        draw_batch(&m, i, &in[i]);
    ok(mf_parity_finetune_curve(m.device, &options, &m.weights, in, STEPS, curve));
    const double *exact = mf_tensors_find(&m.golden, "curve")->data;
    const double *drift = mf_tensors_find(&m.golden, "curve~")->data;
    for (int i = 0; i < STEPS; i++) {
        double apart = fabs(curve[i] - exact[i]);
        printf("step %d: loss %.6f, float64 %.6f, apart %.1e, PyTorch's float32 %.1e\n", i + 1,
               curve[i], exact[i], apart, drift[i]);
        ck_assert_double_le(apart, fmax(1e-3, 2 * drift[i]));
        most = fmax(most, apart);
        theirs = fmax(theirs, drift[i]);
        mf_tensors_clear(&in[i]);
    }
    printf("ten steps: at most %.1e from float64; PyTorch's float32 %.1e\n", most, theirs);
    close_model(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("finetune");
    TCase *tests = tcase_create("pytorch");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, full_step);
    tcase_add_test(tests, probing_step);
    tcase_add_test(tests, ten_steps);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
