/* test_body_box.c - the box of the body, of volumes whose body is known; places of reference crops;
 * windows of evaluate.py. */
#include "../expect.h"
#include "../run_suite.h"
#include "body_box.h"
#include "examples.h"
#include "window.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* The box [lo, hi) of voxels [size] becomes `value`. */
static void fill(float *voxels, const int64_t size[3], const int64_t lo[3], const int64_t hi[3],
                 float value)
{
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++)
            for (int64_t x = lo[2]; x < hi[2]; x++)
                voxels[(z * size[1] + y) * size[2] + x] = value;
}

#define BOX(...) ((const int64_t[3]){__VA_ARGS__})

static void expect_box(const float *voxels, const int64_t size[3], mf_modality modality,
                       const int64_t margin[3], bool found, const int64_t lo[3],
                       const int64_t hi[3])
{
    int64_t a[3], b[3];
    bool some;
    ok(mf_body_box(voxels, size, modality, margin, a, b, &some));
    ck_assert_int_eq(some, found);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(a[i], lo[i]);
        ck_assert_int_eq(b[i], hi[i]);
    }
}

START_TEST(the_largest_part_above_the_threshold)
{
    const int64_t size[3] = {24, 30, 40}, none[3] = {0}, margin[3] = {1, 2, 30};
    float *v = calloc(24 * 30 * 40, sizeof *v);
    fill(v, size, none, size, -1000);
    expect_box(v, size, MF_MODALITY_CT, none, false, none, size); /* air alone: the whole volume */
    fill(v, size, BOX(5, 6, 7), BOX(15, 20, 25), 0);
    fill(v, size, BOX(5, 6, 32), BOX(15, 10, 38), 0); /* a table: smaller, 7 voxels away */
    expect_box(v, size, MF_MODALITY_CT, none, true, BOX(5, 6, 7), BOX(15, 20, 25));
    expect_box(v, size, MF_MODALITY_CT, margin, true, BOX(4, 4, 0), BOX(16, 22, 40));
    /* -500 itself is no body. */
    fill(v, size, BOX(15, 6, 7), BOX(18, 20, 25), -500);
    expect_box(v, size, MF_MODALITY_CT, none, true, BOX(5, 6, 7), BOX(15, 20, 25));
    free(v);
}
END_TEST

START_TEST(gaps_are_closed_and_holes_count)
{
    const int64_t size[3] = {24, 30, 40}, none[3] = {0};
    float *v = calloc(24 * 30 * 40, sizeof *v);
    fill(v, size, none, size, -1000);
    /* Two parts, four voxels apart: they grow together, and stay so. */
    fill(v, size, BOX(5, 5, 5), BOX(15, 15, 15), 0);
    fill(v, size, BOX(5, 5, 19), BOX(15, 15, 29), 0);
    expect_box(v, size, MF_MODALITY_CT, none, true, BOX(5, 5, 5), BOX(15, 15, 29));
    /* Five apart they do not: the first of two equals. */
    fill(v, size, none, size, -1000);
    fill(v, size, BOX(5, 5, 5), BOX(15, 15, 15), 0);
    fill(v, size, BOX(5, 5, 20), BOX(15, 15, 30), 0);
    expect_box(v, size, MF_MODALITY_CT, none, true, BOX(5, 5, 5), BOX(15, 15, 15));
    /* A hollow part counts with its hole, which makes it the larger one. */
    fill(v, size, none, size, -1000);
    fill(v, size, BOX(4, 4, 20), BOX(18, 18, 34), 0);
    fill(v, size, BOX(5, 5, 21), BOX(17, 17, 33), -1000);
    fill(v, size, BOX(4, 4, 2), BOX(16, 16, 12), 0);
    expect_box(v, size, MF_MODALITY_CT, none, true, BOX(4, 4, 20), BOX(18, 18, 34));
    free(v);
}
END_TEST

START_TEST(the_edge_of_the_volume_counts_as_empty)
{
    /* Closing takes two voxels where the body is cut off, which a margin of two gives back. */
    const int64_t size[3] = {20, 20, 20}, none[3] = {0}, two[3] = {2, 2, 2};
    float *v = calloc(20 * 20 * 20, sizeof *v);
    fill(v, size, none, size, -1000);
    fill(v, size, BOX(0, 5, 5), BOX(20, 15, 15), 0);
    expect_box(v, size, MF_MODALITY_CT, none, true, BOX(2, 5, 5), BOX(18, 15, 15));
    expect_box(v, size, MF_MODALITY_CT, two, true, BOX(0, 3, 3), BOX(20, 17, 17));
    free(v);
}
END_TEST

START_TEST(mr_is_cut_at_a_part_of_its_brightest)
{
    const int64_t size[3] = {20, 20, 20}, none[3] = {0};
    float *v = calloc(20 * 20 * 20, sizeof *v);
    fill(v, size, BOX(4, 5, 6), BOX(16, 15, 14), 1000); /* 12% of the voxels: percentile 99 */
    fill(v, size, BOX(0, 5, 6), BOX(4, 15, 14), 1);     /* a thousandth of it: not above */
    expect_box(v, size, MF_MODALITY_MR, none, true, BOX(4, 5, 6), BOX(16, 15, 14));
    fill(v, size, BOX(2, 5, 6), BOX(4, 15, 14), -1.01f);
    expect_box(v, size, MF_MODALITY_PET, none, true, BOX(2, 5, 6), BOX(16, 15, 14));
    free(v);
}
END_TEST

