/* Tests of picture sheets: sides are right, outlines have their label's colour, tiles are laid out.
 */
#include "../../plugins/common/label_colour.h"
#include "../run_suite.h"
#include "mosaic.h"
#include <check.h>
#include <string.h>

static mf_artifact *scan(const char *type, mf_dtype dtype, mf_array **voxels)
{
    const int64_t size[3] = {40, 30, 20}, shape[3] = {20, 30, 40};
    const double spacing[3] = {1, 1, 1};
    mf_grid grid;
    mf_artifact *a;
    mf_grid_identity(&grid, size, spacing);
    ck_assert_ptr_null(mf_array_new(dtype, 3, shape, voxels));
    ck_assert_ptr_null(mf_artifact_new(type, &a));
    ck_assert_ptr_null(mf_artifact_set_grid(a, &grid));
    ck_assert_ptr_null(mf_artifact_add(a, "voxels", *voxels));
    return a;
}

/* A bright voxel block at the patient's right front; labels on the left. */
static void make(mf_artifact **volume, mf_artifact **labels)
{
    mf_array *v, *l;
    *volume = scan("volume", MF_I16, &v);
    *labels = scan("labels", MF_U8, &l);
    for (int z = 0; z < 20; z++)
        for (int y = 20; y < 30; y++)
            for (int x = 30; x < 40; x++)
                ((int16_t *)v->data)[(z * 30 + y) * 40 + x] = 200;
    for (int z = 8; z < 12; z++)
        for (int y = 0; y < 10; y++)
            for (int x = 0; x < 10; x++)
                ((uint8_t *)l->data)[(z * 30 + y) * 40 + x] = 4;
    mf_array_unref(v);
    mf_array_unref(l);
}

START_TEST(right_is_left_and_front_is_up)
{
    mf_artifact *volume, *labels;
    mf_array *rgb;
    make(&volume, &labels);
    picture_options o = {.slices = 1, .tile = 80, .center = 100, .width = 200, .opacity = 0.5};
    ck_assert_ptr_null(picture_draw(volume, labels, &o, &rgb));
    ck_assert_int_eq(rgb->shape[0], 60);
    ck_assert_int_eq(rgb->shape[1], 80);
    const uint8_t *p = rgb->data;
    const uint8_t *front_right = p + (5 * 80 + 5) * 3, *middle = p + (30 * 80 + 40) * 3;
    ck_assert_int_eq(front_right[0], 255);
    ck_assert_int_eq(front_right[1], 255);
    ck_assert_int_eq(middle[0], 0);
    /* the label lies at the left back: lower right; its outline has its colour, its inside none */
    uint8_t color[3];
    mf_label_colour(4, color);
    ck_assert_mem_eq(p + (50 * 80 + 60) * 3, color, 3);
    ck_assert_int_eq(p[(50 * 80 + 70) * 3 + 1], 0);
    mf_array_unref(rgb);
    o.fill = true;
    ck_assert_ptr_null(picture_draw(volume, labels, &o, &rgb));
    ck_assert_int_eq(((uint8_t *)rgb->data)[(50 * 80 + 70) * 3 + 1], color[1] / 2);
    mf_array_unref(rgb);
    mf_artifact_unref(volume), mf_artifact_unref(labels);
}
END_TEST

/* A body that is the whole slice has an outline too: along the slice's border. Two labels are
 * tinted. */
START_TEST(one_label_alone_is_outlined)
{
    mf_artifact *volume, *labels;
    mf_array *rgb, *l;
    uint8_t color[3];
    make(&volume, &labels);
    ck_assert_ptr_null(mf_artifact_array(labels, "voxels", &l));
    memset(l->data, 1, l->bytes);
    picture_options o = {.slices = 1,
                         .tile = 80,
                         .center = 100,
                         .width = 200,
                         .opacity = 0.5,
                         .fill = true,
                         .outline_single = true};
    for (int labelled = 1; labelled <= 2; labelled++) {
        ck_assert_ptr_null(picture_draw(volume, labels, &o, &rgb));
        const uint8_t *p = rgb->data;
        mf_label_colour(1, color);
        for (int c = 0; c < 3; c++) {
            ck_assert_int_eq(p[(30 * 80 + 40) * 3 + c], labelled == 1 ? 0 : color[c] / 2);
            ck_assert_int_eq(p[30 * 80 * 3 + c], labelled == 1 ? color[c] : color[c] / 2);
            ck_assert_int_eq(p[(59 * 80 + 40) * 3 + c], labelled == 1 ? color[c] : color[c] / 2);
        }
        mf_array_unref(rgb);
        ((uint8_t *)l->data)[l->bytes - 1] = 2; /* in the last slice, which is not drawn */
    }
    mf_array_unref(l);
    mf_artifact_unref(volume), mf_artifact_unref(labels);
}
END_TEST

