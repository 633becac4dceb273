/* files.c - hashing input files. The store remembers what has not changed since it was hashed. */
#include "run/plan/files.h"
#include "base/path.h"
#include "store/stamp.h"

#include <massflow/memory.h>
#include <massflow/seconds.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HOLD_SECONDS 0.3

typedef struct file_entry {
    mf_file_use use;
    mf_file_part *parts; /* the path itself, then what is read with it */
    size_t count;
    char digest[MF_HEX_SIZE]; /* of all */
    mf_store *store;
    mf_status status;
} file_entry;

struct mf_files {
    mf_store *store;
    file_entry *entries; /* in order of use, without repeats */
    size_t count;
    atomic_size_t next;
};

static int by_use(const void *a, const void *b)
{
    const mf_file_use *x = &((const file_entry *)a)->use, *y = &((const file_entry *)b)->use;
    int order = strcmp(x->path, y->path);

    if (!order)
        order = strcmp(x->stage->name, y->stage->name);
    return order ? order : strcmp(x->param, y->param);
}

/* ---- hashing --------------------------------------------------------------------------------- */

static mf_status add_part(void *self, const char *path)
{
    file_entry *e = self;

    mf_file_part *grown = mf_list_more(e->parts, e->count, sizeof *grown);
    if (!grown)
        return mf_no_memory(0, "the files of %s", e->use.path);
    e->parts = grown;
    mf_file_part *part = &e->parts[e->count];
    *part = (mf_file_part){.path = strdup(path)};
    if (!part->path)
        return mf_no_memory(0, "the files of %s", e->use.path);
    e->count++;
    MF_TRY(mf_stamp_take(path, &part->stamp));
    return mf_store_file(e->store, path, part->digest);
}

/* A path that is read alone has the digest of its content. */
static mf_status join_digests(file_entry *e)
{
    mf_digest *digest;

    if (e->count == 1) {
        memcpy(e->digest, e->parts[0].digest, MF_HEX_SIZE);
        return MF_OK;
    }
    MF_TRY(mf_digest_new(&digest));
    mf_digest_add_text(digest, "massflow parts 1");
    for (size_t i = 0; i < e->count; i++)
        mf_digest_add_text(digest, e->parts[i].digest);
    mf_digest_end_hex(digest, e->digest);
    mf_digest_free(digest);
    return MF_OK;
}

static mf_status hash_entry(file_entry *e)
{
    MF_TRY(add_part(e, e->use.path));
    if (e->use.stage->parts)
        MF_TRY(e->use.stage->parts(e->use.param, e->use.path, add_part, e));
    return join_digests(e);
}

/* Most files are as they were and cost only a look-up; these share a read transaction, which is
 * begun anew now and then, for the hashing of large files may take long. */
static mf_status hash_some(mf_files *files)
{
    double since = mf_seconds();
    size_t i;

    MF_TRY(mf_store_hold(files->store));
    while ((i = atomic_fetch_add(&files->next, 1)) < files->count) {
        files->entries[i].status = hash_entry(&files->entries[i]);
        if (mf_seconds() - since > HOLD_SECONDS) {
            mf_store_release(files->store);
            MF_TRY(mf_store_hold(files->store));
            since = mf_seconds();
        }
    }
    mf_store_release(files->store);
    return MF_OK;
}

static void *hash_thread(void *self)
{
    mf_files *files = self;

    /* What this thread can't do the calling one does, and it reports why not. */
    mf_error_free(hash_some(files));
    return NULL;
}

static mf_status hash_all(mf_files *files, int threads)
{
    pthread_t workers[16];
    int started = 0;
    mf_status status;

    if (files->count < 2)
        threads = 1;
    if (threads > 16)
        threads = 16;
    while (started < threads - 1 &&
           pthread_create(&workers[started], NULL, hash_thread, files) == 0)
        started++;
    status = hash_some(files);
    for (int i = 0; i < started; i++)
        pthread_join(workers[i], NULL);
    return status;
}

