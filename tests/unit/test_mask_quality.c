/* Tests of metrics.masks' measures: masks and labels of which every number is counted by hand. */
#include "../expect.h"
#include "../run_suite.h"
#include "mask_quality.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { Z = 2, Y = 4, X = 10, VOXELS = Z * Y * X };

/* A block [z0, z1) x [y0, y1) x [x0, x1) of the map gets the label. */
static void block(int32_t *map, int32_t label, const int64_t lo[3], const int64_t hi[3])
{
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++)
            for (int64_t x = lo[2]; x < hi[2]; x++)
                map[(z * Y + y) * X + x] = label;
}

static void add(mf_masks_builder *builder, const int64_t lo[3], const int64_t hi[3])
{
    uint8_t dense[VOXELS];
    bool added;
    mf_mask mask = {.score = 1, .seed_axis = -1, .seed_slice = -1};
    memset(dense, 1, sizeof dense);
    memcpy(mask.lo, lo, sizeof mask.lo);
    memcpy(mask.hi, hi, sizeof mask.hi);
    ok(mf_masks_add(builder, &mask, dense, &added));
    ck_assert(added);
}

static const int64_t whole[3] = {Z, Y, X}, zero[3] = {0, 0, 0};

/* Label 3: 16 voxels at x < 2. Label 7: 8 voxels, y < 2, 4 <= x < 6. Label 9: one voxel, in no
 * mask. */
static void labels(int32_t map[VOXELS])
{
    memset(map, 0, VOXELS * sizeof *map);
    block(map, 3, zero, (const int64_t[]){Z, Y, 2});
    block(map, 7, (const int64_t[]){0, 0, 4}, (const int64_t[]){Z, 2, 6});
    map[VOXELS - 1] = 9;
}

/* 0: 24 voxels, all of label 3 and 8 beside it. 1: the same 8 voxels alone, of no label. 2: half of
 * label 7, 4 voxels. 3: all of label 7 and as many again. */
static mf_artifact *masks(void)
{
    const double spacing[3] = {1, 1, 1};
    mf_masks_builder *builder;
    mf_artifact *a;
    mf_grid grid;
    mf_grid_identity(&grid, (const int64_t[]){X, Y, Z}, spacing);
    ok(mf_masks_begin(&grid, &builder));
    add(builder, zero, (const int64_t[]){Z, Y, 3});
    add(builder, (const int64_t[]){0, 0, 2}, (const int64_t[]){Z, Y, 3});
    add(builder, (const int64_t[]){0, 0, 4}, (const int64_t[]){1, 2, 6});
    add(builder, (const int64_t[]){0, 0, 4}, (const int64_t[]){Z, 4, 6});
    ok(mf_artifact_new("masks", &a));
    ok(mf_artifact_set_grid(a, &grid));
    ok(mf_masks_finish(builder, a));
    return a;
}

START_TEST(counted_by_hand)
{
    int32_t map[VOXELS], body[VOXELS] = {0};
    mf_artifact *a = masks();
    mask_quality q;
    labels(map);
    block(body, 1, zero, (const int64_t[]){Z, Y, 5});
    mask_truth truth = {.labels = map, .body = body, .threshold = 0.4};
    memcpy(truth.size, whole, sizeof whole);
    ok(mask_quality_measure(a, &truth, &q));
    ck_assert_int_eq(q.count, 3);
    ck_assert_int_eq(q.matches[0].label, 3);
    ck_assert_int_eq(q.matches[0].mask, 0);
    ck_assert_int_eq(q.matches[0].voxels, 16);
    ck_assert_int_eq(q.matches[0].mask_voxels, 24);
    ck_assert_double_eq(q.matches[0].dice, 2.0 * 16 / (16 + 24));
    /* Half of the label and twice the label have the same Dice, 2/3: the first is taken. */
    ck_assert_int_eq(q.matches[1].label, 7);
    ck_assert_int_eq(q.matches[1].mask, 2);
    ck_assert_double_eq(q.matches[1].dice, 2.0 * 4 / (8 + 4));
    ck_assert_int_eq(q.matches[2].label, 9);
    ck_assert_int_eq(q.matches[2].mask, -1);
    ck_assert_double_eq(q.matches[2].dice, 0);
    ck_assert_int_eq(q.masks, 4);
    ck_assert_int_eq(q.above, 3);
    const int64_t voxels[] = {24, 8, 4, 16};
    ck_assert_mem_eq(q.mask_voxels, voxels, sizeof voxels);
    ck_assert_int_eq(q.labelled, 25);
    ck_assert_int_eq(q.labelled_covered, 24);
    ck_assert_int_eq(q.body, 40);
    ck_assert_int_eq(q.body_covered, 32); /* 24 at x < 3, none at x = 3, 8 at x = 4 */
    mask_quality_clear(&q);
    mf_artifact_unref(a);
}
END_TEST

/* Above is above: a mask with exactly the threshold is none. */
START_TEST(threshold_itself)
{
    int32_t map[VOXELS];
    mf_artifact *a = masks();
    mask_quality q;
    labels(map);
    mask_truth truth = {.labels = map, .threshold = 0.8};
    memcpy(truth.size, whole, sizeof whole);
    ok(mask_quality_measure(a, &truth, &q));
    ck_assert_int_eq(q.above, 0);
    ck_assert_int_eq(q.body, VOXELS);
    ck_assert_int_eq(q.body_covered, 40);
    mask_quality_clear(&q);
    mf_artifact_unref(a);
}
END_TEST

/* Other labels are background; one that is not there has no Dice. */
START_TEST(chosen_labels)
{
    const int64_t chosen[] = {8, 7};
    int32_t map[VOXELS];
    mf_artifact *a = masks();
    mask_quality q;
    labels(map);
    mask_truth truth = {.labels = map, .chosen = chosen, .chosen_count = 2, .threshold = 0.4};
    memcpy(truth.size, whole, sizeof whole);
    ok(mask_quality_measure(a, &truth, &q));
    ck_assert_int_eq(q.count, 2);
    ck_assert_int_eq(q.matches[0].label, 7);
    ck_assert_int_eq(q.matches[1].label, 8);
    ck_assert(isnan(q.matches[1].dice));
    ck_assert_int_eq(q.above, 2);
    ck_assert_int_eq(q.labelled, 8);
    mask_quality_clear(&q);
    mf_artifact_unref(a);
}
END_TEST

START_TEST(labels_out_of_range)
{
    int32_t map[VOXELS];
    mf_artifact *a = masks();
    mask_quality q;
    labels(map);
    map[5] = -1;
    mask_truth truth = {.labels = map, .threshold = 0.4};
    memcpy(truth.size, whole, sizeof whole);
    fails(mask_quality_measure(a, &truth, &q), "label -1; 0 to 1048576 are compared");
    mask_quality_clear(&q);
    mf_artifact_unref(a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mask_quality");
    TCase *cases = tcase_create("mask_quality");
    tcase_add_test(cases, counted_by_hand);
    tcase_add_test(cases, threshold_itself);
    tcase_add_test(cases, chosen_labels);
    tcase_add_test(cases, labels_out_of_range);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
