/* log.c - the commands that tell of earlier runs: runs, log. */
#include "past.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- runs ------------------------------------------------------------------------------------ */

static void print_run(const mf_run_entry *r)
{
    char when[32], took[32], counts[160];

    words_time(r->start, when);
    words_took(r, took);
    words_counts(r, counts);
    printf("%5" PRId64 "  %s  %-12s %12s  %s\n       %s\n", r->id, when, r->status, took, counts,
           r->command);
}

static int runs(const args *a)
{
    past p;
    mf_run_entry *list = NULL;
    size_t count = 0;
    mf_status status;
    int code = past_open(a, &p);

    if (code)
        return code;
    if (p.run || p.node) {
        code = p.run
                   ? command_refuse("what run %" PRId64 " did: massflow log %" PRId64, p.run, p.run)
                   : command_refuse("'%s' is not a file", p.node);
    } else {
        status = mf_store_list_runs(p.store, p.graph, 0, &list, &count);
        if (status)
            code = command_fail(status, EXIT_FAILED);
    }
    for (size_t i = 0; i < count; i++)
        print_run(&list[i]);
    mf_run_list_free(list, count);
    past_close(&p);
    return code;
}

static const option past_options[] = {OPTION_CACHE, OPTION_END};

const command command_runs = {
    "runs",
    "[GRAPH]",
    "list past runs, newest first, with status and duration",
    "Without GRAPH: the runs of all graphs in the cache of --cache, or in .massflow in the "
    "current\n"
    "folder. 'killed': the process of the run is gone, and the run did not end.",
    past_options,
    0,
    1,
    runs};

/* ---- log ------------------------------------------------------------------------------------- */

/* "0:02.150" since the run began */
static void words_offset(double seconds, char text[32])
{
    int64_t ms = (int64_t)(seconds * 1e3 + 0.5);

    ms = ms < 0 ? 0 : ms;
    snprintf(text, 32, "%" PRId64 ":%02" PRId64 ".%03" PRId64, ms / 60000, ms / 1000 % 60,
             ms % 1000);
}

/* "masks" means all its nodes. */
static bool is_meant(const char *node, const char *wanted)
{
    size_t length = wanted ? strlen(wanted) : 0;

    return !wanted || !strcmp(node, wanted) ||
           (!strncmp(node, wanted, length) && node[length] == '[');
}

/* The run's zero: its own time has whole seconds only. */
static double origin(const mf_run_node *nodes, size_t count)
{
    return count && nodes[0].started > 0 ? nodes[0].started : 0;
}

static void print_lines(const mf_run_line *lines, size_t count, const char *node, double zero)
{
    char at[32];

    for (size_t i = 0; i < count; i++) {
        if (strcmp(lines[i].node, node))
            continue;
        words_offset(lines[i].at - zero, at);
        printf("  %10s    %s\n", at, lines[i].text);
    }
}

static void print_indented(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        printf("  %10s    %.*s\n", "", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static void print_details(const mf_run_entry *run, const mf_run_node *n)
{
    char bytes[32];

    if (*n->place)
        printf("  %10s    on worker %s\n", "", n->place);
    if (*n->device)
        printf("  %10s    on %s\n", "", n->device);
    if (n->peak_bytes) {
        words_bytes((double)n->peak_bytes, bytes);
        printf("  %10s    peak resident memory %s, of %s\n", "", bytes,
               n->own_process ? "its process"
                              : "massflow with all nodes that ran at the same time");
    }
    if (n->key)
        printf("  %10s    key %.12s\n", "", n->key);
    if (n->outcome == MF_NODE_FAILED)
        printf("  %10s    retry: massflow run %s '%s'\n", "", run->graph, n->node);
}

static void print_node(const mf_run_entry *run, const mf_run_node *n, double zero,
                       const mf_run_line *lines, size_t line_count, bool details)
{
    char at[32] = "", took[32] = "";

    if (n->started > 0)
        words_offset(n->started - zero, at);
    if (n->outcome == MF_NODE_DONE || n->outcome == MF_NODE_FAILED ||
        n->outcome == MF_NODE_CANCELLED)
        words_seconds(n->seconds, took);
    if (!(n->started > 0))
        took[0] = '\0';
    printf("  %10s  %-9s %s%s%s%s%s%s\n", at, mf_outcome_text(n->outcome), n->node,
           *took ? "  (" : "", took, *took && *n->place ? " on " : "", *took ? n->place : "",
           *took ? ")" : "");
    print_lines(lines, line_count, n->node, zero);
    if (*n->message)
        print_indented(n->message);
    if (details)
        print_details(run, n);
}

static void print_head(const mf_run_entry *r, const mf_run_node *nodes, size_t count)
{
    char when[32], took[32], counts[160], workers[80];

    words_time(r->start, when);
    words_took(r, took);
    words_counts(r, counts);
    printf("run %" PRId64 ": %s\n", r->id, r->command);
    printf("  %s%s%s; %s\n", r->status, *took ? " in " : "", took, *counts ? counts : "no nodes");
    printf("  started %s on %s (process %" PRId64 "), massflow %s, %d worker slots\n", when,
           *r->host ? r->host : "a host without a name", r->pid, r->version, r->slots);
    if (words_workers(nodes, count, workers))
        printf("  %s\n", workers);
}

static void print_log(const mf_run_entry *run, const mf_run_node *nodes, size_t count,
                      const mf_run_line *lines, size_t line_count, const char *node, bool all)
{
    print_head(run, nodes, count);
    for (size_t i = 0; i < count; i++) {
        bool shown =
            node ? is_meant(nodes[i].node, node) : all || nodes[i].outcome != MF_NODE_CACHED;
        if (shown)
            print_node(run, &nodes[i], origin(nodes, count), lines, line_count, node != NULL);
    }
}

static bool has_node(const mf_run_node *nodes, size_t count, const char *node)
{
    size_t i = 0;

    while (i < count && !is_meant(nodes[i].node, node))
        i++;
    return i < count;
}

static mf_status tell(const past *p, bool all)
{
    mf_run_entry *run;
    mf_run_node *nodes = NULL;
    mf_run_line *lines = NULL;
    size_t count = 0, line_count = 0;
    mf_status status;

    MF_TRY(past_run(p, &run, &nodes, &count));
    status = mf_store_list_run_lines(p->store, run->id, NULL, &lines, &line_count);
    if (!status && p->node && !has_node(nodes, count, p->node))
        status = mf_fail(MF_NOT_FOUND, "run %" PRId64 " had no node '%s'", run->id, p->node);
    if (!status)
        print_log(run, nodes, count, lines, line_count, p->node, all);
    mf_run_line_list_free(lines, line_count);
    mf_run_node_list_free(nodes, count);
    mf_run_list_free(run, 1);
    return status;
}

static int show_log(const args *a)
{
    past p;
    mf_status status;
    int code = past_open(a, &p);

    if (code)
        return code;
    status = tell(&p, args_has(a, "all"));
    past_close(&p);
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

static const option log_options[] = {
    {0, "all", NULL, "include cached nodes"}, OPTION_CACHE, OPTION_END};

const command command_log = {
    "log",
    "[GRAPH] [RUN] [NODE]",
    "show a run: its nodes in order of start, their log lines, errors",
    "RUN is a number of 'massflow runs'; default: the newest. With NODE, a stage or one of its\n"
    "nodes: also device, memory and key. Times are minutes:seconds since the first node.",
    log_options,
    0,
    3,
    show_log};
