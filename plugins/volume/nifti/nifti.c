/* nifti.c - reads NIfTI-1, NIfTI-2 and Analyze 7.5, plain or gzip-compressed, of either byte order.
 *
 * ITK's reader knows neither NIfTI-2 nor sheared affines, prints to the terminal and takes a file
 * that was cut off for a whole one; the header must be read here anyway to tell, so the rest is
 * read too. Header layouts: nifti1.h and nifti2.h of the NIfTI Data Format Working Group. */
#include "nifti.h"
#include "../scan/geometry.h"
#include "../scan/inflate.h"
#include "../scan/voxels.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

typedef struct header {
    bool swapped, analyze, pair;
    int version;
    int64_t dim[8];
    int datatype, bits;
    double pixdim[8], offset, slope, intercept;
    int qform, sform;
    double center[3];     /* Analyze by SPM: the voxel, from 1, that is the origin; 0: not given */
    bool ranged;          /* ... and the slope is taken from its fields cal and gl */
    double quaternion[6]; /* b c d, offsets x y z */
    double srow[12];
    int units;
} header;

/* Reads a field of `size` bytes at `at`, turned to this machine's byte order. */
static void field(const unsigned char *at, bool swapped, size_t size, void *to)
{
    unsigned char *bytes = to;
    for (size_t i = 0; i < size; i++)
        bytes[i] = at[swapped ? size - 1 - i : i];
}
static int16_t get16(const header *h, const unsigned char *at)
{
    int16_t v;
    field(at, h->swapped, sizeof v, &v);
    return v;
}
static int32_t get32(const header *h, const unsigned char *at)
{
    int32_t v;
    field(at, h->swapped, sizeof v, &v);
    return v;
}
static int64_t get64(const header *h, const unsigned char *at)
{
    int64_t v;
    field(at, h->swapped, sizeof v, &v);
    return v;
}
static double getf(const header *h, const unsigned char *at)
{
    float v;
    field(at, h->swapped, sizeof v, &v);
    return (double)v;
}
static double getd(const header *h, const unsigned char *at)
{
    double v;
    field(at, h->swapped, sizeof v, &v);
    return v;
}

/* The size of its header opens a file: 348 or 540, in the file's byte order. */
static int header_size(const unsigned char *head, size_t size, bool *swapped)
{
    for (int s = 0; s < 2 && size >= 4; s++) {
        header h = {.swapped = s};
        int32_t n = get32(&h, head);
        *swapped = s;
        if (n == 348 || n == 540)
            return n;
    }
    return 0;
}

bool nifti_is(const unsigned char *head, size_t size)
{
    bool swapped;
    return header_size(head, size, &swapped) != 0;
}

/* What SPM put into fields that Analyze left free: scale factor, intercept and origin; and, where
 * there is no factor, the range of values before (gl) and after scaling (cal). As SPM 99 and SPM 2
 * and nibabel read them. */
static void parse_spm(header *h, const unsigned char *b)
{
    h->slope = getf(h, b + 112);
    h->intercept = getf(h, b + 116);
    if (!isfinite(h->intercept))
        h->intercept = 0;
    double cal_max = getf(h, b + 124), cal_min = getf(h, b + 128);
    double gl_max = get32(h, b + 140), gl_min = get32(h, b + 144);
    if ((h->slope == 0 || !isfinite(h->slope)) && gl_max != gl_min && cal_max != cal_min) {
        h->slope = (cal_max - cal_min) / (gl_max - gl_min);
        h->intercept = cal_min - h->slope * gl_min;
        h->ranged = isfinite(h->slope) && isfinite(h->intercept);
        if (!h->ranged)
            h->slope = 0;
    }
    bool given = false, near = true;
    for (int i = 0; i < 3; i++) {
        h->center[i] = get16(h, b + 253 + 2 * i);
        given = given || h->center[i] != 0;
        near = near && h->center[i] > (double)-h->dim[i + 1] &&
               h->center[i] < 2 * (double)h->dim[i + 1];
    }
    if (!given || !near)
        memset(h->center, 0, sizeof h->center);
}

