/* The parts of augment.crops: where crops lie, labels under the affine map, what is refused. */
#include "../expect.h"
#include "../run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "crop.h"

enum { NZ = 12, NY = 14, NX = 16 };

static float image_at(int64_t z, int64_t y, int64_t x)
{
    return (float)(z * 10000 + y * 100 + x);
}

static uint16_t label_at(int64_t z, int64_t y, int64_t x)
{
    return (uint16_t)(300 * (z > 5) + (y * x) % 7);
}

static mf_artifact *make_sample(bool labelled)
{
    const int64_t shape[3] = {NZ, NY, NX};
    mf_artifact *sample;
    mf_array *image, *labels;
    ok(mf_artifact_new("sample", &sample));
    ok(mf_array_new(MF_F32, 3, shape, &image));
    ok(mf_array_new(MF_U16, 3, shape, &labels));
    for (int64_t z = 0, i = 0; z < NZ; z++)
        for (int64_t y = 0; y < NY; y++)
            for (int64_t x = 0; x < NX; x++, i++) {
                ((float *)image->data)[i] = image_at(z, y, x);
                ((uint16_t *)labels->data)[i] = label_at(z, y, x);
            }
    ok(mf_artifact_add(sample, "image", image));
    if (labelled)
        ok(mf_artifact_add(sample, "labels", labels));
    mf_array_unref(image);
    mf_array_unref(labels);
    return sample;
}

static mf_artifact *make_crop(const mf_artifact *sample, const mf_crop_settings *settings,
                              uint64_t item)
{
    mf_random random;
    mf_artifact *crop;
    mf_random_seed(&random, 7, "crops", item);
    ok(mf_crop_make(sample, settings, &random, &crop));
    return crop;
}

static void read_crop(const mf_artifact *crop, mf_array **image, mf_array **labels)
{
    ok(mf_artifact_array(crop, "image", image));
    ok(mf_artifact_array(crop, "labels", labels));
}

/* Without augmentation a crop is a box of the sample; every place but the last is met. */
START_TEST(boxes_of_the_sample)
{
    const mf_crop_settings settings = {.size = {4, 6, 8}, .margin = 3};
    mf_artifact *sample = make_sample(true);
    int places[3][NX] = {{0}};
    for (uint64_t item = 0; item < 300; item++) {
        mf_artifact *crop = make_crop(sample, &settings, item);
        mf_array *image, *labels;
        read_crop(crop, &image, &labels);
        const float *v = image->data;
        const uint16_t *l = labels->data;
        const int64_t first[3] = {(int64_t)v[0] / 10000, (int64_t)v[0] / 100 % 100,
                                  (int64_t)v[0] % 100};
        for (int64_t z = 0; z < 4; z++)
            for (int64_t y = 0; y < 6; y++)
                for (int64_t x = 0; x < 8; x++, v++, l++) {
                    ck_assert(*v == image_at(first[0] + z, first[1] + y, first[2] + x));
                    ck_assert_int_eq(*l, label_at(first[0] + z, first[1] + y, first[2] + x));
                }
        for (int i = 0; i < 3; i++)
            places[i][first[i]]++;
        mf_array_unref(image);
        mf_array_unref(labels);
        mf_artifact_unref(crop);
    }
    /* The box that is cut has 7, 9, 11 voxels of 12, 14, 16: it begins at 0 to 4, its center 1
     * later; along each axis. */
    for (int i = 0; i < 3; i++)
        for (int at = 0; at < NX; at++)
            ck_assert_int_eq(places[i][at] > 0, at >= 1 && at <= 5);
    mf_artifact_unref(sample);
}
END_TEST

/* A label map moves as each of its labels does as a mask. */
START_TEST(labels_move_as_masks_do)
{
    const mf_affine affine = {{1.2, 0.8, 0.9}, {0.1, -0.05, 0, 0.07, 0, 0.02}, {0}, {20, -13, 29}};
    const int64_t size[3] = {NZ, NY, NX}, lo[3] = {2, 3, 4}, count[3] = {6, 7, 8};
    uint16_t labels[NZ * NY * NX], bits[NZ * NY * NX], moved[6 * 7 * 8], row[8];
    uint8_t masks[7 * 6 * 7 * 8];
    mf_index_map map;
    int64_t there = 0;
    for (int64_t z = 0, i = 0; z < NZ; z++)
        for (int64_t y = 0; y < NY; y++)
            for (int64_t x = 0; x < NX; x++, i++) {
                labels[i] = (uint16_t)((y * x + z) % 7);
                bits[i] = (uint16_t)(1u << labels[i]);
            }
    mf_affine_map(&affine, size, &map);
    mf_affine_labels(&map, labels, size, lo, count, moved);
    mf_affine_masks(&map, bits, size, lo, count, 7, row, masks);
    for (int i = 0; i < 6 * 7 * 8; i++) {
        for (int k = 1; k < 7; k++)
            ck_assert_int_eq(masks[k * 6 * 7 * 8 + i], moved[i] == k);
        there += moved[i] > 0;
    }
    ck_assert_int_gt(there, 100);
}
END_TEST

