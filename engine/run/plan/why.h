/* why.h - what changed between two keys, in words. */
#ifndef MASSFLOW_RUN_WHY_H
#define MASSFLOW_RUN_WHY_H

#include "run/plan/plan.h"

/* One component: "parameter interval", "input volume", "content of path", "code". */
typedef struct mf_change {
    char *name;
    char *before, *after; /* NULL: not there */
} mf_change;

typedef struct mf_changes {
    mf_change *items;
    size_t count;
} mf_changes;

/* Both are components as mf_key_components makes them. */
MF_MUST_USE mf_status mf_changes_between(const char *before, const char *after,
                                         mf_changes *changes);
void mf_changes_clear(mf_changes *changes);

typedef enum mf_why_kind {
    MF_WHY_UNKNOWN,   /* inputs that are not known yet decide */
    MF_WHY_SAME,      /* cached: nothing changed */
    MF_WHY_NEW,       /* this graph never ran */
    MF_WHY_NEW_STAGE, /* the graph ran, but without a stage of this name */
    MF_WHY_NEW_NODE,  /* the stage ran, but not for this case and these values of its axes */
    MF_WHY_RENAMED,   /* as NEW_NODE, and only the case's id is not that of the node `other` */
    MF_WHY_CHANGED,
    MF_WHY_MISSING, /* nothing changed, but the result is not in the store any more */
    MF_WHY_DROPPED, /* nothing changed, but its data was dropped and is needed */
    MF_WHY_ANEW,    /* nothing changed, but it is asked for again */
    MF_WHY_DEVICE   /* nothing changed, but only the device `other` made it (--same-device) */
} mf_why_kind;

typedef struct mf_why {
    mf_why_kind kind;
    mf_changes changes; /* since the node last ran under another key, or, of a new one, since
                           `other` did */
    char *other;        /* NULL where none */
} mf_why;

/* Compares node i of a plan with what it was when it was last run under another key. `graph` is
 * the graph file's absolute path. Clear also after an error. */
MF_MUST_USE mf_status mf_why_node(mf_plan *plan, size_t i, const char *graph, mf_why *why);
void mf_why_clear(mf_why *why);

/* The first node that is to be run and reads the data of node i, itself or through a stream; the
 * plan's count where there is none. */
size_t mf_why_needs(mf_plan *plan, size_t i);

/* The node above that decides: the first one that is to be run and that node i waits for; the
 * plan's count where there is none. */
size_t mf_why_above(mf_plan *plan, size_t i);

#endif