/* A 10 x 10 square at the left back of slices 3, 11 and 19. */
static mf_artifact *seeds_on(const mf_artifact *volume, int axis)
{
    static const int32_t slices[3] = {3, 11, 19};
    mf_masks_builder *builder;
    mf_artifact *seeds;
    mf_grid grid;
    uint8_t ones[100];
    memset(ones, 1, sizeof ones);
    ck_assert_ptr_null(mf_artifact_grid(volume, &grid));
    ck_assert_ptr_null(mf_masks_begin(&grid, &builder));
    for (int i = 0; i < 3; i++) {
        mf_mask m = {{0, 0, 0}, {10, 10, 10}, 1, axis, slices[i]};
        bool added;
        m.lo[axis] = slices[i];
        m.hi[axis] = slices[i] + 1;
        ck_assert_ptr_null(mf_masks_add(builder, &m, ones, &added));
    }
    ck_assert_ptr_null(mf_artifact_new("seeds", &seeds));
    ck_assert_ptr_null(mf_masks_finish(builder, seeds));
    return seeds;
}

/* Seeds are shown on the slices that hold them, and on no others. */
START_TEST(seeds_are_shown_where_they_are)
{
    mf_artifact *volume, *labels;
    mf_array *rgb;
    make(&volume, &labels);
    mf_artifact *seeds = seeds_on(volume, 0), *others = seeds_on(volume, 1);
    picture_options o = {
        .slices = 9, .columns = 3, .tile = 80, .center = 100, .width = 200, .opacity = 0.5};
    ck_assert_ptr_null(picture_draw(volume, seeds, &o, &rgb));
    ck_assert_int_eq(rgb->shape[0], 60);
    ck_assert_int_eq(rgb->shape[1], 3 * 80 + 2 * 4);
    for (int i = 0; i < 3; i++) {
        const uint8_t *p = rgb->data;
        uint8_t color[3];
        mf_label_colour(i + 1, color);
        ck_assert_mem_eq(p + (50 * rgb->shape[1] + i * 84 + 60) * 3, color, 3);
    }
    mf_array_unref(rgb);
    o.slices = 1; /* the one in the middle */
    ck_assert_ptr_null(picture_draw(volume, seeds, &o, &rgb));
    uint8_t color[3];
    mf_label_colour(2, color);
    ck_assert_int_eq(rgb->shape[1], 80);
    ck_assert_mem_eq((uint8_t *)rgb->data + (50 * 80 + 60) * 3, color, 3);
    mf_array_unref(rgb);
    o.slices = 10; /* seeds across another axis: slices as of masks */
    o.columns = 10;
    ck_assert_ptr_null(picture_draw(volume, others, &o, &rgb));
    ck_assert_int_eq(rgb->shape[1], 10 * 80 + 9 * 4);
    mf_array_unref(rgb);
    mf_artifact_unref(volume), mf_artifact_unref(labels);
    mf_artifact_unref(seeds), mf_artifact_unref(others);
}
END_TEST

/* Five tiles of 64 pixels: the longer side of a slice is the tile's, gaps are dark. */
START_TEST(tiles_are_laid_out)
{
    static const int64_t expect[3][2] = {
        {2 * 48 + 4, 3 * 64 + 8}, {3 * 32 + 8, 2 * 64 + 4}, {3 * 43 + 8, 2 * 64 + 4}};
    mf_artifact *volume, *labels;
    mf_array *rgb;
    make(&volume, &labels);
    for (int axis = 0; axis < 3; axis++) {
        picture_options o = {.axis = axis,
                             .slices = 5,
                             .columns = axis ? 2 : 3,
                             .tile = 64,
                             .low = 1,
                             .high = 99,
                             .opacity = 0.4};
        ck_assert_ptr_null(picture_draw(volume, NULL, &o, &rgb));
        ck_assert_int_eq(rgb->shape[0], expect[axis][0]);
        ck_assert_int_eq(rgb->shape[1], expect[axis][1]);
        const uint8_t *p = rgb->data;
        ck_assert_int_eq(p[(10 * rgb->shape[1] + 65) * 3], 32);
        mf_array_unref(rgb);
    }
    mf_artifact_unref(volume), mf_artifact_unref(labels);
}
END_TEST

