/* Tests of labels as masks and of the suppression of near-duplicates. */
#include "../run_suite.h"
#include "labels.h"
#include "nms.h"
#include <check.h>
#include <stdlib.h>
#include <string.h>

static mf_grid grid_of(int64_t x, int64_t y, int64_t z)
{
    mf_grid g;
    const int64_t size[3] = {x, y, z};
    const double spacing[3] = {1, 1, 1};
    mf_grid_identity(&g, size, spacing);
    return g;
}

/* Masks that fill boxes z0 y0 x0 z1 y1 x1. */
static mf_artifact *boxes(const mf_grid *grid, const int64_t (*box)[6], int count)
{
    mf_masks_builder *builder;
    mf_artifact *masks;
    ck_assert_ptr_null(mf_masks_begin(grid, &builder));
    for (int k = 0; k < count; k++) {
        const int64_t *b = box[k];
        mf_mask m = {{b[0], b[1], b[2]}, {b[3], b[4], b[5]}, 1, -1, -1};
        int64_t n = (b[3] - b[0]) * (b[4] - b[1]) * (b[5] - b[2]);
        uint8_t *ones = malloc((size_t)n);
        bool added;
        memset(ones, 1, (size_t)n);
        ck_assert_ptr_null(mf_masks_add(builder, &m, ones, &added));
        free(ones);
    }
    ck_assert_ptr_null(mf_artifact_new("masks", &masks));
    ck_assert_ptr_null(mf_artifact_set_grid(masks, grid));
    ck_assert_ptr_null(mf_masks_finish(builder, masks));
    return masks;
}

static int64_t volume_of(const mf_artifact *masks, int64_t k)
{
    int64_t voxels;
    ck_assert_ptr_null(mf_masks_volume(masks, k, &voxels));
    return voxels;
}

START_TEST(labels_become_masks)
{
    mf_grid grid = grid_of(5, 4, 3);
    const int64_t shape[3] = {3, 4, 5};
    mf_array *v;
    mf_artifact *masks;
    ck_assert_ptr_null(mf_array_new(MF_U16, 3, shape, &v));
    uint16_t *p = v->data;
    p[7] = 12175, p[8] = 12175, p[59] = 12175, p[20] = 3, p[21] = 3, p[40] = 1;
    ck_assert_ptr_null(masks_of_labels(v, &grid, 2, &masks));
    const void *label;
    int64_t count;
    ck_assert_int_eq(mf_masks_count(masks), 2);
    ck_assert_ptr_null(mf_artifact_table(masks, "label", MF_I32, &label, &count));
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(((const int32_t *)label)[0], 3);
    ck_assert_int_eq(((const int32_t *)label)[1], 12175);
    for (int k = 0; k < 2; k++) {
        const int64_t lo[3] = {0, 0, 0};
        uint8_t dense[60];
        ck_assert_ptr_null(mf_masks_crop(masks, k, lo, shape, dense));
        for (int i = 0; i < 60; i++)
            ck_assert_int_eq(dense[i], p[i] == ((const int32_t *)label)[k]);
    }
    mf_artifact_unref(masks);
    mf_array_unref(v);
}
END_TEST

/* IoU of a box 20 long with one 19 long is 0.95, which is not more than 0.95. */
START_TEST(duplicates_go_and_the_larger_stays)
{
    mf_grid grid = grid_of(140, 40, 20);
    const int64_t a[][6] = {{0, 0, 0, 10, 10, 19}, {0, 20, 60, 10, 30, 99}};
    const int64_t b[][6] = {
        {0, 0, 0, 10, 10, 20}, {0, 20, 60, 10, 30, 100}, {5, 5, 100, 6, 6, 101}};
    mf_artifact *one = boxes(&grid, a, 2), *two = boxes(&grid, b, 3), *kept;
    const mf_artifact *sources[] = {one, two};
    nms_options o = {.iou = 0.95, .pool = 1, .min_voxels = 2};
    nms_counts c;
    ck_assert_ptr_null(nms_apply(sources, 2, &o, &kept, &c));
    ck_assert_int_eq(c.given, 5);
    ck_assert_int_eq(c.small, 1);
    ck_assert_int_eq(c.doubles, 1);
    ck_assert_int_eq(c.kept, 3);
    ck_assert_int_eq(volume_of(kept, 0), 4000);
    ck_assert_int_eq(volume_of(kept, 1), 2000);
    ck_assert_int_eq(volume_of(kept, 2), 1900);
    mf_artifact_unref(kept);
    /* Pooled by 4 both pairs fill the same blocks: duplicates. */
    o.pool = 4;
    o.most = 1;
    ck_assert_ptr_null(nms_apply(sources, 2, &o, &kept, &c));
    ck_assert_int_eq(c.kept, 1);
    ck_assert_int_eq(volume_of(kept, 0), 4000);
    mf_artifact_unref(kept);
    o.most = 0;
    ck_assert_ptr_null(nms_apply(sources, 2, &o, &kept, &c));
    ck_assert_int_eq(c.kept, 2);
    ck_assert_int_eq(c.doubles, 2);
    mf_artifact_unref(kept), mf_artifact_unref(one), mf_artifact_unref(two);
}
END_TEST

START_TEST(grids_must_agree)
{
    mf_grid g = grid_of(20, 20, 20), h = grid_of(20, 20, 21);
    const int64_t b[][6] = {{0, 0, 0, 5, 5, 5}};
    mf_artifact *one = boxes(&g, b, 1), *two = boxes(&h, b, 1), *kept;
    const mf_artifact *sources[] = {one, two};
    nms_options o = {.iou = 0.95, .pool = 4};
    nms_counts c;
    mf_status status = nms_apply(sources, 2, &o, &kept, &c);
    ck_assert_str_eq(mf_error_message(status),
                     "the masks of source 2 lie on another grid than those of the first");
    mf_error_free(status);
    mf_artifact_unref(one), mf_artifact_unref(two);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("masks");
    TCase *cases = tcase_create("masks");
    tcase_add_test(cases, labels_become_masks);
    tcase_add_test(cases, duplicates_go_and_the_larger_stays);
    tcase_add_test(cases, grids_must_agree);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
