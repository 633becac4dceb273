/* test_desk_look.c - what the desk draws of a volume: sides, slices, masks, values. */
#include "../expect.h"
#include "../run_suite.h"
#include "desk/planes.h"
#include "desk/range.h"
#include "desk/regions.h"
#include "desk/slabs.h"
#include <check.h>
#include <math.h>
#include <string.h>

/* ---- sides ----------------------------------------------------------------------------------- */

/* A grid whose axes x, y, z grow to three letters, turned by `degrees` about two axes. */
static mf_grid grid_of(const char *codes, double degrees)
{
    const double a = degrees * M_PI / 180, c = cos(a), s = sin(a);
    const double about_z[9] = {c, -s, 0, s, c, 0, 0, 0, 1},
                 about_x[9] = {1, 0, 0, 0, c, -s, 0, s, c};
    mf_grid g;
    mf_grid_identity(&g, (const int64_t[]){20, 30, 40}, (const double[]){0.5, 0.75, 3});
    double m[9] = {0}, t[9] = {0};
    for (int j = 0; j < 3; j++) {
        const char *plus = strchr("RAS", codes[j]), *minus = strchr("LPI", codes[j]);
        m[3 * (plus ? plus - "RAS" : minus - "LPI") + j] = plus ? 1 : -1;
    }
    for (int r = 0; r < 3; r++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 3; k++)
                t[3 * r + j] += about_z[3 * r + k] * m[3 * k + j];
    memset(g.direction, 0, sizeof g.direction);
    for (int r = 0; r < 3; r++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 3; k++)
                g.direction[3 * r + j] += about_x[3 * r + k] * t[3 * k + j];
    return g;
}

/* Where the patient is when one goes from one pixel to the next: by the grid, not by the letters.
 */
static void step_of(const mf_grid *g, int axis, bool back, double d[3])
{
    double from[3] = {10, 10, 10}, to[3] = {10, 10, 10}, a[3], b[3];
    to[axis] += back ? -1 : 1;
    mf_grid_to_world(g, from, a);
    mf_grid_to_world(g, to, b);
    for (int i = 0; i < 3; i++)
        d[i] = (b[i] - a[i]) / g->spacing[axis];
}

/* Each letter of a mark is where the step goes, and the strongest part of the step has a letter. */
static void check_mark(const double d[3], const char *mark)
{
    int most = 0;
    for (int i = 0; i < 3; i++)
        most = fabs(d[i]) > fabs(d[most]) + 1e-9 ? i : most;
    ck_assert_int_eq(mark[0], (d[most] > 0 ? "RAS" : "LPI")[most]);
    for (const char *m = mark; *m; m++) {
        const char *plus = strchr("RAS", *m), *minus = strchr("LPI", *m);
        ck_assert(plus ? d[plus - "RAS"] > 0.29 : d[minus - "LPI"] < -0.29);
    }
}

static void check_planes(const mf_grid *g, bool neurological)
{
    desk_plane planes[DESK_VIEWS];
    desk_planes(g, neurological, planes);
    for (int v = 0; v < DESK_VIEWS; v++) {
        const desk_plane *p = planes + v;
        double right[3], down[3], left[3], up[3];
        ck_assert_int_eq((1 << p->across) | (1 << p->column) | (1 << p->row), 7);
        step_of(g, p->column, p->column_back, right);
        step_of(g, p->row, p->row_back, down);
        for (int i = 0; i < 3; i++) {
            left[i] = -right[i];
            up[i] = -down[i];
        }
        check_mark(right, p->right);
        check_mark(left, p->left);
        check_mark(down, p->bottom);
        check_mark(up, p->top);
        /* the convention itself */
        if (v == DESK_SAGITTAL)
            ck_assert(right[1] < 0); /* the front is on the left */
        else
            ck_assert(neurological ? right[0] > 0 : right[0] < 0);
        ck_assert(v == DESK_AXIAL ? down[1] < 0 : down[2] < 0);
    }
}