static void parse_one(header *h, const unsigned char *b)
{
    for (int i = 0; i < 8; i++) {
        h->dim[i] = get16(h, b + 40 + 2 * i);
        h->pixdim[i] = getf(h, b + 76 + 4 * i);
    }
    h->datatype = get16(h, b + 70);
    h->bits = get16(h, b + 72);
    h->offset = getf(h, b + 108);
    if (h->analyze) {
        parse_spm(h, b);
        return;
    }
    h->slope = getf(h, b + 112);
    h->intercept = getf(h, b + 116);
    h->units = b[123];
    h->qform = get16(h, b + 252);
    h->sform = get16(h, b + 254);
    for (int i = 0; i < 6; i++)
        h->quaternion[i] = getf(h, b + 256 + 4 * i);
    for (int i = 0; i < 12; i++)
        h->srow[i] = getf(h, b + 280 + 4 * i);
}

static void parse_two(header *h, const unsigned char *b)
{
    for (int i = 0; i < 8; i++) {
        h->dim[i] = get64(h, b + 16 + 8 * i);
        h->pixdim[i] = getd(h, b + 104 + 8 * i);
    }
    h->datatype = get16(h, b + 12);
    h->bits = get16(h, b + 14);
    h->offset = (double)get64(h, b + 168);
    h->slope = getd(h, b + 176);
    h->intercept = getd(h, b + 184);
    h->qform = get32(h, b + 344);
    h->sform = get32(h, b + 348);
    for (int i = 0; i < 6; i++)
        h->quaternion[i] = getd(h, b + 352 + 8 * i);
    for (int i = 0; i < 12; i++)
        h->srow[i] = getd(h, b + 400 + 8 * i);
    h->units = get32(h, b + 500);
}

static mf_status parse(const char *path, const unsigned char *b, size_t size, header *h)
{
    memset(h, 0, sizeof *h);
    int n = header_size(b, size, &h->swapped);
    if ((size_t)n > size)
        return mf_fail(MF_CORRUPT, "%s: cut off inside its header (%zu of %d bytes)", path, size,
                       n);
    if (n == 540) {
        h->version = 2;
        h->pair = b[5] == 'i';
        if (memcmp(b + 4, "n+2", 4) && memcmp(b + 4, "ni2", 4))
            return mf_fail(MF_CORRUPT, "%s: damaged NIfTI-2 header: no magic word", path);
        parse_two(h, b);
        return MF_OK;
    }
    h->version = 1;
    h->pair = memcmp(b + 344, "n+1", 4) != 0;
    h->analyze = h->pair && memcmp(b + 344, "ni1", 4) != 0;
    parse_one(h, b);
    return MF_OK;
}

/* NIfTI's data types that are read; *uint64 for the one without a dtype of its own. */
static mf_status voxel_type(const char *path, const header *h, mf_dtype *dtype, bool *uint64)
{
    static const struct {
        int code;
        mf_dtype dtype;
    } types[] = {{2, MF_U8},   {4, MF_I16},   {8, MF_I32},   {16, MF_F32},   {64, MF_F64},
                 {256, MF_I8}, {512, MF_U16}, {768, MF_U32}, {1024, MF_I64}, {1280, MF_I64}};
    static const struct {
        int code;
        const char *name;
    } refused[] = {{1, "binary voxels"},          {32, "complex voxels"},
                   {128, "colour voxels (RGB)"},  {1536, "128-bit reals"},
                   {1792, "complex voxels"},      {2048, "complex voxels"},
                   {2304, "colour voxels (RGBA)"}};
    *uint64 = h->datatype == 1280;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == h->datatype) {
            *dtype = types[i].dtype;
            if (h->bits && (size_t)h->bits != 8 * mf_dtype_size(*dtype))
                return mf_fail(MF_CORRUPT,
                               "%s: its header contradicts itself: data type %s with %d bits a "
                               "voxel",
                               path, mf_dtype_text(*dtype), h->bits);
            return MF_OK;
        }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].code == h->datatype)
            return mf_hint(mf_fail(MF_UNSUPPORTED, "%s: has %s, not one number a voxel", path,
                                   refused[i].name),
                           "convert it to a grey-scale scan first");
    return mf_fail(MF_CORRUPT, "%s: unknown NIfTI data type %d", path, h->datatype);
}

