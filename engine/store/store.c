/* store.c - opens and closes a store; hands out connections to readers. */
#include "store/internal.h"
#include "store/trust.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define IDLE_READERS 8 /* kept open for the next one */

int64_t mf__now(void)
{
    return (int64_t)time(NULL);
}

/* ---- readers ---- */

static void reader_free(mf__reader *r)
{
    if (!r)
        return;
    mf__connection_close(r->index);
    mf__connection_close(r->chunks);
    free(r);
}

static mf_status reader_new(mf_store *store, mf__reader **reader)
{
    mf__reader *r = calloc(1, sizeof *r);
    if (!r)
        return mf_no_memory(sizeof *r, "reading '%s'", store->index_path);
    mf_status status = mf__connection_open(store->index_path, store->access, &r->index);
    if (!status) /* it has no WAL: what can be read can be looked at */
        status = mf__connection_open(
            store->chunks_path, store->mode == MF_STORE_WRITE ? MF__READ : MF__LOOK, &r->chunks);
    if (status)
        reader_free(r);
    else
        *reader = r;
    return status;
}

mf_status mf__reader_get(mf_store *store, mf__reader **reader)
{
    mf__reader *r;
    pthread_mutex_lock(&store->reader_lock);
    for (r = store->held; r && !pthread_equal(r->holder, pthread_self()); r = r->next)
        ;
    if (r) {
        r->holds++;
    } else if (store->idle) {
        r = store->idle;
        store->idle = r->next;
        store->idle_count--;
    }
    pthread_mutex_unlock(&store->reader_lock);
    if (!r)
        return reader_new(store, reader);
    *reader = r;
    return MF_OK;
}

void mf__reader_put(mf_store *store, mf__reader *reader)
{
    bool extra = false;
    pthread_mutex_lock(&store->reader_lock);
    if (reader->holds > 0) {
        reader->holds--;
    } else if (store->idle_count < IDLE_READERS) {
        reader->next = store->idle;
        store->idle = reader;
        store->idle_count++;
    } else {
        extra = true;
    }
    pthread_mutex_unlock(&store->reader_lock);
    if (extra)
        reader_free(reader);
}

mf_status mf_store_hold(mf_store *store)
{
    mf__reader *r;
    if (store->no_holds)
        return MF_OK;
    MF_TRY(mf__reader_get(store, &r));
    if (r->holds > 0) /* held already: that get counts */
        return MF_OK;
    mf_status status = mf__script(r->index, "BEGIN");
    if (status) {
        mf__reader_put(store, r);
        return status;
    }
    r->holds = 1;
    r->holder = pthread_self();
    pthread_mutex_lock(&store->reader_lock);
    r->next = store->held;
    store->held = r;
    pthread_mutex_unlock(&store->reader_lock);
    return MF_OK;
}

void mf_store_release(mf_store *store)
{
    mf__reader *r = NULL;
    pthread_mutex_lock(&store->reader_lock);
    for (mf__reader **at = &store->held; *at; at = &(*at)->next)
        if (pthread_equal((*at)->holder, pthread_self())) {
            if (--(*at)->holds > 0)
                break;
            r = *at;
            *at = r->next;
            break;
        }
    pthread_mutex_unlock(&store->reader_lock);
    if (!r)
        return;
    mf_status status = mf__script(r->index, "COMMIT");
    if (status) { /* nothing was written, so nothing is lost but this connection */
        mf_error_free(status);
        reader_free(r);
        return;
    }
    mf__reader_put(store, r);
}

/* ---- opening ---- */

/* *made: by us, just now. */
static mf_status make_folder(const char *dir, bool *made)
{
    char *path = strdup(dir);
    if (!path)
        return mf_no_memory(0, "opening a cache");
    int failed = 0;
    for (char *p = path + 1;; p++)
        if (*p == '/' || !*p) {
            char kept = *p;
            *p = 0;
            *made = mkdir(path, 0777) == 0;
            failed = *made || errno == EEXIST || errno == EISDIR ? 0 : errno;
            *p = kept;
            if (!kept)
                break;
        }
    free(path);
    struct stat s;
    if (!failed && stat(dir, &s) == 0 && !S_ISDIR(s.st_mode))
        failed = ENOTDIR;
    return failed ? mf_hint(mf_fail(MF_IO, "cannot make the cache folder '%s': %s", dir,
                                    strerror(failed)),
                            MF__ELSEWHERE)
                  : MF_OK;
}