mf_status mf_files_new(mf_store *store, const mf_file_use *uses, size_t count, int threads,
                       mf_files **files)
{
    mf_files *f = calloc(1, sizeof *f);
    file_entry *entries = calloc(count ? count : 1, sizeof *entries);
    mf_status status;

    *files = NULL;
    if (!f || !entries) {
        free(f);
        free(entries);
        return mf_no_memory(0, "%zu input files", count);
    }
    for (size_t i = 0; i < count; i++)
        entries[i] = (file_entry){.use = uses[i], .store = store};
    qsort(entries, count, sizeof *entries, by_use);
    for (size_t i = 0; i < count; i++) {
        if (!f->count || by_use(&entries[f->count - 1], &entries[i]) != 0)
            entries[f->count++] = entries[i];
    }
    f->store = store;
    f->entries = entries;
    status = hash_all(f, threads);
    if (status) {
        mf_files_free(f);
        return status;
    }
    *files = f;
    return MF_OK;
}

void mf_files_free(mf_files *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->count; i++) {
        for (size_t k = 0; k < f->entries[i].count; k++)
            free(f->entries[i].parts[k].path);
        free(f->entries[i].parts);
        mf_error_free(f->entries[i].status);
    }
    free(f->entries);
    free(f);
}

static const file_entry *find(const mf_files *f, const mf_file_use *use)
{
    file_entry key = {.use = *use};

    return f ? bsearch(&key, f->entries, f->count, sizeof key, by_use) : NULL;
}

const char *mf_files_digest(const mf_files *f, const mf_file_use *use)
{
    const file_entry *e = find(f, use);

    return e && !e->status ? e->digest : NULL;
}

const mf_error *mf_files_error(const mf_files *f, const mf_file_use *use)
{
    const file_entry *e = find(f, use);

    return e ? e->status : NULL;
}

/* ---- where they lie -------------------------------------------------------------------------- */

size_t mf_file_folder(const char *path)
{
    size_t length = strlen(path);

    while (length && path[length - 1] == '/')
        length--;
    while (length && path[length - 1] != '/')
        length--;
    return length;
}

const char *mf_file_below(const char *path, const char *part)
{
    size_t folder = mf_file_folder(path), length = strlen(part);

    if (folder && !strncmp(part, path, folder - 1) && length == folder - 1)
        return part + length;
    if (strncmp(part, path, folder) != 0 || !mf_path_leads_down(part + folder))
        return NULL;
    return part + folder;
}

bool mf_files_together(const mf_files *files, const mf_work *work)
{
    for (size_t i = 0; i < mf_params_path_count(work->params); i++) {
        mf_file_use use = {.stage = work->stage};
        use.path = mf_params_path(work->params, i, &use.param);
        const file_entry *e = find(files, &use);
        for (size_t k = 0; e && k < e->count; k++)
            if (!mf_file_below(use.path, e->parts[k].path))
                return false;
    }
    for (size_t p = 0; p < work->feed_count; p++)
        if (work->feeds[p].stream && !mf_files_together(files, work->feeds[p].stream))
            return false;
    return true;
}

/* ---- watching -------------------------------------------------------------------------------- */

typedef struct watched {
    const mf_file_part *part;
    mf_stamp stamp; /* as the stage began */
} watched;

struct mf_file_watch {
    mf_store *store; /* or NULL: it remembers no digests */
    size_t count;
    watched *items;
    mf_file_input *inputs;
    size_t input_count;
};

static mf_status watch_parts(mf_file_watch *w, const mf_file_part *parts, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        watched *grown = mf_list_more(w->items, w->count, sizeof *grown);
        if (!grown)
            return mf_no_memory(0, "watching files");
        w->items = grown;
        w->items[w->count++] = (watched){&parts[k], parts[k].stamp};
    }
    return MF_OK;
}

static mf_status watch_input(mf_file_watch *w, const mf_file_part *parts, size_t count)
{
    mf_file_input *grown = mf_list_more(w->inputs, w->input_count, sizeof *grown);

    if (!grown)
        return mf_no_memory(0, "watching files");
    w->inputs = grown;
    w->inputs[w->input_count++] = (mf_file_input){parts, count};
    return watch_parts(w, parts, count);
}

