/* rate.h - how fast running nodes get on, and how long they still take. */
#ifndef MF_RATE_H
#define MF_RATE_H

#include "run/schedule/run.h"

/* Where a node stood when it was first seen, and after its first advance: one that goes on from a
 * saved state begins late, and the first advance holds the building of kernels. */
typedef struct rate_start {
    const char *node;
    double seconds, done;             /* first seen */
    double later_seconds, later_done; /* after the first advance; later_done < 0: not yet */
} rate_start;

typedef struct rates {
    rate_start starts[32];
    size_t next; /* the entry that is given away next */
} rates;

/* Steps a second, and seconds until the last; false while that is not known. Follows the node: to
 * be called at each tick. */
bool rate_of(rates *r, const mf_run_active *a, double *rate, double *left);

#endif
