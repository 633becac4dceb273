/* chunk_cache.c - a folder of chunks. See chunk_cache.h.
 *
 * DIR/lock is held while a process uses the folder. A chunk is DIR/xx/DIGEST, xx its first digits:
 * 24 bytes (codec, uncompressed size, size; little-endian) and the chunk's bytes. It is written
 * aside, as DIGEST.new, and renamed. */
#include "store/chunk_cache.h"
#include "store/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD 24
#define MOST_FOLDERS 64                     /* DIR-2 ... DIR-64 */
#define MOST_RAW ((size_t)64 << 20)         /* of an entry: records may be longer than chunks */
#define SHRUNK(most) ((most) - (most) / 10) /* what is left when it was full */

/* In the map: value is the size of the file, 0 where it is gone; count the time of its last use. */
struct mf_chunk_cache {
    char *dir;
    int lock_file;
    int64_t most;
    bool safe;             /* see mf_chunk_cache_open_safe */
    pthread_mutex_t lock;  /* of what follows */
    mf__map entries, pins; /* pins: value is how often */
    int64_t bytes, clock;
    int64_t shared; /* what others keep in the folder */
};

static mf_status failed(const char *doing, const char *path)
{
    mf_status status = mf_fail(MF_IO, "cannot %s '%s': %s", doing, path, strerror(errno));

    return mf_hint(status, "--cache DIR gives the worker another folder");
}

static void path_of(const char *dir, const uint8_t *digest, const char *suffix, char **path)
{
    char hex[MF_HEX_SIZE];

    mf_hex_encode(digest, hex);
    if (asprintf(path, "%s/%.2s/%s%s", dir, hex, hex, suffix) < 0)
        *path = NULL;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* One folder of 256: what is sound by its name and what a crash left. */
static mf_status scan_folder(mf_chunk_cache *h, const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    mf_status status = MF_OK;

    if (!d)
        return MF_OK;
    while (!status && (e = readdir(d))) {
        uint8_t digest[MF_DIGEST_BYTES];
        struct stat st;
        mf__map_entry *entry;
        if (*e->d_name == '.')
            continue;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        if (!mf_hex_decode(e->d_name, digest)) {
            unlinkat(dirfd(d), e->d_name, 0);
            continue;
        }
        status = mf__map_add(&h->entries, digest, &entry);
        if (status)
            break;
        entry->value = st.st_size;
        entry->count = (int64_t)st.st_mtime - INT64_MAX / 2; /* before all that is used now */
        h->bytes += st.st_size;
    }
    closedir(d);
    return status;
}

static mf_status scan(mf_chunk_cache *h)
{
    for (int i = 0; i < 256; i++) {
        char *folder;
        if (asprintf(&folder, "%s/%02x", h->dir, i) < 0)
            return mf_no_memory(0, "the cache of a worker");
        mf_status status = MF_OK;
        if (mkdir(folder, 0700) != 0 && errno != EEXIST)
            status = failed("make", folder);
        else
            status = scan_folder(h, folder);
        free(folder);
        MF_TRY(status);
    }
    return MF_OK;
}

static bool is_own(const struct stat *st)
{
    return S_ISDIR(st->st_mode) && st->st_uid == geteuid() && !(st->st_mode & 022);
}

bool mf_chunk_folder(const char *dir)
{
    struct stat st;

    return lstat(dir, &st) == 0 && is_own(&st);
}

/* The folder is this user's alone: what lies in it is read back as results. */
static mf_status own_folder(const char *dir)
{
    struct stat st;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return failed("make", dir);
    if (lstat(dir, &st) != 0)
        return failed("look at", dir);
    if (!is_own(&st))
        return mf_hint(
            mf_fail(MF_INVALID, "'%s' is no folder that only this user can write to", dir),
            "--cache DIR gives the worker another folder");
    return MF_OK;
}

/* *taken false where another process has it. */
static mf_status lock_folder(mf_chunk_cache *h, bool *taken)
{
    char *path;

    MF_TRY(own_folder(h->dir));
    if (asprintf(&path, "%s/lock", h->dir) < 0)
        return mf_no_memory(0, "the cache of a worker");
    h->lock_file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    mf_status status = h->lock_file < 0 ? failed("open", path) : MF_OK;
    free(path);
    MF_TRY(status);
    *taken = flock(h->lock_file, LOCK_EX | LOCK_NB) == 0;
    if (*taken)
        return MF_OK;
    if (errno != EWOULDBLOCK) /* a file system without locks */
        status = failed("lock", h->dir);
    close(h->lock_file);
    h->lock_file = -1;
    return status;
}

static mf_status find_folder(mf_chunk_cache *h, const char *dir)
{
    bool taken = false;

    for (int i = 1; i <= MOST_FOLDERS && !taken; i++) {
        free(h->dir);
        if ((i == 1 ? asprintf(&h->dir, "%s", dir) : asprintf(&h->dir, "%s-%d", dir, i)) < 0) {
            h->dir = NULL;
            return mf_no_memory(0, "the cache of a worker");
        }
        MF_TRY(lock_folder(h, &taken));
    }
    if (taken)
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "'%s' and %d folders beside it are in use by other workers",
                           dir, MOST_FOLDERS - 1),
                   "--cache DIR gives the worker another folder");
}

