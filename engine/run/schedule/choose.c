/* choose.c - at which place a node runs: one that can run it, has slots, memory and a device free
 * and time enough; of those the one that has most of its inputs, then the one with most slots free.
 *
 * A node that has to wait keeps a place where it will fit: what comes after it does not start there
 * meanwhile. What it waits for, slots and memory or a device alone, says how it is kept. */
#include "run/schedule/seat.h"
#include "run/schedule/suits.h"

/* So many places that fit are compared by what they have of the inputs, besides those that made
 * them and this process. */
#define COMPARED 16
#define SOURCES 64 /* inputs that are looked at for that */

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

/* It may take the place from a job that comes after it, which looks for another. */
static bool keep(mf_runner *r, mf_job *j, size_t place)
{
    mf_spot *p = &r->spots.items[place];
    bool device;
    mf_job **keeper;

    if (!mf_place_would_fit(r, j, place) || mf_keeps_from(r, p->keeper, j))
        return false;
    device = mf_seat_waits_for_device(r, j, place);
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
    return mf_place_would_fit(r, j, j->keeps) &&
           mf_seat_waits_for_device(r, j, j->keeps) == (p->device_keeper == j);
}

static mf_choice wait(mf_runner *r, mf_job *j, const search *s)
{
    const mf_queue *q = &r->queues[mf_group_of(r, j->index)];
    bool first = !q->first || q->first == j || mf_plan_before(r->plan, j->index, q->first->index);

    if (!keeps_well(r, j)) {
        mf_job_unkeep(j);
        if (first)
            keep_one(r, j);
        if (j->keeps == MF_SPOT_NONE && !mf_any_place_would_fit(r, j) &&
            !mf_kind_may_come(r, j, false))
            return MF_NO_PLACE;
    }
    return s->others ? MF_WAIT_NODE : MF_WAIT_STAGE;
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
        (!r->options->no_local || !only_this_process(&r->spots) || mf_only_here(r, i)))
        return true;
    if (r->spots.ahead_levels && mf_is_short(r, i))
        return true;
    for (size_t k = 0; k < r->spots.kept_count; k++)
        if (mf_plan_before(r->plan, i, r->spots.items[r->spots.kept[k]].keeper->index))
            return true;
    return false;
}
