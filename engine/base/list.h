/* list.h - arrays that grow by one, where a lack of memory is an error that is reported: those of
 * the store, of programs, of device queues. Names, graphs and messages grow by mf_grow (arena.h).
 */
#ifndef MASSFLOW_BASE_LIST_H
#define MASSFLOW_BASE_LIST_H

#include <stddef.h>

/* How many items a list of `count` has room for: the least power of two that is not below. */
size_t mf_list_room(size_t count);
/* `list` of `count` items of `size` bytes, with room for one more; NULL: out of memory, and the
 * list is as it was. It begins with NULL, or with room for mf_list_room(count). */
void *mf_list_more(void *list, size_t count, size_t size);

#endif
