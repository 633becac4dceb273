/* array_shared.h - arrays in shared memory, to hand them to another process. For the engine only.
 */
#ifndef MASSFLOW_BASE_ARRAY_SHARED_H
#define MASSFLOW_BASE_ARRAY_SHARED_H

#include <massflow/array.h>

/* A copy of the array's data in shared memory; the caller closes *fd. */
MF_MUST_USE mf_status mf_array_share(const mf_array *array, int *fd);
/* The array whose data lies there, in place: `fd` may be closed afterwards. Fails where the memory
 * is smaller than the shape says. */
MF_MUST_USE mf_status mf_array_of_shared(int fd, mf_dtype dtype, int rank, const int64_t *shape,
                                         mf_array **array);

#endif
