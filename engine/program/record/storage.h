/* storage.h - where values and scratch lie in memory. */
#ifndef MF_PROGRAM_STORAGE_H
#define MF_PROGRAM_STORAGE_H

#include "compute/compute.h"

/* A value's or scratch's place: a root of storage with the launches that touch it. */
typedef struct mf_storage {
    size_t bytes;
    int32_t first, last; /* launches; first > last: never touched */
    int32_t same_as;     /* in place of this storage, -1 */
    bool outside;        /* not in the arena: an input, a weight, a packing */
    size_t offset;
    mf_buffer *buffer; /* view (owned by the executable), or an outside buffer (borrowed) */
} mf_storage;

/* Places storages (not outside, touched) at offsets: no two that live at once overlap, none crosses
 * a multiple of `limit`. Returns the arena's size; SIZE_MAX when memory is short. */
size_t mf_plan_arena(mf_storage *storages, int32_t count, size_t alignment, size_t limit);

#endif
