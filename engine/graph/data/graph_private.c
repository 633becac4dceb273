/* graph_private.c - questions about a graph, and its end. */
#include "graph/data/graph_private.h"
#include <stdlib.h>

/* What does not lie in the arena. */
static void free_file(mf_graph *g)
{
    for (size_t i = 0; i < g->include_count; i++)
        free_file(g->includes[i].graph);
    for (size_t i = 0; i < g->def_count; i++)
        for (size_t k = 0; k < g->defs[i].param_count; k++)
            if (g->defs[i].params[k])
                mf_params_unref(g->defs[i].params[k]);
    mf__names_free(&g->param_names);
    mf__names_free(&g->labels);
    free(g->passed);
    free(g->tables);
}

void mf_graph_free(mf_graph *g)
{
    if (!g)
        return;
    free_file(g);
    free(g->all);
    free(g->exports);
    mf__names_free(&g->reads.files);
    free(g->reads.numbers);
    mf_arena_free(g->arena);
}

/* ---- asking ------------------------------------------------------------------------------------
 */

const char *mf_graph_path(const mf_graph *g)
{
    return g->path;
}

const char *mf_graph_folder(const mf_graph *g)
{
    return g->folder;
}

size_t mf_graph_param_count(const mf_graph *g)
{
    return g->param_count;
}

const char *mf_graph_param(const mf_graph *g, size_t i)
{
    return g->params[i].name;
}

size_t mf_graph_case_count(const mf_graph *g)
{
    return g->case_count;
}

const mf_case *mf_graph_case(const mf_graph *g, size_t i)
{
    return &g->cases[i];
}

size_t mf_graph_column_count(const mf_graph *g)
{
    return g->column_count;
}

const char *mf_graph_column(const mf_graph *g, size_t i)
{
    return g->columns[i];
}

size_t mf_graph_node_count(const mf_graph *g)
{
    return g->node_count;
}

const mf_node *mf_graph_node(const mf_graph *g, size_t i)
{
    return &g->nodes[i];
}

size_t mf_graph_stage_count(const mf_graph *g)
{
    return g->all_count;
}

const mf_graph_stage *mf_graph_stage_at(const mf_graph *g, size_t i)
{
    return &g->stages[i];
}

size_t mf_graph_export_count(const mf_graph *g)
{
    return g->export_count;
}

const mf_export *mf_graph_export(const mf_graph *g, size_t i)
{
    return &g->exports[i];
}
