/* array.c - dense host arrays and conversion between dtypes. */
#include <assert.h>
#include <massflow/array.h>

#include "base/array_shared.h"
#include "base/half.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A page: what OpenCL CPU devices want to use memory in place. What is smaller than a page gets the
 * alignment of OpenCL's largest type instead: files of weights have 100,000 arrays of one number.
 */
enum { PAGE = 4096, SMALL = 128 };

size_t mf_dtype_size(mf_dtype dtype)
{
    static const size_t sizes[] = {
#define X(name, text, size) size,
        MF_DTYPES(X)
#undef X
    };
    return sizes[dtype];
}

const char *mf_dtype_text(mf_dtype dtype)
{
    static const char *const texts[] = {
#define X(name, text, size) text,
        MF_DTYPES(X)
#undef X
    };
    return (unsigned)dtype < MF_DTYPE_COUNT ? texts[dtype] : "unknown";
}

bool mf_dtype_parse(const char *text, mf_dtype *dtype)
{
    for (int i = 0; i < MF_DTYPE_COUNT; i++)
        if (!strcmp(text, mf_dtype_text((mf_dtype)i))) {
            *dtype = (mf_dtype)i;
            return true;
        }
    return false;
}

bool mf_size_mul(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

/* What an array is inside. */
typedef struct owned {
    mf_array array;
    size_t mapped; /* bytes of shared memory; 0 where `data` was allocated */
} owned;

static size_t alignment_of(size_t bytes)
{
    return bytes < PAGE ? SMALL : PAGE;
}

/* An array without data, and the bytes that it is to have: whole units of its alignment, at least
 * one. */
static mf_status array_of(mf_dtype dtype, int rank, const int64_t *shape, owned **made,
                          size_t *padded)
{
    if ((unsigned)dtype >= MF_DTYPE_COUNT)
        return mf_fail(MF_INTERNAL, "array with unknown dtype %d", (int)dtype);
    if (rank < 0 || rank > MF_MAX_RANK)
        return mf_fail(MF_INVALID, "array of %d dimensions; at most %d are supported", rank,
                       MF_MAX_RANK);
    size_t bytes = mf_dtype_size(dtype);
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return mf_fail(MF_INVALID, "array with negative size %lld along axis %d",
                           (long long)shape[i], i);
        if (!mf_size_mul(bytes, (size_t)shape[i], &bytes) || bytes > SIZE_MAX / 2)
            return mf_fail(MF_NO_MEMORY, "array is larger than memory can be addressed");
    }
    owned *o = calloc(1, sizeof *o);
    if (!o)
        return mf_no_memory(0, "an array of %zu bytes", bytes);
    o->array = (mf_array){.dtype = dtype, .rank = rank, .bytes = bytes, .refs = 1};
    for (int i = 0; i < rank; i++)
        o->array.shape[i] = shape[i];
    *made = o;
    size_t unit = alignment_of(bytes);
    *padded = bytes ? (bytes + unit - 1) / unit * unit : unit;
    return MF_OK;
}

mf_status mf_array_new(mf_dtype dtype, int rank, const int64_t *shape, mf_array **array)
{
    owned *o;
    size_t padded;
    *array = NULL;
    MF_TRY(array_of(dtype, rank, shape, &o, &padded));
    size_t bytes = o->array.bytes;
    o->array.data = aligned_alloc(alignment_of(bytes), padded);
    if (!o->array.data) {
        free(o);
        return mf_no_memory(0, "an array of %zu bytes", bytes);
    }
    memset(o->array.data, 0, padded);
    *array = &o->array;
    return MF_OK;
}

/* ---- shared memory ----------------------------------------------------------------------------
 */

static bool write_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

mf_status mf_array_share(const mf_array *array, int *fd)
{
    *fd = memfd_create("massflow array", MFD_CLOEXEC);
    if (*fd >= 0 && write_all(*fd, array->data, array->bytes))
        return MF_OK;
    mf_status status = mf_no_memory(array->bytes, "a shared array: %s", strerror(errno));
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return status;
}

