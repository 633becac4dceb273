/* gang.c - at which places a node runs that several workers run together (`ranks`): one place for
 * each, all at the same time, with devices of one kind.
 *
 * It never has some and waits for more. Where it has to wait, as many places as it needs are kept
 * for it at once: what runs there ends, and nothing that comes after it begins there. They are kept
 * for one such node at a time, the first by the plan's order, and only where enough workers are
 * there; so two of them can't wait for each other, and workers don't idle for one that is still in
 * a queue. */
#include "run/schedule/seat.h"
#include "run/schedule/suits.h"

#include <stdlib.h>
#include <string.h>

/* ---- keeping --------------------------------------------------------------------------------- */

void mf_gang_unkeep(mf_job *j)
{
    mf_spots *spots = &j->run->spots;

    for (size_t p = 0; p < spots->count && j->kept; p++) {
        if (spots->items[p].keeper != j)
            continue;
        spots->items[p].keeper = NULL;
        j->kept--;
        mf_spots_list(spots, p);
        mf_spots_free(spots, p);
    }
}

/* No other one that waits comes before it. */
static bool is_first(const mf_runner *r, const mf_job *j)
{
    for (size_t k = 0; k < r->waiting_count; k++) {
        const mf_job *other = r->waiting[k];
        if (other != j && other->ranks > 1 && mf_plan_before(r->plan, other->index, j->index))
            return false;
    }
    return true;
}

static void keep_from_others(mf_runner *r, const mf_job *j)
{
    for (size_t k = 0; k < r->waiting_count; k++) {
        mf_job *other = r->waiting[k];
        if (other == j || other->ranks == 1 || !other->kept)
            continue;
        mf_gang_unkeep(other);
        other->anew = true;
    }
}

/* It may take the place from a job that comes after it, which looks for another. */
static void keep(mf_runner *r, mf_job *j, size_t place)
{
    mf_spot *p = &r->spots.items[place];

    if (p->keeper) {
        mf_job *after = p->keeper;
        mf_job_unkeep(after);
        after->anew = true;
    }
    p->keeper = j;
    j->kept++;
    mf_spots_list(&r->spots, place);
}

/* Places that it could keep, those first that it keeps or that are free, then those of hosts where
 * it was not lost. */
static bool keepable(mf_runner *r, const mf_job *j, size_t place, int pass)
{
    const mf_spot *p = &r->spots.items[place];
    const bool free = p->keeper == j || !p->job_count, shunned = mf_place_shunned(r, j, place);

    return pass == (shunned ? 2 : 0) + (free ? 0 : 1) && mf_place_would_fit(r, j, place) &&
           !mf_keeps_from(r, p->keeper, j);
}

static bool keep_all(mf_runner *r, mf_job *j)
{
    size_t *list = malloc(j->ranks * sizeof *list), count = 0;

    for (int pass = 0; pass < 4 && list; pass++)
        for (size_t p = 1; p < r->spots.count && count < j->ranks; p++)
            if (keepable(r, j, p, pass))
                list[count++] = p;
    if (count == j->ranks) {
        mf_gang_unkeep(j);
        for (size_t k = 0; k < count; k++)
            keep(r, j, list[k]);
    }
    free(list);
    return count == j->ranks;
}

/* What it keeps are still places for it. */
static bool keeps_well(mf_runner *r, mf_job *j)
{
    size_t count = 0;

    for (size_t p = 1; p < r->spots.count && j->kept; p++)
        count += r->spots.items[p].keeper == j && mf_place_would_fit(r, j, p);
    return count == j->ranks;
}

/* ---- kinds of devices ------------------------------------------------------------------------ */

enum { KINDS = 16 }; /* of devices that are looked at */

typedef struct kinds {
    const mf_device_info *list[KINDS];
    size_t count;
} kinds;

static bool is_new(const kinds *k, const mf_device_info *kind)
{
    for (size_t i = 0; i < k->count; i++)
        if (mf_same_kind(k->list[i], kind))
            return false;
    return k->count < KINDS;
}

/* Those that the workers have. */
static void find_kinds(const mf_runner *r, kinds *k)
{
    const mf_executor *e = r->executor;

    k->count = 0;
    for (size_t p = 1; p < r->spots.count; p++) {
        const mf_run_place *is = &r->spots.items[p].is;
        for (size_t d = 0; is->open && d < is->device_count; d++) {
            const mf_device_info *kind = e->device(e->self, p, d);
            if (is_new(k, kind))
                k->list[k->count++] = kind;
        }
    }
}

/* Calls `call` with each of them in j->kind, once where it needs no device, until it is true. */
static bool for_kinds(mf_runner *r, mf_job *j, bool (*call)(mf_runner *r, mf_job *j))
{
    kinds k;
    bool done = false;

    if (!j->needs.device)
        return call(r, j);
    find_kinds(r, &k);
    for (size_t i = 0; i < k.count && !done; i++) {
        j->kind = k.list[i];
        done = call(r, j);
    }
    j->kind = NULL;
    return done;
}

/* ---- all at once ----------------------------------------------------------------------------- */

