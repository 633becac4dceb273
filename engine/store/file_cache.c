/* file_cache.c - a folder of copies of input files. See file_cache.h.
 *
 * DIR/files/NAME holds the files of a copy. One that was not finished is dropped by whoever makes
 * it anew, for it is looked at as any that lies there from before. */
#include "store/file_cache.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct mf_file_copy {
    mf_file_copy *next;
    mf_file_cache *cache;
    char name[MF_HEX_SIZE], *folder;
    int64_t bytes, used;
    int holds;
    bool ready, alone; /* alone: one thread looks at it or makes it */
};

struct mf_file_cache {
    mf_chunk_cache *chunks;
    char *dir;
    int64_t most;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t calm;  /* a copy is no longer alone */
    mf_file_copy *copies;
    int64_t bytes, clock;
};

static mf_status failed(const char *doing, const char *path)
{
    mf_status status = mf_fail(MF_IO, "cannot %s '%s': %s", doing, path, strerror(errno));

    return mf_hint(status, "--cache DIR gives the worker another folder");
}

/* ---- folders --------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path) != 0 && errno != ENOENT;
}

static void remove_folder(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int64_t folder_bytes(int parent, const char *name)
{
    int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = folder < 0 ? NULL : fdopendir(folder);
    struct dirent *e;
    int64_t bytes = 0;

    if (!d) {
        if (folder >= 0)
            close(folder);
        return 0;
    }
    while ((e = readdir(d))) {
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
            fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        bytes += S_ISDIR(st.st_mode) ? folder_bytes(dirfd(d), e->d_name) : (int64_t)st.st_size;
    }
    closedir(d);
    return bytes;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void free_copy(mf_file_copy *c)
{
    if (c)
        free(c->folder);
    free(c);
}

/* The lock is held, or nobody else knows of the cache. */
static mf_status add(mf_file_cache *f, const char *name, int64_t bytes, mf_file_copy **out)
{
    mf_file_copy *c = calloc(1, sizeof *c);

    *out = NULL;
    if (!c || asprintf(&c->folder, "%s/%s", f->dir, name) < 0) {
        free(c);
        return mf_no_memory(0, "a copy of a file");
    }
    snprintf(c->name, sizeof c->name, "%s", name);
    c->cache = f;
    c->bytes = bytes;
    c->next = f->copies;
    f->copies = c;
    f->bytes += bytes;
    *out = c;
    return MF_OK;
}

static mf_status scan(mf_file_cache *f)
{
    DIR *d = opendir(f->dir);
    struct dirent *e;
    mf_status status = MF_OK;

    if (!d)
        return failed("read", f->dir);
    while (!status && (e = readdir(d))) {
        uint8_t digest[MF_DIGEST_BYTES];
        mf_file_copy *c;
        if (mf_hex_decode(e->d_name, digest))
            status = add(f, e->d_name, folder_bytes(dirfd(d), e->d_name), &c);
    }
    closedir(d);
    return status;
}

mf_status mf_file_cache_open(mf_chunk_cache *chunks, mf_file_cache **cache)
{
    mf_file_cache *f = calloc(1, sizeof *f);
    mf_status status = MF_OK;

    *cache = NULL;
    if (!f || asprintf(&f->dir, "%s/files", mf_chunk_cache_dir(chunks)) < 0) {
        free(f);
        return mf_no_memory(0, "the cache of a worker");
    }
    f->chunks = chunks;
    f->most = mf_chunk_cache_most(chunks) / 2;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->calm, NULL);
    if (mkdir(f->dir, 0700) != 0 && errno != EEXIST)
        status = failed("make", f->dir);
    if (!status)
        status = scan(f);
    if (status) {
        mf_file_cache_close(f);
        return status;
    }
    mf_chunk_cache_share(chunks, f->bytes);
    *cache = f;
    return MF_OK;
}

void mf_file_cache_close(mf_file_cache *f)
{
    if (!f)
        return;
    for (mf_file_copy *c = f->copies, *next; c; c = next) {
        next = c->next;
        free_copy(c);
    }
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->calm);
    free(f->dir);
    free(f);
}

/* ---- making room ----------------------------------------------------------------------------- */

