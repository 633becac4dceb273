/* export.c - `export`: files wanted outside the cache, one for each node of a stage. */
#include "graph/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* "stage.port", or "stage": its only output, or the only one that can be written as such a file. */
static bool read_key(mf_graph *g, const yaml *key, const yaml *node, const stage_def **def,
                     uint32_t *port)
{
    reference ref;
    if (!parse_reference(g, NULL, key, &ref))
        return false;
    if (ref.gather)
        return graph_error(g, key, "an export takes a stage, not a selection");
    *def = ref.source;
    const mf_stage *stage = (*def)->stage;
    const char *path = node->kind == YAML_SCALAR ? node->text : "";
    *port = ref.port == NAME_NONE ? 0 : ref.port;
    if (ref.port != NAME_NONE || mf_port_count(stage->out) == 1 ||
        mf_registry_writable(g->registry, stage, path, port) == 1)
        return true;
    graph_error(g, key, "which output of '%s' is to be written? Name one", key->text);
    for (const mf_port *p = stage->out; p->name; p++)
        note_port(g, stage, p, true);
    return false;
}

static bool check_writer(mf_graph *g, const yaml *node, const mf_port *out, const char *path)
{
    mf_port_type type;
    mf_port_type_parse(out->type, &type);
    if (type.shape != MF_PORT_ONE)
        return graph_error(g, node, "%s cannot be written as a file", out->type);
    if (mf_registry_writer(g->registry, type.name, path))
        return true;
    char *suffixes = mf_registry_suffixes(g->registry, type.name);
    const char *name = strrchr(path, '/');
    graph_error(g, node, "%s cannot be written as '%s'", type.name, name ? name + 1 : path);
    mf_diagnostics_note(g->d, "suffixes for %s: %s", type.name, *suffixes ? suffixes : "none");
    free(suffixes);
    return false;
}

/* ---- which file a path names -------------------------------------------------------------------
 */

/* Adds the parts of a path behind a folder that is real, "." and ".." worked out. */
static char *add_parts(mf_arena *arena, const char *real, const char *rest)
{
    char *path = mf_arena_print(arena, "%s/%s", strcmp(real, "/") ? real : "", rest), *to = path;
    for (const char *c = path; *c;) {
        size_t slashes = strspn(c, "/"), n = strcspn(c + slashes, "/");
        const char *part = c + slashes;
        c = part + n;
        if (!n || (n == 1 && *part == '.'))
            continue;
        if (n == 2 && !strncmp(part, "..", 2)) {
            while (to > path && *--to != '/')
                ;
            continue;
        }
        *to++ = '/';
        memmove(to, part, n);
        to += n;
    }
    *to = 0;
    return path;
}

/* The folder that was resolved last: most files lie where the one before lies. */
typedef struct folder_cache {
    const char *path, *real;
} folder_cache;

/* The real path of a folder, or NULL. */
static const char *real_folder(mf_arena *arena, folder_cache *last, const char *path)
{
    if (last->path && !strcmp(last->path, path))
        return last->real;
    char *real = realpath(path, NULL);
    *last = (folder_cache){mf_arena_copy(arena, path), real ? mf_arena_copy(arena, real) : NULL};
    free(real);
    return last->real;
}

/* The file that `path`, absolute, names: links and detours on the way resolved as far as folders
 * are there, so that one file has one name. A link in its last part is replaced, not followed. */
static char *one_name(mf_arena *arena, folder_cache *last, const char *path)
{
    char *head = mf_arena_copy(arena, path);
    for (char *slash = strrchr(head, '/'); slash; slash = strrchr(head, '/')) {
        size_t at = (size_t)(slash - head);
        head[at ? at : 1] = 0;
        const char *real = real_folder(arena, last, head);
        if (real)
            return add_parts(arena, real, path + at + 1);
        if (!at)
            break;
    }
    return add_parts(arena, "", path);
}

