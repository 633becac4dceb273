/* reads.c - the files that a graph reads, so that nothing is written in their place. */
#include "graph/expand/reads.h"

#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* The real path of a folder, or NULL. */
static const char *real_folder(mf_graph *g, const char *path)
{
    if (g->reads.last.path && !strcmp(g->reads.last.path, path))
        return g->reads.last.real;
    char *real = realpath(path, NULL);
    g->reads.last.path = mf_arena_copy(g->arena, path);
    g->reads.last.real = real ? mf_arena_copy(g->arena, real) : NULL;
    free(real);
    return g->reads.last.real;
}

char *mf__one_name(mf_graph *g, const char *path)
{
    mf_arena *arena = g->arena;
    char *head = mf_arena_copy(arena, path);
    for (char *slash = strrchr(head, '/'); slash; slash = strrchr(head, '/')) {
        size_t at = (size_t)(slash - head);
        head[at ? at : 1] = 0;
        const char *real = real_folder(g, head);
        if (real)
            return add_parts(arena, real, path + at + 1);
        if (!at)
            break;
    }
    return add_parts(arena, "", path);
}

/* ---- what is read ------------------------------------------------------------------------------
 */

#define GRAPH_FILE (NAME_NONE - 1)

static void add_read(mf_graph *root, const char *path, uint32_t node)
{
    char *real = realpath(path, NULL);
    mf__names_add(&root->reads.files, mf__one_name(root, path), node);
    if (real) /* and what a link leads to */
        mf__names_add(&root->reads.files, mf_arena_copy(root->arena, real), node);
    free(real);
}

static void add_graph_files(mf_graph *g, mf_graph *root)
{
    const char *slash = strrchr(g->path, '/');
    add_read(root, mf_arena_print(root->arena, "%s/%s", g->folder, slash ? slash + 1 : g->path),
             GRAPH_FILE);
    for (size_t i = 0; i < g->table_count; i++)
        add_read(root, g->tables[i], GRAPH_FILE);
    for (size_t i = 0; i < g->include_count; i++)
        add_graph_files(g->includes[i].graph, root);
}

/* All that nodes read by name: scans, label maps, weights, scripts. Once, when it is first asked.
 */
static void find_read(mf_graph *g)
{
    if (g->reads.found)
        return;
    g->reads.found = true;
    add_graph_files(g, g);
    for (size_t i = 0; i < g->node_count; i++)
        for (size_t k = 0; k < mf_params_path_count(g->nodes[i].params); k++)
            if (!i || g->nodes[i].params != g->nodes[i - 1].params)
                add_read(g, mf_params_path(g->nodes[i].params, k, NULL), (uint32_t)i);
}

static const char *reader_name(const mf_graph *g, uint32_t reader)
{
    return reader == NAME_NONE ? NULL : reader == GRAPH_FILE ? "" : g->nodes[reader].name;
}

const char *mf__reader_of(mf_graph *g, const char *name)
{
    find_read(g);
    return reader_name(g, mf__names_get(&g->reads.files, name));
}

const char *mf__reader_of_folder(mf_graph *g, const char *name)
{
    find_read(g);
    for (const char *slash = strchr(name + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        uint32_t reader = mf__names_get_n(&g->reads.files, name, (size_t)(slash - name));
        if (reader != NAME_NONE)
            return reader_name(g, reader);
    }
    return NULL;
}

/* ---- what is there already ---------------------------------------------------------------------
 */

/* The same file by another name: a second link, another mount of its disk, a disk that ignores
 * upper and lower case. */
typedef struct numbering {
    mf_graph *graph;
    uint32_t reader;
} numbering;

static void add_number(const numbering *n, const struct stat *about)
{
    graph_reads *r = &n->graph->reads;
    r->numbers = mf_grow(r->numbers, &r->number_room, r->number_count + 1, sizeof *r->numbers);
    r->numbers[r->number_count++] = (read_file){about->st_dev, about->st_ino, n->reader};
}

/* A file, or all files of a folder; links are followed, as they are when it is read. */
static mf_status add_numbers(void *self, const char *path)
{
    char *const roots[] = {(char *)path, NULL};
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    FTSENT *entry;
    while (walk && (entry = fts_read(walk)))
        if (entry->fts_info == FTS_F)
            add_number(self, entry->fts_statp);
    if (walk)
        fts_close(walk);
    return MF_OK;
}

static int by_number(const void *a, const void *b)
{
    const read_file *x = a, *y = b;
    return x->device != y->device   ? (x->device > y->device) - (x->device < y->device)
           : x->number != y->number ? (x->number > y->number) - (x->number < y->number)
                                    : (x->reader > y->reader) - (x->reader < y->reader);
}

/* The files that are named, and those that stages open beside them. What cannot be read now is told
 * when it is to be read. */
static void number_all(mf_graph *g)
{
    if (g->reads.numbered)
        return;
    g->reads.numbered = true;
    for (size_t i = 0; i < g->reads.files.room; i++)
        if (g->reads.files.keys[i])
            mf_error_free(
                add_numbers(&(numbering){g, g->reads.files.values[i]}, g->reads.files.keys[i]));
    for (size_t i = 0; i < g->node_count; i++) {
        const mf_node *n = &g->nodes[i];
        if (!n->stage->parts || (i && n->params == g->nodes[i - 1].params))
            continue;
        for (size_t k = 0; k < mf_params_path_count(n->params); k++) {
            const char *param, *file = mf_params_path(n->params, k, &param);
            mf_error_free(n->stage->parts(param, file, add_numbers, &(numbering){g, (uint32_t)i}));
        }
    }
    if (g->reads.number_count)
        qsort(g->reads.numbers, g->reads.number_count, sizeof *g->reads.numbers, by_number);
}

static const char *reader_of_same(mf_graph *g, const struct stat *about)
{
    number_all(g);
    size_t low = 0, high = g->reads.number_count;
    while (low < high) { /* the first of its number */
        size_t middle = low + (high - low) / 2;
        if (by_number(&g->reads.numbers[middle], &(read_file){about->st_dev, about->st_ino, 0}) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == g->reads.number_count)
        return NULL;
    const read_file *file = &g->reads.numbers[low];
    return file->device == about->st_dev && file->number == about->st_ino
               ? reader_name(g, file->reader)
               : NULL;
}

mf_status mf_graph_check_output(mf_graph *g, const char *path)
{
    const char *name =
        mf__one_name(g, *path == '/' ? path : mf_arena_print(g->arena, "%s/%s", g->cwd, path));
    const char *reader = mf__reader_of(g, name);
    struct stat about;
    if (!reader && !lstat(path, &about) && !S_ISLNK(about.st_mode)) /* a link itself is replaced */
        reader = reader_of_same(g, &about);
    if (reader)
        return mf_hint(*reader ? mf_fail(MF_INVALID, "%s: is read by %s", path, reader)
                               : mf_fail(MF_INVALID, "%s: is a file of the graph", path),
                       "name another file");
    reader = mf__reader_of_folder(g, name);
    return reader ? mf_hint(mf_fail(MF_INVALID, "%s: lies in a folder that %s reads", path, reader),
                            "write it to another folder")
                  : MF_OK;
}
