/* seeds.c - see seeds.h. */
#include "seeds.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- slices ---------------------------------------------------------------------------------- */

void sam2_stack_clear(sam2_stack *s)
{
    mf_array_unref(s->rgb);
    *s = (sam2_stack){0};
}

/* Rows and columns across an axis, as axes of the array z y x. */
static void plane(int axis, int *rows, int *columns)
{
    *rows = axis == 0 ? 1 : 0;
    *columns = axis == 2 ? 1 : 2;
}

static int64_t extent(const sam2_stack *s, int axis) /* 0 z, 1 y, 2 x */
{
    return s->grid.size[2 - axis];
}

int64_t sam2_stack_count(const sam2_stack *s, int axis)
{
    return extent(s, axis);
}

void sam2_stack_size(const sam2_stack *s, int axis, int64_t *h, int64_t *w)
{
    int rows, columns;
    plane(axis, &rows, &columns);
    *h = extent(s, rows);
    *w = extent(s, columns);
}

double sam2_stack_spacing(const sam2_stack *s, int axis)
{
    return s->grid.spacing[2 - axis];
}

mf_status sam2_stack_read(const mf_artifact *slices, sam2_stack *s)
{
    int64_t axis, h, w;
    mf_array_info info;
    *s = (sam2_stack){0};
    MF_TRY(mf_artifact_grid(slices, &s->grid));
    if (!mf_artifact_scan_grid(slices, &s->scan))
        s->scan = s->grid;
    if (!mf_artifact_int(slices, "axis", &axis) || axis < 0 || axis > 2)
        return mf_fail(MF_CORRUPT, "slices that do not say their axis");
    if (!mf_artifact_find(slices, "rgb", &info) || info.dtype != MF_U8 || info.rank != 4)
        return mf_fail(MF_CORRUPT, "slices without u8 rgb [n, h, w, 3]");
    s->axis = (int)axis;
    sam2_stack_size(s, s->axis, &h, &w);
    if (info.shape[0] != sam2_stack_count(s, s->axis) || info.shape[1] != h || info.shape[2] != w ||
        info.shape[3] != 3)
        return mf_fail(MF_CORRUPT,
                       "slices [%lld, %lld, %lld, %lld] do not fit their grid, which has "
                       "[%lld, %lld, %lld, 3]",
                       (long long)info.shape[0], (long long)info.shape[1], (long long)info.shape[2],
                       (long long)info.shape[3], (long long)sam2_stack_count(s, s->axis),
                       (long long)h, (long long)w);
    if (mf_grid_voxels(&s->grid) == 0)
        return mf_fail(MF_INVALID, "the scan is empty: %lld x %lld x %lld voxels",
                       (long long)s->grid.size[0], (long long)s->grid.size[1],
                       (long long)s->grid.size[2]);
    return mf_artifact_array(slices, "rgb", &s->rgb);
}

void sam2_stack_slice(const sam2_stack *s, int axis, int64_t i, uint8_t *rgb)
{
    const uint8_t *from = s->rgb->data;
    int own_rows, own_columns, rows, columns;
    int64_t step[3], h, w; /* pixels to the next along z y x */
    plane(s->axis, &own_rows, &own_columns);
    step[own_columns] = 1;
    step[own_rows] = extent(s, own_columns);
    step[s->axis] = extent(s, own_rows) * extent(s, own_columns);
    plane(axis, &rows, &columns);
    sam2_stack_size(s, axis, &h, &w);
    for (int64_t y = 0; y < h; y++) {
        const uint8_t *row = from + 3 * (i * step[axis] + y * step[rows]);
        for (int64_t x = 0; x < w; x++, rgb += 3)
            memcpy(rgb, row + 3 * x * step[columns], 3);
    }
}

