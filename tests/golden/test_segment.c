/* test_segment.c - embeddings averaged over labelled images and evaluate.py's windows against
 * PyTorch: results of float64 stored by tools/reference/golden_segment.py. */
#include "../expect.h"
#include "../run_suite.h"
#include "golden.h"
#include "parity.h"

#include "iris.h"
#include "model.h"

#include <check.h>
#include <massflow/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- drawing, as golden_segment.py does ------------------------------------------------------ */

static const int64_t *stored(const mf_tensors *golden, const char *name)
{
    return mf_tensors_find(golden, name)->data;
}

static void draw_model(const mf_tensors *golden, mf_tensors *t)
{
    mf_iris iris = {.positions = 128};
    mf_device *device;
    mf_weights *w;
    memcpy(iris.channels, stored(golden, "channels"), sizeof iris.channels);
    memcpy(iris.blocks, stored(golden, "blocks"), sizeof iris.blocks);
    ok(mf_device_open("", &device));
    ok(mf_weights_new(device, &w));
    ok(mf_model_declare(w, &iris));
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_array *a;
        mf_weights_info(w, i, &info);
        ok(mf_tensors_make(t, info.name, MF_F32, info.rank, info.shape, &a));
        golden_draw_weight(info.name, info.rank, info.shape, a->data);
    }
    mf_weights_free(w);
    mf_device_unref(device);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* The voxels of ellipsoid k (`inside` of golden.py) become `value`. */
static void draw_ellipsoid(const int64_t size[3], int64_t k, int64_t shift, uint8_t value,
                           uint8_t *voxels)
{
    int64_t center[3], half[3], v[3];
    for (int64_t a = 0; a < 3; a++) {
        center[a] = size[a] / 2 + floor_div(((k * (3 + a) + shift) % 7 - 3) * size[a], 16);
        half[a] = size[a] / (3 + (k + a) % 3) > 2 ? size[a] / (3 + (k + a) % 3) : 2;
    }
    for (v[0] = 0; v[0] < size[0]; v[0]++)
        for (v[1] = 0; v[1] < size[1]; v[1]++)
            for (v[2] = 0; v[2] < size[2]; v[2]++, voxels++) {
                int64_t r = 0;
                for (int a = 0; a < 3; a++) {
                    int64_t d = floor_div((v[a] - center[a]) * 64, half[a]);
                    r += d * d;
                }
                *voxels = r < 4096 ? value : *voxels;
            }
}

static void draw_noise(const char *name, int rank, const int64_t *shape, const char *as,
                       mf_tensors *t)
{
    mf_array *a;
    mf_random random;
    ok(mf_tensors_make(t, as, MF_F32, rank, shape, &a));
    mf_random_seed(&random, GOLDEN_INPUTS, name, 0);
    for (int64_t i = 0; i < mf_array_count(a); i++)
        ((float *)a->data)[i] = (float)mf_random_uniform(&random, -1, 1);
}

static void draw_labelled(const mf_tensors *golden, mf_tensors *t)
{
    const int64_t *size = stored(golden, "size"), n = *stored(golden, "images");
    const int64_t shape[4] = {n, size[0], size[1], size[2]};
    mf_array *labels;
    draw_noise("images", 4, shape, "images", t);
    ok(mf_tensors_make(t, "labels", MF_U8, 4, shape, &labels));
    for (int64_t i = 0; i < n; i++) {
        uint8_t *image = (uint8_t *)labels->data + i * size[0] * size[1] * size[2];
        draw_ellipsoid(size, 1, i, 1, image);
        if (i + 1 < n)
            draw_ellipsoid(size, 4, i, 2, image);
    }
}

