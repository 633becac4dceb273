/* slic.masks' parts: the kernels against plain C, connectivity, unions. */
#include "../expect.h"
#include "../run_suite.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choices.h"
#include "clusters.h"
#include "regions.h"
#include "slic.cl.h"

/* Three bright balls and a gradient, with noise, as levels. */
static void fill_levels(uint16_t *level, const int64_t shape[3])
{
    uint32_t noise = 1;
    for (int64_t z = 0, i = 0; z < shape[0]; z++)
        for (int64_t y = 0; y < shape[1]; y++)
            for (int64_t x = 0; x < shape[2]; x++, i++) {
                int64_t v = 300 + 8 * x;
                for (int64_t b = 0; b < 3; b++) {
                    int64_t dz = z - (6 + 3 * b), dy = y - (6 + 8 * b), dx = x - (8 + 11 * b);
                    if (4 * dz * dz + dy * dy + dx * dx < 45)
                        v = 1500 + 900 * b;
                }
                noise = noise * 1664525u + 1013904223u;
                level[i] = (uint16_t)(v + (noise >> 24));
            }
}

/* What slic_assign and slic_sum say, in plain C and in their order of operations. */
static void reference(const mf_clusters *c, const uint16_t *image, uint8_t *slots, int64_t *sums)
{
    const mf_cells *cells = c->cells;
    memset(sums, 0, (size_t)c->count * 27 * 5 * sizeof *sums);
    for (int z = 0, i = 0; z < c->shape[0]; z++)
        for (int y = 0; y < c->shape[1]; y++)
            for (int x = 0; x < c->shape[2]; x++, i++) {
                float best = 0;
                int chosen = -1;
                const int own[3] = {cells[0].of[z], cells[1].of[y], cells[2].of[x]};
                for (int k = 0; k < 27; k++) {
                    const int o[3] = {own[0] + k / 9 - 1, own[1] + k / 3 % 3 - 1,
                                      own[2] + k % 3 - 1};
                    if (o[0] < 0 || o[0] >= cells[0].count || o[1] < 0 || o[1] >= cells[1].count ||
                        o[2] < 0 || o[2] >= cells[2].count)
                        continue;
                    const float *center =
                        c->centers[(o[0] * cells[1].count + o[1]) * cells[2].count + o[2]];
                    float fz = (float)z - center[2], fy = (float)y - center[1];
                    float fx = (float)x - center[0], di = (float)image[i] - center[3];
                    float zz = fz * fz, yy = fy * fy, xx = fx * fx, ii = di * di;
                    float wz = c->weight[0] * zz, wy = c->weight[1] * yy, wx = c->weight[2] * xx;
                    float across = wz + wy, space = wx + across, away = ii + space;
                    if (chosen < 0 || away < best) {
                        best = away;
                        chosen = k;
                    }
                }
                slots[i] = (uint8_t)chosen;
                int64_t *s =
                    sums +
                    (((int64_t)own[0] * cells[1].count + own[1]) * cells[2].count + own[2]) * 27 *
                        5 +
                    5 * chosen;
                s[0]++;
                s[1] += image[i];
                s[2] += x - cells[2].edge[own[2]];
                s[3] += y - cells[1].edge[own[1]];
                s[4] += z - cells[0].edge[own[0]];
            }
}

