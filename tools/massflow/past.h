/* past.h - what the commands that tell of earlier runs share: which cache, which run, in words. */
#ifndef MF_PAST_H
#define MF_PAST_H

#include "workspace.h"

/* What the operands [GRAPH] [RUN] [NODE] name; any of them may be left out. */
typedef struct past {
    mf_store *store;
    char *graph;      /* absolute, or NULL for all */
    int64_t run;      /* 0: the newest */
    const char *node; /* or NULL */
} past;

/* Opens the cache: --cache, else .massflow beside GRAPH or in the current folder. 0, or an exit
 * code after printing why not. */
int past_open(const args *a, past *p);
void past_close(past *p);

/* The run that is meant, with its nodes in the order they started, those that did not start last.
 * The caller frees both. */
MF_MUST_USE mf_status past_run(const past *p, mf_run_entry **run, mf_run_node **nodes,
                               size_t *count);

/* "2026-11-25 07:02:11", local time */
void words_time(int64_t seconds, char text[32]);
/* "done", "killed"; and how long it took, or "" where that is not known */
void words_took(const mf_run_entry *run, char text[32]);
/* "10 done, 2 cached, 1 failed": counts that are not 0 */
void words_counts(const mf_run_entry *run, char text[160]);
/* "300 nodes ran on 12 workers"; false where all ran in the process of the run. */
bool words_workers(const mf_run_node *nodes, size_t count, char text[80]);

#endif
