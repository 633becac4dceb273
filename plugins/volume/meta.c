/* meta.c - MetaImage: lines "Key = value" up to ElementDataFile, then voxels, raw or
 * zlib-compressed.
 *
 * ITK's reader prints to the terminal and hands out a half-read volume as a whole one, so this
 * format is read here. https://itk.org/Wiki/MetaIO/Documentation */
#include "meta.h"
#include "geometry.h"
#include "voxels.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

typedef struct meta {
    int rank;
    int64_t size[4], channels, header_bytes; /* header_bytes: -1: the data ends the file */
    mf_dtype dtype;
    bool typed, sized, compressed, swapped;
    double spacing[4], offset[4], matrix[16];
    bool has_spacing, has_offset, has_matrix;
    char file[1024]; /* ElementDataFile */
    int64_t end;     /* of the text, where local data begins */
} meta;

bool meta_is(const char *head)
{
    return strstr(head, "NDims") && strstr(head, "DimSize");
}

/* Numbers of a line into `to`; how many there are, at most `most`. */
static int reals(const char *text, double *to, int most)
{
    int n = 0;
    for (char *end; n < most; n++, text = end) {
        to[n] = strtod(text, &end);
        if (end == text || !(to[n] - to[n] == 0))
            break;
    }
    return n;
}

static bool truth(const char *text)
{
    return !strncasecmp(text, "true", 4) || *text == '1';
}

static bool type_of(const char *text, mf_dtype *dtype)
{
    static const struct {
        const char *name;
        mf_dtype dtype;
    } types[] = {{"MET_UCHAR", MF_U8},      {"MET_CHAR", MF_I8},  {"MET_USHORT", MF_U16},
                 {"MET_SHORT", MF_I16},     {"MET_UINT", MF_U32}, {"MET_INT", MF_I32},
                 {"MET_LONG_LONG", MF_I64}, {"MET_LONG", MF_I64}, {"MET_FLOAT", MF_F32},
                 {"MET_DOUBLE", MF_F64}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(text, types[i].name)) {
            *dtype = types[i].dtype;
            return true;
        }
    return false;
}

/* One line of the header; `known` only of those that matter here. */
static mf_status parse_line(const char *path, const char *key, const char *value, meta *m)
{
    double numbers[16];
    if (!strcmp(key, "NDims")) {
        if (m->rank) /* sizes that were read for the first one would be believed for the second */
            return mf_fail(MF_CORRUPT, "%s: damaged header: NDims stands twice", path);
        m->rank = atoi(value);
        if (m->rank < 2 || m->rank > 4)
            return mf_fail(MF_UNSUPPORTED, "%s: has %s dimensions", path, value);
        return MF_OK;
    }
    if (!strcmp(key, "DimSize")) {
        m->sized = reals(value, numbers, 4) == m->rank && m->rank;
        for (int i = 0; i < m->rank && m->sized; i++) {
            m->sized = numbers[i] >= 1 && numbers[i] < 1e9;
            m->size[i] = m->sized ? (int64_t)numbers[i] : 0;
        }
        return m->sized ? MF_OK
                        : mf_fail(MF_CORRUPT, "%s: claims an impossible size: %s", path, value);
    }
    if (!strcmp(key, "ElementType")) {
        m->typed = type_of(value, &m->dtype);
        return m->typed
                   ? MF_OK
                   : mf_fail(MF_UNSUPPORTED, "%s: voxels of type %s are not read", path, value);
    }
    if (!strcmp(key, "ElementSpacing") || (!strcmp(key, "ElementSize") && !m->has_spacing))
        m->has_spacing = reals(value, m->spacing, m->rank) == m->rank;
    else if (!strcmp(key, "Offset") || !strcmp(key, "Position") || !strcmp(key, "Origin"))
        m->has_offset = reals(value, m->offset, m->rank) == m->rank;
    else if (!strcmp(key, "TransformMatrix") || !strcmp(key, "Rotation") ||
             !strcmp(key, "Orientation"))
        m->has_matrix = reals(value, m->matrix, m->rank * m->rank) == m->rank * m->rank;
    else if (!strcmp(key, "CompressedData"))
        m->compressed = truth(value);
    else if (!strcmp(key, "BinaryDataByteOrderMSB") || !strcmp(key, "ElementByteOrderMSB"))
        m->swapped = truth(value);
    else if (!strcmp(key, "ElementNumberOfChannels"))
        m->channels = atoll(value);
    else if (!strcmp(key, "HeaderSize"))
        m->header_bytes = atoll(value);
    else if (!strcmp(key, "BinaryData") && !truth(value))
        return mf_fail(MF_UNSUPPORTED, "%s: its voxels are written as text", path);
    else if (!strcmp(key, "ElementDataFile"))
        snprintf(m->file, sizeof m->file, "%s", value);
    return MF_OK;
}