START_TEST(device_agrees_with_plain_c)
{
    const int64_t shape[3] = {17, 29, 43};
    const double spacing[3] = {0.8, 0.8, 2.5};
    const int64_t voxels = shape[0] * shape[1] * shape[2];
    mf_device *device;
    mf_queue *queue;
    const mf_module *modules[2]; /* the form of this device, the form of GPUs */
    mf_array *image, *slots;
    mf_clusters ours, plain;
    ok(mf_device_open(NULL, &device));
    ok(mf_queue_new(device, &queue));
    const char *const sources[] = {slic_cl, NULL};
    ok(mf_module_build(device, sources, "", &modules[0]));
    ok(mf_module_build(device, sources, "-DRUN=1", &modules[1]));
    ok(mf_array_new(MF_U16, 1, (const int64_t[]){voxels + 16}, &image));
    ok(mf_array_new(MF_U8, 3, shape, &slots));
    fill_levels(image->data, shape);
    uint8_t *expected = malloc((size_t)voxels);
    int32_t *label = malloc((size_t)voxels * sizeof *label);
    for (int i = 0; i < 4; i++) {
        bool round = i & 1;
        double size = round ? 15 : 6.5;
        ok(mf_clusters_new(image->data, shape, spacing, size, 10, &ours));
        ok(mf_clusters_new(image->data, shape, spacing, size, 10, &plain));
        ck_assert_int_eq(ours.count, round ? 3 * 2 * 2 : 7 * 4 * 5);
        int64_t *sums = malloc((size_t)plain.count * 27 * 5 * sizeof *sums);
        ok(mf_clusters_iterate(&ours, queue, modules[i / 2], i < 2 ? mf_clusters_run(queue) : 1,
                               image, 5, slots));
        for (int step = 0; step < 5; step++) {
            reference(&plain, image->data, expected, sums);
            if (step < 4)
                mf_clusters_move(&plain, sums);
        }
        ck_assert_mem_eq(ours.centers, plain.centers, (size_t)ours.count * sizeof *ours.centers);
        ck_assert_mem_eq(slots->data, expected, (size_t)voxels);
        /* Labels and sums are two readings of the slots: centers are means of labels. */
        mf_clusters_labels(&plain, expected, label);
        mf_clusters_move(&plain, sums);
        for (int64_t n = 0; n < plain.count; n++) {
            double count = 0, sum = 0, xs = 0;
            for (int64_t v = 0; v < voxels; v++)
                if (label[v] == n) {
                    count++;
                    sum += ((uint16_t *)image->data)[v];
                    xs += (double)(v % shape[2]);
                }
            if (count == 0)
                continue;
            ck_assert_float_eq(plain.centers[n][3], (float)(sum / count));
            ck_assert_float_eq(plain.centers[n][0], (float)(xs / count));
        }
        free(sums);
        mf_clusters_free(&ours);
        mf_clusters_free(&plain);
    }
    free(expected);
    free(label);
    mf_array_unref(image);
    mf_array_unref(slots);
    mf_queue_free(queue);
    mf_device_unref(device);
}
END_TEST

START_TEST(centers_start_where_it_is_flat)
{
    /* One cell of 5 x 5 x 5; a step in x between 2 and 3 makes its neighbourhood steep. */
    uint16_t image[125 + 16];
    mf_clusters c;
    for (int i = 0; i < 125; i++)
        image[i] = i % 5 > 2 ? 4000 : 100;
    ok(mf_clusters_new(image, (const int64_t[]){5, 5, 5}, (const double[]){1, 1, 1}, 5, 10, &c));
    ck_assert_int_eq(c.count, 1);
    ck_assert_float_eq(c.centers[0][0], 1); /* moved from 2 */
    ck_assert_float_eq(c.centers[0][1], 1); /* the first of equals */
    ck_assert_float_eq(c.centers[0][2], 1);
    ck_assert_float_eq(c.centers[0][3], 100);
    /* 10 percent of 4095 levels weigh as much as 5 mm. */
    ck_assert_float_eq_tol(c.weight[0], 81.9f * 81.9f, 0.01f);
    mf_clusters_free(&c);
}
END_TEST

static const int64_t flat_shape[3] = {1, 4, 6};

static int32_t *labels_of(const char *text)
{
    int32_t *label = malloc(24 * sizeof *label);
    for (int i = 0; i < 24; i++)
        label[i] = text[i] - 'a';
    return label;
}

