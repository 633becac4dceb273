/* runner.h - a run under way, as the files of the scheduler share it: runner.c (its begin and end,
 * what is told and recorded), start.c (what starts when), choose.c (at which place), gang.c (at
 * which several), job.c (one running node), outcome.c (what becomes of nodes), elsewhere.c (nodes
 * that another process runs).
 *
 * It runs nothing itself and has no loop: an executor runs nodes, and run.c, or a test, tells it
 * when one has ended. All of it belongs to one thread; a job is handed over by the executor's. */
#ifndef MASSFLOW_RUN_RUNNER_H
#define MASSFLOW_RUN_RUNNER_H

#include "run/schedule/executor.h"
#include "run/schedule/journal.h"
#include "run/schedule/returns.h"
#include "run/schedule/run.h"
#include "run/schedule/spots.h"
#include "run/schedule/waits.h"

typedef struct mf_runner mf_runner;

/* One node that waits for a place, or runs. */
struct mf_job {
    struct mf_job *next, *previous; /* of those that run at its place */
    struct mf_job *finished;        /* the loop's: of those that have ended */
    mf_runner *run;
    size_t index;
    size_t turn; /* of its node, when the job was made */
    mf_execution *execution;
    mf_needs needs;
    size_t ranks;   /* workers that run it together; 1: it runs at one place */
    double expects; /* seconds that a place must have left for it; 0: any */
    /* While it waits. */
    uint64_t tried;             /* the places' `frees` when it was last tried */
    bool anew;                  /* all places have to be looked at */
    size_t keeps;               /* the place that it keeps; MF_SPOT_NONE */
    size_t kept;                /* places that it keeps, of a node that several run */
    const mf_device_info *kind; /* of the devices that it may get; NULL: any */
    /* Once it has a place. */
    int slots;
    size_t place;
    size_t device;                   /* of that place, its own, where it needs one */
    size_t devices[MF_TASK_DEVICES]; /* all of them, of one kind; the first is `device` */
    size_t device_count;
    size_t bytes; /* of that host's memory that it is taken to need; on `device` */
    bool ahead;   /* it waits there for a slot, */
    double pace;  /* and is expected to take so many seconds; 0: it never waited there */
    double asked; /* by the runner's clock: when the place was asked to hand it back; 0: not */
    /* Of a node that several run: what its numbers 1, 2, ... have at their places, [ranks - 1], as
     * jobs that run nothing; and what the executor is told of them. */
    struct mf_job *others, *leader; /* leader: of such a job; else NULL */
    mf_grant *grants;
    double start;         /* by the runner's clock */
    double started;       /* since 1970 */
    int64_t peak;         /* of this process's resident bytes while it ran here */
    double told;          /* how often it was said that its time is over */
    uint64_t said;        /* the loop's: the number of the last line that was put when it ended */
    mf_execution_end end; /* once it has been handed over */
};

/* The nodes of a graph stage that were found to have to wait. */
typedef struct mf_queue {
    size_t count;
    mf_job *first; /* by the plan's order */
    bool stuck;    /* no node of the stage that comes after this one could start now */
    size_t stuck_at;
    size_t ended; /* nodes that were done in this run, */
    double pace;  /* and the seconds that the last ones took, on average */
} mf_queue;

#define MF_QUEUE_MOST 8 /* nodes of a stage that are tried beside one that has to wait */

struct mf_runner {
    mf_plan *plan;
    mf_store *store; /* NULL: nothing is recorded, and nobody else runs nodes of the plan */
    const mf_executor *executor;
    const mf_run_options *options;
    mf_run_result *result;
    double (*clock)(void); /* seconds; of no beginning */
    /* A job has ended: for mf_runner_end, in the runner's thread. Called from any. */
    void (*hand_over)(void *self, mf_job *j);
    void *self;
    int slots; /* of this process */
    size_t bytes;
    mf_spots spots;
    bool places_changed;          /* to be looked at by mf_runner_start */
    const mf_run_place *may_come; /* the options', or any */
    size_t may_come_count;
    uint8_t *coming; /* as `can` of a spot: by place that may come, then by graph stage */
    uint8_t *here;   /* the same: whether no worker can run the stage's nodes, but this process */
    bool devices_opened; /* of this process, or tried */
    size_t running;      /* jobs */
    mf_job **waiting;    /* those that wait for a place, in no order */
    size_t waiting_count;
    mf_queue *queues; /* by graph stage */
    uint32_t *ran_at; /* by node: the place where it ran in this run, counted from 1; 0: nowhere */
    mf_returns returns;
    double told_idle;  /* when it was last said that nothing can go on without a worker; 0: not */
    mf_waits waits;    /* nodes that another process is running */
    bool stopping;     /* nothing more is started */
    mf_status failure; /* of the run itself */
    mf_journal *journal;
};