static const char *const all_codes[] = {
    "RAS", "LAS", "RPS", "LPS", "RAI", "LAI", "RPI", "LPI", "RSA", "LSA", "RSP", "LSP",
    "RIA", "LIA", "RIP", "LIP", "ARS", "ALS", "PRS", "PLS", "ARI", "ALI", "PRI", "PLI",
    "ASR", "ASL", "PSR", "PSL", "AIR", "AIL", "PIR", "PIL", "SRA", "SLA", "SRP", "SLP",
    "IRA", "ILA", "IRP", "ILP", "SAR", "SAL", "SPR", "SPL", "IAR", "IAL", "IPR", "IPL"};

START_TEST(every_orientation_is_marked_by_where_its_pixels_lie)
{
    static const double turned[] = {0, 4, -11, 24, 38};
    for (size_t i = 0; i < sizeof all_codes / sizeof *all_codes; i++)
        for (size_t k = 0; k < sizeof turned / sizeof *turned; k++)
            for (int side = 0; side < 2; side++) {
                const mf_grid g = grid_of(all_codes[i], turned[k]);
                check_planes(&g, side == 1);
            }
}
END_TEST

START_TEST(radiologists_see_the_right_on_the_left)
{
    desk_plane p[DESK_VIEWS];
    const mf_grid g = grid_of("RAS", 0);
    desk_planes(&g, false, p);
    ck_assert_str_eq(p[DESK_AXIAL].left, "R");
    ck_assert_str_eq(p[DESK_AXIAL].right, "L");
    ck_assert_str_eq(p[DESK_AXIAL].top, "A");
    ck_assert_str_eq(p[DESK_AXIAL].bottom, "P");
    ck_assert_str_eq(p[DESK_CORONAL].left, "R");
    ck_assert_str_eq(p[DESK_CORONAL].top, "S");
    ck_assert_str_eq(p[DESK_SAGITTAL].left, "A");
    ck_assert_str_eq(p[DESK_SAGITTAL].top, "S");
    ck_assert(p[DESK_AXIAL].column_back && p[DESK_AXIAL].row_back);
    ck_assert_int_eq(p[DESK_AXIAL].across, 2);
    desk_planes(&g, true, p);
    ck_assert_str_eq(p[DESK_AXIAL].left, "L");
    ck_assert_str_eq(p[DESK_CORONAL].right, "R");
    ck_assert_str_eq(p[DESK_SAGITTAL].left, "A");
    ck_assert(!p[DESK_AXIAL].column_back);
}
END_TEST

START_TEST(oblique_planes_have_several_letters)
{
    desk_plane p[DESK_VIEWS];
    mf_grid g = grid_of("LPS", 0);
    const double c = cos(30 * M_PI / 180), s = sin(30 * M_PI / 180);
    memcpy(g.direction, (const double[]){-c, s, 0, -s, -c, 0, 0, 0, 1}, sizeof g.direction);
    desk_planes(&g, false, p);
    ck_assert_str_eq(p[DESK_AXIAL].left, "RA");
    ck_assert_str_eq(p[DESK_AXIAL].right, "LP");
    ck_assert_str_eq(p[DESK_AXIAL].top, "AL");
    ck_assert_str_eq(p[DESK_AXIAL].bottom, "PR");
    ck_assert_str_eq(p[DESK_CORONAL].top, "S");
}
END_TEST

/* ---- slices ---------------------------------------------------------------------------------- */

enum { X = 70, Y = 9, Z = 130 };

static int64_t value_at(int64_t z, int64_t y, int64_t x)
{
    return (z * 200 + y * 20 + x) % 30000 - 1000;
}

static mf_artifact *volume_of(const char *type, mf_dtype dtype)
{
    const int64_t shape[3] = {Z, Y, X};
    mf_array *voxels;
    mf_artifact *a;
    mf_grid g;
    ok(mf_array_new(dtype, 3, shape, &voxels));
    for (int64_t z = 0, i = 0; z < Z; z++)
        for (int64_t y = 0; y < Y; y++)
            for (int64_t x = 0; x < X; x++, i++) {
                if (dtype == MF_I16)
                    ((int16_t *)voxels->data)[i] = (int16_t)value_at(z, y, x);
                else if (dtype == MF_F64)
                    ((double *)voxels->data)[i] = (double)value_at(z, y, x) / 2;
                else
                    ((uint8_t *)voxels->data)[i] = (uint8_t)value_at(z, y, x);
            }
    mf_grid_identity(&g, (const int64_t[]){X, Y, Z}, (const double[]){1, 1, 2});
    ok(mf_artifact_new(type, &a));
    ok(mf_artifact_set_grid(a, &g));
    ok(mf_artifact_add(a, "voxels", voxels));
    mf_array_unref(voxels);
    return a;
}

