/* MASS with an I3D-ResNet as its encoder against PyTorch: results of float64 stored by
 * tools/reference/golden_i3d.py. Values, gradients, one step and the running statistics after it,
 * with the batch statistics and with frozen ones. */
#include "../expect.h"
#include "../run_suite.h"
#include "golden.h"
#include "parity.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static void configuration(const mf_tensors *golden, mf_iris *iris, int64_t crop[3], int64_t *k)
{
    const int64_t *i3d = mf_tensors_find(golden, "i3d")->data;
    *iris = (mf_iris){.positions = 128, .i3d = {i3d[0], {i3d[1], i3d[2], i3d[3], i3d[4]}}};
    memcpy(iris->channels, mf_tensors_find(golden, "channels")->data, sizeof iris->channels);
    memcpy(iris->blocks, mf_tensors_find(golden, "blocks")->data, sizeof iris->blocks);
    memcpy(crop, mf_tensors_find(golden, "crop")->data, 3 * sizeof *crop);
    *k = *(const int64_t *)mf_tensors_find(golden, "masks")->data;
}

static bool is_result(const char *stored)
{
    static const char *const others[] = {"channels", "blocks", "crop", "masks", "i3d"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(stored, others[i]))
            return false;
    return stored[strlen(stored) - 1] != '~';
}

/* Whether PyTorch's gradient is 0 but for rounding: a norm follows. */
static bool no_gradient(const mf_tensors *golden, const char *prefix, const char *parameter)
{
    char key[256];
    snprintf(key, sizeof key, "%sgrad.%s~", prefix, parameter);
    const mf_array *facts = mf_tensors_find(golden, key);
    return facts && ((const double *)facts->data)[1] < 1e-12;
}

/* By the name without "frozen.". */
static void compare_one(const mf_tensors *golden, const char *stored, const char *name,
                        const mf_array *ours, golden_tally *t)
{
    if (golden_is_gradient(name))
        golden_compare_gradient(golden, stored, name, ours, t);
    else
        golden_compare(golden, stored, name, ours, t);
}

static void compare(bool frozen)
{
    const mf_parity options = {.rate = 0.002, .weight_decay = 1e-5, .frozen = frozen};
    const char *prefix = frozen ? "frozen." : "";
    mf_tensors golden = {0}, weights = {0}, in = {0}, out = {0};
    mf_iris iris;
    mf_device *device;
    int64_t crop[3], k;
    int followed = 0;
    golden_tally t = {0};
    golden_read("i3d", &golden);
    configuration(&golden, &iris, crop, &k);
    golden_draw_model(&iris, &weights);
    golden_draw_inputs(crop, k, &in);
    ok(mf_device_open("", &device));
    ok(mf_parity_iris(device, &options, &weights, &in, &out));
    for (size_t i = 0; i < golden.count; i++) {
        const char *stored = golden.item[i].name, *name = stored + strlen(prefix);
        const bool other = !strncmp(stored, "frozen.", 7) != frozen;
        if (other || !is_result(stored))
            continue;
        const char *dot = strchr(name, '.');
        if (dot && no_gradient(&golden, prefix, dot + 1))
            continue;
        followed += strstr(name, "running") != NULL;
        compare_one(&golden, stored, name, mf_tensors_find(&out, name), &t);
    }
    for (size_t i = 0; i < weights.count && frozen; i++) { /* to the bit what they were */
        char after[256];
        const mf_array *a = weights.item[i].array;
        snprintf(after, sizeof after, "after.%s", weights.item[i].name);
        if (strstr(after, "running"))
            ck_assert_mem_eq(mf_tensors_find(&out, after)->data, a->data, a->bytes);
    }
    double median = golden_quantile(&t, 0.5), nearly_all = golden_quantile(&t, 0.9);
    printf("%s: distance from float64 over that of PyTorch's float32: %d values at most %.2f; %d "
           "gradients and stepped weights %.2f in the median, 90%% at most %.2f\n",
           frozen ? "frozen" : "batch statistics", t.values, t.most, t.gradients, median,
           nearly_all);
    ck_assert_int_eq(followed, frozen ? 0 : 2 * 20);
    ck_assert_int_eq(t.worse, 0);
    ck_assert_double_le(median, 1.5);
    ck_assert_double_le(nearly_all, 3);
    mf_device_unref(device);
    mf_tensors_clear(&golden);
    mf_tensors_clear(&weights);
    mf_tensors_clear(&in);
    mf_tensors_clear(&out);
}

START_TEST(batch_statistics)
{
    compare(false);
}
END_TEST

START_TEST(frozen_statistics)
{
    compare(true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("golden_i3d");
    TCase *tests = tcase_create("i3d");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, batch_statistics);
    tcase_add_test(tests, frozen_statistics);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
