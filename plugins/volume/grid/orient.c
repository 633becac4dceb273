/* orient.c - see orient.h. */
#include "orient.h"
#include <math.h>
#include <string.h>

/* World axis and sign of a letter; false for another letter. */
static bool letter(char c, int *axis, int *sign)
{
    static const char plus[] = "RAS", minus[] = "LPI";
    for (int i = 0; i < 3; i++) {
        *axis = i;
        *sign = c == plus[i] ? 1 : -1;
        if (c == plus[i] || c == minus[i])
            return true;
    }
    return false;
}

bool orient_valid(const char *codes)
{
    int seen = 0, axis, sign;
    for (int i = 0; i < 3; i++) {
        if (!codes[i] || !letter(codes[i], &axis, &sign))
            return false;
        seen |= 1 << axis;
    }
    return seen == 7 && !codes[3];
}

/* world[j]: the world axis that index axis j runs along, sign[j] its sense: of the six ways to pair
 * them the one with the largest sum of cosines. */
static void nearest_axes(const mf_grid *g, int world[3], int sign[3])
{
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    double best = -1;
    for (int k = 0; k < 6; k++) {
        double sum = 0;
        for (int j = 0; j < 3; j++)
            sum += fabs(g->direction[3 * orders[k][j] + j]);
        if (sum > best + 1e-9) {
            best = sum;
            for (int j = 0; j < 3; j++) {
                world[j] = orders[k][j];
                sign[j] = g->direction[3 * orders[k][j] + j] < 0 ? -1 : 1;
            }
        }
    }
}

void orient_codes(const mf_grid *grid, char codes[4])
{
    int world[3], sign[3];
    nearest_axes(grid, world, sign);
    for (int j = 0; j < 3; j++)
        codes[j] = (sign[j] > 0 ? "RAS" : "LPI")[world[j]];
    codes[3] = 0;
}

/* The grid that a map gives. */
static void mapped_grid(const mf_grid *source, const axis_map *map, mf_grid *target)
{
    mf_grid g = *source;
    double corner[3] = {0, 0, 0};
    for (int j = 0; j < 3; j++) {
        int i = map->from[j];
        g.size[j] = source->size[i];
        g.spacing[j] = source->spacing[i];
        for (int r = 0; r < 3; r++)
            g.direction[3 * r + j] = source->direction[3 * r + i] * (map->flip[j] ? -1 : 1);
        corner[i] = map->flip[j] ? (double)(source->size[i] - 1) : 0;
    }
    mf_grid_to_world(source, corner, g.origin);
    *target = g;
}

void orient_plan(const mf_grid *source, const char *codes, axis_map *map, mf_grid *target)
{
    int world[3], sign[3];
    nearest_axes(source, world, sign);
    for (int j = 0; j < 3; j++) {
        int axis = 0, wanted = 1;
        letter(codes[j], &axis, &wanted);
        for (int i = 0; i < 3; i++)
            if (world[i] == axis) {
                map->from[j] = i;
                map->flip[j] = sign[i] != wanted;
            }
    }
    mapped_grid(source, map, target);
}

/* Copies line after line; source steps are in elements, and negative along reversed axes. */
#define TURN(T)                                                                                    \
    do {                                                                                           \
        const T *from = (const T *)voxels->data + start;                                           \
        T *to = (*turned)->data;                                                                   \
        for (int64_t z = 0; z < n[2]; z++)                                                         \
            for (int64_t y = 0; y < n[1]; y++) {                                                   \
                const T *line = from + z * step[2] + y * step[1];                                  \
                for (int64_t x = 0; x < n[0]; x++)                                                 \
                    *to++ = line[x * step[0]];                                                     \
            }                                                                                      \
    } while (0)

mf_status orient_voxels(const mf_array *voxels, const axis_map *map, mf_array **turned)
{
    int64_t size[3];
    mf_zyx(voxels->shape, size);
    const int64_t stride[3] = {1, size[0], size[0] * size[1]};
    int64_t n[3], step[3], start = 0;
    bool same = true;
    for (int j = 0; j < 3; j++) {
        int i = map->from[j];
        n[j] = size[i];
        step[j] = map->flip[j] ? -stride[i] : stride[i];
        start += map->flip[j] ? (size[i] - 1) * stride[i] : 0;
        same = same && i == j && !map->flip[j];
    }
    if (same) {
        *turned = mf_array_ref(voxels);
        return MF_OK;
    }
    int64_t shape[3];
    mf_zyx(n, shape);
    MF_TRY(mf_array_new(voxels->dtype, 3, shape, turned));
    switch (mf_dtype_size(voxels->dtype)) {
    case 1:
        TURN(uint8_t);
        break;
    case 2:
        TURN(uint16_t);
        break;
    case 4:
        TURN(uint32_t);
        break;
    default:
        TURN(uint64_t);
    }
    return MF_OK;
}

void crop_grid(const mf_grid *grid, const index_box *box, mf_grid *cropped)
{
    mf_grid g = *grid;
    double corner[3];
    for (int i = 0; i < 3; i++) {
        corner[i] = (double)box->lo[i];
        g.size[i] = box->hi[i] - box->lo[i];
    }
    mf_grid_to_world(grid, corner, g.origin);
    *cropped = g;
}

