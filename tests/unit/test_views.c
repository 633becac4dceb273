/* The parts of augment.views: draws, the affine map, intensities, whole pairs. */
#include "../expect.h"
#include "../run_suite.h"
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "affine.h"
#include "draw.h"
#include "intensity.h"
#include "pair.h"
#include "view.h"
#include "views_golden.h"

enum { SZ = 10, SY = 9, SX = 12, VZ = 6, VY = 5, VX = 8, VIEW = VZ * VY * VX };
static const int64_t small_size[3] = {SZ, SY, SX}, small_view[3] = {VZ, VY, VX};
static const int64_t small_lo[3] = {2, 2, 2};

/* The input of tests/golden/make_views.py. */
static void golden_volume(float *voxels, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        voxels[i] =
            (float)((double)((uint32_t)((uint64_t)i * 2654435761u) >> 16) / 65536 * 4 - 1.5);
}

static void golden_view(float *view)
{
    float volume[SZ * SY * SX];
    golden_volume(volume, SZ * SY * SX);
    for (int z = 0; z < VZ; z++)
        for (int y = 0; y < VY; y++)
            memcpy(view + (z * VY + y) * VX, volume + ((z + 2) * SY + y + 2) * SX + 2,
                   VX * sizeof *view);
}

static void near_all(const float *got, const float *expected, int n, float tolerance)
{
    for (int i = 0; i < n; i++)
        ck_assert_msg(fabsf(got[i] - expected[i]) <= tolerance, "voxel %d: %.7g, expected %.7g", i,
                      (double)got[i], (double)expected[i]);
}

static void check_affine(const mf_affine *affine, const float *image, const uint8_t *bits)
{
    float src[SZ * SY * SX], dst[VIEW];
    uint16_t packed[SZ * SY * SX], row[VX];
    uint8_t masks[3 * VIEW];
    mf_index_map map;
    golden_volume(src, SZ * SY * SX);
    for (int i = 0; i < SZ * SY * SX; i++)
        packed[i] =
            (uint16_t)((src[i] > 0.5f) | (src[i] < -0.5f) << 1 | (fabsf(src[i]) < 0.7f) << 2);
    mf_affine_map(affine, small_size, &map);
    mf_affine_image(&map, src, small_size, small_lo, small_view, dst);
    /* Seven lerps of values up to 2.5 in float, and the golden's seven digits. */
    near_all(dst, image, VIEW, 4e-6f);
    mf_affine_masks(&map, packed, small_size, small_lo, small_view, 3, row, masks);
    for (int i = 0; i < VIEW; i++)
        ck_assert_int_eq(masks[i] | masks[VIEW + i] << 1 | masks[2 * VIEW + i] << 2, bits[i]);
}

START_TEST(affine_is_grid_samples)
{
    const mf_affine first = {
        {0.8, 1.1, 1.3}, {0.05, -0.1, 0.07, 0.02, -0.03, 0.09}, {0}, {17, -23, 8}};
    const mf_affine second = {{1.4, 1.3, 1.2}, {0}, {0.2, -0.3, 0.1}, {-30, 29, 12}};
    check_affine(&first, affine_image_1, affine_bits_1);
    check_affine(&second, affine_image_2, affine_bits_2);
    int outside = 0; /* the second reaches outside, or the borders were not tested */
    for (int i = 0; i < VIEW; i++)
        outside += affine_image_2[i] == 0;
    ck_assert_int_gt(outside, 10);
}
END_TEST

