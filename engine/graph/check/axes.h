/* axes.h - `axes`: lists of values beside the cases. */
#ifndef MF_GRAPH_AXES_H
#define MF_GRAPH_AXES_H

#include "graph/data/graph_private.h"

bool mf__read_axes(mf_graph *g);

#endif