static mf_status parse(const char *path, FILE *file, meta *m)
{
    char line[2048];
    *m = (meta){.channels = 1};
    while (!m->file[0] && fgets(line, sizeof line, file)) {
        char *value = strchr(line, '=');
        line[strcspn(line, "\r\n")] = 0;
        if (!value)
            return mf_fail(MF_CORRUPT, "%s: damaged header: a line without '='", path);
        char *key_end = value;
        while (key_end > line && (key_end[-1] == ' ' || key_end[-1] == '\t'))
            key_end--;
        *key_end = 0;
        value++;
        while (*value == ' ' || *value == '\t')
            value++;
        size_t n = strlen(value);
        while (n && value[n - 1] == ' ')
            value[--n] = 0;
        MF_TRY(parse_line(path, line, value, m));
    }
    m->end = ftell(file);
    if (!m->rank || !m->sized || !m->typed || !m->file[0])
        return mf_fail(MF_CORRUPT, "%s: damaged header: it lacks %s", path,
                       !m->rank    ? "NDims"
                       : !m->sized ? "DimSize"
                       : !m->typed ? "ElementType"
                                   : "ElementDataFile");
    if (m->channels != 1)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: has %lld values a voxel (colour or vectors), not one", path,
                               (long long)m->channels),
                       "convert it to a grey-scale scan first");
    return MF_OK;
}

/* Inflates the rest of `file` until `to` is full. */
static mf_status inflate_rest(const char *path, FILE *file, void *to, size_t bytes)
{
    unsigned char chunk[1 << 16];
    z_stream z = {0};
    int state = inflateInit2(&z, 15 + 32); /* zlib or gzip */
    if (state != Z_OK)
        return mf_fail(MF_NO_MEMORY, "%s: no memory to decompress it", path);
    size_t done = 0;
    while (done < bytes && state == Z_OK) {
        if (!z.avail_in) {
            z.next_in = chunk;
            z.avail_in = (unsigned)fread(chunk, 1, sizeof chunk, file);
            if (!z.avail_in)
                break;
        }
        size_t ask = bytes - done < (size_t)1 << 30 ? bytes - done : (size_t)1 << 30;
        z.next_out = (unsigned char *)to + done;
        z.avail_out = (unsigned)ask;
        state = inflate(&z, Z_NO_FLUSH);
        done += ask - z.avail_out;
    }
    inflateEnd(&z);
    if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
        return mf_fail(MF_CORRUPT, "%s: damaged compressed voxels after %zu of %zu bytes", path,
                       done, bytes);
    return done == bytes ? MF_OK
                         : mf_fail(MF_CORRUPT,
                                   "%s: cut off: its header promises %zu bytes (decompressed), it "
                                   "has %zu",
                                   path, bytes, done);
}

