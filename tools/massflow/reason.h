/* reason.h - why a node is to run, in words. */
#ifndef MF_REASON_H
#define MF_REASON_H

#include "run/plan/why.h"

/* One line's worth, without a line's end: "parameter sizes: [16] -> [20] (and 1 more)". */
void why_in_short(mf_plan *plan, size_t i, const mf_why *why);
/* The node, the kind of change, and each of the changes on a line of its own. */
void why_in_full(mf_plan *plan, size_t i, const mf_why *why);
void why_changes(const mf_changes *changes);

#endif