static mf_status open_cache(const char *dir, int64_t most, bool safe, mf_chunk_cache **chunk_cache)
{
    mf_chunk_cache *h = calloc(1, sizeof *h);
    mf_status status;

    *chunk_cache = NULL;
    if (!h)
        return mf_no_memory(0, "the cache of a worker");
    h->lock_file = -1;
    h->most = most;
    h->safe = safe;
    pthread_mutex_init(&h->lock, NULL);
    status = find_folder(h, dir);
    if (!status)
        status = scan(h);
    if (status) {
        mf_chunk_cache_close(h);
        return status;
    }
    *chunk_cache = h;
    return MF_OK;
}

mf_status mf_chunk_cache_open(const char *dir, int64_t most, mf_chunk_cache **chunk_cache)
{
    return open_cache(dir, most, false, chunk_cache);
}

mf_status mf_chunk_cache_open_safe(const char *dir, int64_t most, mf_chunk_cache **chunk_cache)
{
    return open_cache(dir, most, true, chunk_cache);
}

void mf_chunk_cache_close(mf_chunk_cache *h)
{
    if (!h)
        return;
    if (h->lock_file >= 0)
        close(h->lock_file);
    mf__map_clear(&h->entries);
    mf__map_clear(&h->pins);
    pthread_mutex_destroy(&h->lock);
    free(h->dir);
    free(h);
}

const char *mf_chunk_cache_dir(const mf_chunk_cache *h)
{
    return h->dir;
}

int64_t mf_chunk_cache_bytes(mf_chunk_cache *h)
{
    pthread_mutex_lock(&h->lock);
    int64_t bytes = h->bytes;
    pthread_mutex_unlock(&h->lock);
    return bytes;
}

/* ---- making room ----------------------------------------------------------------------------- */

static int by_use(const void *a, const void *b)
{
    const mf__map_entry *x = *(mf__map_entry *const *)a, *y = *(mf__map_entry *const *)b;

    return (x->count > y->count) - (x->count < y->count);
}

/* The lock is held. */
static void drop(mf_chunk_cache *h, mf__map_entry *e)
{
    char *path;

    path_of(h->dir, e->digest, "", &path);
    if (path)
        unlink(path);
    free(path);
    h->bytes -= e->value;
    e->value = 0;
}

static bool pinned(const mf_chunk_cache *h, const uint8_t *digest)
{
    const mf__map_entry *pin = mf__map_find(&h->pins, digest);

    return pin && pin->value > 0;
}

/* Drops what was not used for longest until `most` bytes are left. Without memory for the list all
 * that is not pinned goes. The lock is held. */
static void shrink(mf_chunk_cache *h, int64_t most)
{
    mf__map_entry **list = malloc((h->entries.count + 1) * sizeof *list);
    size_t count = 0;

    for (size_t i = 0; i < h->entries.room; i++) {
        mf__map_entry *e = &h->entries.entries[i];
        if (!e->taken || !e->value || pinned(h, e->digest))
            continue;
        if (list)
            list[count++] = e;
        else
            drop(h, e);
    }
    if (count)
        qsort(list, count, sizeof *list, by_use);
    for (size_t i = 0; i < count && h->bytes > most; i++)
        drop(h, list[i]);
    free(list);
}

