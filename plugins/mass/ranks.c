/* ranks.c - see ranks.h. */
#include "ranks.h"
#include "../common/rank_groups.h"
#include "../common/rank_threads.h"

#include <stdlib.h>

struct mf_ranks {
    mf_task *task;
    int count;
    mf_rank_threads *threads; /* of a task of one worker */
    mf_rank_groups *groups;   /* of one at several */
    mf_device **devices;
    /* Of the call that is running. */
    mf_status (*work)(void *self, int rank);
    void *self;
};

static mf_status check_power(const char *name, int64_t count)
{
    if ((count & (count - 1)) == 0)
        return MF_OK;
    return mf_fail(MF_INVALID, "%s is %lld; it must be a power of 2: 1, 2, 4, ...", name,
                   (long long)count);
}

static mf_status check_items(int64_t ranks, int64_t items)
{
    if (ranks <= items)
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "ranks is %lld, but a batch has %lld item%s",
                           (long long)ranks, (long long)items, items == 1 ? "" : "s"),
                   "each worker needs an item of every batch: lower ranks, or raise batch_size");
}

mf_status mf_ranks_check(int64_t ranks, int64_t devices, int64_t items)
{
    MF_TRY(check_power("devices", devices));
    MF_TRY(check_power("ranks", ranks));
    return check_items(ranks, items);
}

int mf_ranks_of(int64_t ranks, int64_t devices, int64_t items)
{
    int64_t count = devices;
    while (count * ranks > items && count > 1)
        count /= 2;
    return (int)count;
}

void mf_ranks_need(int64_t ranks, int64_t devices, int64_t items, mf_needs *n)
{
    n->devices = mf_ranks_of(ranks, devices, items);
    n->device_bytes += ranks * n->devices > 1 ? MF_EXCHANGE_BYTES : 0;
}

int64_t mf_ranks_items(int64_t ranks, int64_t devices, int64_t items)
{
    const int64_t all = ranks * mf_ranks_of(ranks, devices, items);
    return (items + all - 1) / all;
}

int64_t mf_ranks_read(int64_t ranks, int64_t devices, int64_t items)
{
    return ranks * mf_ranks_of(ranks, devices, items) > 1 ? (items + ranks - 1) / ranks : 0;
}

static mf_status open_transports(mf_ranks *r)
{
    mf_transport *between[64] = {NULL};
    int workers;
    mf_task_rank(r->task, &workers);
    if (workers == 1)
        return mf_rank_threads_new(r->count, &r->threads);
    for (int i = 0; i < r->count; i++) {
        between[i] = mf_task_transport(r->task, i);
        if (!between[i])
            return mf_fail(MF_INTERNAL, "device %d has no way to the other workers", i);
    }
    return mf_rank_groups_new(r->count, between, &r->groups);
}

static mf_status open_devices(mf_ranks *r)
{
    r->devices = calloc((size_t)r->count, sizeof(mf_device *));
    if (!r->devices)
        return mf_no_memory(0, "%d devices", r->count);
    for (int i = 0; i < r->count; i++)
        MF_TRY(mf_task_device_at(r->task, i, &r->devices[i]));
    return open_transports(r);
}

static mf_status check_workers(mf_task *t, int64_t ranks, int64_t items)
{
    int workers;
    mf_task_rank(t, &workers);
    if (workers != ranks)
        return mf_fail(MF_INTERNAL, "ranks is %lld, and %d workers run the task", (long long)ranks,
                       workers);
    return check_items(ranks, items);
}

mf_status mf_ranks_new(mf_task *t, int64_t ranks, int64_t devices, int64_t items, mf_ranks **made)
{
    *made = NULL;
    MF_TRY(check_workers(t, ranks, items));
    mf_ranks *r = calloc(1, sizeof *r);
    if (!r)
        return mf_no_memory(sizeof *r, "ranks");
    r->task = t;
    r->count = mf_ranks_of(ranks, devices, items);
    if (r->count < devices)
        mf_log(t, "devices is %lld, but %s has %lld item%s: it trains on %d", (long long)devices,
               ranks > 1 ? "a worker's part of a batch" : "a batch", (long long)(items / ranks),
               items / ranks == 1 ? "" : "s", r->count);
    mf_status status = open_devices(r);
    if (status) {
        mf_ranks_free(r);
        return status;
    }
    *made = r;
    return MF_OK;
}

void mf_ranks_free(mf_ranks *r)
{
    if (!r)
        return;
    mf_rank_threads_free(r->threads);
    mf_rank_groups_free(r->groups);
    free(r->devices);
    free(r);
}

int mf_ranks_count(const mf_ranks *r)
{
    return r->count;
}

bool mf_ranks_alone(const mf_ranks *r)
{
    return r->count == 1 && !r->groups;
}

mf_device *mf_ranks_device(const mf_ranks *r, int rank)
{
    return r->devices[rank];
}

mf_transport *mf_ranks_transport(const mf_ranks *r, int rank)
{
    return r->groups ? mf_rank_groups_at(r->groups, rank) : mf_rank_threads_at(r->threads, rank);
}

void mf_ranks_part(const mf_ranks *r, int64_t count, int64_t *first, int64_t *items)
{
    int workers;
    const int rank = mf_task_rank(r->task, &workers);
    mf_batch_part(count, workers, rank, first, items);
}

mf_status mf_ranks_stream(const mf_ranks *r, mf_stream *stream, int64_t batch)
{
    int64_t first, items;
    mf_ranks_part(r, batch, &first, &items);
    return mf_stream_part(stream, batch, first, items);
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

mf_status mf_ranks_gather(mf_ranks *r, void *values, int64_t count, size_t bytes)
{
    mf_transport *between = mf_task_transport(r->task, 0);
    return between ? mf_transport_gather(between, values, count, bytes) : MF_OK;
}

mf_status mf_ranks_agree(mf_ranks *r, int64_t step)
{
    int64_t steps[64] = {0};
    int workers;
    steps[mf_task_rank(r->task, &workers)] = step;
    MF_TRY(mf_ranks_gather(r, steps, workers, sizeof *steps));
    for (int i = 0; i < workers; i++)
        if (steps[i] != step)
            return mf_fail(MF_INTERNAL, "worker %d begins after step %lld, this one after %lld", i,
                           (long long)steps[i], (long long)step);
    return MF_OK;
}
