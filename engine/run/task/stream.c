/* stream.c - a stream's items, computed ahead of their reader through a bounded ring.
 *
 * Workers take the next index, compute it and put it into slot index % depth; the reader takes
 * slots in order. So the items and their order depend on neither the number of workers nor on who
 * was faster. A seek starts a new generation: what is still under way for the old one is dropped.
 */
#include "run/process/altstack.h"
#include "run/task/task_private.h"

#include <stdlib.h>
#include <string.h>

typedef struct ring_slot {
    bool ready;
    mf_artifact *item; /* NULL past the end */
    mf_status status;
} ring_slot;

struct mf_stream {
    mf_host *host;
    const mf_work *work;
    int threads;
    size_t device;
    double timeout, deadline; /* its reader's */
    const mf_supply *supply;  /* as well */
    const atomic_bool *ends;  /* and that it is to end */
    mf_task *task;            /* opened the session; runs no items */
    mf_session *session;
    pthread_t *workers;
    int started;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t room, filled;
    bool stop;
    uint64_t generation;
    int64_t claim, read; /* next turn to compute, next to hand out; claim - read <= depth */
    int64_t period, first, count; /* of the items that have a turn: see mf_stream_part */
    int64_t depth;
    ring_slot *slots;
};

static void clear_slots(mf_stream *s)
{
    for (int64_t i = 0; i < s->depth; i++) {
        mf_artifact_unref(s->slots[i].item);
        mf_error_free(s->slots[i].status);
        memset(&s->slots[i], 0, sizeof s->slots[i]);
    }
}

/* Called with the lock held. */
static void restart(mf_stream *s, int64_t i)
{
    s->generation++;
    clear_slots(s);
    s->claim = s->read = i;
    pthread_cond_broadcast(&s->room);
}

static mf_status new_task(const mf_stream *s, int threads, mf_task **task)
{
    MF_TRY(mf_task_new(s->host, s->work, threads, task));
    mf_task_set_device(*task, s->device);
    (*task)->supply = s->supply;
    (*task)->timeout = s->timeout;
    (*task)->deadline = s->deadline;
    (*task)->ends = s->ends;
    return MF_OK;
}

/* The item whose turn it is. */
static int64_t item_at(const mf_stream *s, int64_t turn)
{
    return turn / s->count * s->period + s->first + turn % s->count;
}

/* Called with the lock held; gives it back while it computes. */
static void compute_one(mf_stream *s, mf_task **task)
{
    const int64_t turn = s->claim++, i = item_at(s, turn);
    uint64_t generation = s->generation;
    mf_artifact *item = NULL;
    mf_status status = MF_OK;

    pthread_mutex_unlock(&s->lock);
    if (!*task)
        status = new_task(s, 1, task);
    if (!status)
        status = mf_cancel_point(*task);
    if (!status)
        status = mf_task_item(*task, mf_session_value(s->session), i, &item);
    pthread_mutex_lock(&s->lock);
    if (generation != s->generation) {
        mf_artifact_unref(item);
        mf_error_free(status);
        return;
    }
    s->slots[turn % s->depth] = (ring_slot){true, item, status};
    pthread_cond_broadcast(&s->filled);
}

static void *work_ahead(void *self)
{
    mf_stream *s = self;
    mf_task *task = NULL;

    mf_altstack_set();
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        if (s->claim < s->read + s->depth)
            compute_one(s, &task);
        else
            pthread_cond_wait(&s->room, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    mf_task_free(task);
    return NULL;
}

static mf_status open_stream(mf_stream *s)
{
    MF_TRY(new_task(s, s->threads, &s->task));
    return mf_session_acquire(s->host, s->task, s->work, &s->session);
}

mf_status mf_stream_new(const mf_task *reader, const mf_work *work, int threads, mf_stream **stream)
{
    mf_stream *s = calloc(1, sizeof *s);
    mf_status status;

    *stream = NULL;
    if (!s)
        return mf_no_memory(0, "a stream");
    s->host = reader->host;
    s->device = reader->device;
    s->supply = reader->supply;
    s->timeout = reader->timeout;
    s->deadline = reader->deadline;
    s->ends = reader->ends;
    s->work = work;
    s->threads = threads < 1 ? 1 : threads;
    s->depth = s->threads + 2;
    s->period = s->count = 1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->room, NULL);
    pthread_cond_init(&s->filled, NULL);
    s->slots = calloc((size_t)s->depth, sizeof *s->slots);
    s->workers = calloc((size_t)s->threads, sizeof *s->workers);
    status = s->slots && s->workers ? open_stream(s) : mf_no_memory(0, "a stream");
    if (status) {
        mf_stream_free(s);
        return mf_within(status, "stream %s", work->node);
    }
    *stream = s;
    return MF_OK;
}

void mf_stream_free(mf_stream *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->started; i++)
        pthread_join(s->workers[i], NULL);
    if (s->slots)
        clear_slots(s);
    mf_session_release(s->host, s->session);
    mf_task_free(s->task);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->room);
    pthread_cond_destroy(&s->filled);
    free(s->workers);
    free(s->slots);
    free(s);
}

/* Workers start with the first item asked for, so that a seek before it costs nothing. */
static mf_status start_workers(mf_stream *s)
{
    while (s->started < s->threads) {
        if (pthread_create(&s->workers[s->started], NULL, work_ahead, s) != 0) {
            if (s->started > 0)
                return MF_OK; /* fewer workers, the same items */
            return mf_fail(MF_NO_MEMORY, "no thread for stream %s could be started", s->work->node);
        }
        s->started++;
    }
    return MF_OK;
}

mf_status mf_stream_seek(mf_stream *s, int64_t i)
{
    if (i < 0 || i % s->period)
        return mf_fail(MF_INTERNAL, "stream %s was asked for item %lld", s->work->node,
                       (long long)i);
    pthread_mutex_lock(&s->lock);
    if (i / s->period * s->count != s->read)
        restart(s, i / s->period * s->count);
    pthread_mutex_unlock(&s->lock);
    return MF_OK;
}

mf_status mf_stream_part(mf_stream *s, int64_t period, int64_t first, int64_t count)
{
    if (s->started || s->read || first < 0 || count < 1 || first + count > period)
        return mf_fail(MF_INTERNAL, "stream %s was asked for items %lld to %lld of %lld",
                       s->work->node, (long long)first, (long long)(first + count - 1),
                       (long long)period);
    s->period = period;
    s->first = first;
    s->count = count;
    return MF_OK;
}

mf_status mf_stream_next(mf_stream *s, mf_artifact **item)
{
    ring_slot *slot, taken;

    *item = NULL;
    MF_TRY(mf_cancel_point(s->task));
    MF_TRY(start_workers(s));
    pthread_mutex_lock(&s->lock);
    slot = &s->slots[s->read % s->depth];
    while (!slot->ready)
        pthread_cond_wait(&s->filled, &s->lock);
    taken = *slot;
    memset(slot, 0, sizeof *slot);
    if (taken.item) {
        s->read++;
        pthread_cond_broadcast(&s->room);
    } else {
        /* An error or the end: asked for again, the item is computed again. */
        restart(s, s->read);
    }
    pthread_mutex_unlock(&s->lock);
    *item = taken.item;
    return taken.status;
}