/* The one that nobody holds and that was not used for longest goes. The lock is held. */
static bool drop_oldest(mf_file_cache *f)
{
    mf_file_copy **oldest = NULL, *c;

    for (mf_file_copy **at = &f->copies; *at; at = &(*at)->next)
        if (!(*at)->holds && (!oldest || (*at)->used < (*oldest)->used))
            oldest = at;
    if (!oldest)
        return false;
    c = *oldest;
    *oldest = c->next;
    f->bytes -= c->bytes;
    remove_folder(c->folder);
    free_copy(c);
    return true;
}

static mf_status make_room(mf_file_cache *f, int64_t bytes)
{
    while (f->bytes + bytes > f->most && drop_oldest(f))
        ;
    if (bytes <= f->most - f->bytes)
        return MF_OK;
    return mf_hint(mf_fail(MF_UNSUPPORTED,
                           "the worker's cache '%s' has no room for %.1f MB of input files: half "
                           "of it, %.1f MB, is for them",
                           mf_chunk_cache_dir(f->chunks), (double)bytes * 1e-6,
                           (double)f->most * 1e-6),
                   "give it more with --cache-size, or mount the files where the run names them");
}

/* ---- copies ---------------------------------------------------------------------------------- */

mf_status mf_file_cache_hold(mf_file_cache *f, const char *name, mf_copy_state *state,
                             mf_file_copy **copy)
{
    mf_file_copy *c;
    mf_status status = MF_OK;

    *copy = NULL;
    *state = MF_COPY_UNCHECKED;
    pthread_mutex_lock(&f->lock);
    for (c = f->copies; c && strcmp(c->name, name); c = c->next)
        ;
    if (!c) {
        status = add(f, name, 0, &c);
        *state = MF_COPY_MISSING;
    }
    if (c) {
        c->holds++;
        while (c->alone)
            pthread_cond_wait(&f->calm, &f->lock);
        c->used = ++f->clock;
        if (c->ready)
            *state = MF_COPY_READY;
        c->alone = !c->ready;
    }
    pthread_mutex_unlock(&f->lock);
    *copy = c;
    return status;
}

void mf_file_copy_release(mf_file_copy *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->cache->lock);
    c->holds--;
    pthread_mutex_unlock(&c->cache->lock);
}

const char *mf_file_copy_folder(const mf_file_copy *c)
{
    return c->folder;
}

mf_status mf_file_copy_begin(mf_file_copy *c, int64_t bytes)
{
    mf_file_cache *f = c->cache;
    mf_status status;

    remove_folder(c->folder);
    pthread_mutex_lock(&f->lock);
    f->bytes -= c->bytes;
    c->bytes = 0;
    status = make_room(f, bytes);
    if (!status)
        f->bytes += c->bytes = bytes;
    int64_t all = f->bytes;
    pthread_mutex_unlock(&f->lock);
    mf_chunk_cache_share(f->chunks, all);
    if (!status && mkdir(c->folder, 0700) != 0)
        status = failed("make", c->folder);
    return status;
}

static mf_status make_folders(const char *path, size_t from)
{
    char *copy = strdup(path);
    mf_status status = copy ? MF_OK : mf_no_memory(0, "a copy of a file");

    for (char *at = copy ? strchr(copy + from, '/') : NULL; at && !status;
         at = strchr(at + 1, '/')) {
        *at = 0;
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            status = failed("make", copy);
        *at = '/';
    }
    free(copy);
    return status;
}

mf_status mf_file_copy_create(mf_file_copy *c, const char *name, bool program, int *file)
{
    char *path;
    mf_status status;

    *file = -1;
    if (!*name || !mf_path_leads_down(name))
        return mf_fail(MF_CORRUPT, "'%s' is no name of an input file", name);
    if (asprintf(&path, "%s/%s", c->folder, name) < 0)
        return mf_no_memory(0, "a copy of a file");
    status = make_folders(path, strlen(c->folder) + 1);
    if (!status && name[strlen(name) - 1] != '/') {
        *file =
            open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, program ? 0700 : 0600);
        if (*file < 0)
            status = failed("write", path);
    }
    free(path);
    return status;
}

void mf_file_copy_done(mf_file_copy *c, bool whole)
{
    mf_file_cache *f = c->cache;

    if (!whole)
        remove_folder(c->folder);
    pthread_mutex_lock(&f->lock);
    if (!whole) {
        f->bytes -= c->bytes;
        c->bytes = 0;
    }
    c->ready = whole;
    c->alone = false;
    int64_t all = f->bytes;
    pthread_cond_broadcast(&f->calm);
    pthread_mutex_unlock(&f->lock);
    mf_chunk_cache_share(f->chunks, all);
}
