/* surface.c - overlap and surface distances, as the official MASS evaluation measures them: an
 * outline is the set of voxel corners whose eight voxels are neither all in nor all out, so that it
 * lies between voxels and is the same for a shape and its complement. The official code weighs
 * corners by their estimated area when it averages; here each counts once (HD95 is unweighted
 * there too). */
#include "surface.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One line of the transform: d[q] = min over p of (step (q - p))^2 + f[p]. place, from, to: room
 * for n (n + 1 for `from`) entries. */
static void line_distances(const double *f, int64_t n, double step, double *d, int64_t *place,
                           double *from)
{
    int64_t k = -1;
    double s2 = step * step;
    for (int64_t q = 0; q < n; q++) {
        if (isinf(f[q]))
            continue;
        double start = -INFINITY;
        while (k >= 0) {
            int64_t p = place[k];
            start = ((f[q] - f[p]) / s2 + (double)(q * q - p * p)) / (2 * (double)(q - p));
            if (start > from[k])
                break;
            k--;
            start = -INFINITY;
        }
        place[++k] = q;
        from[k] = start;
    }
    if (k < 0) {
        for (int64_t q = 0; q < n; q++)
            d[q] = INFINITY;
        return;
    }
    int64_t last = k;
    k = 0;
    for (int64_t q = 0; q < n; q++) {
        while (k < last && from[k + 1] < (double)q)
            k++;
        double away = step * (double)(q - place[k]);
        d[q] = away * away + f[place[k]];
    }
}

mf_status surface_distances(float *squared, const int64_t n[3], const double spacing[3])
{
    const int64_t stride[3] = {n[1] * n[2], n[2], 1};
    int64_t longest = n[0] > n[1] ? n[0] : n[1];
    longest = longest > n[2] ? longest : n[2];
    double *room = malloc((size_t)longest * 3 * sizeof *room);
    int64_t *place = malloc((size_t)longest * sizeof *place);
    if (!room || !place) {
        free(room);
        free(place);
        return mf_no_memory(0, "a distance transform");
    }
    double *f = room, *d = room + longest, *from = room + 2 * longest;
    for (int a = 2; a >= 0; a--) {
        int b = a == 0 ? 1 : 0, c = a == 2 ? 1 : 2;
        for (int64_t i = 0; i < n[b]; i++)
            for (int64_t j = 0; j < n[c]; j++) {
                float *line = squared + i * stride[b] + j * stride[c];
                for (int64_t q = 0; q < n[a]; q++)
                    f[q] = (double)line[q * stride[a]];
                line_distances(f, n[a], spacing[a], d, place, from);
                for (int64_t q = 0; q < n[a]; q++)
                    line[q * stride[a]] = (float)d[q];
            }
    }
    free(room);
    free(place);
    return MF_OK;
}

/* Counts, and the box around both, half-open. */
static void count(const int32_t *a, const int32_t *b, const int64_t n[3], int32_t label, overlap *o,
                  int64_t lo[3], int64_t hi[3])
{
    int64_t i = 0;
    for (int k = 0; k < 3; k++)
        lo[k] = n[k], hi[k] = 0;
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++)
            for (int64_t x = 0; x < n[2]; x++, i++) {
                bool in_a = a[i] == label, in_b = b[i] == label;
                if (!in_a && !in_b)
                    continue;
                const int64_t at[3] = {z, y, x};
                o->a += in_a;
                o->b += in_b;
                o->both += in_a && in_b;
                for (int k = 0; k < 3; k++) {
                    lo[k] = at[k] < lo[k] ? at[k] : lo[k];
                    hi[k] = at[k] + 1 > hi[k] ? at[k] + 1 : hi[k];
                }
            }
}

/* outline[z, y, x] = 0 at corners on the outline of `label`, else INFINITY. Corner (z, y, x) of the
 * box touches the voxels lo - 1 + (z, y, x) .. lo + (z, y, x). m = hi - lo + 1 corners an axis. */
