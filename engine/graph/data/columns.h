/* columns.h - ids of cases, and the columns that cases have. */
#ifndef MF_GRAPH_COLUMNS_H
#define MF_GRAPH_COLUMNS_H

#include "graph/data/graph_private.h"

bool mf__good_id(const char *id); /* can name a node: "scan[case=ID]" */
bool mf__has_column(const mf_graph *g, const char *column);
/* The note that lists the columns. */
void mf__note_columns(mf_graph *g);

#endif