static char *lower(mf_arena *arena, const char *text)
{
    char *copy = mf_arena_copy(arena, text);
    for (char *c = copy; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return copy;
}

/* Files that are written, and those that are read, by the one name of each. */
typedef struct export_files {
    names written; /* -> export */
    names folded;  /* the same in lower case */
    names read;    /* -> node, or NAME_NONE - 1 for a file of the graph's own */
    folder_cache last;
} export_files;

#define GRAPH_FILE (NAME_NONE - 1)

static void add_read(mf_graph *g, export_files *files, const char *path, uint32_t node)
{
    char *real = realpath(path, NULL);
    names_add(&files->read, one_name(g->arena, &files->last, path), node);
    if (real) /* and what a link leads to */
        names_add(&files->read, mf_arena_copy(g->arena, real), node);
    free(real);
}

static void add_graph_files(mf_graph *g, mf_graph *root, export_files *files)
{
    const char *slash = strrchr(g->path, '/');
    add_read(root, files,
             mf_arena_print(root->arena, "%s/%s", g->folder, slash ? slash + 1 : g->path),
             GRAPH_FILE);
    for (size_t i = 0; i < g->table_count; i++)
        add_read(root, files, g->tables[i], GRAPH_FILE);
    for (size_t i = 0; i < g->include_count; i++)
        add_graph_files(g->includes[i].graph, root, files);
}

/* All that nodes read by name: scans, label maps, weights, scripts. */
static void find_read(mf_graph *g, export_files *files)
{
    add_graph_files(g, g, files);
    for (size_t i = 0; i < g->node_count; i++)
        for (size_t k = 0; k < mf_params_path_count(g->nodes[i].params); k++)
            if (!i || g->nodes[i].params != g->nodes[i - 1].params)
                add_read(g, files, mf_params_path(g->nodes[i].params, k, NULL), (uint32_t)i);
}

static bool check_clash(mf_graph *g, export_files *files, const yaml *node, const mf_node *n,
                        const char *text, const char *name)
{
    uint32_t index = (uint32_t)g->export_count;
    uint32_t reader = names_get(&files->read, name);
    if (reader != NAME_NONE) {
        graph_error(g, node, "the export of %s would replace '%s'", n->name, text);
        if (reader == GRAPH_FILE)
            mf_diagnostics_note(g->d, "it is a file of the graph");
        else
            mf_diagnostics_note(g->d, "%s reads it", g->nodes[reader].name);
        return false;
    }
    uint32_t other = names_add(&files->written, name, index);
    if (other != NAME_NONE) {
        graph_error(g, node, "two exports write '%s'", text);
        mf_diagnostics_note(g->d, "%s and %s", g->nodes[g->exports[other].node].name, n->name);
        return false;
    }
    other = names_add(&files->folded, lower(g->arena, name), index);
    if (other != NAME_NONE) {
        mf_place place = yaml_place(node);
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
        uint32_t other = names_get_n(&files->written, name, (size_t)(slash - name));
        if (other == NAME_NONE)
            continue;
        graph_error(g, node,
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
    def_at(def, i, at);
    if (!resolve(g, node, &(here){def, at, false}, &v))
        return false;
    if (v.list || !*v.text)
        return graph_error(g, node, "an export takes one path");
    if (!check_writer(g, node, &n->stage->out[port], v.text))
        return false;
    /* A path that begins with a column of the case is still meant from the graph's folder. */
    const char *base = v.of_node ? g->folder : v.base;
    char *path = *v.text == '/' ? mf_arena_copy(g->arena, v.text)
                                : mf_arena_print(g->arena, "%s/%s", base, v.text);
    char *name = one_name(g->arena, &files->last, path);
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
        good = check_folders(g, files, node, &g->nodes[x->node],
                             one_name(g->arena, &files->last, x->path));
    }
    return good;
}

bool read_exports(mf_graph *g)
{
    const yaml *map = yaml_get(g->root, "export", NULL);
    export_files files = {0};
    bool good = true;
    if (!map || yaml_empty(map))
        return true;
    if (map->kind != YAML_MAP)
        return graph_error(g, map, "'export' takes stages and paths");
    if (map->count)
        find_read(g, &files);
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
    names_free(&files.written);
    names_free(&files.folded);
    names_free(&files.read);
    return good;
}
