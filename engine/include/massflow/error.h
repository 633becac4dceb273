/* error.h - the one error type of massflow.
 *
 * Every call that can fail returns an mf_status: NULL on success, otherwise an error. The receiver
 * owns the error and either passes it on (MF_TRY) or frees it. An error has a message, a kind, an
 * optional place in a file, any number of contexts ("while ..."), and an optional hint on what to
 * do. Library code never prints and never exits.
 *
 * Out parameters: a function that returns an object through a pointer (T **out) sets *out to NULL
 * before anything can fail. After an error *out is NULL, and everything made until then has been
 * freed, so the caller may free *out in either case. Plain values (counts, sizes, flags) are
 * defined only without an error. The engine uses nothing that a plugin's callback left behind after
 * an error. tests/unit/test_out_parameters.py checks the sources for the first rule. */
#ifndef MASSFLOW_ERROR_H
#define MASSFLOW_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Kinds of error: name, and the word that logs and reports use. */
#define MF_CODES(X)                                                                                \
    X(MF_INVALID, "invalid")         /* the request, a graph or a parameter is wrong */            \
    X(MF_NOT_FOUND, "not found")     /* a file, stage, port or artifact does not exist */          \
    X(MF_IO, "i/o")                  /* reading or writing failed */                               \
    X(MF_CORRUPT, "corrupt")         /* a file or record is damaged */                             \
    X(MF_UNSUPPORTED, "unsupported") /* well-formed, but not supported by massflow */              \
    X(MF_NO_MEMORY, "out of memory") /* host or device memory ran out, or a size overflows */      \
    X(MF_DEVICE, "device")           /* OpenCL reported an error */                                \
    X(MF_CANCELLED, "cancelled")     /* the user or a failing neighbour stopped the work */        \
    X(MF_INTERNAL, "internal")       /* a defect in massflow or a plugin */

/* The kind of an error. */
typedef enum mf_code {
#define X(code, text) code,
    MF_CODES(X)
#undef X
} mf_code;

typedef struct mf_error mf_error; /* opaque */
typedef mf_error *mf_status;      /* what calls return: NULL, or an error that the receiver owns */
#define MF_OK ((mf_status)0)      /* no error */

/* Marks of functions: arguments as of printf, a result that must be used, a function of the public
 * interface. */
#if defined(__GNUC__)
#define MF_PRINTF(string, first) __attribute__((format(printf, string, first)))
#define MF_MUST_USE __attribute__((warn_unused_result))
#define MF_API __attribute__((visibility("default")))
#else
#define MF_PRINTF(string, first)
#define MF_MUST_USE
#define MF_API
#endif

/* Returns from the calling function with the error of `call`, if there is one. */
#define MF_TRY(call)                                                                               \
    do {                                                                                           \
        mf_status mf_try_status_ = (call);                                                         \
        if (mf_try_status_)                                                                        \
            return mf_try_status_;                                                                 \
    } while (0)

/* A new error. Never returns NULL: when memory is short it returns a static one. */
MF_API MF_MUST_USE mf_status mf_fail(mf_code code, const char *format, ...) MF_PRINTF(2, 3);
MF_API MF_MUST_USE mf_status mf_vfail(mf_code code, const char *format, va_list args)
    MF_PRINTF(2, 0);

/* The one error of host memory that ran out: "out of memory: 4096 bytes for a list of series", and
 * what to do about it. bytes: what was asked for; 0 where that is not known. */
MF_API MF_MUST_USE mf_status mf_no_memory(size_t bytes, const char *what, ...) MF_PRINTF(2, 3);

/* Each of these adds to `error` and returns it; a NULL error stays NULL, so a call can be wrapped:
 *     return mf_within(load(path), "while loading case %s", id);
 * A cancelled task has no place where it went wrong: mf_within leaves MF_CANCELLED as it is. */
MF_API MF_MUST_USE mf_status mf_within(mf_status error, const char *format, ...) MF_PRINTF(2, 3);
MF_API MF_MUST_USE mf_status mf_at(mf_status error, const char *file, int line, int column);
MF_API MF_MUST_USE mf_status mf_hint(mf_status error, const char *format, ...) MF_PRINTF(2, 3);

MF_API mf_code mf_error_code(const mf_error *error);          /* its kind */
MF_API const char *mf_code_text(mf_code code);                /* "not found"; static */
MF_API const char *mf_error_message(const mf_error *error);   /* without contexts, place and hint */
MF_API const char *mf_error_hint_text(const mf_error *error); /* NULL when there is none */

/* The whole error as lines of text: "[file:line:column: ]context: context: message\n  hint".
 * The caller frees. NULL only when memory is short. */
MF_API char *mf_error_text(const mf_error *error);
MF_API void mf_error_free(mf_error *error); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
