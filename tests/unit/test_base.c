/* test_base.c - errors, arrays, artifacts, grids, masks, tables, random numbers. */
#include "../expect.h"
#include <massflow/artifact.h>
#include <massflow/random.h>

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"

START_TEST(error_text_has_place_contexts_and_hint)
{
    mf_status e = mf_fail(MF_IO, "cannot read %s", "a.nii");
    e = mf_within(e, "while loading case %d", 7);
    e = mf_within(e, "while running scan");
    e = mf_hint(mf_at(e, "g.yaml", 3, 5), "check the path");
    ck_assert_int_eq(mf_error_code(e), MF_IO);
    ck_assert_str_eq(mf_error_message(e), "cannot read a.nii");
    fails(e, "g.yaml:3:5: while running scan: while loading case 7: cannot read a.nii\n"
             "  check the path");
    ck_assert_ptr_null(mf_within(MF_OK, "nothing"));
}
END_TEST

START_TEST(array_refuses_sizes_that_overflow)
{
    mf_array *a;
    fails(mf_array_new(MF_F32, 2, (int64_t[]){INT64_MAX, INT64_MAX}, &a),
          "array is larger than memory can be addressed");
    fails(mf_array_new(MF_U8, 1, (int64_t[]){-1}, &a), "array with negative size -1 along axis 0");
    fails(mf_array_new(MF_U8, 7, (int64_t[7]){0}, &a),
          "array of 7 dimensions; at most 6 are supported");
}
END_TEST

START_TEST(array_converts_with_saturation)
{
    mf_array *from, *to;
    int64_t n = 6;
    ok(mf_array_new(MF_F64, 1, &n, &from));
    memcpy(from->data, (double[]){-3.5, 2.5, 3.5, 1e9, NAN, 254.6}, 6 * sizeof(double));
    ok(mf_array_convert(from, MF_U8, &to));
    ck_assert_mem_eq(to->data, ((uint8_t[]){0, 2, 4, 255, 0, 255}), 6);
    mf_array_unref(to);
    ok(mf_array_convert(from, MF_I16, &to));
    ck_assert_mem_eq(to->data, ((int16_t[]){-4, 2, 4, 32767, 0, 255}), 12);
    mf_array_unref(to);
    ok(mf_array_convert(from, MF_F64, &to));
    ck_assert_ptr_eq(to, from);
    mf_array_unref(to);
    mf_array_unref(from);
}
END_TEST

START_TEST(half_survives_every_bit_pattern)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float value = mf_half_to_float((uint16_t)bits);
        if (isnan(value))
            continue;
        ck_assert_uint_eq(mf_half_from_float(value), bits);
    }
    ck_assert_uint_eq(mf_half_from_float(65520.f), 0x7c00);
    ck_assert_uint_eq(mf_half_from_float(1.f + 0x1p-11f), 0x3c00); /* tie to even */
    ck_assert_uint_eq(mf_half_from_float(0x1p-25f), 0);
    ck_assert_uint_eq(mf_half_from_float(0x1.8p-25f), 1);
}
END_TEST

START_TEST(attributes_are_typed_sorted_and_replaced)
{
    mf_artifact *a;
    mf_attribute_kind kind;
    int64_t value;
    size_t count;
    ok(mf_artifact_new("table", &a));
    ok(mf_artifact_set_text(a, "zeta", "z"));
    ok(mf_artifact_set_int(a, "alpha", 1));
    ok(mf_artifact_set_int(a, "alpha", 2));
    ok(mf_artifact_set_reals(a, "mu", (double[]){1, 2.5}, 2));
    ck_assert_uint_eq(mf_artifact_attribute_count(a), 3);
    ck_assert_str_eq(mf_artifact_attribute(a, 0, &kind), "alpha");
    ck_assert_int_eq(kind, MF_ATTRIBUTE_INT);
    ck_assert_str_eq(mf_artifact_attribute(a, 2, &kind), "zeta");
    ck_assert(mf_artifact_int(a, "alpha", &value) && value == 2);
    ck_assert(!mf_artifact_int(a, "zeta", &value));
    ck_assert_double_eq(mf_artifact_reals(a, "mu", &count)[1], 2.5);
    ck_assert_ptr_null(mf_artifact_text(a, "none"));
    mf_artifact_unref(a);
}
END_TEST

