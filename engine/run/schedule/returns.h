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
/* And after so many places whose folder could not be written. */
#define MF_RETURNS_FULL 3

/* Why it came back. */
typedef enum mf_return_why {
    MF_RETURN_ENDED, /* the place was asked to end, or its time was over */
    MF_RETURN_LOST,  /* it is gone without a word: the node may be the reason */
    MF_RETURN_FULL,  /* its folder can't be written: so it is for any node there */
    MF_RETURN_QUEUED /* the place was lost while the node waited there for a slot */
} mf_return_why;

typedef struct mf_return {
    size_t index; /* of the node */
    size_t lost;  /* places that were lost while it ran there */
    size_t soon;  /* of them those that were so within MF_RETURN_SOON */
    size_t full;  /* places whose folder could not be written */
    struct {
        char place[128];
        double seconds; /* that it had run there */
        mf_return_why why;
    } at[MF_RETURNS_MOST]; /* of those that were lost or full, the first ones */
    size_t count;          /* of `at` */
    double ran; /* the longest that it ran at a place whose time was over: it takes longer */
} mf_return;

typedef struct mf_returns {
    mf_return *items; /* in order of node */
    size_t count;
} mf_returns; /* starts as {0} */

void mf_returns_clear(mf_returns *returns);
const mf_return *mf_returns_find(const mf_returns *returns, size_t index); /* NULL: it never did */
/* Node `index` came back from `place` after so many seconds. */
MF_MUST_USE mf_status mf_returns_add(mf_returns *returns, size_t index, const char *place,
                                     double seconds, mf_return_why why);
/* The place is back: its link was lost, not it, and no node was the reason. */
void mf_returns_forgive(mf_returns *returns, const char *place);
/* NULL, or why the node is not started again. */
MF_MUST_USE mf_status mf_return_verdict(const mf_return *r);
/* Whether one of the places it was lost at, or that was full, is on the same host as this one. */
bool mf_return_from_host(const mf_return *r, const char *place);

#endif
