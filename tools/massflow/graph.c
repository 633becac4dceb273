/* graph.c - the command graph: a graph file checked, as text or drawn. */
#include "report/graph_svg.h"
#include "run/output/partial.h"
#include "workspace.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mf_status put_words(const mf_graph *graph, bool dot, FILE *out)
{
    char *text = dot ? mf_graph_dot(graph) : mf_graph_text(graph);

    if (!text)
        return mf_no_memory(0, "the answer");
    fputs(text, out);
    free(text);
    return MF_OK;
}

/* What is cached is shown where there is a cache, or where one is named. */
static int draw(const args *a, workspace *w, FILE *out)
{
    mf_plan *plan = NULL;
    mf_status status;
    int code = workspace_open(a, MF_STORE_READ, w);

    if (code)
        return code;
    w->looking = true;
    if (w->store)
        code = workspace_plan(a, w, NULL, 0, &plan);
    if (!code) {
        status = graph_svg(out, w->graph, plan, true);
        if (status)
            code = command_fail(status, EXIT_FAILED);
    }
    mf_plan_free(plan);
    return code;
}

static int write_graph(const args *a, workspace *w, FILE *out)
{
    mf_status status;
    int code;

    if (args_has(a, "svg"))
        return draw(a, w, out);
    code = open_graph(a, &w->registry, &w->graph);
    if (code)
        return code;
    status = put_words(w->graph, args_has(a, "dot"), out);
    return status ? command_fail(status, EXIT_FAILED) : EXIT_DONE;
}

static mf_status put_text(const char *path, const char *file, const char *text)
{
    FILE *out = fopen(file, "we");
    bool bad = !out || fputs(text, out) == EOF;

    if (out)
        bad |= fclose(out) != 0;
    return bad ? mf_fail(MF_IO, "%s: %s", path, strerror(errno)) : MF_OK;
}

static mf_status put_file(const char *path, const char *text, const mf_output_rule *rule)
{
    mf_output *output;
    mf_status status;

    mf_partials_sweep(path);
    MF_TRY(mf_output_begin(path, rule, NULL, &output));
    status = put_text(path, mf_output_file(output), text);
    if (!status)
        return mf_output_end(output, NULL);
    mf_output_drop(output);
    return status;
}

/* Once all of it is known: a graph that is wrong leaves the file as it was. */
static int write_file(const args *a, workspace *w, const char *path)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    mf_output_rule rule;
    int code;

    if (!out)
        return command_fail(mf_no_memory(0, "the graph"), EXIT_FAILED);
    code = write_graph(a, w, out);
    if (fclose(out) != 0 && !code)
        code = command_fail(mf_no_memory(0, "the graph"), EXIT_FAILED);
    if (!code)
        code = workspace_rule(a, w, true, &rule);
    if (!code) {
        mf_status status = put_file(path, text, &rule);
        if (status)
            code = command_fail(status, EXIT_FAILED);
    }
    free(text);
    return code;
}

static int graph(const args *a)
{
    const char *file = args_value(a, "output");
    workspace w = {0};
    int code;

    if (args_has(a, "dot") && args_has(a, "svg"))
        return command_refuse("--dot and --svg exclude each other");
    code = file ? write_file(a, &w, file) : write_graph(a, &w, stdout);
    workspace_close(&w);
    return code;
}

static const option graph_options[] = {
    {0, "svg", NULL, "draw the graph; the colour shows what is cached"},
    {0, "dot", NULL, "in Graphviz format: massflow graph GRAPH --dot | dot -Tsvg"},
    {'o', "output", "FILE", "output file instead of the terminal"},
    OPTION_FORCE,
    OPTION_SET,
    OPTION_CACHE,
    OPTION_CODE,
    OPTION_PLUGINS,
    OPTION_END};

const command command_graph = {
    "graph", "GRAPH", "check a graph and show it", NULL, graph_options, 1, 1, graph};
