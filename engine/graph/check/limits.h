/* limits.h - how nodes are run: isolate, timeout, retries, memory, pool. */
#ifndef MF_GRAPH_LIMITS_H
#define MF_GRAPH_LIMITS_H

#include "graph/data/graph_private.h"

bool mf__read_isolate(mf_graph *g);                /* of the whole graph */
bool mf__read_limits(mf_graph *g, stage_def *def); /* limits.c: all of them */

#endif
