/* executor.h - what runs nodes for the scheduler: an interface, so that the scheduler knows neither
 * threads nor stages nor machines, and is tested without them.
 *
 * An executor runs nodes at places: place 0 is this process, the others are workers, which come and
 * go during a run. All calls come from the scheduler's thread. `prepare` copies what it needs of
 * the plan: the executor's own threads touch nothing of it. What an execution came to is handed
 * over once, from any thread; the scheduler tells the plan. */
#ifndef MASSFLOW_RUN_EXECUTOR_H
#define MASSFLOW_RUN_EXECUTOR_H

#include "run/plan/plan.h"
#include "run/task/host.h"
#include "run/task/task.h"
#include "store/leases.h"
#include <massflow/compute.h>

typedef struct mf_execution mf_execution; /* one node, once; the executor's own */

/* Where nodes run. */
typedef struct mf_run_place {
    char name[128]; /* "" of this process; of a worker as lines, errors and records name it */
    char pool[64];  /* "" of none */
    int slots;
    size_t bytes;        /* host memory that nodes there may need together */
    size_t device_count; /* of place 0: 0 until open_devices */
    double ends;         /* by the run's clock (mf_seconds): when its time is over; INFINITY */
    bool open;           /* takes new nodes; false once it is lost or is about to end */
    bool again;          /* it was there before under another number: its link was lost, not it */
    size_t most;         /* of a place that may come: how many of its kind there may be at once,
                          * with those that are there; 0: any number */
    size_t ahead;        /* nodes that it can be given besides those that run: they wait there until
                          * a slot is free; 0: none */
    uint64_t group;      /* places with the same one reach each other by a network of their own;
                          * 0: none */
} mf_run_place;

#define MF_PLACE_TO_COME SIZE_MAX /* instead of the number of a place that may come */

/* What the scheduler gives it. */
typedef struct mf_grant {
    int slots;
    size_t place;
    size_t device; /* of that place, one that nobody else has, where it needs one */
    const size_t
        *devices;        /* all that it has there, where it needs several; the first is `device` */
    size_t device_count; /* 0: it needs none */
    /* Of a node that several workers run together: the grants of numbers 1, 2, ...; this one is
     * that of number 0. They have place, slots and devices alone. */
    const struct mf_grant *others;
    size_t other_count;
    int64_t run;  /* the run's number in the store, for the record */
    int64_t dead; /* for the lease: see store/leases.h */
    bool insist;
    bool ahead; /* it waits at its place until a slot is free there */
} mf_grant;

/* What it came to. */
typedef struct mf_execution_end {
    mf_lease_state lease; /* not FREE: it was not run, for another process computes or has */
    mf_lease_owner owner; /* that one */
    mf_status status;     /* the scheduler's from now on */
    bool store_failed;    /* the status is about the store, not the stage */
    /* Its place was lost, or ended before it did: nothing is known of the node, which goes back to
     * those that are to be run. That is no failure and no retry. There is no status. */
    bool returned;
    bool lost;    /* returned, for the place is gone without a word: the node may be the reason */
    bool full;    /* returned, for the place can't write to its folder */
    bool unbegun; /* returned, and it was still waiting there for a slot */
    char place[128]; /* where it ran, as mf_run_place names it; "" for this process. Of one that was
                      * returned by several: the one that was lost or has ended */
    double seconds;
    int64_t peak_bytes;            /* of a process of its own; 0: it had none */
    const mf_plan_output *outputs; /* by output port, stored; the execution's own */
} mf_execution_end;

typedef void (*mf_execution_ended)(void *self, const mf_execution_end *end);

typedef struct mf_executor {
    void *self;
    /* Places so far: at least 1, and never less than before. One that is gone keeps its number and
     * is not open. */
    size_t (*place_count)(void *self);
    /* As it is now. The slots and bytes of place 0 are what the run's options say. */
    void (*place)(void *self, size_t place, mf_run_place *p);
    /* From now on `changed` is called when a place has come, has closed or is otherwise than
     * before, from any thread. NULL: nobody; once that has returned, `changed` is not called. */
    void (*watch_places)(void *self, void (*changed)(void *changed_self), void *changed_self);
    /* Whether workers that nobody knows of yet may join by themselves. NULL: no. */
    bool (*joinable)(void *self);
    /* Why node i can't run at `place`, which is `p` (its stage is missing there or of other code;
     * it asks for another pool); NULL: it can. MF_PLACE_TO_COME: `p` is not there yet. The same for
     * all nodes of a graph stage. The text is borrowed, until the next call. */
    const char *(*cannot)(void *self, const mf_plan *plan, size_t i, size_t place,
                          const mf_run_place *p);
    /* Opens the devices of this process, which is place 0: there is at least one. Called once a
     * node needs a device. Those of other places are there with the place. */
    mf_status (*open_devices)(void *self, size_t *count);
    const mf_device_info *(*device)(void *self, size_t place, size_t i);
    /* Devices a and b of a place have their memory together. */
    bool (*same_memory)(void *self, size_t place, size_t a, size_t b);
    /* Node i, which can start, and what it needs. It may never be started. */
    mf_status (*prepare)(void *self, const mf_plan *plan, size_t i, mf_needs *needs,
                         mf_execution **execution);
    /* Bytes of its inputs that are not at `place`: 0 for place 0. */
    int64_t (*missing)(mf_execution *execution, size_t place);
    /* A place that has its result, or is computing it, for a run that was lost; 0: none. NULL:
     * none.
     */
    size_t (*made_at)(mf_execution *execution);
    /* Calls `ended` once, also when it can't be started. */
    void (*start)(mf_execution *execution, const mf_grant *grant, mf_execution_ended ended,
                  void *ended_self);
    /* One that was given ahead: if it has not begun yet, its place hands it back. Never waits.
     * NULL: no place takes nodes ahead. */
    void (*take_back)(mf_execution *execution);
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
 * stores its outputs. Its other places are the workers of the host (mf_host_set_workers). Borrows
 * the host. executor.c */
mf_executor mf_host_executor(mf_host *host);

#endif
