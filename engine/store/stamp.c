/* stamp.c - see stamp.h. A walk over the files of a path, as their digest takes them. */
#include "store/stamp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef struct stamping {
    mf_digest *change, *meta;
    int64_t latest; /* ns; the last change of any file */
    const char *root;
    char *newest; /* the file of that change */
} stamping;

static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static mf_status look(const char *path, struct stat *s)
{
    if (stat(path, s) == 0)
        return MF_OK;
    return mf_fail(errno == ENOENT || errno == ENOTDIR ? MF_NOT_FOUND : MF_IO,
                   "cannot read '%s': %s", path, strerror(errno));
}

static void note_latest(stamping *w, const char *path, const struct stat *s)
{
    int64_t changed = nanoseconds(s->st_ctim), modified = nanoseconds(s->st_mtim);
    if (modified > changed)
        changed = modified; /* a clock that was set back, or a time set to the future */
    if (changed < w->latest)
        return;
    w->latest = changed;
    if (!w->root)
        return;
    size_t skip = strlen(w->root);
    free(w->newest);
    w->newest = strdup(strncmp(path, w->root, skip) ? path : path + skip + (path[skip] == '/'));
}

static mf_status stamp_file(void *self, const char *path, char hex[MF_HEX_SIZE])
{
    stamping *w = self;
    struct stat s;
    MF_TRY(look(path, &s));
    const int64_t data[] = {(int64_t)s.st_size, nanoseconds(s.st_mtim)};
    mf_digest_hex(data, sizeof data, hex);
    mf_digest_add_int(w->change, nanoseconds(s.st_ctim));
    const int64_t meta[] = {s.st_mode, s.st_uid, s.st_gid, (int64_t)s.st_nlink};
    mf_digest_add(w->meta, meta, sizeof meta);
    note_latest(w, path, &s);
    return MF_OK;
}

mf_status mf_stamp_take(const char *path, mf_stamp *stamp)
{
    stamping w = {.latest = INT64_MIN};
    mf_status status = mf_digest_new(&w.change);
    if (!status)
        status = mf_digest_new(&w.meta);
    if (!status)
        status = mf_digest_path(path, stamp_file, &w, stamp->data);
    if (!status) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        stamp->settled = nanoseconds(now) - MF_STAMP_TICK > w.latest;
        mf_digest_end_hex(w.change, stamp->change);
        mf_digest_end_hex(w.meta, stamp->meta);
    }
    mf_digest_free(w.change);
    mf_digest_free(w.meta);
    return status;
}

bool mf_stamp_same(const mf_stamp *a, const mf_stamp *b)
{
    return a->settled && !strcmp(a->data, b->data) && !strcmp(a->change, b->change);
}

bool mf_stamp_touched(const mf_stamp *before, const mf_stamp *now)
{
    if (strcmp(before->data, now->data))
        return false;
    return !strcmp(before->change, now->change) || strcmp(before->meta, now->meta) != 0;
}

char *mf_stamp_newest(const char *path)
{
    stamping w = {.latest = INT64_MIN, .root = path};
    char hex[MF_HEX_SIZE];
    struct stat s;
    mf_status status = mf_digest_new(&w.change);
    if (!status)
        status = mf_digest_new(&w.meta);
    if (!status)
        status = mf_digest_path(path, stamp_file, &w, hex);
    if (!status && stat(path, &s) == 0 && S_ISDIR(s.st_mode) && nanoseconds(s.st_ctim) > w.latest)
        note_latest(&w, path, &s);
    mf_error_free(status);
    mf_digest_free(w.change);
    mf_digest_free(w.meta);
    return w.newest;
}