START_TEST(identity_changes_nothing)
{
    const mf_affine none = {{1, 1, 1}, {0}, {0}, {0}};
    const int64_t size[3] = {1, 3, 5}, lo[3] = {0, 0, 0}; /* an axis of one voxel too */
    float src[15], dst[15];
    uint16_t bits[15], row[5];
    uint8_t masks[15];
    mf_index_map map;
    golden_volume(src, 15);
    for (int i = 0; i < 15; i++)
        bits[i] = (uint16_t)(i & 1);
    mf_affine_map(&none, size, &map);
    mf_affine_image(&map, src, size, lo, size, dst);
    ck_assert_mem_eq(src, dst, sizeof src);
    mf_affine_masks(&map, bits, size, lo, size, 1, row, masks);
    for (int i = 0; i < 15; i++)
        ck_assert_int_eq(masks[i], bits[i]);
}
END_TEST

START_TEST(intensities_are_pytorchs)
{
    float view[VIEW];
    golden_view(view);
    mf_intensity_gamma(view, VIEW, 1.25);
    near_all(view, gamma_125, VIEW, 4e-6f);
    golden_view(view);
    mf_intensity_contrast(view, VIEW, 1.3);
    near_all(view, contrast_130, VIEW, 2e-6f);
    golden_view(view);
    ok(mf_intensity_blur(view, small_view, 0.9));
    near_all(view, blur_09, VIEW, 2e-6f);
    float flat[3] = {2, 2, 2};
    mf_intensity_gamma(flat, 3, 2);
    mf_intensity_contrast(flat, 3, 2);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(flat[i], 2);
    mf_intensity_multiply(flat, 3, 1.5f);
    mf_intensity_add(flat, 3, -0.25f);
    ck_assert_float_eq(flat[2], 2.75f);
}
END_TEST

START_TEST(noise_is_normal_and_keyed)
{
    enum { N = 200001 };
    float *a = calloc(N, sizeof *a), *b = calloc(N, sizeof *b);
    const uint32_t key[2] = {7, 8}, other[2] = {7, 9};
    double sum = 0, squares = 0, fourth = 0, product = 0;
    mf_intensity_noise(a, N, key, 0.5f);
    mf_intensity_noise(b, N, other, 0.5f);
    for (int i = 0; i < N; i++) {
        double v = a[i] / 0.5;
        sum += v;
        squares += v * v;
        fourth += v * v * v * v;
        product += v * b[i] / 0.5;
    }
    /* Five standard errors of the mean, variance, fourth moment and correlation. */
    double error = 5 / sqrt(N);
    ck_assert_double_eq_tol(sum / N, 0, error);
    ck_assert_double_eq_tol(squares / N, 1, error * sqrt(2));
    ck_assert_double_eq_tol(fourth / N, 3, error * sqrt(96));
    ck_assert_double_eq_tol(product / N, 0, error);
    free(a);
    free(b);
}
END_TEST

static const double one[2] = {1, 1};

/* Neither view changed at all. */
static mf_pair_settings plain(int64_t size)
{
    const mf_reals same = {one, 2};
    const mf_view_settings none = {
        .brightness_range = same, .gamma_range = same, .contrast_range = same, .blur_range = same};
    return (mf_pair_settings){.size = {size, size, size},
                              .margin = 6,
                              .overlap_ratio = 0.67,
                              .masks = 13,
                              .ones_mask_prob = 0,
                              .weak = none,
                              .strong = none};
}

START_TEST(crops_overlap_around_the_anchor)
{
    mf_pair_settings settings = plain(20);
    const int64_t shape[3] = {22, 60, 41}; /* z has room for 22 of 26 */
    int64_t lowest[3] = {99, 99, 99}, highest[3] = {0}, apart[3] = {0};
    for (uint64_t i = 0; i < 4000; i++) {
        mf_random random;
        mf_crops crops;
        mf_random_seed(&random, 1, "", i);
        mf_crops_draw(shape, &settings, &random, &crops);
        for (int c = 0; c < 3; c++) {
            ck_assert_int_eq(crops.size[c], c == 0 ? 22 : 26);
            for (int view = 0; view < 2; view++) {
                int64_t lo = crops.lo[view][c];
                ck_assert_int_ge(lo, 0);
                ck_assert_int_le(lo + crops.size[c], shape[c]);
                lowest[c] = lo < lowest[c] ? lo : lowest[c];
                highest[c] = lo > highest[c] ? lo : highest[c];
            }
            int64_t away = llabs(crops.lo[0][c] - crops.lo[1][c]);
            apart[c] = away > apart[c] ? away : apart[c];
        }
    }
    for (int c = 0; c < 3; c++) { /* every place is reached */
        ck_assert_int_eq(lowest[c], 0);
        ck_assert_int_eq(highest[c], shape[c] - (c == 0 ? 22 : 26));
    }
    ck_assert_int_eq(apart[0], 0);
    ck_assert_int_eq(apart[1], 26 - 17); /* int(26 * 0.67) = 17 */
    ck_assert_int_eq(apart[2], 26 - 17);
}
END_TEST

