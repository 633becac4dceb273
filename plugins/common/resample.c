/* resample.c - see resample.h. Axes are handled one by one: tables of neighbours and weights. */
#include "resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_BYTES (8u << 20) /* of source voxels in memory at once, as float */

static mf_status no_memory(void)
{
    return mf_no_memory(0, "resampling");
}

mf_status mf_resample_grid(const mf_grid *from, const double spacing[3], mf_grid *to)
{
    *to = *from;
    for (int j = 0; j < 3; j++) {
        double old = from->spacing[j];
        if (!(old > 0) || !(spacing[j] > 0) || !isfinite(old) || !isfinite(spacing[j]))
            return mf_fail(MF_INVALID, "cannot resample from a spacing of %g mm to %g mm", old,
                           spacing[j]);
        if (fabs(old - spacing[j]) <= 1e-5 * spacing[j])
            continue;
        double size = nearbyint((double)from->size[j] * (old / spacing[j]));
        if (size > INT32_MAX)
            return mf_fail(MF_INVALID, "a spacing of %g mm would make %g voxels along one axis",
                           spacing[j], size);
        to->size[j] = size < 1 ? 1 : (int64_t)size;
        to->spacing[j] = spacing[j];
        double shift =
            ((double)(from->size[j] - 1) * old - (double)(to->size[j] - 1) * spacing[j]) / 2;
        for (int i = 0; i < 3; i++)
            to->origin[i] += shift * from->direction[3 * i + j];
    }
    double voxels = (double)to->size[0] * (double)to->size[1] * (double)to->size[2];
    if (voxels > INT32_MAX) /* what follows numbers voxels by 32-bit integers */
        return mf_hint(mf_fail(MF_INVALID,
                               "a spacing of %g x %g x %g mm would make %lld x %lld x %lld voxels; "
                               "2147483647 (2^31 - 1) are the most",
                               spacing[0], spacing[1], spacing[2], (long long)to->size[0],
                               (long long)to->size[1], (long long)to->size[2]),
                       "a larger spacing makes fewer");
    return MF_OK;
}

void mf_resample_pad(const mf_grid *grid, const int64_t least[3], mf_grid *padded,
                     int64_t before[3])
{
    double corner[3];
    *padded = *grid;
    for (int j = 0; j < 3; j++) {
        int64_t lack = least[j] - grid->size[j];
        before[j] = lack > 0 ? lack / 2 : 0;
        padded->size[j] += lack > 0 ? lack : 0;
        corner[j] = -(double)before[j];
    }
    mf_grid_to_world(grid, corner, padded->origin);
}

mf_status mf_resample_axes(const mf_grid *from, const mf_grid *to, double scale[3],
                           double offset[3])
{
    for (int i = 0; i < 9; i++)
        if (fabs(from->direction[i] - to->direction[i]) > 1e-4)
            return mf_fail(MF_INVALID, "cannot resample between grids with different directions");
    mf_grid_to_index(from, to->origin, offset);
    for (int j = 0; j < 3; j++) {
        if (!(from->spacing[j] > 0) || !(to->spacing[j] > 0))
            return mf_fail(MF_INVALID, "cannot resample between grids without a spacing");
        scale[j] = to->spacing[j] / from->spacing[j];
        /* World coordinates carry rounding of some 1e-13 mm; whole shifts stay whole. */
        if (fabs(offset[j] - nearbyint(offset[j])) < 1e-9)
            offset[j] = nearbyint(offset[j]);
    }
    return MF_OK;
}

/* Where the indices of one target axis lie in the source. */
typedef struct axis {
    int64_t count;
    int64_t *lower, *upper; /* neighbours of a linear interpolation */
    float *weight;          /* of the upper one */
} axis;

static void axis_free(axis axes[3])
{
    for (int j = 0; j < 3; j++) {
        free(axes[j].lower);
        free(axes[j].upper);
        free(axes[j].weight);
    }
}

