/* run.h - running a plan: a scheduler on one libuv loop, nodes run by an executor.
 *
 * The calling thread owns all state: plan, counts, signals, timers. Everything that is to be shown
 * comes through one callback, always in that thread; nothing is printed here. */
#ifndef MASSFLOW_RUN_RUN_H
#define MASSFLOW_RUN_RUN_H

#include "run/plan/plan.h"
#include "run/schedule/executor.h"

typedef struct mf_run_counts {
    size_t wanted; /* nodes that are to be known at the end; streams are not counted */
    size_t done, cached, failed, blocked, cancelled;
    size_t imported; /* of the cached ones; when the run was planned, and at its end */
} mf_run_counts;

typedef enum mf_run_event_kind {
    MF_RUN_PLANNED, /* counts are what the plan found */
    MF_RUN_STARTED, /* node */
    MF_RUN_DONE,    /* node, seconds */
    MF_RUN_FOUND,   /* node: cached after all, for what it needs came out as before */
    MF_RUN_FAILED,  /* node, seconds, text: the error */
    MF_RUN_BLOCKED, /* node, text */
    MF_RUN_WAITING, /* node, text: another process on this cache runs it; at first, then each minute
                     */
    MF_RUN_OVERTIME, /* node, text, seconds: its time is over, and it goes on; at once, then each
                      * minute
                      */
    MF_RUN_RETURNED, /* node, text, seconds, place: the place was lost or ended; it is to be run
                      * again */
    MF_RUN_LOG,      /* node, text */
    MF_RUN_STOPPING, /* first Ctrl-C: running stages end at their next cancel point */
    MF_RUN_STOP_NOW, /* second: the program is to end now, without cleaning up */
    MF_RUN_TICK      /* a few times a second: running */
} mf_run_event_kind;

typedef struct mf_run_active {
    const char *node;
    const char *place; /* the worker that runs it; "" for this process */
    double seconds;    /* since it started */
    mf_task_state state;
} mf_run_active;

typedef struct mf_run_event {
    mf_run_event_kind kind;
    const char *node;
    const char *text;
    const char *place; /* of STARTED, DONE, FAILED, RETURNED: the worker; "" or NULL: none */
    double seconds;
    const mf_run_counts *counts;
    const mf_run_active *active; /* of TICK */
    size_t active_count;
} mf_run_event;

typedef void (*mf_run_watch)(void *self, const mf_run_event *event);

typedef struct mf_run_options {
    int jobs;          /* slots of this process; 0: as many as the machine has cores */
    size_t host_bytes; /* memory that stages running here may need together; 0: what there is */
    /* This process has no slots: whoever asks for that must not compute here. It runs, one at a
     * time, only nodes of stages that no worker can run whatever it has, such as those that read
     * input files. What workers could run, but none has the device, memory or time for, is an
     * error. */
    bool no_local;
    /* What places may come, each as often as it likes; borrowed. Without a name; `ends` is how long
     * they live, in seconds; `bytes` 0 or SIZE_MAX: not known. None, where the executor's workers
     * join by themselves: any. */
    const mf_run_place *may_come;
    size_t may_come_count;
    bool fail_fast;      /* the first failure stops the run */
    bool signals;        /* listen to requests to stop (signals.h); hand SIGTSTP and SIGCONT on */
    double remind;       /* seconds between lines about a stage whose time is over; 0: a minute */
    int tick;            /* milliseconds between ticks; 0: none */
    const char *command; /* as typed, for the record */
    const char *version; /* of the program, for the record */
    mf_run_watch watch;  /* may be NULL */
    void *self;
} mf_run_options;

typedef struct mf_run_result {
    mf_run_counts counts;
    bool interrupted;
    int64_t run; /* its number in the store */
} mf_run_result;

/* Has the executor run what is to be run. Failed nodes are no failure of the call: see the result,
 * and the plan's nodes for their messages. A store that can't be written is: the run then stops.
 * Without an error, and where nobody interrupted it, each node that is wanted is done, cached,
 * failed, blocked or, after fail_fast, left: else that is MF_INTERNAL. */
MF_MUST_USE mf_status mf_run(mf_plan *plan, const mf_executor *executor,
                             const mf_run_options *options, mf_run_result *result);

#endif