START_TEST(subsets_are_fair_and_ascending)
{
    int seen[7] = {0};
    for (uint64_t i = 0; i < 7000; i++) {
        mf_random random;
        int64_t chosen[3];
        mf_random_seed(&random, 5, "", i);
        ok(mf_subset_draw(7, 3, &random, chosen));
        ck_assert(0 <= chosen[0] && chosen[0] < chosen[1] && chosen[1] < chosen[2] &&
                  chosen[2] < 7);
        for (int j = 0; j < 3; j++)
            seen[chosen[j]]++;
    }
    for (int j = 0; j < 7; j++) /* 3000, five deviations of sqrt(7000 * 3/7 * 4/7) = 41 */
        ck_assert_int_lt(abs(seen[j] - 3000), 207);
}
END_TEST

/* A sample whose image is 10 where its only mask is, else index-like noise; `n` masks more are
 * single voxels at the corner. */
static mf_artifact *ball_sample(int64_t nz, int64_t ny, int64_t nx, int n)
{
    mf_artifact *sample;
    mf_array *image;
    mf_grid grid;
    mf_masks_builder *builder;
    bool added;
    uint8_t *dense = calloc((size_t)(nz * ny * nx), 1), dot = 1;
    mf_grid_identity(&grid, (const int64_t[]){nx, ny, nz}, (const double[]){1.5, 1.5, 1.5});
    ok(mf_artifact_new("sample", &sample));
    ok(mf_array_new(MF_F32, 3, (const int64_t[]){nz, ny, nx}, &image));
    float *voxels = image->data;
    for (int64_t z = 0, i = 0; z < nz; z++)
        for (int64_t y = 0; y < ny; y++)
            for (int64_t x = 0; x < nx; x++, i++) {
                double a = (double)(z - nz / 2), b = (double)(y - ny / 2), c = (double)(x - nx / 2);
                dense[i] = a * a / 49 + b * b / 81 + c * c / 64 < 1 && c + b > -4;
                voxels[i] = dense[i] ? 10 : 0;
            }
    ok(mf_masks_begin(&grid, &builder));
    mf_mask whole = {{0, 0, 0}, {nz, ny, nx}, 1, -1, -1},
            corner = {{0, 0, 0}, {1, 1, 1}, 1, -1, -1};
    ok(mf_masks_add(builder, &whole, dense, &added));
    for (int k = 0; k < n; k++)
        ok(mf_masks_add(builder, &corner, &dot, &added));
    ok(mf_masks_finish(builder, sample));
    ok(mf_artifact_add(sample, "image", image));
    mf_array_unref(image);
    free(dense);
    return sample;
}

static const char *scan_of(const mf_artifact *sample, mf_artifact **item)
{
    ok(mf_artifact_new("pair", item));
    ok(mf_view_mark_scan(sample, item));
    return mf_artifact_text(*item, "scan");
}