static mf_status axis_linear(axis *a, int64_t count, int64_t source, double scale, double offset)
{
    size_t n = (size_t)count + 1;
    a->count = count;
    a->lower = calloc(n, sizeof *a->lower);
    a->upper = calloc(n, sizeof *a->upper);
    a->weight = calloc(n, sizeof *a->weight);
    if (!a->lower || !a->upper || !a->weight)
        return no_memory();
    for (int64_t i = 0; i < count; i++) {
        double at = fmin(fmax(scale * (double)i + offset, 0), (double)(source - 1));
        int64_t low = (int64_t)floor(at);
        a->lower[i] = low;
        a->upper[i] = low + 1 < source ? low + 1 : low;
        a->weight[i] = (float)(at - (double)low);
    }
    return MF_OK;
}

/* x y z */
static mf_status axes_linear(const mf_grid *from, const mf_grid *to, axis axes[3])
{
    double scale[3], offset[3];
    MF_TRY(mf_resample_axes(from, to, scale, offset));
    for (int j = 0; j < 3; j++) {
        if (from->size[j] < 1)
            return mf_fail(MF_INVALID, "cannot resample a grid without voxels");
        MF_TRY(axis_linear(&axes[j], to->size[j], from->size[j], scale[j], offset[j]));
    }
    return MF_OK;
}

/* One target slice from source slices `a` and `b` (f32 [y,x]), b's share being w. row: [width of
 * the source]. */
static void blend_slice(const axis axes[3], int64_t width, const float *a, const float *b, float w,
                        float *row, float *dst)
{
    for (int64_t y = 0; y < axes[1].count; y++) {
        const float *a0 = a + axes[1].lower[y] * width, *a1 = a + axes[1].upper[y] * width;
        const float *b0 = b + axes[1].lower[y] * width, *b1 = b + axes[1].upper[y] * width;
        float v = axes[1].weight[y];
        for (int64_t x = 0; x < width; x++) {
            float p = a0[x] + v * (a1[x] - a0[x]), q = b0[x] + v * (b1[x] - b0[x]);
            row[x] = p + w * (q - p);
        }
        for (int64_t x = 0; x < axes[0].count; x++) {
            float p = row[axes[0].lower[x]], q = row[axes[0].upper[x]];
            *dst++ = p + axes[0].weight[x] * (q - p);
        }
    }
}

mf_status mf_resample_linear(const mf_grid *from, const float *src, const mf_grid *to, float *dst)
{
    axis axes[3] = {{0}};
    int64_t width = from->size[0], plane = width * from->size[1];
    float *row = malloc((size_t)(width > 0 ? width : 1) * sizeof *row);
    mf_status status = row ? axes_linear(from, to, axes) : no_memory();
    for (int64_t z = 0; !status && z < to->size[2]; z++)
        blend_slice(axes, width, src + axes[2].lower[z] * plane, src + axes[2].upper[z] * plane,
                    axes[2].weight[z], row, dst + z * to->size[0] * to->size[1]);
    free(row);
    axis_free(axes);
    return status;
}

/* Slices z0..z1 of the source as f32; voxels that are not finite become `missing`, and those of
 * slice `fresh` and after are counted. */
static mf_status read_slab(const mf_artifact *source, const char *name, const mf_array_info *info,
                           int64_t z0, int64_t z1, int64_t fresh, float missing, mf_array **slab,
                           int64_t *bad)
{
    const int64_t shape[3] = {z1 - z0, info->shape[1], info->shape[2]};
    const int64_t lo[3] = {z0, 0, 0}, hi[3] = {z1, shape[1], shape[2]};
    mf_array *raw;
    MF_TRY(mf_array_new(info->dtype, 3, shape, &raw));
    mf_status status = mf_artifact_read_box(source, name, lo, hi, raw->data);
    if (!status)
        status = mf_array_convert(raw, MF_F32, slab);
    mf_array_unref(raw);
    if (status)
        return status;
    float *voxels = (*slab)->data;
    int64_t first = (fresh - z0) * shape[1] * shape[2];
    for (int64_t i = 0, n = mf_array_count(*slab); i < n; i++)
        if (!isfinite(voxels[i])) {
            voxels[i] = missing;
            *bad += i >= first;
        }
    return MF_OK;
}