/* The reference of golden.py with two masks: an ellipsoid, and all. */
static void draw_reference(const int64_t crop[3], mf_tensors *t)
{
    const int64_t voxels = crop[0] * crop[1] * crop[2], shape[4] = {2, crop[0], crop[1], crop[2]};
    mf_array *masks;
    draw_noise("reference", 3, crop, "reference", t);
    ok(mf_tensors_make(t, "reference_masks", MF_U8, 4, shape, &masks));
    uint8_t *m = masks->data;
    float *x = mf_tensors_find(t, "reference")->data;
    draw_ellipsoid(crop, 0, 1, 1, m);
    memset(m + voxels, 1, (size_t)voxels);
    for (int64_t v = 0; v < voxels; v++)
        x[v] = 0.5f * x[v] - 0.75f * m[v];
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void compare(const mf_tensors *golden, const char *prefix, const char *name,
                    const mf_tensors *out, golden_tally *t)
{
    char full[64];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    golden_compare(golden, full, name, mf_tensors_find(out, name), t);
}

static void averages(bool evaluate)
{
    const mf_parity options = {.size = 32, .evaluate = evaluate};
    const char *prefix = evaluate ? "middle" : "mean";
    mf_tensors golden = {0}, weights = {0}, in = {0}, out = {0};
    mf_device *device;
    golden_tally t = {0};
    golden_read("segment", &golden);
    draw_model(&golden, &weights);
    draw_labelled(&golden, &in);
    ok(mf_device_open("", &device));
    ok(mf_parity_embed(device, &options, &weights, &in, &out));
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "tokens.%d", i);
        compare(&golden, prefix, name, &out, &t);
    }
    printf("embeddings, %s voxel: %.2f times\n", prefix, t.most);
    ck_assert_int_eq(t.worse, 0);
    mf_device_unref(device);
    mf_tensors_clear(&golden);
    mf_tensors_clear(&weights);
    mf_tensors_clear(&in);
    mf_tensors_clear(&out);
}

START_TEST(averages_as_fine_tuning_starts)
{
    averages(false);
}
END_TEST

START_TEST(averages_as_evaluate_does)
{
    averages(true);
}
END_TEST

START_TEST(windows_as_evaluate_does)
{
    const mf_parity options = {.overlap = 0.5, .evaluate = true};
    mf_tensors golden = {0}, weights = {0}, in = {0}, out = {0};
    mf_device *device;
    golden_tally t = {0};
    golden_read("segment", &golden);
    draw_model(&golden, &weights);
    draw_reference(stored(&golden, "crop"), &in);
    draw_noise("image", 3, stored(&golden, "size"), "target", &in);
    ok(mf_device_open("", &device));
    ok(mf_parity_window(device, &options, &weights, &in, &out));
    compare(&golden, "uniform", "probability", &out, &t);
    printf("uniform windows: %.2f times\n", t.most);
    ck_assert_int_eq(t.worse, 0);
    mf_device_unref(device);
    mf_tensors_clear(&golden);
    mf_tensors_clear(&weights);
    mf_tensors_clear(&in);
    mf_tensors_clear(&out);
}
END_TEST

START_TEST(what_cannot_be_averaged_is_refused)
{
    const mf_parity options = {.size = 32};
    mf_tensors golden = {0}, weights = {0}, in = {0}, out = {0};
    mf_device *device;
    golden_read("segment", &golden);
    draw_model(&golden, &weights);
    draw_labelled(&golden, &in);
    ok(mf_device_open("", &device));
    mf_array *labels = mf_tensors_find(&in, "labels");
    uint8_t *v = labels->data;
    for (int64_t i = 0; i < mf_array_count(labels); i++)
        v[i] = v[i] == 2 ? 3 : v[i];
    fails(mf_parity_embed(device, &options, &weights, &in, &out), "no image shows label 2");
    memset(v, 0, labels->bytes);
    fails(mf_parity_embed(device, &options, &weights, &in, &out),
          "input labels has no label other than 0");
    mf_device_unref(device);
    mf_tensors_clear(&golden);
    mf_tensors_clear(&weights);
    mf_tensors_clear(&in);
    mf_tensors_clear(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segment");
    TCase *tests = tcase_create("pytorch");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, averages_as_fine_tuning_starts);
    tcase_add_test(tests, averages_as_evaluate_does);
    tcase_add_test(tests, windows_as_evaluate_does);
    tcase_add_test(tests, what_cannot_be_averaged_is_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