/* An item shows the same scan where the image is the same in its middle, whatever the masks. */
START_TEST(scans_are_known_by_their_images)
{
    enum { N = 4 };
    mf_artifact *sample[N] = {ball_sample(12, 13, 14, 0), ball_sample(12, 13, 14, 3),
                              ball_sample(13, 12, 14, 0)};
    mf_artifact *item[N];
    const char *scan[N];
    mf_array *image;
    ok(mf_array_new(MF_F32, 3, (const int64_t[]){12, 13, 14}, &image));
    mf_array *like;
    ok(mf_artifact_array(sample[0], "image", &like));
    memcpy(image->data, like->data, image->bytes);
    ((float *)image->data)[5 * 13 * 14 + 1] += 1e-6f;
    ok(mf_artifact_new("sample", &sample[3]));
    ok(mf_artifact_add(sample[3], "image", image));
    for (int i = 0; i < N; i++)
        scan[i] = scan_of(sample[i], &item[i]);
    ck_assert_str_eq(scan[0], scan[1]);
    ck_assert_str_ne(scan[0], scan[2]);
    ck_assert_str_ne(scan[0], scan[3]);
    for (int i = 0; i < N; i++) {
        mf_artifact_unref(item[i]);
        mf_artifact_unref(sample[i]);
    }
    mf_array_unref(image);
    mf_array_unref(like);
}
END_TEST

static mf_array *array_of(const mf_artifact *a, const char *name)
{
    mf_array *array;
    ok(mf_artifact_array(a, name, &array));
    return array;
}

START_TEST(masks_stay_on_the_image)
{
    mf_artifact *sample = ball_sample(30, 32, 34, 0);
    mf_pair_settings settings = plain(24);
    settings.weak.affine_prob = settings.strong.affine_prob = 1;
    settings.weak.scale = settings.strong.scale = (mf_real3){{0.2, 0.2, 0.2}};
    settings.weak.rotate = settings.strong.rotate = (mf_int3){{30, 30, 30}};
    settings.strong.shear = (mf_real3){{0.1, 0.1, 0.1}};
    int64_t marked = 0, wrong = 0;
    for (uint64_t i = 0; i < 6; i++) {
        mf_artifact *pair;
        mf_random random;
        mf_random_seed(&random, 3, "", i);
        ok(mf_pair_make(sample, &settings, &random, &pair));
        for (int view = 0; view < 2; view++) {
            mf_array *image = array_of(pair, view ? "query" : "reference");
            mf_array *masks = array_of(pair, view ? "query_masks" : "reference_masks");
            ck_assert_int_eq(masks->rank, 4);
            ck_assert_int_eq(masks->shape[0], 13); /* the only one, again and again */
            ck_assert_int_eq(masks->shape[3], 24);
            const float *v = image->data;
            const uint8_t *m = masks->data;
            for (int64_t j = 0; j < mf_array_count(image); j++) {
                marked += m[j];
                /* At the border a nearest voxel and a trilinear mean may differ, no more. */
                wrong += m[j] ? v[j] < 1.25f : v[j] > 8.75f;
            }
            mf_array_unref(image);
            mf_array_unref(masks);
        }
        mf_artifact_unref(pair);
    }
    ck_assert_int_gt(marked, 6000);
    ck_assert_int_eq(wrong, 0);
    mf_artifact_unref(sample);
}
END_TEST

