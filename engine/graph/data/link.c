/* link.c - which stages read what of which others. */
#include "graph/data/graph_private.h"

#include <stdlib.h>

static bool is_list(const mf_port *port)
{
    mf_port_type type;

    return mf_port_type_parse(port->type, &type) && type.shape == MF_PORT_LIST;
}

/* Links to one stage are neighbours, for so are its nodes. */
static mf_graph_link *find(mf_graph_link *links, size_t count, const mf_graph_link *wanted)
{
    while (count-- > 0 && links[count].to == wanted->to)
        if (links[count].from == wanted->from && links[count].port == wanted->port)
            return &links[count];
    return NULL;
}

static mf_status add(mf_graph_link **links, size_t *count, size_t *room, const mf_graph_link *link)
{
    mf_graph_link *known = find(*links, *count, link);

    if (known) {
        known->gathers |= link->gathers;
        return MF_OK;
    }
    if (*count == *room) {
        size_t more = *room ? 2 * *room : 64;
        mf_graph_link *grown = realloc(*links, more * sizeof *grown);
        if (!grown)
            return mf_no_memory(more * sizeof *grown, "the links of a graph");
        *links = grown;
        *room = more;
    }
    (*links)[(*count)++] = *link;
    return MF_OK;
}

static mf_status collect(const mf_graph *g, mf_graph_link **links, size_t *count)
{
    size_t room = 0;

    for (size_t i = 0; i < g->node_count; i++) {
        const mf_node *n = &g->nodes[i];
        for (size_t p = 0; p < n->input_count; p++) {
            bool gathers = is_list(&n->stage->in[p]);
            for (size_t k = 0; k < n->inputs[p].count; k++) {
                const mf_edge *e = &n->inputs[p].edges[k];
                const mf_graph_link link = {g->nodes[e->node].group, e->port, n->group, gathers};
                MF_TRY(add(links, count, &room, &link));
            }
        }
    }
    return MF_OK;
}

mf_status mf_graph_links(const mf_graph *g, mf_graph_link **links, size_t *count)
{
    *links = NULL;
    *count = 0;
    mf_status status = collect(g, links, count);
    if (status) {
        free(*links);
        *links = NULL;
    }
    return status;
}
