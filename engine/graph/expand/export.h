/* export.h - files that are wanted outside the cache. */
#ifndef MF_GRAPH_EXPORT_H
#define MF_GRAPH_EXPORT_H

#include "graph/data/graph_private.h"

bool mf__read_exports(mf_graph *g);

#endif