static void fill_image(uint16_t *image, const char *text, const int *values)
{
    for (int i = 0; i < 24; i++)
        image[i] = (uint16_t)values[text[i] - 'a'];
}

START_TEST(orphans_join_the_most_touching)
{
    /* The a at the right is cut off from its cluster and touches c three times, b once. */
    static const char *const text = "aabbbb"
                                    "aabbba"
                                    "aabccc"
                                    "aacccc";
    uint16_t image[24];
    mf_regions r;
    const int values[] = {10, 20, 30};
    fill_image(image, text, values);
    ok(mf_regions_new(labels_of(text), flat_shape, 3, image, NULL, &r));
    ck_assert_int_eq(r.count, 3);
    static const char *const expected = "aabbbb"
                                        "aabbbb"
                                        "aabccc"
                                        "aacccc";
    for (int i = 0; i < 24; i++)
        ck_assert_int_eq(mf_region_at(&r, i), expected[i] - 'a');
    ck_assert_int_eq(r.regions[1].voxels, 9);
    ck_assert_int_eq(r.regions[1].sum, 8 * 20 + 10);
    ck_assert_int_eq(r.regions[2].lo[1], 2);
    ck_assert_int_eq(r.regions[2].lo[2], 2);
    ck_assert_int_eq(r.regions[2].hi[2], 6);
    mf_regions_free(&r);
}
END_TEST

START_TEST(large_parts_stay_by_themselves)
{
    static const char *const text = "aabbaa"
                                    "aabbaa"
                                    "aabbaa"
                                    "aabbaa";
    uint16_t image[24] = {0};
    uint8_t body[24] = {0};
    mf_regions r;
    for (int i = 0; i < 24; i++)
        body[i] = i % 6 >= 3;
    ok(mf_regions_new(labels_of(text), flat_shape, 3, image, body, &r));
    ck_assert_int_eq(r.count, 3);
    ck_assert_int_eq(mf_region_at(&r, 0), 0);
    ck_assert_int_eq(mf_region_at(&r, 5), 2);
    ck_assert(!mf_region_inside(&r.regions[0]));
    ck_assert(mf_region_inside(&r.regions[1])); /* half of it */
    ck_assert(mf_region_inside(&r.regions[2]));
    mf_regions_free(&r);
}
END_TEST

START_TEST(likes_are_joined_most_similar_first)
{
    static const char *const text = "aabbcc"
                                    "aabbcc"
                                    "ddbbcc"
                                    "ddbbcc";
    const int values[] = {100, 150, 190, 600};
    uint16_t image[24];
    mf_regions r;
    fill_image(image, text, values);
    /* b and c differ by 40, a and b by 50; b + c have mean 170: 70 from a. */
    ok(mf_regions_new(labels_of(text), flat_shape, 1, image, NULL, &r));
    ok(mf_regions_join(&r, 60, 24));
    ck_assert_int_eq(r.regions[0].parts, 1);
    ck_assert_int_eq(r.regions[1].parts, 2);
    ck_assert_int_eq(r.regions[1].voxels, 16);
    ck_assert_int_eq(r.regions[1].hi[2], 6);
    ck_assert_int_eq(r.regions[2].parts, 0);
    ck_assert_int_eq(mf_region_at(&r, 5), 1);
    /* A wider tolerance joins a too, but never above the largest union. */
    ok(mf_regions_join(&r, 80, 19));
    ck_assert_int_eq(r.regions[0].parts, 1);
    ok(mf_regions_join(&r, 80, 20));
    ck_assert_int_eq(r.regions[0].parts, 3);
    ck_assert_int_eq(r.regions[0].voxels, 20);
    ck_assert_int_eq(mf_region_at(&r, 5), 0);
    ck_assert_int_eq(r.regions[3].parts, 1);
    mf_regions_free(&r);
}
END_TEST

