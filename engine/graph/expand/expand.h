/* expand.h - nodes and their edges. */
#ifndef MF_GRAPH_EXPAND_H
#define MF_GRAPH_EXPAND_H

#include "graph/data/graph_private.h"

bool mf__expand(mf_graph *g); /* nodes and their edges; selections are made here */

#endif
