/* report.h - errors at a place of a graph file. */
#ifndef MF_GRAPH_REPORT_H
#define MF_GRAPH_REPORT_H

#include "graph/data/graph_private.h"

/* An error at a node; always returns false. */
bool mf__graph_error(mf_graph *g, const yaml *node, const char *format, ...) MF_PRINTF(3, 4);
/* The same for a status, which is freed; `who` stands before its message when not NULL. */
bool mf__graph_status(mf_graph *g, const yaml *node, const char *who, mf_status status);
/* "'x' is set in line 3" or "by --set", where a value came from a parameter. */
void mf__graph_note_param(mf_graph *g, const graph_param *param);
/* A key that is not of `names`: the error, with the nearest of them. */
bool mf__graph_unknown(mf_graph *g, const yaml *key, const char *what, const char *const *names,
                       size_t count);

#endif
