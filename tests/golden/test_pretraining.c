/* Pretraining against PyTorch: the losses of ten steps, the weights and their averages after them.
 * Results of float64 are stored by tools/reference/golden_pretraining.py; weights and inputs are
 * drawn here as there. */
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

enum { N = 2, STEPS = 10 };

/* One view of golden_pretraining.py: its image, and masks of which the first `objects` and the last
 * one, the whole crop, are not empty. */
static void draw_view(const char *name, const int64_t crop[3], int64_t k, int64_t shift,
                      int64_t objects, float *image, uint8_t *masks)
{
    const int64_t voxels = crop[0] * crop[1] * crop[2];
    mf_random random;
    mf_random_seed(&random, GOLDEN_INPUTS, name, 0);
    for (int64_t v = 0; v < voxels; v++)
        image[v] = 0.5f * (float)mf_random_uniform(&random, -1, 1);
    for (int64_t i = 0; i < objects; i++) {
        uint8_t *mask = masks + i * voxels;
        golden_draw_mask(crop, i, shift, mask);
        for (int64_t v = 0; v < voxels; v++)
            image[v] += mask[v] * (i % 2 ? 0.5f : -0.75f);
    }
    memset(masks + (k - 1) * voxels, 1, (size_t)voxels);
}

/* The pairs of all steps. The first query of each batch lacks an object. */
static void draw_pairs(const int64_t crop[3], int64_t k, mf_tensors *in)
{
    const int64_t voxels = crop[0] * crop[1] * crop[2];
    const int64_t shape[4] = {STEPS * N, crop[0], crop[1], crop[2]};
    const int64_t masks_shape[5] = {STEPS * N, k, crop[0], crop[1], crop[2]};
    mf_array *query, *reference, *query_masks, *reference_masks;
    ok(mf_tensors_make(in, "target", MF_F32, 4, shape, &query));
    ok(mf_tensors_make(in, "reference", MF_F32, 4, shape, &reference));
    ok(mf_tensors_make(in, "target_masks", MF_U8, 5, masks_shape, &query_masks));
    ok(mf_tensors_make(in, "reference_masks", MF_U8, 5, masks_shape, &reference_masks));
    for (int64_t i = 0; i < STEPS * N; i++) {
        const int t = (int)(i / N), n = (int)(i % N);
        char name[32];
        snprintf(name, sizeof name, "query.%d.%d", t, n);
        draw_view(name, crop, k, 4 * t + 2 * n, n ? k - 1 : k - 2,
                  (float *)query->data + i * voxels, (uint8_t *)query_masks->data + i * k * voxels);
        snprintf(name, sizeof name, "reference.%d.%d", t, n);
        draw_view(name, crop, k, 4 * t + 2 * n + 1, k - 1, (float *)reference->data + i * voxels,
                  (uint8_t *)reference_masks->data + i * k * voxels);
    }
}

/* The biases before a norm, whose gradient is exactly zero: LAMB makes full steps of its rounding
 * noise, which have no effect (docs/parity.md). */
static bool no_gradient(const char *name)
{
    static const char *const biases[] = {"attn_layers.1.feat_ffn.fn.fc2.bias", "merge.2.bias"};
    for (size_t i = 0; i < sizeof biases / sizeof *biases; i++)
        if (strstr(name, biases[i]))
            return true;
    return false;
}

typedef struct ten {
    mf_tensors golden, weights, in, out;
    mf_device *device;
} ten;

static void make_steps(ten *x)
{
    const mf_parity options = {
        .rate = 0.002, .weight_decay = 1e-5, .steps = STEPS, .total_steps = 40};
    mf_iris iris = {.positions = 128};
    int64_t crop[3];
    golden_read("pretraining", &x->golden);
    memcpy(iris.channels, mf_tensors_find(&x->golden, "channels")->data, sizeof iris.channels);
    memcpy(iris.blocks, mf_tensors_find(&x->golden, "blocks")->data, sizeof iris.blocks);
    memcpy(crop, mf_tensors_find(&x->golden, "crop")->data, sizeof crop);
    golden_draw_model(&iris, &x->weights);
    draw_pairs(crop, *(const int64_t *)mf_tensors_find(&x->golden, "masks")->data, &x->in);
    ok(mf_device_open("", &x->device));
    ok(mf_parity_pretrain(x->device, &options, &x->weights, &x->in, &x->out));
}

static void ten_clear(ten *x)
{
    mf_device_unref(x->device);
    mf_tensors_clear(&x->golden);
    mf_tensors_clear(&x->weights);
    mf_tensors_clear(&x->in);
    mf_tensors_clear(&x->out);
}

/* Each loss within 1e-3 or twice PyTorch's own drift from float64. */
static void compare_losses(const ten *x)
{
    const double *exact = mf_tensors_find(&x->golden, "curve")->data;
    const double *drift = mf_tensors_find(&x->golden, "curve~")->data;
    const float *ours = mf_tensors_find(&x->out, "losses")->data;
    double most = 0, theirs = 0;
    for (int i = 0; i < STEPS; i++) {
        double apart = fabs((double)ours[i] - exact[i]);
        printf("step %d: loss %.6f, float64 %.6f, apart %.1e, PyTorch's float32 %.1e\n", i + 1,
               (double)ours[i], exact[i], apart, drift[i]);
        ck_assert_double_le(apart, fmax(1e-3, 2 * drift[i]));
        most = fmax(most, apart);
        theirs = fmax(theirs, drift[i]);
    }
    printf("ten steps: at most %.1e from float64; PyTorch's float32 %.1e\n", most, theirs);
}

/* One tensor: within 1e-2 or twice PyTorch's own drift, for ten steps amplify rounding. */
static void compare_one(const ten *x, const char *name, const mf_array *ours, golden_tally *t)
{
    double theirs, apart = golden_distance(&x->golden, name, name, ours, &theirs);
    ck_assert_int_lt(t->gradients, GOLDEN_MOST);
    t->gradient[t->gradients++] = apart / theirs;
    ck_assert_msg(apart <= fmax(1e-2, 2 * theirs), "%s: %g from float64, PyTorch's float32 %g",
                  name, apart, theirs);
}

/* The weights, or their averages. */
static void compare_weights(const ten *x, bool averages)
{
    static golden_tally t;
    int skipped = 0;
    t = (golden_tally){0};
    for (size_t i = 0; i < x->out.count; i++) {
        const char *name = x->out.item[i].name;
        if (strncmp(name, "after.", 6) != 0 || !strncmp(name, "after.ema.", 10) != averages)
            continue;
        if (no_gradient(name))
            skipped++;
        else
            compare_one(x, name, x->out.item[i].array, &t);
    }
    double median = golden_quantile(&t, 0.5), nearly_all = golden_quantile(&t, 0.9);
    printf("%s: %d tensors, distance from float64 over that of PyTorch's float32: %.2f in the "
           "median, 90%% at most %.2f\n",
           averages ? "averages" : "weights", t.gradients, median, nearly_all);
    ck_assert_int_eq(skipped, 6);
    ck_assert_int_eq(t.gradients, 557 - 6);
    ck_assert_double_le(median, 1.5);
    ck_assert_double_le(nearly_all, 3);
}

START_TEST(ten_steps)
{
    ten x = {0};
    make_steps(&x);
    compare_losses(&x);
    compare_weights(&x, false);
    compare_weights(&x, true);
    ten_clear(&x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pretraining");
    TCase *tests = tcase_create("pytorch");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, ten_steps);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