static mf_status read_data(const char *path, FILE *file, const meta *m, const scan_options *o,
                           scan *s)
{
    struct stat about;
    size_t one = mf_dtype_size(m->dtype), all;
    int64_t times = m->rank == 4 ? m->size[3] : 1;
    int64_t shape[4] = {times, m->rank > 2 ? m->size[2] : 1, m->size[1], m->size[0]};
    for (int i = 1; i < 4; i++)
        if (!mf_size_mul(one, (size_t)shape[i], &one))
            return mf_fail(MF_CORRUPT, "%s: claims an impossible size", path);
    if (!mf_size_mul(one, (size_t)times, &all) || fstat(fileno(file), &about))
        return mf_fail(MF_CORRUPT, "%s: claims an impossible size", path);
    int64_t start = ftell(file);
    if (m->header_bytes == -1)
        start = about.st_size - (int64_t)all;
    else if (m->header_bytes > 0)
        start = m->header_bytes;
    int64_t there = about.st_size - start;
    if (start < 0 || there < 0 ||
        (m->compressed ? all / 1032 > (size_t)there : all > (size_t)there))
        return mf_fail(MF_CORRUPT,
                       "%s: cut off: its header promises %lld x %lld x %lld x %lld voxels (%zu "
                       "bytes), the file has %lld for them",
                       path, (long long)shape[3], (long long)shape[2], (long long)shape[1],
                       (long long)times, all, (long long)(there < 0 ? 0 : there));
    if (times > 1 && o->time < 0)
        return mf_hint(
            mf_fail(MF_UNSUPPORTED, "%s: has %lld time points, not one", path, (long long)times),
            "time: N (from 0) takes one of them");
    if (o->time >= times)
        return mf_fail(MF_INVALID, "%s: has %lld time points; time: %lld is not one of them", path,
                       (long long)times, (long long)o->time);
    size_t skip = (size_t)(o->time > 0 ? o->time : 0) * one;
    mf_array *whole = NULL;
    MF_TRY(mf_array_new(m->dtype, 3, shape + 1, &s->voxels));
    if (fseek(file, (long)start + (m->compressed ? 0 : (long)skip), SEEK_SET))
        return mf_fail(MF_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (m->compressed && times > 1) {
        MF_TRY(mf_array_new(m->dtype, 4, shape, &whole));
        mf_status failed = inflate_rest(path, file, whole->data, all);
        if (!failed)
            memcpy(s->voxels->data, (const char *)whole->data + skip, one);
        mf_array_unref(whole);
        MF_TRY(failed);
    } else if (m->compressed) {
        MF_TRY(inflate_rest(path, file, s->voxels->data, one));
    } else if (fread(s->voxels->data, 1, one, file) != one) {
        return mf_fail(MF_IO, "%s: cannot be read: %s", path, strerror(errno));
    }
    if (m->swapped)
        voxels_swap(s->voxels);
    for (int i = 0; i < 3; i++)
        s->grid.size[i] = shape[3 - i];
    return MF_OK;
}

/* The affine of the header, LPS, to the grid. Row i of the matrix is the direction of axis i. */
static mf_status place(const char *path, const meta *m, scan *s)
{
    double a[12] = {0};
    for (int j = 0; j < 3; j++)
        for (int i = 0; i < 3; i++) {
            double d = i == j;
            if (m->has_matrix && i < m->rank && j < m->rank)
                d = m->matrix[j * m->rank + i];
            a[4 * i + j] = d * (m->has_spacing && j < m->rank ? m->spacing[j] : 1);
        }
    for (int i = 0; i < 3; i++)
        a[4 * i + 3] = m->has_offset && i < m->rank ? m->offset[i] : 0;
    for (int k = 0; k < 8; k++) /* the first two world axes: left and back to right and front */
        a[k] = -a[k];
    if (!m->has_matrix || !m->has_spacing)
        scan_note(s, "%s: does not say its %s", path,
                  m->has_spacing ? "orientation: taken as LPS" : "voxel size: taken as 1 mm");
    return geometry_split(path, a, &s->grid);
}

static mf_status read_open(const char *path, FILE *file, const scan_options *o, scan *s)
{
    meta m;
    MF_TRY(parse(path, file, &m));
    if (!strcmp(m.file, "LOCAL") || !strcmp(m.file, "Local") || !strcmp(m.file, "local")) {
        m.header_bytes = 0;
        MF_TRY(read_data(path, file, &m, o, s));
        return place(path, &m, s);
    }
    if (!strncmp(m.file, "LIST", 4) || strchr(m.file, '%'))
        return mf_fail(MF_UNSUPPORTED, "%s: its voxels lie in one file a slice", path);
    char other[4096];
    const char *slash = strrchr(path, '/');
    snprintf(other, sizeof other, "%.*s%s",
             m.file[0] == '/' || !slash ? 0 : (int)(slash - path + 1), path, m.file);
    FILE *data = fopen(other, "rb");
    if (!data)
        return mf_fail(MF_NOT_FOUND, "%s: its voxels lie in %s: %s", path, other, strerror(errno));
    mf_status failed = read_data(other, data, &m, o, s);
    fclose(data);
    MF_TRY(failed);
    return place(path, &m, s);
}

mf_status meta_read(const char *path, const scan_options *o, scan *s)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return mf_fail(MF_IO, "%s: %s", path, strerror(errno));
    mf_status failed = read_open(path, file, o, s);
    fclose(file);
    return failed;
}
