/* pickle.h - what a PyTorch checkpoint says, without running it.
 *
 * A pickle is a program for a stack machine that may call any function. This reader knows plain
 * containers, numbers, texts and tensors; whatever else a file asks for is an error that names it.
 * (Python: pickletools.py has the opcodes; torch/serialization.py the persistent ids of storages.)
 */
#ifndef MF_WEIGHTS_PICKLE_H
#define MF_WEIGHTS_PICKLE_H

#include <massflow/array.h>

typedef enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_REAL,
    PICKLE_TEXT,     /* also bytes */
    PICKLE_SEQUENCE, /* list or tuple */
    PICKLE_DICT,
    PICKLE_NAME, /* of a function or class that is known here */
    PICKLE_STORAGE,
    PICKLE_TENSOR,
    PICKLE_OTHER /* an object that is not read: a number of NumPy */
} pickle_kind;

typedef struct pickle_value pickle_value;

typedef struct pickle_storage {
    const char *key;  /* names the entry of the zip that holds the bytes */
    const char *type; /* "FloatStorage" */
    int64_t count;    /* elements */
} pickle_storage;

typedef struct pickle_tensor {
    const pickle_storage *storage;
    int64_t offset; /* elements */
    int rank;
    int64_t shape[MF_MAX_RANK], strides[MF_MAX_RANK]; /* elements; all within the storage */
} pickle_tensor;

struct pickle_value {
    pickle_kind kind;
    union {
        bool yes;
        int64_t integer;
        double real;
        const char *text; /* ends with a NUL; a name is "module function" */
        struct {
            const pickle_value **item; /* of a DICT: key, value, key, value, ... */
            size_t count, room;
        } list;
        pickle_storage storage;
        const pickle_tensor *tensor;
    };
};

typedef struct pickle pickle;

/* Whether a pickle of so many bytes is read: asked before it is taken into memory. */
MF_MUST_USE mf_status pickle_check_size(size_t size);
/* Reads `size` bytes. *root belongs to the pickle. Containers may hold themselves. */
MF_MUST_USE mf_status pickle_read(const uint8_t *bytes, size_t size, pickle **p,
                                  const pickle_value **root);
void pickle_free(pickle *p); /* NULL is fine */

/* The value of a text key of a DICT; NULL where there is none, or `dict` is none. */
const pickle_value *pickle_get(const pickle_value *dict, const char *key);

#endif
