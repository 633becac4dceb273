/* What plugins share: resampling between grids, intensities. Expected values are worked out by hand
 * or, where marked, with numpy 2.x. */
#include "../expect.h"
#include "../run_suite.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "normalize.h"
#include "resample.h"

static mf_grid grid_of(int64_t x, int64_t y, int64_t z, double sx, double sy, double sz)
{
    mf_grid grid;
    mf_grid_identity(&grid, (const int64_t[]){x, y, z}, (const double[]){sx, sy, sz});
    return grid;
}

START_TEST(grid_keeps_the_field_of_view)
{
    mf_grid from = grid_of(100, 7, 5, 0.8, 3, 1.5), to;
    from.origin[0] = -40;
    ok(mf_resample_grid(&from, (const double[]){1.5, 1.5, 1.5}, &to));
    /* 100 * 0.8 / 1.5 = 53.33; 7 * 3 / 1.5 = 14; z is at its spacing already. */
    ck_assert_int_eq(to.size[0], 53);
    ck_assert_int_eq(to.size[1], 14);
    ck_assert_int_eq(to.size[2], 5);
    /* Same center: -40 + 99 * 0.8 / 2 = -0.4 = origin + 52 * 1.5 / 2. */
    ck_assert_double_eq_tol(to.origin[0], -0.4 - 39, 1e-12);
    ck_assert_double_eq_tol(to.origin[1], 9 - 9.75, 1e-12);
    ck_assert_double_eq(to.origin[2], 0);
    /* Halves to even, as Python rounds: 5 * 0.75 / 1.5 = 2.5 -> 2, 7 * 0.75 / 1.5 = 3.5 -> 4. */
    from = grid_of(5, 7, 1, 0.75, 0.75, 0.2);
    ok(mf_resample_grid(&from, (const double[]){1.5, 1.5, 1.5}, &to));
    ck_assert_int_eq(to.size[0], 2);
    ck_assert_int_eq(to.size[1], 4);
    ck_assert_int_eq(to.size[2], 1);
    from.spacing[1] = 0;
    fails(mf_resample_grid(&from, (const double[]){1.5, 1.5, 1.5}, &to),
          "cannot resample from a spacing of 0 mm to 1.5 mm");
    from.spacing[1] = 1;
    fails(mf_resample_grid(&from, (const double[]){1e-10, 1.5, 1.5}, &to),
          "a spacing of 1e-10 mm would make 3.75e+10 voxels along one axis");
    /* One voxel more than 32-bit integers number, and just as many. */
    from = grid_of(2048, 1024, 1024, 1, 1, 1);
    fails(
        mf_resample_grid(&from, (const double[]){1, 1, 1}, &to),
        "a spacing of 1 x 1 x 1 mm would make 2048 x 1024 x 1024 voxels; 2147483647 (2^31 - 1) are "
        "the most\n  a larger spacing makes fewer");
    from = grid_of(2147483647, 1, 1, 1, 1, 1);
    ok(mf_resample_grid(&from, (const double[]){1, 1, 1}, &to));
}
END_TEST

START_TEST(padding_moves_the_origin)
{
    mf_grid grid = grid_of(10, 4, 3, 1, 2, 3), padded;
    int64_t before[3];
    /* x runs along -y of the world. */
    const double turned[9] = {0, 1, 0, -1, 0, 0, 0, 0, 1};
    memcpy(grid.direction, turned, sizeof turned);
    mf_resample_pad(&grid, (const int64_t[]){9, 9, 8}, &padded, before);
    ck_assert_int_eq(padded.size[0], 10);
    ck_assert_int_eq(padded.size[1], 9);
    ck_assert_int_eq(padded.size[2], 8);
    ck_assert_int_eq(before[0], 0);
    ck_assert_int_eq(before[1], 2);
    ck_assert_int_eq(before[2], 2);
    ck_assert_double_eq(padded.origin[0], -4);
    ck_assert_double_eq(padded.origin[1], 0);
    ck_assert_double_eq(padded.origin[2], -6);
}
END_TEST

