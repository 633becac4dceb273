/* typed.h - stages as the file writes them: their names, what they use, `each`, `where`. */
#ifndef MF_GRAPH_TYPED_H
#define MF_GRAPH_TYPED_H

#include "graph/data/graph_private.h"

bool mf__read_stages(mf_graph *g); /* labels, stages used, each, where */
/* Reports a key that is right at another place: true. `where` is "use" (beside it), "with" or "in".
 */
bool mf__graph_misplaced(mf_graph *g, const stage_def *def, const yaml *key, const char *where);
/* The keys of a stage, for the schema. */
const char *const *mf__graph_stage_keys(size_t *count);

#endif