void sam2_slice_box(int axis, int64_t i, const int64_t lo[2], const int64_t hi[2],
                    int64_t box_lo[3], int64_t box_hi[3])
{
    int rows, columns;
    plane(axis, &rows, &columns);
    box_lo[axis] = i;
    box_hi[axis] = i + 1;
    box_lo[rows] = lo[0];
    box_hi[rows] = hi[0];
    box_lo[columns] = lo[1];
    box_hi[columns] = hi[1];
}

/* ---- which ----------------------------------------------------------------------------------- */

void sam2_project(const mf_grid *grid, const uint8_t *voxels, int axis, uint8_t *has)
{
    int64_t n[3];
    mf_zyx(grid->size, n);
    int64_t at[3];
    memset(has, 0, (size_t)n[axis]);
    for (at[0] = 0; at[0] < n[0]; at[0]++)
        for (at[1] = 0; at[1] < n[1]; at[1]++)
            for (at[2] = 0; at[2] < n[2]; at[2]++)
                has[at[axis]] |= *voxels++ != 0;
}

enum { REGION = 5 }; /* slices: shorter regions are not seeded more densely */

/* Slices of regions of dense [count] that are long enough, and one more at either end. */
static void find_regions(const uint8_t *dense, int64_t count, uint8_t *regions)
{
    memset(regions, 0, (size_t)count);
    for (int64_t i = 0, start; i < count; i++) {
        for (start = i; i < count && dense[i]; i++)
            ;
        if (i - start < REGION)
            continue;
        const int64_t first = start > 0 ? start - 1 : 0;
        const int64_t last = i < count ? (i + 1 < count ? i + 1 : count - 1) : count - 1;
        memset(regions + first, 1, (size_t)(last - first + 1));
    }
}

/* From first to last in steps; how many. slices: room for last - first + 1. */
static int64_t by_interval(int64_t first, int64_t last, int64_t step, int64_t dense_step,
                           const uint8_t *regions, int64_t *slices)
{
    int64_t n = 0;
    for (int64_t at = first; at <= last; at += regions && regions[at] ? dense_step : step)
        slices[n++] = at;
    return n;
}

/* `least` slices spread evenly from first to last, none twice (NumPy's linspace, rounded down). */
static int64_t evenly(int64_t first, int64_t last, int64_t least, int64_t *slices)
{
    int64_t n = 0;
    for (int64_t i = 0; i < least; i++) {
        const double step = least > 1 ? (double)(last - first) / (double)(least - 1) : 0;
        const int64_t at =
            i == least - 1 && least > 1 ? last : (int64_t)floor((double)i * step + (double)first);
        if (!n || slices[n - 1] != at)
            slices[n++] = at;
    }
    return n;
}

mf_status sam2_seed_slices(const sam2_seeding *o, int64_t count, double spacing,
                           const uint8_t *body, const uint8_t *dense, int64_t **slices,
                           int64_t *chosen)
{
    int64_t first = 0, last = count - 1;
    *slices = NULL;
    while (body && first < count && !body[first])
        first++;
    if (first == count)
        return mf_fail(MF_INVALID, "the body mask holds no voxel");
    while (body && !body[last])
        last--;
    const double slots = rint(o->interval / spacing);
    const int64_t step = slots < 1 ? 1 : slots > 1e9 ? 1000000000 : (int64_t)slots;
    const int64_t dense_step = step / o->densely < 1 ? 1 : step / o->densely;
    const int64_t range = last - first + 1;
    uint8_t *regions = dense ? malloc((size_t)count) : NULL;
    *slices = malloc((size_t)(range > o->least ? range : o->least) * sizeof **slices);
    if (!*slices || (dense && !regions)) {
        free(regions);
        free(*slices);
        *slices = NULL;
        return mf_no_memory(0, "a list of slices");
    }
    if (dense)
        find_regions(dense, count, regions);
    *chosen = by_interval(first, last, step, dense_step, regions, *slices);
    if (*chosen < o->least)
        *chosen = range < o->least ? by_interval(first, last, 1, 1, NULL, *slices)
                                   : evenly(first, last, o->least, *slices);
    free(regions);
    return MF_OK;
}
