/* splice.h - parameters of the graph, and what "${...}" stands for. */
#ifndef MF_GRAPH_SPLICE_H
#define MF_GRAPH_SPLICE_H

#include "graph/data/graph_private.h"

/* A value with everything spliced in. */
typedef struct given {
    bool list;
    const char *text;   /* a scalar */
    const char **texts; /* a list */
    size_t count;
    const char *base;   /* folder that a relative path starts from */
    bool of_node;       /* begins with a column of the case or an axis */
    bool cell;          /* the value is a column of the case alone */
    graph_param *param; /* the value is this parameter alone */
} given;

/* Where a value stands: whose case and axes "${...}" means. */
typedef struct here {
    const stage_def *def; /* NULL: no stage, so neither case nor axes */
    const uint32_t *at;   /* value of each axis of `def`, by axis; NULL: not known yet */
    bool command;         /* for a parameter marked MF_COMMAND: what is spliced in is one piece */
} here;

bool mf__read_params(mf_graph *g, const mf_setting *settings, size_t count);
/* Takes over the values of `set` in an include. */
bool mf__apply_set(mf_graph *g, const yaml *set);
/* Resolves "${x}": a parameter, an axis of the stage, "${case.x}"; without `h` only parameters. On
 * failure reports and returns false. */
bool mf__resolve(mf_graph *g, const yaml *node, const here *h, given *v);
/* Makes a list of the text "[1, 2]" that a column holds; true and no change for another text. */
bool mf__list_in_cell(mf_graph *g, const yaml *node, given *v);
/* The same as resolve for a bare text. Without h->at what depends on the node stays as it is. */
bool mf__resolve_text(mf_graph *g, const yaml *node, const char *text, const here *h,
                      const char **out);
/* The axes that a value mentions: of "${case.x}" that is `case`. */
uint32_t mf__mentions(const mf_graph *g, const yaml *node);
uint32_t mf__mentions_text(const mf_graph *g, const char *text);

#endif