/* Sizes along x y z and time; bytes of one time point and of all. */
static mf_status sizes(const char *path, const header *h, size_t element, int64_t size[4],
                       size_t *one, size_t *all)
{
    if (h->dim[0] < 1 || h->dim[0] > 7)
        return mf_fail(MF_CORRUPT, "%s: its header claims %lld dimensions", path,
                       (long long)h->dim[0]);
    *all = element;
    for (int i = 0; i < 7; i++) {
        int64_t n = i < h->dim[0] ? h->dim[i + 1] : 1;
        if (n < 1 && i >= 3)
            n = 1; /* zero beyond the third is how some say "one" */
        if (n < 1 || !mf_size_mul(*all, (size_t)n, all) || *all > (size_t)INT64_MAX / 2)
            return mf_fail(MF_CORRUPT, "%s: its header claims %lld voxels along axis %d", path,
                           (long long)n, i + 1);
        if (i < 4)
            size[i] = n;
        else if (n > 1)
            return mf_fail(MF_UNSUPPORTED, "%s: has %lld values a voxel along axis %d, not one",
                           path, (long long)n, i + 1);
        if (i == 2)
            *one = *all;
    }
    return MF_OK;
}

/* Where the suffix .hdr, .img or .nii of a path begins, in letters of any case; NULL for another
 * suffix. *packed: .gz follows. */
static const char *suffix_of(const char *path, bool *packed)
{
    static const char *const suffixes[] = {".hdr", ".img", ".nii"};
    size_t n = strlen(path);
    *packed = n > 3 && !strcasecmp(path + n - 3, ".gz");
    n -= *packed ? 3 : 0;
    for (size_t i = 0; i < 3 && n > 4; i++)
        if (!strncasecmp(path + n - 4, suffixes[i], 4))
            return path + n - 4;
    return NULL;
}

/* Rotation of the qform: NIfTI-1, "method 2". The format wants sizes of voxels above 0 (pixdim[0]
 * alone tells left from right), so a sign is nothing that would turn an axis. */
static void quaternion_affine(const header *h, double a[12])
{
    double b = h->quaternion[0], c = h->quaternion[1], d = h->quaternion[2];
    double s = 1 - b * b - c * c - d * d, q = h->pixdim[0] < 0 ? -1 : 1;
    if (s < 1e-7) {
        double n = 1 / sqrt(b * b + c * c + d * d);
        b *= n, c *= n, d *= n, s = 0;
    }
    double w = sqrt(s);
    const double r[9] = {w * w + b * b - c * c - d * d, 2 * (b * c - w * d),
                         2 * (b * d + w * c),           2 * (b * c + w * d),
                         w * w + c * c - b * b - d * d, 2 * (c * d - w * b),
                         2 * (b * d - w * c),           2 * (c * d + w * b),
                         w * w + d * d - b * b - c * c};
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++)
            a[4 * i + j] = r[3 * i + j] * fabs(h->pixdim[j + 1]) * (j == 2 ? q : 1);
        a[4 * i + 3] = h->quaternion[3 + i];
    }
}

/* Where x grows to the left and `center` (from 0) is the origin: how nibabel and SPM read files
 * that say nothing of orientation. */
static void plain_affine(const header *h, const double center[3], double a[12])
{
    for (int i = 0; i < 3; i++) {
        double p = fabs(h->pixdim[i + 1]);
        if (!(p > 0))
            p = 1;
        a[5 * i] = i ? p : -p;
        a[4 * i + 3] = -a[5 * i] * center[i];
    }
}

