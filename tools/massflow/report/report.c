/* report.c - the command report: one page about a graph and the run that made its results. */
#include "report.h"
#include "../past.h"
#include "run/output/partial.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    const mf_plan_node *const *x = a, *const *y = b;
    return strcmp((*x)->node->name, (*y)->node->name);
}

/* The plan's nodes in order of name; free with free(). NULL when memory is short. */
static const mf_plan_node **sorted_nodes(mf_plan *plan)
{
    size_t count = mf_plan_count(plan);
    const mf_plan_node **nodes = calloc(count + 1, sizeof(mf_plan_node *));

    for (size_t i = 0; nodes && i < count; i++)
        nodes[i] = mf_plan_at(plan, i);
    if (nodes)
        qsort(nodes, count, sizeof(mf_plan_node *), by_name);
    return nodes;
}

/* Whether a node ran, well or not, as the action that it is in the plan. */
static bool worked(const mf_run_node *ran, const mf_plan_node *const *plan, size_t count)
{
    const mf_node named = {.name = ran->node};
    const mf_plan_node key = {.node = &named}, *wanted = &key;
    const mf_plan_node *const *found;

    if (!ran->key || ran->outcome == MF_NODE_CACHED || ran->outcome == MF_NODE_BLOCKED)
        return false;
    found = bsearch(&wanted, plan, count, sizeof(mf_plan_node *), by_name);
    return found && !strcmp((*found)->key, ran->key);
}

/* Takes the run's nodes when some of them worked for what the plan holds. */
static mf_status try_run(report *r, mf_run_entry *run, const mf_plan_node *const *plan)
{
    past p = {.store = r->w->store, .run = run->id};
    mf_run_entry *copy = NULL;
    const int64_t *c = run->counts;

    if (!(c[MF_NODE_DONE] + c[MF_NODE_FAILED] + c[MF_NODE_CANCELLED] + c[MF_NODE_RUNNING]))
        return MF_OK;
    MF_TRY(past_run(&p, &copy, &r->nodes, &r->node_count));
    mf_run_list_free(copy, copy ? 1 : 0);
    for (size_t i = 0; i < r->node_count && !r->run; i++)
        if (worked(&r->nodes[i], plan, mf_plan_count(r->plan)))
            r->run = run;
    if (!r->run) {
        mf_run_node_list_free(r->nodes, r->node_count);
        r->nodes = NULL;
        r->node_count = 0;
    }
    return MF_OK;
}

/* The newest run that did any of this plan's work: a run of other parameters, or one that found
 * all cached, has nothing to show of it. */
static mf_status find_run(report *r)
{
    const mf_plan_node **plan;
    mf_status status = MF_OK;

    if (!r->w->store)
        return MF_OK;
    MF_TRY(mf_store_list_runs(r->w->store, r->w->graph_path, 0, &r->runs, &r->run_count));
    plan = sorted_nodes(r->plan);
    if (!plan)
        return mf_no_memory(0, "the report");
    for (size_t i = 0; i < r->run_count && !r->run && !status; i++)
        status = try_run(r, &r->runs[i], plan);
    free(plan);
    return status;
}

static mf_status write_page(report *r, const char *path, const mf_output_rule *rule)
{
    mf_output *output;
    mf_status status;

    mf_partials_sweep(path);
    MF_TRY(mf_output_begin(path, rule, NULL, &output));
    r->out = fopen(mf_output_file(output), "we");
    if (!r->out) {
        status = mf_fail(MF_IO, "%s: %s", path, strerror(errno));
        mf_output_drop(output);
        return status;
    }
    status = report_write(r);
    errno = 0;
    if ((ferror(r->out) | fclose(r->out)) != 0 && !status)
        status = mf_fail(MF_IO, "%s: %s", path, errno ? strerror(errno) : "writing failed");
    if (!status)
        return mf_output_end(output, NULL);
    mf_output_drop(output);
    return status;
}

static int report_command(const args *a)
{
    const char *path = args_value(a, "output");
    workspace w;
    report r = {.a = a, .w = &w};
    mf_output_rule rule;
    mf_status status;
    int code;

    if (!path)
        return command_refuse("where to? massflow report %s -o report.html", args_at(a, 0));
    code = workspace_open(a, MF_STORE_READ, &w);
    if (code)
        return code;
    w.looking = true;
    code = workspace_rule(a, &w, false, &rule);
    if (!code)
        code = workspace_plan(a, &w, args_all(a) + 1, args_count(a) - 1, &r.plan);
    if (!code) {
        status = find_run(&r);
        if (!status)
            status = write_page(&r, path, &rule);
        if (status)
            code = command_fail(status, EXIT_FAILED);
        else
            printf("%s\n", path);
    }
    mf_run_node_list_free(r.nodes, r.node_count);
    mf_run_list_free(r.runs, r.run_count);
    mf_plan_free(r.plan);
    workspace_close(&w);
    return code;
}

static const option report_options[] = {{'o', "output", "FILE.html", "output file"},
                                        OPTION_FORCE,
                                        OPTION_SET,
                                        OPTION_CASE,
                                        OPTION_CACHE,
                                        OPTION_CODE,
                                        OPTION_PLUGINS,
                                        OPTION_END};

const command command_report = {
    "report",
    "GRAPH [TARGET...]",
    "write an HTML page: graph, timeline, curves, tables, images, parameters, provenance",
    "The page is self-contained: its images are inside, it needs no network and no scripts.",
    report_options,
    1,
    -1,
    report_command};
