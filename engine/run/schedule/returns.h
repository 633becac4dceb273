/* returns.h - nodes that came back from places that were lost or ended: how often, from where, how
 * long they ran there. Belongs to the scheduler's thread. */
#ifndef MASSFLOW_RUN_RETURNS_H
#define MASSFLOW_RUN_RETURNS_H

#include <massflow/error.h>

#include <stdbool.h>
#include <stddef.h>

/* A node whose place was lost is given up after so many losses soon after its start, or so many of
 * any kind: it may be what ends them. */
#define MF_RETURN_SOON 600 /* seconds */
#define MF_RETURNS_SOON 3
#define MF_RETURNS_MOST 10

typedef struct mf_return {
    size_t index; /* of the node */
    size_t lost;  /* places that were lost while it ran there */
    size_t soon;  /* of them those that were so within MF_RETURN_SOON */
    char places[MF_RETURNS_MOST][128];
    double seconds[MF_RETURNS_MOST]; /* that it had run there */
    double ran; /* the longest that it ran at a place whose time was over: it takes longer */
} mf_return;

typedef struct mf_returns {
    mf_return *items; /* in order of node */
    size_t count;
} mf_returns; /* starts as {0} */

void mf_returns_clear(mf_returns *returns);
const mf_return *mf_returns_find(const mf_returns *returns, size_t index); /* NULL: it never did */
/* Node `index` came back from `place` after so many seconds; `lost`: the place was lost, else its
 * time was over. */
MF_MUST_USE mf_status mf_returns_add(mf_returns *returns, size_t index, const char *place,
                                     double seconds, bool lost);
/* NULL, or why the node is not started again. */
MF_MUST_USE mf_status mf_return_verdict(const mf_return *r);
/* Whether one of the places it was lost at is on the same host as this one. */
bool mf_return_from_host(const mf_return *r, const char *place);

#endif
