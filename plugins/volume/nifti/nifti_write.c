/* nifti_write.c - see nifti_write.h. The header's layout: nifti1.h of the NIfTI Data Format Working
 * Group. (ITK's writer forgets the memory of file names on each call.) */
#include "nifti_write.h"
#include <errno.h>
#include <math.h>
#include <string.h>
#include <zlib.h>

static void put16(unsigned char *header, int at, int64_t value)
{
    int16_t v = (int16_t)value;
    memcpy(header + at, &v, sizeof v);
}

static void put32(unsigned char *header, int at, int32_t v)
{
    memcpy(header + at, &v, sizeof v);
}

static void putf(unsigned char *header, int at, double value)
{
    float v = (float)value;
    memcpy(header + at, &v, sizeof v);
}

static int type_code(mf_dtype dtype)
{
    switch (dtype) {
    case MF_U8:
        return 2;
    case MF_I16:
        return 4;
    case MF_I32:
        return 8;
    case MF_F32:
        return 16;
    case MF_F64:
        return 64;
    case MF_I8:
        return 256;
    case MF_U16:
        return 512;
    case MF_U32:
        return 768;
    case MF_I64:
        return 1024;
    default:
        return 0;
    }
}

/* b, c, d of the unit quaternion of a rotation (row-major, determinant 1), a being at least 0. */
static void quaternion(const double r[9], double q[3])
{
    const double trace = r[0] + r[4] + r[8];
    double w, x, y, z;
    if (trace > 0) {
        double s = 2 * sqrt(trace + 1);
        w = s / 4, x = (r[7] - r[5]) / s, y = (r[2] - r[6]) / s, z = (r[3] - r[1]) / s;
    } else if (r[0] > r[4] && r[0] > r[8]) {
        double s = 2 * sqrt(1 + r[0] - r[4] - r[8]);
        w = (r[7] - r[5]) / s, x = s / 4, y = (r[1] + r[3]) / s, z = (r[2] + r[6]) / s;
    } else if (r[4] > r[8]) {
        double s = 2 * sqrt(1 + r[4] - r[0] - r[8]);
        w = (r[2] - r[6]) / s, x = (r[1] + r[3]) / s, y = s / 4, z = (r[5] + r[7]) / s;
    } else {
        double s = 2 * sqrt(1 + r[8] - r[0] - r[4]);
        w = (r[3] - r[1]) / s, x = (r[2] + r[6]) / s, y = (r[5] + r[7]) / s, z = s / 4;
    }
    double sign = w < 0 ? -1 : 1;
    q[0] = sign * x, q[1] = sign * y, q[2] = sign * z;
}

/* Where the voxels lie: a rotation for the qform, with the third axis turned over where the axes
 * are left-handed, and the whole affine for the sform. */
static void put_place(unsigned char *h, const mf_grid *g)
{
    double r[9], q[3];
    const double *d = g->direction;
    double handed = d[0] * (d[4] * d[8] - d[5] * d[7]) - d[1] * (d[3] * d[8] - d[5] * d[6]) +
                    d[2] * (d[3] * d[7] - d[4] * d[6]);
    double sign = handed < 0 ? -1 : 1;
    memcpy(r, d, sizeof r);
    for (int i = 0; i < 3; i++)
        r[3 * i + 2] *= sign;
    quaternion(r, q);
    put16(h, 252, 1); /* qform and sform: scanner coordinates */
    put16(h, 254, 1);
    putf(h, 76, sign);
    for (int i = 0; i < 3; i++) {
        putf(h, 80 + 4 * i, g->spacing[i]);
        putf(h, 256 + 4 * i, q[i]);
        putf(h, 268 + 4 * i, g->origin[i]);
        for (int j = 0; j < 3; j++)
            putf(h, 280 + 16 * i + 4 * j, d[3 * i + j] * g->spacing[j]);
        putf(h, 280 + 16 * i + 12, g->origin[i]);
    }
}

static mf_status make_header(const char *path, const mf_grid *grid, const mf_array *v,
                             unsigned char h[352])
{
    int code = type_code(v->dtype);
    if (!code)
        return mf_fail(MF_UNSUPPORTED, "%s: NIfTI has no voxels of type %s", path,
                       mf_dtype_text(v->dtype));
    memset(h, 0, 352);
    put32(h, 0, 348);
    put16(h, 40, v->rank);
    for (int i = 0; i < 7; i++) {
        int64_t n = i < v->rank ? v->shape[v->rank - 1 - i] : 1;
        if (n > INT16_MAX)
            return mf_fail(MF_UNSUPPORTED,
                           "%s: NIfTI holds at most 32767 voxels along an axis, "
                           "not %lld",
                           path, (long long)n);
        put16(h, 42 + 2 * i, n);
        putf(h, 80 + 4 * i, 1);
    }
    put16(h, 70, code);
    put16(h, 72, 8 * (int64_t)mf_dtype_size(v->dtype));
    putf(h, 108, 352);
    putf(h, 112, 1); /* slope; the intercept is 0 */
    h[123] = 2;      /* mm */
    put_place(h, grid);
    memcpy(h + 344, "n+1", 4);
    return MF_OK;
}

mf_status nifti_write(const char *path, const mf_grid *grid, const mf_array *voxels)
{
    unsigned char header[352];
    size_t n = strlen(path);
    MF_TRY(make_header(path, grid, voxels, header));
    /* T: as it is, without compression */
    gzFile file = gzopen(path, n > 3 && !strcmp(path + n - 3, ".gz") ? "wb6" : "wbT");
    if (!file)
        return mf_fail(MF_IO, "%s: cannot be written: %s", path, strerror(errno));
    bool good = gzwrite(file, header, sizeof header) == (int)sizeof header;
    for (size_t at = 0; at < voxels->bytes && good;) {
        size_t part = voxels->bytes - at < (size_t)1 << 26 ? voxels->bytes - at : (size_t)1 << 26;
        good = gzwrite(file, (const char *)voxels->data + at, (unsigned)part) == (int)part;
        at += part;
    }
    good = gzclose(file) == Z_OK && good;
    return good ? MF_OK : mf_fail(MF_IO, "%s: cannot be written: %s", path, strerror(errno));
}
