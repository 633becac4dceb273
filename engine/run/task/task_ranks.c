/* task_ranks.c - a task that computes on several devices at once: a thread for each. */
#include "compute/stop.h"
#include "run/process/altstack.h"
#include "run/task/task_private.h"

#include <pthread.h>
#include <stdlib.h>

int mf_task_devices(mf_task *t)
{
    return t->device_count ? (int)t->device_count : 1;
}

mf_status mf_task_device_at(mf_task *t, int i, mf_device **device)
{
    const size_t *devices;

    *device = NULL;
    if (i < 0 || i >= mf_task_devices(t))
        return mf_fail(MF_INTERNAL, "device %d of a task that has %d", i, mf_task_devices(t));
    mf_task_device_list(t, &devices);
    return mf_host_device(t->host, devices[i], device);
}

/* Held until all threads are there: a rank that is missing would be waited for without end. */
typedef struct gate {
    pthread_mutex_t lock;
    bool open; /* the work is to be done */
} gate;

typedef struct rank {
    mf_task *task;
    gate *gate;
    mf_status (*work)(void *self, int rank);
    void *self;
    int index;
    pthread_t thread;
    bool started;
    mf_status status;
} rank;

static mf_status ask(void *self)
{
    return mf_cancel_point(self);
}

static void *work_in_thread(void *self)
{
    rank *r = self;
    bool open;

    mf_altstack_set();
    pthread_mutex_lock(&r->gate->lock);
    open = r->gate->open;
    pthread_mutex_unlock(&r->gate->lock);
    if (!open)
        return NULL;
    mf_stop_set((mf_stop){ask, r->task});
    r->status = r->work(r->self, r->index);
    return NULL;
}

/* Whether an error is to be told before the one that is known. */
static bool goes_before(mf_status status, mf_status known)
{
    if (!status || !known)
        return status != MF_OK;
    return mf_error_code(known) == MF_CANCELLED && mf_error_code(status) != MF_CANCELLED;
}

static mf_status join(rank *ranks, int count, int *failed)
{
    mf_status status = MF_OK;

    *failed = -1;
    for (int i = 0; i < count; i++) {
        if (ranks[i].started)
            pthread_join(ranks[i].thread, NULL);
        if (!goes_before(ranks[i].status, status)) {
            mf_error_free(ranks[i].status);
            continue;
        }
        mf_error_free(status);
        status = ranks[i].status;
        *failed = i;
    }
    return status;
}

static bool start(rank *ranks, int count)
{
    gate *g = ranks->gate;
    int i = 1;

    pthread_mutex_lock(&g->lock);
    while (i < count && (ranks[i].started = pthread_create(&ranks[i].thread, NULL, work_in_thread,
                                                           &ranks[i]) == 0))
        i++;
    g->open = i == count;
    pthread_mutex_unlock(&g->lock);
    return g->open;
}

mf_status mf_task_ranks(mf_task *t, int count, mf_status (*work)(void *self, int rank), void *self,
                        int *failed)
{
    gate g = {.lock = PTHREAD_MUTEX_INITIALIZER};
    rank *ranks = calloc((size_t)count, sizeof *ranks);
    mf_status status;
    int first;

    if (!ranks)
        return mf_no_memory((size_t)count * sizeof *ranks, "%d ranks", count);
    for (int i = 0; i < count; i++)
        ranks[i] = (rank){.task = t, .gate = &g, .work = work, .self = self, .index = i};
    ranks->status = start(ranks, count)
                        ? work(self, 0)
                        : mf_fail(MF_NO_MEMORY, "no threads for %d ranks could be started", count);
    status = join(ranks, count, &first);
    if (failed)
        *failed = first;
    free(ranks);
    return status;
}
