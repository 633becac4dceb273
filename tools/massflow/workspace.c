/* workspace.c - opening what a command needs, and saying why not. */
#include "workspace.h"
#include "run/process/signals.h"
#include <massflow/compute.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_store(const char *dir, mf_store_mode mode, workspace *w)
{
    mf_status status = mf_store_open(dir, mode, &w->store);

    if (status && mode == MF_STORE_READ && mf_error_code(status) == MF_NOT_FOUND) {
        mf_error_free(status); /* nothing is cached yet */
        w->store = NULL;
        return EXIT_DONE;
    }
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

int workspace_open(const args *a, mf_store_mode mode, workspace *w)
{
    char *dir = NULL;
    int code;

    memset(w, 0, sizeof *w);
    code = open_graph(a, &w->registry, &w->graph);
    if (code)
        return code;
    w->graph_path = realpath(mf_graph_path(w->graph), NULL);
    if (args_value(a, "cache"))
        dir = strdup(args_value(a, "cache"));
    else if (asprintf(&dir, "%s/.massflow", mf_graph_folder(w->graph)) < 0)
        dir = NULL;
    if (dir && w->graph_path)
        code = open_store(dir, mode, w);
    else
        code = command_fail(mf_no_memory(0, "opening the cache"), EXIT_FAILED);
    free(dir);
    if (code)
        workspace_close(w);
    return code;
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
    mf_exports_free(w->exports);
    mf_written_free(w->written);
    mf_store_close(w->store);
    mf_graph_free(w->graph);
    mf_registry_free(w->registry);
    free(w->graph_path);
    free(w->device);
    memset(w, 0, sizeof *w);
}

int workspace_rule(const args *a, workspace *w, bool late, mf_output_rule *rule)
{
    if (!w->written)
        w->written = mf_written_open();
    if (!w->written)
        return command_fail(mf_no_memory(0, "writing"), EXIT_FAILED);
    *rule = (mf_output_rule){.force = args_has(a, "force"),
                             .late = late,
                             .graph = w->graph,
                             .cache = w->store ? mf_store_dir(w->store) : NULL,
                             .written = w->written};
    return EXIT_DONE;
}

static const char *const *all_values(const args *a, const char *name, size_t *count)
{
    const char **values;

    *count = args_value_count(a, name);
    values = calloc(*count + 1, sizeof *values);
    for (size_t i = 0; values && i < *count; i++)
        values[i] = args_value_at(a, name, i);
    return values;
}

/* The name that all devices of --device have. */
static mf_status same_device(const args *a, char **name)
{
    mf_device **devices;
    size_t count;
    mf_status status = mf_devices_open(args_value(a, "device"), &devices, &count);

    mf_signals_hold();
    MF_TRY(status);
    *name = strdup(mf_device_get_info(devices[0])->name);
    if (!*name)
        status = mf_no_memory(0, "a name");
    for (size_t i = 1; i < count && !status; i++) {
        const char *other = mf_device_get_info(devices[i])->name;
        if (strcmp(*name, other))
            status = mf_hint(
                mf_fail(MF_INVALID, "--same-device: %s and %s are different devices", *name, other),
                "choose devices of one kind with --device");
    }
    for (size_t i = 0; i < count; i++)
        mf_device_unref(devices[i]);
    free(devices);
    return status;
}

/* A run has to have the data of what it exports. */
static mf_status ask_exports(workspace *w, mf_plan_options *options)
{
    if (w->looking || !w->store || !mf_graph_export_count(w->graph))
        return MF_OK;
    if (!w->exports)
        MF_TRY(mf_exports_new(w->graph, w->store, &w->exports));
    options->needs = mf_exports_need;
    options->self = w->exports;
    return MF_OK;
}

int workspace_plan(const args *a, workspace *w, const char *const *targets, size_t count,
                   mf_plan **plan)
{
    const char *code = args_value(a, "code");
    mf_plan_options options = {.threads = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    const char *const *cases;
    size_t case_count;
    bool *wanted = NULL;
    mf_status status;

    if (code && strcmp(code, "digest") && strcmp(code, "version"))
        return command_refuse("--code is 'digest' or 'version', not '%s'", code);
    options.recall_failures = w->looking;
    options.named = count > 0;
    options.by_version = code && !strcmp(code, "version");
    if (args_has(a, "same-device")) {
        status = same_device(a, &w->device);
        if (status)
            return command_fail(status, EXIT_REQUEST);
        options.same_device = w->device;
    }
    status = ask_exports(w, &options);
    if (status)
        return command_fail(status, EXIT_REQUEST);
    cases = all_values(a, "case", &case_count);
    status = mf_graph_select(w->graph, targets, count, cases, case_count, &wanted);
    free((void *)cases);
    if (!status)
        status = mf_plan_new(w->graph, w->store, wanted, &options, plan);
    free(wanted);
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
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
