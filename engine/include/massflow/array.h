/* array.h - dense arrays in host memory: dtype, up to 6 dimensions, reference-counted.
 *
 * Data is row-major (the last axis is the fastest) and aligned so that a CPU OpenCL device can use
 * it in place: to a page, or to 128 bytes where it is smaller than one. An array that belongs to a
 * published artifact is frozen: nobody writes to it any more. Reference counting is thread-safe;
 * access to the data is not synchronized. */
#ifndef MASSFLOW_ARRAY_H
#define MASSFLOW_ARRAY_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MF_MAX_RANK 6 /* dimensions of an array, at most */

/* Kinds of numbers: name, text, bytes of one element. */
#define MF_DTYPES(X)                                                                               \
    X(MF_U8, "u8", 1)                                                                              \
    X(MF_I8, "i8", 1)                                                                              \
    X(MF_U16, "u16", 2)                                                                            \
    X(MF_I16, "i16", 2)                                                                            \
    X(MF_U32, "u32", 4)                                                                            \
    X(MF_I32, "i32", 4)                                                                            \
    X(MF_I64, "i64", 8)                                                                            \
    X(MF_F16, "f16", 2)                                                                            \
    X(MF_F32, "f32", 4)                                                                            \
    X(MF_F64, "f64", 8)

/* The kind of number of an array's elements. */
typedef enum mf_dtype {
#define X(dtype, text, size) dtype,
    MF_DTYPES(X)
#undef X
        MF_DTYPE_COUNT
} mf_dtype;

/* A dense array. Make one with mf_array_new; the fields are for reading. */
typedef struct mf_array {
    mf_dtype dtype;             /* kind of its elements */
    int rank;                   /* number of dimensions, 0 to MF_MAX_RANK */
    int64_t shape[MF_MAX_RANK]; /* elements along each dimension, the last the fastest */
    size_t bytes;               /* of data */
    void *data;                 /* read only once the array is published */
    int refs;                   /* private: use mf_array_ref and mf_array_unref */
} mf_array;

MF_API size_t mf_dtype_size(mf_dtype dtype);      /* bytes of one element */
MF_API const char *mf_dtype_text(mf_dtype dtype); /* "f32"; static */
/* The kind that `text` names ("f32"); false where it names none. */
MF_API bool mf_dtype_parse(const char *text, mf_dtype *dtype);

/* A zeroed array of `rank` dimensions with one reference, which the caller unrefs. Fails on
 * negative dimensions, on sizes that overflow (MF_NO_MEMORY) and where memory is short. */
MF_API MF_MUST_USE mf_status mf_array_new(mf_dtype dtype, int rank, const int64_t *shape,
                                          mf_array **array);
MF_API mf_array *mf_array_ref(const mf_array *array); /* the same array, one reference more */
MF_API void mf_array_unref(const mf_array *array);    /* NULL is fine */
MF_API int64_t mf_array_count(const mf_array *array); /* elements */

/* The same values in another dtype, which the caller unrefs: `array` itself with one reference more
 * where nothing changes. Integers saturate, reals are rounded to nearest even before; NaN becomes 0
 * in integers. */
MF_API MF_MUST_USE mf_status mf_array_convert(const mf_array *array, mf_dtype dtype,
                                              mf_array **converted);

/* a * b into *product; false on overflow. Use it for every size that comes from a file. */
MF_API bool mf_size_mul(size_t a, size_t b, size_t *product);

#ifdef __cplusplus
}
#endif
#endif
