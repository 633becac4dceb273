/* pools.h - the pools of a run: a thread of their own asks the batch system for workers, counts
 * what waits, and cancels it at the end. Which workers are there, and how many could be used, it is
 * told. */
#ifndef MASSFLOW_RUN_POOLS_H
#define MASSFLOW_RUN_POOLS_H

#include "run/pool/shared.h"
#include "run/pool/site.h"

typedef struct mf_pools mf_pools;

typedef struct mf_pools_options {
    const mf_pool *const *pools; /* borrowed, and all below */
    size_t count;
    const char *connect; /* HOST:PORT, as workers reach this process */
    const mf_shared *shared;
    const char *program; /* massflow, of pools that do not say; absolute */
    const char *plugins; /* "--plugins DIR", or "" */
    double count_every;  /* s between two counts, at least; 0: 30 */
    size_t tell_after;   /* workers that ended at once; 0: 3 */
    /* What users are to know; from the thread of the pools. May be NULL. */
    void (*say)(void *self, const char *text);
    void *self;
} mf_pools_options;

/* As far as is known; for people. */
typedef struct mf_pool_state {
    size_t wanted, connected, waiting, running;
    char reason[64];    /* why it waits, as the batch system says; or "" */
    char excluded[256]; /* hosts that are left out; or "" */
    char trouble[512];  /* the error of the last submission; or "" */
} mf_pool_state;

MF_MUST_USE mf_status mf_pools_new(const mf_pools_options *options, mf_pools **pools);
/* From any thread. Nothing is submitted before something is wanted. */
void mf_pools_want(mf_pools *pools, size_t pool, size_t workers);
void mf_pools_connected(mf_pools *pools, size_t pool, size_t workers);
void mf_pools_state(mf_pools *pools, size_t pool, mf_pool_state *state);
/* Cancels what waits, and what has started without being connected. NULL is fine. */
void mf_pools_free(mf_pools *pools);

#endif