static desk_source *opened(mf_artifact *a)
{
    desk_source *s;
    ok(desk_source_open(a, &s));
    mf_artifact_unref(a);
    return s;
}

START_TEST(slices_across_any_axis_are_those_of_the_volume)
{
    desk_source *s = opened(volume_of("volume", MF_I16));
    static const int64_t sizes[3] = {Z, Y, X};
    static int16_t got[Z * Y * X];
    desk_slabs *slabs;
    ok(desk_slabs_new(0, &slabs)); /* nothing is kept beyond its use */
    for (int axis = 0; axis < 3; axis++) {
        const desk_cut cut = {axis, 1, sizes[axis] - 2}; /* over several slabs */
        int64_t rows, columns;
        desk_slice_shape(s, axis, &rows, &columns);
        ok(desk_slabs_slices(slabs, s, "a", NULL, "", &cut, got));
        const int16_t *at = got;
        for (int64_t i = 1; i < sizes[axis] - 1; i++)
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < columns; c++) {
                    const int64_t z = axis == 0 ? i : r,
                                  y = axis == 1   ? i
                                      : axis == 0 ? r
                                                  : c,
                                  x = axis == 2 ? i : c;
                    ck_assert_int_eq(*at++, value_at(z, y, x));
                }
    }
    desk_slabs_free(slabs);
    desk_source_free(s);
}
END_TEST

START_TEST(wide_reals_are_sent_as_narrow_ones)
{
    desk_source *s = opened(volume_of("volume", MF_F64));
    static float got[Y * X];
    desk_slabs *slabs;
    ck_assert_int_eq(s->dtype, MF_F32);
    ck_assert_int_eq(s->stored, MF_F64);
    ok(desk_slabs_new(1 << 20, &slabs));
    ok(desk_slabs_slices(slabs, s, "a", NULL, "", &(desk_cut){0, 3, 1}, got));
    ck_assert_float_eq(got[X + 7], (float)value_at(3, 1, 7) / 2);
    desk_slabs_free(slabs);
    desk_source_free(s);
}
END_TEST

START_TEST(what_is_kept_is_read_once_and_bounded)
{
    desk_source *s = opened(volume_of("volume", MF_I16));
    static int16_t got[Y * X];
    const size_t slab = 64 * Y * X * 2;
    desk_slabs *slabs;
    ok(desk_slabs_new(2 * slab, &slabs));
    for (int64_t i = 0; i < Z; i++)
        ok(desk_slabs_slices(slabs, s, "a", NULL, "", &(desk_cut){0, i, 1}, got));
    ck_assert_uint_eq(desk_slabs_read_count(slabs), 3); /* 64 + 64 + 2 slices */
    ok(desk_slabs_slices(slabs, s, "a", NULL, "", &(desk_cut){0, 70, 1}, got));
    ck_assert_uint_eq(desk_slabs_read_count(slabs), 3); /* still there */
    ok(desk_slabs_slices(slabs, s, "a", NULL, "", &(desk_cut){0, 0, 1}, got));
    ck_assert_uint_eq(desk_slabs_read_count(slabs), 4); /* had to go */
    ck_assert_int_eq(got[0], value_at(0, 0, 0));
    ok(desk_slabs_slices(slabs, s, "b", NULL, "", &(desk_cut){0, 0, 1}, got));
    ck_assert_uint_eq(desk_slabs_read_count(slabs), 5); /* another artifact */
    desk_slabs_free(slabs);
    desk_source_free(s);
}
END_TEST

