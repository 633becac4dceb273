/* lookup.h - stages by the names that a file gives them, also of included files. */
#ifndef MF_GRAPH_LOOKUP_H
#define MF_GRAPH_LOOKUP_H

#include "graph/data/graph_private.h"

/* The stage that a text begins with, as in "scan", "pre.scan", and the length of its name; NULL
 * for none. *in is the file that was looked in last, *at where in the text its part begins. */
stage_def *mf__find_source(mf_graph *g, const char *text, size_t *length, mf_graph **in,
                           size_t *at);
/* The name nearest to one that `in` does not have, as it would be written in `g`; NULL for none. */
const char *mf__near_source(const mf_graph *g, const mf_graph *in, const char *label);

#endif