/* Without distortions both views are places of the scan, and the ones mask is all ones. */
START_TEST(plain_views_are_crops)
{
    mf_artifact *sample = ball_sample(26, 26, 26, 3);
    mf_pair_settings settings = plain(24), affine;
    mf_artifact *pair;
    mf_random random;
    settings.ones_mask_prob = 1;
    settings.masks = 4;
    mf_random_seed(&random, 9, "", 1);
    ok(mf_pair_make(sample, &settings, &random, &pair));
    mf_array *image = array_of(pair, "query"), *masks = array_of(pair, "query_masks");
    ck_assert_int_eq(masks->shape[0], 4);
    const uint8_t *m = masks->data;
    const int64_t n = mf_array_count(image);
    int full = 0;
    for (int k = 0; k < 4; k++) {
        int64_t set = 0;
        for (int64_t i = 0; i < n; i++)
            set += m[k * n + i];
        full += set == n;
        if (k == 0 && set < n)
            for (int64_t i = 0; i < n; i++)
                ck_assert_float_eq(((float *)image->data)[i], m[i] ? 10 : 0);
    }
    ck_assert_int_eq(full, 1);
    mf_array_unref(image);
    mf_array_unref(masks);
    mf_artifact_unref(pair);
    /* After an affine map that reaches outside, all ones ends where the crop ended. */
    affine = settings;
    affine.strong.affine_prob = 1;
    affine.strong.translate = (mf_real3){{1, 1, 1}};
    affine.masks = 1;
    mf_random_seed(&random, 9, "", 2);
    ok(mf_pair_make(sample, &affine, &random, &pair));
    masks = array_of(pair, "query_masks");
    int64_t set = 0;
    for (int64_t i = 0; i < mf_array_count(masks); i++)
        set += ((uint8_t *)masks->data)[i];
    ck_assert_int_gt(set, 0);
    ck_assert_int_lt(set, mf_array_count(masks));
    mf_array_unref(masks);
    mf_artifact_unref(pair);
    mf_artifact_unref(sample);
}
END_TEST

/* Only the ball can be seen in most crops: then all masks are the ball, else most are empty. */
START_TEST(seen_masks_only)
{
    mf_artifact *sample = ball_sample(44, 44, 44, 40), *pair;
    mf_pair_settings settings = plain(16);
    int same[2] = {0};
    for (uint64_t i = 0; i < 40; i++) {
        mf_random random;
        mf_random_seed(&random, 4, "", i / 2);
        settings.visible_only = i & 1;
        ok(mf_pair_make(sample, &settings, &random, &pair));
        mf_array *masks = array_of(pair, "reference_masks");
        const uint8_t *m = masks->data;
        ck_assert_int_eq(masks->shape[0], 13);
        int64_t marked = 0, voxels = 16 * 16 * 16;
        bool equal = true;
        for (int64_t j = 0; j < 13 * voxels; j++) {
            marked += m[j];
            equal = equal && m[j] == m[j % voxels];
        }
        same[i & 1] += equal && marked;
        mf_array_unref(masks);
        mf_artifact_unref(pair);
    }
    ck_assert_int_eq(same[0], 0);
    ck_assert_int_gt(same[1], 10);
    mf_artifact_unref(sample);
}
END_TEST

/* Every number and size of unions, each as often as any other; each mask in one place. */
START_TEST(unions_as_the_official_sampler)
{
    enum { N = 40, COUNT = 6, TRIALS = 9000 };
    int numbers[COUNT] = {0}, sizes[8] = {0}, in[N] = {0}, members = 0, unions = 0;
    for (uint64_t i = 0; i < TRIALS; i++) {
        mf_random random;
        mf_unions u;
        bool drawn, seen[N] = {0};
        int number = 0;
        mf_random_seed(&random, 6, "", i);
        ok(mf_unions_draw(N, COUNT, &random, &u, &drawn));
        ck_assert(drawn);
        ck_assert_int_eq(u.first[0], 0);
        for (int k = 0; k < COUNT; k++) {
            int64_t size = u.first[k + 1] - u.first[k];
            ck_assert(size >= 1 && size <= 5);
            ck_assert(size > 1 || !number); /* unions come last */
            number += size > 1;
            sizes[size]++;
        }
        for (int64_t m = 0; m < u.first[COUNT]; m++) {
            ck_assert(!seen[u.member[m]]);
            seen[u.member[m]] = true;
            in[u.member[m]]++;
        }
        numbers[number]++;
        unions += number;
        members += (int)u.first[COUNT];
    }
    ck_assert_int_eq(numbers[0], 0);
    for (int k = 1; k <= 3; k++) /* a third: five deviations of sqrt(9000 * 1/3 * 2/3) = 45 */
        ck_assert_int_lt(abs(numbers[k] - TRIALS / 3), 225);
    for (int k = 2; k <= 5; k++) /* a quarter: five deviations of sqrt(18000 * 1/4 * 3/4) = 58 */
        ck_assert_int_lt(abs(sizes[k] - unions / 4), 290);
    for (int k = 0; k < N; k++) /* the masks alike: sqrt(members) or less */
        ck_assert_int_lt(abs(in[k] - members / N), 5 * (int)sqrt(members / N));
}
END_TEST