mf_status crop_voxels(const mf_array *voxels, const index_box *b, mf_array **cropped)
{
    const int64_t *n = voxels->shape;
    size_t element = mf_dtype_size(voxels->dtype), row = (size_t)(b->hi[0] - b->lo[0]) * element;
    const int64_t shape[3] = {b->hi[2] - b->lo[2], b->hi[1] - b->lo[1], b->hi[0] - b->lo[0]};
    if (shape[0] == n[0] && shape[1] == n[1] && shape[2] == n[2]) {
        *cropped = mf_array_ref(voxels);
        return MF_OK;
    }
    MF_TRY(mf_array_new(voxels->dtype, 3, shape, cropped));
    char *to = (*cropped)->data;
    for (int64_t z = b->lo[2]; z < b->hi[2]; z++)
        for (int64_t y = b->lo[1]; y < b->hi[1]; y++, to += row)
            memcpy(to,
                   (const char *)voxels->data +
                       (size_t)((z * n[1] + y) * n[2] + b->lo[0]) * element,
                   row);
    return MF_OK;
}

void crop_widen(const mf_grid *grid, const double mm[3], index_box *box)
{
    for (int i = 0; i < 3; i++) {
        int64_t by = (int64_t)ceil(mm[i] / grid->spacing[i] - 1e-9);
        box->lo[i] = box->lo[i] > by ? box->lo[i] - by : 0;
        box->hi[i] = box->hi[i] + by < grid->size[i] ? box->hi[i] + by : grid->size[i];
    }
}

bool crop_box_of(const mf_array *voxels, index_box *box)
{
    const int64_t *n = voxels->shape;
    size_t element = mf_dtype_size(voxels->dtype);
    static const char zero[8];
    *box = (index_box){{n[2], n[1], n[0]}, {0, 0, 0}};
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++) {
            const char *row =
                (const char *)voxels->data + (size_t)((z * n[1] + y) * n[2]) * element;
            int64_t first = 0, last = n[2];
            while (first < last && !memcmp(row + (size_t)first * element, zero, element))
                first++;
            while (last > first && !memcmp(row + (size_t)(last - 1) * element, zero, element))
                last--;
            if (first == last)
                continue;
            const int64_t lo[3] = {first, y, z}, hi[3] = {last, y + 1, z + 1};
            for (int i = 0; i < 3; i++) {
                box->lo[i] = lo[i] < box->lo[i] ? lo[i] : box->lo[i];
                box->hi[i] = hi[i] > box->hi[i] ? hi[i] : box->hi[i];
            }
        }
    return box->hi[0] > box->lo[0];
}

/* Whether two grids share a lattice: index i of `from` lies at offset + sum of axes of `to`. */
static bool shared_lattice(const mf_grid *from, const mf_grid *to, axis_map *map, int64_t offset[3])
{
    for (int j = 0; j < 3; j++) { /* axis j of `to` along which axis of `from`? */
        int found = -1;
        for (int i = 0; i < 3; i++) {
            double cosine = 0;
            for (int r = 0; r < 3; r++)
                cosine += to->direction[3 * r + j] * from->direction[3 * r + i];
            if (fabs(cosine) > 1 - 1e-6 &&
                fabs(to->spacing[j] - from->spacing[i]) < 1e-4 * to->spacing[j]) {
                found = i;
                map->flip[j] = cosine < 0;
            }
        }
        if (found < 0)
            return false;
        map->from[j] = found;
    }
    mf_grid turned;
    double at[3];
    mapped_grid(from, map, &turned);
    mf_grid_to_index(to, turned.origin, at);
    for (int j = 0; j < 3; j++) {
        offset[j] = (int64_t)rint(at[j]);
        if (fabs(at[j] - (double)offset[j]) > 0.02)
            return false;
    }
    return true;
}

static double value_at(const mf_array *a, int64_t i)
{
    switch (a->dtype) {
    case MF_U8:
        return ((const uint8_t *)a->data)[i];
    case MF_I8:
        return ((const int8_t *)a->data)[i];
    case MF_U16:
        return ((const uint16_t *)a->data)[i];
    case MF_I16:
        return ((const int16_t *)a->data)[i];
    case MF_U32:
        return ((const uint32_t *)a->data)[i];
    case MF_I32:
        return ((const int32_t *)a->data)[i];
    case MF_F32:
        return (double)((const float *)a->data)[i];
    case MF_F64:
        return ((const double *)a->data)[i];
    default:
        return (double)((const int64_t *)a->data)[i];
    }
}

