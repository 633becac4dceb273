/* include.c - `include`: other graph files, whose stages are named with a prefix.
 *
 * An included file is read as if it stood alone: its parameters, cases and axes are its own, and
 * nothing of it joins by itself with what has the same name here. Its exports are not written. */
#include "graph/load/include.h"
#include "graph/data/report.h"
#include "graph/text/names.h"
#include "graph/values/splice.h"

#include <stdlib.h>
#include <string.h>

#define DEEPEST 16     /* files that include each other */
#define MOST_FILES 256 /* included, in all */

/* How a file is called in messages: from where the user stands, as its includer is. */
static const char *display(mf_graph *g, const given *v)
{
    const char *slash = strrchr(g->path, '/');
    if (*v->text == '/' || strcmp(v->base, g->folder) || !slash)
        return v->text;
    return mf_arena_print(g->arena, "%.*s/%s", (int)(slash - g->path), g->path, v->text);
}

static const char *included_from(mf_graph *g, const yaml *key)
{
    if (!g->source->from)
        return mf_arena_print(g->arena, "included from %s:%d", g->path, key->line);
    return mf_arena_print(g->arena, "included from %s:%d\n  %s", g->path, key->line,
                          g->source->from);
}

/* The real path of a file that is open. */
static char *real_path(const mf_graph *g)
{
    const char *slash = strrchr(g->path, '/');
    char *path = mf_arena_print(g->arena, "%s/%s", g->folder, slash ? slash + 1 : g->path);
    return realpath(path, NULL);
}

/* Whether a file would include itself by way of g; says so. */
static bool report_cycle(mf_graph *g, const yaml *node, const char *path, const char *name)
{
    char *real = realpath(path, NULL);
    const char *way = name;
    bool cycle = false;
    for (const mf_graph *above = g; real && above && !cycle; above = above->parent) {
        char *other = real_path(above);
        way = mf_arena_print(g->arena, "%s -> %s", above->path, way);
        cycle = other && !strcmp(other, real);
        free(other);
    }
    free(real);
    if (cycle)
        mf__graph_error(g, node, "a file cannot include itself: %s", way);
    return cycle;
}

static bool open_file(mf_graph *g, const yaml *key, const yaml *node, mf_graph *below)
{
    given v;
    size_t depth = 0;
    mf_graph *root = g;
    for (mf_graph *above = g; above; above = above->parent, depth++)
        root = above;
    if (++root->file_count > MOST_FILES) /* said once */
        return root->file_count == MOST_FILES + 1 &&
               mf__graph_error(g, node, "more than %d included files", MOST_FILES);
    if (!mf__resolve(g, node, NULL, &v))
        return false;
    if (v.list || !*v.text)
        return mf__graph_error(g, node, "'file' takes one graph file");
    const char *path = *v.text == '/' ? v.text : mf_arena_print(g->arena, "%s/%s", v.base, v.text);
    if (report_cycle(g, node, path, v.text))
        return false;
    if (depth > DEEPEST)
        return mf__graph_error(g, node, "files include each other deeper than %d times", DEEPEST);
    mf_status status = mf__source_read(g->arena, path, LARGEST_GRAPH, &below->source);
    if (status) {
        mf__graph_status(g, node, NULL, status);
        mf__graph_note_param(g, v.param);
        return false;
    }
    below->source->name = display(g, &v);
    below->source->from = included_from(g, key);
    below->path = below->source->name;
    below->folder = below->source->base;
    below->root = mf_yaml_read(g->arena, below->source, g->d);
    return below->root != NULL;
}

static bool check_include(mf_graph *g, const yaml *key, const yaml *node)
{
    static const char *const keys[] = {"file", "set"};
    bool good = true;
    if (!mf__is_name(key->text))
        good = mf__graph_error(g, key, "'%s' is not a valid name of an included file", key->text);
    if (node->kind != YAML_MAP)
        return mf__graph_error(g, node,
                               "an included file is given as in {file: pretrain.yaml, set: {steps: "
                               "500}}");
    for (size_t i = 0; i < node->count; i++) {
        const yaml *k = node->items[2 * i];
        if (strcmp(k->text, "file") && strcmp(k->text, "set"))
            good = mf__graph_unknown(g, k, "an included file has no key", keys, 2);
    }
    if (!mf_yaml_get(node, "file", NULL))
        good = mf__graph_error(g, key, "'%s' does not say which file: 'file: PATH'", key->text);
    return good;
}

static mf_status read_include(mf_graph *g, const yaml *key, const yaml *node, mf__reading read,
                              bool *good)
{
    bool fine = check_include(g, key, node);
    mf_graph *below = mf_arena_alloc(g->arena, 1, sizeof *below);
    *below = (mf_graph){.parent = g,
                        .prefix = mf_arena_print(g->arena, "%s%s.", g->prefix, key->text),
                        .arena = g->arena,
                        .registry = g->registry,
                        .d = g->d,
                        .cwd = g->cwd};
    g->includes[g->include_count++] = (include){key, below};
    if (!fine || !open_file(g, key, mf_yaml_get(node, "file", NULL), below)) {
        *good = false;
        return MF_OK;
    }
    MF_TRY(read(below, NULL, 0, mf_yaml_get(node, "set", NULL), &fine));
    *good &= fine;
    return MF_OK;
}

mf_status mf__read_includes(mf_graph *g, mf__reading read, bool *good)
{
    const yaml *map = mf_yaml_get(g->root, "include", NULL);
    if (!map || mf_yaml_empty(map))
        return MF_OK;
    if (map->kind != YAML_MAP) {
        *good = mf__graph_error(
            g, map, "'include' takes names and files, as in {pre: {file: pretrain.yaml}}");
        return MF_OK;
    }
    g->includes = mf_arena_alloc(g->arena, map->count, sizeof *g->includes);
    for (size_t i = 0; i < map->count; i++)
        MF_TRY(read_include(g, map->items[2 * i], map->items[2 * i + 1], read, good));
    return MF_OK;
}

/* ---- the files together ------------------------------------------------------------------------
 */

void mf__collect_stages(mf_graph *g, mf_graph *root)
{
    for (size_t i = 0; i < g->include_count; i++)
        mf__collect_stages(g->includes[i].graph, root);
    root->all =
        mf_grow(root->all, &root->all_room, root->all_count + g->def_count + 1, sizeof *root->all);
    for (size_t i = 0; i < g->def_count; i++)
        root->all[root->all_count++] = &g->defs[g->order[i]];
}
