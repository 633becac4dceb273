/* command.c - the command report: one page about a graph and its last run. */
#include "../past.h"
#include "report.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The newest run that ran anything: one that found all cached has nothing to show. */
static mf_status find_run(report *r)
{
    past p = {.store = r->w->store};
    mf_run_entry *copy;
    mf_status status;

    if (!r->w->store)
        return MF_OK;
    MF_TRY(mf_store_list_runs(r->w->store, r->w->graph_path, 0, &r->runs, &r->run_count));
    for (size_t i = 0; i < r->run_count && !r->run; i++) {
        const int64_t *c = r->runs[i].counts;
        if (c[MF_NODE_DONE] + c[MF_NODE_FAILED] + c[MF_NODE_CANCELLED] + c[MF_NODE_RUNNING])
            r->run = &r->runs[i];
    }
    if (!r->run)
        return MF_OK;
    p.run = r->run->id;
    status = past_run(&p, &copy, &r->nodes, &r->node_count);
    mf_run_list_free(copy, copy ? 1 : 0);
    return status;
}

/* First under another name, so that no half page is ever seen. */
static mf_status write_page(report *r, const char *path)
{
    char *temporary;
    mf_status status;

    if (asprintf(&temporary, "%s.writing-%ld", path, (long)getpid()) < 0)
        return mf_fail(MF_NO_MEMORY, "no memory to write %s", path);
    r->out = fopen(temporary, "we");
    if (!r->out) {
        status = mf_fail(MF_IO, "%s: %s", path, strerror(errno));
        free(temporary);
        return status;
    }
    status = report_write(r);
    errno = 0;
    if ((ferror(r->out) | fclose(r->out)) != 0 && !status)
        status = mf_fail(MF_IO, "%s: %s", path, errno ? strerror(errno) : "writing failed");
    if (!status && rename(temporary, path) != 0)
        status = mf_fail(MF_IO, "%s: %s", path, strerror(errno));
    if (status)
        unlink(temporary);
    free(temporary);
    return status;
}

static int report_command(const args *a)
{
    const char *path = args_value(a, "output");
    workspace w;
    report r = {.a = a, .w = &w};
    mf_status error;
    int code;

    if (!path)
        return command_refuse("where to? massflow report %s -o report.html", args_at(a, 0));
    code = workspace_open(a, MF_STORE_READ, &w);
    if (code)
        return code;
    w.looking = true;
    code = workspace_plan(a, &w, args_all(a) + 1, args_count(a) - 1, &r.plan);
    if (!code) {
        error = find_run(&r);
        if (!error)
            error = write_page(&r, path);
        if (error)
            code = command_fail(error, EXIT_FAILED);
        else
            printf("%s\n", path);
    }
    mf_run_node_list_free(r.nodes, r.node_count);
    mf_run_list_free(r.runs, r.run_count);
    mf_plan_free(r.plan);
    workspace_close(&w);
    return code;
}

static const option report_options[] = {{'o', "output", "FILE.html", "the page"},
                                        OPTION_SET,
                                        OPTION_CASE,
                                        OPTION_CACHE,
                                        OPTION_CODE,
                                        OPTION_PLUGINS,
                                        OPTION_END};

const command command_report = {
    "report",
    "GRAPH [TARGET...]",
    "one page: graph, timeline, curves, tables, pictures, parameters, provenance",
    "The page needs nothing beside it: no network, no script. Its pictures are inside.",
    report_options,
    1,
    -1,
    report_command};