START_TEST(edges_are_where_means_step)
{
    static const char *const text = "aabbcc"
                                    "aabbcc"
                                    "ddbbcc"
                                    "ddbbcc";
    const int values[] = {100, 150, 190, 600};
    uint16_t image[24];
    mf_regions r;
    fill_image(image, text, values);
    ok(mf_regions_new(labels_of(text), flat_shape, 1, image, NULL, &r));
    /* a: two faces to b (50 levels away), two to d (500); the image's edge is none. */
    ck_assert_double_eq(mf_region_edge(&r, 0, 60), 2.0 / 4);
    ck_assert_double_eq(mf_region_edge(&r, 0, 50), 1);
    ck_assert_double_eq(mf_region_edge(&r, 0, 501), 0);
    /* b: two to a, four to c, two to d. */
    ck_assert_double_eq(mf_region_edge(&r, 1, 60), 2.0 / 8);
    ck_assert_double_eq(mf_region_edge(&r, 1, 45), 4.0 / 8);
    /* The union of b and c has mean 170: 70 from a. */
    ok(mf_regions_join(&r, 45, 24));
    ck_assert_double_eq(mf_region_edge(&r, 1, 60), 1);
    mf_regions_free(&r);
    static const char *const one = "aaaaaaaaaaaaaaaaaaaaaaaa";
    ok(mf_regions_new(labels_of(one), flat_shape, 1, image, NULL, &r));
    ck_assert_double_eq(mf_region_edge(&r, 0, 0), 0);
    mf_regions_free(&r);
}
END_TEST

/* Turns of 5, 0, 2 and 1 choices: how many of each are kept. */
START_TEST(turns_share_the_limit)
{
    static const int counts[] = {5, 0, 2, 1},
                     expected[][4] = {{5, 0, 2, 1}, {5, 0, 2, 1}, {4, 0, 2, 1},
                                      {3, 0, 2, 1}, {2, 0, 2, 1}, {1, 0, 2, 1},
                                      {1, 0, 1, 1}, {0, 0, 1, 1}, {0, 0, 0, 1}};
    mf_region list[8] = {{0}};
    int32_t union_of[8] = {0};
    mf_regions r = {.regions = list, .union_of = union_of, .count = 8};
    for (size_t n = 0; n < sizeof expected / sizeof *expected; n++) {
        const size_t most = 9 - n;
        mf_choices c = {0};
        for (size_t turn = 0; turn < 4; turn++) {
            for (int i = 0; i < counts[turn]; i++) {
                list[i].voxels = i % 2 ? 100 - i : i;
                ok(mf_choices_add(&c, &r, i, 0.5));
            }
            ok(mf_choices_turn(&c, &r));
        }
        const size_t kept = most < 8 ? most : 8;
        ck_assert_uint_eq(mf_choices_keep(&c, most), 8 - kept);
        ck_assert_uint_eq(c.count, kept);
        int of_turn[4] = {0};
        for (size_t i = 0; i < c.count; i++) {
            ck_assert(i == 0 || c.list[i].turn > c.list[i - 1].turn ||
                      c.list[i].region > c.list[i - 1].region);
            of_turn[c.list[i].turn]++;
        }
        ck_assert_mem_eq(of_turn, expected[n], sizeof of_turn);
        if (expected[n][0] == 2) { /* the largest: 99, 97 of 0, 99, 2, 97, 4 */
            ck_assert_int_eq(c.list[0].region, 1);
            ck_assert_int_eq(c.list[1].region, 3);
        }
        mf_choices_free(&c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slic");
    TCase *tests = tcase_create("slic");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, device_agrees_with_plain_c);
    tcase_add_test(tests, centers_start_where_it_is_flat);
    tcase_add_test(tests, orphans_join_the_most_touching);
    tcase_add_test(tests, large_parts_stay_by_themselves);
    tcase_add_test(tests, likes_are_joined_most_similar_first);
    tcase_add_test(tests, edges_are_where_means_step);
    tcase_add_test(tests, turns_share_the_limit);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