START_TEST(boxes_and_rows_are_read_from_memory)
{
    mf_artifact *a;
    mf_array *array, *bytes, *offsets;
    ok(mf_artifact_new("volume", &a));
    ok(mf_array_new(MF_I16, 3, (int64_t[]){3, 4, 5}, &array));
    for (int i = 0; i < 60; i++)
        ((int16_t *)array->data)[i] = (int16_t)i;
    ok(mf_artifact_add(a, "voxels", array));
    fails(mf_artifact_add(a, "voxels", array),
          "artifact of type volume already has an array 'voxels'");
    int16_t box[4];
    ok(mf_artifact_read_box(a, "voxels", (int64_t[]){1, 2, 3}, (int64_t[]){2, 4, 5}, box));
    ck_assert_mem_eq(box, ((int16_t[]){33, 34, 38, 39}), sizeof box);
    fails(mf_artifact_read_box(a, "voxels", (int64_t[]){0, 0, 0}, (int64_t[]){1, 5, 1}, box),
          "box 0..5 lies outside array 'voxels' of size 4 along axis 1");
    fails(mf_artifact_array(a, "bits", &bytes), "artifact of type volume has no array 'bits'");

    ok(mf_array_new(MF_U8, 1, (int64_t[]){3}, &bytes));
    memcpy(bytes->data, "abc", 3);
    ok(mf_array_new(MF_I64, 1, (int64_t[]){4}, &offsets));
    memcpy(offsets->data, (int64_t[]){0, 2, 1, 3}, 32);
    fails(mf_artifact_add_rows(a, "names", bytes, offsets),
          "ragged array 'names' has offsets that fall or do not cover it");
    memcpy(offsets->data, (int64_t[]){0, 2, 2, 3}, 32);
    ok(mf_artifact_add_rows(a, "names", bytes, offsets));
    uint8_t *row;
    size_t size;
    ok(mf_artifact_read_row(a, "names", 0, &row, &size));
    ck_assert(size == 2 && memcmp(row, "ab", 2) == 0);
    free(row);
    ok(mf_artifact_read_row(a, "names", 1, &row, &size));
    ck_assert(size == 0 && !row);
    fails(mf_artifact_read_row(a, "names", 3, &row, &size), "array 'names' has no row 3");
    mf_array_unref(array);
    mf_array_unref(bytes);
    mf_array_unref(offsets);
    mf_artifact_unref(a);
}
END_TEST

START_TEST(grid_maps_there_and_back)
{
    mf_grid g = {{10, 20, 30}, {0.5, 2, 3}, {-7, 11, 5}, {0, -1, 0, 0.6, 0, -0.8, 0.8, 0, 0.6}};
    double ijk[3] = {3, 4.5, 7}, xyz[3], back[3];
    mf_grid_to_world(&g, ijk, xyz);
    ck_assert_double_eq_tol(xyz[0], -7 - 2 * 4.5, 1e-12);
    ck_assert_double_eq_tol(xyz[1], 11 + 0.6 * 1.5 - 0.8 * 21, 1e-12);
    mf_grid_to_index(&g, xyz, back);
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(back[i], ijk[i], 1e-12);
    mf_artifact *a;
    mf_grid read;
    ok(mf_artifact_new("volume", &a));
    fails(mf_artifact_grid(a, &read),
          "artifact of type volume has no grid (size, spacing, origin, direction)");
    ok(mf_artifact_set_grid(a, &g));
    ok(mf_artifact_grid(a, &read));
    ck_assert(mf_grid_equal(&g, &read, 0));
    read.origin[1] += 0.01;
    ck_assert(!mf_grid_equal(&g, &read, 0.001));
    ck_assert(mf_grid_equal(&g, &read, 0.02));
    mf_artifact_unref(a);
}
END_TEST