static void outline(const int32_t *v, const int64_t n[3], int32_t label, const int64_t lo[3],
                    const int64_t m[3], uint8_t *touched, float *out)
{
    int64_t corners = m[0] * m[1] * m[2];
    memset(touched, 0, (size_t)corners);
    for (int64_t z = 0; z < m[0] - 1; z++)
        for (int64_t y = 0; y < m[1] - 1; y++) {
            const int32_t *row = v + ((z + lo[0]) * n[1] + y + lo[1]) * n[2] + lo[2];
            for (int64_t x = 0; x < m[2] - 1; x++) {
                if (row[x] != label)
                    continue;
                for (int c = 0; c < 8; c++)
                    touched[((z + (c >> 2)) * m[1] + y + (c >> 1 & 1)) * m[2] + x + (c & 1)]++;
            }
        }
    for (int64_t i = 0; i < corners; i++)
        out[i] = touched[i] > 0 && touched[i] < 8 ? 0 : INFINITY;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Mean and 95th percentile (linear between ranks) of the distances from one outline to another. */
static void directed(const float *from, const float *squared, int64_t corners, double *room,
                     double *mean, double *p95)
{
    int64_t k = 0;
    double sum = 0;
    for (int64_t i = 0; i < corners; i++)
        if (from[i] == 0)
            sum += room[k++] = sqrt((double)squared[i]);
    qsort(room, (size_t)k, sizeof *room, ascending);
    double rank = 0.95 * (double)(k - 1);
    int64_t low = (int64_t)rank, high = low + 1 < k ? low + 1 : low;
    *mean = sum / (double)k;
    *p95 = room[low] + (rank - (double)low) * (room[high] - room[low]);
}

static mf_status measure_surfaces(const int32_t *a, const int32_t *b, const int64_t n[3],
                                  const double spacing[3], int32_t label, const int64_t lo[3],
                                  const int64_t hi[3], overlap *o)
{
    int64_t m[3], corners = 1;
    for (int k = 0; k < 3; k++) {
        m[k] = hi[k] - lo[k] + 1;
        corners *= m[k];
    }
    uint8_t *touched = malloc((size_t)corners);
    float *room = malloc((size_t)corners * 4 * sizeof *room);
    double *sorted = malloc((size_t)corners * sizeof *sorted), mean[2], p95[2];
    mf_status status = touched && room && sorted ? MF_OK : mf_no_memory(0, "surface distances");
    if (!status) {
        float *edge_a = room, *edge_b = room + corners, *to_a = room + 2 * corners,
              *to_b = room + 3 * corners;
        outline(a, n, label, lo, m, touched, edge_a);
        outline(b, n, label, lo, m, touched, edge_b);
        memcpy(to_a, edge_a, (size_t)(2 * corners) * sizeof *room);
        status = surface_distances(to_a, m, spacing);
        if (!status)
            status = surface_distances(to_b, m, spacing);
        if (!status) {
            directed(edge_a, to_b, corners, sorted, &mean[0], &p95[0]);
            directed(edge_b, to_a, corners, sorted, &mean[1], &p95[1]);
            o->asd = (mean[0] + mean[1]) / 2;
            o->hd95 = fmax(p95[0], p95[1]);
        }
    }
    free(touched);
    free(room);
    free(sorted);
    return status;
}

mf_status overlap_measure(const int32_t *a, const int32_t *b, const int64_t n[3],
                          const double spacing[3], int32_t label, overlap *o)
{
    int64_t lo[3], hi[3];
    *o = (overlap){.dice = NAN, .hd95 = NAN, .asd = NAN};
    count(a, b, n, label, o, lo, hi);
    if (o->a + o->b == 0)
        return MF_OK;
    o->dice = 2 * (double)o->both / (double)(o->a + o->b);
    if (!o->a || !o->b)
        return MF_OK;
    return measure_surfaces(a, b, n, spacing, label, lo, hi, o);
}