/* Each file entry of the work and of its streams. */
static mf_status watch_work(mf_file_watch *w, const mf_files *files, const mf_work *work)
{
    for (size_t i = 0; i < mf_params_path_count(work->params); i++) {
        mf_file_use use = {.stage = work->stage};
        use.path = mf_params_path(work->params, i, &use.param);
        const file_entry *e = find(files, &use);
        if (e)
            MF_TRY(watch_input(w, e->parts, e->count));
    }
    for (size_t p = 0; p < work->feed_count; p++)
        if (work->feeds[p].stream)
            MF_TRY(watch_work(w, files, work->feeds[p].stream));
    return MF_OK;
}

mf_status mf_file_watch_new(const mf_files *files, const mf_work *work, mf_file_watch **watch)
{
    mf_file_watch *w = *watch = calloc(1, sizeof *w);
    mf_status status;

    if (!w)
        return mf_no_memory(0, "watching the files of %s", work->node);
    w->store = files ? files->store : NULL;
    status = watch_work(w, files, work);
    if (status) {
        mf_file_watch_free(w);
        *watch = NULL;
    }
    return status;
}

mf_status mf_file_watch_copies(const mf_file_input *inputs, size_t count, mf_file_watch **watch)
{
    mf_file_watch *w = *watch = calloc(1, sizeof *w);
    mf_status status = w ? MF_OK : mf_no_memory(0, "watching files");

    for (size_t i = 0; i < count && !status; i++)
        status = watch_input(w, inputs[i].parts, inputs[i].count);
    if (status) {
        mf_file_watch_free(w);
        *watch = NULL;
    }
    return status;
}

void mf_file_watch_free(mf_file_watch *watch)
{
    if (!watch)
        return;
    free(watch->items);
    free(watch->inputs);
    free(watch);
}

const mf_file_input *mf_file_watch_inputs(const mf_file_watch *watch, size_t *count)
{
    *count = watch->input_count;
    return watch->inputs;
}

/* The file of a folder is named, too. */
static mf_status changed(const mf_file_part *part, const char *when)
{
    char *newest = mf_stamp_newest(part->path);
    bool named = newest && *newest;
    mf_status status =
        mf_fail(MF_INVALID, "%s changed %s%s%s%s: the result was discarded", part->path, when,
                named ? " (last: " : "", named ? newest : "", named ? ")" : "");

    free(newest);
    return status;
}

mf_status mf_file_changed(const mf_file_part *part)
{
    return mf_hint(changed(part, "after the run was planned"), "run again to use the new content");
}

/* The content must be what was planned with; the stamp is then the newer one. */
static mf_status content_same(const mf_file_watch *w, const mf_file_part *part, bool *same)
{
    char digest[MF_HEX_SIZE];

    if (w->store)
        MF_TRY(mf_store_file(w->store, part->path, digest));
    else
        MF_TRY(mf_digest_path(part->path, NULL, NULL, digest));
    *same = !strcmp(digest, part->digest);
    return MF_OK;
}

mf_status mf_file_watch_begin(mf_file_watch *w)
{
    for (size_t i = 0; i < w->count; i++) {
        watched *item = &w->items[i];
        mf_stamp stamp;
        bool same;
        MF_TRY(mf_stamp_take(item->part->path, &stamp));
        same = mf_stamp_same(&item->stamp, &stamp);
        item->stamp = stamp;
        if (!same)
            MF_TRY(content_same(w, item->part, &same));
        if (!same)
            return mf_file_changed(item->part);
    }
    return MF_OK;
}

mf_status mf_file_watch_end(const mf_file_watch *w)
{
    for (size_t i = 0; i < w->count; i++) {
        const watched *item = &w->items[i];
        mf_stamp stamp;
        bool same;
        MF_TRY(mf_stamp_take(item->part->path, &stamp));
        same = mf_stamp_same(&item->stamp, &stamp);
        if (!same && mf_stamp_touched(&item->stamp, &stamp))
            MF_TRY(content_same(w, item->part, &same));
        if (!same)
            return mf_hint(changed(item->part, "while the stage ran"),
                           "run again once nothing writes to it; a command that writes beside its "
                           "own files has to write to {out} or elsewhere");
    }
    return MF_OK;
}
