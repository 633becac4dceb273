/* npy.h - reads NumPy's .npy files. */
#ifndef COMMON_NPY_H
#define COMMON_NPY_H

#include <massflow/array.h>

/* Row-major arrays of the dtypes that massflow has; booleans become u8. */
MF_MUST_USE mf_status npy_read(const char *path, mf_array **array);

#endif
