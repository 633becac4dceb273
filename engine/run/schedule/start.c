/* start.c - which nodes start when: in the plan's order, each at the place that choose.c finds.
 *
 * The first node of a graph stage that has to wait keeps a place. Some others of its stage are
 * tried beside it, for they may need less or something else. A node that waits is tried again at
 * places where something has ended, and everywhere once places have come or gone. */
#include "run/schedule/seat.h"

#include <massflow/memory.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Seconds between two lines about a run that stands still. */
#define TELL_EVERY 60

/* ---- jobs that wait -------------------------------------------------------------------------- */

static mf_queue *queue_of(mf_runner *r, size_t i)
{
    return &r->queues[mf_plan_at(r->plan, i)->node->group];
}

static void find_first(mf_runner *r, mf_queue *q)
{
    q->first = NULL;
    for (size_t k = 0; k < r->waiting_count; k++) {
        mf_job *j = r->waiting[k];
        if (queue_of(r, j->index) == q &&
            (!q->first || mf_plan_before(r->plan, j->index, q->first->index)))
            q->first = j;
    }
}

/* It waits no more. */
static void end_wait(mf_runner *r, mf_job *j)
{
    mf_queue *q = queue_of(r, j->index);
    size_t k = 0;

    mf_job_unkeep(j);
    while (r->waiting[k] != j)
        k++;
    r->waiting[k] = r->waiting[--r->waiting_count];
    q->count--;
    q->stuck = false;
    if (q->first == j)
        find_first(r, q);
}

/* Another one may take its place. */
static void drop(mf_runner *r, mf_job *j)
{
    size_t i = j->index;

    end_wait(r, j);
    mf_job_free(j);
    mf_plan_release(r->plan, i);
}

static mf_status begin_wait(mf_runner *r, mf_job *j, bool stuck)
{
    mf_queue *q = queue_of(r, j->index);
    mf_job **grown = mf_list_more(r->waiting, r->waiting_count, sizeof(mf_job *));

    if (!grown)
        return mf_no_memory(0, "a run");
    r->waiting = grown;
    r->waiting[r->waiting_count++] = j;
    q->count++;
    q->stuck = stuck;
    q->stuck_at = j->index;
    if (!q->first || mf_plan_before(r->plan, j->index, q->first->index))
        q->first = j;
    return MF_OK;
}

/* Its node can start no more, or would start as something else than it was made for. */
static bool outdated(const mf_runner *r, const mf_job *j)
{
    return !mf_plan_may_start(r->plan, j->index) || mf_plan_at(r->plan, j->index)->turn != j->turn;
}

static bool drop_outdated(mf_runner *r)
{
    size_t before = r->waiting_count;

    for (size_t k = r->waiting_count; k-- > 0;)
        if (outdated(r, r->waiting[k]))
            drop(r, r->waiting[k]);
    return r->waiting_count != before;
}

void mf_runner_end_waiting(mf_runner *r)
{
    while (r->waiting_count)
        drop(r, r->waiting[r->waiting_count - 1]);
}

/* ---- the next one ---------------------------------------------------------------------------- */

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

static bool any_freed(const mf_spots *s)
{
    size_t k = 0;

    while (k < s->freed_count && !s->items[s->freed[k]].level)
        k++;
    return k < s->freed_count;
}

/* Of those that wait and may find what they wait for; NULL where there is none. */
static mf_job *next_waiting(const mf_runner *r)
{
    bool freed = any_freed(&r->spots);
    mf_job *next = NULL;

    for (size_t k = 0; k < r->waiting_count; k++) {
        mf_job *j = r->waiting[k];
        if ((j->anew || (freed && j->tried < r->spots.frees)) &&
            (!next || mf_plan_before(r->plan, j->index, next->index)))
            next = j;
    }
    return next;
}

static mf_job *last_of(mf_runner *r, const mf_queue *q)
{
    mf_job *last = NULL;

    for (size_t k = 0; k < r->waiting_count; k++) {
        mf_job *j = r->waiting[k];
        if (queue_of(r, j->index) == q && (!last || mf_plan_before(r->plan, last->index, j->index)))
            last = j;
    }
    return last;
}

/* Whether node i is to be tried, though others of its stage wait. */
static bool to_be_tried(mf_runner *r, size_t i)
{
    const mf_queue *q = queue_of(r, i);

    if (q->stuck && !mf_plan_before(r->plan, i, q->stuck_at))
        return false;
    return q->count < MF_QUEUE_MOST || mf_plan_before(r->plan, i, last_of(r, q)->index);
}

