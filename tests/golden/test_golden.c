/* The model against PyTorch: results of float64 stored by tools/reference/golden.py, and how far
 * PyTorch's own float32 lies from them. Weights and inputs are drawn here as there. */
#include "../expect.h"
#include "../run_suite.h"
#include "golden.h"
#include "parity.h"

#include "iris.h"
#include "model.h"

#include <check.h>
#include <massflow/random.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- comparing ------------------------------------------------------------------------------- */

/* Parameters whose gradient is exactly zero (a norm follows a bias): LAMB blows their rounding
 * noise up to steps of full length, which have no effect. Their gradient is compared with 0. */
static bool no_gradient(const mf_tensors *golden, const char *parameter)
{
    char key[256];
    snprintf(key, sizeof key, "grad.%s~", parameter);
    const mf_array *facts = mf_tensors_find(golden, key);
    return facts && ((const double *)facts->data)[1] < 1e-12;
}

static void configuration(const mf_tensors *golden, mf_iris *iris, int64_t crop[3], int64_t *k)
{
    *iris = (mf_iris){.positions = 128};
    memcpy(iris->channels, mf_tensors_find(golden, "channels")->data, sizeof iris->channels);
    memcpy(iris->blocks, mf_tensors_find(golden, "blocks")->data, sizeof iris->blocks);
    memcpy(crop, mf_tensors_find(golden, "crop")->data, 3 * sizeof *crop);
    *k = *(const int64_t *)mf_tensors_find(golden, "masks")->data;
}

static void compare_iris(const char *name)
{
    const mf_parity options = {.rate = 0.002, .weight_decay = 1e-5};
    mf_tensors golden = {0}, weights = {0}, in = {0}, out = {0};
    mf_iris iris;
    mf_device *device;
    int64_t crop[3], k;
    golden_tally t = {0};
    int zero = 0;
    golden_read(name, &golden);
    configuration(&golden, &iris, crop, &k);
    golden_draw_model(&iris, &weights);
    golden_draw_inputs(crop, k, &in);
    ok(mf_device_open("", &device));
    ok(mf_parity_iris(device, &options, &weights, &in, &out));

    double whole = ((const double *)mf_tensors_find(&golden, "norm~")->data)[1];
    for (size_t i = 0; i < golden.count; i++) {
        const char *stored = golden.item[i].name, *dot = strchr(stored, '.');
        if (stored[strlen(stored) - 1] == '~' || !strcmp(stored, "channels") ||
            !strcmp(stored, "blocks") || !strcmp(stored, "crop") || !strcmp(stored, "masks"))
            continue;
        const mf_array *ours = mf_tensors_find(&out, stored);
        if (!dot || !no_gradient(&golden, dot + 1)) {
            golden_compare(&golden, stored, stored, ours, &t);
        } else if (!strncmp(stored, "grad.", 5)) {
            double sum = 0;
            for (int64_t n = 0; n < mf_array_count(ours); n++)
                sum +=
                    (double)((const float *)ours->data)[n] * (double)((const float *)ours->data)[n];
            /* Rounding of the whole gradient's terms: one part in 2^24 of it, each of ~100 ops. */
            ck_assert_msg(sqrt(sum) <= 100 * 0x1p-24 * whole, "%s: %g", stored, sqrt(sum));
            zero++;
        }
    }
    double median = golden_quantile(&t, 0.5), nearly_all = golden_quantile(&t, 0.9);
    printf("%s: distance from float64 over that of PyTorch's float32: %d values at most %.2f; %d "
           "gradients and stepped weights %.2f in the median, 90%% at most %.2f\n",
           name, t.values, t.most, t.gradients, median, nearly_all);
    ck_assert_int_eq(zero, 6);
    ck_assert_int_eq(t.worse, 0);
    ck_assert_double_le(median, 1.5);
    ck_assert_double_le(nearly_all, 3);
    mf_device_unref(device);
    mf_tensors_clear(&golden);
    mf_tensors_clear(&weights);
    mf_tensors_clear(&in);
    mf_tensors_clear(&out);
}

START_TEST(small_model)
{
    compare_iris("iris_small");
}
END_TEST

START_TEST(wide_model)
{
    compare_iris("iris_wide");
}
END_TEST