START_TEST(slices_that_are_not_there_are_refused)
{
    desk_source *s = opened(volume_of("volume", MF_I16));
    static int16_t got[Y * X];
    desk_slabs *slabs;
    ok(desk_slabs_new(1 << 20, &slabs));
    fails(desk_slabs_slices(slabs, s, "a", NULL, "", &(desk_cut){1, 8, 2}, got),
          "slices 8 to 9 of 9 across y");
    fails(desk_slabs_slices(slabs, s, "a", NULL, "", &(desk_cut){0, -1, 1}, got),
          "slices -1 to -1 of 130 across z");
    fails(desk_slabs_slices(slabs, s, "a", NULL, "", &(desk_cut){3, 0, 1}, got),
          "there is no axis 3");
    ck_assert_uint_eq(desk_slabs_read_count(slabs), 0);
    desk_slabs_free(slabs);
    desk_source_free(s);
}
END_TEST

START_TEST(what_has_no_planes_is_refused)
{
    desk_source *s;
    mf_artifact *a;
    mf_grid g;
    ok(mf_artifact_new("table", &a));
    fails(desk_source_open(a, &s), "a result of type table has no planes to look at");
    ck_assert_ptr_null(s);
    mf_artifact_unref(a);
    a = volume_of("volume", MF_I16);
    mf_grid_identity(&g, (const int64_t[]){X, Y, Z + 1}, (const double[]){1, 1, 1});
    ok(mf_artifact_set_grid(a, &g));
    fails(desk_source_open(a, &s), "voxels [130, 9, 70] on a grid of [131, 9, 70]");
    mf_artifact_unref(a);
}
END_TEST

/* ---- masks ----------------------------------------------------------------------------------- */

static void add_block(mf_masks_builder *b, const int64_t lo[3], const int64_t hi[3])
{
    static uint8_t dense[Z * Y * X];
    mf_mask mask = {.score = 0.5f, .seed_axis = 0, .seed_slice = 3};
    bool added;
    memset(dense, 1, sizeof dense);
    memcpy(mask.lo, lo, sizeof mask.lo);
    memcpy(mask.hi, hi, sizeof mask.hi);
    ok(mf_masks_add(b, &mask, dense, &added));
}

/* 0: small, inside of 1. 1: large. 2: apart. */
static desk_source *three_masks(void)
{
    mf_masks_builder *b;
    mf_artifact *a;
    mf_grid g;
    mf_grid_identity(&g, (const int64_t[]){X, Y, Z}, (const double[]){1, 1, 1});
    ok(mf_masks_begin(&g, &b));
    add_block(b, (const int64_t[]){2, 2, 2}, (const int64_t[]){4, 4, 4});
    add_block(b, (const int64_t[]){0, 0, 0}, (const int64_t[]){100, 6, 6});
    add_block(b, (const int64_t[]){0, 0, 20}, (const int64_t[]){5, 2, 22});
    ok(mf_artifact_new("masks", &a));
    ok(mf_masks_finish(b, a));
    return opened(a);
}

START_TEST(a_mask_inside_of_another_is_seen)
{
    desk_source *s = three_masks();
    static uint16_t got[Y * X];
    static const uint8_t only_large[3] = {0, 1, 0}, none[3] = {0};
    desk_slabs *slabs;
    ok(desk_slabs_new(1 << 20, &slabs));
    ck_assert_int_eq(s->voxels[1], 3600);
    ok(desk_slabs_slices(slabs, s, "m", NULL, "", &(desk_cut){0, 3, 1}, got));
    ck_assert_uint_eq(got[3 * X + 3], 1);
    ck_assert_uint_eq(got[5 * X + 5], 2);
    ck_assert_uint_eq(got[1 * X + 21], 3);
    ck_assert_uint_eq(got[6 * X + 6], 0);
    ok(desk_slabs_slices(slabs, s, "m", only_large, "1", &(desk_cut){0, 3, 1}, got));
    ck_assert_uint_eq(got[3 * X + 3], 2);
    ck_assert_uint_eq(got[1 * X + 21], 0);
    ok(desk_slabs_slices(slabs, s, "m", none, "", &(desk_cut){0, 3, 1},
                         got)); /* not all that is kept */
    ck_assert_uint_eq(got[3 * X + 3], 0);
    ok(desk_slabs_slices(slabs, s, "m", none, "", &(desk_cut){0, 80, 1}, got));
    ck_assert_uint_eq(got[3 * X + 3], 0);
    ok(desk_slabs_slices(slabs, s, "m", NULL, "", &(desk_cut){0, 80, 1}, got));
    ck_assert_uint_eq(got[3 * X + 3], 2); /* the second slab */
    desk_slabs_free(slabs);
    desk_source_free(s);
}
END_TEST

