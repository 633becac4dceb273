/* heap.c - see heap.h. A binary heap: node k stands before those at 2k + 1 and 2k + 2. */
#include "run/plan/heap.h"

#include <stdlib.h>

mf_status mf_heap_init(mf_heap *heap, size_t most, mf_heap_before before, const void *self)
{
    *heap = (mf_heap){.before = before, .self = self};
    heap->nodes = calloc(most ? most : 1, sizeof *heap->nodes);
    heap->in = calloc(most ? most : 1, sizeof *heap->in);
    if (heap->nodes && heap->in)
        return MF_OK;
    return mf_no_memory(0, "the order of %zu nodes", most);
}

void mf_heap_clear(mf_heap *heap)
{
    free(heap->nodes);
    free(heap->in);
    *heap = (mf_heap){0};
}

static bool before(const mf_heap *heap, size_t a, size_t b)
{
    return heap->before ? heap->before(heap->self, a, b) : a < b;
}

void mf_heap_add(mf_heap *heap, size_t node)
{
    size_t at = heap->count;

    if (heap->in[node])
        return;
    heap->in[node] = true;
    heap->count++;
    for (; at && before(heap, node, heap->nodes[(at - 1) / 2]); at = (at - 1) / 2)
        heap->nodes[at] = heap->nodes[(at - 1) / 2];
    heap->nodes[at] = node;
}

/* Puts `node` at `at` or below, where it belongs. */
static void sink(mf_heap *heap, size_t at, size_t node)
{
    size_t next;

    for (; (next = 2 * at + 1) < heap->count; at = next) {
        if (next + 1 < heap->count && before(heap, heap->nodes[next + 1], heap->nodes[next]))
            next++;
        if (!before(heap, heap->nodes[next], node))
            break;
        heap->nodes[at] = heap->nodes[next];
    }
    heap->nodes[at] = node;
}

void mf_heap_order(mf_heap *heap)
{
    for (size_t at = heap->count / 2; at-- > 0;)
        sink(heap, at, heap->nodes[at]);
}

size_t mf_heap_take(mf_heap *heap)
{
    size_t first = heap->nodes[0], last = heap->nodes[--heap->count];

    heap->in[first] = false;
    sink(heap, 0, last);
    return first;
}