START_TEST(classifier)
{
    static const char *const kinds[] = {"attention", "mean", "max"};
    static const char *const names[] = {"pool.attention.0.weight",
                                        "pool.attention.0.bias",
                                        "pool.attention.2.weight",
                                        "pool.attention.2.bias",
                                        "fc.weight",
                                        "fc.bias"};
    mf_tensors golden = {0};
    mf_device *device;
    golden_read("head", &golden);
    ok(mf_device_open("", &device));
    const int64_t *s = mf_tensors_find(&golden, "shape")->data;
    const int64_t c = s[1], classes = s[5];
    const int64_t shapes[6][5] = {{c / 4, c, 1, 1, 1}, {c / 4},  {1, c / 4, 1, 1, 1}, {1},
                                  {classes, c},        {classes}};
    const int ranks[6] = {5, 1, 5, 1, 2, 1};
    for (int kind = 0; kind < 3; kind++) {
        const mf_parity options = {.rate = 1e-4, .weight_decay = 1e-4, .pooling = kinds[kind]};
        mf_tensors weights = {0}, in = {0}, out = {0};
        mf_array *a;
        mf_random random;
        golden_tally t = {0};
        for (int i = kind ? 4 : 0; i < 6; i++) {
            char full[64];
            snprintf(full, sizeof full, "head.%s", names[i]);
            ok(mf_tensors_make(&weights, names[i], MF_F32, ranks[i], shapes[i], &a));
            golden_draw_weight(full, ranks[i], shapes[i], a->data);
        }
        ok(mf_tensors_make(&in, "features", MF_F32, 5, s, &a));
        mf_random_seed(&random, GOLDEN_INPUTS, "features", 0);
        for (int64_t i = 0; i < mf_array_count(a); i++)
            ((float *)a->data)[i] = (float)mf_random_uniform(&random, -1, 1);
        ok(mf_tensors_make(&in, "target", MF_I64, 1, s, &a));
        for (int64_t i = 0; i < s[0]; i++)
            ((int64_t *)a->data)[i] = i % classes;
        ok(mf_parity_head(device, &options, &weights, &in, &out));
        for (size_t i = 0; i < out.count; i++) {
            char stored[96];
            const char *name = out.item[i].name;
            snprintf(stored, sizeof stored, "%s.%s", kinds[kind], name);
            /* A softmax does not see its bias: zero gradient, as above. */
            if (strcmp(name, "norm") && !strstr(name, "attention.2.bias"))
                golden_compare(&golden, stored, name, out.item[i].array, &t);
        }
        printf("%s head: %d tensors, at most %.2f times\n", kinds[kind], t.values, t.most);
        ck_assert_int_eq(t.gradients, 0); /* no ReLU tips over: all are judged as values */
        ck_assert_int_eq(t.worse, 0);
        mf_tensors_clear(&weights);
        mf_tensors_clear(&in);
        mf_tensors_clear(&out);
    }
    mf_device_unref(device);
    mf_tensors_clear(&golden);
}
END_TEST

START_TEST(sliding_window)
{
    const mf_parity options = {.overlap = 0.5};
    mf_tensors golden = {0}, weights = {0}, in = {0}, given = {0}, out = {0};
    mf_iris iris;
    mf_device *device;
    mf_array *image;
    mf_random random;
    int64_t crop[3], k;
    golden_tally t = {0};
    golden_read("window", &golden);
    configuration(&golden, &iris, crop, &k);
    golden_draw_model(&iris, &weights);
    golden_draw_inputs(crop, k, &in);
    for (size_t i = 0; i < in.count; i++) /* all but the target, which is another size here */
        if (!strncmp(in.item[i].name, "reference", 9))
            ok(mf_tensors_add(&given, in.item[i].name, mf_array_ref(in.item[i].array)));
    ok(mf_tensors_make(&given, "target", MF_F32, 3, mf_tensors_find(&golden, "size")->data,
                       &image));
    mf_random_seed(&random, GOLDEN_INPUTS, "image", 0);
    for (int64_t i = 0; i < mf_array_count(image); i++)
        ((float *)image->data)[i] = (float)mf_random_uniform(&random, -1, 1);
    ok(mf_device_open("", &device));
    ok(mf_parity_window(device, &options, &weights, &given, &out));
    golden_compare(&golden, "probability", "probability", mf_tensors_find(&out, "probability"), &t);
    printf("window: %.2f times\n", t.most);
    ck_assert_int_eq(t.worse, 0);
    mf_device_unref(device);
    mf_tensors_clear(&golden);
    mf_tensors_clear(&weights);
    mf_tensors_clear(&in);
    mf_tensors_clear(&given);
    mf_tensors_clear(&out);
}
END_TEST

/* A case of its own: CK_RUN_CASE chooses it. */
static void add(Suite *suite, const char *name, const TTest *test)
{
    TCase *tests = tcase_create(name);
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, test);
    suite_add_tcase(suite, tests);
}

int main(void)
{
    Suite *suite = suite_create("golden");
    add(suite, "small_model", small_model);
    add(suite, "wide_model", wide_model);
    add(suite, "classifier", classifier);
    add(suite, "sliding_window", sliding_window);
    return run_suite(suite);
}