/* A ramp stays the same ramp in world coordinates, wherever the target's centers are inside. */
START_TEST(linear_keeps_a_ramp)
{
    mf_grid from = grid_of(20, 15, 10, 0.7, 1.1, 2.5), to;
    float *src = malloc(20 * 15 * 10 * sizeof *src);
    for (int z = 0, i = 0; z < 10; z++)
        for (int y = 0; y < 15; y++)
            for (int x = 0; x < 20; x++, i++)
                src[i] = (float)(3 * x * 0.7 - 2 * y * 1.1 + z * 2.5);
    ok(mf_resample_grid(&from, (const double[]){1, 1, 1}, &to));
    float *dst = malloc((size_t)mf_grid_voxels(&to) * sizeof *dst);
    ok(mf_resample_linear(&from, src, &to, dst));
    int64_t seen = 0;
    for (int64_t z = 0, i = 0; z < to.size[2]; z++)
        for (int64_t y = 0; y < to.size[1]; y++)
            for (int64_t x = 0; x < to.size[0]; x++, i++) {
                double at[3], back[3];
                const double ijk[3] = {(double)x, (double)y, (double)z};
                mf_grid_to_world(&to, ijk, at);
                mf_grid_to_index(&from, at, back);
                if (back[0] < 0 || back[0] > 19 || back[1] < 0 || back[1] > 14 || back[2] < 0 ||
                    back[2] > 9)
                    continue;
                seen++;
                ck_assert_double_eq_tol(dst[i], 3 * at[0] - 2 * at[1] + at[2], 2e-5);
            }
    ck_assert_int_gt(seen, mf_grid_voxels(&to) / 2);
    free(src);
    free(dst);
}
END_TEST

static mf_artifact *volume_of(const mf_grid *grid, mf_dtype dtype, const void *voxels)
{
    mf_artifact *a;
    mf_array *array;
    ok(mf_artifact_new("volume", &a));
    ok(mf_array_new(dtype, 3, (const int64_t[]){grid->size[2], grid->size[1], grid->size[0]},
                    &array));
    memcpy(array->data, voxels, array->bytes);
    ok(mf_artifact_add(a, "voxels", array));
    mf_array_unref(array);
    ok(mf_artifact_set_grid(a, grid));
    return a;
}

/* Slabs give what the whole gives; voxels that are not finite are replaced and counted once. */
START_TEST(slabs_agree_with_the_whole)
{
    enum { nx = 300, ny = 200, nz = 90 };
    mf_grid from = grid_of(nx, ny, nz, 1, 1, 1.5), to;
    size_t n = (size_t)nx * ny * nz;
    float *src = malloc(n * sizeof *src);
    for (size_t i = 0; i < n; i++)
        src[i] = (float)((i * 2654435761u >> 8) % 1000);
    ok(mf_resample_grid(&from, (const double[]){3, 2.3, 1.1}, &to));
    size_t m = (size_t)mf_grid_voxels(&to);
    float *whole = malloc(m * sizeof *whole), *slabs = malloc(m * sizeof *slabs);
    for (size_t i = 0; i < n; i += 5003)
        src[i] = -5;
    ok(mf_resample_linear(&from, src, &to, whole));
    int64_t expected = 0, replaced;
    for (size_t i = 0; i < n; i += 5003, expected++)
        src[i] = expected % 3 ? NAN : INFINITY;
    mf_artifact *volume = volume_of(&from, MF_F32, src);
    ok(mf_resample_artifact(volume, "voxels", &from, &to, -5, slabs, &replaced));
    ck_assert_int_eq(replaced, expected);
    ck_assert_mem_eq(whole, slabs, m * sizeof *slabs);
    fails(mf_resample_artifact(volume, "voxels", &to, &to, 0, slabs, &replaced),
          "array 'voxels' is 300x200x90, its grid 100x87x123");
    mf_artifact_unref(volume);
    free(src);
    free(whole);
    free(slabs);
}
END_TEST