static mf_status resample_slabs(const mf_artifact *source, const char *name,
                                const mf_array_info *info, const axis axes[3], float missing,
                                float *row, float *dst, int64_t *replaced)
{
    int64_t width = info->shape[2], plane = width * info->shape[1];
    int64_t most = (int64_t)(SLAB_BYTES / sizeof(float)) / plane;
    int64_t fresh = 0; /* slabs overlap: voxels before this slice are counted already */
    most = most < 2 ? 2 : most;
    for (int64_t z = 0; z < axes[2].count;) {
        int64_t z0 = axes[2].lower[z], end = z;
        while (end < axes[2].count && axes[2].upper[end] < z0 + most)
            end++;
        int64_t z1 = axes[2].upper[end - 1] + 1;
        mf_array *slab;
        MF_TRY(read_slab(source, name, info, z0, z1, fresh, missing, &slab, replaced));
        const float *voxels = slab->data;
        for (; z < end; z++)
            blend_slice(axes, width, voxels + (axes[2].lower[z] - z0) * plane,
                        voxels + (axes[2].upper[z] - z0) * plane, axes[2].weight[z], row,
                        dst + z * axes[0].count * axes[1].count);
        mf_array_unref(slab);
        fresh = z1;
    }
    return MF_OK;
}

mf_status mf_resample_artifact(const mf_artifact *source, const char *name, const mf_grid *from,
                               const mf_grid *to, float missing, float *dst, int64_t *replaced)
{
    mf_array_info info;
    if (!mf_artifact_find(source, name, &info) || info.ragged || info.rank != 3)
        return mf_fail(MF_INVALID, "no array '%s' of three axes", name);
    for (int j = 0; j < 3; j++)
        if (info.shape[2 - j] != from->size[j] || from->size[j] < 1)
            return mf_fail(MF_INVALID, "array '%s' is %lldx%lldx%lld, its grid %lldx%lldx%lld",
                           name, (long long)info.shape[2], (long long)info.shape[1],
                           (long long)info.shape[0], (long long)from->size[0],
                           (long long)from->size[1], (long long)from->size[2]);
    axis axes[3] = {{0}};
    float *row = malloc((size_t)info.shape[2] * sizeof *row);
    *replaced = 0;
    mf_status status = row ? axes_linear(from, to, axes) : no_memory();
    if (!status)
        status = resample_slabs(source, name, &info, axes, missing, row, dst, replaced);
    free(row);
    axis_free(axes);
    return status;
}

/* Nearest source index of each target index, by axis x y z; the caller frees each. */
static mf_status nearest_tables(const mf_grid *from, const mf_grid *to, int64_t *tables[3])
{
    double scale[3], offset[3];
    MF_TRY(mf_resample_axes(from, to, scale, offset));
    for (int j = 0; j < 3; j++) {
        tables[j] = calloc((size_t)to->size[j] + 1, sizeof **tables);
        if (!tables[j])
            return no_memory();
        for (int64_t i = 0; i < to->size[j]; i++) {
            double at = floor(scale[j] * (double)i + offset[j] + 0.5);
            tables[j][i] = (int64_t)fmin(fmax(at, 0), (double)(from->size[j] - 1));
        }
    }
    return MF_OK;
}

#define PICK(type)                                                                                 \
    do {                                                                                           \
        const type *line =                                                                         \
            (const type *)src + (tables[2][z] * from->size[1] + tables[1][y]) * from->size[0];     \
        type *out = (type *)dst + (z * to->size[1] + y) * to->size[0];                             \
        for (int64_t x = 0; x < to->size[0]; x++)                                                  \
            out[x] = line[tables[0][x]];                                                           \
    } while (0)