/* ---- labels and values ----------------------------------------------------------------------- */

START_TEST(labels_are_counted_and_have_a_place)
{
    const int64_t shape[3] = {Z, Y, X};
    mf_array *voxels;
    mf_artifact *a;
    mf_grid g;
    desk_region *r;
    int64_t count;
    ok(mf_array_new(MF_U8, 3, shape, &voxels));
    uint8_t *v = voxels->data;
    for (int64_t z = 10; z < 90; z++) /* a ring, the largest at z = 70, its middle is not of it */
        for (int64_t y = 1; y < 6; y++)
            for (int64_t x = 1; x < 6; x++)
                if (y == 1 || y == 5 || x == 1 || x == 5)
                    if (z == 70 || x != 1)
                        v[(z * Y + y) * X + x] = 200;
    v[0] = 7;
    mf_grid_identity(&g, (const int64_t[]){X, Y, Z}, (const double[]){1, 1, 1});
    ok(mf_artifact_new("labels", &a));
    ok(mf_artifact_set_grid(a, &g));
    ok(mf_artifact_add(a, "voxels", voxels));
    desk_source *s = opened(a);
    ok(desk_regions_of(s, &r, &count));
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(r[0].label, 7);
    ck_assert_int_eq(r[0].voxels, 1);
    ck_assert(r[0].at[0] == 0 && r[0].at[1] == 0 && r[0].at[2] == 0);
    ck_assert_int_eq(r[1].label, 200);
    ck_assert_int_eq(r[1].voxels, 79 * 11 + 16);
    ck_assert_int_eq(r[1].at[0], 70);
    ck_assert_int_eq(v[(r[1].at[0] * Y + r[1].at[1]) * X + r[1].at[2]], 200);
    free(r);
    mf_array_unref(voxels);
    desk_source_free(s);
}
END_TEST

START_TEST(the_range_is_that_of_the_values)
{
    desk_source *s = opened(volume_of("volume", MF_I16));
    desk_range range;
    ok(desk_range_of(s, &range));
    ck_assert_int_eq(range.values, Z * Y * X);
    ck_assert_double_eq(range.min, -1000);
    ck_assert_double_eq(range.max, (double)value_at(Z - 1, Y - 1, X - 1));
    ck_assert(range.at[0] < range.at[5] && range.at[5] < range.at[10]);
    ck_assert_double_eq_tol(range.at[5], (range.min + range.max) / 2, 200);
    desk_source_free(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("desk_look");
    TCase *sides = tcase_create("sides"), *slices = tcase_create("slices");
    tcase_add_test(sides, every_orientation_is_marked_by_where_its_pixels_lie);
    tcase_add_test(sides, radiologists_see_the_right_on_the_left);
    tcase_add_test(sides, oblique_planes_have_several_letters);
    tcase_add_test(slices, slices_across_any_axis_are_those_of_the_volume);
    tcase_add_test(slices, wide_reals_are_sent_as_narrow_ones);
    tcase_add_test(slices, what_is_kept_is_read_once_and_bounded);
    tcase_add_test(slices, slices_that_are_not_there_are_refused);
    tcase_add_test(slices, what_has_no_planes_is_refused);
    tcase_add_test(slices, a_mask_inside_of_another_is_seen);
    tcase_add_test(slices, labels_are_counted_and_have_a_place);
    tcase_add_test(slices, the_range_is_that_of_the_values);
    suite_add_tcase(s, sides);
    suite_add_tcase(s, slices);
    return run_suite(s);
}
