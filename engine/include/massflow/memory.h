/* memory.h - host memory: arrays that grow by one. */
#ifndef MASSFLOW_MEMORY_H
#define MASSFLOW_MEMORY_H

#include <massflow/error.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many items a list of `count` has room for: the least power of two that is not below. */
MF_API size_t mf_list_room(size_t count);
/* `list` of `count` items of `size` bytes, with room for one more; NULL: out of memory, and the
 * list is as it was. It begins with NULL, or with room for mf_list_room(count). */
MF_API void *mf_list_more(void *list, size_t count, size_t size);

#ifdef __cplusplus
}
#endif
#endif
