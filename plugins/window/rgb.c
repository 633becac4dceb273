/* rgb.c - see rgb.h. Profiles and arithmetic follow the official MASS preprocessing. */
#include "rgb.h"
#include "../common/normalize.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ABDOMEN                                                                                    \
    {                                                                                              \
        {60, 350}, {15, 250},                                                                      \
        {                                                                                          \
            150, 1200                                                                              \
        }                                                                                          \
    }
#define SOFT_MR                                                                                    \
    {                                                                                              \
        {5, 95}, {15, 85},                                                                         \
        {                                                                                          \
            1, 99                                                                                  \
        }                                                                                          \
    }

/* clang-format off */
static const window_profile profiles[] = {
    {"abdomen_ct",   false, false, ABDOMEN,                                    500, 1000},
    {"chest_ct",     false, false, {{-600, 1500}, {50, 350}, {500, 2000}},     500, 3000},
    {"wholebody_ct", false, false, {{-600, 1500}, {50, 350}, {700, 2500}},     700, 1500},
    {"head_ct",      false, false, {{90, 300}, {55, 120}, {600, 3000}},         10,   30},
    {"lits_ct",      false, false, ABDOMEN,                                    400, 8000},
    {"totalseg_ct",  false, false, ABDOMEN,                                    400,  800},
    {"pet",          false, true,  {{1.5, 3}, {5, 10}, {15, 30}},              500, 1000},
    {"abdomen_mr",   true,  false, SOFT_MR,                                    500, 1000},
    {"cardiac_mr",   true,  false, SOFT_MR,                                    100,  200},
    {"totalseg_mr",  true,  false, SOFT_MR,                                    300,  700},
    {"brain_mr",     true,  false, {{1, 99}, {5, 95}, {10, 90}},               200,  500},
};
/* clang-format on */

const window_profile *window_profile_find(const char *name, const char *modality)
{
    if (!strcmp(name, "auto"))
        name = modality && !strcmp(modality, "CT")    ? "abdomen_ct"
               : modality && !strcmp(modality, "PET") ? "pet"
                                                      : "abdomen_mr";
    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
        if (!strcmp(profiles[i].name, name))
            return &profiles[i];
    return NULL;
}

int window_best_axis(const mf_grid *g)
{
    const double *s = g->spacing;
    const double in_plane[3] = {s[0] + s[1], s[0] + s[2], s[1] + s[2]};
    int best = 0;
    for (int a = 1; a < 3; a++)
        if (in_plane[a] < in_plane[best] * (1 - 1e-6))
            best = a;
    return best;
}

/* Percentiles of the voxels inside the body, or of all. Unlike those of mf_percentiles the values
 * are gathered first, so memory is asked for only where there is a body mask. */
static mf_status percentiles(const mf_array *voxels, const mf_array *body, const double percents[6],
                             double values[6])
{
    mf_array *real;
    MF_TRY(mf_array_convert(voxels, MF_F32, &real));
    int64_t n = mf_array_count(real), count = 0;
    if (!body) {
        mf_status status = mf_percentiles(real->data, n, percents, 6, values);
        mf_array_unref(real);
        return status;
    }
    const float *v = real->data;
    const uint8_t *b = body->data;
    float *inside = malloc((size_t)n * sizeof *inside);
    if (!inside) {
        mf_array_unref(real);
        return mf_no_memory((size_t)n * sizeof *inside, "the voxels of the body");
    }
    for (int64_t i = 0; i < n; i++)
        if (b[i])
            inside[count++] = v[i];
    mf_array_unref(real);
    mf_status status = count ? mf_percentiles(inside, count, percents, 6, values)
                             : mf_fail(MF_INVALID, "the body mask holds no voxel");
    free(inside);
    return status;
}

static uint8_t shade(double v, const double range[2])
{
    v = v < range[0] ? range[0] : v > range[1] ? range[1] : v;
    return (uint8_t)((v - range[0]) / (range[1] - range[0]) * 255);
}

