/* voxels.c - what values a scan holds, and the smallest dtype that holds them exactly. */
#include "voxels.h"
#include <float.h>
#include <math.h>

/* Runs the code behind `otherwise` with T the C type of the array's elements; `otherwise` for half
 * floats, which no file holds. */
// clang-format off
#define BY_DTYPE(array, otherwise, ...)                                                            \
    switch ((array)->dtype) {                                                                      \
    case MF_U8:  { typedef uint8_t T; __VA_ARGS__ } break;                                         \
    case MF_I8:  { typedef int8_t T; __VA_ARGS__ } break;                                          \
    case MF_U16: { typedef uint16_t T; __VA_ARGS__ } break;                                        \
    case MF_I16: { typedef int16_t T; __VA_ARGS__ } break;                                         \
    case MF_U32: { typedef uint32_t T; __VA_ARGS__ } break;                                        \
    case MF_I32: { typedef int32_t T; __VA_ARGS__ } break;                                         \
    case MF_I64: { typedef int64_t T; __VA_ARGS__ } break;                                         \
    case MF_F32: { typedef float T; __VA_ARGS__ } break;                                           \
    case MF_F64: { typedef double T; __VA_ARGS__ } break;                                          \
    default: otherwise;                                                                            \
    }
// clang-format on

static mf_status no_dtype(const mf_array *a)
{
    return mf_fail(MF_INTERNAL, "voxels of type %s", mf_dtype_text(a->dtype));
}

static bool is_real(mf_dtype dtype)
{
    return dtype == MF_F32 || dtype == MF_F64;
}

static double real_at(const mf_array *a, int64_t i)
{
    return a->dtype == MF_F32 ? (double)((const float *)a->data)[i] : ((const double *)a->data)[i];
}

/* Whether 32-bit reals, whose smallest step is 2^-149, keep fewer than 12 bits of these values:
 * less than a scanner gives. */
static bool is_faint(double min, double max)
{
    double most = fmax(fabs(min), fabs(max));
    return most > 0 && most < FLT_MIN && max - min < 4096 * 0x1p-149;
}

mf_status voxels_measure(const mf_array *a, voxel_facts *facts)
{
    int64_t n = mf_array_count(a), finite = 0;
    double least = INFINITY, most = -INFINITY;
    *facts = (voxel_facts){.whole = true};
    if (is_real(a->dtype)) {
        for (int64_t i = 0; i < n; i++) {
            double v = real_at(a, i);
            if (!isfinite((float)v)) {
                facts->nan += isnan(v);
                facts->inf += isinf(v) != 0;
                facts->beyond += isfinite(v) != 0;
                continue;
            }
            finite++;
            least = v < least ? v : least;
            most = v > most ? v : most;
            facts->whole = facts->whole && v == rint(v);
        }
        facts->whole = facts->whole && finite == n;
        facts->faint = a->dtype == MF_F64 && finite && is_faint(least, most);
    } else if (n > 0) {
        // clang-format off
        BY_DTYPE(a, return no_dtype(a),
            const T *v = a->data;
            T low = v[0];
            T high = v[0];
            for (int64_t i = 1; i < n; i++) {
                low = v[i] < low ? v[i] : low;
                high = v[i] > high ? v[i] : high;
            }
            least = (double)low;
            most = (double)high;
        )
        // clang-format on
        finite = n;
    }
    facts->min = finite ? least : 0;
    facts->max = finite ? most : 0;
    return MF_OK;
}

mf_status voxels_narrow(mf_array **voxels, const voxel_facts *f)
{
    static const struct {
        mf_dtype dtype;
        double min, max;
    } whole[] = {{MF_U8, 0, UINT8_MAX},
                 {MF_I16, INT16_MIN, INT16_MAX},
                 {MF_U16, 0, UINT16_MAX},
                 {MF_I32, INT32_MIN, INT32_MAX},
                 {MF_U32, 0, UINT32_MAX}};
    mf_dtype to = is_real((*voxels)->dtype) ? MF_F32 : (*voxels)->dtype;
    for (size_t i = 0; f->whole && i < sizeof whole / sizeof *whole; i++)
        if (f->min >= whole[i].min && f->max <= whole[i].max) {
            if (mf_dtype_size(whole[i].dtype) < mf_dtype_size(to))
                to = whole[i].dtype;
            break;
        }
    mf_array *narrow;
    MF_TRY(mf_array_convert(*voxels, to, &narrow));
    mf_array_unref(*voxels);
    *voxels = narrow;
    return MF_OK;
}