/* With few masks there are no unions, or small ones: never more members than masks. */
START_TEST(unions_of_few_masks)
{
    int drawn_of[12] = {0};
    for (int64_t n = 1; n < 12; n++)
        for (uint64_t i = 0; i < 200; i++) {
            mf_random random;
            mf_unions u;
            bool drawn;
            mf_random_seed(&random, 8, "", i);
            ok(mf_unions_draw(n, 6, &random, &u, &drawn));
            drawn_of[n] += drawn;
            if (drawn)
                ck_assert_int_le(u.first[6], n);
        }
    for (int n = 1; n < 8; n++)
        ck_assert_int_eq(drawn_of[n], 0);             /* fewer than 6 + 2 */
    ck_assert(drawn_of[8] > 80 && drawn_of[8] < 180); /* 1 or 2 unions fit, 3 do not */
    ck_assert_int_eq(drawn_of[9], 200);
    /* One mask: it is the union. */
    mf_random random;
    mf_unions u;
    bool drawn;
    mf_random_seed(&random, 8, "", 0);
    ok(mf_unions_draw(3, 1, &random, &u, &drawn));
    ck_assert(drawn && u.first[1] >= 2 && u.first[1] <= 3);
}
END_TEST

/* A sample whose mask k is the slice z = k. */
static mf_artifact *slabs(int64_t size, int n)
{
    mf_artifact *sample;
    mf_array *image;
    mf_grid grid;
    mf_masks_builder *builder;
    bool added;
    uint8_t *dense = malloc((size_t)(size * size));
    memset(dense, 1, (size_t)(size * size));
    mf_grid_identity(&grid, (const int64_t[]){size, size, size}, (const double[]){1, 1, 1});
    ok(mf_artifact_new("sample", &sample));
    ok(mf_array_new(MF_F32, 3, (const int64_t[]){size, size, size}, &image));
    ok(mf_masks_begin(&grid, &builder));
    for (int k = 0; k < n; k++) {
        mf_mask slab = {{k, 0, 0}, {k + 1, size, size}, 1, -1, -1};
        ok(mf_masks_add(builder, &slab, dense, &added));
    }
    ok(mf_masks_finish(builder, sample));
    ok(mf_artifact_add(sample, "image", image));
    mf_array_unref(image);
    free(dense);
    return sample;
}

/* The slabs that a mask of a view has, as bits; each slab is there whole, or not at all. */
static uint32_t slabs_of(const uint8_t *mask, int64_t size)
{
    uint32_t bits = 0;
    for (int64_t z = 0; z < size; z++) {
        int64_t set = 0;
        for (int64_t i = 0; i < size * size; i++)
            set += mask[z * size * size + i];
        ck_assert(set == 0 || set == size * size);
        bits |= (uint32_t)(set > 0) << z;
    }
    return bits;
}

