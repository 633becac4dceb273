/* twins.h - nodes by their key: those that compute the same thing. */
#ifndef MASSFLOW_RUN_TWINS_H
#define MASSFLOW_RUN_TWINS_H

#include <massflow/error.h>

#include <stddef.h>

#define MF_TWIN_NONE ((size_t)-1)

typedef struct mf_twins {
    size_t *first, *last;             /* of each bucket */
    size_t *next, *previous, *bucket; /* of each node; MF_TWIN_NONE: in none */
    size_t buckets;                   /* a power of two */
} mf_twins;

/* For nodes below `most`. After an error mf_twins_clear is safe. */
MF_MUST_USE mf_status mf_twins_init(mf_twins *twins, size_t most);
void mf_twins_clear(mf_twins *twins);
/* The node has this key now. */
void mf_twins_put(mf_twins *twins, size_t node, const char *key);
/* A node with this key, and the next one after it: some have another key, with the same hash. */
size_t mf_twins_first(const mf_twins *twins, const char *key);
size_t mf_twins_next(const mf_twins *twins, size_t node);

#endif
