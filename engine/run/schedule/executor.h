/* executor.h - what runs nodes for the scheduler: an interface, so that the scheduler knows neither
 * threads nor stages, and is tested without them.
 *
 * All calls come from the scheduler's thread. `prepare` copies what it needs of the plan: the
 * executor's own threads touch nothing of it. What an execution came to is handed over once, from
 * any thread; the scheduler tells the plan. */
#ifndef MASSFLOW_RUN_EXECUTOR_H
#define MASSFLOW_RUN_EXECUTOR_H

#include "run/plan/plan.h"
#include "run/task/host.h"
#include "run/task/task.h"
#include "store/leases.h"
#include <massflow/compute.h>

typedef struct mf_execution mf_execution; /* one node, once; the executor's own */

/* What the scheduler gives it. */
typedef struct mf_grant {
    int slots;
    size_t device; /* one that nobody else has, where it needs one */
    int64_t run;   /* the run's number in the store, for the record */
    int64_t dead;  /* for the lease: see store/leases.h */
    bool insist;
} mf_grant;

/* What it came to. */
typedef struct mf_execution_end {
    mf_lease_state lease; /* not FREE: it was not run, for another process computes or has */
    mf_lease_owner owner; /* that one */
    mf_status status;     /* the scheduler's from now on */
    bool store_failed;    /* the status is about the store, not the stage */
    double seconds;
    int64_t peak_bytes;            /* of a process of its own; 0: it had none */
    const mf_plan_output *outputs; /* by output port, stored; the execution's own */
} mf_execution_end;

typedef void (*mf_execution_ended)(void *self, const mf_execution_end *end);

typedef struct mf_executor {
    void *self;
    /* Called once a node needs a device: there is at least one. */
    mf_status (*open_devices)(void *self, size_t *count);
    const mf_device_info *(*device)(void *self, size_t i);
    bool (*same_memory)(void *self, size_t a, size_t b); /* they have their memory together */
    /* Node i, which can start, and what it needs. It may never be started. */
    mf_status (*prepare)(void *self, const mf_plan *plan, size_t i, mf_needs *needs,
                         mf_execution **execution);
    /* Calls `ended` once, also when it can't be started. */
    void (*start)(mf_execution *execution, const mf_grant *grant, mf_execution_ended ended,
                  void *ended_self);
    /* Not between `start` and `ended`; NULL is fine. */
    void (*free)(mf_execution *execution);
    void (*progress)(mf_execution *execution, mf_task_state *state);
    /* Seconds since its time was over; below 0: it is not. */
    double (*overtime)(mf_execution *execution);
    void (*cancel)(
        void *self); /* all that runs and will run ends as soon as it can: MF_CANCELLED */
    bool (*cancelled)(void *self);                                  /* from any thread */
    void (*set_log)(void *self, mf_log_sink sink, void *sink_self); /* NULL: nobody */
} mf_executor;

/* Runs stages of this process, each node in a thread of its own, which holds the node's lease and
 * stores its outputs. Borrows the host. executor.c */
mf_executor mf_host_executor(mf_host *host);

#endif