/* runner.c */
/* A runner of which all above `slots` is set, and the rest is 0: opens its record. */
MF_MUST_USE mf_status mf_runner_open(mf_runner *r);
/* Tells and records what the plan knows already. Then nothing may be started that no place can run.
 */
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
/* The process holds this much now: what runs in it is remembered with the most of it. */
void mf_runner_sample(mf_runner *r);

/* start.c: starts what can start. False once nothing runs and there is nothing left to start or to
 * wait for. */
bool mf_runner_start(mf_runner *r);
/* Now and then: asks places to hand back nodes that wait there while others are free. */
void mf_runner_take_back(mf_runner *r);
/* All that wait for a place are given up. */
void mf_runner_end_waiting(mf_runner *r);
/* Says, once a minute, that the run stands still until a worker comes. */
void mf_runner_tell_idle(mf_runner *r);

/* choose.c */
typedef enum mf_choice {
    MF_CHOSEN,     /* its place, device, slots and bytes are settled */
    MF_WAIT_STAGE, /* it has to wait, and so would any other node of its stage */
    MF_WAIT_NODE,  /* it has to wait, another node of its stage might not */
    MF_NO_PLACE    /* no place can run it, nor one that may come */
} mf_choice;

/* Of all places the best one for it; `freed`: of those that were freed. A job that has to wait
 * keeps a place where it is the first of its stage. */
mf_choice mf_runner_choose(mf_runner *r, mf_job *j, bool freed);
/* Some place has a slot for node i, whatever it needs. */
bool mf_runner_has_room(mf_runner *r, size_t i);
/* It keeps no place any more. */
void mf_job_unkeep(mf_job *j);

/* gang.c */
/* The same of a node that several workers run: at places of one kind, all of which it gets at once.
 * Where it has to wait and no other such node comes before it, it keeps as many as it needs, or
 * none. Its numbers 1, 2, ... are in j->others. */
mf_choice mf_gang_choose(mf_runner *r, mf_job *j);
void mf_gang_unkeep(mf_job *j);
/* As many places as node i needs take nodes of its stage, or may come. */
bool mf_gang_has_places(mf_runner *r, size_t i);

/* seat.c */
/* A node of its stage took so many seconds. */
void mf_runner_pace(mf_runner *r, size_t i, double seconds);

/* suits.c */
/* Devices that it needs, where it needs any: 1 or more. */
size_t mf_job_device_count(const mf_job *j);

/* no_place.c */
/* Why no place can run it. */
MF_MUST_USE mf_status mf_runner_no_place(mf_runner *r, const mf_job *j);
/* Why no worker that is there can, for free(); NULL: none is there. */
char *mf_runner_why_waits(mf_runner *r, const mf_job *j);
/* An error where a stage that has nodes to run can run at no place, nor at one that may come. */
MF_MUST_USE mf_status mf_runner_check_places(mf_runner *r);

/* job.c */
MF_MUST_USE mf_status mf_job_new(mf_runner *r, size_t i, mf_job **job);
void mf_job_free(mf_job *j); /* NULL is fine */
/* Starts it at its place, which is settled. */
void mf_job_launch(mf_runner *r, mf_job *j);
void mf_job_begin(mf_job *j);               /* one that waited at its place has a slot there */
void mf_job_leave(mf_job *j);               /* what it had there is free */
const char *mf_job_device(const mf_job *j); /* its device's name, or "" */
const char *mf_job_place(const mf_job *j);  /* its place's name, "" for this process */

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
