/* start.c - which nodes start when: by rank, as slots, memory and devices are free. */
#include "run/schedule/runner.h"

static size_t plus(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

/* Whether some device has so much memory, free or not. */
static bool held_by_any(const mf_runner *r, size_t place, size_t bytes)
{
    for (size_t i = 0; i < r->device_count; i++)
        if (bytes <= r->executor->device(r->executor->self, place, i)->memory)
            return true;
    return false;
}

/* Parts of a device have its memory together. What needs more than any device has runs while
 * nothing else does on the one it gets: it may know how to do with less, and the driver says where
 * it can't.
 */
static bool fits_device(const mf_runner *r, const mf_job *j, size_t device)
{
    const mf_executor *e = r->executor;
    size_t used = j->needs.device_bytes;
    bool alone = true;

    for (const mf_job *other = r->running; other; other = other->next) {
        if (!other->needs.device || !e->same_memory(e->self, j->place, other->device, device))
            continue;
        used = plus(used, other->needs.device_bytes);
        alone = false;
    }
    if (used <= e->device(e->self, j->place, device)->memory)
        return true;
    return alone && !held_by_any(r, j->place, j->needs.device_bytes);
}

/* The first device that nobody has and whose memory suffices, in the order they were asked for;
 * their count if there is none. */
static size_t free_device(const mf_runner *r, const mf_job *j)
{
    size_t i = 0;

    while (i < r->device_count && (r->device_busy[i] || !fits_device(r, j, i)))
        i++;
    return i;
}

/* Of the host's memory; that of a CPU device is the host's own. */
static size_t bytes_of(const mf_runner *r, const mf_job *j)
{
    bool shares = j->needs.device &&
                  r->executor->device(r->executor->self, j->place, j->device)->shares_host_memory;

    return plus(j->needs.host_bytes, shares ? j->needs.device_bytes : 0);
}

/* The slots that a job takes; on a CPU device it computes with all its cores. */
static int slots_of(const mf_runner *r, const mf_job *j)
{
    int slots = j->needs.cpu;

    if (j->needs.device) {
        const mf_device_info *info = r->executor->device(r->executor->self, j->place, j->device);
        if (info->is_cpu && slots < info->compute_units)
            slots = info->compute_units;
    }
    return slots < 1 ? 1 : slots > r->slots ? r->slots : slots;
}

/* Settles the job's device and slots. False while it has to wait. */
static bool fits(const mf_runner *r, mf_job *j)
{
    if (j->needs.device) {
        j->device = free_device(r, j);
        if (j->device == r->device_count)
            return false;
    }
    j->slots = slots_of(r, j);
    j->bytes = bytes_of(r, j);
    if (!r->running)
        return true; /* whatever it needs: alone it may try */
    return r->slots_used + j->slots <= r->slots && plus(r->bytes_used, j->bytes) <= r->bytes;
}

/* Its node can start no more, or would start as something else than it was made for. */
static bool outdated(const mf_runner *r, const mf_job *j)
{
    const mf_plan_node *n = mf_plan_at(r->plan, j->index);

    return !mf_plan_can_start(n) || n->turn != j->turn;
}

/* A stage that has not run here says of its first node what all of them will take. What goes wrong
 * in that goes wrong again when the node is started, and is said then. */
static void estimate(mf_runner *r)
{
    size_t i;

    while (!r->stopping && (i = mf_plan_unestimated(r->plan)) != mf_plan_count(r->plan)) {
        mf_job *j;
        mf_error_free(mf_job_new(r, i, &j));
        mf_plan_estimate(r->plan, i, j ? j->needs.cost : 1);
        mf_job_free(j);
    }
}

static double rank_of(const mf_runner *r, const mf_job *j)
{
    return mf_plan_at(r->plan, j->index)->rank;
}

/* Finds the next job of a kind, unless there is none that could start. One that waits already gives
 * way to one that comes before it. */
static void prepare(mf_runner *r, bool device)
{
    mf_job **next = &r->pending[device];

    while (!r->stopping) {
        size_t i = mf_plan_next(r->plan, device);
        bool none = i == mf_plan_count(r->plan);
        mf_status status;
        if (*next &&
            (outdated(r, *next) || (!none && mf_plan_at(r->plan, i)->rank > rank_of(r, *next)))) {
            mf_job_free(*next);
            *next = NULL;
        }
        if (none || *next)
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
        estimate(r);
        prepare(r, true);
        prepare(r, false);
    } while (!r->stopping && mf_plan_changes(r->plan) != before);
}

/* The higher ranked job goes first. Where slots or memory are short the other waits behind it, so
 * that nothing large starves; a device that is busy or full keeps only those waiting that want one.
 */
static mf_job *next_job(mf_runner *r)
{
    mf_job *host = r->pending[false], *device = r->pending[true];
    mf_job *first = device && (!host || rank_of(r, device) >= rank_of(r, host)) ? device : host;
    bool only_device = first && first == device && free_device(r, device) == r->device_count;

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
