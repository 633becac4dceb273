/* choose.c - at which place a node runs: one that can run it, has slots, memory and a device free
 * and time enough; of those the one that has most of its inputs, then the one with most slots free.
 *
 * A node that has to wait keeps a place where it will fit: what comes after it does not start there
 * meanwhile. What it waits for, slots and memory or a device alone, says how it is kept. */
#include "run/schedule/choose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many places that fit are compared by what they have of the inputs, besides those that made
 * them and this process. */
#define COMPARED 16
#define SOURCES 64 /* inputs that are looked at for that */

static size_t plus(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

/* Nodes that take no longer may wait at a place, for so many seconds together and slot: then a
 * worker need not wait for the run between two nodes. What comes before them is late by that at
 * most. */
#define AHEAD_NODE 0.1
#define AHEAD_SECONDS 0.2
#define PACED 4 /* nodes after which this run knows what those of a stage take */
#define PACED_LAST 8

static const mf_device_info *device_at(const mf_runner *r, size_t place, size_t i)
{
    return r->executor->device(r->executor->self, place, i);
}

/* ---- what a place has at all ----------------------------------------------------------------- */

static size_t group_of(const mf_runner *r, size_t i)
{
    return mf_plan_at(r->plan, i)->node->group;
}

static const char *why_not(mf_runner *r, size_t i, size_t place, const mf_run_place *p)
{
    return r->executor->cannot(r->executor->self, r->plan, i, place, p);
}

/* Whether nodes of its stage can run at the place, which is asked once. */
static bool can(mf_runner *r, size_t i, size_t place)
{
    uint8_t *known = &r->spots.items[place].can[group_of(r, i)];

    if (!*known)
        *known = why_not(r, i, place, &r->spots.items[place].is) ? 2 : 1;
    return *known == 1;
}

static bool could(mf_runner *r, size_t i, size_t k)
{
    uint8_t *known = &r->coming[k * mf_graph_stage_count(mf_plan_graph(r->plan)) + group_of(r, i)];

    if (!*known)
        *known = why_not(r, i, MF_PLACE_TO_COME, &r->may_come[k]) ? 2 : 1;
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
static bool only_here(mf_runner *r, size_t i)
{
    uint8_t *known = &r->here[group_of(r, i)];

    if (!*known)
        *known = find_only_here(r, i) ? 1 : 2;
    return *known == 1;
}

/* The place takes nodes of its stage. */
static bool takes(mf_runner *r, size_t i, size_t place)
{
    const mf_run_place *p = &r->spots.items[place].is;

    return p->open && p->slots > 0 && can(r, i, place) &&
           (place || !r->options->no_local || only_here(r, i));
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
static bool of_kind(const mf_runner *r, const mf_job *j, size_t place, size_t d)
{
    return !j->kind || mf_same_kind(j->kind, device_at(r, place, d));
}

/* The most devices of one kind that a place has for it. */
static size_t most_of_a_kind(const mf_runner *r, const mf_job *j, size_t place)
{
    const size_t count = r->spots.items[place].is.device_count;
    size_t most = 0;

    for (size_t first = 0; first < count; first++) {
        size_t have = 0;
        if (!of_kind(r, j, place, first))
            continue;
        for (size_t d = first; d < count; d++)
            have += mf_same_kind(device_at(r, place, first), device_at(r, place, d));
        most = have > most ? have : most;
    }
    return most;
}

/* It has the devices, busy or not. */
static bool has_devices(const mf_runner *r, const mf_job *j, size_t place)
{
    const size_t wanted = mf_job_device_count(j), count = r->spots.items[place].is.device_count;

    return !j->needs.device || (count >= wanted && ((wanted == 1 && !j->kind) ||
                                                    most_of_a_kind(r, j, place) >= wanted));
}

/* Its kind of place, and it lasts long enough. */
static bool suits(mf_runner *r, const mf_job *j, size_t place)
{
    const mf_run_place *p = &r->spots.items[place].is;

    return takes(r, j->index, place) && has_devices(r, j, place) &&
           (!(j->expects > 0) || r->clock() + j->expects <= p->ends);
}

/* Of the host's memory; that of a CPU device is the host's own. */
static size_t bytes_on(const mf_runner *r, const mf_job *j, size_t place, size_t device)
{
    bool shares = j->needs.device && device_at(r, place, device)->shares_host_memory;

    size_t bytes = j->needs.host_bytes;

    for (size_t i = 0; shares && i < mf_job_device_count(j); i++)
        bytes = plus(bytes, j->needs.device_bytes);
    return bytes;
}

/* It has as much memory as the node needs, free or not. */
static bool has_memory(const mf_runner *r, const mf_job *j, size_t place)
{
    const mf_run_place *p = &r->spots.items[place].is;

    if (!j->needs.device)
        return j->needs.host_bytes <= p->bytes;
    for (size_t d = 0; d < p->device_count; d++)
        if (of_kind(r, j, place, d) && j->needs.device_bytes <= device_at(r, place, d)->memory &&
            bytes_on(r, j, place, d) <= p->bytes)
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
static bool may_come(mf_runner *r, const mf_job *j, bool known)
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
    return may_come(r, j, true);
}

/* Instead of a place that it shuns. A worker that may come is none of another host for certain: the
 * cluster may have one host only, so it is waited for instead of this process alone. */
static bool goes_elsewhere(mf_runner *r, const mf_job *j, size_t place)
{
    for (size_t p = r->spots.count; p-- > 0;)
        if (suits(r, j, p) && has_memory(r, j, p) && !mf_place_shunned(r, j, p))
            return true;
    return !place && may_come(r, j, false);
}

static bool held_by_a_device(mf_runner *r, const mf_job *j)
{
    for (size_t p = 0; p < r->spots.count; p++) {
        const mf_run_place *is = &r->spots.items[p].is;
        if (!suits(r, j, p))
            continue;
        for (size_t d = 0; d < is->device_count; d++)
            if (j->needs.device_bytes <= device_at(r, p, d)->memory)
                return true;
    }
    return false;
}

/* It can run there once nothing else does. What needs more memory than any place has may try in
 * this process; what needs more than any device has may try on any: it may know how to do with
 * less, and the driver says where it can't. */
bool mf_seat_would_fit(mf_runner *r, const mf_job *j, size_t place)
{
    if (!suits(r, j, place))
        return false;
    if (j->ranks > 1 && !place) /* several workers run it */
        return false;
    if (j->ranks == 1 && mf_place_shunned(r, j, place) && goes_elsewhere(r, j, place))
        return false;
    if (has_memory(r, j, place))
        return true;
    if (j->needs.device && !held_by_a_device(r, j) &&
        j->needs.host_bytes <= r->spots.items[place].is.bytes)
        return true;
    return !place && !has_all_somewhere(r, j);
}

static bool any_would_fit(mf_runner *r, const mf_job *j)
{
    for (size_t p = r->spots.count; p-- > 0;)
        if (mf_seat_would_fit(r, j, p))
            return true;
    return false;
}

/* ---- what a place has now -------------------------------------------------------------------- */

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
            used = plus(used, j->needs.device_bytes);
    for (const mf_job *other = r->spots.items[place].jobs; other; other = other->next)
        for (size_t i = 0; i < other->device_count; i++) {
            if (!same_memory(r, place, other->devices[i], device))
                continue;
            used = plus(used, other->needs.device_bytes);
            alone = false;
        }
    if (used <= device_at(r, place, device)->memory)
        return true;
    return alone && !held_by_a_device(r, j);
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
        if (!of_kind(r, j, place, first))
            continue;
        for (size_t d = first; d < p->is.device_count && have < wanted; d++) {
            if (p->device_busy[d] ||
                !mf_same_kind(device_at(r, place, first), device_at(r, place, d)))
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
        const mf_device_info *info = device_at(r, place, device);
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

/* ---- short nodes, which may wait at a place -------------------------------------------------- */

void mf_runner_pace(mf_runner *r, size_t i, double seconds)
{
    mf_queue *q = &r->queues[group_of(r, i)];

    q->ended++;
    q->pace += (seconds - q->pace) / (double)(q->ended < PACED_LAST ? q->ended : PACED_LAST);
}

/* What a node of its stage takes: as far as that is known, else INFINITY. */
static double pace_of(const mf_runner *r, size_t i)
{
    const mf_queue *q = &r->queues[group_of(r, i)];
    const double past = mf_plan_expected(r->plan, i);

    return q->ended >= PACED ? q->pace : !q->ended && past > 0 ? past : INFINITY;
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
    if (!mf_seat_would_fit(r, j, place))
        return MF_TOO_SMALL;
    s->slots = 1;
    s->bytes = j->needs.host_bytes;
    s->ahead = true;
    s->pace = pace_of(r, j->index);
    return plus(p->bytes_used, s->bytes) <= p->is.bytes ? MF_FITS : MF_NO_SLOTS;
}

mf_fit mf_seat_at(mf_runner *r, const mf_job *j, size_t place, mf_seat *s)
{
    const mf_spot *p = &r->spots.items[place];
    mf_fit why;

    *s = (mf_seat){.place = place};
    if (!takes(r, j->index, place) || (j->needs.device && !p->is.device_count))
        return MF_NEVER;
    if (mf_keeps_from(r, p->keeper, j) ||
        (j->needs.device && mf_keeps_from(r, p->device_keeper, j)))
        return MF_KEPT;
    if (p->slots_used >= p->is.slots)
        return ahead_at(r, j, place, s);
    if (!mf_seat_would_fit(r, j, place))
        return MF_TOO_SMALL;
    why = j->needs.device ? find_devices(r, j, place, s->devices) : MF_FITS;
    if (why != MF_FITS)
        return why;
    s->device_count = j->needs.device ? mf_job_device_count(j) : 0;
    s->slots = slots_at(r, j, place, s->devices[0]);
    s->bytes = bytes_on(r, j, place, s->devices[0]);
    if (!p->job_count)
        return MF_FITS; /* whatever it needs: alone it may try */
    return p->slots_used + s->slots <= p->is.slots && plus(p->bytes_used, s->bytes) <= p->is.bytes
               ? MF_FITS
               : MF_NO_SLOTS;
}

/* ---- the best one ---------------------------------------------------------------------------- */

typedef struct search {
    mf_runner *run;
    mf_job *job;
    mf_seat best;    /* where `found` is not 0 */
    int64_t missing; /* at the best; -1: not asked yet */
    size_t made;     /* a place that has the result; 0: none */
    size_t found;
    bool others; /* another node of the stage may find a place where this one did not */
} search;

static int64_t missing_at(const search *s, size_t place)
{
    return s->run->executor->missing(s->job->execution, place);
}

static int free_at(const search *s, size_t place)
{
    const mf_spot *p = &s->run->spots.items[place];

    return p->is.slots - p->slots_used - (int)p->ahead_count;
}

static bool is_better(search *s, const mf_seat *here, int64_t *missing)
{
    size_t best = s->best.place, place = here->place;

    if (here->ahead != s->best.ahead)
        return s->best.ahead;
    if (s->made && (place == s->made || best == s->made))
        return place == s->made;
    if (s->missing < 0)
        s->missing = missing_at(s, best);
    *missing = missing_at(s, place);
    if (*missing != s->missing)
        return *missing < s->missing;
    if (free_at(s, place) != free_at(s, best))
        return free_at(s, place) > free_at(s, best);
    return place < best;
}

static void look_at(search *s, size_t place)
{
    mf_seat here;
    int64_t missing = -1;
    mf_fit f = mf_seat_at(s->run, s->job, place, &here);

    s->others = s->others || f == MF_TOO_SMALL || f == MF_NO_SLOTS || f == MF_NO_DEVICE;
    if (f != MF_FITS || (s->found && here.place == s->best.place))
        return;
    if (!s->found || is_better(s, &here, &missing)) {
        s->best = here;
        s->missing = missing;
    }
    s->found++;
}

/* Where what it reads was made. */
static void look_at_sources(search *s)
{
    const mf_runner *r = s->run;
    const mf_node *n = mf_plan_at(r->plan, s->job->index)->node;
    size_t last = 0, left = SOURCES;

    for (size_t p = 0; p < n->input_count; p++) {
        for (size_t k = 0; k < n->inputs[p].count && left; k++, left--) {
            size_t at = r->ran_at[n->inputs[p].edges[k].node];
            if (at && at != last)
                look_at(s, at - 1);
            last = at ? at : last;
        }
    }
}

/* Those with slots free, most first. */
static void look_at_lists(search *s)
{
    const mf_spots *spots = &s->run->spots;
    size_t most = s->found + COMPARED;

    for (int level = MF_SPOT_LEVELS; (level = mf_spots_level(spots, level)) > 0; level--)
        for (size_t p = spots->first[level]; p != MF_SPOT_NONE; p = spots->items[p].next) {
            look_at(s, p);
            if (s->found >= most)
                return;
        }
    for (size_t k = 0; k < spots->kept_count; k++)
        look_at(s, spots->kept[k]);
}

/* Where it would wait, those first where fewest do. */
static void look_ahead(search *s)
{
    const mf_spots *spots = &s->run->spots;
    int level = MF_SPOT_LEVELS + MF_SPOT_AHEAD + 1;

    while ((level = mf_spots_ahead_level(spots, level)) > 0)
        for (size_t p = spots->first[level]; p != MF_SPOT_NONE; p = spots->items[p].next) {
            look_at(s, p);
            if (s->found >= COMPARED)
                return;
        }
}

static void look_at_all(search *s)
{
    mf_runner *r = s->run;

    if (s->made)
        look_at(s, s->made);
    look_at(s, 0);
    if (r->spots.count > 1)
        look_at_sources(s);
    look_at_lists(s);
    if (!s->found)
        look_ahead(s);
}

/* ---- keeping --------------------------------------------------------------------------------- */

void mf_job_unkeep(mf_job *j)
{
    mf_spots *spots = &j->run->spots;
    size_t place = j->keeps;
    mf_spot *p;

    mf_gang_unkeep(j);

    if (place == MF_SPOT_NONE)
        return;
    j->keeps = MF_SPOT_NONE;
    p = &spots->items[place];
    if (p->keeper == j)
        p->keeper = NULL;
    if (p->device_keeper == j)
        p->device_keeper = NULL;
    mf_spots_list(spots, place);
    mf_spots_free(spots, place);
}

/* Also for one that is free but kept for a job that comes before it. */
static bool waits_for_device(mf_runner *r, const mf_job *j, size_t place)
{
    size_t list[MF_TASK_DEVICES];

    return j->needs.device && (mf_keeps_from(r, r->spots.items[place].device_keeper, j) ||
                               find_devices(r, j, place, list) != MF_FITS);
}

/* It may take the place from a job that comes after it, which looks for another. */
static bool keep(mf_runner *r, mf_job *j, size_t place)
{
    mf_spot *p = &r->spots.items[place];
    bool device;
    mf_job **keeper;

    if (!mf_seat_would_fit(r, j, place) || mf_keeps_from(r, p->keeper, j))
        return false;
    device = waits_for_device(r, j, place);
    keeper = device ? &p->device_keeper : &p->keeper;
    if (mf_keeps_from(r, *keeper, j))
        return false;
    if (*keeper) {
        mf_job *after = *keeper;
        mf_job_unkeep(after);
        after->anew = true;
    }
    *keeper = j;
    j->keeps = place;
    mf_spots_list(&r->spots, place);
    return true;
}

/* The first place where it will fit; those with slots free come first. */
static void keep_one(mf_runner *r, mf_job *j)
{
    const mf_spots *spots = &r->spots;

    for (int level = MF_SPOT_LEVELS; (level = mf_spots_level(spots, level)) > 0; level--)
        for (size_t p = spots->first[level]; p != MF_SPOT_NONE; p = spots->items[p].next)
            if (keep(r, j, p))
                return;
    for (size_t p = 0; p < spots->count; p++)
        if (keep(r, j, p))
            return;
}

/* Whether what it keeps is still a place for it, and for what it waits there. */
static bool keeps_well(mf_runner *r, const mf_job *j)
{
    const mf_spot *p;

    if (j->keeps == MF_SPOT_NONE)
        return false;
    p = &r->spots.items[j->keeps];
    return mf_seat_would_fit(r, j, j->keeps) &&
           waits_for_device(r, j, j->keeps) == (p->device_keeper == j);
}

static mf_choice wait(mf_runner *r, mf_job *j, const search *s)
{
    const mf_queue *q = &r->queues[group_of(r, j->index)];
    bool first = !q->first || q->first == j || mf_plan_before(r->plan, j->index, q->first->index);

    if (!keeps_well(r, j)) {
        mf_job_unkeep(j);
        if (first)
            keep_one(r, j);
        if (j->keeps == MF_SPOT_NONE && !any_would_fit(r, j) && !may_come(r, j, false))
            return MF_NO_PLACE;
    }
    return s->others ? MF_WAIT_NODE : MF_WAIT_STAGE;
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

mf_choice mf_runner_choose(mf_runner *r, mf_job *j, bool freed)
{
    search s = {.run = r, .job = j, .missing = -1};

    if (j->ranks > 1)
        return mf_gang_choose(r, j);
    if (r->spots.count > 1 && r->executor->made_at)
        s.made = r->executor->made_at(j->execution);
    if (s.made >= r->spots.count) /* it has just come, and will be looked at */
        s.made = 0;
    if (!freed)
        look_at_all(&s);
    for (size_t k = 0; freed && k < r->spots.freed_count; k++)
        look_at(&s, r->spots.freed[k]);
    if (!s.found)
        return wait(r, j, &s);
    mf_seat_take(j, &s.best);
    return MF_CHOSEN;
}

/* Of the places with slots free, this process alone: it has them for few nodes. */
static bool only_this_process(const mf_spots *s)
{
    return s->levels == 1 && !s->first[1] && s->items[0].next == MF_SPOT_NONE;
}

bool mf_runner_has_room(mf_runner *r, size_t i)
{
    if (r->spots.levels &&
        (!r->options->no_local || !only_this_process(&r->spots) || only_here(r, i)))
        return true;
    if (r->spots.ahead_levels && pace_of(r, i) <= AHEAD_NODE)
        return true;
    for (size_t k = 0; k < r->spots.kept_count; k++)
        if (mf_plan_before(r->plan, i, r->spots.items[r->spots.kept[k]].keeper->index))
            return true;
    return false;
}

/* ---- why not --------------------------------------------------------------------------------- */

#define NAMED 4 /* places in a message */

/* Of a place that is open or may come. `j`: NULL where nothing is known of the node's needs. */
static void put_reason(mf_runner *r, FILE *out, size_t i, const mf_job *j, size_t place,
                       const mf_run_place *p)
{
    const char *why = why_not(r, i, place, p);
    bool here = place == 0, there = place != MF_PLACE_TO_COME;
    bool device = mf_work_wants_device(&mf_plan_at(r->plan, i)->work);
    double left = there ? p->ends - r->clock() : p->ends;
    const char *have = there ? "has" : "have";
    const size_t ranks = mf_work_ranks(&mf_plan_at(r->plan, i)->work);

    if (here)
        fprintf(out, "this process ");
    else if (there)
        fprintf(out, "%s ", p->name);
    else if (*p->pool)
        fprintf(out, "workers of pool %s ", p->pool);
    else
        fprintf(out, "workers that may join ");
    if (here && ranks > 1)
        fprintf(out, "is none");
    else if (!there && ranks > 1 && !why && p->most && p->most < ranks)
        fprintf(out, "can be %zu", p->most);
    else if (there && ranks > 1 && mf_place_takes(r, i, place, device) &&
             (!j || mf_seat_would_fit(r, j, place)))
        fprintf(out, "is one");
    else if (here && r->options->no_local && !only_here(r, i))
        fprintf(out, "has no slots");
    else if (why)
        fprintf(out, "can't: %s", why);
    else if (device && !p->device_count)
        fprintf(out, "%s no device", have);
    else if (j && place != MF_PLACE_TO_COME && !has_devices(r, j, place))
        fprintf(out, "%s %zu devices of one kind, and it needs %zu", have,
                most_of_a_kind(r, j, place), mf_job_device_count(j));
    else if (j && j->expects > 0 && j->expects > left)
        fprintf(out, "%s %.0f s%s, and it takes %.0f s", have, left > 0 ? left : 0,
                there ? " left" : "", j->expects);
    else if (j)
        fprintf(out, "%s %.1f GiB of memory, and it needs %.1f GiB", have,
                (double)p->bytes / (1 << 30), (double)j->needs.host_bytes / (1 << 30));
    else
        fprintf(out, "can't");
}

/* From place `first` on, the last of them before `end`: those that may come lie behind the others.
 */
static char *reasons(mf_runner *r, size_t i, const mf_job *j, size_t first, size_t end)
{
    char *text = NULL;
    size_t size, named = 0, more = 0;
    FILE *out = open_memstream(&text, &size);
    const size_t ranks = mf_work_ranks(&mf_plan_at(r->plan, i)->work);

    if (!out)
        return NULL;
    for (size_t k = first; k < end; k++) {
        bool there = k < r->spots.count;
        const mf_run_place *p = there ? &r->spots.items[k].is : &r->may_come[k - r->spots.count];
        if (there && !p->open)
            continue;
        if (named == NAMED) {
            more++;
            continue;
        }
        if (ranks > 1 && !named)
            fprintf(out, "it needs %zu workers%s at the same time: ", ranks,
                    j && j->needs.device ? " with devices of one kind" : "");
        fprintf(out, "%s", named++ ? "; " : "");
        put_reason(r, out, i, j, there ? k : MF_PLACE_TO_COME, p);
    }
    if (more)
        fprintf(out, "; and %zu more", more);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static char *all_reasons(mf_runner *r, size_t i, const mf_job *j)
{
    return reasons(r, i, j, 0, r->spots.count + r->may_come_count);
}

char *mf_runner_why_waits(mf_runner *r, const mf_job *j)
{
    char *text = reasons(r, j->index, j, 1, r->spots.count);

    if (text && *text)
        return text;
    free(text);
    return NULL;
}

/* `j`: NULL where nothing is known of the node's needs. */
static mf_status with_hint(const mf_runner *r, size_t i, const mf_job *j, mf_status status)
{
    const size_t ranks = mf_work_ranks(&mf_plan_at(r->plan, i)->work);

    if (ranks > 1)
        return mf_hint(
            status,
            "connect %zu workers (--listen) or name pools that may have so many (--pool),"
            " or lower `ranks`; `devices` takes several devices of one machine",
            ranks);
    if (j && j->needs.device && mf_job_device_count(j) > 1)
        return mf_hint(status,
                       "choose %zu devices of one kind with --device (such as gpus, or cpu/%zu), "
                       "or lower `devices`",
                       mf_job_device_count(j), mf_job_device_count(j));
    return mf_hint(status, r->options->no_local
                               ? "give this process slots (--local 1), or connect workers or name "
                                 "pools that can run it"
                               : "connect workers or name pools that can run it");
}

mf_status mf_runner_no_place(mf_runner *r, const mf_job *j)
{
    char *text = all_reasons(r, j->index, j);
    mf_status status =
        text ? mf_fail(MF_UNSUPPORTED, "no place can run it: %s", text) : mf_no_memory(0, "a run");

    free(text);
    return with_hint(r, j->index, j, status);
}

/* A node of the stage that is to be run, or may have to be; the plan's count where there is none.
 */
static size_t to_come(const mf_runner *r, const mf_graph_stage *s)
{
    for (size_t i = s->first; i < s->first + s->count; i++) {
        mf_plan_state state = mf_plan_at(r->plan, i)->state;
        if (state == MF_PLAN_TO_RUN || state == MF_PLAN_WAITING)
            return i;
    }
    return mf_plan_count(r->plan);
}

/* This process may have devices, which are not opened to find out. */
bool mf_place_takes(mf_runner *r, size_t i, size_t place, bool device)
{
    return takes(r, i, place) && (!device || !place || r->spots.items[place].is.device_count);
}

static bool has_place(mf_runner *r, size_t i)
{
    bool device = mf_work_wants_device(&mf_plan_at(r->plan, i)->work);

    if (mf_work_ranks(&mf_plan_at(r->plan, i)->work) > 1)
        return mf_gang_has_places(r, i);
    for (size_t p = 0; p < r->spots.count; p++)
        if (mf_place_takes(r, i, p, device))
            return true;
    for (size_t k = 0; k < r->may_come_count; k++)
        if (mf_kind_takes(r, i, k, device))
            return true;
    return false;
}

static mf_status check_isolated(const mf_runner *r, size_t i, const mf_graph_stage *s)
{
    const size_t ranks = mf_work_ranks(&mf_plan_at(r->plan, i)->work);

    if (ranks == 1 || !s->limits.isolate)
        return MF_OK;
    return mf_hint(
        mf_fail(MF_UNSUPPORTED,
                "stage '%s' (%s): ranks is %zu, and isolate is true: a process of its own "
                "has no way to the other workers",
                s->label, s->stage->name, ranks),
        "remove 'isolate', or set ranks to 1");
}

mf_status mf_runner_check_places(mf_runner *r)
{
    for (size_t g = 0; g < mf_graph_stage_count(mf_plan_graph(r->plan)); g++) {
        const mf_graph_stage *s = mf_graph_stage_at(mf_plan_graph(r->plan), g);
        size_t i = s->stage->item ? mf_plan_count(r->plan) : to_come(r, s);
        char *text;
        mf_status status;
        if (i == mf_plan_count(r->plan))
            continue;
        if (mf_plan_at(r->plan, i)->state == MF_PLAN_WAITING)
            mf_plan_preview(r->plan, i); /* the streams that it reads run with it */
        MF_TRY(check_isolated(r, i, s));
        if (has_place(r, i))
            continue;
        text = all_reasons(r, i, NULL);
        status = text ? mf_fail(MF_UNSUPPORTED, "no place can run stage '%s' (%s): %s", s->label,
                                s->stage->name, text)
                      : mf_no_memory(0, "a run");
        free(text);
        return with_hint(r, i, NULL, status);
    }
    return MF_OK;
}
