/* Tests of overlap and surface distances: against brute force over all pairs of outline corners,
 * and on shapes whose distances are known. */
#include "../run_suite.h"
#include "surface.h"
#include <check.h>
#include <massflow/random.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { Z = 7, Y = 9, X = 11, CORNERS = (Z + 1) * (Y + 1) * (X + 1) };
static const int64_t size[3] = {Z, Y, X};
static const double spacing[3] = {2.5, 0.7, 1.1};

static int32_t at(const int32_t *v, int z, int y, int x)
{
    return z < 0 || y < 0 || x < 0 || z >= Z || y >= Y || x >= X ? 0 : v[(z * Y + y) * X + x];
}

/* Corners whose eight voxels are neither all `label` nor none. */
static int corners_of(const int32_t *v, int32_t label, double (*corner)[3])
{
    int n = 0;
    for (int z = 0; z <= Z; z++)
        for (int y = 0; y <= Y; y++)
            for (int x = 0; x <= X; x++) {
                int in = 0;
                for (int c = 0; c < 8; c++)
                    in += at(v, z - (c >> 2), y - (c >> 1 & 1), x - (c & 1)) == label;
                if (in > 0 && in < 8) {
                    const double p[3] = {z * spacing[0], y * spacing[1], x * spacing[2]};
                    memcpy(corner[n++], p, sizeof p);
                }
            }
    return n;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void brute(double (*a)[3], int n, double (*b)[3], int m, double *mean, double *p95)
{
    double d[CORNERS], sum = 0;
    for (int i = 0; i < n; i++) {
        double least = INFINITY;
        for (int j = 0; j < m; j++) {
            double s = 0;
            for (int k = 0; k < 3; k++)
                s += (a[i][k] - b[j][k]) * (a[i][k] - b[j][k]);
            least = fmin(least, s);
        }
        sum += d[i] = sqrt(least);
    }
    qsort(d, (size_t)n, sizeof *d, ascending);
    double rank = 0.95 * (n - 1);
    int low = (int)rank;
    *mean = sum / n;
    *p95 = d[low] + (rank - low) * (d[low + 1 < n ? low + 1 : low] - d[low]);
}

START_TEST(agrees_with_brute_force)
{
    static double a[CORNERS][3], b[CORNERS][3];
    mf_random r;
    mf_random_seed(&r, 3, "", 0);
    for (int trial = 0; trial < 30; trial++) {
        int32_t u[Z * Y * X], v[Z * Y * X];
        double fill = mf_random_uniform(&r, 0.01, 0.7);
        int64_t common = 0, in_u = 0, in_v = 0;
        for (int i = 0; i < Z * Y * X; i++) {
            u[i] = mf_random_uniform(&r, 0, 1) < fill ? 5 : 2;
            v[i] = mf_random_uniform(&r, 0, 1) < 0.8 ? u[i] : 5;
        }
        u[100] = v[200] = 5; /* never empty */
        for (int i = 0; i < Z * Y * X; i++)
            in_u += u[i] == 5, in_v += v[i] == 5, common += u[i] == 5 && v[i] == 5;
        overlap o;
        double mean[2], p95[2];
        ck_assert_ptr_null(overlap_measure(u, v, size, spacing, 5, &o));
        int n = corners_of(u, 5, a), m = corners_of(v, 5, b);
        brute(a, n, b, m, &mean[0], &p95[0]);
        brute(b, m, a, n, &mean[1], &p95[1]);
        ck_assert_double_eq(o.dice, 2.0 * (double)common / (double)(in_u + in_v));
        /* squared distances pass through floats: 2^-24 relative, half of it after the root */
        ck_assert_double_eq_tol(o.asd, (mean[0] + mean[1]) / 2, 1e-6);
        ck_assert_double_eq_tol(o.hd95, fmax(p95[0], p95[1]), 1e-6);
    }
}
END_TEST

START_TEST(known_shapes)
{
    int32_t a[Z * Y * X] = {0}, b[Z * Y * X] = {0};
    overlap o;
    ck_assert_ptr_null(overlap_measure(a, b, size, spacing, 1, &o));
    ck_assert(isnan(o.dice) && isnan(o.hd95) && isnan(o.asd));
    for (int z = 2; z < 5; z++)
        for (int y = 2; y < 6; y++)
            for (int x = 3; x < 7; x++)
                a[(z * Y + y) * X + x] = 1;
    ck_assert_ptr_null(overlap_measure(a, b, size, spacing, 1, &o));
    ck_assert_double_eq(o.dice, 0);
    ck_assert(isnan(o.hd95) && isnan(o.asd));
    memcpy(b, a, sizeof a);
    ck_assert_ptr_null(overlap_measure(a, b, size, spacing, 1, &o));
    ck_assert_double_eq(o.dice, 1);
    ck_assert_double_eq(o.hd95, 0);
    ck_assert_double_eq(o.asd, 0);
    /* One slice more on one side: the far face moves by one slice, 2.5 mm. */
    for (int y = 2; y < 6; y++)
        for (int x = 3; x < 7; x++)
            b[(5 * Y + y) * X + x] = 1;
    ck_assert_ptr_null(overlap_measure(a, b, size, spacing, 1, &o));
    ck_assert_double_eq(o.dice, 2.0 * 48 / (48 + 64));
    /* 25 of b's 98 corners lie on that face, 2.5 mm from a's: more than a twentieth. */
    ck_assert_double_eq_tol(o.hd95, 2.5, 1e-6);
}
END_TEST

/* One point: distances are those of Pythagoras, also for lines without any point. */
START_TEST(distances_of_one_point)
{
    const int64_t n[3] = {5, 6, 7};
    float d[5 * 6 * 7];
    for (int i = 0; i < 5 * 6 * 7; i++)
        d[i] = INFINITY;
    d[(3 * 6 + 1) * 7 + 4] = 0;
    ck_assert_ptr_null(surface_distances(d, n, spacing));
    for (int z = 0; z < 5; z++)
        for (int y = 0; y < 6; y++)
            for (int x = 0; x < 7; x++) {
                double s = pow((z - 3) * 2.5, 2) + pow((y - 1) * 0.7, 2) + pow((x - 4) * 1.1, 2);
                ck_assert_double_eq_tol((double)d[(z * 6 + y) * 7 + x], s, 1e-5);
            }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *cases = tcase_create("surface");
    tcase_add_test(cases, agrees_with_brute_force);
    tcase_add_test(cases, known_shapes);
    tcase_add_test(cases, distances_of_one_point);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
