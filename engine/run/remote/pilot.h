/* pilot.h - a worker: joins a run on another machine and runs the nodes that it is given.
 *
 * Each node has a thread of its own; all share the devices and sessions of the host. A second
 * thread tells progress and heartbeats, and sees that the worker's time is over. A connection that
 * is lost is made anew, for the run may come back or be started again: nodes go on meanwhile.
 * Artifacts come from the run, record and chunks, and what came is kept in a folder
 * (store/chunk_cache.h). */
#ifndef MASSFLOW_RUN_REMOTE_PILOT_H
#define MASSFLOW_RUN_REMOTE_PILOT_H

#include "run/remote/secret.h"
#include "run/task/host.h"

typedef struct mf_pilot_options {
    const char *where; /* "HOST:PORT" */
    mf_token token;
    int slots;
    size_t bytes;      /* of host memory that nodes may need together */
    const char *cache; /* folder */
    int64_t cache_bytes;
    const char *pool;         /* "" */
    const char *version;      /* of massflow */
    double idle;              /* s without a node, after which it ends; 0: never */
    double ends;              /* s from now until its time is over; INFINITY */
    double retry;             /* s in which it tries to reach the run */
    bool devices;             /* it has some */
    const struct mf_mpi *mpi; /* to other workers; NULL: it was not started with any */
    /* Before a node first uses a device: in the thread of that node. */
    mf_status (*before_device)(void *self);
    void (*tell)(void *self, const char *line); /* from any thread */
    void *self;
} mf_pilot_options;

/* Until the run is over, the worker's time is over or it was asked to end: MF_OK. The host has no
 * store. *lost, with an error: the run was being stopped when the connection was lost; its nodes
 * are cancelled, and so is the host. With another one the worker may join again. */
MF_MUST_USE mf_status mf_pilot_serve(mf_host *host, const mf_pilot_options *options, bool *lost);

#endif
