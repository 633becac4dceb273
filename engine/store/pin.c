/* pin.c - between processes: while one looks results up or stores them, none collects.
 *
 * A lock on the file `lock` of the folder. Shared by all that look up or store and have not yet
 * written down what they use; alone by gc while it decides what goes, and while it deletes. The
 * kernel lets go of the locks of a process that dies. */
#include "store/internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAIT_SECONDS 120

mf_status mf__lock_open(const char *dir, int *file)
{
    char *path;
    if (asprintf(&path, "%s/lock", dir) < 0)
        return mf_no_memory(0, "opening a cache");
    *file = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    mf_status status =
        *file >= 0 ? MF_OK
        : errno == ELOOP
            ? mf_fail(MF_INVALID, "'%s' is a link", path)
            : mf_hint(mf_fail(MF_IO, "cannot open '%s': %s", path, strerror(errno)), MF__ELSEWHERE);
    free(path);
    return status;
}

static int set(int file, int command, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
    while (fcntl(file, command, &lock) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

static void sleep_briefly(void)
{
    struct timespec pause = {0, 20000000};
    nanosleep(&pause, NULL);
}

/* Waits for as long as it takes, and says so. */
static void wait_for_lock(const mf_store *store)
{
    char *path = NULL;
    mf__delay wait;
    mf__delay_begin(&wait);
    for (int failed; (failed = set(store->lock_file, F_OFD_SETLK, F_RDLCK));) {
        if (failed != EAGAIN && failed != EACCES)
            break;
        if (!path && asprintf(&path, "%s/lock", store->dir) < 0)
            path = NULL;
        mf__delay_look(&wait, path ? path : store->dir);
        sleep_briefly();
    }
    free(path);
}

/* A file system without locks has no gc beside runs either: see mf__lock_alone. */
void mf__pin(mf_store *store)
{
    pthread_mutex_lock(&store->pin_lock);
    if (store->pins++ == 0 && store->lock_file >= 0)
        wait_for_lock(store);
    pthread_mutex_unlock(&store->pin_lock);
}

void mf__unpin(mf_store *store)
{
    pthread_mutex_lock(&store->pin_lock);
    assert(store->pins > 0);
    if (--store->pins == 0 && store->lock_file >= 0)
        set(store->lock_file, F_OFD_SETLK, F_UNLCK);
    pthread_mutex_unlock(&store->pin_lock);
}

void mf_store_pin(mf_store *store)
{
    if (store->mode == MF_STORE_WRITE)
        mf__pin(store);
}

void mf_store_unpin(mf_store *store)
{
    if (store->mode == MF_STORE_WRITE)
        mf__unpin(store);
}

/* What a run uses stands in its table now. */
void mf__planned(mf_store *store)
{
    pthread_mutex_lock(&store->pin_lock);
    bool planning = store->planning;
    store->planning = false;
    pthread_mutex_unlock(&store->pin_lock);
    if (planning)
        mf__unpin(store);
}

static mf_status never_alone(const char *dir, const char *path)
{
    char *holder = mf__lock_holder(path);
    mf_status status =
        mf_hint(mf_fail(MF_IO,
                        "other processes have been planning with the cache '%s' "
                        "or storing in it for %d s",
                        dir, WAIT_SECONDS),
                "try again later; now it is %s", holder ? holder : "another process");
    free(holder);
    return status;
}

static mf_status lock_alone(int file, const char *dir, const char *path)
{
    mf__delay wait;
    mf__delay_begin(&wait);
    for (;;) {
        int failed = set(file, F_OFD_SETLK, F_WRLCK);
        if (!failed)
            return MF_OK;
        if (failed != EAGAIN && failed != EACCES)
            return mf_hint(mf_fail(MF_IO, "'%s' cannot be locked: %s", path, strerror(failed)),
                           "on this file system collect while nothing runs");
        if (mf__delay_look(&wait, path) > WAIT_SECONDS)
            return never_alone(dir, path);
        sleep_briefly();
    }
}

mf_status mf__lock_alone(int file, const char *dir)
{
    char *path;
    if (asprintf(&path, "%s/lock", dir) < 0)
        return mf_no_memory(0, "locking a cache");
    mf_status status = lock_alone(file, dir, path);
    free(path);
    return status;
}

void mf__lock_release(int file)
{
    set(file, F_OFD_SETLK, F_UNLCK);
}
