/* params_json.h - parameters of stages and of graphs as JSON, for programs that ask for them. */
#ifndef MASSFLOW_EMBED_PARAMS_JSON_H
#define MASSFLOW_EMBED_PARAMS_JSON_H

#include "graph/data/graph.h"

#include <json-c/json.h>

/* name, kind, help, and where it has them default, unit, choices, range. */
json_object *mf_param_json(const mf_param *param);
/* See mf_workspace_node_params_json. */
json_object *mf_node_params_json(const mf_node *node);
/* See mf_workspace_params_json. */
json_object *mf_graph_params_json(const mf_graph *graph);

#endif
