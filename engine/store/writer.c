/* writer.c - the one thread that writes: takes all jobs that wait, commits those on the chunks,
 * then those on the index. Knows nothing of what jobs do.
 *
 * So a job on the index may name what a job on the chunks, submitted before it, has written. What
 * nobody waits for yet is written when enough has gathered, or with what somebody waits for. Where
 * a transaction fails, its jobs are run again one by one: each job fails for its own reason only.
 */
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

#define QUEUE_BYTES ((size_t)64 << 20) /* waiting in memory; submitters block beyond */
#define BATCH_BYTES ((size_t)16 << 20) /* worth a transaction though nobody waits yet */

typedef struct batch {
    mf_store *store;
    mf__connection *connection;
    mf__target target;
    mf__job *first; /* all jobs taken, of both targets */
} batch;

/* Only the writer thread touches what `status` points to while the ticket is pending. */
static bool skipped(const mf__job *job)
{
    return job->ticket && job->ticket->status;
}

static void blame(mf_store *store, mf__job *job, mf_status status)
{
    if (!job->ticket) {
        mf_error_free(status);
        return;
    }
    pthread_mutex_lock(&store->lock);
    job->ticket->status = status;
    pthread_mutex_unlock(&store->lock);
}

static void roll_back(mf__connection *c)
{
    if (!sqlite3_get_autocommit(c->db))
        mf_error_free(mf__script(c, "ROLLBACK"));
}

static mf_status run_all(const batch *b)
{
    for (mf__job *job = b->first; job; job = job->next)
        if (job->target == b->target && !skipped(job))
            MF_TRY(job->run(b->connection, job->arg));
    return MF_OK;
}

static mf_status run_one(mf__connection *c, mf__job *job)
{
    MF_TRY(mf__script(c, "BEGIN IMMEDIATE"));
    MF_TRY(job->run(c, job->arg));
    return mf__script(c, "COMMIT");
}

static void commit(const batch *b)
{
    size_t jobs = 0;
    for (mf__job *job = b->first; job; job = job->next)
        jobs += job->target == b->target && !skipped(job);
    if (!jobs)
        return;
    mf_status status = mf__script(b->connection, "BEGIN IMMEDIATE");
    if (!status)
        status = run_all(b);
    if (!status)
        status = mf__script(b->connection, "COMMIT");
    if (!status)
        return;
    mf_error_free(status);
    roll_back(b->connection);
    for (mf__job *job = b->first; job; job = job->next) {
        if (job->target != b->target || skipped(job))
            continue;
        status = run_one(b->connection, job);
        if (status) {
            roll_back(b->connection);
            blame(b->store, job, status);
        }
    }
}

/* Frees the jobs, and tells who waits. */
static void finish(mf_store *store, mf__job *first)
{
    size_t bytes = 0;
    for (mf__job *job = first; job; job = job->next) {
        bytes += job->bytes;
        if (job->free)
            job->free(job->arg);
    }
    pthread_mutex_lock(&store->lock);
    store->queued_bytes -= bytes;
    for (mf__job *job = first, *next; job; job = next) {
        next = job->next;
        if (job->ticket)
            job->ticket->pending--;
        free(job);
    }
    pthread_cond_broadcast(&store->done);
    pthread_mutex_unlock(&store->lock);
}

/* The chunks of an artifact wait for each other: a commit costs several syncs of the disk. */
static bool worth_writing(const mf_store *store)
{
    return store->stopping ||
           (store->first && (store->waiting || store->queued_bytes >= BATCH_BYTES));
}

static void *write_all(void *arg)
{
    mf_store *store = arg;
    for (;;) {
        pthread_mutex_lock(&store->lock);
        while (!worth_writing(store))
            pthread_cond_wait(&store->work, &store->lock);
        mf__job *first = store->first;
        store->first = NULL;
        store->last = &store->first;
        pthread_mutex_unlock(&store->lock);
        if (!first)
            return NULL;
        commit(&(batch){store, store->chunks, MF__CHUNKS, first});
        commit(&(batch){store, store->index, MF__INDEX, first});
        finish(store, first);
    }
}

mf_status mf__writer_start(mf_store *store)
{
    int failed = pthread_create(&store->thread, NULL, write_all, store);
    if (failed)
        return mf_fail(MF_NO_MEMORY, "cannot start a thread: %s", strerror(failed));
    store->running = true;
    return MF_OK;
}

void mf__writer_stop(mf_store *store)
{
    if (!store->running)
        return;
    pthread_mutex_lock(&store->lock);
    store->stopping = true;
    pthread_cond_broadcast(&store->work);
    pthread_mutex_unlock(&store->lock);
    pthread_join(store->thread, NULL);
    pthread_mutex_lock(&store->lock);
    store->running = false;
    pthread_mutex_unlock(&store->lock);
}

static mf_status refuse(mf_store *store, const mf__job *job)
{
    if (job->free)
        job->free(job->arg);
    if (store->mode == MF_STORE_READ)
        return mf_fail(MF_INVALID, "the cache in '%s' is open for reading only", store->dir);
    return mf_fail(MF_INVALID, "the cache in '%s' has been closed", store->dir);
}

mf_status mf__submit(mf_store *store, const mf__job *job)
{
    mf__job *copy = malloc(sizeof *copy);
    if (!copy) {
        if (job->free)
            job->free(job->arg);
        return mf_no_memory(sizeof *copy, "writing '%s'", store->dir);
    }
    *copy = *job;
    copy->next = NULL;
    pthread_mutex_lock(&store->lock);
    while (store->running && !store->stopping && store->queued_bytes &&
           store->queued_bytes + job->bytes > QUEUE_BYTES)
        pthread_cond_wait(&store->done, &store->lock);
    bool open = store->running && !store->stopping;
    if (open) {
        *store->last = copy;
        store->last = &copy->next;
        store->queued_bytes += copy->bytes;
        if (copy->ticket)
            copy->ticket->pending++;
        if (store->queued_bytes >= BATCH_BYTES)
            pthread_cond_signal(&store->work);
    }
    pthread_mutex_unlock(&store->lock);
    if (open)
        return MF_OK;
    free(copy);
    return refuse(store, job);
}

mf_status mf__wait(mf_store *store, mf__ticket *ticket)
{
    pthread_mutex_lock(&store->lock);
    store->waiting++;
    pthread_cond_signal(&store->work);
    while (ticket->pending)
        pthread_cond_wait(&store->done, &store->lock);
    store->waiting--;
    mf_status status = ticket->status;
    ticket->status = MF_OK;
    pthread_mutex_unlock(&store->lock);
    return status;
}

bool mf__ticket_failed(mf_store *store, mf__ticket *ticket)
{
    pthread_mutex_lock(&store->lock);
    bool failed = ticket->status != MF_OK;
    pthread_mutex_unlock(&store->lock);
    return failed;
}

mf_status mf__write(mf_store *store, mf_status (*run)(mf__connection *c, void *arg), void *arg)
{
    mf__ticket ticket = {0};
    mf__job job = {.target = MF__INDEX, .run = run, .arg = arg, .ticket = &ticket};
    MF_TRY(mf__submit(store, &job));
    return mf__wait(store, &ticket);
}
