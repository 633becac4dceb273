/* files.c - digests of input files, remembered while their stat data stays what it was.
 *
 * A file that was hashed right after it had been written may change once more within the same tick
 * of the file system's clock, and look the same. So what was hashed within RACE_NS of the file's
 * last change is not trusted (as git does with its index). */
#include "store/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define RACE_NS 2000000000LL /* FAT keeps times to 2 s */

static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static mf_status look(const char *path, mf__file *f)
{
    struct stat s;
    if (stat(path, &s) != 0)
        return mf_fail(errno == ENOENT || errno == ENOTDIR ? MF_NOT_FOUND : MF_IO,
                       "cannot read '%s': %s", path, strerror(errno));
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    f->size = (int64_t)s.st_size;
    f->inode = (int64_t)s.st_ino;
    f->mtime = nanoseconds(s.st_mtim);
    f->ctime = nanoseconds(s.st_ctim);
    f->hashed = nanoseconds(now);
    return MF_OK;
}

static bool trusted(const mf__file *then, const mf__file *now)
{
    return then->size == now->size && then->inode == now->inode && then->mtime == now->mtime &&
           then->ctime == now->ctime && then->hashed - then->mtime > RACE_NS &&
           then->hashed - then->ctime > RACE_NS;
}

/* A row whose sum does not fit counts as none: the file is read again. */
static mf_status recall(mf_store *store, char *path, mf__file *then, bool *found)
{
    mf__reader *r;
    sqlite3_stmt *s;
    uint8_t sum[MF_DIGEST_BYTES];
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = mf__prepare(
        r->index, "SELECT size, inode, mtime, ctime, hashed, digest, sum FROM file WHERE path = ?",
        &s, "t", path);
    if (!status)
        status = mf__step(r->index, s, found);
    if (!status && *found) {
        then->size = sqlite3_column_int64(s, 0);
        then->inode = sqlite3_column_int64(s, 1);
        then->mtime = sqlite3_column_int64(s, 2);
        then->ctime = sqlite3_column_int64(s, 3);
        then->hashed = sqlite3_column_int64(s, 4);
        then->path = path;
        *found = mf__column_digest(s, 5, then->digest);
        status = mf__sum_file(then, sum);
        *found = *found && !status && mf__sum_is(s, 6, sum);
        sqlite3_reset(s);
    }
    mf__reader_put(store, r);
    return status;
}

static mf_status remember(mf__connection *c, void *arg)
{
    const mf__file *f = arg;
    uint8_t sum[MF_DIGEST_BYTES];
    MF_TRY(mf__sum_file(f, sum));
    return mf__exec(c,
                    "INSERT OR REPLACE INTO file (path, size, inode, mtime, ctime, hashed, digest,"
                    " sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    "tiiiiidd", f->path, f->size, f->inode, f->mtime, f->ctime, f->hashed,
                    f->digest, sum);
}

static mf_status digest_file(void *self, const char *path, char hex[MF_HEX_SIZE])
{
    mf_store *store = self;
    mf__file now = {0}, then = {0};
    bool found = false;
    MF_TRY(look(path, &now));
    now.path = realpath(path, NULL);
    if (!now.path)
        return mf_fail(MF_IO, "cannot read '%s': %s", path, strerror(errno));
    mf_status status = recall(store, now.path, &then, &found);
    if (!status && found && trusted(&then, &now)) {
        mf_hex_encode(then.digest, hex);
    } else if (!status) {
        status = mf_digest_file(path, hex);
        if (!status && store->mode == MF_STORE_WRITE) {
            mf_hex_decode(hex, now.digest);
            status = mf__write(store, remember, &now);
        }
    }
    free(now.path);
    return status;
}

mf_status mf_store_file(mf_store *store, const char *path, char digest[MF_HEX_SIZE])
{
    return mf_digest_path(path, digest_file, store, digest);
}
