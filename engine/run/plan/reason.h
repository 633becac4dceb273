/* reason.h - why a node is to run, in words. */
#ifndef MASSFLOW_RUN_REASON_H
#define MASSFLOW_RUN_REASON_H

#include "run/plan/why.h"

#include <stdio.h>

/* One line's worth, without a line's end: "parameter sizes: [16] -> [20] (and 1 more)". */
void mf_why_in_short(FILE *out, mf_plan *plan, size_t i, const mf_why *why);
/* The node, the kind of change, and each of the changes on a line of its own. */
void mf_why_in_full(FILE *out, mf_plan *plan, size_t i, const mf_why *why);
void mf_why_changes(FILE *out, const mf_changes *changes);

/* Node i of a plan in one line's worth, whatever its state; `graph` as in mf_why_node. */
void mf_reason_in_short(FILE *out, mf_plan *plan, size_t i, const char *graph);
/* Node i, and those above that decide, with all changes. `made` (may be NULL) tells where the
 * result of a cached one is from. */
typedef mf_status (*mf_reason_made)(void *self, const mf_plan_node *n);
MF_MUST_USE mf_status mf_reason_in_full(FILE *out, mf_plan *plan, size_t i, const char *graph,
                                        mf_reason_made made, void *self);

#endif
