/* with.h - the parameters of a stage. */
#ifndef MF_GRAPH_WITH_H
#define MF_GRAPH_WITH_H

#include "graph/data/graph_private.h"

/* Parameters of a stage, for all its nodes or for each. */
MF_MUST_USE mf_status mf__read_with(mf_graph *g, stage_def *def, bool *good);

#endif