int64_t mf_chunk_cache_most(const mf_chunk_cache *h)
{
    return h->most;
}

void mf_chunk_cache_share(mf_chunk_cache *h, int64_t bytes)
{
    pthread_mutex_lock(&h->lock);
    h->shared = bytes;
    if (h->bytes > h->most - h->shared)
        shrink(h, SHRUNK(h->most - h->shared));
    pthread_mutex_unlock(&h->lock);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

bool mf_chunk_cache_has(mf_chunk_cache *h, const uint8_t digest[MF_DIGEST_BYTES])
{
    pthread_mutex_lock(&h->lock);
    mf__map_entry *e = mf__map_find(&h->entries, digest);
    bool has = e && e->value;
    if (has)
        e->count = ++h->clock;
    pthread_mutex_unlock(&h->lock);
    return has;
}

static mf_status add_pin(mf_chunk_cache *h, const uint8_t *digest, int64_t more)
{
    mf__map_entry *pin;

    MF_TRY(mf__map_add(&h->pins, digest, &pin));
    pin->value += more;
    return MF_OK;
}

void mf_chunk_cache_unpin(mf_chunk_cache *h, const uint8_t digest[MF_DIGEST_BYTES])
{
    pthread_mutex_lock(&h->lock);
    mf__map_entry *pin = mf__map_find(&h->pins, digest);
    if (pin && pin->value > 0)
        pin->value--;
    pthread_mutex_unlock(&h->lock);
}

static void put_int(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_int(const uint8_t *at)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static bool write_all(int file, const uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t done = write(file, bytes, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        bytes += done;
        size -= (size_t)done;
    }
    return true;
}

/* Threads may write the same chunk at once: each aside, under a name of its own. */
static mf_status write_file(const mf_chunk_cache *h, const uint8_t *digest, const mf_chunk *c)
{
    uint8_t head[HEAD];
    char suffix[48], *path, *aside;
    mf_status status = MF_OK;

    snprintf(suffix, sizeof suffix, ".%lx.new", (unsigned long)pthread_self());
    path_of(h->dir, digest, "", &path);
    path_of(h->dir, digest, suffix, &aside);
    put_int(head, (uint64_t)c->codec);
    put_int(head + 8, c->raw);
    put_int(head + 16, c->size);
    if (!path || !aside) {
        status = mf_no_memory(0, "a chunk of data");
    } else {
        int file = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        bool good = file >= 0 && write_all(file, head, sizeof head) &&
                    write_all(file, c->bytes, c->size) && (!h->safe || fsync(file) == 0);
        if (!good || rename(aside, path) != 0)
            status = failed("write", path);
        if (file >= 0)
            close(file);
        if (status)
            unlink(aside);
    }
    free(path);
    free(aside);
    return status;
}

static mf_status enter(mf_chunk_cache *h, const uint8_t *digest, const mf_chunk *chunk)
{
    mf__map_entry *e;

    MF_TRY(mf__map_add(&h->entries, digest, &e));
    h->bytes += HEAD + (int64_t)chunk->size - e->value;
    e->value = HEAD + (int64_t)chunk->size;
    e->count = ++h->clock;
    if (h->bytes > h->most - h->shared)
        shrink(h, SHRUNK(h->most - h->shared));
    return MF_OK;
}

mf_status mf_chunk_cache_put(mf_chunk_cache *h, const uint8_t digest[MF_DIGEST_BYTES],
                             const mf_chunk *chunk, bool pin)
{
    mf_status status = MF_OK;

    if (pin) {
        pthread_mutex_lock(&h->lock);
        status = add_pin(h, digest, 1);
        pthread_mutex_unlock(&h->lock);
        MF_TRY(status);
    }
    if (mf_chunk_cache_has(h, digest))
        return MF_OK;
    status = write_file(h, digest, chunk);
    if (status && mf_error_code(status) == MF_IO) { /* others fill the disk, too */
        pthread_mutex_lock(&h->lock);
        shrink(h, h->bytes / 2);
        pthread_mutex_unlock(&h->lock);
        mf_error_free(status);
        status = write_file(h, digest, chunk);
    }
    if (!status) {
        pthread_mutex_lock(&h->lock);
        status = enter(h, digest, chunk);
        pthread_mutex_unlock(&h->lock);
    }
    if (status && pin)
        mf_chunk_cache_unpin(h, digest);
    return status;
}

static bool read_all(int file, uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t done = read(file, bytes, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        bytes += done;
        size -= (size_t)done;
    }
    return true;
}

/* *found where the file is one, as long as it says. */
static mf_status read_file(int file, mf_chunk *c, bool *found)
{
    uint8_t head[HEAD];
    struct stat st;

    if (!read_all(file, head, sizeof head) || fstat(file, &st) != 0)
        return MF_OK;
    *c = (mf_chunk){.codec = (int)get_int(head),
                    .raw = (size_t)get_int(head + 8),
                    .size = (size_t)get_int(head + 16)};
    if (c->size > MOST_RAW || c->raw > MOST_RAW || st.st_size != (off_t)(HEAD + c->size))
        return MF_OK;
    c->bytes = malloc(c->size ? c->size : 1);
    if (!c->bytes)
        return mf_no_memory(c->size, "a chunk of data");
    *found = read_all(file, c->bytes, c->size);
    return MF_OK;
}

static void forget(mf_chunk_cache *h, const uint8_t *digest)
{
    pthread_mutex_lock(&h->lock);
    mf__map_entry *e = mf__map_find(&h->entries, digest);
    if (e && e->value)
        drop(h, e);
    pthread_mutex_unlock(&h->lock);
}

static mf_status check_digest(const mf_chunk *c, const uint8_t *digest, bool *sound)
{
    uint8_t got[MF_DIGEST_BYTES], *bytes;

    if (c->codec == 0) { /* records may be longer than chunks */
        mf_digest_bytes(c->bytes, c->size, got);
        *sound = c->size == c->raw && !memcmp(got, digest, sizeof got);
        return MF_OK;
    }
    *sound = false;
    if (!c->raw || c->raw > MF_CHUNK_MOST)
        return MF_OK;
    bytes = malloc(c->raw);
    if (!bytes)
        return mf_no_memory(c->raw, "a chunk of data");
    mf_status status = mf_chunk_open(c, digest, bytes, sound);
    free(bytes);
    return status;
}

static mf_status load_from(const char *dir, const uint8_t *digest, mf_chunk *chunk, bool *found)
{
    char *path;
    int file;
    mf_status status = MF_OK;

    *found = false;
    *chunk = (mf_chunk){0};
    path_of(dir, digest, "", &path);
    if (!path)
        return mf_no_memory(0, "a chunk of data");
    file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    free(path);
    if (file >= 0) {
        status = read_file(file, chunk, found);
        close(file);
    }
    return status;
}

/* What lies there, not held against its digest. */
static mf_status load(mf_chunk_cache *h, const uint8_t *digest, mf_chunk *chunk, bool *found)
{
    *found = false;
    *chunk = (mf_chunk){0};
    return mf_chunk_cache_has(h, digest) ? load_from(h->dir, digest, chunk, found) : MF_OK;
}

mf_status mf_chunk_folder_get(const char *dir, const uint8_t digest[MF_DIGEST_BYTES],
                              mf_chunk *chunk, bool *found)
{
    mf_status status = load_from(dir, digest, chunk, found);

    if (!status && *found)
        status = check_digest(chunk, digest, found);
    if (status || !*found)
        mf_chunk_clear(chunk);
    return status;
}

mf_status mf_chunk_cache_get(mf_chunk_cache *h, const uint8_t digest[MF_DIGEST_BYTES],
                             mf_chunk *chunk, bool *found)
{
    mf_status status = load(h, digest, chunk, found);

    if (!status && *found)
        status = check_digest(chunk, digest, found);
    if (status || !*found)
        mf_chunk_clear(chunk);
    if (!status && !*found)
        forget(h, digest);
    return status;
}

mf_status mf_chunk_cache_read(mf_chunk_cache *h, const uint8_t digest[MF_DIGEST_BYTES],
                              uint8_t *dst, size_t raw, bool *found)
{
    mf_chunk chunk;
    mf_status status = load(h, digest, &chunk, found);

    if (!status && *found && chunk.raw == raw)
        status = mf_chunk_open(&chunk, digest, dst, found);
    else
        *found = false;
    mf_chunk_clear(&chunk);
    if (!status && !*found)
        forget(h, digest);
    return status;
}