/* Slice, row and column of voxel (z, y, x) for each axis, as the place of its pixel. */
static int64_t pixel_step(int axis, const int64_t n[3], int along)
{
    /* [z][y,x], [y][z,x], [x][z,y]: strides of the picture array along z, y, x */
    const int64_t steps[3][3] = {
        {n[1] * n[2], n[2], 1}, {n[2], n[0] * n[2], 1}, {n[1], 1, n[0] * n[1]}};
    return 3 * steps[axis][along];
}

/* One slice: values that fit 16 bits are looked up in `table` [3, 65536], others computed. */
static void paint_slice(const mf_array *slice, const double *real, const uint8_t *table,
                        double scale, double bounds[3][2], const int64_t step[3], uint8_t *rgb)
{
    for (int64_t y = 0, i = 0; y < slice->shape[0]; y++) {
        uint8_t *p = rgb + y * step[1];
        for (int64_t x = 0; x < slice->shape[1]; x++, i++, p += step[2])
            for (int c = 0; c < 3; c++)
                p[c] = table ? table[c * 65536 + ((const uint16_t *)slice->data)[i]]
                             : shade(real[i] * scale, bounds[c]);
    }
}

static uint8_t *make_table(bool is_signed, double scale, double bounds[3][2])
{
    uint8_t *table = malloc(3 * 65536);
    for (int i = 0; i < 3 * 65536 && table; i++)
        table[i] = shade((is_signed ? (int16_t)i : (uint16_t)i) * scale, bounds[i / 65536]);
    return table;
}

static mf_status paint(const mf_array *voxels, double scale, double bounds[3][2], int axis,
                       uint8_t *rgb)
{
    const int64_t *n = voxels->shape, shape[2] = {n[1], n[2]};
    int64_t step[3];
    mf_array *slice, *real;
    bool narrow = voxels->dtype == MF_I16 || voxels->dtype == MF_U16;
    for (int a = 0; a < 3; a++)
        step[a] = pixel_step(axis, n, a);
    MF_TRY(mf_array_new(voxels->dtype, 2, shape, &slice));
    uint8_t *table = narrow ? make_table(voxels->dtype == MF_I16, scale, bounds) : NULL;
    mf_status status = !narrow || table ? MF_OK : mf_no_memory(0, "a table");
    for (int64_t z = 0; z < n[0] && !status; z++) {
        memcpy(slice->data, (const char *)voxels->data + (size_t)z * slice->bytes, slice->bytes);
        status = mf_array_convert(slice, narrow ? slice->dtype : MF_F64, &real);
        if (status)
            break;
        paint_slice(slice, real->data, table, scale, bounds, step, rgb + z * step[0]);
        mf_array_unref(real);
    }
    free(table);
    mf_array_unref(slice);
    return status;
}

mf_status window_rgb_make(const mf_array *voxels, const window_profile *profile, double scale,
                          const mf_array *body, int axis, mf_array **rgb, double bounds[3][2])
{
    double percents[6], values[6];
    *rgb = NULL;
    memcpy(percents, profile->range, sizeof percents);
    if (profile->quantiles)
        MF_TRY(percentiles(voxels, body, percents, values));
    for (int c = 0; c < 3; c++) {
        const double *r = profile->range[c];
        bounds[c][0] = profile->quantiles ? values[2 * c] * scale : r[0] - r[1] / 2;
        bounds[c][1] = profile->quantiles ? values[2 * c + 1] * scale : r[0] + r[1] / 2;
        if (!(bounds[c][1] > bounds[c][0])) /* one value is black, what is above it white */
            bounds[c][1] = nextafter(bounds[c][0], HUGE_VAL);
    }
    const int64_t *n = voxels->shape;
    const int64_t shapes[3][4] = {
        {n[0], n[1], n[2], 3}, {n[1], n[0], n[2], 3}, {n[2], n[0], n[1], 3}};
    MF_TRY(mf_array_new(MF_U8, 4, shapes[axis], rgb));
    mf_status status = paint(voxels, scale, bounds, axis, (*rgb)->data);
    if (status) {
        mf_array_unref(*rgb);
        *rgb = NULL;
    }
    return status;
}
