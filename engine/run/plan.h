/* plan.h - what of a graph is known already, and what has to run.
 *
 * Keys use the content of outputs, so a node's key is known only when all its inputs are. The plan
 * walks the nodes in topological order: a node whose inputs are known is looked up in the store,
 * and is then cached or to be run; what lies below a node that runs is decided when it has run.
 * The same steps serve `massflow plan` and the scheduler, which goes on where the walk stopped. A
 * plan belongs to one thread. */
#ifndef MASSFLOW_RUN_PLAN_H
#define MASSFLOW_RUN_PLAN_H

#include "run/files.h"
#include "run/work.h"
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
    MF_PLAN_CANCELLED
} mf_plan_state;

typedef struct mf_plan_output {
    char id[MF_HEX_SIZE];
    bool present; /* the data is in the store */
} mf_plan_output;

typedef struct mf_plan_node {
    const mf_node *node;
    mf_plan_state state;
    bool elsewhere;              /* to be run, but another process is at it: set by the scheduler */
    bool again;                  /* known, but its data is missing and something needs it */
    mf_work work;                /* elements are filled in as soon as the inputs are known */
    size_t missing;              /* edges from nodes that are not known; while WAITING */
    char key[MF_HEX_SIZE];       /* "" until the inputs are known */
    char state_key[MF_HEX_SIZE]; /* "" until the inputs are known; see work.h */
    char *components;            /* JSON of what the key is made of */
    mf_plan_output *outputs;     /* by output port; set when CACHED or DONE */
    const uint32_t *consumers;   /* nodes below, once for each edge */
    size_t consumer_count;
    double rank;       /* length of the longest way down: what comes first when several can start */
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
} mf_plan_options;

typedef struct mf_plan mf_plan;

/* `wanted`: for each node whether it is asked for (mf_graph_select); what these need is added.
 * `store` may be NULL: then nothing is cached. Graph and store are borrowed. */
mf_status mf_plan_new(const mf_graph *graph, mf_store *store, const bool *wanted,
                      const mf_plan_options *options, mf_plan **plan);
void mf_plan_free(mf_plan *plan);
const mf_graph *mf_plan_graph(const mf_plan *plan);
mf_store *mf_plan_store(const mf_plan *plan);
const mf_plan_options *mf_plan_get_options(const mf_plan *plan);
const mf_files *mf_plan_files(const mf_plan *plan); /* NULL without a store; any thread may read it */
size_t mf_plan_count(const mf_plan *plan); /* nodes, as in the graph */
mf_plan_node *mf_plan_at(mf_plan *plan, size_t i);

/* Makes sure that the data of all that node i (to be run) reads is there. Where it is not, what
 * makes it is to be run again, and i waits. */
void mf_plan_demand(mf_plan *plan, size_t i);

/* Called for each node that is decided by what ended: cached, to be run, failed, blocked. */
typedef void (*mf_plan_changed)(void *self, size_t i);
/* Node i has run and its outputs are set: what lies below is decided as far as it can be. */
mf_status mf_plan_done(mf_plan *plan, size_t i, mf_plan_changed changed, void *self);
/* Node i, to be run, may be stored meanwhile. */
mf_status mf_plan_look_again(mf_plan *plan, size_t i, mf_plan_changed changed, void *self);
/* Node i is FAILED, with its message: what needs it is blocked, or goes on without it. */
mf_status mf_plan_failed(mf_plan *plan, size_t i, mf_plan_changed changed, void *self);

#endif
