/* Tests of the phantom: the same seed gives the same bytes, cases differ, organs lie where they
 * should and look as they should, and a lesion is there when it is said to be. */
#include "../run_suite.h"
#include "anatomy.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct drawn {
    mf_array *voxels, *labels;
    anatomy_lesion lesion;
} drawn;

static anatomy_options plain(anatomy_modality modality)
{
    anatomy_options o = {.modality = modality,
                         .organs = 8,
                         .lesion = 1,
                         .lesion_size = 1,
                         .lesion_contrast = 1,
                         .variation = 1,
                         .noise = 1};
    const int64_t size[3] = {56, 48, 40};
    const double spacing[3] = {3, 3, 4};
    mf_grid_identity(&o.grid, size, spacing);
    return o;
}

static drawn draw(const anatomy_options *o, const char *name)
{
    drawn d;
    mf_random r;
    mf_random_seed(&r, 7, name, 0);
    ck_assert_ptr_null(anatomy_draw(o, &r, &d.voxels, &d.labels, &d.lesion));
    return d;
}

static void drop(drawn *d)
{
    mf_array_unref(d->voxels);
    mf_array_unref(d->labels);
}

START_TEST(same_seed_same_bytes)
{
    for (int m = ANATOMY_CT; m <= ANATOMY_PET; m++) {
        anatomy_options o = plain((anatomy_modality)m);
        drawn a = draw(&o, "001"), b = draw(&o, "001"), c = draw(&o, "002");
        ck_assert_mem_eq(a.voxels->data, b.voxels->data, a.voxels->bytes);
        ck_assert_mem_eq(a.labels->data, b.labels->data, a.labels->bytes);
        ck_assert_int_ne(memcmp(a.voxels->data, c.voxels->data, a.voxels->bytes), 0);
        ck_assert_int_ne(memcmp(a.labels->data, c.labels->data, a.labels->bytes), 0);
        drop(&a), drop(&b), drop(&c);
    }
}
END_TEST

/* Every organ is there; the liver lies to the right of the spleen and the spine at the back. */
START_TEST(organs_keep_their_arrangement)
{
    anatomy_options o = plain(ANATOMY_CT);
    o.organs = ANATOMY_ORGANS;
    for (int c = 0; c < 6; c++) {
        char name[8] = {(char)('a' + c)};
        drawn d = draw(&o, name);
        const uint8_t *l = d.labels->data;
        double sum[ANATOMY_ORGANS + 1][3] = {{0}}, count[ANATOMY_ORGANS + 1] = {0};
        for (int64_t z = 0, at = 0; z < 40; z++)
            for (int64_t y = 0; y < 48; y++)
                for (int64_t x = 0; x < 56; x++, at++) {
                    ck_assert_int_le(l[at], ANATOMY_ORGANS);
                    count[l[at]]++;
                    sum[l[at]][0] += (double)x, sum[l[at]][1] += (double)y;
                    sum[l[at]][2] += (double)z;
                }
        for (int i = 1; i <= ANATOMY_ORGANS; i++)
            ck_assert_msg(count[i] >= 20, "case %s: %s has %g voxels", name, anatomy_organ(i),
                          count[i]);
        ck_assert_double_gt(sum[1][0] / count[1], sum[2][0] / count[2] + 15);
        ck_assert_double_gt(sum[5][1] / count[5], sum[6][1] / count[6] + 5);
        ck_assert_double_gt(sum[13][2] / count[13], sum[8][2] / count[8] + 20);
        drop(&d);
    }
}
END_TEST

/* Far from the body's outline a tissue has its mean: 105 HU in the liver, air below -950. */
START_TEST(intensities_are_those_of_the_tissue)
{
    anatomy_options o = plain(ANATOMY_CT);
    o.lesion = 0;
    drawn d = draw(&o, "1");
    const uint8_t *l = d.labels->data;
    const int16_t *v = d.voxels->data;
    double sum = 0, count = 0;
    for (int64_t i = 0; i < mf_array_count(d.labels); i++)
        if (l[i] == 1)
            sum += v[i], count++;
    ck_assert_double_lt(fabs(sum / count - 105), 15); /* borders are blurred into fat and muscle */
    ck_assert_int_lt(v[0], -950);
    ck_assert(!d.lesion.present);
    ck_assert_double_eq(d.lesion.volume_ml, 0);
    drop(&d);
}
END_TEST

/* With and without a lesion the scans differ at the lesion and within the blur around it only. */
START_TEST(lesion_is_the_only_difference)
{
    for (int m = ANATOMY_CT; m <= ANATOMY_PET; m++) {
        anatomy_options o = plain((anatomy_modality)m);
        o.lesion_label = true;
        drawn with = draw(&o, "x");
        o.lesion = 0;
        drawn without = draw(&o, "x");
        const uint8_t *a = with.labels->data, *b = without.labels->data;
        int64_t lesion = 0, other = 0;
        for (int64_t i = 0; i < mf_array_count(with.labels); i++) {
            lesion += a[i] == 9;
            other += a[i] != 9 && a[i] != b[i];
            ck_assert(a[i] != 9 || b[i] == 1);
        }
        ck_assert_int_eq(other, 0);
        ck_assert_int_ge(lesion, 20);
        ck_assert(with.lesion.present && !without.lesion.present);
        ck_assert_double_eq_tol(with.lesion.volume_ml, (double)lesion * 36 / 1000, 1e-9);
        size_t size = mf_dtype_size(with.voxels->dtype);
        int64_t changed = 0;
        for (int64_t i = 0; i < mf_array_count(with.labels); i++)
            changed += memcmp((char *)with.voxels->data + i * (int64_t)size,
                              (char *)without.voxels->data + i * (int64_t)size, size) != 0;
        ck_assert_int_ge(changed, lesion);
        ck_assert_int_le(changed, 25 * lesion); /* the blur reaches three voxels at most */
        drop(&with), drop(&without);
    }
}
END_TEST

START_TEST(lesions_come_with_their_probability)
{
    anatomy_options o = plain(ANATOMY_CT);
    const int64_t size[3] = {16, 16, 16};
    const double spacing[3] = {10, 10, 10};
    mf_grid_identity(&o.grid, size, spacing);
    o.lesion = 0.5;
    o.lesion_size = 2;
    int present = 0;
    for (int c = 0; c < 200; c++) {
        char name[8];
        snprintf(name, sizeof name, "%03d", c);
        drawn d = draw(&o, name);
        present += d.lesion.present;
        drop(&d);
    }
    /* Binomial(200, 1/2): 100 +- 4.2 deviations of 7.07 */
    ck_assert_int_ge(present, 70);
    ck_assert_int_le(present, 130);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("phantom");
    TCase *cases = tcase_create("anatomy");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, same_seed_same_bytes);
    tcase_add_test(cases, organs_keep_their_arrangement);
    tcase_add_test(cases, intensities_are_those_of_the_tissue);
    tcase_add_test(cases, lesion_is_the_only_difference);
    tcase_add_test(cases, lesions_come_with_their_probability);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