START_TEST(nearest_goes_there_and_back)
{
    mf_grid from = grid_of(9, 8, 7, 2, 2, 2), to;
    uint16_t src[7 * 8 * 9], back[7 * 8 * 9], *dst;
    for (int i = 0; i < 7 * 8 * 9; i++)
        src[i] = (uint16_t)(1000 + i);
    ok(mf_resample_grid(&from, (const double[]){1, 1, 0.5}, &to));
    dst = malloc((size_t)mf_grid_voxels(&to) * sizeof *dst);
    ok(mf_resample_nearest(&from, src, &to, dst, 2));
    /* Each voxel became 2 x 2 x 4 of its own. */
    for (int z = 0; z < 28; z++)
        for (int y = 0; y < 16; y++)
            for (int x = 0; x < 18; x++)
                ck_assert_uint_eq(dst[(z * 16 + y) * 18 + x],
                                  1000 + ((z / 4) * 8 + y / 2) * 9 + x / 2);
    ok(mf_resample_nearest(&to, dst, &from, back, 2));
    ck_assert_mem_eq(src, back, sizeof src);
    free(dst);
    to.direction[0] = -1;
    fails(mf_resample_nearest(&from, src, &to, NULL, 2),
          "cannot resample between grids with different directions");
}
END_TEST

/* Sparse masks land where the dense nearest resampling of the same mask lands. */
START_TEST(masks_agree_with_dense_nearest)
{
    mf_grid from = grid_of(24, 20, 16, 1, 1.2, 2), to, padded;
    mf_masks_builder *builder;
    mf_artifact *masks, *result;
    int64_t before[3], dropped;
    bool added;
    uint8_t *dense = calloc(24 * 20 * 16, 1), ball[9 * 9 * 9], one = 1;
    for (int z = 0, i = 0; z < 9; z++)
        for (int y = 0; y < 9; y++)
            for (int x = 0; x < 9; x++, i++) {
                ball[i] = (z - 4) * (z - 4) + (y - 4) * (y - 4) + (x - 4) * (x - 4) <= 17;
                dense[((z + 5) * 20 + y + 3) * 24 + x + 7] = ball[i];
            }
    ok(mf_masks_begin(&from, &builder));
    mf_mask mask = {{5, 3, 7}, {14, 12, 16}, 0.75f, 0, 9};
    ok(mf_masks_add(builder, &mask, ball, &added));
    mf_mask speck = {{2, 2, 2}, {3, 3, 3}, 1, -1, -1};
    ok(mf_masks_add(builder, &speck, &one, &added));
    ok(mf_artifact_new("masks", &masks));
    ok(mf_masks_finish(builder, masks));

    ok(mf_resample_grid(&from, (const double[]){3, 1.5, 3}, &to));
    mf_resample_pad(&to, (const int64_t[]){12, 12, 16}, &padded, before);
    ok(mf_masks_begin(&padded, &builder));
    ok(mf_resample_masks(masks, &from, &to, before, builder, &dropped));
    ok(mf_artifact_new("masks", &result));
    ok(mf_masks_finish(builder, result));
    ck_assert_int_eq(dropped, 1); /* the speck lies between the new centers */
    ck_assert_int_eq(mf_masks_count(result), 1);

    size_t n = (size_t)mf_grid_voxels(&to);
    uint8_t *expected = malloc(n), *got = malloc(n);
    ok(mf_resample_nearest(&from, dense, &to, expected, 1));
    ok(mf_masks_crop(
        result, 0, (const int64_t[]){before[2], before[1], before[0]},
        (const int64_t[]){before[2] + to.size[2], before[1] + to.size[1], before[0] + to.size[0]},
        got));
    ck_assert_mem_eq(expected, got, n);
    ok(mf_masks_get(result, 0, &mask));
    ck_assert_float_eq(mask.score, 0.75f);
    ck_assert_int_eq(mask.seed_axis, 0);
    /* slice 9 of 16 at 2 mm: 11 slices of 3 mm around the same center, of which 6 lies at 9. */
    ck_assert_int_eq(mask.seed_slice, before[2] + 6);
    free(dense);
    free(expected);
    free(got);
    mf_artifact_unref(masks);
    mf_artifact_unref(result);
}
END_TEST

START_TEST(percentiles_are_numpys)
{
    /* numpy.percentile([-7, -1.5, 0, 2, 3.25, 90], [0, 2, 37, 98, 100]) */
    const float voxels[] = {2, NAN, -1.5f, 90, -7, INFINITY, 0, 3.25f, -INFINITY};
    const double percents[] = {0, 2, 37, 98, 100};
    const double expected[] = {-7, -6.45, -0.225, 81.325, 90};
    double values[5];
    ok(mf_percentiles(voxels, 9, percents, 5, values));
    for (int i = 0; i < 5; i++)
        ck_assert_double_eq_tol(values[i], expected[i], 1e-12);
    ok(mf_percentiles(voxels + 5, 1, percents, 1, values));
    ck_assert_double_eq(values[0], 0);
}
END_TEST

