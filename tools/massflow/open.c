/* open.c - what most commands begin with: load the plugins, read the graph, say what is wrong. */
#include "command.h"
#include "embed/opened.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int open_registry(const args *a, mf_registry **registry)
{
    mf_status status = mf_opened_registry(args_value(a, "plugins"), registry);

    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

/* --set NAME=VALUE ... ; names are split off in place in `names`. */
static mf_status read_settings(const args *a, mf_setting *settings, char **names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = args_value_at(a, "set", i);
        const char *sign = strchr(text, '=');

        if (!sign || sign == text)
            return mf_fail(MF_INVALID, "--set takes NAME=VALUE, not '%s'", text);
        names[i] = strndup(text, (size_t)(sign - text));
        if (!names[i])
            return mf_no_memory(0, "the command line");
        settings[i].name = names[i];
        settings[i].value = sign + 1;
    }
    return MF_OK;
}

static mf_status load(const args *a, const mf_registry *registry, mf_diagnostics *d,
                      mf_graph **graph)
{
    size_t count = args_value_count(a, "set");
    mf_setting *settings = calloc(count + 1, sizeof *settings);
    char **names = calloc(count + 1, sizeof *names);
    mf_status status;

    if (settings && names)
        status = read_settings(a, settings, names, count);
    else
        status = mf_no_memory(0, "the command line");
    if (!status)
        status = mf_graph_load(args_at(a, 0), registry, settings, count, d, graph);
    for (size_t i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
    free(settings);
    return status;
}

int open_graph(const args *a, mf_registry **registry, mf_graph **graph)
{
    mf_diagnostics *d = NULL;
    mf_status status;
    int code = open_registry(a, registry);

    *graph = NULL;
    if (code)
        return code;
    status = mf_diagnostics_new(&d);
    if (!status)
        status = load(a, *registry, d, graph);
    if (!status && mf_diagnostics_errors(d) + mf_diagnostics_warnings(d)) {
        char *text = mf_diagnostics_text(d);

        fputs(text ? text : "massflow: error: no memory\n", stderr);
        free(text);
    }
    mf_diagnostics_free(d);
    if (status)
        code = command_fail(status, EXIT_REQUEST);
    else if (!*graph)
        code = EXIT_REQUEST;
    if (code) {
        mf_registry_free(*registry);
        *registry = NULL;
    }
    return code;
}