/* Of those that nobody has tried yet; the plan's count where there is none. Where nothing runs, one
 * of each stage is tried whether or not any place has room: it may be that none can run it. */
static size_t next_fresh(mf_runner *r)
{
    size_t none = mf_plan_count(r->plan), next = none, count;
    const size_t *active = mf_plan_active(r->plan, &count);

    while (count-- > 0) {
        size_t i = mf_plan_next(r->plan, active[count]);
        if (i != none && (next == none || mf_plan_before(r->plan, i, next)) && to_be_tried(r, i) &&
            (!r->running || mf_runner_has_room(r, i)))
            next = i;
    }
    return next;
}

static void give_up_node(mf_runner *r, mf_job *j)
{
    size_t i = j->index;
    mf_status status = mf_runner_no_place(r, j);

    mf_job_free(j);
    mf_plan_release(r->plan, i);
    mf_runner_failed(r, i, NULL, status);
}

static void try_waiting(mf_runner *r, mf_job *j)
{
    bool freed = !j->anew;
    mf_choice choice;

    if (outdated(r, j)) {
        drop(r, j);
        return;
    }
    j->tried = r->spots.frees;
    j->anew = false;
    choice = mf_runner_choose(r, j, freed);
    if (choice == MF_CHOSEN || choice == MF_NO_PLACE)
        end_wait(r, j);
    else if (choice == MF_WAIT_NODE)
        queue_of(r, j->index)->stuck = false;
    if (choice == MF_CHOSEN)
        mf_job_launch(r, j);
    else if (choice == MF_NO_PLACE)
        give_up_node(r, j);
}

static void try_fresh(mf_runner *r, size_t i)
{
    mf_choice choice;
    mf_status status;
    mf_job *j;

    if (mf_runner_made_elsewhere(r, i))
        return;
    status = mf_job_new(r, i, &j);
    if (status) {
        mf_runner_failed(r, i, NULL, status);
        return;
    }
    mf_plan_hold(r->plan, i);
    j->tried = r->spots.frees;
    choice = mf_runner_choose(r, j, false);
    if (choice == MF_CHOSEN) {
        mf_job_launch(r, j);
    } else if (choice == MF_NO_PLACE) {
        give_up_node(r, j);
    } else {
        if (queue_of(r, i)->count >= MF_QUEUE_MOST)
            drop(r, last_of(r, queue_of(r, i))); /* it gives way */
        status = begin_wait(r, j, choice == MF_WAIT_STAGE);
        if (!status)
            return;
        mf_job_unkeep(j);
        mf_job_free(j);
        mf_runner_give_up(r, status);
    }
}

/* ---- nodes that wait at a place -------------------------------------------------------------- */

/* Seconds after which a place is asked again to hand a node back. */
#define ASK_AGAIN 1.0
/* What waits for less is sooner run than taken back; what has waited so long is behind something
 * that takes longer than expected. */
#define WORTH 0.01
#define OVERDUE 0.5
#define FREE_PLACES 16 /* that are looked at */

/* Those that have a slot by now: the place runs them in this order. */
static void begin_ahead(mf_runner *r)
{
    for (size_t k = 0; k < r->spots.freed_count; k++) {
        mf_spot *p = &r->spots.items[r->spots.freed[k]];
        while (p->ahead && p->is.open && p->slots_used < p->is.slots)
            mf_job_begin(p->ahead);
    }
}

static bool may_ask(const mf_runner *r, const mf_job *j)
{
    return !(j->asked > 0) || r->clock() - j->asked > ASK_AGAIN;
}

/* One that counts as begun and takes long: the place may have taken what came after it first, for
 * starts overtake each other on the way. One that runs stays where it is. */
static mf_job *overdue(const mf_runner *r)
{
    for (size_t p = 1; p < r->spots.count; p++)
        for (mf_job *j = r->spots.items[p].jobs; j; j = j->next)
            if (j->pace > 0 && may_ask(r, j) && r->clock() - j->start > OVERDUE)
                return j;
    return NULL;
}

/* The last one in the longest queue that is worth it; NULL where there is none. */
static mf_job *last_ahead(const mf_runner *r)
{
    mf_job *worst = NULL;
    double most = 0;

    for (size_t p = 1; p < r->spots.count; p++) {
        const mf_spot *s = &r->spots.items[p];
        double waits = s->ahead_seconds / s->is.slots;
        mf_job *j = s->ahead_last;
        while (j && !may_ask(r, j)) {
            waits -= j->pace / s->is.slots;
            j = j->previous;
        }
        if (!j)
            continue;
        if (r->clock() - s->ahead->start > OVERDUE)
            waits = INFINITY;
        if (waits > WORTH && waits > most) {
            most = waits;
            worst = j;
        }
    }
    return worst;
}