/* Some file systems give what we make to somebody else. */
static mf_status own_folder(const char *dir, bool made)
{
    struct stat s;
    mf_trusted entry;
    if (!made)
        return mf_trust_check(dir);
    if (stat(dir, &s) != 0 || s.st_uid == geteuid())
        return MF_OK;
    mf_error_free(mf_trust_add(dir, &entry)); /* where it can't be kept the next run asks for it */
    free(entry.path);
    return MF_OK;
}

/* WAL needs shared memory, which network file systems do not give. */
static bool on_network(const char *dir)
{
    struct statfs s;
    if (statfs(dir, &s) != 0)
        return false;
    switch ((unsigned long)s.f_type & 0xffffffffUL) {
    case 0x6969:     /* NFS */
    case 0x517b:     /* SMB */
    case 0xfe534d42: /* SMB 2 */
    case 0xff534d42: /* CIFS */
    case 0x0bd00bd0: /* Lustre */
    case 0x47504653: /* GPFS */
    case 0x19830326: /* BeeGFS */
    case 0x00c36400: /* Ceph */
    case 0x01021997: /* 9p */
    case 0x5346414f: /* AFS */
    case 0x73757245: /* Coda */
    case 0xaad7aaea: /* PanFS */
    case 0x01161970: /* GFS2 */
    case 0x7461636f: /* OCFS2 */
    case 0x786f4256: /* folders of a virtual machine's host: VirtualBox */
    case 0x65735546: /* FUSE: sshfs and others; which one it is does not show */
        return true;
    default:
        return false;
    }
}

mf_status mf__set_up(mf__connection *c, mf__target file, const char *dir)
{
    /* Page size and auto-vacuum take effect only while the file is empty. */
    if (file == MF__CHUNKS) {
        MF_TRY(mf__script(c, "PRAGMA page_size = 65536; PRAGMA auto_vacuum = INCREMENTAL"));
        MF_TRY(mf__insist(c, "PRAGMA journal_mode = TRUNCATE"));
        return mf__script(c, "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384;"
                             "PRAGMA temp_store = MEMORY");
    }
    MF_TRY(mf__script(c, "PRAGMA auto_vacuum = INCREMENTAL"));
    MF_TRY(mf__insist(c, on_network(dir) ? "PRAGMA journal_mode = TRUNCATE"
                                         : "PRAGMA journal_mode = WAL"));
    return mf__script(c, "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;"
                         "PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 4000");
}

static mf_status open_writing(mf_store *store)
{
    bool made = false;
    MF_TRY(make_folder(store->dir, &made));
    MF_TRY(own_folder(store->dir, made));
    store->no_holds = on_network(store->dir);
    if (access(store->dir, W_OK) != 0)
        return mf_hint(mf_fail(MF_IO, "the cache folder '%s' cannot be written: %s", store->dir,
                               strerror(errno)),
                       MF__ELSEWHERE);
    MF_TRY(mf__lock_open(store->dir, &store->lock_file));
    mf__pin(store);
    store->planning = true;
    MF_TRY(mf__connection_open(store->index_path, MF__CREATE, &store->index));
    MF_TRY(mf__connection_open(store->chunks_path, MF__CREATE, &store->chunks));
    MF_TRY(mf__set_up(store->chunks, MF__CHUNKS, store->dir));
    MF_TRY(mf__set_up(store->index, MF__INDEX, store->dir));
    MF_TRY(mf__schema_write(store->index, store->chunks));
    return mf__writer_start(store);
}

static mf_status no_cache(const char *dir)
{
    return mf_hint(mf_fail(MF_NOT_FOUND, "there is no cache in '%s'", dir),
                   "the first `massflow run` of a graph creates one");
}