static void set_value(mf_array *a, int64_t i, double v)
{
    switch (a->dtype) {
    case MF_U8:
        ((uint8_t *)a->data)[i] = (uint8_t)rint(v);
        break;
    case MF_I8:
        ((int8_t *)a->data)[i] = (int8_t)rint(v);
        break;
    case MF_U16:
        ((uint16_t *)a->data)[i] = (uint16_t)rint(v);
        break;
    case MF_I16:
        ((int16_t *)a->data)[i] = (int16_t)rint(v);
        break;
    case MF_U32:
        ((uint32_t *)a->data)[i] = (uint32_t)rint(v);
        break;
    case MF_I32:
        ((int32_t *)a->data)[i] = (int32_t)rint(v);
        break;
    case MF_F32:
        ((float *)a->data)[i] = (float)v;
        break;
    case MF_F64:
        ((double *)a->data)[i] = v;
        break;
    default:
        ((int64_t *)a->data)[i] = (int64_t)rint(v);
    }
}

static void place(const mf_array *turned, const int64_t offset[3], mf_array *to)
{
    size_t element = mf_dtype_size(to->dtype);
    const int64_t *n = turned->shape, *m = to->shape;
    int64_t x0 = offset[0] > 0 ? offset[0] : 0;
    int64_t x1 = offset[0] + n[2] < m[2] ? offset[0] + n[2] : m[2];
    for (int64_t z = 0; z < n[0] && x1 > x0; z++)
        for (int64_t y = 0; y < n[1]; y++) {
            int64_t tz = z + offset[2], ty = y + offset[1];
            if (tz < 0 || tz >= m[0] || ty < 0 || ty >= m[1])
                continue;
            memcpy((char *)to->data + (size_t)((tz * m[1] + ty) * m[2] + x0) * element,
                   (const char *)turned->data +
                       (size_t)((z * n[1] + y) * n[2] + x0 - offset[0]) * element,
                   (size_t)(x1 - x0) * element);
        }
}

/* Trilinear; at[] lies within half a voxel of the grid, whose edge values reach that far. */
static double interpolate(const mf_array *a, const double at[3])
{
    int64_t n[3];
    mf_zyx(a->shape, n);
    int64_t i[3], j[3];
    double w[3], sum = 0;
    for (int k = 0; k < 3; k++) {
        double p = at[k] < 0 ? 0 : at[k] > (double)(n[k] - 1) ? (double)(n[k] - 1) : at[k];
        i[k] = (int64_t)p;
        j[k] = i[k] + 1 < n[k] ? i[k] + 1 : i[k];
        w[k] = p - (double)i[k];
    }
    for (int c = 0; c < 8; c++) {
        double weight =
            (c & 1 ? w[0] : 1 - w[0]) * (c & 2 ? w[1] : 1 - w[1]) * (c & 4 ? w[2] : 1 - w[2]);
        if (weight > 0)
            sum +=
                weight * value_at(a, ((c & 4 ? j[2] : i[2]) * n[1] + (c & 2 ? j[1] : i[1])) * n[0] +
                                         (c & 1 ? j[0] : i[0]));
    }
    return sum;
}

mf_status orient_restore(const mf_array *voxels, const mf_grid *from, const mf_grid *to,
                         bool nearest, double outside, mf_array **restored)
{
    int64_t shape[3];
    mf_zyx(to->size, shape);
    axis_map map;
    int64_t offset[3];
    bool shared = shared_lattice(from, to, &map, offset);
    mf_array *out, *turned;
    *restored = NULL;
    MF_TRY(mf_array_new(voxels->dtype, 3, shape, &out));
    int64_t count = mf_array_count(out);
    for (int64_t i = 0; i < count && outside != 0; i++)
        set_value(out, i, outside);
    *restored = out;
    if (shared) {
        mf_status status = orient_voxels(voxels, &map, &turned);
        if (status) {
            mf_array_unref(out);
            return status;
        }
        place(turned, offset, out);
        mf_array_unref(turned);
        return MF_OK;
    }
    /* Steps of the index in `from` for one voxel along x of `to`. */
    double start[3], next[3], world[3], along[3], ijk[3] = {0, 0, 0};
    mf_grid_to_world(to, ijk, world);
    mf_grid_to_index(from, world, start);
    ijk[0] = 1;
    mf_grid_to_world(to, ijk, world);
    mf_grid_to_index(from, world, next);
    for (int k = 0; k < 3; k++)
        along[k] = next[k] - start[k];
    for (int64_t z = 0, o = 0; z < shape[0]; z++)
        for (int64_t y = 0; y < shape[1]; y++) {
            const double first[3] = {0, (double)y, (double)z};
            mf_grid_to_world(to, first, world);
            mf_grid_to_index(from, world, start);
            for (int64_t x = 0; x < shape[2]; x++, o++) {
                double at[3];
                bool in = true;
                for (int k = 0; k < 3; k++) {
                    at[k] = start[k] + (double)x * along[k];
                    in = in && at[k] >= -0.5 && at[k] < (double)from->size[k] - 0.5;
                }
                if (!in)
                    continue;
                int64_t i[3];
                for (int k = 0; k < 3; k++)
                    i[k] = (int64_t)floor(at[k] + 0.5);
                set_value(
                    out, o,
                    nearest ? value_at(voxels, (i[2] * from->size[1] + i[1]) * from->size[0] + i[0])
                            : interpolate(voxels, at));
            }
        }
    return MF_OK;
}
