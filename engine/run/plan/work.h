/* work.h - a stage with everything that it needs, before it runs: the frozen form of one node.
 *
 * The planner makes it, tasks and streams read it; it knows nothing of files, graphs or threads, so
 * an executor elsewhere can be handed the same thing. Everything is borrowed from the plan. */
#ifndef MASSFLOW_RUN_WORK_H
#define MASSFLOW_RUN_WORK_H

#include "graph/data/graph.h"
#include "store/digest.h"
#include <massflow/stage.h>

typedef struct mf_work mf_work;

#define MF_WORK_RANKS 64 /* workers that run one node together, at most */

/* One artifact that lies at an input port. */
typedef struct mf_element {
    char id[MF_HEX_SIZE];      /* content id; "" before it is known */
    const char *node;          /* that made it, for messages */
    const char *case_id;       /* "" without one */
    const mf_case *row;        /* its columns; NULL without a case */
    const mf_axis_value *axes; /* of the node that made it, without `case` */
    size_t axis_count;
    /* In a worker process, which has no cases: name and value in turn, closed by NULL. */
    const char *const *columns;
} mf_element;

/* What is connected to one input port. */
typedef struct mf_feed {
    const mf_port *port;
    bool list;
    size_t count; /* elements: 0 where nothing is connected */
    mf_element *elements;
    const mf_work *stream; /* the recipe, for a port that takes a stream; else NULL */
} mf_feed;

struct mf_work {
    const char *node; /* its name in messages: "masks[case=012]" */
    const mf_stage *stage;
    const mf_params *params;
    const char *case_id;       /* "" without one */
    const mf_axis_value *axes; /* of the node, without `case` */
    size_t axis_count;
    size_t feed_count; /* = input ports of the stage, in their order */
    mf_feed *feeds;
    size_t out_count;
    /* What checkpoints are named by: the key without the parameters that a longer run may change.
     */
    const char *state_key;
    bool anew; /* from the beginning: not from what an earlier run saved of it */
};

/* The k-th axis that an element has and the work that reads it has not: what a gather over axes
 * tells elements apart by. NULL past the last. */
const mf_axis_value *mf_element_axis(const mf_work *work, const mf_element *element, size_t k);
/* A copy, with the streams that it reads, that stays when the plan goes on; what is the graph's or
 * the registry's is still borrowed. work.c */
MF_MUST_USE mf_status mf_work_copy(const mf_work *work, mf_work **copy);
void mf_work_free(mf_work *copy); /* NULL is fine */
/* Streams run on the device of the stage that reads them. */
bool mf_work_wants_device(const mf_work *work);

/* Workers that are to run it together: what its parameter marked MF_RANKS says, else 1. */
size_t mf_work_ranks(const mf_work *work);

#endif
