/* own_graph.h - a graph of the desk's own: the user's, with some stages on top of it. So what a
 * page asks for is kept, known and found again as every other result is. */
#ifndef MASSFLOW_DESK_OWN_GRAPH_H
#define MASSFLOW_DESK_OWN_GRAPH_H

#include <massflow/embed.h>

#include <stdio.h>

typedef struct own_graph {
    const char *folder;         /* that it is written in */
    const char *graph;          /* the user's file, absolute */
    const mf_setting *settings; /* of that */
    size_t setting_count;
} own_graph;

/* Makes the folder where it is missing, and waits until nobody else has the files there: the desks
 * of one cache share it. It is to be held from writing until the graph has been opened, so that
 * nobody runs what another one asked for. *lock for close(). */
MF_MUST_USE mf_status own_graph_lock(const own_graph *g, int *lock);
/* Writes the file `name` of the folder: the user's graph, and what `put` writes below `stages:`;
 * *path for free(). The settings are parameters set_0, set_1, ... of it, so that paths in them
 * start where they did. */
MF_MUST_USE mf_status own_graph_write(const own_graph *g, const char *name,
                                      void (*put)(FILE *f, const void *self), const void *self,
                                      char **path);

/* For `put`: a text in quotes, and a port that reads a result of the user's graph. */
void own_graph_put_text(FILE *f, const char *text);
void own_graph_put_result(FILE *f, const char *port, const char *output);

#endif
