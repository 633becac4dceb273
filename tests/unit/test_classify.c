/* Tests of what mass.classify stands on: scores against a reference, views of scans. */
#include "../expect.h"
#include "../run_suite.h"
#include "quality.h"
#include "scan_view.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- scores ---------------------------------------------------------------------------------- */

enum { CASES = 12, CLASSES = 3 };
static const double probability[CASES * CLASSES] = {
    0.31, 0.45, 0.24, 0.2,  0.05, 0.75, 0.0,  0.83, 0.17, 0.31, 0.42, 0.27,
    0.23, 0.28, 0.49, 0.05, 0.77, 0.18, 0.27, 0.68, 0.05, 0.03, 0.59, 0.38,
    0.69, 0.15, 0.16, 0.68, 0.3,  0.02, 0.15, 0.52, 0.33, 0.6,  0.0,  0.4};
static const int classes_of[CASES] = {0, 1, 2, 0, 1, 2, 0, 0, 1, 2, 1, 0};

static void fill_truth(uint8_t truth[CASES * CLASSES])
{
    memset(truth, 0, CASES * CLASSES);
    for (int i = 0; i < CASES; i++)
        truth[i * CLASSES + classes_of[i]] = 1;
}

#define NEAR(a, b) ck_assert_double_eq_tol(a, b, 1e-14)

/* Numbers of numpy: AUC and its variance by the midranks of Sun and Xu 2014, which is another way
 * to DeLong's; the rest by the definitions. Two cases have the same probability. */
START_TEST(scores_are_those_of_numpy)
{
    uint8_t truth[CASES * CLASSES];
    mf_quality q;
    fill_truth(truth);
    ok(mf_quality_make(probability, truth, CASES, CLASSES, false, &q));
    NEAR(q.of[0].auc, 0.6000000000000001);
    NEAR(q.of[0].auc_low, 0.21882288435662944);
    NEAR(q.of[0].auc_high, 0.9811771156433707);
    NEAR(q.of[1].auc, 0.21875);
    NEAR(q.of[1].auc_low, 0);
    NEAR(q.of[1].auc_high, 0.5170155788078235);
    NEAR(q.of[2].auc_high, 0.3889061162714553);
    NEAR(q.all.auc, 0.3222993827160494);
    NEAR(q.all.auc_low, 0.13949224480821437);
    NEAR(q.all.auc_high, 0.5051065206238845);
    NEAR(q.all.accuracy, 2.0 / 12);
    NEAR(q.all.balanced_accuracy, 0.15);
    NEAR(q.of[0].f1, 0.25);
    NEAR(q.all.f1, 0.14393939393939395);
    NEAR(q.all.brier, 0.3409333333333333);
    NEAR(q.all.ece, 0.5225);
    NEAR(q.of[0].ece, 0.4483333333333333);
    NEAR(q.of[1].ece, 0.5366666666666666);
    NEAR(q.of[2].ece, 0.44);
    NEAR(q.all.log_loss, 1.8239671234322499);
    ck_assert_int_eq(q.all.positives, CASES);
    ck_assert_int_eq(q.of[2].positives, 3);
    mf_quality_clear(&q);
}
END_TEST

/* Independent labels: the same areas per class; decisions by one half. */
START_TEST(scores_of_independent_labels)
{
    uint8_t truth[CASES * CLASSES];
    mf_quality q;
    fill_truth(truth);
    ok(mf_quality_make(probability, truth, CASES, CLASSES, true, &q));
    NEAR(q.all.auc, 0.3222993827160494);
    NEAR(q.all.auc_low, 0.13949224480821437);
    /* class 0: said of cases 8, 9, 11, of which 11 has it; 5 cases have it, 7 have not */
    NEAR(q.of[0].f1, 2.0 / 8);
    NEAR(q.of[0].accuracy, 6.0 / 12);
    NEAR(q.of[0].balanced_accuracy, (1.0 / 5 + 5.0 / 7) / 2);
    NEAR(q.all.ece, (0.4483333333333333 + 0.5366666666666666 + 0.44) / 3);
    mf_quality_clear(&q);
}
END_TEST

