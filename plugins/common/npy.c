/* npy.c - the .npy format, versions 1 to 3: magic, version, header length, a Python dict, the data.
 * (NumPy: numpy/lib/format.py) */
#include "npy.h"

#include <massflow/file.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOST_HEADER 65536

static mf_status damaged(const char *path)
{
    return mf_fail(MF_CORRUPT, "%s: is not a .npy file that NumPy would write", path);
}

static mf_status read_header(const char *path, FILE *file, char **header)
{
    uint8_t start[8], length[4] = {0};
    size_t size, digits;

    if (fread(start, 1, 8, file) != 8 || memcmp(start, "\x93NUMPY", 6) || start[6] < 1 ||
        start[6] > 3)
        return damaged(path);
    digits = start[6] == 1 ? 2 : 4;
    if (fread(length, 1, digits, file) != digits)
        return damaged(path);
    size = (size_t)length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 |
           (size_t)length[3] << 24;
    *header = size <= MOST_HEADER ? calloc(1, size + 1) : NULL;
    if (!*header || fread(*header, 1, size, file) != size) {
        free(*header);
        *header = NULL;
        return damaged(path);
    }
    return MF_OK;
}

/* The text behind 'key': in the dict. */
static const char *value_of(const char *header, const char *key)
{
    char quoted[32];
    const char *at;

    snprintf(quoted, sizeof quoted, "'%s'", key);
    at = strstr(header, quoted);
    if (!at)
        return NULL;
    at += strlen(quoted);
    return at + strspn(at, " :");
}

static mf_status parse_dtype(const char *path, const char *header, mf_dtype *dtype)
{
    static const struct {
        const char *descr;
        mf_dtype dtype;
    } known[] = {{"|b1", MF_U8},  {"|u1", MF_U8},  {"|i1", MF_I8},  {"<u2", MF_U16},
                 {"<i2", MF_I16}, {"<u4", MF_U32}, {"<i4", MF_I32}, {"<i8", MF_I64},
                 {"<f2", MF_F16}, {"<f4", MF_F32}, {"<f8", MF_F64}};
    const char *descr = value_of(header, "descr");

    if (!descr || *descr != '\'')
        return damaged(path);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!strncmp(descr + 1, known[i].descr, 3) && descr[4] == '\'') {
            *dtype = known[i].dtype;
            return MF_OK;
        }
    }
    return mf_hint(mf_fail(MF_UNSUPPORTED, "%s: holds values of type %.*s", path,
                           (int)strcspn(descr + 1, "'"), descr + 1),
                   "booleans, integers of 8 to 64 bits (not uint64) and floats are read");
}

static mf_status parse_shape(const char *path, const char *header, int *rank,
                             int64_t shape[MF_MAX_RANK])
{
    const char *at = value_of(header, "shape");
    const char *order = value_of(header, "fortran_order");
    char *end;

    if (!at || *at != '(' || !order)
        return damaged(path);
    if (strncmp(order, "False", 5))
        return mf_hint(mf_fail(MF_UNSUPPORTED, "%s: is in Fortran order", path),
                       "save numpy.ascontiguousarray(x)");
    for (at++, *rank = 0; *at != ')'; at = end + strspn(end, ", ")) {
        if (*rank == MF_MAX_RANK)
            return mf_fail(MF_UNSUPPORTED, "%s: has more than %d dimensions", path, MF_MAX_RANK);
        errno = 0;
        shape[*rank] = strtoll(at, &end, 10);
        if (end == at || errno || shape[(*rank)++] < 0)
            return damaged(path);
    }
    return MF_OK;
}

/* The bytes of the array, which have to be those that follow the header. */
static mf_status check_size(const char *path, FILE *file, int64_t size, mf_dtype dtype, int rank,
                            const int64_t *shape)
{
    size_t bytes = mf_dtype_size(dtype);
    off_t at = ftello(file);

    for (int i = 0; i < rank; i++)
        if (!mf_size_mul(bytes, (size_t)shape[i], &bytes))
            return mf_fail(MF_CORRUPT, "%s: its shape has more values than can be counted", path);
    if (at >= 0 && at <= size && bytes == (size_t)(size - at))
        return MF_OK;
    return mf_hint(mf_fail(MF_CORRUPT, "%s: its header says %zu bytes of %s, behind it are %lld",
                           path, bytes, mf_dtype_text(dtype), (long long)(size - at)),
                   "numpy.save writes a consistent file");
}

static mf_status read_values(const char *path, FILE *file, mf_array **array)
{
    const size_t bytes = (*array)->bytes, got = fread((*array)->data, 1, bytes, file);

    if (got == bytes)
        return MF_OK;
    mf_array_unref(*array);
    *array = NULL;
    return mf_fail(MF_IO, "%s: %s", path,
                   ferror(file) ? strerror(errno) : "was cut while it was read");
}

static mf_status read_array(const char *path, FILE *file, int64_t size, mf_array **array)
{
    int64_t shape[MF_MAX_RANK];
    char *header = NULL;
    mf_dtype dtype = MF_U8;
    int rank = 0;
    mf_status status;

    MF_TRY(read_header(path, file, &header));
    status = parse_dtype(path, header, &dtype);
    if (!status)
        status = parse_shape(path, header, &rank, shape);
    free(header);
    if (!status)
        status = check_size(path, file, size, dtype, rank, shape);
    if (!status)
        status = mf_within(mf_array_new(dtype, rank, shape, array), "%s", path);
    return status ? status : read_values(path, file, array);
}

mf_status npy_read(const char *path, mf_array **array)
{
    FILE *file;
    int64_t size;
    mf_status status;

    *array = NULL;
    MF_TRY(mf_file_open(path, &file, &size));
    status = read_array(path, file, size, array);
    fclose(file);
    return status;
}
