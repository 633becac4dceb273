/* example_params.h - with which parameters mass.segment is to work for a model of the user's graph:
 * those that the graph itself has for it. */
#ifndef MASSFLOW_DESK_EXAMPLE_PARAMS_H
#define MASSFLOW_DESK_EXAMPLE_PARAMS_H

#include <massflow/embed.h>

#include <json-c/json.h>

/* Of the node of a stage mass.segment: one that reads the model, else any. Where the graph has
 * none, spacing and clipping of the mass.prepare, and the patch size of the views or crops, that
 * the model was trained on. `model`: an output, "model[seed=1].model". *params: name and value, to
 * be put; *from: the nodes that they were taken from, in words, for free(). MF_NOT_FOUND where the
 * graph says nothing. */
MF_MUST_USE mf_status example_params(const mf_workspace *w, const char *model, json_object **params,
                                     char **from);

#endif
