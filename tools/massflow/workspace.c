/* workspace.c - opening what a command needs, and saying why not. */
#include "workspace.h"
#include "run/artifact/check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int workspace_open(const args *a, mf_store_mode mode, workspace *w)
{
    mf_status status;
    int code;

    memset(w, 0, sizeof *w);
    code = open_graph(a, &w->registry, &w->graph);
    if (code)
        return code;
    status = mf_opened_cache(w, args_value(a, "cache"), mode);
    if (status) {
        workspace_close(w);
        return command_fail(status, EXIT_REQUEST);
    }
    return EXIT_DONE;
}

int workspace_open_cache(const args *a, workspace *w)
{
    const char *dir = args_value(a, "cache") ? args_value(a, "cache") : ".massflow";
    mf_status status;

    memset(w, 0, sizeof *w);
    status = mf_store_open(dir, MF_STORE_READ, &w->store);
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

void workspace_close(workspace *w)
{
    mf_opened_clear(w);
}

int workspace_rule(const args *a, workspace *w, bool late, mf_output_rule *rule)
{
    mf_status status = mf_opened_rule(w, args_has(a, "force"), late, rule);

    return status ? command_fail(status, EXIT_FAILED) : EXIT_DONE;
}

/* The options of a plan; the list of cases, with what is forced behind them, is the caller's to
 * free. */
static int read_ask(const args *a, mf_opened_ask *ask)
{
    const char *code = args_value(a, "code");
    const char **cases;
    const size_t forced = args_value(a, "force") ? args_value_count(a, "force") : 0;

    memset(ask, 0, sizeof *ask);
    if (code && strcmp(code, "digest") && strcmp(code, "version"))
        return command_refuse("--code is 'digest' or 'version', not '%s'", code);
    ask->by_version = code && !strcmp(code, "version");
    ask->same_device = args_has(a, "same-device");
    ask->devices = args_value(a, "device");
    ask->case_count = args_value_count(a, "case");
    cases = calloc(ask->case_count + forced + 1, sizeof *cases);
    if (!cases)
        return command_fail(mf_no_memory(0, "the command line"), EXIT_FAILED);
    for (size_t i = 0; i < ask->case_count; i++)
        cases[i] = args_value_at(a, "case", i);
    for (size_t i = 0; i < forced; i++)
        cases[ask->case_count + i] = args_value_at(a, "force", i);
    ask->cases = cases;
    ask->anew = cases + ask->case_count;
    ask->anew_count = forced;
    return EXIT_DONE;
}

int workspace_plan(const args *a, workspace *w, const char *const *targets, size_t count,
                   mf_plan **plan)
{
    mf_opened_ask ask;
    mf_status status;
    int code = read_ask(a, &ask);

    if (code)
        return code;
    ask.targets = targets;
    ask.target_count = count;
    status = mf_opened_plan(w, &ask, plan);
    free((void *)ask.cases);
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

void located_clear(located *f)
{
    mf_artifact_unref(f->artifact);
    mf_located_clear(&f->at);
    memset(f, 0, sizeof *f);
}

int workspace_artifact(const args *a, workspace *w, const char *text, const char *file, located *f)
{
    mf_opened_ask ask;
    mf_status status;
    int code = read_ask(a, &ask);

    memset(f, 0, sizeof *f);
    if (code)
        return code;
    status = mf_opened_locate(
        w, &ask, text, file,
        file ? "all of them go into a folder: -o FOLDER/" : "one at a time is shown", &f->at);
    free((void *)ask.cases);
    if (status)
        return command_fail(status, EXIT_REQUEST);
    if (!f->at.id) {
        const char *name = mf_graph_node(w->graph, f->at.node)->name;
        char *again = args_again(a, name);
        code = command_refuse("%s is not in the cache; compute it with: %s", name,
                              again ? again : "massflow run");
        free(again);
        return code;
    }
    status = mf_open_artifact(w->store, w->registry, f->at.id, &f->artifact);
    return status ? command_fail(status, EXIT_FAILED) : EXIT_DONE;
}

void words_seconds(double seconds, char text[32])
{
    long s = (long)(seconds + 0.5);

    if (seconds < 0.9995)
        snprintf(text, 32, "%.0f ms", seconds * 1e3);
    else if (seconds < 59.95)
        snprintf(text, 32, "%.1f s", seconds);
    else if (s < 3600)
        snprintf(text, 32, "%ld min %ld s", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld h %ld min", s / 3600, s / 60 % 60);
}

void words_bytes(double bytes, char text[32])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t u = 0;

    while (bytes >= 1000 && u + 1 < sizeof units / sizeof *units) {
        bytes /= 1000;
        u++;
    }
    snprintf(text, 32, u && bytes < 10 ? "%.1f %s" : "%.0f %s", bytes, units[u]);
}
