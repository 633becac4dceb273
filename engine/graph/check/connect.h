/* connect.h - what goes into the ports of a stage. */
#ifndef MF_GRAPH_CONNECT_H
#define MF_GRAPH_CONNECT_H

#include "graph/data/graph_private.h"

/* Ports: references, types, gathering, required ones. */
bool mf__connect_stage(mf_graph *g, stage_def *def);
bool mf__order_stages(mf_graph *g); /* topological order, or the cycle */
/* "in volume: volume - Scan." for notes. */
void mf__note_port(mf_graph *g, const mf_stage *stage, const mf_port *port, bool out);

#endif
