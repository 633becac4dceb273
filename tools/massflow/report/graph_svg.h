/* graph_svg.h - a graph drawn by stages: boxes in layers, lines with the types that flow. */
#ifndef MF_REPORT_GRAPH_SVG_H
#define MF_REPORT_GRAPH_SVG_H

#include "run/plan/plan.h"
#include <stdio.h>

/* `plan`: colours and counts of what is cached; NULL: without. `standalone`: a file of its own,
 * else a part of an HTML page. */
MF_MUST_USE mf_status graph_svg(FILE *out, const mf_graph *graph, mf_plan *plan, bool standalone);

#endif