/* How far two affines are apart at the corners of a grid, in mm. */
static double apart(const double a[12], const double b[12], const int64_t size[3])
{
    double worst = 0;
    for (int c = 0; c < 8; c++) {
        double sum = 0;
        for (int r = 0; r < 3; r++) {
            double d = a[4 * r + 3] - b[4 * r + 3];
            for (int k = 0; k < 3; k++)
                if (c >> k & 1)
                    d += (a[4 * r + k] - b[4 * r + k]) * (double)(size[k] - 1);
            sum += d * d;
        }
        worst = fmax(worst, sqrt(sum));
    }
    return worst;
}

static void place_plain(const char *path, const header *h, scan *s, double a[12])
{
    bool given = h->center[0] != 0 || h->center[1] != 0 || h->center[2] != 0;
    double center[3];
    for (int i = 0; i < 3; i++)
        center[i] = given ? h->center[i] - 1 : (double)(s->grid.size[i] - 1) / 2;
    plain_affine(h, center, a);
    s->sides_assumed = true;
    scan_note(s,
              "%s: does not say how the patient lies; taken as LAS, as is usual: check the sides "
              "before you trust them",
              path);
    if (given)
        scan_note(s, "%s: the origin is SPM's: voxel (%g, %g, %g)", path, center[0], center[1],
                  center[2]);
    bool packed;
    const char *suffix = suffix_of(path, &packed);
    char mat[4096];
    if (h->analyze && suffix &&
        snprintf(mat, sizeof mat, "%.*s.mat", (int)(suffix - path), path) < (int)sizeof mat &&
        !access(mat, F_OK))
        scan_note(s, "%s: its place may stand in %s, which SPM reads and massflow does not", path,
                  mat);
}

/* Whether the quaternion is a rotation (a little more than 1 is rounding) of voxels with a size. */
static bool qform_valid(const header *h)
{
    double b = h->quaternion[0], c = h->quaternion[1], d = h->quaternion[2];
    return b * b + c * c + d * d < 1.01 && h->pixdim[1] != 0 && h->pixdim[2] != 0 &&
           h->pixdim[3] != 0;
}

static mf_status place_quaternion(const char *path, const header *h, scan *s, double a[12])
{
    if (!qform_valid(h))
        return mf_fail(MF_CORRUPT,
                       "%s: its header gives no rotation (%g, %g, %g) of voxels of %g x %g x %g mm",
                       path, h->quaternion[0], h->quaternion[1], h->quaternion[2], h->pixdim[1],
                       h->pixdim[2], h->pixdim[3]);
    quaternion_affine(h, a);
    if (h->pixdim[0] < 0 && h->pixdim[0] != -1)
        scan_note(s,
                  "%s: its pixdim[0] is %g, neither 1 nor -1; taken as -1, as ITK does (nibabel "
                  "takes 1, which turns an axis): check the sides before you trust them",
                  path, h->pixdim[0]);
    if (h->pixdim[1] < 0 || h->pixdim[2] < 0 || h->pixdim[3] < 0)
        scan_note(s,
                  "%s: has negative sizes of voxels (%g, %g, %g); their signs are passed over, as "
                  "nibabel does (ITK turns the axis): check the sides before you trust them",
                  path, h->pixdim[1], h->pixdim[2], h->pixdim[3]);
    return MF_OK;
}

