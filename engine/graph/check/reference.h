/* reference.h - "stage.port[terms]", and comparisons in it. */
#ifndef MF_GRAPH_REFERENCE_H
#define MF_GRAPH_REFERENCE_H

#include "graph/data/graph_private.h"

/* `def` is the consumer, NULL for an export. `text`: that of the node, or what its axes make of it.
 */
bool mf__parse_reference(mf_graph *g, const stage_def *def, const yaml *node, const char *text,
                         reference *ref);
/* Whether a column's text stands in this relation to a value. */
bool mf__compare_values(const char *column, const char *left, compare op, const char *right);
/* False after reporting a number with a decimal comma, which would compare as text. */
bool mf__check_comparison(mf_graph *g, const yaml *node, const char *column, const char *left,
                          compare op, const char *right);

#endif
