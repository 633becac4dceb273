/* plan.h - what of a graph is known already, and what has to run.
 *
 * Keys use the content of outputs, so a node's key is known only when all its inputs are. A node
 * whose inputs are known is looked up in the store, and is then cached or to be run; what lies
 * below a node that runs is decided when it has run. The same steps serve `massflow plan` and the
 * scheduler, which goes on where the plan stopped. A plan belongs to one thread.
 *
 * Two things are asked of a node, and answered apart:
 *
 *   identity  its key and the ids of its outputs (`known`). Of a stream: what it is made of. A node
 *             is decided when the identity of all that it reads is known.
 *   data      whether the outputs themselves are in the store. Only a node that is to be run reads
 *             data, and only when all of it is there is it `ready`. Data that was dropped and is
 *             needed is made `again`; identity stays known meanwhile.
 *
 * Nothing is counted up or down: each answer follows from the states of the node's sources, and is
 * found anew (settle.c) whenever one of them changes. mf_plan_check says whether that holds. Nodes
 * are read by all and written by the plan alone: whoever runs them tells it so by the verbs below.
 * States and who changes them (S: settling, R: the runner):
 *
 *   WAITING -> RECIPE CACHED TO_RUN FAILED BLOCKED   S  all that it reads is known, or lost
 *   CACHED  -> TO_RUN                                S  again: its data is needed
 *   TO_RUN  -> CACHED                                S  again, but its data is not needed any more;
 *                                                       another node has its key, and was just made
 *   TO_RUN  -> BLOCKED                               S  data that it reads can't be made
 *   CACHED DONE TO_RUN RECIPE -> as from WAITING     S  what it reads came out as something else
 *   TO_RUN  -> RUNNING CACHED FAILED CANCELLED       R  start; look_again; fail; cancel
 *   RUNNING -> DONE FAILED CANCELLED TO_RUN          R  finish; fail; cancel; put_back
 *
 * FAILED, BLOCKED and CANCELLED are final. Nodes are in topological order, and the first one that
 * is in no final state, not known and not running is always to be run and ready: so a run can stand
 * still only where something runs or another process is waited for. A run that stops elsewhere is a
 * fault of massflow, and mf_plan_left names the nodes. */
#ifndef MASSFLOW_RUN_PLAN_H
#define MASSFLOW_RUN_PLAN_H

#include "run/plan/files.h"
#include "run/plan/work.h"
#include "store/store.h"

typedef enum mf_plan_state {
    MF_PLAN_UNWANTED, /* no target needs it */
    MF_PLAN_WAITING,  /* an input is not known yet */
    MF_PLAN_RECIPE,   /* a stream whose inputs are known: it never runs by itself */
    MF_PLAN_CACHED,
    MF_PLAN_TO_RUN,
    MF_PLAN_RUNNING,
    MF_PLAN_DONE,
    MF_PLAN_FAILED,
    MF_PLAN_BLOCKED, /* something it needs failed */
    MF_PLAN_CANCELLED,
    MF_PLAN_STATES
} mf_plan_state;

typedef struct mf_plan_output {
    char id[MF_HEX_SIZE];
    bool present; /* the data is in the store */
} mf_plan_output;

typedef struct mf_plan_node {
    const mf_node *node;
    mf_plan_state state;
    bool elsewhere; /* to be run, but another process computes it: see mf_plan_defer */
    bool held;      /* can start, and the runner has taken it: see mf_plan_hold */
    bool asked;     /* the user asked for its data: it ends the graph, or is named as a target */
    bool known;     /* its identity is */
    bool again;     /* known and to be run, or ran, for data that was dropped and is needed */
    bool ready;     /* to be run, and the data of all that it reads is there */
    bool needed;    /* of a RECIPE: a stage that is to be run reads it. Then it is `ready` too */
    bool stale;     /* what it reads has changed since it was decided */
    bool fresh;     /* just stored: other nodes with its key have the same outputs */
    bool imported;  /* CACHED, and the result was not made in this cache but imported */
    size_t turn;    /* how often it has been decided */
    mf_work work;   /* elements are filled in as soon as the inputs are known */
    const mf_edge *waits;  /* the first input that it waits for, when last looked at; or NULL */
    char key[MF_HEX_SIZE]; /* "" until the inputs are known */
    char state_key[MF_HEX_SIZE]; /* "" until the inputs are known; see work.h */
    char *components;            /* JSON of what the key is made of */
    mf_plan_output *outputs;     /* by output port; set when known */
    const uint32_t *consumers;   /* nodes below, once for each edge */
    size_t consumer_count;
    double rank;       /* s, its critical path: what comes first when several can start; rank.c */
    double seconds;    /* that it ran */
    char *message;     /* of FAILED and BLOCKED; else what skip_failed leaves out */
    uint32_t *skipped; /* nodes that failed and are left out; see skip.h */
    size_t skipped_count;
} mf_plan_node;

typedef struct mf_plan_options {
    bool by_version; /* --code version: stages are known by their version, not their sources */
    const char *same_device; /* only results of this device class; NULL for any; borrowed */
    int threads;             /* that hash input files; 0: one */
    bool recall_failures; /* what failed when it was last run, with the same key, is taken to fail:
                             to look at what `skip_failed` came to, not to run */
    bool named; /* `wanted` are targets that the user named: their data has to be there. Else that
                   of what nothing reads */
    /* Whether the data of an output, of which `id` came out, is needed besides: of what is
     * exported. May be NULL. */
    bool (*needs)(void *self, size_t node, size_t port, const char *id);
    void *self;
    /* By node: to be run though its result is known, once, from the beginning. What reads it is
     * decided by the content that comes out, as ever. NULL: none; read by mf_plan_new alone. */
    const bool *anew;
} mf_plan_options;

