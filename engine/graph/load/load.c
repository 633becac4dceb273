/* load.c - loading a graph file from end to end. */
#include "graph/load/load.h"
#include "graph/cases/cases.h"
#include "graph/check/axes.h"
#include "graph/check/connect.h"
#include "graph/check/limits.h"
#include "graph/check/typed.h"
#include "graph/check/with.h"
#include "graph/data/report.h"
#include "graph/expand/expand.h"
#include "graph/expand/export.h"
#include "graph/load/include.h"
#include "graph/values/splice.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const root_keys[] = {"massflow", "params", "cases",  "axes",
                                        "include",  "stages", "export", "isolate"};
static const char *const root_later[] = {"device", "keep"};

#define COUNT(a) (sizeof(a) / sizeof *(a))

const char *const *mf__graph_root_keys(size_t *count)
{
    *count = COUNT(root_keys);
    return root_keys;
}

/* ---- loading -----------------------------------------------------------------------------------
 */

static bool read_version(mf_graph *g)
{
    const yaml *version = mf_yaml_get(g->root, "massflow", NULL);
    if (!version)
        return mf__graph_error(g, g->root, "a graph file begins with 'massflow: 1'");
    if (version->kind != YAML_SCALAR || strcmp(version->text, "1"))
        return mf__graph_error(g, version, "this massflow reads graph files of version 1");
    return true;
}

/* A key that is none of the file's; what belongs further in is told so. */
static bool unknown_key(mf_graph *g, const yaml *key, const yaml *value)
{
    size_t count;
    const char *const *keys = mf__graph_stage_keys(&count);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(key->text, keys[i]))
            return mf__graph_error(
                g, key, "'%s' stands in a stage, as in stages: {NAME: {use: STAGE}}", key->text);
    if (mf_registry_source(g->registry, key->text))
        return mf__graph_error(g, key, "'%s' is a source of cases: it stands in 'cases'",
                               key->text);
    if (value->kind == YAML_MAP && mf_yaml_get(value, "use", NULL))
        return mf__graph_error(g, key, "'%s' is a stage: it stands in 'stages', further in",
                               key->text);
    return mf__graph_unknown(g, key, "a graph file has no key", root_keys, COUNT(root_keys));
}

static bool read_root(mf_graph *g)
{
    bool good = true;
    if (g->root->kind != YAML_MAP)
        return mf__graph_error(g, g->root,
                               "a graph file has the keys massflow, params, cases, axes, "
                               "include, stages, export");
    for (size_t i = 0; i < g->root->count; i++) {
        const yaml *key = g->root->items[2 * i];
        bool known = false, expected = false;
        for (size_t k = 0; k < COUNT(root_keys); k++)
            known |= !strcmp(key->text, root_keys[k]);
        for (size_t k = 0; k < COUNT(root_later); k++)
            expected |= !strcmp(key->text, root_later[k]);
        if (expected)
            good = mf__graph_error(g, key, "'%s' is not supported yet in this version", key->text);
        else if (!known)
            good = unknown_key(g, key, g->root->items[2 * i + 1]);
    }
    good &= read_version(g);
    return good;
}

/* Names in texts that are not read any more when all went well, such as a file that exists. */
static void warn_unused(mf_graph *g)
{
    for (size_t i = 0; i < g->param_count; i++) {
        if (g->params[i].used)
            continue;
        mf_place place = mf_yaml_place(g->params[i].declared);
        mf_diagnostics_warning(g->d, &place, "parameter '%s' is not used", g->params[i].name);
    }
}

static mf_status read_graph(mf_graph *g, const mf_setting *settings, size_t count, const yaml *set,
                            bool *good)
{
    *good = read_root(g);
    if (g->root->kind != YAML_MAP || !mf__read_params(g, settings, count) ||
        !mf__apply_set(g, set)) {
        *good = false;
        return MF_OK;
    }
    g->cases_wrong = !mf__read_cases(g);
    *good &= !g->cases_wrong;
    *good &= mf__read_axes(g);
    *good &= mf__read_isolate(g);
    MF_TRY(mf__read_includes(g, read_graph, good));
    *good &= mf__read_stages(g);
    for (size_t i = 0; i < g->def_count; i++)
        if (g->defs[i].stage) {
            *good &= mf__connect_stage(g, &g->defs[i]);
            MF_TRY(mf__read_with(g, &g->defs[i], good));
        }
    if (g->def_count)
        *good &= mf__order_stages(g);
    return MF_OK;
}

/* The files are right one by one: what they come to together. */
static bool assemble(mf_graph *g)
{
    mf__collect_stages(g, g);
    if (!mf__expand(g) || !mf__read_exports(g))
        return false;
    warn_unused(g);
    return true;
}

mf_status mf_graph_load(const char *path, const mf_registry *registry, const mf_setting *settings,
                        size_t count, mf_diagnostics *diagnostics, mf_graph **graph)
{
    mf_arena *arena = mf_arena_new();
    mf_graph *g = mf_arena_alloc(arena, 1, sizeof *g);
    char cwd[PATH_MAX];
    bool good = false;
    *graph = NULL;
    *g = (mf_graph){.arena = arena, .prefix = "", .registry = registry, .d = diagnostics};
    mf_status status = mf__source_read(arena, path, LARGEST_GRAPH, &g->source);
    if (!status) {
        g->cwd = mf_arena_copy(arena, getcwd(cwd, sizeof cwd) ? cwd : ".");
        g->path = g->source->name;
        g->folder = g->source->base;
        g->root = mf_yaml_read(arena, g->source, diagnostics);
        if (g->root)
            status = read_graph(g, settings, count, NULL, &good);
        good = !status && good && assemble(g);
    }
    g->d = NULL;
    if (status || !good)
        mf_graph_free(g);
    else
        *graph = g;
    return status;
}