mf_status mf_array_of_shared(int fd, mf_dtype dtype, int rank, const int64_t *shape,
                             mf_array **array)
{
    owned *o;
    size_t padded;
    struct stat about;
    *array = NULL;
    MF_TRY(array_of(dtype, rank, shape, &o, &padded));
    size_t bytes = o->array.bytes;
    void *data = MAP_FAILED;
    bool whole = fstat(fd, &about) == 0 && (size_t)about.st_size >= bytes;
    if (whole)
        data = mmap(NULL, padded, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        free(o);
        if (!whole)
            return mf_fail(MF_CORRUPT, "shared memory is smaller than its array of %zu bytes",
                           bytes);
        return mf_no_memory(bytes, "mapping an array");
    }
    o->array.data = data;
    o->mapped = padded;
    *array = &o->array;
    return MF_OK;
}

/* ---- sharing and converting -------------------------------------------------------------------
 */

mf_array *mf_array_ref(const mf_array *array)
{
    mf_array *a = (mf_array *)array;
    __atomic_add_fetch(&a->refs, 1, __ATOMIC_RELAXED);
    return a;
}

void mf_array_unref(const mf_array *array)
{
    mf_array *a = (mf_array *)array;
    int left = a ? __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) : 0;
    assert(left >= 0); /* else somebody gave back what was not theirs */
    if (!a || left > 0)
        return;
    owned *o = (owned *)a; /* its first member */
    if (o->mapped)
        munmap(a->data, o->mapped);
    else
        free(a->data);
    free(o);
}

int64_t mf_array_count(const mf_array *array)
{
    return (int64_t)(array->bytes / mf_dtype_size(array->dtype));
}

/* Values pass through double, which holds every value of these types exactly but the outer i64. */
static double load(const mf_array *a, int64_t i)
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
    case MF_I64:
        return (double)((const int64_t *)a->data)[i];
    case MF_F16:
        return mf_half_to_float(((const uint16_t *)a->data)[i]);
    case MF_F32:
        return ((const float *)a->data)[i];
    default:
        return ((const double *)a->data)[i];
    }
}

static double saturate(double v, double low, double high)
{
    if (isnan(v))
        return 0;
    v = nearbyint(v);
    return v < low ? low : v > high ? high : v;
}

static void store(mf_array *a, int64_t i, double v)
{
    switch (a->dtype) {
    case MF_U8:
        ((uint8_t *)a->data)[i] = (uint8_t)saturate(v, 0, UINT8_MAX);
        break;
    case MF_I8:
        ((int8_t *)a->data)[i] = (int8_t)saturate(v, INT8_MIN, INT8_MAX);
        break;
    case MF_U16:
        ((uint16_t *)a->data)[i] = (uint16_t)saturate(v, 0, UINT16_MAX);
        break;
    case MF_I16:
        ((int16_t *)a->data)[i] = (int16_t)saturate(v, INT16_MIN, INT16_MAX);
        break;
    case MF_U32:
        ((uint32_t *)a->data)[i] = (uint32_t)saturate(v, 0, UINT32_MAX);
        break;
    case MF_I32:
        ((int32_t *)a->data)[i] = (int32_t)saturate(v, INT32_MIN, INT32_MAX);
        break;
    case MF_I64:
        /* 2^63 - 1024 is the last double below INT64_MAX */
        ((int64_t *)a->data)[i] = (int64_t)saturate(v, (double)INT64_MIN, 9223372036854774784.0);
        break;
    case MF_F16:
        ((uint16_t *)a->data)[i] = mf_half_from_float((float)v);
        break;
    case MF_F32:
        ((float *)a->data)[i] = (float)v;
        break;
    default:
        ((double *)a->data)[i] = v;
    }
}

mf_status mf_array_convert(const mf_array *array, mf_dtype dtype, mf_array **converted)
{
    if (array->dtype == dtype) {
        *converted = mf_array_ref(array);
        return MF_OK;
    }
    MF_TRY(mf_array_new(dtype, array->rank, array->shape, converted));
    int64_t count = mf_array_count(array);
    if (array->dtype == MF_I16 && dtype == MF_F32) { /* the common case of a CT */
        const int16_t *from = array->data;
        float *to = (*converted)->data;
        for (int64_t i = 0; i < count; i++)
            to[i] = from[i];
        return MF_OK;
    }
    for (int64_t i = 0; i < count; i++)
        store(*converted, i, load(array, i));
    return MF_OK;
}
