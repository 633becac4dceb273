/* heap.h - node numbers in an order: the first is found in constant, added and taken in logarithmic
 * time. Memory for all nodes is taken at once, so that nothing fails later. */
#ifndef MASSFLOW_RUN_HEAP_H
#define MASSFLOW_RUN_HEAP_H

#include <massflow/error.h>

#include <stdbool.h>
#include <stddef.h>

typedef bool (*mf_heap_before)(const void *self, size_t a, size_t b);

typedef struct mf_heap {
    mf_heap_before before; /* NULL: by number */
    const void *self;
    size_t *nodes;
    bool *in;
    size_t count;
} mf_heap;

/* For numbers below `most`. After an error mf_heap_clear is safe. */
MF_MUST_USE mf_status mf_heap_init(mf_heap *heap, size_t most, mf_heap_before before,
                                   const void *self);
void mf_heap_clear(mf_heap *heap);
void mf_heap_add(mf_heap *heap, size_t node); /* each is there once */
void mf_heap_order(mf_heap *heap);            /* what `before` says has changed */
size_t mf_heap_take(mf_heap *heap);           /* the first; there must be one */

#endif