/* Intensities change over the box with its margin, the center is cut after: its own mean is not
 * what contrast keeps. An item is a function of its random numbers alone. */
START_TEST(items_repeat)
{
    static const double one[2] = {0.5, 0.5}, sigma[2] = {1, 1};
    mf_crop_settings settings = {.size = {8, 8, 8}, .margin = 4};
    mf_view_settings *v = &settings.view;
    v->affine_prob = v->brightness_prob = v->contrast_prob = v->gamma_prob = v->blur_prob =
        v->gaussian_noise_prob = 1;
    v->scale = (mf_real3){{0.3, 0.3, 0.3}};
    v->rotate = (mf_int3){{30, 30, 30}};
    v->brightness_range = v->contrast_range = v->gamma_range = (mf_reals){one, 2};
    v->blur_range = (mf_reals){sigma, 2};
    v->gaussian_noise_std = 0.1;
    mf_artifact *sample = make_sample(true);
    mf_array *images[3], *labels[3];
    for (int i = 0; i < 3; i++) {
        mf_artifact *crop = make_crop(sample, &settings, (uint64_t)(i / 2));
        read_crop(crop, &images[i], &labels[i]);
        mf_artifact_unref(crop);
    }
    ck_assert_mem_eq(images[0]->data, images[1]->data, images[0]->bytes);
    ck_assert_mem_eq(labels[0]->data, labels[1]->data, labels[0]->bytes);
    ck_assert(memcmp(images[0]->data, images[2]->data, images[0]->bytes) != 0);
    for (int i = 0; i < 3; i++) {
        mf_array_unref(images[i]);
        mf_array_unref(labels[i]);
    }
    mf_artifact_unref(sample);
}
END_TEST

/* Contrast 0 leaves the mean of the box that was cut, not that of its center. */
START_TEST(intensities_are_those_of_the_whole_box)
{
    static const double zero[2] = {0, 0};
    mf_crop_settings settings = {.size = {4, 4, 4}, .margin = 100};
    settings.view.contrast_prob = 1;
    settings.view.contrast_range = (mf_reals){zero, 2};
    mf_artifact *sample = make_sample(true), *crop = make_crop(sample, &settings, 0);
    mf_array *image, *labels;
    read_crop(crop, &image, &labels);
    double mean = 5.5 * 10000 + 6.5 * 100 + 7.5; /* of all indices */
    for (int i = 0; i < 64; i++)
        ck_assert_double_eq_tol((double)((const float *)image->data)[i], mean, 0.01);
    ck_assert_int_eq(*(const uint16_t *)labels->data, label_at(4, 5, 6));
    mf_array_unref(image);
    mf_array_unref(labels);
    mf_artifact_unref(crop);
    mf_artifact_unref(sample);
}
END_TEST

static void refused(const mf_artifact *sample, const mf_crop_settings *settings, const char *text)
{
    mf_random random;
    mf_artifact *crop;
    mf_random_seed(&random, 7, "crops", 0);
    mf_status status = mf_crop_make(sample, settings, &random, &crop);
    ck_assert_ptr_nonnull(status);
    char *whole = mf_error_text(status);
    ck_assert_str_eq(whole, text);
    free(whole);
    mf_error_free(status);
}

START_TEST(samples_that_are_refused)
{
    const mf_crop_settings settings = {.size = {4, 4, 4}}, large = {.size = {4, 16, 4}};
    mf_artifact *sample = make_sample(true), *plain = make_sample(false);
    refused(plain, &settings,
            "the sample has no labels\n  connect the input `labels` of mass.prepare");
    refused(sample, &large,
            "the sample has 16x14x12 voxels, a crop 4x16x4\n  let mass.prepare pad samples to at "
            "least the crop");
    mf_artifact_unref(sample);
    mf_artifact_unref(plain);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crops");
    TCase *t = tcase_create("crops");
    tcase_add_test(t, boxes_of_the_sample);
    tcase_add_test(t, labels_move_as_masks_do);
    tcase_add_test(t, items_repeat);
    tcase_add_test(t, intensities_are_those_of_the_whole_box);
    tcase_add_test(t, samples_that_are_refused);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
