/* files.c - hashing input files. The store remembers what has not changed since it was hashed. */
#include "run/files.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOLD_SECONDS 0.3

typedef struct file_entry {
    const char *path;
    char digest[MF_HEX_SIZE];
    mf_status error;
} file_entry;

struct mf_files {
    mf_store *store;
    file_entry *entries; /* in order of path, without repeats */
    size_t count;
    atomic_size_t next;
};

static int by_path(const void *a, const void *b)
{
    const file_entry *x = a, *y = b;

    return strcmp(x->path, y->path);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Most files are as they were and cost only a look-up; these share a read transaction, which is
 * begun anew now and then, for the hashing of large files may take long. */
static mf_status hash_some(mf_files *files)
{
    double since = now();
    size_t i;

    MF_TRY(mf_store_hold(files->store));
    while ((i = atomic_fetch_add(&files->next, 1)) < files->count) {
        file_entry *e = &files->entries[i];
        e->error = mf_store_file(files->store, e->path, e->digest);
        if (now() - since > HOLD_SECONDS) {
            mf_store_release(files->store);
            MF_TRY(mf_store_hold(files->store));
            since = now();
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

mf_status mf_files_new(mf_store *store, const char **paths, size_t count, int threads,
                       mf_files **files)
{
    mf_files *f = calloc(1, sizeof *f);
    file_entry *entries = calloc(count ? count : 1, sizeof *entries);
    mf_status status;

    *files = NULL;
    if (!f || !entries) {
        free(f);
        free(entries);
        return mf_fail(MF_NO_MEMORY, "no memory for %zu input files", count);
    }
    for (size_t i = 0; i < count; i++)
        entries[i].path = paths[i];
    qsort(entries, count, sizeof *entries, by_path);
    for (size_t i = 0; i < count; i++) {
        if (!f->count || strcmp(entries[f->count - 1].path, entries[i].path) != 0)
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
    for (size_t i = 0; i < f->count; i++)
        mf_error_free(f->entries[i].error);
    free(f->entries);
    free(f);
}

static const file_entry *find(const mf_files *f, const char *path)
{
    file_entry key = {.path = path};

    return f ? bsearch(&key, f->entries, f->count, sizeof key, by_path) : NULL;
}

const char *mf_files_digest(const mf_files *f, const char *path)
{
    const file_entry *e = find(f, path);

    return e && !e->error ? e->digest : NULL;
}

const mf_error *mf_files_error(const mf_files *f, const char *path)
{
    const file_entry *e = find(f, path);

    return e ? e->error : NULL;
}
