/* export.c - writing exports, and knowing which still stand.
 *
 * The file `exports` in the store's folder holds a line for each: the artifact's id, the digest of
 * the file as it was written, @ and the digest of the graph's path, the file's path. It is only a
 * memory: without it all is written again. Lines of older versions have no graph. */
#include "run/schedule/export.h"
#include "run/artifact/check.h"
#include "run/artifact/write.h"
#include "run/output/partial.h"
#include <massflow/file.h>
#include <massflow/memory.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct entry {
    char id[MF_HEX_SIZE], digest[MF_HEX_SIZE];
    char graph[MF_HEX_SIZE]; /* "": not known */
    char *path;
} entry;

typedef struct memory {
    char *file;
    entry *entries;
    size_t count;
} memory;

struct mf_exports {
    const mf_graph *graph;
    mf_store *store;
    memory memory;
};

static void memory_free(memory *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->entries[i].path);
    free(m->entries);
    free(m->file);
}

static entry *find(memory *m, const char *path)
{
    for (size_t i = 0; i < m->count; i++) {
        if (!strcmp(m->entries[i].path, path))
            return &m->entries[i];
    }
    return NULL;
}

static mf_status remember(memory *m, const char *path, const char *id, const char *digest,
                          const char *graph)
{
    entry *e = find(m, path);

    if (!e) {
        entry *grown = mf_list_more(m->entries, m->count, sizeof *grown);
        if (!grown)
            return mf_no_memory(0, "exports");
        m->entries = grown;
        e = &m->entries[m->count];
        e->path = strdup(path);
        if (!e->path)
            return mf_no_memory(0, "exports");
        m->count++;
    }
    snprintf(e->id, sizeof e->id, "%s", id);
    snprintf(e->digest, sizeof e->digest, "%s", digest);
    snprintf(e->graph, sizeof e->graph, "%s", graph);
    return MF_OK;
}

/* By which name its exports are remembered. */
static mf_status name_graph(const mf_graph *graph, char name[MF_HEX_SIZE])
{
    char *path = realpath(mf_graph_path(graph), NULL);

    if (!path)
        return mf_fail(MF_IO, "%s: %s", mf_graph_path(graph), strerror(errno));
    mf_digest_hex(path, strlen(path), name);
    free(path);
    return MF_OK;
}

/* "@GRAPH PATH" or, as older versions wrote it, "PATH", which begins with a slash. */
static mf_status take_line(memory *m, const char *id, const char *digest, char *rest)
{
    const bool named = *rest == '@' && strlen(rest) > MF_HEX_SIZE + 1 && rest[MF_HEX_SIZE] == ' ';

    if (named)
        rest[MF_HEX_SIZE] = '\0';
    return remember(m, named ? rest + MF_HEX_SIZE + 1 : rest, id, digest, named ? rest + 1 : "");
}

static mf_status memory_read(memory *m, const char *dir)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int64_t size;
    mf_status status;
    FILE *file;

    if (asprintf(&m->file, "%s/exports", dir) < 0) {
        m->file = NULL;
        return mf_no_memory(0, "exports");
    }
    status = mf_file_open(m->file, &file, &size);
    if (status && mf_error_code(status) == MF_NOT_FOUND) {
        mf_error_free(status);
        return MF_OK;
    }
    MF_TRY(status);
    while (!status && (length = getline(&line, &room, file)) > 0) {
        /* "ID DIGEST PATH": what is not such a line is forgotten. */
        if (length < 132 || line[64] != ' ' || line[129] != ' ' || line[length - 1] != '\n')
            continue;
        line[64] = line[129] = line[length - 1] = '\0';
        status = take_line(m, line, line + 65, line + 130);
    }
    free(line);
    fclose(file);
    return status;
}

