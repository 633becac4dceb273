/* mass.prepare's work: a scan and its masks on the training grid. */
#include "../expect.h"
#include "../run_suite.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "label_values.h"
#include "sample.h"

static mf_sample_settings official(void)
{
    return (mf_sample_settings){.spacing = {1.5, 1.5, 1.5},
                                .least = {1, 1, 1},
                                .modality = NULL,
                                .normalize = MF_NORMALIZE_DEFAULT};
}

enum { NX = 30, NY = 24, NZ = 10 };

static mf_grid scan_grid(void)
{
    mf_grid grid;
    mf_grid_identity(&grid, (const int64_t[]){NX, NY, NZ}, (const double[]){1, 1, 3});
    grid.origin[0] = 12;
    grid.origin[2] = -700;
    return grid;
}

/* A CT in air with a bright block, x 8..20, y 6..18, z 2..7, as i16. */
static bool in_block(int64_t x, int64_t y, int64_t z)
{
    return x >= 8 && x < 20 && y >= 6 && y < 18 && z >= 2 && z < 7;
}

static mf_artifact *scan(const char *modality)
{
    mf_artifact *a;
    mf_array *array;
    mf_grid grid = scan_grid();
    ok(mf_artifact_new("volume", &a));
    ok(mf_array_new(MF_I16, 3, (const int64_t[]){NZ, NY, NX}, &array));
    int16_t *voxels = array->data;
    for (int64_t z = 0; z < NZ; z++)
        for (int64_t y = 0; y < NY; y++)
            for (int64_t x = 0; x < NX; x++)
                *voxels++ = (int16_t)(in_block(x, y, z) ? 200 : -1024);
    ok(mf_artifact_add(a, "voxels", array));
    mf_array_unref(array);
    ok(mf_artifact_set_grid(a, &grid));
    ok(mf_artifact_set_text(a, "modality", modality));
    return a;
}

static mf_artifact *block_masks(const mf_grid *grid)
{
    mf_artifact *a;
    mf_masks_builder *builder;
    uint8_t full[5 * 12 * 12];
    bool added;
    memset(full, 1, sizeof full);
    ok(mf_masks_begin(grid, &builder));
    mf_mask mask = {{2, 6, 8}, {7, 18, 20}, 0.5f, -1, -1};
    ok(mf_masks_add(builder, &mask, full, &added));
    ok(mf_artifact_new("masks", &a));
    ok(mf_masks_finish(builder, a));
    return a;
}

START_TEST(sample_lies_where_the_scan_lies)
{
    mf_artifact *volume = scan("CT"), *sample;
    mf_grid from = scan_grid(), grid;
    mf_artifact *masks = block_masks(&from);
    mf_sample_settings settings = official();
    mf_sample_report report;
    settings.least[0] = 27; /* x: 30 mm, 20 voxels, 3 before and 4 after */
    settings.least[2] = 5;  /* z has 20: nothing to do */
    ok(mf_sample_make(volume, masks, &settings, &report, &sample));
    ok(mf_artifact_grid(sample, &grid));
    ck_assert_int_eq(grid.size[0], 27);
    ck_assert_int_eq(grid.size[1], 16);
    ck_assert_int_eq(grid.size[2], 20);
    /* centers: x 12 + 29/2, resampled from -19/2 * 1.5, padded by 3. */
    ck_assert_double_eq_tol(grid.origin[0], 12 + 14.5 - 14.25 - 4.5, 1e-9);
    ck_assert_double_eq_tol(grid.origin[1], 11.5 - 11.25, 1e-9);
    ck_assert_double_eq_tol(grid.origin[2], -700 + 13.5 - 14.25, 1e-9);
    ck_assert_int_eq(report.modality, MF_MODALITY_CT);
    ck_assert(!report.guessed);
    ck_assert_int_eq(report.masks, 1);
    ck_assert_int_eq(report.dropped, 0);
    ck_assert_double_eq(report.normalized.low, -991);
    ck_assert_double_eq(report.normalized.high, 500);

    mf_array *image;
    ok(mf_artifact_array(sample, "image", &image));
    const float *voxels = image->data;
    uint8_t *bits = malloc(20 * 16 * 27);
    ok(mf_masks_crop(sample, 0, (const int64_t[]){0, 0, 0}, (const int64_t[]){20, 16, 27}, bits));
    double sum = 0, squares = 0;
    int64_t set = 0;
    float air = (float)((-991 - report.normalized.mean) / report.normalized.deviation);
    float block = (float)((200 - report.normalized.mean) / report.normalized.deviation);
    for (int64_t z = 0, i = 0; z < 20; z++)
        for (int64_t y = 0; y < 16; y++)
            for (int64_t x = 0; x < 27; x++, i++) {
                if (x < 3 || x >= 23) { /* padding: the mean of the scan */
                    ck_assert_float_eq(voxels[i], 0);
                    ck_assert_uint_eq(bits[i], 0);
                    continue;
                }
                sum += voxels[i];
                squares += voxels[i] * voxels[i];
                set += bits[i];
                /* The mask is where the voxel's center lies in the block. */
                double world[3], at[3];
                const double ijk[3] = {(double)x, (double)y, (double)z};
                mf_grid_to_world(&grid, ijk, world);
                mf_grid_to_index(&from, world, at);
                bool inside = at[0] >= 7.5 && at[0] < 19.5 && at[1] >= 5.5 && at[1] < 17.5 &&
                              at[2] >= 1.5 && at[2] < 6.5;
                ck_assert_uint_eq(bits[i], inside);
                /* A voxel deep in the block or in the air has its value. */
                bool deep = at[0] >= 8 && at[0] <= 19 && at[1] >= 6 && at[1] <= 17 && at[2] >= 2 &&
                            at[2] <= 6;
                bool clear = at[0] <= 7 || at[0] >= 20 || at[1] <= 5 || at[1] >= 18 || at[2] <= 1 ||
                             at[2] >= 7;
                if (deep)
                    ck_assert_float_eq_tol(voxels[i], block, 1e-5f);
                if (clear)
                    ck_assert_float_eq_tol(voxels[i], air, 1e-5f);
            }
    ck_assert_int_eq(set, 8 * 8 * 10); /* 12 x 12 x 15 mm */
    ck_assert_double_eq_tol(sum / (20 * 16 * 20), 0, 1e-6);
    ck_assert_double_eq_tol(squares / (20 * 16 * 20), 1, 1e-6);
    free(bits);
    mf_array_unref(image);
    mf_artifact_unref(sample);
    mf_artifact_unref(masks);
    mf_artifact_unref(volume);
}
END_TEST

