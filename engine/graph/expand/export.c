/* export.c - `export`: files wanted outside the cache, one for each node of a stage. */
#include "graph/expand/export.h"
#include "graph/check/connect.h"
#include "graph/check/reference.h"
#include "graph/data/combine.h"
#include "graph/data/report.h"
#include "graph/expand/reads.h"
#include "graph/values/splice.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* "stage.port", or "stage": its only output, or the only one that can be written as such a file. */
static bool read_key(mf_graph *g, const yaml *key, const yaml *node, const stage_def **def,
                     uint32_t *port)
{
    reference ref;
    if (!mf__parse_reference(g, NULL, key, key->text, &ref))
        return false;
    if (ref.gather)
        return mf__graph_error(g, key, "an export takes a stage, not a selection");
    *def = ref.source;
    const mf_stage *stage = (*def)->stage;
    const char *path = node->kind == YAML_SCALAR ? node->text : "";
    *port = ref.port == NAME_NONE ? 0 : ref.port;
    if (ref.port != NAME_NONE || mf_port_count(stage->out) == 1 ||
        mf_registry_writable(g->registry, stage, path, port) == 1)
        return true;
    mf__graph_error(g, key, "which output of '%s' is to be written? Name one", key->text);
    for (const mf_port *p = stage->out; p->name; p++)
        mf__note_port(g, stage, p, true);
    return false;
}

static bool check_writer(mf_graph *g, const yaml *node, const mf_port *out, const char *path)
{
    mf_port_type type;
    mf_port_type_parse(out->type, &type);
    if (type.shape != MF_PORT_ONE)
        return mf__graph_error(g, node, "%s cannot be written as a file", out->type);
    if (mf_registry_writer(g->registry, type.name, path))
        return true;
    char *suffixes = mf_registry_suffixes(g->registry, type.name);
    const char *name = strrchr(path, '/');
    mf__graph_error(g, node, "%s cannot be written as '%s'", type.name, name ? name + 1 : path);
    mf_diagnostics_note(g->d, "suffixes for %s: %s", type.name, *suffixes ? suffixes : "none");
    free(suffixes);
    return false;
}

/* ---- what else has the file --------------------------------------------------------------------
 */

/* Files that are written, by the one name of each. */
typedef struct export_files {
    names written; /* -> export */
    names folded;  /* the same in lower case */
} export_files;

static char *lower(mf_arena *arena, const char *text)
{
    char *copy = mf_arena_copy(arena, text);
    for (char *c = copy; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return copy;
}

static bool check_clash(mf_graph *g, export_files *files, const yaml *node, const mf_node *n,
                        const char *text, const char *name)
{
    uint32_t index = (uint32_t)g->export_count;
    const char *reader = mf__reader_of(g, name);
    if (reader) {
        mf__graph_error(g, node, "the export of %s would replace '%s'", n->name, text);
        if (*reader)
            mf_diagnostics_note(g->d, "%s reads it", reader);
        else
            mf_diagnostics_note(g->d, "it is a file of the graph");
        return false;
    }
    reader = mf__reader_of_folder(g, name);
    if (reader) {
        mf__graph_error(g, node, "the export of %s lies in a folder that is read: '%s'", n->name,
                        text);
        mf_diagnostics_note(g->d, "%s reads the folder, and would read the export", reader);
        return false;
    }
    uint32_t other = mf__names_add(&files->written, name, index);
    if (other != NAME_NONE) {
        mf__graph_error(g, node, "two exports write '%s'", text);
        mf_diagnostics_note(g->d, "%s and %s", g->nodes[g->exports[other].node].name, n->name);
        return false;
    }
    other = mf__names_add(&files->folded, lower(g->arena, name), index);
    if (other != NAME_NONE) {
        mf_place place = mf_yaml_place(node);
        mf_diagnostics_warning(g->d, &place,
                               "the exports of %s and %s differ only in upper and lower case: on a "
                               "disk that ignores it one replaces the other",
                               g->nodes[g->exports[other].node].name, n->name);
    }
    return true;
}

/* Whether an export needs as a folder what another one writes as a file. */
static bool check_folders(mf_graph *g, const export_files *files, const yaml *node,
                          const mf_node *n, const char *name)
{
    for (const char *slash = strchr(name + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        uint32_t other = mf__names_get_n(&files->written, name, (size_t)(slash - name));
        if (other == NAME_NONE)
            continue;
        mf__graph_error(g, node,
                        "the export of %s needs the folder '%.*s', which is a file that "
                        "another export writes",
                        n->name, (int)(slash - name), name);
        mf_diagnostics_note(g->d, "that of %s", g->nodes[g->exports[other].node].name);
        return false;
    }
    return true;
}

/* ---- exports -----------------------------------------------------------------------------------
 */

/* The file of one node. */
static bool add_export(mf_graph *g, export_files *files, const yaml *node, const stage_def *def,
                       uint32_t i, uint32_t port)
{
    given v;
    uint32_t node_index = def->first + i, at[MOST_AXES];
    const mf_node *n = &g->nodes[node_index];
    mf__def_at(def, i, at);
    if (!mf__resolve(g, node, &(here){def, at, false}, &v))
        return false;
    if (v.list || !*v.text)
        return mf__graph_error(g, node, "an export takes one path");
    if (!check_writer(g, node, &n->stage->out[port], v.text))
        return false;
    /* A path that begins with a column of the case is still meant from the graph's folder. */
    const char *base = v.of_node ? g->folder : v.base;
    char *path = *v.text == '/' ? mf_arena_copy(g->arena, v.text)
                                : mf_arena_print(g->arena, "%s/%s", base, v.text);
    char *name = mf__one_name(g, path);
    if (!check_clash(g, files, node, n, v.text, name))
        return false;
    g->exports = mf_grow(g->exports, &g->export_room, g->export_count + 1, sizeof *g->exports);
    g->exports[g->export_count++] = (mf_export){node_index, port, path, node->line, node->column};
    return true;
}

/* Once all are known: a file may come behind what needs its folder. */
static bool check_all_folders(mf_graph *g, export_files *files, const yaml *map)
{
    bool good = true;
    for (size_t i = 0; i < g->export_count && good; i++) {
        const mf_export *x = &g->exports[i];
        const yaml *node = map;
        for (size_t k = 0; k < map->count; k++)
            if (map->items[2 * k + 1]->line == x->line &&
                map->items[2 * k + 1]->column == x->column)
                node = map->items[2 * k + 1];
        good = check_folders(g, files, node, &g->nodes[x->node], mf__one_name(g, x->path));
    }
    return good;
}

bool mf__read_exports(mf_graph *g)
{
    const yaml *map = mf_yaml_get(g->root, "export", NULL);
    export_files files = {0};
    bool good = true;
    if (!map || mf_yaml_empty(map))
        return true;
    if (map->kind != YAML_MAP)
        return mf__graph_error(g, map, "'export' takes stages and paths");
    for (size_t i = 0; i < map->count; i++) {
        const yaml *node = map->items[2 * i + 1];
        const stage_def *def = NULL;
        uint32_t port = 0;
        bool fine = read_key(g, map->items[2 * i], node, &def, &port);
        for (uint32_t k = 0; fine && k < def->count; k++)
            fine = add_export(g, &files, node, def, k, port);
        good &= fine;
    }
    good = good && check_all_folders(g, &files, map);
    mf__names_free(&files.written);
    mf__names_free(&files.folded);
    return good;
}
