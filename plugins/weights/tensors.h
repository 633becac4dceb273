/* tensors.h - a list of named arrays. */
#ifndef MF_WEIGHTS_TENSORS_H
#define MF_WEIGHTS_TENSORS_H

#include <massflow/artifact.h>

typedef struct mf_tensor {
    char *name;
    mf_array *array;
} mf_tensor;

typedef struct mf_note {
    char *key, *text;
} mf_note;

typedef struct mf_tensors {
    mf_tensor *item; /* in order of name, once read */
    size_t count;
    bool sorted;   /* since nothing was added */
    mf_note *note; /* what the file says of them all */
    size_t notes;
} mf_tensors; /* starts as {0} */

void mf_tensors_clear(mf_tensors *t);
/* A name out of a file is one that can be shown: of 1 to 1024 bytes. */
MF_MUST_USE mf_status mf_tensors_check_name(const char *name);
/* Takes over the caller's reference, on failure too. Names are not checked for being new. */
MF_MUST_USE mf_status mf_tensors_add(mf_tensors *t, const char *name, mf_array *array);
/* A new zeroed array, already in the list; borrowed. */
MF_MUST_USE mf_status mf_tensors_make(mf_tensors *t, const char *name, mf_dtype dtype, int rank,
                                      const int64_t *shape, mf_array **array);
/* Puts them in order of name, notes in that of their keys; two of one name are an error. */
MF_MUST_USE mf_status mf_tensors_sort(mf_tensors *t);
/* At most 10,000 notes. */
MF_MUST_USE mf_status mf_tensors_add_note(mf_tensors *t, const char *key, const char *text);
const char *mf_tensors_note(const mf_tensors *t, const char *key); /* NULL: the file has none */
/* The array of that name, borrowed, or NULL; found by bisection once they are in order. */
mf_array *mf_tensors_find(const mf_tensors *t, const char *name);

/* For mf_iris_from_shapes: self is a mf_tensors. */
bool mf_tensors_shape(const void *self, const char *name, int *rank, int64_t *shape);

#endif