/* Both views have the same unions, cut out or by an affine map that changes nothing. */
START_TEST(unions_in_both_views)
{
    enum { SIZE = 24, MASKS = 5 };
    mf_artifact *sample = slabs(SIZE, SIZE), *pair;
    mf_pair_settings settings = plain(SIZE);
    int unions = 0, merged = 0;
    settings.masks = MASKS;
    settings.merge_prob = 0.5;
    settings.strong.affine_prob = 1; /* no scale, no angle: the identity */
    for (uint64_t i = 0; i < 60; i++) {
        mf_random random;
        uint32_t all = 0;
        mf_random_seed(&random, 12, "", i);
        ok(mf_pair_make(sample, &settings, &random, &pair));
        mf_array *reference = array_of(pair, "reference_masks"),
                 *query = array_of(pair, "query_masks");
        ck_assert_mem_eq(reference->data, query->data, reference->bytes);
        int here = 0;
        for (int k = 0; k < MASKS; k++) {
            uint32_t own = slabs_of((uint8_t *)reference->data + k * SIZE * SIZE * SIZE, SIZE);
            ck_assert(own && !(all & own)); /* no slab is in two masks */
            all |= own;
            here += (own & (own - 1)) != 0;
        }
        ck_assert_int_le(here, 2);
        unions += here;
        merged += here > 0;
        mf_array_unref(reference);
        mf_array_unref(query);
        mf_artifact_unref(pair);
    }
    ck_assert(merged > 10 && merged < 50); /* 30, five deviations of sqrt(60 / 4) = 3.9 */
    ck_assert_int_gt(unions, merged);
    mf_artifact_unref(sample);
}
END_TEST

struct maker {
    const mf_artifact *sample;
    const mf_pair_settings *settings;
    mf_artifact *pairs[4];
};

static void *make_backwards(void *argument)
{
    struct maker *maker = argument;
    for (uint64_t i = 4; i-- > 0;) {
        mf_random random;
        mf_random_seed(&random, 11, "", i);
        ok(mf_pair_make(maker->sample, maker->settings, &random, &maker->pairs[i]));
    }
    return NULL;
}

