/* suits.c - see suits.h. What a place can run is asked once for each stage. */
#include "run/schedule/suits.h"

#include <stdint.h>
#include <string.h>

size_t mf_bytes_plus(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

const mf_device_info *mf_place_device(const mf_runner *r, size_t place, size_t i)
{
    return r->executor->device(r->executor->self, place, i);
}

size_t mf_group_of(const mf_runner *r, size_t i)
{
    return mf_plan_at(r->plan, i)->node->group;
}

const char *mf_place_why_not(mf_runner *r, size_t i, size_t place, const mf_run_place *p)
{
    return r->executor->cannot(r->executor->self, r->plan, i, place, p);
}

/* Whether nodes of its stage can run at the place, which is asked once. */
static bool can(mf_runner *r, size_t i, size_t place)
{
    uint8_t *known = &r->spots.items[place].can[mf_group_of(r, i)];

    if (!*known)
        *known = mf_place_why_not(r, i, place, &r->spots.items[place].is) ? 2 : 1;
    return *known == 1;
}

static bool could(mf_runner *r, size_t i, size_t k)
{
    uint8_t *known =
        &r->coming[k * mf_graph_stage_count(mf_plan_graph(r->plan)) + mf_group_of(r, i)];

    if (!*known)
        *known = mf_place_why_not(r, i, MF_PLACE_TO_COME, &r->may_come[k]) ? 2 : 1;
    return *known == 1;
}

static bool find_only_here(mf_runner *r, size_t i)
{
    bool others = r->may_come_count > 0;

    for (size_t p = 1; p < r->spots.count; p++) {
        const mf_spot *s = &r->spots.items[p];
        others = others || s->is.open;
        if (s->is.open && can(r, i, p))
            return false;
    }
    for (size_t k = 0; k < r->may_come_count; k++)
        if (could(r, i, k))
            return false;
    return others;
}

/* Whether its stage is none for workers: then it runs in this process, though that has no slots. */
bool mf_only_here(mf_runner *r, size_t i)
{
    uint8_t *known = &r->here[mf_group_of(r, i)];

    if (!*known)
        *known = find_only_here(r, i) ? 1 : 2;
    return *known == 1;
}

/* The place takes nodes of its stage. */
bool mf_place_takes_stage(mf_runner *r, size_t i, size_t place)
{
    const mf_run_place *p = &r->spots.items[place].is;

    return p->open && p->slots > 0 && can(r, i, place) &&
           (place || !r->options->no_local || mf_only_here(r, i));
}

size_t mf_job_device_count(const mf_job *j)
{
    const size_t wanted = j->needs.devices < 1 ? 1 : (size_t)j->needs.devices;

    return wanted < MF_TASK_DEVICES ? wanted : MF_TASK_DEVICES;
}

/* Devices of one kind round alike: the same processor, driver and kernels, which divide sums by the
 * number of compute units. */
bool mf_same_kind(const mf_device_info *a, const mf_device_info *b)
{
    return !strcmp(a->name, b->name) && !strcmp(a->platform, b->platform) &&
           !strcmp(a->driver, b->driver) && a->plain == b->plain &&
           a->compute_units == b->compute_units;
}

/* It may get that device: of several workers all have to be of one kind. */
bool mf_place_device_suits(const mf_runner *r, const mf_job *j, size_t place, size_t d)
{
    return !j->kind || mf_same_kind(j->kind, mf_place_device(r, place, d));
}

/* The most devices of one kind that a place has for it. */
size_t mf_place_most_alike(const mf_runner *r, const mf_job *j, size_t place)
{
    const size_t count = r->spots.items[place].is.device_count;
    size_t most = 0;

    for (size_t first = 0; first < count; first++) {
        size_t have = 0;
        if (!mf_place_device_suits(r, j, place, first))
            continue;
        for (size_t d = first; d < count; d++)
            have += mf_same_kind(mf_place_device(r, place, first), mf_place_device(r, place, d));
        most = have > most ? have : most;
    }
    return most;
}

/* It has the devices, busy or not. */
bool mf_place_has_devices(const mf_runner *r, const mf_job *j, size_t place)
{
    const size_t wanted = mf_job_device_count(j), count = r->spots.items[place].is.device_count;

    return !j->needs.device || (count >= wanted && ((wanted == 1 && !j->kind) ||
                                                    mf_place_most_alike(r, j, place) >= wanted));
}

/* Its kind of place, and it lasts long enough. */
static bool suits(mf_runner *r, const mf_job *j, size_t place)
{
    const mf_run_place *p = &r->spots.items[place].is;

    return mf_place_takes_stage(r, j->index, place) && mf_place_has_devices(r, j, place) &&
           (!(j->expects > 0) || r->clock() + j->expects <= p->ends);
}

/* Of the host's memory; that of a CPU device is the host's own. */
size_t mf_place_bytes(const mf_runner *r, const mf_job *j, size_t place, size_t device)
{
    bool shares = j->needs.device && mf_place_device(r, place, device)->shares_host_memory;

    size_t bytes = j->needs.host_bytes;

    for (size_t i = 0; shares && i < mf_job_device_count(j); i++)
        bytes = mf_bytes_plus(bytes, j->needs.device_bytes);
    return bytes;
}

/* It has as much memory as the node needs, free or not. */
static bool has_memory(const mf_runner *r, const mf_job *j, size_t place)
{
    const mf_run_place *p = &r->spots.items[place].is;

    if (!j->needs.device)
        return j->needs.host_bytes <= p->bytes;
    for (size_t d = 0; d < p->device_count; d++)
        if (mf_place_device_suits(r, j, place, d) &&
            j->needs.device_bytes <= mf_place_device(r, place, d)->memory &&
            mf_place_bytes(r, j, place, d) <= p->bytes)
            return true;
    return false;
}

bool mf_kind_takes(mf_runner *r, size_t i, size_t k, bool device)
{
    const mf_run_place *p = &r->may_come[k];

    return p->slots > 0 && (!device || p->device_count) && could(r, i, k);
}

/* `known`: and is known to have the memory. */
static bool kind_suits(mf_runner *r, const mf_job *j, size_t k, bool known)
{
    const mf_run_place *p = &r->may_come[k];

    return mf_kind_takes(r, j->index, k, j->needs.device) &&
           (!j->needs.device || p->device_count >= mf_job_device_count(j)) &&
           (!(j->expects > 0) || j->expects <= p->ends) &&
           (p->bytes && p->bytes < SIZE_MAX ? j->needs.host_bytes <= p->bytes : !known);
}

bool mf_kind_suits(mf_runner *r, const mf_job *j, size_t k)
{
    return kind_suits(r, j, k, false);
}

/* A place of this kind may come; `known`: and is known to have the memory. */
bool mf_kind_may_come(mf_runner *r, const mf_job *j, bool known)
{
    for (size_t k = 0; k < r->may_come_count; k++)
        if (kind_suits(r, j, k, known))
            return true;
    return false;
}

/* A node that was lost with its worker goes to another host, and to this process last: it may be
 * what ended it. One whose worker could not write goes to another host. */
bool mf_place_shunned(const mf_runner *r, const mf_job *j, size_t place)
{
    const mf_return *back = r->returns.count ? mf_returns_find(&r->returns, j->index) : NULL;

    return back && ((!place && back->lost) ||
                    (place && mf_return_from_host(back, r->spots.items[place].is.name)));
}

/* Some place has all that it needs. */
static bool has_all_somewhere(mf_runner *r, const mf_job *j)
{
    for (size_t p = r->spots.count; p-- > 0;)
        if (suits(r, j, p) && has_memory(r, j, p))
            return true;
    return mf_kind_may_come(r, j, true);
}

/* Instead of a place that it shuns. A worker that may come is none of another host for certain: the
 * cluster may have one host only, so it is waited for instead of this process alone. */
static bool goes_elsewhere(mf_runner *r, const mf_job *j, size_t place)
{
    for (size_t p = r->spots.count; p-- > 0;)
        if (suits(r, j, p) && has_memory(r, j, p) && !mf_place_shunned(r, j, p))
            return true;
    return !place && mf_kind_may_come(r, j, false);
}

bool mf_held_by_a_device(mf_runner *r, const mf_job *j)
{
    for (size_t p = 0; p < r->spots.count; p++) {
        const mf_run_place *is = &r->spots.items[p].is;
        if (!suits(r, j, p))
            continue;
        for (size_t d = 0; d < is->device_count; d++)
            if (j->needs.device_bytes <= mf_place_device(r, p, d)->memory)
                return true;
    }
    return false;
}

/* It can run there once nothing else does. What needs more memory than any place has may try in
 * this process; what needs more than any device has may try on any: it may know how to do with
 * less, and the driver says where it can't. */
bool mf_place_would_fit(mf_runner *r, const mf_job *j, size_t place)
{
    if (!suits(r, j, place))
        return false;
    if (j->ranks > 1 && !place) /* several workers run it */
        return false;
    if (j->ranks == 1 && mf_place_shunned(r, j, place) && goes_elsewhere(r, j, place))
        return false;
    if (has_memory(r, j, place))
        return true;
    if (j->needs.device && !mf_held_by_a_device(r, j) &&
        j->needs.host_bytes <= r->spots.items[place].is.bytes)
        return true;
    return !place && !has_all_somewhere(r, j);
}

bool mf_any_place_would_fit(mf_runner *r, const mf_job *j)
{
    for (size_t p = r->spots.count; p-- > 0;)
        if (mf_place_would_fit(r, j, p))
            return true;
    return false;
}

/* This process may have devices, which are not opened to find out. */
bool mf_place_takes(mf_runner *r, size_t i, size_t place, bool device)
{
    return mf_place_takes_stage(r, i, place) &&
           (!device || !place || r->spots.items[place].is.device_count);
}