START_TEST(scores_that_are_undefined)
{
    const double p[4] = {0.2, 0.8, 0.6, 0.4};
    const double three[6] = {0.2, 0.8, 0.6, 0.4, 0.7, 0.3};
    mf_quality q;
    /* one class: no AUC, the rest stands */
    ok(mf_quality_make(p, (const uint8_t[]){0, 1, 0, 1}, 2, 2, false, &q));
    ck_assert(isnan(q.all.auc) && isnan(q.all.auc_low) && isnan(q.all.auc_high));
    NEAR(q.all.accuracy, 0.5);
    NEAR(q.all.balanced_accuracy, 0.5);
    mf_quality_clear(&q);
    /* one case of a class: an AUC without an interval */
    ok(mf_quality_make(three, (const uint8_t[]){0, 1, 1, 0, 1, 0}, 3, 2, false, &q));
    NEAR(q.all.auc, 1);
    ck_assert(isnan(q.all.auc_low) && isnan(q.all.auc_high));
    mf_quality_clear(&q);
    fails(mf_quality_make(p, NULL, 0, 2, false, &q), "there are no cases to judge by");
}
END_TEST

/* ---- views ----------------------------------------------------------------------------------- */

enum { Z = 20, Y = 24, X = 12 };

/* A scan whose voxels tell where they are: 1 + x + 100 y + 10000 z. */
static mf_artifact *made_scan(mf_view_scan *scan)
{
    const int64_t shape[3] = {Z, Y, X};
    mf_artifact *a;
    mf_array *voxels;
    ok(mf_artifact_new("volume", &a));
    ok(mf_array_new(MF_F32, 3, shape, &voxels));
    for (int i = 0; i < Z * Y * X; i++)
        ((float *)voxels->data)[i] = (float)(1 + i % X + 100 * (i / X % Y) + 10000 * (i / (X * Y)));
    ok(mf_artifact_add(a, "voxels", voxels));
    mf_array_unref(voxels);
    *scan = (mf_view_scan){.artifact = a, .array = "voxels", .shape = {Z, Y, X}, .scale = 1};
    return a;
}

static const mf_reals none = {(const double[]){1, 1}, 2};
static const mf_view_settings plain = {.brightness_range = {(const double[]){1, 1}, 2}};

/* The box of the scan whose first voxel is at lo, 0 outside: whether the view is that. */
static bool is_box(const float *view, const int64_t size[3], const int64_t lo[3])
{
    for (int64_t z = 0; z < size[0]; z++)
        for (int64_t y = 0; y < size[1]; y++)
            for (int64_t x = 0; x < size[2]; x++) {
                const int64_t at[3] = {lo[0] + z, lo[1] + y, lo[2] + x};
                const bool in =
                    at[0] >= 0 && at[0] < Z && at[1] >= 0 && at[1] < Y && at[2] >= 0 && at[2] < X;
                const float want = in ? (float)(1 + at[2] + 100 * at[1] + 10000 * at[0]) : 0;
                if (view[(z * size[1] + y) * size[2] + x] != want)
                    return false;
            }
    return true;
}

/* Larger than the view along z, smaller along y and x by an even and an odd number. */
START_TEST(the_center)
{
    const int64_t size[3] = {16, 32, 17};
    float *view = calloc(16 * 32 * 17, sizeof *view);
    mf_view_scan scan;
    mf_artifact *a = made_scan(&scan);
    ok(mf_scan_view_center(&scan, size, view));
    ck_assert(is_box(view, size, (const int64_t[]){2, -4, -2}));
    scan.mean = 1;
    scan.scale = 0.5;
    ok(mf_scan_view_center(&scan, size, view));
    /* the first voxel of the scan that is seen is (0, 0, 2) */
    ck_assert_float_eq(view[4 * 17 + 2], 10000);
    ck_assert_float_eq(view[0], 0); /* what is outside is 0 after the normalization */
    mf_artifact_unref(a);
    free(view);
}
END_TEST

/* Without changes a view is a box of the padded scan, at any place of the block but the last: each
 * is met, and none outside. Block: 12 of 20, 28 of 24 (2 lack before), 12 of 12. */
