/* click_graph.h - the graph by which a click becomes a result: the user's own, with three stages
 * on top of it. So a mask is kept, known and found again as every other result is. */
#ifndef MASSFLOW_DESK_CLICK_GRAPH_H
#define MASSFLOW_DESK_CLICK_GRAPH_H

#include <massflow/embed.h>

/* What is prompted. */
typedef struct click_prompts {
    int axis;          /* of arrays: 0 z, 1 y, 2 x */
    size_t count;      /* points */
    const double *xyz; /* [count, 3] RAS+ mm */
    const int *labels; /* [count] 1 inside, 0 outside */
    const double *box; /* [6] two corners, RAS+ mm; or NULL */
} click_prompts;

typedef struct click_graph {
    const char *folder;         /* that it is written in */
    const char *graph;          /* the user's file, absolute */
    const mf_setting *settings; /* of that */
    size_t setting_count;
    const char *volume;  /* the output of the user's graph: "scan[case=012].volume" */
    const char *model;   /* the same of a model; or NULL: */
    const char *weights; /* a file */
} click_graph;

/* Makes the folder where it is missing, and waits until nobody else has the file there: the desks
 * of one cache share it. It is to be held from writing until the graph has been opened, so that a
 * click never runs what another one asked for. *lock for close(). */
MF_MUST_USE mf_status click_graph_lock(const click_graph *g, int *lock);
/* Writes the graph with the stages `slices` (window.rgb), `model` where it has a file, and, where
 * prompts are given, `object` (sam2.segment); *path for free(). The settings are parameters set_0,
 * set_1, ... of it, so that paths in them start where they did. */
MF_MUST_USE mf_status click_graph_write(const click_graph *g, const click_prompts *prompts,
                                        char **path);
/* What the stage of the model is called there. */
const char *click_graph_model(const click_graph *g, char *room, size_t size);

#endif
