/* runner.h - a run under way, as the files of the scheduler share it: runner.c (its begin and end,
 * what is told and recorded), start.c (what starts when), job.c (one running node), outcome.c (what
 * becomes of nodes), elsewhere.c (nodes that another process runs).
 *
 * It runs nothing itself and has no loop: an executor runs nodes, and run.c, or a test, tells it
 * when one has ended. All of it belongs to one thread; a job is handed over by the executor's. */
#ifndef MASSFLOW_RUN_RUNNER_H
#define MASSFLOW_RUN_RUNNER_H

#include "run/schedule/executor.h"
#include "run/schedule/journal.h"
#include "run/schedule/run.h"
#include "run/schedule/waits.h"

typedef struct mf_runner mf_runner;

/* One running node. */
typedef struct mf_job {
    struct mf_job *next;     /* of the running ones */
    struct mf_job *finished; /* the loop's: of those that have ended */
    mf_runner *run;
    size_t index;
    size_t turn; /* of its node, when the job was made */
    mf_execution *execution;
    mf_needs needs;
    int slots;
    size_t place;
    size_t device;        /* of that place, its own, where it needs one */
    size_t bytes;         /* of the host's memory that it is taken to need; on `device` */
    double start;         /* by the runner's clock */
    double started;       /* since 1970 */
    int64_t peak;         /* of the process's resident bytes while it ran */
    double told;          /* how often it was said that its time is over */
    uint64_t said;        /* the loop's: the number of the last line that was put when it ended */
    mf_execution_end end; /* once it has been handed over */
} mf_job;

struct mf_runner {
    mf_plan *plan;
    mf_store *store;
    const mf_executor *executor;
    const mf_run_options *options;
    mf_run_result *result;
    double (*clock)(void); /* seconds; of no beginning */
    /* A job has ended: for mf_runner_end, in the runner's thread. Called from any. */
    void (*hand_over)(void *self, mf_job *j);
    void *self;
    int slots, slots_used;
    size_t bytes, bytes_used;
    size_t device_count; /* once a node needs one */
    bool *device_busy;
    mf_job *running;
    mf_job *pending[2]; /* next to start on the host and on a device, as soon as they can */
    mf_waits waits;     /* nodes that another process is running */
    bool stopping;      /* nothing more is started */
    mf_status failure;  /* of the run itself */
    mf_journal *journal;
};

/* runner.c */
/* A runner of which all above `slots` is set, and the rest is 0: opens its record. */
MF_MUST_USE mf_status mf_runner_open(mf_runner *r);
/* Tells and records what the plan knows already. */
void mf_runner_begin(mf_runner *r);
/* Nothing runs any more: what was not started is given up. */
void mf_runner_close(mf_runner *r);
/* The error of the run itself, after its record is ended. */
MF_MUST_USE mf_status mf_runner_free(mf_runner *r);
void mf_runner_tell(mf_runner *r, mf_run_event event);
/* Keeps the first error of the run itself and stops it. MF_OK is none. */
void mf_runner_give_up(mf_runner *r, mf_status status);
/* `j` is the job that ran or runs; NULL for a node that did not start. */
void mf_runner_record(mf_runner *r, size_t i, mf_outcome outcome, const mf_job *j);
void mf_runner_flush(mf_runner *r); /* the record */
/* The process holds this much now: what runs is remembered with the most of it. */
void mf_runner_sample(mf_runner *r);

/* start.c: starts what can start. False once nothing runs and there is nothing left to start or to
 * wait for. */
bool mf_runner_start(mf_runner *r);

/* job.c */
MF_MUST_USE mf_status mf_job_new(mf_runner *r, size_t i, mf_job **job);
void mf_job_free(mf_job *j); /* NULL is fine */
/* Starts it on its slots and device, which are settled. */
void mf_job_launch(mf_runner *r, mf_job *j);
const char *mf_job_device(const mf_job *j); /* its device's name, or "" */

/* outcome.c */
/* Decides what follows from what has changed. */
void mf_runner_settle(mf_runner *r);
void mf_runner_tell_skipped(mf_runner *r, const mf_plan_node *n);
void mf_runner_on_change(void *self, size_t i); /* node i has been decided, by the plan */
/* `j`: the job that failed, NULL where it could not be made. Takes the status. */
void mf_runner_failed(mf_runner *r, size_t i, const mf_job *j, mf_status status);
/* A job that has ended; frees it. */
void mf_runner_end(mf_runner *r, mf_job *j);

/* elsewhere.c */
/* Goes by what was seen of the lease of node i, which is to be run: true when it is not to be
 * started now, for it is known by now or being made. */
bool mf_runner_settle_lease(mf_runner *r, size_t i, mf_lease_state state,
                            const mf_lease_owner *owner);
/* Whether node i need not be started here and now. What follows from that is settled. */
bool mf_runner_made_elsewhere(mf_runner *r, size_t i);
/* Looks at what is waited for; what is no longer held may go on. */
void mf_runner_look(mf_runner *r);
/* Nodes that were waited for when the run was stopped. */
void mf_runner_end_waits(mf_runner *r);

#endif