static mf_status put_memory(const memory *m, const char *path)
{
    FILE *file = fopen(path, "we");
    bool bad;

    if (!file)
        return mf_fail(MF_IO, "%s: %s", m->file, strerror(errno));
    for (size_t i = 0; i < m->count; i++)
        fprintf(file, "%s %s %s%s%s%s\n", m->entries[i].id, m->entries[i].digest,
                *m->entries[i].graph ? "@" : "", m->entries[i].graph,
                *m->entries[i].graph ? " " : "", m->entries[i].path);
    bad = ferror(file) || fflush(file) != 0;
    bad |= fclose(file) != 0;
    return bad ? mf_fail(MF_IO, "%s: %s", m->file, strerror(errno)) : MF_OK;
}

static mf_status memory_write(const memory *m)
{
    mf_partial partial;
    mf_status status;

    mf_partials_sweep(m->file);
    MF_TRY(mf_partial_begin(m->file, &partial));
    status = put_memory(m, partial.file);
    if (!status)
        status = mf_partial_end(&partial);
    mf_partial_drop(&partial);
    return status;
}

static mf_status make_folders(const char *path)
{
    char *copy = strdup(path);
    mf_status status = MF_OK;

    if (!copy)
        return mf_no_memory(0, "exports");
    for (char *slash = strchr(copy + 1, '/'); slash && !status; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            status = mf_fail(MF_IO, "%s: %s", copy, strerror(errno));
        *slash = '/';
    }
    free(copy);
    return status;
}

/* ---- before anything runs -------------------------------------------------------------------- */

/* The folders of `path`, from the innermost: the first that is there has to take new files. */
static mf_status check_folder(const char *path)
{
    char *copy = strdup(path), *slash;
    struct stat about;
    mf_status status = MF_OK;

    if (!copy)
        return mf_no_memory(0, "exports");
    while ((slash = strrchr(copy, '/'))) {
        const char *folder = slash == copy ? "/" : copy;
        *slash = '\0';
        if (stat(folder, &about) != 0 && errno == ENOENT && slash != copy)
            continue;
        if (stat(folder, &about) != 0)
            status = mf_fail(MF_IO, "%s: %s", folder, strerror(errno));
        else if (!S_ISDIR(about.st_mode))
            status = mf_fail(MF_IO, "%s: %s", folder, strerror(ENOTDIR));
        else if (access(folder, W_OK | X_OK) != 0)
            status = mf_fail(MF_IO, "the folder %s cannot be written: %s", folder, strerror(errno));
        break;
    }
    free(copy);
    return status;
}

/* Whether the file stands there as it was written from this artifact. */
static bool stands(mf_store *store, memory *m, const char *path, const char *id)
{
    const entry *e = find(m, path);
    char digest[MF_HEX_SIZE];
    mf_status status;

    if (!e || strcmp(e->id, id) || access(path, R_OK) != 0)
        return false;
    status = mf_store_file(store, path, digest);
    if (status) {
        mf_error_free(status); /* it is written again, and that error is told */
        return false;
    }
    return !strcmp(digest, e->digest);
}

static mf_status check_target(mf_plan *plan, memory *m, const mf_output_rule *rule,
                              const mf_export *x)
{
    const mf_plan_node *n = mf_plan_at(plan, x->node);
    const entry *e = find(m, x->path);

    MF_TRY(check_folder(x->path));
    if (n->state == MF_PLAN_CACHED && *n->outputs[x->port].id &&
        stands(mf_plan_store(plan), m, x->path, n->outputs[x->port].id))
        return MF_OK;
    return mf_output_check(x->path, rule, e ? e->digest : NULL);
}

static mf_status check_all(mf_plan *plan, memory *m, const mf_output_rule *rule)
{
    const mf_graph *graph = mf_plan_graph(plan);

    for (size_t i = 0; i < mf_graph_export_count(graph); i++) {
        const mf_export *x = mf_graph_export(graph, i);
        const mf_plan_node *n = mf_plan_at(plan, x->node);
        if (n->state == MF_PLAN_UNWANTED)
            continue;
        MF_TRY(mf_at(mf_within(check_target(plan, m, rule, x), "export of %s", n->node->name),
                     mf_graph_path(graph), x->line, x->column));
    }
    return MF_OK;
}