static mf_status place(const char *path, const header *h, scan *s)
{
    double a[12] = {0}, q[12] = {0};
    int units = h->units & 7;
    double unit = units == 1 ? 1000 : units == 3 ? 0.001 : 1;
    bool both = h->sform > 0 && h->qform > 0 && qform_valid(h);
    if (h->sform > 0)
        memcpy(a, h->srow, sizeof a);
    else if (h->qform > 0)
        MF_TRY(place_quaternion(path, h, s, a));
    else
        place_plain(path, h, s, a);
    if (both)
        quaternion_affine(h, q);
    for (int i = 0; i < 12; i++) {
        a[i] *= unit;
        q[i] *= unit;
    }
    if (unit != 1)
        scan_note(s, "%s: its unit of length is %s: turned to mm (nibabel takes it as mm)", path,
                  units == 1 ? "the metre" : "the micrometre");
    MF_TRY(geometry_split(path, a, &s->grid));
    double least = fmin(fmin(s->grid.spacing[0], s->grid.spacing[1]), s->grid.spacing[2]);
    double far = both ? apart(a, q, s->grid.size) : 0;
    if (far > 0.5 * least)
        scan_note(s,
                  "%s: its sform and qform place it up to %.1f mm apart; the sform is taken, as "
                  "nibabel does",
                  path, far);
    return MF_OK;
}

/* A slope of 0, or one that is no number, says that there is none, in all readers. With a slope the
 * intercept must be a number too: nibabel refuses such a file, ITK takes 0. */
static mf_status scale(const char *path, const header *h, scan *s)
{
    if (h->slope == 0 || !isfinite(h->slope) || (h->slope == 1 && h->intercept == 0))
        return MF_OK;
    if (!isfinite(h->intercept))
        return mf_hint(mf_fail(MF_CORRUPT,
                               "%s: its header gives the slope %g for its values and an intercept "
                               "that is not a number",
                               path, h->slope),
                       "set scl_inter in its header, to 0 if nothing is to be added");
    if (h->analyze)
        scan_note(s, "%s: %s: value * %g + %g", path,
                  h->ranged ? "scaled from its fields gl to its fields cal, as SPM does"
                            : "SPM's scale factor is applied",
                  h->slope, h->intercept);
    return voxels_scale(&s->voxels, h->slope, h->intercept);
}

static mf_status read_voxels(inflate_file *f, const header *h, const scan_options *o,
                             int64_t offset, scan *s)
{
    int64_t size[4];
    mf_dtype dtype = MF_U8;
    bool uint64;
    size_t one = 0, all = 0;
    MF_TRY(voxel_type(f->path, h, &dtype, &uint64));
    MF_TRY(sizes(f->path, h, mf_dtype_size(dtype), size, &one, &all));
    int64_t promised = offset + (int64_t)all;
    if (!inflate_can_hold(f, promised))
        return mf_fail(MF_CORRUPT,
                       "%s: cut off: its header promises %lld x %lld x %lld x %lld voxels (%lld "
                       "bytes), the file has %lld bytes",
                       f->path, (long long)size[0], (long long)size[1], (long long)size[2],
                       (long long)size[3], (long long)promised, (long long)f->file_bytes);
    MF_TRY(scan_check_time(f->path, size[3], "time points", o));
    MF_TRY(scan_check_size(f->path, size));
    memcpy(s->grid.size, size, sizeof s->grid.size);
    int64_t shape[3];
    mf_zyx(size, shape);
    MF_TRY(mf_array_new(dtype, 3, shape, &s->voxels));
    int64_t before = o->time > 0 ? o->time * (int64_t)one : 0;
    MF_TRY(inflate_skip(f, offset - f->at + before, promised));
    MF_TRY(inflate_exactly(f, s->voxels->data, one, promised));
    /* The rest is read too: only at its end does a gzip file tell whether it was whole. */
    MF_TRY(inflate_skip(f, promised - f->at, promised));
    MF_TRY(inflate_finish(f));
    if (h->swapped)
        voxels_swap(s->voxels);
    if (uint64)
        MF_TRY(voxels_check_unsigned(f->path, s->voxels));
    return MF_OK;
}

/* ---- pairs ------------------------------------------------------------------------------------
 */

static bool is_image(const char *path)
{
    bool packed;
    const char *suffix = suffix_of(path, &packed);
    return suffix && !strncasecmp(suffix, ".img", 4);
}

