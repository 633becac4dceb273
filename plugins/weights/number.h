/* number.h - kinds of numbers in files of weights, and the dtypes that they are read as. */
#ifndef MF_WEIGHTS_NUMBER_H
#define MF_WEIGHTS_NUMBER_H

#include <massflow/array.h>

typedef struct mf_number {
    const char *text; /* the name in safetensors: "F32", "BF16", "BOOL" */
    mf_dtype dtype;   /* BF16 becomes f32 and BOOL u8 */
    size_t size;      /* bytes in the file */
} mf_number;

const mf_number *mf_number_named(const char *text); /* NULL where it is not read */
/* `a` holds its numbers packed at the front, as in the file: spreads what is wider in memory. */
void mf_number_widen(const mf_number *n, mf_array *a);

#endif
