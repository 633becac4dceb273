/* What crops become before a network restores them: hidden patches, and the distortions of Models
 * Genesis. Their draws are compared with a second implementation by tests/golden. */
#include "../expect.h"
#include "../run_suite.h"
#include "curve.h"
#include "genesis.h"
#include "masking.h"
#include "painting.h"

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 48 * 48 * 48 };
static float image[MOST], one[MOST], two[MOST];

static int64_t count_of(const int64_t size[3])
{
    return size[0] * size[1] * size[2];
}

/* ---- masking --------------------------------------------------------------------------------- */

START_TEST(patches_are_hidden_whole)
{
    const mf_masking m = {.crop = {32, 48, 16}, .patch = 8, .share = 0.75};
    ck_assert_int_eq(mf_masking_patches(&m), 48);
    ck_assert_int_eq(mf_masking_hidden(&m), 36);
    int hidden[48] = {0}, together = 0;
    for (int item = 0; item < 400; item++) {
        int64_t sum = 0, wrong = 0;
        ok(mf_masking_draw(&m, 7, item, one));
        for (int64_t z = 0; z < 32; z++)
            for (int64_t y = 0; y < 48; y++)
                for (int64_t x = 0; x < 16; x++) {
                    const float v = one[(z * 48 + y) * 16 + x];
                    const float first = one[((z / 8 * 8) * 48 + y / 8 * 8) * 16 + x / 8 * 8];
                    wrong += v != first || (v != 0 && v != 1);
                    sum += v > 0;
                    hidden[(z / 8 * 6 + y / 8) * 2 + x / 8] += v > 0;
                }
        ck_assert_int_eq(wrong, 0);
        ck_assert_int_eq(sum, 36 * 512);
        together += one[0] > 0 && one[count_of(m.crop) - 1] > 0;
    }
    /* Each with probability 3/4, pairs with 36 x 35 / (48 x 47): within five standard deviations.
     */
    for (int i = 0; i < 48; i++)
        ck_assert_int_le(abs(hidden[i] / 512 - 300), 44);
    ck_assert_int_le(abs(together - 223), 50);
}
END_TEST

START_TEST(masks_depend_on_seed_and_item_alone)
{
    const mf_masking m = {.crop = {32, 32, 32}, .patch = 8, .share = 0.6};
    const size_t bytes = (size_t)count_of(m.crop) * sizeof(float);
    ok(mf_masking_draw(&m, 1, 5, one));
    ok(mf_masking_draw(&m, 1, 6, two));
    ck_assert(memcmp(one, two, bytes));
    ok(mf_masking_draw(&m, 2, 5, two));
    ck_assert(memcmp(one, two, bytes));
    ok(mf_masking_draw(&m, 1, 5, two));
    ck_assert(!memcmp(one, two, bytes));
}
END_TEST

START_TEST(shares_of_patches)
{
    mf_masking m = {.crop = {16, 16, 80}, .patch = 16, .share = 0.6};
    ck_assert_int_eq(mf_masking_hidden(&m), 3); /* 0.6 x 5, though that is a little above 3 */
    m.share = 0.5;
    ck_assert_int_eq(mf_masking_hidden(&m), 3);
    m.share = 0.79;
    ok(mf_masking_check(&m));
    m.share = 0.81;
    fails(mf_masking_check(&m),
          "a mask share of 0.81 hides 5 of the 5 patches of a crop of 16 x 16 x 80 (z y x); at "
          "least one must be hidden and one seen\n"
          "  lower mask_patch, or change mask_share");
    for (int i = 0; i < 3; i++) {
        const double shares[] = {0, 1, NAN};
        char text[160];
        m.share = shares[i];
        snprintf(text, sizeof text,
                 "a mask share of %g: it must be above 0, or there is no loss, and below 1, or "
                 "nothing is seen",
                 shares[i]);
        fails(mf_masking_check(&m), text);
    }
    m = (mf_masking){.crop = {16, 24, 80}, .patch = 16, .share = 0.5};
    fails(mf_masking_check(&m), "a crop of 16 x 24 x 80 (z y x) is not whole patches of 16 voxels\n"
                                "  change mask_patch, or the size of the crops");
}
END_TEST

START_TEST(targets_are_normalized_patch_by_patch)
{
    const mf_masking m = {.crop = {2, 2, 4}, .patch = 2, .share = 0.5};
    for (int i = 0; i < 16; i++)
        image[i] = i % 4 < 2 ? 3 : (float)i; /* x < 2: constant */
    mf_masking_normalize(&m, image, one);
    /* 2 3 6 7 10 11 14 15: mean 8.5, squares 162, variance 162 / 7 */
    for (int i = 0; i < 16; i++) {
        const double want = i % 4 < 2 ? 0 : (i - 8.5) / sqrt(162.0 / 7 + 1e-6);
        ck_assert_double_eq_tol((double)one[i], want, 1e-7);
    }
    mf_masking_normalize(&m, image, image);
    ck_assert(!memcmp(image, one, 16 * sizeof(float)));
}
END_TEST

