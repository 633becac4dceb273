/* include.h - `include`: other graph files. */
#ifndef MF_GRAPH_INCLUDE_H
#define MF_GRAPH_INCLUDE_H

#include "graph/data/graph_private.h"

/* Reads a file that is opened as far as errors leave sense in it. `set` (may be NULL) is that of an
 * include. */
typedef mf_status (*mf__reading)(mf_graph *g, const mf_setting *settings, size_t count,
                                 const yaml *set, bool *good);
/* Reads the included files whole, and theirs, each with `read`. */
MF_MUST_USE mf_status mf__read_includes(mf_graph *g, mf__reading read, bool *good);
/* All stages of a file and of those below it, sources first, into root->all. */
void mf__collect_stages(mf_graph *g, mf_graph *root);

#endif
