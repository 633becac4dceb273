/* seat.c - see seat.h. */
#include "run/schedule/seat.h"
#include "run/schedule/suits.h"

#include <math.h>
#include <string.h>

/* Nodes that take no longer may wait at a place, for so many seconds together and slot: then a
 * worker need not wait for the run between two nodes. What comes before them is late by that at
 * most. */
#define AHEAD_NODE 0.1
#define AHEAD_SECONDS 0.2
#define PACED 4 /* nodes after which this run knows what those of a stage take */
#define PACED_LAST 8

/* ---- slots and devices ----------------------------------------------------------------------- */

static bool same_memory(const mf_runner *r, size_t place, size_t a, size_t b)
{
    return r->executor->same_memory(r->executor->self, place, a, b);
}

/* Parts of a device have its memory together, also the `have` ones of `list` that the job gets
 * already. What needs more than any device has runs while nothing else does on the one it gets. */
static bool fits_device(mf_runner *r, const mf_job *j, size_t place, const size_t *list,
                        size_t have, size_t device)
{
    size_t used = j->needs.device_bytes;
    bool alone = true;

    for (size_t i = 0; i < have; i++)
        if (same_memory(r, place, list[i], device))
            used = mf_bytes_plus(used, j->needs.device_bytes);
    for (const mf_job *other = r->spots.items[place].jobs; other; other = other->next)
        for (size_t i = 0; i < other->device_count; i++) {
            if (!same_memory(r, place, other->devices[i], device))
                continue;
            used = mf_bytes_plus(used, other->needs.device_bytes);
            alone = false;
        }
    if (used <= mf_place_device(r, place, device)->memory)
        return true;
    return alone && !mf_held_by_a_device(r, j);
}

/* The first devices that nobody has and whose memory suffices, as many of one kind as it needs, in
 * the order they were asked for. list: [MF_TASK_DEVICES]. */
static mf_fit find_devices(mf_runner *r, const mf_job *j, size_t place, size_t *list)
{
    const mf_spot *p = &r->spots.items[place];
    const size_t wanted = mf_job_device_count(j);
    mf_fit why = MF_FULL;

    for (size_t first = 0; first < p->is.device_count; first++) {
        size_t have = 0;
        if (!mf_place_device_suits(r, j, place, first))
            continue;
        for (size_t d = first; d < p->is.device_count && have < wanted; d++) {
            if (p->device_busy[d] ||
                !mf_same_kind(mf_place_device(r, place, first), mf_place_device(r, place, d)))
                continue;
            why = MF_NO_DEVICE;
            if (fits_device(r, j, place, list, have, d))
                list[have++] = d;
        }
        if (have == wanted)
            return MF_FITS;
    }
    return why;
}

/* The slots that a job takes; on CPU devices it computes with all their cores. */
static int slots_at(const mf_runner *r, const mf_job *j, size_t place, size_t device)
{
    int slots = j->needs.cpu, most = r->spots.items[place].is.slots;

    if (j->needs.device) {
        const mf_device_info *info = mf_place_device(r, place, device);
        const int units = info->compute_units * (int)mf_job_device_count(j);
        if (info->is_cpu && slots < units)
            slots = units;
    }
    return slots < 1 ? 1 : slots > most ? most : slots;
}

/* A job that keeps something is passed only by what comes before it. */
bool mf_keeps_from(const mf_runner *r, const mf_job *keeper, const mf_job *j)
{
    return keeper && keeper != j && !mf_plan_before(r->plan, j->index, keeper->index);
}

/* Also for one that is free but kept for a job that comes before it. */
bool mf_seat_waits_for_device(mf_runner *r, const mf_job *j, size_t place)
{
    size_t list[MF_TASK_DEVICES];

    return j->needs.device && (mf_keeps_from(r, r->spots.items[place].device_keeper, j) ||
                               find_devices(r, j, place, list) != MF_FITS);
}