START_TEST(random_places)
{
    const int64_t size[3] = {8, 24, 8}, margin = 4;
    int seen[3][32] = {{0}};
    float *view = calloc(8 * 24 * 8, sizeof *view);
    mf_view_scan scan;
    mf_artifact *a = made_scan(&scan);
    for (int64_t i = 0; i < 400; i++) {
        mf_random random;
        int64_t lo[3] = {0, 0, 0};
        mf_random_seed(&random, 3, "view", (uint64_t)i);
        ok(mf_scan_view_draw(&scan, &plain, size, margin, &random, view));
        /* a voxel that lies in the scan wherever the box is: (4, 12, 4) of the view */
        const int64_t v = (int64_t)view[(4 * 24 + 12) * 8 + 4] - 1;
        lo[0] = v / 10000 - 4;
        lo[1] = v / 100 % 100 - 12;
        lo[2] = v % 100 - 4;
        ck_assert(is_box(view, size, lo));
        for (int k = 0; k < 3; k++) {
            ck_assert(lo[k] + 2 >= 0 && lo[k] + 2 < 32);
            seen[k][lo[k] + 2]++;
        }
    }
    for (int64_t lo = -2; lo < 30; lo++) { /* z: 0..8 and 0..3 more; y: -2 and 0..3; x: 0..3 */
        ck_assert_int_eq(seen[0][lo + 2] > 0, lo >= 0 && lo <= 11);
        ck_assert_int_eq(seen[1][lo + 2] > 0, lo >= -2 && lo <= 1);
        ck_assert_int_eq(seen[2][lo + 2] > 0, lo >= 0 && lo <= 3);
    }
    mf_artifact_unref(a);
    free(view);
}
END_TEST

/* An affine map that moves nothing gives the center of the block. */
START_TEST(an_affine_map_takes_the_center)
{
    const int64_t size[3] = {8, 24, 8}, margin = 4;
    float *view = calloc(8 * 24 * 8, sizeof *view);
    mf_view_settings affine = plain;
    mf_view_scan scan;
    mf_artifact *a = made_scan(&scan);
    mf_random random;
    affine.affine_prob = 1;
    scan.shape[0] = 12; /* as large as the block: one place */
    mf_random_seed(&random, 3, "view", 0);
    ok(mf_scan_view_draw(&scan, &affine, size, margin, &random, view));
    for (int64_t i = 0; i < 8 * 24 * 8; i++) {
        const int64_t z = i / (24 * 8) + 2, y = i / 8 % 24, x = i % 8 + 2;
        ck_assert_float_eq_tol(view[i], (float)(1 + x + 100 * y + 10000 * z), 0.0625f);
    }
    /* The same draws, the same view. */
    float *again = calloc(8 * 24 * 8, sizeof *again);
    affine.scale = (mf_real3){{0.2, 0.2, 0.2}};
    affine.rotate = (mf_int3){{15, 15, 15}};
    affine.gaussian_noise_prob = affine.gamma_prob = affine.contrast_prob = affine.blur_prob = 1;
    affine.gamma_range = affine.contrast_range = affine.blur_range = none;
    affine.gaussian_noise_std = 0.02;
    mf_random_seed(&random, 3, "view", 1);
    ok(mf_scan_view_draw(&scan, &affine, size, margin, &random, view));
    mf_random_seed(&random, 3, "view", 1);
    ok(mf_scan_view_draw(&scan, &affine, size, margin, &random, again));
    ck_assert_mem_eq(view, again, 8 * 24 * 8 * sizeof *view);
    mf_random_seed(&random, 3, "view", 2);
    ok(mf_scan_view_draw(&scan, &affine, size, margin, &random, again));
    ck_assert_mem_ne(view, again, 8 * 24 * 8 * sizeof *view);
    mf_artifact_unref(a);
    free(view);
    free(again);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("classify");
    TCase *tests = tcase_create("parts");
    tcase_add_test(tests, scores_are_those_of_numpy);
    tcase_add_test(tests, scores_of_independent_labels);
    tcase_add_test(tests, scores_that_are_undefined);
    tcase_add_test(tests, the_center);
    tcase_add_test(tests, random_places);
    tcase_add_test(tests, an_affine_map_takes_the_center);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
