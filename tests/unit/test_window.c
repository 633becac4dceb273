/* Tests of colour slices: the arithmetic, the axis, the order of pixels, quantiles in a body. */
#include "../run_suite.h"
#include "rgb.h"
#include <check.h>
#include <stdlib.h>

START_TEST(values_are_clipped_and_truncated)
{
    const int64_t shape[3] = {1, 1, 6};
    const int16_t hu[6] = {-1000, -115, -114, 60, 234, 3000};
    /* 60/350 is -115 .. 235: (v + 115) / 350 * 255, truncated */
    const uint8_t red[6] = {0, 0, 0, 127, 254, 255};
    mf_array *v, *rgb;
    double bounds[3][2];
    ck_assert_ptr_null(mf_array_new(MF_I16, 3, shape, &v));
    for (int i = 0; i < 6; i++)
        ((int16_t *)v->data)[i] = hu[i];
    const window_profile *p = window_profile_find("auto", "CT");
    ck_assert_str_eq(p->name, "abdomen_ct");
    ck_assert_ptr_null(window_rgb_make(v, p, 1, NULL, 0, &rgb, bounds));
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(((uint8_t *)rgb->data)[3 * i], red[i]);
    ck_assert_double_eq(bounds[2][0], -450);
    ck_assert_double_eq(bounds[2][1], 750);
    mf_array_unref(v), mf_array_unref(rgb);
}
END_TEST

/* 16-bit voxels are looked up, others computed: the same picture. */
START_TEST(types_make_no_difference)
{
    const int64_t shape[3] = {2, 40, 50};
    mf_array *narrow, *wide, *a, *b;
    double bounds[3][2];
    ck_assert_ptr_null(mf_array_new(MF_I16, 3, shape, &narrow));
    for (int i = 0; i < 4000; i++)
        ((int16_t *)narrow->data)[i] = (int16_t)(i - 2000);
    ck_assert_ptr_null(mf_array_convert(narrow, MF_I32, &wide));
    for (int p = 0; p < 2; p++) {
        const window_profile *profile = window_profile_find(p ? "brain_mr" : "chest_ct", "");
        ck_assert_ptr_null(window_rgb_make(narrow, profile, 1.5, NULL, 1, &a, bounds));
        ck_assert_ptr_null(window_rgb_make(wide, profile, 1.5, NULL, 1, &b, bounds));
        ck_assert_mem_eq(a->data, b->data, a->bytes);
        mf_array_unref(a), mf_array_unref(b);
    }
    mf_array_unref(narrow), mf_array_unref(wide);
}
END_TEST

/* A scan whose values are below what 32-bit reals hold in full, and one that is nearly flat. */
START_TEST(the_unit_makes_no_difference)
{
    const int64_t shape[3] = {1, 40, 50};
    mf_array *plain, *small, *a, *b;
    double bounds[3][2];
    ck_assert_ptr_null(mf_array_new(MF_F32, 3, shape, &plain));
    ck_assert_ptr_null(mf_array_new(MF_F32, 3, shape, &small));
    const window_profile *profile = window_profile_find("abdomen_mr", "");
    for (int flat = 0; flat < 2; flat++) {
        for (int i = 0; i < 2000; i++) {
            int value = flat ? (i == 7) : i % 200;
            ((float *)plain->data)[i] = (float)value;
            ((float *)small->data)[i] = (float)value * 0x1p-140F;
        }
        ck_assert_ptr_null(window_rgb_make(plain, profile, 1, NULL, 0, &a, bounds));
        ck_assert_ptr_null(window_rgb_make(small, profile, 1, NULL, 0, &b, bounds));
        ck_assert_mem_eq(a->data, b->data, a->bytes);
        ck_assert_int_eq(((uint8_t *)a->data)[3 * 7], flat ? 255 : 0);
        mf_array_unref(a), mf_array_unref(b);
    }
    mf_array_unref(plain), mf_array_unref(small);
}
END_TEST

