/* plan_private.h - what the files of the plan share: plan.c (making one, and its nodes' ends),
 * decide.c (one node: its key, what is stored), settle.c (what follows for others). */
#ifndef MASSFLOW_RUN_PLAN_PRIVATE_H
#define MASSFLOW_RUN_PLAN_PRIVATE_H

#include "run/plan/files.h"
#include "run/plan/heap.h"
#include "run/plan/plan.h"
#include "run/plan/twins.h"

/* What one node of a graph stage takes: rank.c. */
typedef struct mf__pace {
    double seconds;
    bool known;  /* by earlier runs, or estimated */
    bool past;   /* by earlier runs */
    bool listed; /* among the unpaced */
} mf__pace;

struct mf_plan {
    const mf_graph *graph;
    mf_store *store;
    mf_plan_options options;
    mf_plan_node *nodes;
    size_t count;
    uint32_t *consumers; /* of all nodes, one after another */
    mf_files *files;
    mf_heap touched; /* nodes to be looked at */
    /* By graph stage, numbered from its first node: those that can start and are not held. Some
     * can't any more. One whose twin runs may be missing, until that ends. */
    mf_heap *startable;
    size_t *active; /* graph stages that have some, in no order */
    size_t active_count;
    size_t *active_at; /* by graph stage: where in `active`, counted from 1; 0: it is not there */
    mf_twins twins;    /* by key */
    mf__pace *paces;   /* by graph stage */
    size_t *unpaced;   /* of stages that may be asked for an estimate: a node that can start */
    size_t unpaced_count;
    size_t tally[MF_PLAN_STATES]; /* nodes in each state, without streams */
    uint64_t changes;
    mf_plan_changed changed;
    void *self;
};

/* The i-th path among its parameters. */
mf_file_use mf_plan__use(const mf_plan_node *n, size_t i);

/* ---- rank.c ---------------------------------------------------------------------------------- */

MF_MUST_USE mf_status
mf_plan__pace_all(mf_plan *plan);  /* a second for each node, before anything is known */
void mf_plan__rank(mf_plan *plan); /* all nodes, and the heaps that go by it */
void mf_plan__can_estimate(mf_plan *plan, const mf_plan_node *n); /* n can start */

/* ---- settle.c -------------------------------------------------------------------------------- */

void mf_plan__touch(mf_plan *plan, size_t i);
/* Counts it among those that can start, if it can. */
void mf_plan__offer(mf_plan *plan, const mf_plan_node *n);
/* Changes the state, and touches all that it matters to. */
void mf_plan__set(mf_plan *plan, mf_plan_node *n, mf_plan_state state);
/* Identity: the ids of its outputs are these. Where they were others, what read them is decided
 * anew. */
void mf_plan__know(mf_plan *plan, mf_plan_node *n, const mf_plan_output *outputs);
/* A stream is made of something else than before. */
void mf_plan__renew(mf_plan *plan, mf_plan_node *n);
/* FAILED or BLOCKED, with a message that is taken over. `known`: only its data can't be made. */
void mf_plan__lose(mf_plan *plan, mf_plan_node *n, mf_plan_state state, bool known, char *message);
/* Whether what the edge brings is lost: its identity or, where `data` is set, also its data alone.
 */
bool mf_plan__lost(const mf_plan *plan, const mf_edge *edge, bool data);

/* ---- decide.c -------------------------------------------------------------------------------- */

/* The identity of all that node n reads is known or lost: its key, and whether it is stored.
 * `data`: what of its inputs' data is lost is left out too (see skip.h). */
MF_MUST_USE mf_status mf_plan__decide(mf_plan *plan, mf_plan_node *n, bool data);
/* Looks node n up by its key. *found: it is CACHED; `whole`: only where all its data is there. */
MF_MUST_USE mf_status mf_plan__look_up(mf_plan *plan, mf_plan_node *n, bool whole, bool *found);

#endif