/* Finds the file `suffix` (such as "img") beside `path`: in capitals where the suffix of `path` has
 * them and compressed where `path` is, else in any letters and either way. */
static mf_status find_other(const char *path, const char *suffix, part_list *found)
{
    bool packed;
    const char *own = suffix_of(path, &packed), *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (int way = 0; own && way < 9 * 3; way++) {
        char letters[4] = {0}, *other;
        for (int i = 0; i < 3; i++) {
            bool capital = way % 9 ? (way % 9 - 1) >> i & 1 : isupper((unsigned char)own[1 + i]);
            letters[i] = (char)(capital ? toupper((unsigned char)suffix[i]) : suffix[i]);
        }
        const char *pack = way / 9 == 2 ? ".GZ" : (way / 9 == 0) == packed ? ".gz" : "";
        if (asprintf(&other, "%.*s.%s%s", (int)(own - path), path, letters, pack) < 0)
            return mf_no_memory(0, "the name of the other file of %s", path);
        mf_status status =
            access(other, F_OK) ? MF_OK : parts_add(found, path, 0, other + (name - path));
        free(other);
        if (status || found->count)
            return status;
    }
    return MF_OK;
}

/* The header and the file of voxels of a scan: `path` and, of a pair, the file beside it. The names
 * are of `path` and `other`. */
static mf_status find_files(const char *path, header *h, part_list *other, const char **header_path,
                            const char **image)
{
    unsigned char head[540];
    size_t got = 0;
    *header_path = path;
    *image = NULL;
    if (is_image(path)) {
        MF_TRY(find_other(path, "hdr", other));
        if (!other->count)
            return mf_fail(MF_NOT_FOUND, "%s: its header, a file .hdr beside it, is missing", path);
        *header_path = other->path[0];
        *image = path;
    }
    inflate_file f = {0};
    mf_status status = inflate_open(*header_path, &f);
    if (!status)
        status = inflate_read(&f, head, sizeof head, &got);
    inflate_close(&f);
    if (!status && !nifti_is(head, got))
        status = mf_fail(MF_CORRUPT, "%s: is not a header of NIfTI or Analyze", *header_path);
    if (!status)
        status = parse(*header_path, head, got, h);
    MF_TRY(status);
    if (!h->pair)
        *image = *header_path;
    else if (!*image) {
        MF_TRY(find_other(path, "img", other));
        if (!other->count)
            return mf_fail(MF_NOT_FOUND,
                           "%s: its voxels lie in a file .img beside it, which is missing", path);
        *image = other->path[0];
    }
    return MF_OK;
}

static mf_status read_files(const char *header_path, const char *image, const header *h,
                            const scan_options *o, scan *s)
{
    int64_t least = h->pair ? 0 : h->version == 2 ? 540 : 348;
    if (!(h->offset >= (double)least) || h->offset > 1e15)
        return mf_fail(MF_CORRUPT, "%s: its header places voxels at byte %g%s", header_path,
                       h->offset, h->pair ? "" : ", inside itself");
    inflate_file voxels = {0};
    mf_status status = inflate_open(image, &voxels);
    if (!status)
        status = read_voxels(&voxels, h, o, (int64_t)h->offset, s);
    inflate_close(&voxels);
    MF_TRY(status);
    MF_TRY(scale(header_path, h, s));
    return place(header_path, h, s);
}

mf_status nifti_read(const char *path, const scan_options *o, scan *s)
{
    header h;
    part_list other = {0};
    const char *header_path, *image;
    mf_status status = find_files(path, &h, &other, &header_path, &image);
    if (!status)
        status = read_files(header_path, image, &h, o, s);
    parts_free(&other);
    return status;
}

mf_status nifti_parts(const char *path, part_list *parts)
{
    header h;
    const char *header_path, *image;
    return find_files(path, &h, parts, &header_path, &image);
}
