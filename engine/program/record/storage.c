/* storage.c - where values and scratch lie in the arena: largest first, each at the lowest offset
 * where nothing that lives at the same time is. */
#include "program/record/storage.h"

#include <stdlib.h>

typedef struct block {
    size_t offset, bytes;
    int32_t first, last, index;
} block;

static int larger(const void *a, const void *b)
{
    const block *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

/* The lowest place at or after `at` that crosses no multiple of limit. */
static size_t inside(size_t at, size_t bytes, size_t limit)
{
    size_t start = at / limit * limit;
    return at + bytes > start + limit ? start + limit : at;
}

size_t mf_plan_arena(mf_storage *storages, int32_t count, size_t alignment, size_t limit)
{
    block *blocks = malloc((size_t)(count + 1) * sizeof *blocks);
    block *placed = malloc((size_t)(count + 1) * sizeof *placed); /* by offset */
    int32_t n = 0, done = 0;
    size_t size = 0;
    if (!blocks || !placed) {
        free(blocks);
        free(placed);
        return SIZE_MAX;
    }
    limit = limit / alignment * alignment;
    for (int32_t i = 0; i < count; i++) {
        const mf_storage *s = &storages[i];
        if (s->outside || s->same_as >= 0 || s->first > s->last)
            continue;
        size_t bytes = (s->bytes + alignment - 1) / alignment * alignment;
        blocks[n++] = (block){0, bytes, s->first, s->last, i};
    }
    qsort(blocks, (size_t)n, sizeof *blocks, larger);
    for (int32_t i = 0; i < n; i++) {
        block b = blocks[i];
        size_t at = 0;
        for (int32_t k = 0; k < done; k++) {
            const block *other = &placed[k];
            if (other->last < b.first || b.last < other->first)
                continue;
            at = inside(at, b.bytes, limit);
            if (other->offset >= at + b.bytes)
                break;
            if (other->offset + other->bytes > at)
                at = other->offset + other->bytes;
        }
        b.offset = inside(at, b.bytes, limit);
        storages[b.index].offset = b.offset;
        if (b.offset + b.bytes > size)
            size = b.offset + b.bytes;
        int32_t k = done++;
        for (; k > 0 && placed[k - 1].offset > b.offset; k--)
            placed[k] = placed[k - 1];
        placed[k] = b;
    }
    free(blocks);
    free(placed);
    return size;
}