/* Number 0 is the job itself. */
static mf_job *number(mf_job *j, size_t k)
{
    return k ? &j->others[k - 1] : j;
}

static mf_status make_room(mf_runner *r, mf_job *j)
{
    if (j->others)
        return MF_OK;
    j->others = calloc(j->ranks - 1, sizeof *j->others);
    j->grants = calloc(j->ranks - 1, sizeof *j->grants);
    if (!j->others || !j->grants)
        return mf_no_memory(0, "a run");
    for (size_t k = 0; k + 1 < j->ranks; k++)
        j->others[k] = (mf_job){.run = r,
                                .index = j->index,
                                .needs = j->needs,
                                .ranks = 1,
                                .leader = j,
                                .keeps = MF_SPOT_NONE};
    return MF_OK;
}

/* Places that fit now, of one group (0: of any), first those of hosts where it was not lost. */
static bool take_of_group(mf_runner *r, mf_job *j, uint64_t group)
{
    size_t count = 0;

    for (int shunned = 0; shunned < 2; shunned++)
        for (size_t p = 1; p < r->spots.count && count < j->ranks; p++) {
            mf_seat seat;
            if ((group && r->spots.items[p].is.group != group) ||
                mf_place_shunned(r, j, p) != shunned || mf_seat_at(r, j, p, &seat) != MF_FITS)
                continue;
            mf_seat_take(number(j, count), &seat);
            count++;
        }
    return count == j->ranks;
}

static bool take_all(mf_runner *r, mf_job *j)
{
    for (size_t p = 1; p < r->spots.count; p++) {
        const mf_run_place *is = &r->spots.items[p].is;
        bool seen = !is->open || !is->group;
        for (size_t q = 1; q < p && !seen; q++)
            seen = r->spots.items[q].is.open && r->spots.items[q].is.group == is->group;
        if (!seen && take_of_group(r, j, is->group))
            return true;
    }
    return take_of_group(r, j, 0);
}

static void grant_all(mf_job *j)
{
    for (size_t k = 0; k + 1 < j->ranks; k++) {
        const mf_job *o = &j->others[k];
        j->grants[k] = (mf_grant){.slots = o->slots,
                                  .place = o->place,
                                  .device = o->device,
                                  .devices = o->devices,
                                  .device_count = o->device_count};
    }
}

/* ---- whether there are, or may be, as many --------------------------------------------------- */

static size_t plus(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

static bool has_kind(const mf_runner *r, const char *pool)
{
    for (size_t k = 0; k < r->may_come_count; k++)
        if (!r->may_come[k].most || !strcmp(r->may_come[k].pool, pool))
            return true;
    return false;
}

static size_t of_kind(const mf_run_place *p)
{
    return p->most ? p->most : SIZE_MAX;
}

/* Those that are there and those that may come; of a pool no more than it may have. */
static bool enough_may_come(mf_runner *r, mf_job *j)
{
    size_t count = 0;

    for (size_t k = 0; k < r->may_come_count; k++)
        if (mf_kind_suits(r, j, k))
            count = plus(count, of_kind(&r->may_come[k]));
    for (size_t p = 1; p < r->spots.count; p++)
        if (mf_place_would_fit(r, j, p) && !has_kind(r, r->spots.items[p].is.pool))
            count = plus(count, 1);
    return count >= j->ranks;
}

static bool enough_are_there(mf_runner *r, mf_job *j)
{
    size_t count = 0;

    for (size_t p = 1; p < r->spots.count; p++)
        count += mf_place_would_fit(r, j, p);
    return count >= j->ranks;
}

bool mf_gang_has_places(mf_runner *r, size_t i)
{
    const mf_work *work = &mf_plan_at(r->plan, i)->work;
    const bool device = mf_work_wants_device(work);
    size_t count = 0;

    for (size_t k = 0; k < r->may_come_count; k++)
        if (mf_kind_takes(r, i, k, device))
            count = plus(count, of_kind(&r->may_come[k]));
    for (size_t p = 1; p < r->spots.count; p++)
        if (mf_place_takes(r, i, p, device) && !has_kind(r, r->spots.items[p].is.pool))
            count = plus(count, 1);
    return count >= mf_work_ranks(work);
}

/* ---- choosing -------------------------------------------------------------------------------- */

static mf_choice wait(mf_runner *r, mf_job *j)
{
    if (!for_kinds(r, j, enough_are_there)) {
        mf_gang_unkeep(j);
        return enough_may_come(r, j) ? MF_WAIT_NODE : MF_NO_PLACE;
    }
    if (!is_first(r, j)) {
        mf_gang_unkeep(j);
    } else if (!for_kinds(r, j, keeps_well)) {
        keep_from_others(r, j);
        mf_gang_unkeep(j);
        for_kinds(r, j, keep_all);
    }
    return MF_WAIT_NODE;
}

mf_choice mf_gang_choose(mf_runner *r, mf_job *j)
{
    mf_status status = make_room(r, j);

    if (status) {
        mf_runner_give_up(r, status);
        return MF_WAIT_STAGE;
    }
    if (!for_kinds(r, j, take_all))
        return wait(r, j);
    grant_all(j);
    return MF_CHOSEN;
}