mf_status mf_resample_nearest(const mf_grid *from, const void *src, const mf_grid *to, void *dst,
                              size_t size)
{
    int64_t *tables[3] = {NULL};
    mf_status status = nearest_tables(from, to, tables);
    for (int64_t z = 0; !status && z < to->size[2]; z++)
        for (int64_t y = 0; y < to->size[1]; y++)
            if (size == 1)
                PICK(uint8_t);
            else if (size == 2)
                PICK(uint16_t);
            else if (size == 4)
                PICK(uint32_t);
            else
                PICK(uint64_t);
    for (int j = 0; j < 3; j++)
        free(tables[j]);
    return status;
}

/* The target indices whose source lies in lo..hi; tables never fall. */
static void covered(const int64_t *table, int64_t count, int64_t lo, int64_t hi, int64_t range[2])
{
    range[0] = 0;
    while (range[0] < count && table[range[0]] < lo)
        range[0]++;
    range[1] = range[0];
    while (range[1] < count && table[range[1]] < hi)
        range[1]++;
}

/* One mask; *added is false when no voxel is left. */
static mf_status resample_mask(const mf_artifact *source, int64_t k, int64_t *const tables[3],
                               const mf_grid *to, const int64_t before[3],
                               mf_masks_builder *builder, bool *added)
{
    mf_mask mask, result;
    int64_t range[3][2]; /* z y x */
    size_t inner = 1, outer = 1;
    *added = false;
    MF_TRY(mf_masks_get(source, k, &mask));
    for (int i = 0; i < 3; i++) {
        covered(tables[2 - i], to->size[2 - i], mask.lo[i], mask.hi[i], range[i]);
        if (!mf_size_mul(inner, (size_t)(mask.hi[i] - mask.lo[i]), &inner) ||
            !mf_size_mul(outer, (size_t)(range[i][1] - range[i][0]), &outer))
            return mf_fail(MF_NO_MEMORY, "mask %lld is too large", (long long)k);
        result.lo[i] = range[i][0] + before[2 - i];
        result.hi[i] = range[i][1] + before[2 - i];
    }
    result.score = mask.score;
    result.seed_axis = mask.seed_axis;
    result.seed_slice = mask.seed_slice;
    if (mask.seed_axis >= 0 && mask.seed_axis < 3) {
        int j = 2 - mask.seed_axis;
        int64_t slice = 0;
        while (slice + 1 < to->size[j] && tables[j][slice] < mask.seed_slice)
            slice++;
        result.seed_slice = (int32_t)(slice + before[j]);
    }
    if (outer == 0)
        return MF_OK;
    uint8_t *dense = malloc(inner), *picked = malloc(outer);
    mf_status status =
        dense && picked ? mf_masks_crop(source, k, mask.lo, mask.hi, dense) : no_memory();
    uint8_t *out = picked;
    int64_t height = mask.hi[1] - mask.lo[1], width = mask.hi[2] - mask.lo[2];
    for (int64_t z = range[0][0]; !status && z < range[0][1]; z++)
        for (int64_t y = range[1][0]; y < range[1][1]; y++) {
            const uint8_t *line =
                dense + ((tables[2][z] - mask.lo[0]) * height + tables[1][y] - mask.lo[1]) * width -
                mask.lo[2];
            for (int64_t x = range[2][0]; x < range[2][1]; x++)
                *out++ = line[tables[0][x]];
        }
    if (!status)
        status = mf_masks_add(builder, &result, picked, added);
    free(dense);
    free(picked);
    return status;
}

mf_status mf_resample_masks(const mf_artifact *source, const mf_grid *from, const mf_grid *to,
                            const int64_t before[3], mf_masks_builder *builder, int64_t *dropped)
{
    int64_t *tables[3] = {NULL}, count = mf_masks_count(source);
    mf_status status = nearest_tables(from, to, tables);
    *dropped = 0;
    for (int64_t k = 0; !status && k < count; k++) {
        bool added;
        status = resample_mask(source, k, tables, to, before, builder, &added);
        *dropped += !status && !added;
    }
    for (int j = 0; j < 3; j++)
        free(tables[j]);
    return status;
}
