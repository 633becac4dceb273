/* leases.h - who runs an action now, so that two processes on one cache do not both do it.
 *
 * Whoever starts an action first holds its lease until the action is recorded (which ends it, see
 * mf_store_record) or has failed. A lease is advice: one that is lost costs work, never a result.
 */
#ifndef MASSFLOW_STORE_LEASES_H
#define MASSFLOW_STORE_LEASES_H

#include "store/store.h"

/* Seconds between two heartbeats of an owner, and after how many without one an owner on another
 * machine is taken for dead. */
#define MF_LEASE_BEAT 10
#define MF_LEASE_TIMEOUT 60

typedef struct mf_lease_owner {
    char host[256];
    int64_t pid;
    int64_t seconds;   /* since it took the lease */
    int64_t heartbeat; /* by its own clock: only whether it changes counts */
} mf_lease_owner;

typedef enum mf_lease_state {
    MF_LEASE_FREE, /* of mf_store_lease_take: taken */
    MF_LEASE_HELD, /* by another process that lives, or may live: *owner */
    MF_LEASE_DONE  /* the action has been recorded, and all its outputs are there */
} mf_lease_state;

/* A process of this machine that is gone holds nothing; nor does one whose heartbeat is still
 * `dead` (0: none), which the caller has watched for long enough. */
MF_MUST_USE mf_status mf_store_lease_look(mf_store *store, const char *key, int64_t dead,
                                          mf_lease_state *state, mf_lease_owner *owner);
/* Takes the lease where it is free. `insist`: also where the action is done. */
MF_MUST_USE mf_status mf_store_lease_take(mf_store *store, const char *key, int64_t dead,
                                          bool insist, mf_lease_state *state,
                                          mf_lease_owner *owner);
MF_MUST_USE mf_status mf_store_lease_drop(mf_store *store, const char *key);
/* A heartbeat for all leases that this store holds. */
MF_MUST_USE mf_status mf_store_lease_beat(mf_store *store);

#endif
