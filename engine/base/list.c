/* list.c - arrays that grow by one. */
#include <massflow/memory.h>

#include <assert.h>
#include <stdlib.h>

size_t mf_list_room(size_t count)
{
    size_t room = 1;

    while (room < count)
        room *= 2;
    return room;
}

void *mf_list_more(void *list, size_t count, size_t size)
{
    assert(list || !count);
    if (list && (count & (count - 1)) != 0)
        return list; /* full at 1, 2, 4, 8, ... */
    return reallocarray(list, count ? 2 * count : 1, size);
}
