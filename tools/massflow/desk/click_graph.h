/* click_graph.h - the stages by which a click becomes a result, on top of the user's graph
 * (own_graph.h). */
#ifndef MASSFLOW_DESK_CLICK_GRAPH_H
#define MASSFLOW_DESK_CLICK_GRAPH_H

#include "own_graph.h"

/* What is prompted. */
typedef struct click_prompts {
    int axis;          /* of arrays: 0 z, 1 y, 2 x */
    size_t count;      /* points */
    const double *xyz; /* [count, 3] RAS+ mm */
    const int *labels; /* [count] 1 inside, 0 outside */
    const double *box; /* [6] two corners, RAS+ mm; or NULL */
} click_prompts;

typedef struct click_graph {
    char *volume;                 /* the output of the user's graph: "scan.volume[case=012]" */
    char *model;                  /* the same of a model; or NULL: */
    char *weights;                /* a file */
    const click_prompts *prompts; /* NULL: the model alone is made ready */
} click_graph;

/* Writes the stages `slices` (window.rgb), `model` where it has a file, and, where prompts are
 * given, `object` (sam2.segment): for own_graph_write. */
void click_graph_put(FILE *f, const void *graph);
/* The weights of the small SAM 2 that comes along; *path for free(). */
MF_MUST_USE mf_status click_graph_weights(char **path);
/* What the stage of the model is called there. */
const char *click_graph_model(const click_graph *g, char *room, size_t size);

#endif
