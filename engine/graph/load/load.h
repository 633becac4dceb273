/* load.h - the keys of a graph file. */
#ifndef MF_GRAPH_LOAD_H
#define MF_GRAPH_LOAD_H

#include "graph/data/graph_private.h"

/* For the schema. */
const char *const *mf__graph_root_keys(size_t *count);

#endif