START_TEST(ct_is_clipped_and_scored)
{
    /* clipped: -991 0 500 500 -991; mean -196.4, population deviation 661.4596... */
    float voxels[] = {-2048, 0, 500, 3071, NAN};
    const mf_normalize settings = MF_NORMALIZE_DEFAULT;
    mf_normalized report;
    ok(mf_normalize_voxels(voxels, 5, MF_MODALITY_CT, &settings, &report));
    ck_assert_double_eq(report.low, -991);
    ck_assert_double_eq(report.high, 500);
    ck_assert_double_eq_tol(report.mean, -196.4, 1e-9);
    ck_assert_int_eq(report.not_finite, 1);
    double squares = 2 * 794.6 * 794.6 + 196.4 * 196.4 + 2 * 696.4 * 696.4;
    double deviation = sqrt(squares / 5);
    ck_assert_double_eq_tol(report.deviation, deviation, 1e-9);
    ck_assert_float_eq_tol(voxels[0], (float)(-794.6 / deviation), 1e-6f);
    ck_assert_float_eq_tol(voxels[1], (float)(196.4 / deviation), 1e-6f);
    ck_assert_float_eq(voxels[4], voxels[0]);
}
END_TEST

START_TEST(mr_is_clipped_to_percentiles)
{
    float voxels[101], constant[4] = {3, 3, 3, 3};
    const mf_normalize settings = MF_NORMALIZE_DEFAULT;
    mf_normalized report;
    for (int i = 0; i < 101; i++)
        voxels[i] = (float)(i * 37 % 101);
    ok(mf_normalize_voxels(voxels, 101, MF_MODALITY_MR, &settings, &report));
    ck_assert_double_eq(report.low, 2);
    ck_assert_double_eq(report.high, 98);
    ck_assert_double_eq_tol(report.mean, 50, 1e-12);
    /* 0 and 1 became 2, 99 and 100 became 98. */
    ck_assert_float_eq_tol(voxels[0], (float)(-48 / report.deviation), 1e-6f);
    ok(mf_normalize_voxels(constant, 4, MF_MODALITY_PET, &settings, NULL));
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq(constant[i], 0);
}
END_TEST

/* The same scan in units of 1, 1e-40 (below what 32-bit reals hold in full) and 1e30. */
START_TEST(the_unit_of_a_scan_does_not_matter)
{
    static const float units[] = {1e-12F, 1e-40F, 1e30F};
    const mf_normalize settings = MF_NORMALIZE_DEFAULT;
    float plain[101];
    for (int i = 0; i < 101; i++)
        plain[i] = (float)(i * 37 % 101);
    ok(mf_normalize_voxels(plain, 101, MF_MODALITY_MR, &settings, NULL));
    for (int u = 0; u < 3; u++) {
        float voxels[101];
        for (int i = 0; i < 101; i++)
            voxels[i] = (float)(i * 37 % 101) * units[u];
        ok(mf_normalize_voxels(voxels, 101, MF_MODALITY_MR, &settings, NULL));
        /* 1e-40 is 71362 of the smallest steps, so products are off by 7e-6 of it at most */
        for (int i = 0; i < 101; i++)
            ck_assert_float_eq_tol(voxels[i], plain[i], 2e-6F);
    }
    /* A constant one becomes 0, whatever the rounding of its mean is. */
    static float constant[3000];
    for (int i = 0; i < 3000; i++)
        constant[i] = 0.1F;
    const mf_normalize narrow = {{0.25, 0.3}, {2, 98}};
    ok(mf_normalize_voxels(constant, 3000, MF_MODALITY_CT, &narrow, NULL));
    for (int i = 0; i < 3000; i++)
        ck_assert_float_eq(constant[i], 0);
    for (int i = 0; i < 3000; i++)
        constant[i] = 0.1F;
    ok(mf_normalize_voxels(constant, 3000, MF_MODALITY_MR, &settings, NULL));
    for (int i = 0; i < 3000; i++)
        ck_assert_float_eq(constant[i], 0);
}
END_TEST