/* ---- reference crops ------------------------------------------------------------------------- */

static void expect_start(const uint16_t *labels, const int64_t size[3], mf_example_place place,
                         const int64_t crop[3], const int64_t start[3])
{
    int64_t at[3];
    ck_assert(mf_example_start(labels, size, 4, place, crop, at));
    ck_assert_mem_eq(at, start, sizeof at);
}

START_TEST(places_of_crops)
{
    /* Label 4: (0, 1, 2), then nine voxels (9, 11..19, 30) of a volume of 10 x 20 x 40. */
    static uint16_t labels[10 * 20 * 40];
    const int64_t size[3] = {10, 20, 40}, crop[3] = {4, 4, 4}, wide[3] = {16, 16, 16};
    int64_t none[3];
    memset(labels, 0, sizeof labels);
    ck_assert(!mf_example_start(labels, size, 4, MF_EXAMPLE_BOX, crop, none));
    labels[1 * 40 + 2] = 4;
    for (int64_t y = 11; y < 20; y++)
        labels[(9 * 20 + y) * 40 + 30] = 4;
    /* Box 0..9, 1..19, 2..30: centers 4.5 (to even: 4), 10, 16. */
    expect_start(labels, size, MF_EXAMPLE_BOX, crop, BOX(2, 8, 14));
    expect_start(labels, size, MF_EXAMPLE_BOX, wide, BOX(-4, 2, 8));
    /* Voxel 5 of 0..9 is (9, 15, 30), moved back along z. */
    expect_start(labels, size, MF_EXAMPLE_MIDDLE, crop, BOX(6, 13, 28));
    expect_start(labels, size, MF_EXAMPLE_MIDDLE, wide, BOX(-3, 4, 22));
    /* Means 8.1, 13.6, 27.2, rounded down. */
    expect_start(labels, size, MF_EXAMPLE_MEAN, crop, BOX(6, 11, 25));
    expect_start(labels, size, MF_EXAMPLE_MEAN, wide, BOX(-3, 4, 19));
}
END_TEST

/* ---- windows --------------------------------------------------------------------------------- */

START_TEST(windows_of_evaluate)
{
    static const struct {
        int64_t size, window;
        double overlap;
        int64_t count, starts[5], times[5];
    } cases[] = {
        {256, 128, 0.5, 3, {0, 64, 128}, {1, 1, 2}}, /* 0, 64, 128, 192 moved to 128 */
        {200, 128, 0.5, 3, {0, 64, 72}, {1, 1, 1}},
        {128, 128, 0.5, 1, {0}, {2}},
        {100, 128, 0.5, 1, {0}, {2}}, /* padded to 128 */
        {130, 128, 0.5, 2, {0, 2}, {1, 1}},
        {64, 32, 0.75, 5, {0, 8, 16, 24, 32}, {1, 1, 1, 1, 4}},
        {60, 24, 0.55, 5, {0, 10, 20, 30, 36}, {1, 1, 1, 1, 2}}, /* 24 * 0.45 = 10.8 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t *starts, *times, count;
        ok(mf_window_starts_repeated(cases[i].size, cases[i].window, cases[i].overlap, &starts,
                                     &times, &count));
        ck_assert_int_eq(count, cases[i].count);
        ck_assert_mem_eq(starts, cases[i].starts, (size_t)count * sizeof *starts);
        ck_assert_mem_eq(times, cases[i].times, (size_t)count * sizeof *times);
        free(starts);
        free(times);
    }
}
END_TEST

/* Window number n says n. */
static mf_status count_windows(void *self, const float *patch, float *probability)
{
    int *n = self;
    (void)patch;
    for (int64_t v = 0; v < 2 * 2 * 4; v++)
        probability[v] = (float)*n;
    (*n)++;
    return MF_OK;
}

START_TEST(a_window_that_counts_twice)
{
    /* Eight voxels along x, windows of four: at 0, 2, and 4 twice. Along z and y there is one
     * place, also twice, which changes nothing. */
    const float image[32] = {0}, want[8] = {0, 0, 0.5f, 0.5f, 5.0f / 3, 5.0f / 3, 2, 2};
    float probability[32];
    int n = 0;
    const mf_window w = {.size = {2, 2, 8},
                         .window = {2, 2, 4},
                         .overlap = 0.5,
                         .uniform = true,
                         .repeat_last = true,
                         .k = 1,
                         .self = &n,
                         .model = count_windows};
    ok(mf_window_run(&w, image, probability));
    ck_assert_int_eq(n, 3);
    for (int row = 0; row < 4; row++)
        for (int x = 0; x < 8; x++)
            ck_assert_float_eq_tol(probability[row * 8 + x], want[x], 1e-6f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("body_box");
    TCase *tests = tcase_create("body_box");
    tcase_add_test(tests, the_largest_part_above_the_threshold);
    tcase_add_test(tests, gaps_are_closed_and_holes_count);
    tcase_add_test(tests, the_edge_of_the_volume_counts_as_empty);
    tcase_add_test(tests, mr_is_cut_at_a_part_of_its_brightest);
    tcase_add_test(tests, places_of_crops);
    tcase_add_test(tests, windows_of_evaluate);
    tcase_add_test(tests, a_window_that_counts_twice);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
