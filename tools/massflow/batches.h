/* batches.h - stages of many nodes, whose short ones share a line of a run's output. */
#ifndef MF_BATCHES_H
#define MF_BATCHES_H

#include "run/plan/plan.h"

#define BATCH_KINDS 20

/* Lines of a log that differ in their numbers alone. */
typedef struct line_kind {
    char *text;   /* with # for each number */
    size_t again; /* lines since one was shown, or told of */
} line_kind;

typedef struct batch {
    const char *label;            /* of the graph's stage; borrowed from the graph, as are nodes */
    size_t nodes;                 /* that were to run, or perhaps, when the run was planned */
    size_t ended;                 /* of them, however they came out */
    size_t untold;                /* done, and on no line yet */
    double seconds;               /* that these took together */
    const char *last;             /* of these */
    line_kind kinds[BATCH_KINDS]; /* of what its nodes logged */
    size_t kind_count;
} batch;

typedef struct batches {
    batch *items;
    size_t count;
} batches;

/* From a plan that has not begun to run. Without memory each node has a line of its own. */
void batches_open(batches *b, mf_plan *plan);
void batches_close(batches *b);
/* That of a node, where its stage has many to run; else NULL. */
batch *batches_of(const batches *b, const char *node);
/* Whether a line that a node logged is to be shown: the first one of its kind is, and all of what
 * has more kinds than are kept apart. Else it is counted. */
bool batch_shows(batch *b, const char *line);

#endif