mf_status voxels_scale(mf_array **voxels, double slope, double intercept)
{
    mf_array *a = *voxels, *scaled;
    voxel_facts f;
    MF_TRY(voxels_measure(a, &f));
    double ends[2] = {f.min * slope + intercept, f.max * slope + intercept};
    bool whole = f.whole && slope == rint(slope) && intercept == rint(intercept) &&
                 fabs(ends[0]) < INT32_MAX && fabs(ends[1]) < INT32_MAX;
    bool wide = f.beyond || !isfinite((float)ends[0]) || !isfinite((float)ends[1]) ||
                is_faint(fmin(ends[0], ends[1]), fmax(ends[0], ends[1]));
    MF_TRY(mf_array_new(whole ? MF_I32 : wide ? MF_F64 : MF_F32, a->rank, a->shape, &scaled));
    int64_t n = mf_array_count(a);
    // clang-format off
    BY_DTYPE(a, mf_array_unref(scaled); return no_dtype(a),
        const T *v = a->data;
        if (whole)
            for (int64_t i = 0; i < n; i++)
                ((int32_t *)scaled->data)[i] = (int32_t)((double)v[i] * slope + intercept);
        else if (wide)
            for (int64_t i = 0; i < n; i++)
                ((double *)scaled->data)[i] = (double)v[i] * slope + intercept;
        else
            for (int64_t i = 0; i < n; i++)
                ((float *)scaled->data)[i] = (float)((double)v[i] * slope + intercept);
    )
    // clang-format on
    mf_array_unref(a);
    *voxels = scaled;
    return MF_OK;
}

/* The first voxel of a label map that no whole number can stand for. */
static mf_status no_label(const char *path, const mf_array *a, int64_t i, double v)
{
    const int64_t *n = a->shape;
    return mf_hint(mf_fail(MF_INVALID,
                           "%s: is not a label map: the value %.9g at voxel (%lld, %lld, %lld) is "
                           "not within 0.001 of an integer from 0 to 2147483647",
                           path, v, (long long)(i % n[2]), (long long)(i / n[2] % n[1]),
                           (long long)(i / n[2] / n[1])),
                   "voxels count from 0 along x, y, z as they lie in the file; volume.load reads "
                   "scans");
}

static mf_status round_reals(const char *path, mf_array **voxels, int64_t *rounded)
{
    mf_array *a = *voxels, *whole;
    MF_TRY(mf_array_new(MF_I32, a->rank, a->shape, &whole));
    for (int64_t i = 0, n = mf_array_count(a); i < n; i++) {
        double v = real_at(a, i), label = rint(v);
        if (!(fabs(v - label) <= 1e-3) || label < 0 || label > INT32_MAX) {
            mf_array_unref(whole);
            return no_label(path, a, i, v);
        }
        ((int32_t *)whole->data)[i] = (int32_t)label;
        *rounded += v != label;
    }
    mf_array_unref(a);
    *voxels = whole;
    return MF_OK;
}

mf_status voxels_round_labels(const char *path, mf_array **voxels, int64_t *rounded)
{
    voxel_facts f;
    *rounded = 0;
    if (is_real((*voxels)->dtype))
        MF_TRY(round_reals(path, voxels, rounded));
    MF_TRY(voxels_measure(*voxels, &f));
    if (f.min < 0 || f.max > INT32_MAX)
        return mf_fail(MF_INVALID, "%s: is not a label map: its values reach from %.10g to %.10g",
                       path, f.min, f.max);
    return voxels_narrow(voxels, &f);
}

void voxels_zero_odd(mf_array *a)
{
    int64_t n = mf_array_count(a);
    for (int64_t i = 0; i < n && a->dtype == MF_F32; i++)
        if (!isfinite(((float *)a->data)[i]))
            ((float *)a->data)[i] = 0;
    for (int64_t i = 0; i < n && a->dtype == MF_F64; i++)
        if (!isfinite((float)((double *)a->data)[i]))
            ((double *)a->data)[i] = 0;
}

mf_status voxels_check_unsigned(const char *path, const mf_array *a)
{
    for (int64_t i = 0, n = mf_array_count(a); i < n; i++)
        if (((const int64_t *)a->data)[i] < 0)
            return mf_fail(MF_UNSUPPORTED, "%s: has integers beyond 63 bits", path);
    return MF_OK;
}

void voxels_swap(mf_array *voxels)
{
    size_t n = mf_dtype_size(voxels->dtype);
    unsigned char *at = voxels->data, *end = at + voxels->bytes;
    if (n == 1)
        return;
    for (; at < end; at += n)
        for (size_t i = 0; i < n / 2; i++) {
            unsigned char t = at[i];
            at[i] = at[n - 1 - i];
            at[n - 1 - i] = t;
        }
}
