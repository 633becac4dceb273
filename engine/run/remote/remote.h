/* remote.h - running a task's stage at a worker on another machine.
 *
 * As run/worker/execute.h for this machine: takes a task that is ready and leaves the checked
 * outputs in it, which lie in the store by then; the caller alone records them. */
#ifndef MASSFLOW_RUN_REMOTE_REMOTE_H
#define MASSFLOW_RUN_REMOTE_REMOTE_H

#include "run/remote/gang.h"
#include "run/remote/workers.h"
#include "run/worker/execute.h"

typedef struct mf_remote_end {
    mf_spent spent;
    double seconds;
    bool returned;     /* there is no status: the worker ended before the node did, */
    bool lost;         /* without a word */
    bool full;         /* for its folder can't be written */
    bool unbegun;      /* or it was waiting for a slot there */
    bool store_failed; /* the status is about the store of this process */
} mf_remote_end;

/* Blocks; called in a thread of the node's own. The retries of `limits` are the worker's. `key`:
 * of the action. `ahead`: it waits there until a slot is free, and may be taken back meanwhile. */
MF_MUST_USE mf_status mf_execute_remote(mf_workers *workers, size_t number, mf_task *task,
                                        const mf_limits *limits, const char *key, bool ahead,
                                        mf_remote_end *end);

/* One of several workers that run the node together: see gang.h. The task's outputs are those of
 * number 0; nothing of the task is dropped. */
MF_MUST_USE mf_status mf_execute_number(mf_workers *workers, const mf_gang_seat *seat,
                                        mf_task *task, const mf_limits *limits, const char *key,
                                        mf_gang *gang, int rank, mf_remote_end *end);

/* A state as messages: all its arrays one after the other, in slices. */
typedef struct mf_state_arrival mf_state_arrival;
/* From the head on that mf_packet_head put. Takes over the packet. */
MF_MUST_USE mf_status mf_state_arrival_new(mf_packet *head, mf_state_arrival **arrival);
bool mf_state_arrival_done(const mf_state_arrival *arrival);
MF_MUST_USE mf_status mf_state_arrival_bytes(mf_state_arrival *arrival, mf_packet *p);
/* The artifact, for the caller to unref; once it is done. */
mf_artifact *mf_state_arrival_take(mf_state_arrival *arrival);
void mf_state_arrival_free(mf_state_arrival *arrival); /* NULL is fine */
/* Calls with each slice, borrowed. */
MF_MUST_USE mf_status mf_state_send(const mf_artifact *state,
                                    mf_status (*send)(void *self, const void *bytes, size_t size),
                                    void *self);

#endif