/* ---- the nonlinear change -------------------------------------------------------------------- */

START_TEST(curves)
{
    static mf_curve c;
    const double straight[4] = {1.0 / 3, 1.0 / 3, 2.0 / 3, 2.0 / 3}, other[4] = {0.5, 0, 0.5, 1};
    mf_curve_make(straight, false, &c);
    for (int i = 0; i <= 1000; i++)
        ck_assert_double_eq_tol(mf_curve_at(&c, i / 1000.0), i / 1000.0, 1e-12);
    mf_curve_make(straight, true, &c);
    for (int i = 0; i <= 1000; i++)
        ck_assert_double_eq_tol(mf_curve_at(&c, i / 1000.0), 1 - i / 1000.0, 1e-12);
    /* x = 1.5 t (1 - t) + t^3, y = 3 (1 - t) t^2 + t^3: at t = 1/4, x = 19/64, y = 10/64 */
    mf_curve_make(other, false, &c);
    ck_assert_double_eq_tol(mf_curve_at(&c, 19.0 / 64), 10.0 / 64, 1e-12);
    ck_assert_double_eq_tol(mf_curve_at(&c, 0.5), 0.5, 1e-12);
    ck_assert_double_eq(mf_curve_at(&c, -1), 0);
    ck_assert_double_eq(mf_curve_at(&c, 2), 1);
    ck_assert_double_eq(mf_curve_at(&c, NAN), 0);
}
END_TEST