/* ---- short nodes, which may wait at a place -------------------------------------------------- */

void mf_runner_pace(mf_runner *r, size_t i, double seconds)
{
    mf_queue *q = &r->queues[mf_group_of(r, i)];

    q->ended++;
    q->pace += (seconds - q->pace) / (double)(q->ended < PACED_LAST ? q->ended : PACED_LAST);
}

/* What a node of its stage takes: as far as that is known, else INFINITY. */
static double pace_of(const mf_runner *r, size_t i)
{
    const mf_queue *q = &r->queues[mf_group_of(r, i)];
    const double past = mf_plan_expected(r->plan, i);

    return q->ended >= PACED ? q->pace : !q->ended && past > 0 ? past : INFINITY;
}

bool mf_is_short(const mf_runner *r, size_t i)
{
    return pace_of(r, i) <= AHEAD_NODE;
}

/* One that came back with its worker may be what ends workers: that must be seen. */
static bool may_wait_there(const mf_runner *r, const mf_job *j, size_t place)
{
    const mf_spot *p = &r->spots.items[place];
    const double pace = pace_of(r, j->index);

    return p->is.ahead > p->ahead_count && j->ranks == 1 && !j->needs.device && j->needs.cpu <= 1 &&
           pace <= AHEAD_NODE && p->ahead_seconds + pace <= AHEAD_SECONDS * p->is.slots &&
           !(r->returns.count && mf_returns_find(&r->returns, j->index));
}

static mf_fit ahead_at(mf_runner *r, const mf_job *j, size_t place, mf_seat *s)
{
    const mf_spot *p = &r->spots.items[place];

    if (!may_wait_there(r, j, place))
        return MF_FULL;
    if (!mf_place_would_fit(r, j, place))
        return MF_TOO_SMALL;
    s->slots = 1;
    s->bytes = j->needs.host_bytes;
    s->ahead = true;
    s->pace = pace_of(r, j->index);
    return mf_bytes_plus(p->bytes_used, s->bytes) <= p->is.bytes ? MF_FITS : MF_NO_SLOTS;
}

/* ---- the seat -------------------------------------------------------------------------------- */

mf_fit mf_seat_at(mf_runner *r, const mf_job *j, size_t place, mf_seat *s)
{
    const mf_spot *p = &r->spots.items[place];
    mf_fit why;

    *s = (mf_seat){.place = place};
    if (!mf_place_takes_stage(r, j->index, place) || (j->needs.device && !p->is.device_count))
        return MF_NEVER;
    if (mf_keeps_from(r, p->keeper, j) ||
        (j->needs.device && mf_keeps_from(r, p->device_keeper, j)))
        return MF_KEPT;
    if (p->slots_used >= p->is.slots)
        return ahead_at(r, j, place, s);
    if (!mf_place_would_fit(r, j, place))
        return MF_TOO_SMALL;
    why = j->needs.device ? find_devices(r, j, place, s->devices) : MF_FITS;
    if (why != MF_FITS)
        return why;
    s->device_count = j->needs.device ? mf_job_device_count(j) : 0;
    s->slots = slots_at(r, j, place, s->devices[0]);
    s->bytes = mf_place_bytes(r, j, place, s->devices[0]);
    if (!p->job_count)
        return MF_FITS; /* whatever it needs: alone it may try */
    return p->slots_used + s->slots <= p->is.slots &&
                   mf_bytes_plus(p->bytes_used, s->bytes) <= p->is.bytes
               ? MF_FITS
               : MF_NO_SLOTS;
}

void mf_seat_take(mf_job *j, const mf_seat *s)
{
    j->place = s->place;
    j->slots = s->slots;
    j->bytes = s->bytes;
    j->ahead = s->ahead;
    j->pace = s->pace;
    j->device = s->devices[0];
    j->device_count = s->device_count;
    memcpy(j->devices, s->devices, s->device_count * sizeof *s->devices);
}