START_TEST(pairs_repeat)
{
    mf_artifact *sample = ball_sample(30, 32, 34, 6), *first[4];
    const double range[2] = {0.8, 1.2};
    const mf_reals wide = {range, 2};
    mf_pair_settings settings = plain(20);
    mf_view_settings all = {.affine_prob = 1,
                            .scale = {{0.3, 0.3, 0.3}},
                            .rotate = {{30, 30, 30}},
                            .brightness_prob = 1,
                            .brightness_additive_prob = 1,
                            .gamma_prob = 1,
                            .contrast_prob = 1,
                            .blur_prob = 1,
                            .gaussian_noise_prob = 1,
                            .brightness_range = wide,
                            .gamma_range = wide,
                            .contrast_range = wide,
                            .blur_range = wide,
                            .brightness_additive_std = 0.1,
                            .gaussian_noise_std = 0.02};
    settings.weak = settings.strong = all;
    settings.masks = 4;
    for (uint64_t i = 0; i < 4; i++) {
        mf_random random;
        mf_random_seed(&random, 11, "", i);
        ok(mf_pair_make(sample, &settings, &random, &first[i]));
    }
    /* On two threads at once, from the last to the first. */
    pthread_t threads[2];
    struct maker makers[2] = {{sample, &settings, {NULL}}, {sample, &settings, {NULL}}};
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, make_backwards, &makers[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    static const char *const names[] = {"reference", "query", "reference_masks", "query_masks"};
    for (int i = 0; i < 8; i++) {
        const mf_artifact *again = makers[i / 4].pairs[i % 4];
        for (int j = 0; j < 4; j++) {
            mf_array *a = array_of(first[i % 4], names[j]), *b = array_of(again, names[j]);
            ck_assert_uint_eq(a->bytes, b->bytes);
            ck_assert_mem_eq(a->data, b->data, a->bytes);
            if (j < 2 && i % 4 > 0) { /* other items differ */
                mf_array *c = array_of(first[i % 4 - 1], names[j]);
                ck_assert_mem_ne(a->data, c->data, a->bytes);
                mf_array_unref(c);
            }
            mf_array_unref(a);
            mf_array_unref(b);
        }
        mf_artifact_unref(again);
    }
    for (int i = 0; i < 4; i++)
        mf_artifact_unref(first[i]);
    mf_artifact_unref(sample);
}
END_TEST

START_TEST(bad_samples_are_refused)
{
    mf_artifact *sample = ball_sample(30, 32, 34, 0), *empty, *pair = sample;
    mf_pair_settings settings = plain(31);
    mf_random random;
    mf_array *image;
    mf_random_seed(&random, 1, "", 0);
    fails(mf_pair_make(sample, &settings, &random, &pair),
          "the sample has 34x32x30 voxels, a view 31x31x31\n"
          "  let mass.prepare pad samples to at least the view");
    ck_assert_ptr_null(pair);
    mf_artifact_unref(sample);
    ok(mf_artifact_new("sample", &empty));
    fails(mf_pair_make(empty, &settings, &random, &pair),
          "the sample has no image of f32 and three axes");
    ok(mf_array_new(MF_F32, 3, (const int64_t[]){40, 40, 40}, &image));
    ok(mf_artifact_add(empty, "image", image));
    mf_array_unref(image);
    pair = sample;
    fails(mf_pair_make(empty, &settings, &random, &pair), "the sample has no mask");
    ck_assert_ptr_null(pair);
    mf_artifact_unref(empty);
}
END_TEST

/* Exact draws, so that none moves unseen; frequencies as the weights are, those of weight 0 never.
 */
START_TEST(weighted_draws)
{
    static const double weight[] = {6, 0, 1.5, 0.5}, nothing[] = {0, 0};
    static const int64_t first[] = {2, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0};
    int64_t count[4] = {0};
    for (int64_t i = 0; i < 8000; i++)
        count[mf_draw_weighted(42, weight, 4, i)]++;
    ck_assert_int_eq(count[1], 0);
    for (int k = 0; k < 4; k++) { /* 5 standard deviations of a binomial */
        double p = weight[k] / 8;
        ck_assert_double_le(fabs((double)count[k] - 8000 * p), 5 * sqrt(8000 * p * (1 - p)));
    }
    for (int64_t i = 0; i < 12; i++)
        ck_assert_int_eq(mf_draw_weighted(7, weight, 4, i), first[i]);
    ck_assert_int_eq(mf_draw_weighted(42, nothing, 2, 0), -1);
    ck_assert_int_eq(mf_draw_weighted(42, weight, 1, 7), 0);
}
END_TEST

/* Each sample once a round. */
START_TEST(draws_of_each)
{
    for (int64_t round = 0; round < 3; round++) {
        int met = 0;
        for (int64_t i = 0; i < 7; i++) {
            int64_t sample = -1;
            ok(mf_draw_each(true, 42, 7, 7 * round + i, &sample));
            met |= 1 << sample;
        }
        ck_assert_int_eq(met, 127);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("views");
    TCase *tests = tcase_create("views");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, affine_is_grid_samples);
    tcase_add_test(tests, identity_changes_nothing);
    tcase_add_test(tests, intensities_are_pytorchs);
    tcase_add_test(tests, noise_is_normal_and_keyed);
    tcase_add_test(tests, crops_overlap_around_the_anchor);
    tcase_add_test(tests, subsets_are_fair_and_ascending);
    tcase_add_test(tests, masks_stay_on_the_image);
    tcase_add_test(tests, plain_views_are_crops);
    tcase_add_test(tests, seen_masks_only);
    tcase_add_test(tests, unions_as_the_official_sampler);
    tcase_add_test(tests, unions_of_few_masks);
    tcase_add_test(tests, unions_in_both_views);
    tcase_add_test(tests, pairs_repeat);
    tcase_add_test(tests, bad_samples_are_refused);
    tcase_add_test(tests, weighted_draws);
    tcase_add_test(tests, scans_are_known_by_their_images);
    tcase_add_test(tests, draws_of_each);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