START_TEST(slices_lie_across_their_axis)
{
    const int64_t n[3] = {3, 4, 5};
    mf_array *v, *rgb;
    double bounds[3][2];
    ck_assert_ptr_null(mf_array_new(MF_U8, 3, n, &v));
    for (int i = 0; i < 60; i++)
        ((uint8_t *)v->data)[i] = (uint8_t)(i * 4);
    const window_profile identity = {"", false, false, {{128, 255}, {128, 255}, {128, 255}}, 0, 0};
    const int64_t expect[3][3] = {{3, 4, 5}, {4, 3, 5}, {5, 3, 4}};
    for (int axis = 0; axis < 3; axis++) {
        ck_assert_ptr_null(window_rgb_make(v, &identity, 1, NULL, axis, &rgb, bounds));
        for (int k = 0; k < 3; k++)
            ck_assert_int_eq(rgb->shape[k], expect[axis][k]);
        const uint8_t *p = rgb->data;
        for (int64_t s = 0; s < rgb->shape[0]; s++)
            for (int64_t r = 0; r < rgb->shape[1]; r++)
                for (int64_t c = 0; c < rgb->shape[2]; c++, p += 3) {
                    int64_t z = axis == 0 ? s : r,
                            y = axis == 0   ? r
                                : axis == 1 ? s
                                            : c,
                            x = axis == 2 ? s : c;
                    int64_t value = ((z * 4 + y) * 5 + x) * 4;
                    ck_assert_int_eq(p[1], value > 0 ? value - 1 : 0);
                }
        mf_array_unref(rgb);
    }
    mf_array_unref(v);
}
END_TEST

START_TEST(axis_is_the_finest)
{
    const int64_t size[3] = {4, 4, 4};
    const double spacings[4][3] = {{1, 1, 1}, {0.8, 0.8, 5}, {3, 1, 1}, {1, 3, 1}};
    const int axis[4] = {0, 0, 2, 1};
    for (int i = 0; i < 4; i++) {
        mf_grid g;
        mf_grid_identity(&g, size, spacings[i]);
        ck_assert_int_eq(window_best_axis(&g), axis[i]);
    }
}
END_TEST

/* 0..100 inside the body, 1000 outside: the quantiles 5-95 are 5 and 95. */
START_TEST(quantiles_are_those_of_the_body)
{
    const int64_t shape[3] = {1, 2, 101};
    mf_array *v, *body, *rgb;
    double bounds[3][2];
    ck_assert_ptr_null(mf_array_new(MF_U16, 3, shape, &v));
    ck_assert_ptr_null(mf_array_new(MF_U8, 3, shape, &body));
    for (int i = 0; i < 101; i++) {
        ((uint16_t *)v->data)[i] = (uint16_t)i;
        ((uint16_t *)v->data)[101 + i] = 1000;
        ((uint8_t *)body->data)[i] = 2;
    }
    const window_profile *p = window_profile_find("auto", "");
    ck_assert_str_eq(p->name, "abdomen_mr");
    ck_assert_ptr_null(window_rgb_make(v, p, 1, body, 0, &rgb, bounds));
    const double expect[3][2] = {{5, 95}, {15, 85}, {1, 99}};
    for (int c = 0; c < 3; c++)
        for (int k = 0; k < 2; k++)
            ck_assert_double_eq_tol(bounds[c][k], expect[c][k], 1e-4);
    ck_assert_int_eq(((uint8_t *)rgb->data)[3 * 50], (int)((50.0 - 5) / 90 * 255));
    mf_array_unref(rgb);
    ck_assert_ptr_null(window_rgb_make(v, p, 1, NULL, 0, &rgb, bounds));
    ck_assert_double_eq_tol(bounds[0][1], 1000, 1e-4);
    mf_array_unref(v), mf_array_unref(body), mf_array_unref(rgb);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("window");
    TCase *cases = tcase_create("rgb");
    tcase_add_test(cases, values_are_clipped_and_truncated);
    tcase_add_test(cases, types_make_no_difference);
    tcase_add_test(cases, the_unit_makes_no_difference);
    tcase_add_test(cases, slices_lie_across_their_axis);
    tcase_add_test(cases, axis_is_the_finest);
    tcase_add_test(cases, quantiles_are_those_of_the_body);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