static int grey_at(const mf_array *rgb, int64_t x, int64_t y)
{
    return ((const uint8_t *)rgb->data)[(y * rgb->shape[1] + x) * 3];
}

/* R on the left, L on the right, as two of their dots say: R has its upper left one and its right
 * one below it, L its lower right one and not the middle one above. */
static void check_sides(const mf_array *rgb)
{
    ck_assert_int_eq(grey_at(rgb, 2, 25), 210);
    ck_assert_int_eq(grey_at(rgb, 6, 25), 0);
    ck_assert_int_eq(grey_at(rgb, 6, 27), 210);
    ck_assert_int_eq(grey_at(rgb, 72, 25), 210);
    ck_assert_int_eq(grey_at(rgb, 74, 25), 0);
    ck_assert_int_eq(grey_at(rgb, 76, 33), 210);
}

START_TEST(sides_are_marked)
{
    mf_artifact *volume, *labels;
    mf_array *rgb;
    mf_grid grid;
    picture_options o = {.slices = 1, .tile = 80, .center = 100, .width = 200};
    make(&volume, &labels);
    ck_assert_ptr_null(picture_draw(volume, NULL, &o, &rgb));
    check_sides(rgb);
    mf_array_unref(rgb);
    /* The bright block is at the patient's right: where index 0 is the patient's right it lies at
     * the other side of the picture, and R is still at its left. */
    ck_assert_ptr_null(mf_artifact_grid(volume, &grid));
    grid.direction[0] = -1;
    ck_assert_ptr_null(mf_artifact_set_grid(volume, &grid));
    ck_assert_ptr_null(picture_draw(volume, NULL, &o, &rgb));
    check_sides(rgb);
    ck_assert_int_eq(grey_at(rgb, 5, 5), 0);
    ck_assert_int_eq(grey_at(rgb, 75, 5), 255);
    mf_array_unref(rgb);
    /* Across x there is no side to mark. */
    o.axis = 2;
    ck_assert_ptr_null(picture_draw(volume, NULL, &o, &rgb));
    for (int64_t y = 0; y < rgb->shape[0] - 14; y++) /* above the number of the slice */
        for (int64_t x = 0; x < rgb->shape[1]; x++)
            ck_assert_int_ne(grey_at(rgb, x, y), 210);
    mf_array_unref(rgb);
    /* Nor where the file does not say how the patient lies. */
    o.axis = 0;
    ck_assert_ptr_null(mf_artifact_set_text(volume, "sides", "assumed"));
    ck_assert_ptr_null(picture_draw(volume, NULL, &o, &rgb));
    ck_assert_int_eq(grey_at(rgb, 2, 25), 0);
    mf_array_unref(rgb);
    mf_artifact_unref(volume), mf_artifact_unref(labels);
}
END_TEST

START_TEST(names_have_a_legend)
{
    mf_artifact *volume, *labels;
    mf_array *rgb;
    picture_options o = {
        .slices = 1, .tile = 80, .center = 100, .width = 200, .opacity = 0.5, .fill = true};
    make(&volume, &labels);
    ck_assert_ptr_null(mf_artifact_set_text(labels, "names", "2=not there\n4=liver #6400c8\n"));
    ck_assert_ptr_null(picture_draw(volume, labels, &o, &rgb));
    /* one line for the one label that is there: a swatch of 10 pixels in its colour */
    ck_assert_int_eq(rgb->shape[0], 60 + 16 + 8);
    const uint8_t *p = rgb->data, color[3] = {0x64, 0, 0xc8};
    ck_assert_mem_eq(p + (68 * 80 + 4) * 3, color, 3);
    ck_assert_mem_eq(p + (77 * 80 + 13) * 3, color, 3);
    ck_assert_int_eq(p[(68 * 80 + 14) * 3], 32);
    /* the area has it, too */
    ck_assert_int_eq(p[(50 * 80 + 70) * 3], 0x64 / 2);
    ck_assert_int_eq(p[(50 * 80 + 70) * 3 + 2], 0xc8 / 2);
    mf_array_unref(rgb);
    mf_artifact_unref(volume), mf_artifact_unref(labels);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("overlay");
    TCase *cases = tcase_create("picture");
    tcase_add_test(cases, right_is_left_and_front_is_up);
    tcase_add_test(cases, one_label_alone_is_outlined);
    tcase_add_test(cases, seeds_are_shown_where_they_are);
    tcase_add_test(cases, tiles_are_laid_out);
    tcase_add_test(cases, sides_are_marked);
    tcase_add_test(cases, names_have_a_legend);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