typedef struct mf_plan mf_plan;

/* `wanted`: for each node whether it is asked for (mf_graph_select); what these need is added.
 * `store` may be NULL: then nothing is cached. Graph and store are borrowed. */
MF_MUST_USE mf_status mf_plan_new(const mf_graph *graph, mf_store *store, const bool *wanted,
                                  const mf_plan_options *options, mf_plan **plan);
void mf_plan_free(mf_plan *plan);
const mf_graph *mf_plan_graph(const mf_plan *plan);
mf_store *mf_plan_store(const mf_plan *plan);
const mf_plan_options *mf_plan_get_options(const mf_plan *plan);
const mf_files *
mf_plan_files(const mf_plan *plan);        /* NULL without a store; any thread may read it */
size_t mf_plan_count(const mf_plan *plan); /* nodes, as in the graph */
const mf_plan_node *mf_plan_at(const mf_plan *plan, size_t i);
/* Fills in the inputs of node i, which is to run or waits, as far as they are known: an element's
 * id is "" where it is not. For a task that only says what it needs. */
void mf_plan_preview(mf_plan *plan, size_t i);
size_t mf_plan_tally(const mf_plan *plan, mf_plan_state state); /* nodes in it, without streams */
size_t mf_plan_wanted(const mf_plan *plan);    /* all but the unwanted, without streams */
uint64_t mf_plan_changes(const mf_plan *plan); /* of states so far: whether anything has changed */

/* ---- as nodes start and end ------------------------------------------------------------------ */

/* Called for each node that mf_plan_settle decides: cached, to be run, failed, blocked. */
typedef void (*mf_plan_changed)(void *self, size_t i);
void mf_plan_watch(mf_plan *plan, mf_plan_changed changed, void *self);

/* To be run, ready, and not deferred. */
bool mf_plan_can_start(const mf_plan_node *n);
/* The graph stages of which a node may be able to start, in no order: the last ones may go when
 * mf_plan_next finds that they have none, so walk from the end. */
const size_t *mf_plan_active(const mf_plan *plan, size_t *count);
/* Of a graph stage's nodes that can start, the first by rank; not one that is held, nor one whose
 * key is that of a running node, which may answer for both. The plan's count where there is none.
 */
size_t mf_plan_next(mf_plan *plan, size_t group);
/* Whether node a is to start before node b: by rank, then what needs a device, then by number. */
bool mf_plan_before(const mf_plan *plan, size_t a, size_t b);
/* The node that mf_plan_next gave is the runner's to start, and not given again until it is
 * released, or ran. */
void mf_plan_hold(mf_plan *plan, size_t i);
void mf_plan_release(mf_plan *plan, size_t i);
/* It can start, and no node with its key runs. */
bool mf_plan_may_start(const mf_plan *plan, size_t i);
/* Orders nodes by the seconds that earlier runs took, as far as the store has any. Before a run; a
 * plan that is only looked at does without. */
MF_MUST_USE mf_status mf_plan_expect(mf_plan *plan);
/* The median of what nodes of its stage took in earlier runs, in seconds; 0: there were none. */
double mf_plan_expected(const mf_plan *plan, size_t i);
/* A node that can start, of a stage that has not run here and can estimate what it takes; the
 * plan's count where there is none. Each stage is asked once. */
size_t mf_plan_unestimated(mf_plan *plan);
/* The answer: seconds that all nodes of its stage are taken to take; 0 or more. */
void mf_plan_estimate(mf_plan *plan, size_t i, double seconds);
/* Each of these changes one node. What follows for others is found by mf_plan_settle. */
void mf_plan_start(mf_plan *plan, size_t i);    /* it runs */
void mf_plan_put_back(mf_plan *plan, size_t i); /* it did not run after all: to be run, as before */
/* It ran for so many seconds. `outputs`: by output port; an optional one that was left out has no
 * id. */
void mf_plan_finish(mf_plan *plan, size_t i, const mf_plan_output *outputs, double seconds);
/* Takes the message; or NULL. Seconds that it ran, 0 where it could not start. */
void mf_plan_fail(mf_plan *plan, size_t i, char *message, double seconds);
void mf_plan_cancel(mf_plan *plan, size_t i); /* it was stopped, or the run was */
/* Node i, to be run, is computed by another process: it can't start until mf_plan_resume, or until
 * it is decided anew. */
void mf_plan_defer(mf_plan *plan, size_t i);
void mf_plan_resume(mf_plan *plan, size_t i);
/* Node i, to be run, may be stored meanwhile: CACHED where all of it that is needed is. */
MF_MUST_USE mf_status mf_plan_look_again(mf_plan *plan, size_t i);
MF_MUST_USE mf_status mf_plan_settle(mf_plan *plan);

/* MF_INTERNAL, with the nodes' names, where a node that is wanted is not known, nor failed, blocked
 * or cancelled: at the end of a run that nobody stopped. */
MF_MUST_USE mf_status mf_plan_left(mf_plan *plan);
/* MF_INTERNAL where a settled plan is not what is said above. For tests. */
MF_MUST_USE mf_status mf_plan_check(mf_plan *plan);

#endif
