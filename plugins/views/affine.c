/* affine.c - see affine.h. Rows are cut where they enter and leave the crop, so that the inner
 * loops need no bounds checks. */
#include "affine.h"

#include <math.h>
#include <string.h>

typedef struct matrix {
    double m[4][4];
} matrix;

static matrix product(const matrix *a, const matrix *b)
{
    matrix c = {{{0}}};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            for (int k = 0; k < 4; k++)
                c.m[i][j] += a->m[i][k] * b->m[k][j];
    return c;
}

void mf_affine_map(const mf_affine *affine, const int64_t size[3], mf_index_map *map)
{
    double c[3], s[3];
    for (int i = 0; i < 3; i++) {
        c[i] = cos(affine->degrees[i] / 180. * 3.14159265358979323846);
        s[i] = sin(affine->degrees[i] / 180. * 3.14159265358979323846);
    }
    const double *e = affine->scale, *h = affine->shear, *t = affine->shift;
    /* clang-format off */
    const matrix rx = {{{1, 0, 0, 0}, {0, c[0], -s[0], 0}, {0, s[0], c[0], 0}, {0, 0, 0, 1}}};
    const matrix ry = {{{c[1], 0, -s[1], 0}, {0, 1, 0, 0}, {s[1], 0, c[1], 0}, {0, 0, 0, 1}}};
    const matrix rz = {{{c[2], -s[2], 0, 0}, {s[2], c[2], 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}};
    const matrix scale = {{{e[0], h[0], h[1], t[0]},
                           {h[2], e[1], h[3], t[1]},
                           {h[4], h[5], e[2], t[2]},
                           {0, 0, 0, 1}}};
    /* clang-format on */
    matrix theta = product(&rx, &ry);
    theta = product(&theta, &rz);
    theta = product(&theta, &scale);
    /* normal = 2 i / (n - 1) - 1 on the way in, i = (normal + 1) (n - 1) / 2 on the way out; an
     * axis of one voxel has only the coordinate 0, and every source on it is voxel 0. */
    for (int i = 0; i < 3; i++) {
        double half = (double)(size[2 - i] - 1) / 2;
        map->b[i] = (theta.m[i][3] + 1) * half;
        for (int j = 0; j < 3; j++) {
            double other = (double)(size[2 - j] - 1) / 2;
            map->a[i][j] = other > 0 ? theta.m[i][j] * half / other : 0;
            map->b[i] -= other > 0 ? theta.m[i][j] * half : 0;
        }
    }
}

/* The source of index i along a row: start + step * i, in x y z. */
typedef struct line {
    double start[3], step[3];
} line;

static void line_at(const mf_index_map *map, int64_t x, int64_t y, int64_t z, line *l)
{
    for (int i = 0; i < 3; i++) {
        l->step[i] = map->a[i][0];
        l->start[i] = map->b[i] + map->a[i][0] * (double)x + map->a[i][1] * (double)y +
                      map->a[i][2] * (double)z;
    }
}

static int within(const line *l, const double low[3], const double high[3], int64_t i)
{
    for (int c = 0; c < 3; c++) {
        double at = l->start[c] + l->step[c] * (double)i;
        if (!(at >= low[c] && at < high[c]))
            return 0;
    }
    return 1;
}

/* The run *from..*to of 0..count whose source lies in [low, high) on all axes, or nearly all of it:
 * what is left out by rounding is at the ends. Coordinates are monotonous, so checking the ends is
 * enough. */
static void clip(const line *l, const double low[3], const double high[3], int64_t count,
                 int64_t *from, int64_t *to)
{
    double first = 0, last = (double)count;
    for (int c = 0; c < 3; c++) {
        if (l->step[c] == 0)
            continue;
        double a = (low[c] - l->start[c]) / l->step[c], b = (high[c] - l->start[c]) / l->step[c];
        first = fmax(first, fmin(a, b));
        last = fmin(last, fmax(a, b) + 1);
    }
    *from = first < (double)count ? (int64_t)ceil(first) : count;
    *to = last > (double)*from ? (int64_t)floor(last) : *from;
    *to = *to > count ? count : *to;
    while (*from < *to && !within(l, low, high, *from))
        ++*from;
    while (*to > *from && !within(l, low, high, *to - 1))
        --*to;
}

/* Trilinear with zeros outside, anywhere. */
static float sample_checked(const float *src, const int64_t size[3], const double at[3])
{
    double low[3], share[3], sum = 0;
    for (int c = 0; c < 3; c++) {
        if (!(at[c] > -1 && at[c] < (double)size[2 - c]))
            return 0;
        low[c] = floor(at[c]);
        share[c] = at[c] - low[c];
    }
    for (int corner = 0; corner < 8; corner++) {
        int64_t index[3];
        double weight = 1;
        int inside = 1;
        for (int c = 0; c < 3; c++) {
            int up = corner >> c & 1;
            index[c] = (int64_t)low[c] + up;
            weight *= up ? share[c] : 1 - share[c];
            inside = inside && index[c] >= 0 && index[c] < size[2 - c];
        }
        if (inside)
            sum += weight * src[(index[2] * size[1] + index[1]) * size[2] + index[0]];
    }
    return (float)sum;
}

static void checked_run(const line *l, const float *src, const int64_t size[3], int64_t from,
                        int64_t to, float *dst)
{
    for (int64_t i = from; i < to; i++) {
        double at[3];
        for (int c = 0; c < 3; c++)
            at[c] = l->start[c] + l->step[c] * (double)i;
        dst[i] = sample_checked(src, size, at);
    }
}

static float lerp(float a, float b, float share)
{
    return a + share * (b - a);
}

/* All eight neighbours lie inside for i in from..to. */
static void inner_run(const line *l, const float *src, const int64_t size[3], int64_t from,
                      int64_t to, float *dst)
{
    const int64_t row = size[2], plane = size[2] * size[1];
    for (int64_t i = from; i < to; i++) {
        double x = l->start[0] + l->step[0] * (double)i;
        double y = l->start[1] + l->step[1] * (double)i;
        double z = l->start[2] + l->step[2] * (double)i;
        int64_t ix = (int64_t)x, iy = (int64_t)y, iz = (int64_t)z; /* none is negative */
        float fx = (float)(x - (double)ix), fy = (float)(y - (double)iy);
        float fz = (float)(z - (double)iz);
        const float *p = src + iz * plane + iy * row + ix, *q = p + plane;
        float a = lerp(lerp(p[0], p[1], fx), lerp(p[row], p[row + 1], fx), fy);
        float b = lerp(lerp(q[0], q[1], fx), lerp(q[row], q[row + 1], fx), fy);
        dst[i] = lerp(a, b, fz);
    }
}

void mf_affine_image(const mf_index_map *map, const float *src, const int64_t size[3],
                     const int64_t lo[3], const int64_t count[3], float *dst)
{
    const double low[3] = {0, 0, 0};
    const double high[3] = {(double)(size[2] - 1), (double)(size[1] - 1), (double)(size[0] - 1)};
    for (int64_t z = 0; z < count[0]; z++)
        for (int64_t y = 0; y < count[1]; y++, dst += count[2]) {
            line l;
            int64_t from, to;
            line_at(map, lo[2], lo[1] + y, lo[0] + z, &l);
            clip(&l, low, high, count[2], &from, &to);
            checked_run(&l, src, size, 0, from, dst);
            inner_run(&l, src, size, from, to, dst);
            checked_run(&l, src, size, to, count[2], dst);
        }
}

/* Rounds to the nearest, halves to even: the sum has no bits left for fractions. For |v| < 2^51. */
static int64_t nearest(double v)
{
    const double shift = 6755399441055744.0; /* 1.5 * 2^52 */
    return (int64_t)(v + shift - shift);
}

/* One row of the target from src u16 [size]: nearest voxels, 0 outside. */
static void nearest_row(const mf_index_map *map, const uint16_t *src, const int64_t size[3],
                        const int64_t at[3], int64_t count, uint16_t *row)
{
    const double low[3] = {-0.5, -0.5, -0.5};
    const double high[3] = {(double)size[2], (double)size[1], (double)size[0]};
    line l;
    int64_t from, to;
    line_at(map, at[2], at[1], at[0], &l);
    clip(&l, low, high, count, &from, &to);
    memset(row, 0, (size_t)count * sizeof *row);
    for (int64_t i = from; i < to; i++) {
        int64_t ix = nearest(l.start[0] + l.step[0] * (double)i);
        int64_t iy = nearest(l.start[1] + l.step[1] * (double)i);
        int64_t iz = nearest(l.start[2] + l.step[2] * (double)i);
        if (ix < size[2] && iy < size[1] && iz < size[0])
            row[i] = src[(iz * size[1] + iy) * size[2] + ix];
    }
}

void mf_affine_labels(const mf_index_map *map, const uint16_t *src, const int64_t size[3],
                      const int64_t lo[3], const int64_t count[3], uint16_t *dst)
{
    for (int64_t z = 0; z < count[0]; z++)
        for (int64_t y = 0; y < count[1]; y++, dst += count[2])
            nearest_row(map, src, size, (const int64_t[3]){lo[0] + z, lo[1] + y, lo[2]}, count[2],
                        dst);
}

void mf_affine_masks(const mf_index_map *map, const uint16_t *src, const int64_t size[3],
                     const int64_t lo[3], const int64_t count[3], int masks, uint16_t *row,
                     uint8_t *dst)
{
    const int64_t voxels = count[0] * count[1] * count[2];
    for (int64_t z = 0; z < count[0]; z++)
        for (int64_t y = 0; y < count[1]; y++, dst += count[2]) {
            nearest_row(map, src, size, (const int64_t[3]){lo[0] + z, lo[1] + y, lo[2]}, count[2],
                        row);
            for (int k = 0; k < masks; k++) {
                uint8_t *out = dst + k * voxels;
                for (int64_t i = 0; i < count[2]; i++)
                    out[i] = (uint8_t)(row[i] >> k & 1);
            }
        }
}
