/* graph.c - the command graph: a graph file checked, as text or drawn. */
#include "report/graph_svg.h"
#include "workspace.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mf_status put_words(const mf_graph *graph, bool dot, FILE *out)
{
    char *text = dot ? mf_graph_dot(graph) : mf_graph_text(graph);

    if (!text)
        return mf_fail(MF_NO_MEMORY, "no memory for the answer");
    fputs(text, out);
    free(text);
    return MF_OK;
}

/* What is cached is shown where there is a cache, or where one is named. */
static int draw(const args *a, FILE *out)
{
    workspace w;
    mf_plan *plan = NULL;
    mf_status error;
    int code = workspace_open(a, MF_STORE_READ, &w);

    if (code)
        return code;
    w.looking = true;
    if (w.store)
        code = workspace_plan(a, &w, NULL, 0, &plan);
    if (!code) {
        error = graph_svg(out, w.graph, plan, true);
        if (error)
            code = command_fail(error, EXIT_FAILED);
    }
    mf_plan_free(plan);
    workspace_close(&w);
    return code;
}

static int write_graph(const args *a, FILE *out)
{
    mf_registry *registry;
    mf_graph *g;
    mf_status error;
    int code;

    if (args_has(a, "svg"))
        return draw(a, out);
    code = open_graph(a, &registry, &g);
    if (code)
        return code;
    error = put_words(g, args_has(a, "dot"), out);
    mf_graph_free(g);
    mf_registry_free(registry);
    return error ? command_fail(error, EXIT_FAILED) : EXIT_DONE;
}

static int graph(const args *a)
{
    const char *file = args_value(a, "output");
    FILE *out = stdout;
    int code;

    if (args_has(a, "dot") && args_has(a, "svg"))
        return command_refuse("either --dot or --svg");
    if (file)
        out = fopen(file, "we");
    if (!out)
        return command_refuse("%s: %s", file, strerror(errno));
    code = write_graph(a, out);
    if (file && fclose(out) != 0 && !code)
        code = command_fail(mf_fail(MF_IO, "%s: %s", file, strerror(errno)), EXIT_FAILED);
    if (file && code)
        remove(file);
    return code;
}

static const option graph_options[] = {
    {0, "svg", NULL, "as a drawing, coloured by what is cached"},
    {0, "dot", NULL, "as Graphviz: massflow graph GRAPH --dot | dot -Tsvg"},
    {'o', "output", "FILE", "to a file instead of the terminal"},
    OPTION_SET,
    OPTION_CACHE,
    OPTION_CODE,
    OPTION_PLUGINS,
    OPTION_END};

const command command_graph = {
    "graph", "GRAPH", "check a graph and show it", NULL, graph_options, 1, 1, graph};