START_TEST(masks_shrink_crop_and_count)
{
    mf_grid grid;
    mf_masks_builder *b;
    mf_artifact *a;
    bool added;
    mf_grid_identity(&grid, (int64_t[]){9, 8, 7}, (double[]){1, 1, 1}); /* x y z */
    ok(mf_masks_begin(&grid, &b));
    uint8_t dense[4 * 5 * 6] = {0};
    mf_mask mask = {{1, 2, 3}, {5, 7, 9}, 0.5f, 0, 4};
    ok(mf_masks_add(b, &mask, dense, &added));
    ck_assert(!added);
    dense[(1 * 5 + 2) * 6 + 3] = 1; /* z 2, y 4, x 6 */
    dense[(3 * 5 + 4) * 6 + 1] = 9; /* z 4, y 6, x 4 */
    ok(mf_masks_add(b, &mask, dense, &added));
    ck_assert(added);
    mask.hi[0] = 8;
    fails(mf_masks_add(b, &mask, dense, &added), "mask with a box outside its grid");
    ok(mf_artifact_new("masks", &a));
    ok(mf_masks_finish(b, a));
    ck_assert_int_eq(mf_masks_count(a), 1);
    mf_mask got;
    ok(mf_masks_get(a, 0, &got));
    ck_assert(got.lo[0] == 2 && got.lo[1] == 4 && got.lo[2] == 4);
    ck_assert(got.hi[0] == 5 && got.hi[1] == 7 && got.hi[2] == 7);
    ck_assert(got.seed_axis == 0 && got.seed_slice == 4 && got.score == 0.5f);
    int64_t voxels;
    ok(mf_masks_volume(a, 0, &voxels));
    ck_assert_int_eq(voxels, 2);
    uint8_t crop[4 * 4 * 4]; /* reaches outside the grid on two sides */
    ok(mf_masks_crop(a, 0, (int64_t[]){4, 5, 4}, (int64_t[]){8, 9, 8}, crop));
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(crop[i], i == (0 * 4 + 1) * 4 + 0);
    fails(mf_masks_get(a, 1, &got), "there is no mask 1 among 1");
    mf_artifact_unref(a);
}
END_TEST

START_TEST(masks_crop_equals_dense)
{
    mf_grid grid;
    mf_masks_builder *b;
    mf_artifact *a;
    mf_random r;
    uint8_t dense[11 * 13 * 17], crop[11 * 13 * 17];
    mf_grid_identity(&grid, (int64_t[]){17, 13, 11}, (double[]){1, 1, 1});
    mf_random_seed(&r, 1, "", 0);
    for (size_t i = 0; i < sizeof dense; i++)
        dense[i] = mf_random_below(&r, 5) == 0;
    ok(mf_masks_begin(&grid, &b));
    bool added;
    ok(mf_masks_add(b, &(mf_mask){{0, 0, 0}, {11, 13, 17}, 1, -1, -1}, dense, &added));
    ok(mf_artifact_new("masks", &a));
    ok(mf_masks_finish(b, a));
    for (int trial = 0; trial < 50; trial++) {
        int64_t lo[3], hi[3], size[3] = {11, 13, 17};
        for (int i = 0; i < 3; i++) {
            lo[i] = mf_random_below(&r, size[i]);
            hi[i] = lo[i] + 1 + mf_random_below(&r, size[i] - lo[i]);
        }
        ok(mf_masks_crop(a, 0, lo, hi, crop));
        const uint8_t *p = crop;
        for (int64_t z = lo[0]; z < hi[0]; z++)
            for (int64_t y = lo[1]; y < hi[1]; y++)
                for (int64_t x = lo[2]; x < hi[2]; x++)
                    ck_assert_int_eq(*p++, dense[(z * 13 + y) * 17 + x]);
    }
    mf_artifact_unref(a);
}
END_TEST

