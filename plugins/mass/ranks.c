/* ranks.c - see ranks.h. */
#include "ranks.h"
#include "../common/rank_threads.h"

#include <stdlib.h>

struct mf_ranks {
    mf_task *task;
    int count;
    mf_rank_threads *threads;
    mf_device **devices;
    /* Of the call that is running. */
    mf_status (*work)(void *self, int rank);
    void *self;
};

mf_status mf_ranks_check(int64_t devices)
{
    if ((devices & (devices - 1)) == 0)
        return MF_OK;
    return mf_fail(MF_INVALID, "devices is %lld; it must be a power of 2: 1, 2, 4, ...",
                   (long long)devices);
}

int mf_ranks_of(int64_t devices, int64_t items)
{
    int64_t count = devices;
    while (count > items && count > 1)
        count /= 2;
    return (int)count;
}

void mf_ranks_need(int64_t devices, int64_t items, mf_needs *n)
{
    n->devices = mf_ranks_of(devices, items);
    n->device_bytes += n->devices > 1 ? MF_EXCHANGE_BYTES : 0;
}

int64_t mf_ranks_items(int64_t devices, int64_t items)
{
    const int ranks = mf_ranks_of(devices, items);
    return (items + ranks - 1) / ranks;
}

static mf_status open_devices(mf_ranks *r)
{
    r->devices = calloc((size_t)r->count, sizeof(mf_device *));
    if (!r->devices)
        return mf_no_memory(0, "%d devices", r->count);
    for (int i = 0; i < r->count; i++)
        MF_TRY(mf_task_device_at(r->task, i, &r->devices[i]));
    return mf_rank_threads_new(r->count, &r->threads);
}

mf_status mf_ranks_new(mf_task *t, int64_t devices, int64_t items, mf_ranks **ranks)
{
    *ranks = NULL;
    mf_ranks *r = calloc(1, sizeof *r);
    if (!r)
        return mf_no_memory(sizeof *r, "ranks");
    r->task = t;
    r->count = mf_ranks_of(devices, items);
    if (r->count < devices)
        mf_log(t, "devices is %lld, but a batch has %lld item%s: it trains on %d",
               (long long)devices, (long long)items, items == 1 ? "" : "s", r->count);
    mf_status status = open_devices(r);
    if (status) {
        mf_ranks_free(r);
        return status;
    }
    *ranks = r;
    return MF_OK;
}

void mf_ranks_free(mf_ranks *r)
{
    if (!r)
        return;
    mf_rank_threads_free(r->threads);
    free(r->devices);
    free(r);
}

int mf_ranks_count(const mf_ranks *r)
{
    return r->count;
}

mf_device *mf_ranks_device(const mf_ranks *r, int rank)
{
    return r->devices[rank];
}

mf_transport *mf_ranks_transport(const mf_ranks *r, int rank)
{
    return mf_rank_threads_at(r->threads, rank);
}

static mf_status work_as(void *self, int rank)
{
    mf_ranks *r = self;
    mf_status status = r->work(r->self, rank);
    if (status) {
        mf_transport *t = mf_ranks_transport(r, rank);
        t->abort(t->self);
    }
    return status;
}

mf_status mf_ranks_run(mf_ranks *r, mf_status (*work)(void *self, int rank), void *self,
                       int *failed)
{
    r->work = work;
    r->self = self;
    mf_status status = mf_task_ranks(r->task, r->count, work_as, r, failed);
    if (!status || mf_error_code(status) != MF_CANCELLED)
        return status;
    /* Whoever waited for a rank that was stopped does not know why it was. */
    mf_status why = mf_cancel_point(r->task);
    if (!why)
        return status;
    mf_error_free(status);
    return why;
}
