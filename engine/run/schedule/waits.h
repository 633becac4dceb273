/* waits.h - nodes that another process on the same cache is running now: what is known of each.
 *
 * Belongs to the scheduler's thread; see store/leases.h. */
#ifndef MASSFLOW_RUN_WAITS_H
#define MASSFLOW_RUN_WAITS_H

#include "store/leases.h"

#include <stddef.h>

typedef struct mf_wait {
    size_t index; /* of the node */
    bool waiting;
    bool insist;          /* what is recorded of it does not serve this run */
    int64_t heartbeat;    /* of the owner, as last seen */
    int64_t dead;         /* a heartbeat that has not changed for too long; 0: none */
    double changed, told; /* when it last changed, when the user was last told; seconds */
} mf_wait;

typedef struct mf_waits {
    mf_wait *items; /* in no order; entries stay when the wait is over */
    size_t count;
    size_t waiting; /* how many are */
    size_t *places; /* by node: of its item, counted from 1; 0: it has none */
    size_t place_room;
} mf_waits; /* starts as {0} */

void mf_waits_clear(mf_waits *waits);
mf_wait *mf_waits_find(const mf_waits *waits, size_t index); /* NULL where there is none */
/* The entry of that node, made where there is none; NULL: no memory. */
mf_wait *mf_waits_need(mf_waits *waits, size_t index);
bool mf_waits_any(const mf_waits *waits); /* whether one is waiting */

/* The owner was seen at `now` seconds. True when the user is to be told of it (again). */
bool mf_wait_seen(mf_waits *waits, mf_wait *wait, const mf_lease_owner *owner, double now);
void mf_wait_over(mf_waits *waits, mf_wait *wait); /* it waits no more */

#endif