START_TEST(table_keeps_numbers_and_text)
{
    mf_table *t;
    mf_artifact *a;
    mf_array *numbers;
    ok(mf_table_new((const char *const[]){"case:text", "Dice", NULL}, &t));
    for (int i = 0; i < 40; i++)
        ok(mf_table_row(t, i % 2 ? "odd" : "", i * 0.5));
    ok(mf_table_finish(t, &a));
    ck_assert_str_eq(mf_artifact_text(a, "columns"), "case\tDice");
    ok(mf_artifact_array(a, "column.1", &numbers));
    ck_assert_int_eq(mf_array_count(numbers), 40);
    ck_assert_double_eq(((double *)numbers->data)[39], 19.5);
    uint8_t *row;
    size_t size;
    ok(mf_artifact_read_row(a, "column.0", 39, &row, &size));
    ck_assert(size == 3 && memcmp(row, "odd", 3) == 0);
    free(row);
    mf_array_unref(numbers);
    mf_artifact_unref(a);
}
END_TEST

START_TEST(philox_gives_the_published_vectors)
{
    /* Known answers of the authors' Random123 library (kat_vectors, philox4x32 10). */
    uint32_t out[4];
    mf_philox((uint32_t[]){0, 0}, (uint32_t[]){0, 0, 0, 0}, out);
    ck_assert_mem_eq(out, ((uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), 16);
    mf_philox((uint32_t[]){0xa4093822, 0x299f31d0},
              (uint32_t[]){0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, out);
    ck_assert_mem_eq(out, ((uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}), 16);
}
END_TEST

START_TEST(draws_depend_on_seed_name_and_item_alone)
{
    mf_random a, b;
    mf_random_seed(&a, 3, "case", 5);
    mf_random_seed(&b, 3, "case", 5);
    for (int i = 0; i < 9; i++)
        ck_assert_uint_eq(mf_random_u32(&a), mf_random_u32(&b));
    mf_random_seed(&b, 3, "case", 6);
    mf_random_seed(&a, 3, "case", 5);
    ck_assert_uint_ne(mf_random_u32(&a), mf_random_u32(&b));
    /* Mean and variance of n uniform draws: within 6 standard errors. */
    double sum = 0, square = 0;
    const int n = 100000;
    for (int i = 0; i < n; i++) {
        double x = mf_random_normal(&a);
        sum += x;
        square += x * x;
    }
    ck_assert_double_eq_tol(sum / n, 0, 6 / sqrt(n));
    ck_assert_double_eq_tol(square / n, 1, 6 * sqrt(2.0 / n));
    int64_t counts[3] = {0};
    for (int i = 0; i < n; i++)
        counts[mf_random_below(&a, 3)]++;
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol((double)counts[i] / n, 1.0 / 3, 6 * sqrt(2.0 / 9 / n));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");
    tcase_add_test(tests, error_text_has_place_contexts_and_hint);
    tcase_add_test(tests, array_refuses_sizes_that_overflow);
    tcase_add_test(tests, array_converts_with_saturation);
    tcase_add_test(tests, half_survives_every_bit_pattern);
    tcase_add_test(tests, attributes_are_typed_sorted_and_replaced);
    tcase_add_test(tests, boxes_and_rows_are_read_from_memory);
    tcase_add_test(tests, grid_maps_there_and_back);
    tcase_add_test(tests, masks_shrink_crop_and_count);
    tcase_add_test(tests, masks_crop_equals_dense);
    tcase_add_test(tests, table_keeps_numbers_and_text);
    tcase_add_test(tests, philox_gives_the_published_vectors);
    tcase_add_test(tests, draws_depend_on_seed_name_and_item_alone);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