START_TEST(modalities_have_names)
{
    mf_modality modality;
    ck_assert(mf_modality_parse("mri", &modality));
    ck_assert_str_eq(mf_modality_text(modality), "MR");
    ck_assert(!mf_modality_parse("", &modality));
    ck_assert(!mf_modality_parse(NULL, &modality));
    const float ct[] = {-1000, -900, 0, 40, 300, 1200}, mr[] = {-3, 5, 900};
    ok(mf_modality_guess(ct, 6, &modality));
    ck_assert_int_eq(modality, MF_MODALITY_CT);
    ok(mf_modality_guess(mr, 3, &modality));
    ck_assert_int_eq(modality, MF_MODALITY_MR);
}
END_TEST

START_TEST(otsu_splits_two_humps)
{
    int64_t bins[64] = {0}, single[64] = {0};
    for (int i = 0; i < 9; i++) {
        bins[6 + i] = 10 - abs(i - 4);
        bins[40 + i] = 10 - abs(i - 4);
    }
    int level = mf_otsu(bins, 64);
    ck_assert_int_ge(level, 14);
    ck_assert_int_lt(level, 40);
    single[9] = 5;
    ck_assert_int_eq(mf_otsu(single, 64), 0);
}
END_TEST

START_TEST(body_is_the_largest_part_without_holes)
{
    static const char *const rows = "........."
                                    ".#####.#."
                                    ".#...#.#."
                                    ".#.#.#..."
                                    ".#...#.##"
                                    ".#####..."
                                    ".........";
    static const char *const kept = "........."
                                    ".#####..."
                                    ".#####..."
                                    ".#####..."
                                    ".#####..."
                                    ".#####..."
                                    ".........";
    uint8_t body[63];
    for (int i = 0; i < 63; i++)
        body[i] = rows[i] == '#' ? 200 : 0;
    ok(mf_body_clean(body, (const int64_t[]){1, 7, 9}, 1));
    for (int i = 0; i < 63; i++)
        ck_assert_int_eq(body[i] != 0, kept[i] == '#');
    uint8_t nothing[8] = {0};
    ok(mf_body_clean(nothing, (const int64_t[]){2, 2, 2}, 1));
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(nothing[i], 0);
}
END_TEST

START_TEST(a_body_is_found_by_intensity)
{
    float voxels[7 * 9];
    uint8_t body[63];
    int64_t inside;
    double threshold;
    for (int i = 0; i < 63; i++) {
        int y = i / 9, x = i % 9;
        bool block = y >= 2 && y < 6 && x >= 2 && x < 7;
        voxels[i] = block ? 90.0f + (float)(i % 5) : 3.0f + (float)(i % 3);
    }
    voxels[3 * 9 + 4] = 0; /* a hole */
    voxels[8] = 100;       /* a speck */
    voxels[0] = 0.0f / 0.0f;
    ok(mf_body_rough(voxels, 63, &threshold));
    ck_assert(threshold > 5 && threshold < 90);
    ok(mf_body_above(voxels, (const int64_t[]){1, 7, 9}, threshold, body, &inside));
    ck_assert_int_eq(inside, 20);
    ck_assert_int_eq(body[3 * 9 + 4], 1);
    ck_assert_int_eq(body[8] + body[0], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("common");
    TCase *tests = tcase_create("common");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, grid_keeps_the_field_of_view);
    tcase_add_test(tests, padding_moves_the_origin);
    tcase_add_test(tests, linear_keeps_a_ramp);
    tcase_add_test(tests, slabs_agree_with_the_whole);
    tcase_add_test(tests, nearest_goes_there_and_back);
    tcase_add_test(tests, masks_agree_with_dense_nearest);
    tcase_add_test(tests, percentiles_are_numpys);
    tcase_add_test(tests, ct_is_clipped_and_scored);
    tcase_add_test(tests, mr_is_clipped_to_percentiles);
    tcase_add_test(tests, the_unit_of_a_scan_does_not_matter);
    tcase_add_test(tests, modalities_have_names);
    tcase_add_test(tests, otsu_splits_two_humps);
    tcase_add_test(tests, body_is_the_largest_part_without_holes);
    tcase_add_test(tests, a_body_is_found_by_intensity);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
