/* get.c - the command get: a result as a file, or several as files of a folder (get_many.c). */
#include "get.h"
#include "run/artifact/check.h"
#include "run/artifact/write.h"
#include "run/output/partial.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The outputs that came out, or all of a node that has not run: "'n.a', 'n.b'". The caller frees.
 */
static char *list_outputs(const mf_node *node, const mf_plan_node *n)
{
    char *list = NULL;
    size_t size;
    FILE *out = open_memstream(&list, &size);
    const char *between = "";

    for (size_t i = 0; out && node->stage->out[i].name; i++)
        if (n->state != MF_PLAN_CACHED || *n->outputs[i].id) {
            fprintf(out, "%s'%s.%s'", between, node->name, node->stage->out[i].name);
            between = ", ";
        }
    if (out)
        fclose(out);
    return list;
}

static int several_outputs(const mf_node *node, const mf_plan_node *n)
{
    char *list = list_outputs(node, n);
    int code = command_refuse("%s has several outputs; take one of them: %s", node->name,
                              list ? list : "");

    free(list);
    return code;
}

static int no_such_output(const mf_node *node, const mf_plan_node *n, const char *port)
{
    char *list = list_outputs(node, n);
    mf_status status = mf_hint(mf_fail(MF_INVALID, "%s has no output '%s'", node->name, port),
                               "it has: %s", list && *list ? list : "no output");

    free(list);
    return command_fail(status, EXIT_REQUEST);
}

int get_port(const workspace *w, const mf_target *target, const mf_plan_node *n, const char *file,
             uint32_t *port)
{
    const mf_node *node = mf_graph_node(w->graph, target->first);
    size_t count = mf_port_count(node->stage->out), there = 0;

    *port = target->port < 0 ? 0 : (uint32_t)target->port;
    if (target->port >= 0 || count == 1 ||
        (file && mf_registry_writable(w->registry, node->stage, file, port) == 1))
        return 0;
    for (uint32_t i = 0; n->state == MF_PLAN_CACHED && i < count; i++)
        if (*n->outputs[i].id) {
            *port = i;
            there++;
        }
    return there == 1 ? 0 : several_outputs(node, n);
}

void located_clear(located *f)
{
    mf_artifact_unref(f->artifact);
    mf_plan_free(f->plan);
    memset(f, 0, sizeof *f);
}

int workspace_artifact(const args *a, workspace *w, const char *text, const char *file, located *f)
{
    mf_target target = {0};
    const mf_plan_node *n;
    mf_status status = mf_graph_target(w->graph, text, &target);
    const char *name;
    char *bare;
    uint32_t port = 0;
    int code;

    memset(f, 0, sizeof *f);
    if (status)
        return command_fail(status, EXIT_REQUEST);
    if (target.count != 1)
        return command_fail(
            mf_hint(mf_fail(MF_INVALID, "'%s' names %u nodes; take one of them: '%s'", text,
                            target.count,
                            target.count ? mf_graph_node(w->graph, target.first)->name : ""),
                    file ? "all of them go into a folder: -o FOLDER/" : "one at a time is shown"),
            EXIT_REQUEST);
    name = mf_graph_node(w->graph, target.first)->name;
    if (mf_graph_node(w->graph, target.first)->stage->item)
        return command_refuse("%s is a stream; its items are never stored", name);
    bare = strdup(name);
    w->looking = true;
    code = workspace_plan(a, w, (const char *const *)&bare, 1, &f->plan);
    free(bare);
    if (code)
        return code;
    n = mf_plan_at(f->plan, target.first);
    code = get_port(w, &target, n, file, &port);
    if (code)
        return code;
    if (n->state != MF_PLAN_CACHED || !n->outputs[port].present) {
        char *again = args_again(a, name);
        code = command_refuse("%s is not in the cache; compute it with: %s", name,
                              again ? again : "massflow run");
        free(again);
    } else if (!*n->outputs[port].id)
        code = no_such_output(n->node, n, n->node->stage->out[port].name);
    else
        status = mf_open_artifact(w->store, w->registry, n->outputs[port].id, &f->artifact);
    f->node = target.first;
    return status ? command_fail(status, EXIT_FAILED) : code;
}

static mf_status write_file(const args *a, const workspace *w, const mf_artifact *artifact,
                            const char *file, const mf_output_rule *rule)
{
    mf_partials_sweep(file);
    return mf_write_output(w->registry, artifact, file, args_value(a, "array"), rule, NULL, NULL);
}

static bool is_folder(const char *path)
{
    struct stat s;
    const size_t length = strlen(path);

    return (length && path[length - 1] == '/') || (stat(path, &s) == 0 && S_ISDIR(s.st_mode));
}

/* More than one node is named, or a folder to put them in. */
static int get_folder(const args *a, const char *folder)
{
    workspace w;
    int code;

    if (!is_folder(folder))
        return command_refuse("several results go into a folder: -o %s/", folder);
    code = workspace_open(a, MF_STORE_READ, &w);
    if (code)
        return code;
    code = get_many(a, &w, folder);
    workspace_close(&w);
    return code;
}

static int get(const args *a)
{
    const char *file = args_value(a, "output");
    workspace w;
    located f = {0};
    mf_output_rule rule;
    mf_status status;
    int code;

    if (!file)
        return command_refuse("no output file is given: massflow get %s '%s' -o FILE",
                              args_at(a, 0), args_at(a, 1));
    if (args_count(a) > 2 || is_folder(file))
        return get_folder(a, file);
    if (args_has(a, "suffix") || args_has(a, "skip-missing"))
        return command_refuse("--suffix and --skip-missing are for results that go into a folder: "
                              "-o FOLDER/");
    code = workspace_open(a, MF_STORE_READ, &w);
    if (code)
        return code;
    code = workspace_artifact(a, &w, args_at(a, 1), file, &f);
    if (!code)
        code = workspace_rule(a, &w, true, &rule);
    if (!code) {
        status = write_file(a, &w, f.artifact, file, &rule);
        if (status)
            code = command_fail(status, EXIT_FAILED);
        else
            printf("%s\n", file);
    }
    located_clear(&f);
    workspace_close(&w);
    return code;
}

static const option get_options[] = {
    {'o', "output", "FILE", "output file; its suffix determines the format. Or a folder: DIR/"},
    {0, "suffix", "SUFFIX", "format of the files of a folder: nii.gz, npy ...; default: by type"},
    {0, "skip-missing", NULL, "into a folder: leave out what is not in the cache"},
    {0, "array", "NAME", "write only this array (.npy)"},
    OPTION_FORCE,
    OPTION_SET,
    OPTION_CACHE,
    OPTION_CODE,
    OPTION_PLUGINS,
    OPTION_END};

const command command_get = {
    "get",
    "GRAPH NODE[.PORT]...",
    "write a result to a file: .nii.gz, .npy, .png, .csv, .json, .safetensors ...",
    "Results that belong to a scan are written on the scan's own grid. An existing file is "
    "replaced\n"
    "if massflow wrote it and it has not changed since.\n"
    "Into a folder, NODE may be a stage or some of its nodes: 'seg', 'seg[seed=1]'. A file has the "
    "name\n"
    "of its node: seg-case=012-seed=1.nii.gz.",
    get_options,
    2,
    -1,
    get};
