/* skip.h - `skip_failed`: a stage that gathers goes on with what came through. */
#ifndef MASSFLOW_RUN_SKIP_H
#define MASSFLOW_RUN_SKIP_H

#include "run/plan/plan.h"

/* Whether node n can do without what the edge brings: its stage says `skip_failed`, and it is one
 * of many. */
bool mf_skip_edge(const mf_plan *plan, const mf_plan_node *n, const mf_edge *edge);
/* Whether node n gathers what comes from i, so that `skip_failed`, which it lacks, would help it.
 */
bool mf_skip_could(const mf_plan *plan, const mf_plan_node *n, size_t i);
/* All that node n waits for is decided: sets n->skipped, and n->message to what is left out.
 * `data`: also that of which only the data is lost. */
MF_MUST_USE mf_status mf_skip_choose(mf_plan *plan, mf_plan_node *n, bool data);
/* Whether an edge is left out. What fails for a case is left out with all else that is gathered of
 * that case, so that lists which belong together (predictions and truth) stay so; where there is no
 * case, with what has the same axes. */
bool mf_skip_has(const mf_plan *plan, const mf_plan_node *n, const mf_edge *edge);
/* Nothing of an input is left: why node n is blocked. The caller frees; NULL without memory. */
char *mf_skip_none_left(const mf_plan *plan, const mf_input *input);

#endif