/* A place with a slot that nobody else wants could run it. */
static bool fits_free(mf_runner *r, const mf_job *j)
{
    const mf_spots *s = &r->spots;
    size_t left = FREE_PLACES;

    for (int level = MF_SPOT_LEVELS; (level = mf_spots_level(s, level)) > 0; level--)
        for (size_t p = s->first[level]; p != MF_SPOT_NONE && left; p = s->items[p].next, left--) {
            mf_seat seat;
            if (mf_seat_at(r, j, p, &seat) == MF_FITS && !seat.ahead)
                return true;
        }
    return false;
}

static void ask_back(mf_runner *r, mf_job *(*next)(const mf_runner *r))
{
    size_t slots = 0;

    for (size_t p = 0; p < r->spots.count; p++)
        if (r->spots.items[p].level > 0 && r->spots.items[p].level <= MF_SPOT_LEVELS)
            slots += (size_t)r->spots.items[p].level;
    for (mf_job *j; slots-- && (j = next(r)) && fits_free(r, j);) {
        j->asked = r->clock();
        r->executor->take_back(j->execution);
    }
}

static void take_back(mf_runner *r)
{
    if (!r->stopping && r->spots.ahead && r->executor->take_back)
        ask_back(r, last_ahead);
}

void mf_runner_take_back(mf_runner *r)
{
    if (!r->stopping && r->executor->take_back) {
        ask_back(r, overdue);
        take_back(r);
    }
}

/* ---- places ---------------------------------------------------------------------------------- */

/* Places that have come, closed or are otherwise than before: all that wait look at all of them. */
static void see_places(mf_runner *r)
{
    size_t stages = mf_graph_stage_count(mf_plan_graph(r->plan));
    bool changed;

    r->places_changed = false;
    mf_runner_give_up(r, mf_spots_look(&r->spots, r->executor, r->slots, r->bytes, stages,
                                       mf_job_unkeep, &changed));
    if (!changed)
        return;
    memset(r->here, 0, stages);
    for (size_t p = 1; p < r->spots.count && r->returns.count; p++)
        if (r->spots.items[p].is.open && r->spots.items[p].is.again)
            mf_returns_forgive(&r->returns, r->spots.items[p].is.name);
    for (size_t k = 0; k < r->waiting_count; k++)
        r->waiting[k]->anew = true;
}

void mf_runner_tell_idle(mf_runner *r)
{
    const mf_job *first = NULL;
    const char *node;
    char text[1024], *why;

    if (r->running || r->stopping || !r->waiting_count || mf_waits_any(&r->waits)) {
        r->told_idle = 0;
        return;
    }
    if (r->told_idle > 0 && r->clock() - r->told_idle < TELL_EVERY)
        return;
    r->told_idle = r->clock();
    for (size_t k = 0; k < r->waiting_count; k++)
        if (!first || mf_plan_before(r->plan, r->waiting[k]->index, first->index))
            first = r->waiting[k];
    node = mf_plan_at(r->plan, first->index)->work.node;
    why = mf_runner_why_waits(r, first);
    snprintf(text, sizeof text, "no worker that can run it is there: the run waits for one%s%s",
             why ? "; " : "", why ? why : "");
    free(why);
    mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_WAITING, .node = node, .text = text});
    mf_runner_give_up(r, mf_journal_line(r->journal, node, text));
}

/* Starts what can start. False once nothing runs and there is nothing left to start or to wait for.
 */
bool mf_runner_start(mf_runner *r)
{
    if (r->places_changed)
        see_places(r);
    begin_ahead(r);
    drop_outdated(r);
    while (!r->stopping) {
        mf_job *j;
        size_t i;
        estimate(r);
        j = r->stopping ? NULL : next_waiting(r);
        i = r->stopping ? mf_plan_count(r->plan) : next_fresh(r);
        if (i != mf_plan_count(r->plan) && (!j || mf_plan_before(r->plan, i, j->index)))
            try_fresh(r, i);
        else if (j)
            try_waiting(r, j);
        else if (!drop_outdated(r))
            break;
    }
    mf_spots_forget_freed(&r->spots);
    take_back(r);
    mf_runner_tell_idle(r);
    return r->running || (!r->stopping && (mf_waits_any(&r->waits) || r->waiting_count));
}
