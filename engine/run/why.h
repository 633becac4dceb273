/* why.h - what changed between two keys, in words. */
#ifndef MASSFLOW_RUN_WHY_H
#define MASSFLOW_RUN_WHY_H

#include "run/plan.h"

/* One component: "parameter interval", "input volume", "content of path", "code". */
typedef struct mf_change {
    char *name;
    char *before, *after; /* NULL: not there */
} mf_change;

typedef struct mf_changes {
    mf_change *items;
    size_t count, room;
} mf_changes;

/* Both are components as mf_key_components makes them. */
mf_status mf_changes_between(const char *before, const char *after, mf_changes *changes);
void mf_changes_clear(mf_changes *changes);

typedef enum mf_why_kind {
    MF_WHY_UNKNOWN, /* inputs that are not known yet decide */
    MF_WHY_SAME,    /* cached: nothing changed */
    MF_WHY_NEW,     /* never run in this graph */
    MF_WHY_CHANGED,
    MF_WHY_MISSING /* nothing changed, but the result or its data is not in the store any more */
} mf_why_kind;

/* Compares node i of a plan with what it was when it was last run under another key. `graph` is
 * the graph file's absolute path. */
mf_status mf_why_node(mf_plan *plan, size_t i, const char *graph, mf_why_kind *kind,
                      mf_changes *changes);

/* The node above that decides: the first one that is to be run and that node i waits for; the
 * plan's count where there is none. */
size_t mf_why_above(mf_plan *plan, size_t i);

#endif