mf_status mf_export_check(mf_plan *plan, const mf_output_rule *rule)
{
    memory m = {0};
    mf_status status;

    if (mf_graph_export_count(mf_plan_graph(plan)) == 0)
        return MF_OK;
    status = memory_read(&m, mf_store_dir(mf_plan_store(plan)));
    if (!status)
        status = check_all(plan, &m, rule);
    memory_free(&m);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

static mf_status export_one(mf_store *store, const mf_registry *registry, memory *m,
                            const mf_output_rule *rule, const char *path, const char *id,
                            const char *graph)
{
    const entry *e = find(m, path);
    char digest[MF_HEX_SIZE];
    mf_artifact *artifact;
    mf_status status;

    MF_TRY(make_folders(path));
    MF_TRY(mf_open_artifact(store, registry, id, &artifact));
    status = mf_write_output(registry, artifact, path, NULL, rule, e ? e->digest : NULL, digest);
    mf_artifact_unref(artifact);
    MF_TRY(status);
    return remember(m, path, id, digest, graph);
}

static bool same_folder(const char *a, const char *b)
{
    const char *x = strrchr(a, '/'), *y = strrchr(b, '/');
    ptrdiff_t length = x ? x - a : 0;

    return length == (y ? y - b : 0) && !strncmp(a, b, (size_t)length);
}

static bool export_all(mf_plan *plan, const mf_registry *registry, memory *m,
                       const mf_output_rule *rule, const char *name, mf_export_watch watch,
                       void *self, size_t *failed)
{
    const mf_graph *graph = mf_plan_graph(plan);
    const char *swept = NULL;
    bool changed = false;

    for (size_t i = 0; i < mf_graph_export_count(graph); i++) {
        const mf_export *x = mf_graph_export(graph, i);
        const mf_plan_node *n = mf_plan_at(plan, x->node);
        mf_exported file = {.path = x->path, .node = n->node->name};
        mf_status status = MF_OK;
        char *text = NULL;
        if (n->state != MF_PLAN_CACHED && n->state != MF_PLAN_DONE)
            continue;
        if (!*n->outputs[x->port].id)
            status = mf_fail(MF_NOT_FOUND, "%s has no output '%s'", n->node->name,
                             n->node->stage->out[x->port].name);
        else if (!stands(mf_plan_store(plan), m, x->path, n->outputs[x->port].id)) {
            if (!swept || !same_folder(swept, x->path))
                mf_partials_sweep(swept = x->path);
            status = export_one(mf_plan_store(plan), registry, m, rule, x->path,
                                n->outputs[x->port].id, name);
            file.written = !status;
            changed |= !status;
        } else if (strcmp(find(m, x->path)->graph, name)) {
            memcpy(find(m, x->path)->graph, name, MF_HEX_SIZE); /* of another graph before */
            changed = true;
        }
        if (status) {
            (*failed)++;
            text = mf_error_text(status);
            file.error = text ? text : "out of memory";
            mf_error_free(status);
        }
        if (watch)
            watch(self, &file);
        free(text);
    }
    return changed;
}

mf_status mf_export_all(mf_plan *plan, const mf_registry *registry, const mf_output_rule *rule,
                        mf_export_watch watch, void *self, size_t *failed)
{
    memory m = {0};
    char name[MF_HEX_SIZE];
    mf_status status;

    *failed = 0;
    if (mf_graph_export_count(mf_plan_graph(plan)) == 0)
        return MF_OK;
    MF_TRY(name_graph(mf_plan_graph(plan), name));
    status = memory_read(&m, mf_store_dir(mf_plan_store(plan)));
    if (!status && export_all(plan, registry, &m, rule, name, watch, self, failed))
        status = memory_write(&m);
    memory_free(&m);
    return mf_within(status, "exports");
}

/* ---- what is left of others ------------------------------------------------------------------ */

static bool is_export(const mf_graph *graph, const char *path)
{
    for (size_t i = 0; i < mf_graph_export_count(graph); i++)
        if (!strcmp(mf_graph_export(graph, i)->path, path))
            return true;
    return false;
}

/* Whether it is an export by another path, or what the graph reads. */
static bool is_in_use(mf_plan *plan, const mf_output_rule *rule, const char *path,
                      const struct stat *about)
{
    const mf_graph *graph = mf_plan_graph(plan);
    struct stat other;

    for (size_t i = 0; i < mf_graph_export_count(graph); i++)
        if (stat(mf_graph_export(graph, i)->path, &other) == 0 && other.st_dev == about->st_dev &&
            other.st_ino == about->st_ino)
            return true;
    mf_status read = rule->graph ? mf_graph_check_output(rule->graph, path) : MF_OK;
    const bool is_read = read != MF_OK;
    mf_error_free(read);
    return is_read;
}

/* Whether an entry is to be forgotten: its file is gone, is in use, or is removed now. */
static bool look_at_stale(mf_plan *plan, const mf_output_rule *rule, const entry *e, bool remove,
                          mf_stale_call tell, void *self)
{
    mf_stale stale = {.path = e->path};
    char digest[MF_HEX_SIZE];
    struct stat about;

    if (lstat(e->path, &about) != 0 || is_in_use(plan, rule, e->path, &about))
        return true;
    mf_status status = mf_store_file(mf_plan_store(plan), e->path, digest);
    stale.changed = status || !S_ISREG(about.st_mode) || strcmp(digest, e->digest);
    mf_error_free(status);
    if (stale.changed && !remove)
        return false;
    stale.removed = remove && !stale.changed && unlink(e->path) == 0;
    tell(self, &stale);
    return stale.removed || stale.changed;
}

mf_status mf_export_stale(mf_plan *plan, const mf_output_rule *rule, bool remove,
                          mf_stale_call tell, void *self)
{
    const mf_graph *graph = mf_plan_graph(plan);
    memory m = {0};
    char name[MF_HEX_SIZE];
    size_t kept = 0;
    mf_status status = name_graph(graph, name);

    if (!status)
        status = memory_read(&m, mf_store_dir(mf_plan_store(plan)));
    const size_t count = m.count;
    for (size_t i = 0; !status && i < count; i++) {
        entry *e = &m.entries[i];
        if (!strcmp(e->graph, name) && !is_export(graph, e->path) &&
            look_at_stale(plan, rule, e, remove, tell, self))
            free(e->path);
        else
            m.entries[kept++] = *e;
    }
    if (!status) {
        m.count = kept;
        if (kept < count)
            status = memory_write(&m);
    }
    memory_free(&m);
    return mf_within(status, "exports");
}

mf_status mf_exports_new(const mf_graph *graph, mf_store *store, mf_exports **exports)
{
    mf_exports *x = calloc(1, sizeof *x);
    mf_status status;

    *exports = NULL;
    if (!x)
        return mf_no_memory(0, "exports");
    x->graph = graph;
    x->store = store;
    status = memory_read(&x->memory, mf_store_dir(store));
    if (status)
        mf_exports_free(x);
    else
        *exports = x;
    return mf_within(status, "exports");
}

void mf_exports_free(mf_exports *x)
{
    if (!x)
        return;
    memory_free(&x->memory);
    free(x);
}

bool mf_exports_need(void *self, size_t node, size_t port, const char *id)
{
    mf_exports *x = self;

    for (size_t i = 0; i < mf_graph_export_count(x->graph); i++) {
        const mf_export *e = mf_graph_export(x->graph, i);
        if (e->node == node && e->port == port && !stands(x->store, &x->memory, e->path, id))
            return true;
    }
    return false;
}
