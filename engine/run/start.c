/* start.c - which nodes start when: by rank, as slots, memory and devices are free. */
#include "run/runner.h"

/* The first device that nobody has, in the order they were asked for; their count if there is none.
 */
static size_t free_device(const mf_runner *r)
{
    size_t i = 0;

    while (i < r->device_count && r->device_busy[i])
        i++;
    return i;
}

/* The slots that a job takes; on a CPU device it computes with all its cores. */
static int slots_of(const mf_runner *r, const mf_job *j)
{
    int slots = j->needs.cpu;

    if (j->needs.device) {
        const mf_device_info *info = r->executor->device(r->executor->self, j->device);
        if (info->is_cpu && slots < info->compute_units)
            slots = info->compute_units;
    }
    return slots < 1 ? 1 : slots > r->slots ? r->slots : slots;
}

/* Settles the job's device and slots. False while it has to wait. */
static bool fits(const mf_runner *r, mf_job *j)
{
    if (j->needs.device) {
        j->device = free_device(r);
        if (j->device == r->device_count)
            return false;
    }
    j->slots = slots_of(r, j);
    if (!r->running)
        return true; /* whatever it needs: alone it may try */
    return r->slots_used + j->slots <= r->slots && r->bytes_used + j->needs.host_bytes <= r->bytes;
}

/* Its node can start no more, or would start as something else than it was made for. */
static bool outdated(const mf_runner *r, const mf_job *j)
{
    const mf_plan_node *n = mf_plan_at(r->plan, j->index);

    return !mf_plan_can_start(n) || n->turn != j->turn;
}

/* Finds the next job of a kind, unless there is one already or none that could start. */
static void prepare(mf_runner *r, bool device)
{
    mf_job **next = &r->pending[device];

    if (*next && outdated(r, *next)) {
        mf_job_free(*next);
        *next = NULL;
    }
    while (!*next && !r->stopping) {
        size_t i = mf_plan_next(r->plan, device);
        mf_status status;
        if (i == mf_plan_count(r->plan))
            return;
        if (mf_runner_made_elsewhere(r, i))
            continue;
        status = mf_job_new(r, i, next);
        if (status)
            mf_runner_failed(r, i, NULL, status);
    }
}

/* Both kinds, until nothing changes: a node that is found stored, or can't be started, decides
 * others of either kind. */
static void prepare_all(mf_runner *r)
{
    uint64_t before;

    do {
        before = mf_plan_changes(r->plan);
        prepare(r, true);
        prepare(r, false);
    } while (!r->stopping && mf_plan_changes(r->plan) != before);
}

static double rank_of(const mf_runner *r, const mf_job *j)
{
    return mf_plan_at(r->plan, j->index)->rank;
}

/* The higher ranked job goes first. Where slots or memory are short the other waits behind it, so
 * that nothing large starves; a busy device keeps only those waiting that want one. */
static mf_job *next_job(mf_runner *r)
{
    mf_job *host = r->pending[false], *device = r->pending[true];
    mf_job *first = device && (!host || rank_of(r, device) >= rank_of(r, host)) ? device : host;
    bool only_device = first && first == device && free_device(r) == r->device_count;

    if (first && fits(r, first))
        return first;
    return only_device && host && fits(r, host) ? host : NULL;
}

/* Starts what can start. False once nothing runs and there is nothing left to start or to wait for.
 */
bool mf_runner_start(mf_runner *r)
{
    while (!r->stopping) {
        mf_job *j;
        prepare_all(r);
        j = r->stopping ? NULL : next_job(r);
        if (!j)
            break;
        r->pending[j == r->pending[true]] = NULL;
        mf_job_launch(r, j);
    }
    return r->running || (!r->stopping && mf_waits_any(&r->waits));
}