mf_status mf__folder_check(const char *dir)
{
    struct stat s;
    if (stat(dir, &s) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return no_cache(dir);
    if (access(dir, X_OK) != 0)
        return mf_fail(MF_IO, "the cache folder '%s' cannot be read: %s", dir, strerror(errno));
    return MF_OK;
}

/* Readers of a WAL tell each other what they read in the file -shm beside it, which SQLite makes.
 * In a folder that can't be written it reads one that is there. Where there is none and no WAL
 * either, nobody is writing. */
mf_status mf__look_access(const char *dir, const char *index, mf__access *how)
{
    *how = MF__LOOK;
    if (on_network(dir) || (access(dir, W_OK) == 0 && access(index, W_OK) == 0))
        return MF_OK;
    if (mf__file_empty(index, "-wal") && mf__file_empty(index, "-journal"))
        *how = MF__IMMUTABLE;
    else if (mf__file_empty(index, "-shm") && mf__file_empty(index, "-journal"))
        return mf__left(index);
    return MF_OK;
}

static mf_status open_reading(mf_store *store)
{
    MF_TRY(mf_trust_check(store->dir));
    MF_TRY(mf__folder_check(store->dir));
    if (mf__file_empty(store->index_path, "") || mf__file_empty(store->chunks_path, ""))
        return no_cache(store->dir);
    store->no_holds = on_network(store->dir);
    MF_TRY(mf__look_access(store->dir, store->index_path, &store->access));
    mf__reader *r;
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = mf__schema_check(r->index, MF__INDEX);
    if (!status)
        status = mf__schema_check(r->chunks, MF__CHUNKS);
    mf__reader_put(store, r);
    return status;
}

mf_status mf_store_open(const char *dir, mf_store_mode mode, mf_store **store)
{
    mf_store *s = calloc(1, sizeof *s);
    *store = NULL;
    if (!s)
        return mf_no_memory(0, "opening a cache");
    s->refs = 1;
    s->mode = mode;
    s->access = MF__READ;
    sqlite3_randomness(sizeof s->token, s->token);
    s->lock_file = -1;
    pthread_mutex_init(&s->pin_lock, NULL);
    s->last = &s->first;
    pthread_mutex_init(&s->reader_lock, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->done, NULL);
    mf_status status = MF_OK;
    if (!(s->dir = strdup(dir)))
        status = mf_no_memory(0, "opening a cache");
    else if (asprintf(&s->index_path, "%s/cache.db", dir) < 0)
        s->index_path = NULL;
    else if (asprintf(&s->chunks_path, "%s/chunks.db", dir) < 0)
        s->chunks_path = NULL;
    if (!status && (!s->index_path || !s->chunks_path))
        status = mf_no_memory(0, "opening a cache");
    if (!status)
        status = mode == MF_STORE_WRITE ? open_writing(s) : open_reading(s);
    if (!status && stat(s->index_path, &s->index_file) != 0)
        status = mf_fail(MF_NOT_FOUND, "'%s' was deleted meanwhile", s->index_path);
    if (status)
        mf__store_unref(s);
    else
        *store = s;
    return mf_within(status, "while opening the cache");
}

bool mf_store_stands(const mf_store *store)
{
    struct stat now;

    return stat(store->index_path, &now) == 0 && now.st_dev == store->index_file.st_dev &&
           now.st_ino == store->index_file.st_ino;
}

mf_store *mf__store_ref(mf_store *store)
{
    __atomic_add_fetch(&store->refs, 1, __ATOMIC_RELAXED);
    return store;
}

void mf__store_unref(mf_store *store)
{
    if (__atomic_sub_fetch(&store->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    while (store->idle) {
        mf__reader *r = store->idle;
        store->idle = r->next;
        reader_free(r);
    }
    while (store->held) {
        mf__reader *r = store->held;
        store->held = r->next;
        reader_free(r);
    }
    mf__connection_close(store->index);
    mf__connection_close(store->chunks);
    pthread_cond_destroy(&store->work);
    pthread_cond_destroy(&store->done);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->reader_lock);
    pthread_mutex_destroy(&store->pin_lock);
    if (store->lock_file >= 0)
        close(store->lock_file);
    free(store->index_path);
    free(store->chunks_path);
    free(store->dir);
    free(store);
}

void mf_store_close(mf_store *store)
{
    if (!store)
        return;
    mf__writer_stop(store);
    mf__store_unref(store);
}

const char *mf_store_dir(const mf_store *store)
{
    return store->dir;
}