START_TEST(drawn_curves_are_monotone)
{
    static mf_curve c;
    mf_random random;
    int falling = 0, wrong = 0;
    mf_random_seed(&random, 3, "curves", 0);
    for (int n = 0; n < 200; n++) {
        mf_curve_draw(&random, &c);
        const bool falls = c.y[0] > 0.5;
        falling += falls;
        ck_assert_double_eq(mf_curve_at(&c, 0), falls);
        ck_assert_double_eq(mf_curve_at(&c, 1), !falls);
        for (int i = 1; i <= MF_CURVE_STEPS; i++)
            wrong += c.x[i] < c.x[i - 1] || (c.y[i] - c.y[i - 1]) * (falls ? -1 : 1) < 0;
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_le(abs(falling - 100), 36); /* five standard deviations */
}
END_TEST

/* ---- boxes ----------------------------------------------------------------------------------- */

/* Each voxel's value is its own index. */
static void number(const int64_t size[3])
{
    for (int64_t i = 0; i < count_of(size); i++)
        image[i] = (float)i;
}

START_TEST(shuffling_is_local)
{
    const int64_t size[3] = {40, 32, 48};
    mf_random random;
    int64_t moved = 0, wrong = 0;
    number(size);
    mf_random_seed(&random, 3, "shuffle", 0);
    ok(mf_painting_shuffle(&random, size, image, one));
    for (int64_t i = 0; i < count_of(size); i++) {
        const int64_t from = (int64_t)one[i];
        wrong += llabs(from % 48 - i % 48) >= 4 || llabs(from / 48 % 32 - i / 48 % 32) >= 3 ||
                 llabs(from / 48 / 32 - i / 48 / 32) >= 4;
        moved += from != i;
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_gt(moved, count_of(size) / 2);
    /* A tenth of 16 is one voxel. */
    const int64_t small[3] = {16, 16, 16};
    ok(mf_painting_shuffle(&random, small, image, one));
    ck_assert(!memcmp(image, one, (size_t)count_of(small) * sizeof(float)));
}
END_TEST

/* Numbers from 1 on: noise is below 1. */
static void start_painting(const int64_t size[3])
{
    number(size);
    for (int64_t i = 0; i < count_of(size); i++)
        one[i] = image[i] = image[i] + 1;
}

static bool near_edge(const int64_t size[3], int64_t i, int64_t margin)
{
    const int64_t at[3] = {i / size[2] / size[1], i / size[2] % size[1], i % size[2]};
    for (int a = 0; a < 3; a++)
        if (at[a] < margin || at[a] >= size[a] - margin)
            return true;
    return false;
}

START_TEST(painting_inside)
{
    const int64_t size[3] = {24, 36, 48};
    int64_t none = 0, most = 0;
    for (uint64_t n = 0; n < 200; n++) {
        mf_random random;
        int64_t painted = 0, wrong = 0;
        start_painting(size);
        mf_random_seed(&random, 3, "inside", n);
        mf_painting_inside(&random, size, one);
        for (int64_t i = 0; i < count_of(size); i++) {
            const bool noise = one[i] < 1;
            wrong += noise ? one[i] < 0 || near_edge(size, i, 3) : one[i] != image[i];
            painted += noise;
        }
        ck_assert_int_eq(wrong, 0);
        none += painted == 0;
        most = painted > most ? painted : most;
        ck_assert(painted == 0 || painted >= 4 * 6 * 8);
    }
    ck_assert_int_le(most, 5 * 8 * 12 * 16);
    ck_assert_int_gt(most, 8 * 12 * 16);
    ck_assert_int_le(none, 26); /* 5 percent, and five standard deviations */
}
END_TEST

START_TEST(painting_outside)
{
    const int64_t size[3] = {16, 28, 35};
    for (uint64_t n = 0; n < 100; n++) {
        mf_random random;
        int64_t kept = 0, wrong = 0;
        start_painting(size);
        mf_random_seed(&random, 3, "outside", n);
        ok(mf_painting_outside(&random, size, one));
        for (int64_t i = 0; i < count_of(size); i++) {
            const bool noise = one[i] < 1;
            wrong += noise ? one[i] < 0 : one[i] != image[i] || near_edge(size, i, 3);
            kept += !noise;
        }
        ck_assert_int_eq(wrong, 0);
        /* one box of 7/16, 12/28 and 15/35 at least, five of 10, 16 and 20 at most */
        ck_assert_int_ge(kept, 7 * 12 * 15);
        ck_assert_int_le(kept, 5 * 10 * 16 * 20);
    }
}
END_TEST

/* ---- all of it ------------------------------------------------------------------------------- */

static const mf_genesis paper = {0.9, 0.5, 0.9, 0.2};

static void draw_image(const int64_t size[3])
{
    mf_random random;
    mf_random_seed(&random, 5, "image", 0);
    for (int64_t i = 0; i < count_of(size); i++)
        image[i] = (float)mf_random_uniform(&random, -1.5, 4);
}

START_TEST(distortions)
{
    static const int64_t size[3] = {32, 32, 32};
    const int64_t n = count_of(size);
    int64_t wrong = 0;
    const mf_genesis nothing = {0, 0, 0, 0.5};
    draw_image(size);
    ok(mf_genesis_distort(&nothing, 1, 0, size, image, one));
    for (int64_t i = 0; i < n; i++)
        wrong += fabsf(one[i] - image[i]) > 1e-6f;
    for (int item = 0; item < 5; item++) {
        ok(mf_genesis_distort(&paper, 1, item, size, image, one));
        for (int64_t i = 0; i < n; i++)
            wrong += one[i] < -1.5f || one[i] > 4.0f;
        ok(mf_genesis_distort(&paper, 2, item, size, image, two));
        ck_assert(memcmp(one, two, (size_t)n * sizeof(float)));
        ok(mf_genesis_distort(&paper, 1, item, size, image, two));
        ck_assert(!memcmp(one, two, (size_t)n * sizeof(float)));
    }
    ck_assert_int_eq(wrong, 0);
    for (int64_t i = 0; i < n; i++)
        image[i] = 2.5f;
    ok(mf_genesis_distort(&paper, 1, 0, size, image, one));
    ck_assert(!memcmp(one, image, (size_t)n * sizeof(float)));
}
END_TEST

/* Of 400 crops: in-painting leaves the corner, out-painting does not. */
START_TEST(probabilities)
{
    static const int64_t size[3] = {16, 16, 16};
    const mf_genesis painting = {0, 0, 0.9, 0.2};
    int inside = 0, outside = 0;
    draw_image(size);
    for (int item = 0; item < 400; item++) {
        bool changed = false;
        ok(mf_genesis_distort(&painting, 1, item, size, image, one));
        const bool corner = fabsf(one[0] - image[0]) > 1e-5f;
        for (int64_t i = 0; i < count_of(size); i++)
            changed |= fabsf(one[i] - image[i]) > 1e-5f;
        outside += corner;
        inside += changed && !corner;
    }
    ck_assert_int_le(abs(outside - 288), 45); /* five standard deviations */
    ck_assert_int_le(abs(inside - 68), 38);   /* 0.9 x 0.2 x 0.95 */
}
END_TEST

START_TEST(small_crops)
{
    static const int64_t size[3] = {32, 32, 12};
    fails(mf_genesis_distort(&paper, 1, 0, size, image, one),
          "a crop of 32 x 32 x 12 (z y x): the boxes of Models Genesis need 16 voxels along each "
          "side");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("restoration");
    TCase *tests = tcase_create("crops");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, patches_are_hidden_whole);
    tcase_add_test(tests, masks_depend_on_seed_and_item_alone);
    tcase_add_test(tests, shares_of_patches);
    tcase_add_test(tests, targets_are_normalized_patch_by_patch);
    tcase_add_test(tests, curves);
    tcase_add_test(tests, drawn_curves_are_monotone);
    tcase_add_test(tests, shuffling_is_local);
    tcase_add_test(tests, painting_inside);
    tcase_add_test(tests, painting_outside);
    tcase_add_test(tests, distortions);
    tcase_add_test(tests, probabilities);
    tcase_add_test(tests, small_crops);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