START_TEST(modality_is_asked_or_guessed)
{
    mf_artifact *volume = scan(""), *sample;
    mf_grid grid = scan_grid();
    mf_artifact *masks = block_masks(&grid);
    mf_sample_settings settings = official();
    mf_sample_report report;
    ok(mf_sample_make(volume, masks, &settings, &report, &sample));
    ck_assert(report.guessed);
    ck_assert_int_eq(report.modality, MF_MODALITY_MR); /* nothing above 300 */
    ck_assert_str_eq(mf_artifact_text(sample, "modality"), "");
    mf_artifact_unref(sample);
    settings.modality = "PET";
    ok(mf_sample_make(volume, masks, &settings, &report, &sample));
    ck_assert(!report.guessed);
    ck_assert_str_eq(mf_artifact_text(sample, "modality"), "PET");
    mf_artifact_unref(sample);
    mf_artifact_unref(volume);
    volume = scan("US");
    settings.modality = NULL;
    fails(mf_sample_make(volume, masks, &settings, &report, &sample),
          "no normalization is known for the modality 'US'\n"
          "  set the parameter modality to CT, MR or PET");
    mf_artifact_unref(volume);
    mf_artifact_unref(masks);
}
END_TEST

START_TEST(grids_must_fit)
{
    mf_artifact *volume = scan("CT"), *sample;
    mf_grid grid = scan_grid();
    grid.origin[1] = 1;
    mf_artifact *masks = block_masks(&grid);
    mf_sample_settings settings = official();
    mf_sample_report report;
    fails(mf_sample_make(volume, masks, &settings, &report, &sample),
          "the masks do not lie on the volume's grid");
    mf_artifact_unref(masks);
    grid = scan_grid();
    masks = block_masks(&grid);
    for (int i = 0; i < 3; i++)
        settings.least[i] = 100000;
    fails(mf_sample_make(volume, masks, &settings, &report, &sample),
          "the training grid would have 100000x100000x100000 voxels");
    mf_artifact_unref(masks);
    mf_artifact_unref(volume);
}
END_TEST

/* Label values that 16 bits do not hold are no other labels. */
START_TEST(labels_of_any_type)
{
    static const int32_t values[] = {0, 7, 65535, 65536};
    const int64_t count = 4;
    mf_array *map, *got;
    ok(mf_array_new(MF_I32, 1, &count, &map));
    memcpy(map->data, values, sizeof values);
    fails(mf_label_values(map, &got), "label 65536: labels from 0 to 65535 can be used\n  select "
                                      "or renumber labels in labels.load");
    ((int32_t *)map->data)[3] = -1;
    fails(
        mf_label_values(map, &got),
        "label -1: labels from 0 to 65535 can be used\n  select or renumber labels in labels.load");
    ((int32_t *)map->data)[3] = 1;
    ok(mf_label_values(map, &got));
    ck_assert(got->dtype == MF_U16);
    ck_assert_mem_eq(got->data, ((const uint16_t[]){0, 7, 65535, 1}), 8);
    mf_array_unref(got);
    mf_array_unref(map);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prepare");
    TCase *tests = tcase_create("prepare");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, sample_lies_where_the_scan_lies);
    tcase_add_test(tests, modality_is_asked_or_guessed);
    tcase_add_test(tests, grids_must_fit);
    tcase_add_test(tests, labels_of_any_type);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
