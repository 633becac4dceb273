/* settle.c - what follows when a node changes: which others can be decided, whose data is needed,
 * what can start, what is blocked.
 *
 * A node that changes touches those that it matters to. Touched nodes are looked at in topological
 * order, and looking at one depends on nothing but its own state and those of its neighbours. So it
 * does not matter in which order nodes end, or how often a node is looked at. */
#include "run/plan/plan_private.h"
#include "run/plan/skip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- changing a node ------------------------------------------------------------------------- */

void mf_plan__touch(mf_plan *plan, size_t i)
{
    mf_heap_add(&plan->touched, i);
}

static void touch_consumers(mf_plan *plan, const mf_plan_node *n)
{
    for (size_t k = 0; k < n->consumer_count; k++) {
        mf_plan_node *c = &plan->nodes[n->consumers[k]];
        if (n->state == MF_PLAN_CACHED && c->state != MF_PLAN_WAITING)
            c->waits = NULL; /* it may have to ask for data that was dropped */
        mf_plan__touch(plan, n->consumers[k]);
    }
}

/* The streams that node n reads, and those that they read: they serve whoever is to be run. */
static void touch_streams(mf_plan *plan, const mf_plan_node *n)
{
    for (size_t p = 0; p < n->work.feed_count; p++) {
        const mf_input *input = &n->node->inputs[p];
        if (n->work.feeds[p].elements || !input->count)
            continue;
        mf_plan__touch(plan, input->edges[0].node);
        touch_streams(plan, &plan->nodes[input->edges[0].node]);
    }
}

/* What is made again for node n alone need not be any more. */
static void touch_rebuilt(mf_plan *plan, const mf_plan_node *n)
{
    for (size_t p = 0; p < n->work.feed_count; p++) {
        const mf_input *input = &n->node->inputs[p];
        for (size_t k = 0; k < input->count; k++) {
            if (plan->nodes[input->edges[k].node].again)
                mf_plan__touch(plan, input->edges[k].node);
        }
    }
}

void mf_plan__offer(mf_plan *plan, const mf_plan_node *n)
{
    size_t group = n->node->group;

    if (!mf_plan_can_start(n) || n->held)
        return;
    mf_heap_add(&plan->startable[group],
                (size_t)(n - plan->nodes) - mf_graph_stage_at(plan->graph, group)->first);
    if (!plan->active_at[group]) {
        plan->active[plan->active_count++] = group;
        plan->active_at[group] = plan->active_count;
    }
    mf_plan__can_estimate(plan, n);
}

/* Its twins waited for what it would come to. */
static void end_running(mf_plan *plan, const mf_plan_node *n)
{
    size_t k = *n->key ? mf_twins_first(&plan->twins, n->key) : MF_TWIN_NONE;

    for (; k != MF_TWIN_NONE; k = mf_twins_next(&plan->twins, k))
        mf_plan__offer(plan, &plan->nodes[k]);
}

void mf_plan__set(mf_plan *plan, mf_plan_node *n, mf_plan_state state)
{
    mf_plan_state before = n->state;

    if (before == state)
        return;
    if (!n->node->stage->item) {
        plan->tally[before]--;
        plan->tally[state]++;
    }
    n->state = state;
    n->ready = false;
    plan->changes++;
    if (before == MF_PLAN_RUNNING)
        end_running(plan, n);
    touch_consumers(plan, n);
    touch_streams(plan, n);
    if (before == MF_PLAN_TO_RUN && state != MF_PLAN_RUNNING)
        touch_rebuilt(plan, n);
}

static void set_ready(mf_plan *plan, mf_plan_node *n, bool ready)
{
    if (n->ready == ready)
        return;
    n->ready = ready;
    plan->changes++;
    if (n->state == MF_PLAN_RECIPE)
        touch_consumers(plan, n);
}

/* What node n reads is not what it was: so it may not stay what it is, and who reads it waits. */
static void make_stale(mf_plan *plan, mf_plan_node *n)
{
    if (n->stale)
        return;
    n->stale = true;
    touch_consumers(plan, n);
}

void mf_plan__renew(mf_plan *plan, mf_plan_node *n)
{
    for (size_t k = 0; k < n->consumer_count; k++) {
        mf_plan_node *c = &plan->nodes[n->consumers[k]];
        make_stale(plan, c);
        c->waits = NULL;
        mf_plan__touch(plan, n->consumers[k]);
    }
}

void mf_plan__know(mf_plan *plan, mf_plan_node *n, const mf_plan_output *outputs)
{
    bool same = true;

    for (size_t i = 0; i < n->work.out_count; i++) {
        same = same && !strcmp(n->outputs[i].id, outputs[i].id);
        n->outputs[i] = outputs[i];
    }
    n->known = true;
    if (!same)
        mf_plan__renew(plan, n);
}

void mf_plan__lose(mf_plan *plan, mf_plan_node *n, mf_plan_state state, bool known, char *message)
{
    free(n->message);
    n->message = message;
    n->known = known;
    n->again = n->again && known;
    mf_plan__set(plan, n, state);
    for (size_t k = 0; k < n->consumer_count; k++) {
        mf_plan_node *c = &plan->nodes[n->consumers[k]];
        c->waits = NULL;
        if (!known)
            make_stale(plan, c); /* it may go on without */
    }
}

/* ---- what a node reads ----------------------------------------------------------------------- */

static bool is_lost(mf_plan_state state)
{
    return state == MF_PLAN_FAILED || state == MF_PLAN_BLOCKED;
}

/* Whether the identity of node s is still to come. */
static bool pending(const mf_plan_node *s)
{
    return !is_lost(s->state) && (!s->known || s->stale);
}

typedef enum data_state {
    HERE,
    DROPPED, /* known, and nobody has asked for it yet */
    COMING,
    LOST
} data_state;

/* Whether the data is there that an edge brings, whose identity is known. */
static data_state data_of(const mf_plan *plan, const mf_edge *edge)
{
    const mf_plan_node *s = &plan->nodes[edge->node];
    bool stream = s->node->stage->item != NULL;

    if (is_lost(s->state))
        return s->known && !stream && s->outputs[edge->port].present ? HERE : LOST;
    if (s->stale)
        return COMING;
    if (stream)
        return s->ready ? HERE : COMING;
    if (s->state != MF_PLAN_CACHED && s->state != MF_PLAN_DONE)
        return COMING;
    return s->outputs[edge->port].present ? HERE : DROPPED;
}

bool mf_plan__lost(const mf_plan *plan, const mf_edge *edge, bool data)
{
    const mf_plan_node *s = &plan->nodes[edge->node];

    return is_lost(s->state) && (!s->known || (data && data_of(plan, edge) == LOST));
}

/* A node that is running reads the stream. */
static bool read_now(const mf_plan *plan, const mf_plan_node *n)
{
    for (size_t k = 0; k < n->consumer_count; k++) {
        const mf_plan_node *c = &plan->nodes[n->consumers[k]];
        if (c->state == MF_PLAN_RUNNING || (c->state == MF_PLAN_RECIPE && read_now(plan, c)))
            return true;
    }
    return false;
}

/* A node below reads data, or will. */
static bool serves(const mf_plan *plan, const mf_plan_node *n)
{
    for (size_t k = 0; k < n->consumer_count; k++) {
        const mf_plan_node *c = &plan->nodes[n->consumers[k]];
        if (c->state == MF_PLAN_TO_RUN || (c->state == MF_PLAN_RECIPE && c->needed))
            return true;
    }
    return false;
}

/* Whether data is missing that the user asked for. */
static bool lacks_what_is_asked(const mf_plan *plan, const mf_plan_node *n)
{
    const mf_plan_options *o = &plan->options;

    for (size_t i = 0; i < n->work.out_count; i++) {
        if (!n->outputs[i].present &&
            (n->asked ||
             (o->needs && o->needs(o->self, (size_t)(n - plan->nodes), i, n->outputs[i].id))))
            return true;
    }
    return false;
}

/* ---- looking at a node ----------------------------------------------------------------------- */

/* Streams are no nodes to the user: of one that is blocked it is said why. */
static void block(mf_plan *plan, mf_plan_node *n, size_t i, bool known)
{
    const mf_plan_node *source = &plan->nodes[i];
    const char *name = source->node->name;
    char *text;
    int length;

    if (source->node->stage->item && source->message)
        length = asprintf(&text, "needs %s, which %s", name, source->message);
    else if (mf_skip_could(plan, n, i))
        length = asprintf(&text, "needs %s; 'skip_failed: true' at '%s' would continue without it",
                          name, n->node->label);
    else
        length = asprintf(&text, "needs %s", name);
    mf_plan__lose(plan, n, MF_PLAN_BLOCKED, known, length < 0 ? NULL : text);
}

/* Decides node n as soon as the identity of all that it reads is known; blocks it as soon as some
 * of that is lost that it can't do without. */
static mf_status identify(mf_plan *plan, mf_plan_node *n)
{
    const mf_edge *first = NULL;

    if (n->waits && pending(&plan->nodes[n->waits->node]))
        return MF_OK;
    for (size_t p = 0; p < n->node->input_count; p++) {
        const mf_input *input = &n->node->inputs[p];
        for (size_t k = 0; k < input->count; k++) {
            const mf_edge *edge = &input->edges[k];
            if (mf_plan__lost(plan, edge, false) && !mf_skip_edge(plan, n, edge)) {
                block(plan, n, edge->node, false);
                return MF_OK;
            }
            if (!first && pending(&plan->nodes[edge->node]))
                first = edge;
        }
    }
    n->waits = first;
    if (first)
        return MF_OK;
    return mf_plan__decide(plan, n, false);
}

/* Data that is needed is to be made again. */
static void rebuild(mf_plan *plan, mf_plan_node *n)
{
    n->again = true;
    n->elsewhere = false;
    mf_plan__set(plan, n, MF_PLAN_TO_RUN);
    mf_plan__touch(plan, (size_t)(n - plan->nodes));
}

/* What an input's data is like as a whole: the first edge that is lost, else the first that is not
 * there. */
typedef struct inputs {
    const mf_edge *lost, *coming;
    bool must; /* what is lost can't be left out */
} inputs;

static void look_at(const mf_plan *plan, mf_plan_node *n, const mf_edge *edge, inputs *found)
{
    data_state d = mf_skip_has(plan, n, edge) ? HERE : data_of(plan, edge);

    if (d == LOST && !found->must && (!found->lost || !mf_skip_edge(plan, n, edge))) {
        found->lost = edge;
        found->must = !mf_skip_edge(plan, n, edge);
    }
    if ((d == COMING || d == DROPPED) && !found->coming)
        found->coming = edge;
}

static inputs look_at_inputs(const mf_plan *plan, mf_plan_node *n)
{
    inputs found = {0};

    for (size_t p = 0; p < n->node->input_count; p++) {
        for (size_t k = 0; k < n->node->inputs[p].count; k++)
            look_at(plan, n, &n->node->inputs[p].edges[k], &found);
    }
    return found;
}

static void demand(mf_plan *plan, mf_plan_node *n)
{
    for (size_t p = 0; p < n->node->input_count; p++) {
        for (size_t k = 0; k < n->node->inputs[p].count; k++) {
            const mf_edge *edge = &n->node->inputs[p].edges[k];
            if (!mf_skip_has(plan, n, edge) && data_of(plan, edge) == DROPPED)
                rebuild(plan, &plan->nodes[edge->node]);
        }
    }
}

/* Whether what node n is made of may still become less: nobody knows a result of it. */
static bool may_shrink(const mf_plan *plan, const mf_plan_node *n)
{
    for (size_t k = 0; k < n->consumer_count && n->state == MF_PLAN_RECIPE; k++) {
        if (plan->nodes[n->consumers[k]].known)
            return false;
    }
    return !n->again;
}

/* Sees to it that the data is there that node n reads. What can't be made is left out, where that
 * may be, or blocks it. */
static mf_status provide(mf_plan *plan, mf_plan_node *n)
{
    inputs found;

    if (n->waits && data_of(plan, n->waits) == COMING) {
        set_ready(plan, n, false);
        return MF_OK;
    }
    found = look_at_inputs(plan, n);
    if (found.lost && (found.must || !may_shrink(plan, n))) {
        block(plan, n, found.lost->node, n->known);
        return MF_OK;
    }
    if (found.lost && !found.coming) { /* now it is known what all is lost */
        MF_TRY(mf_plan__decide(plan, n, true));
        if (n->state != MF_PLAN_TO_RUN && n->state != MF_PLAN_RECIPE)
            return MF_OK;
        found = look_at_inputs(plan, n);
    }
    n->waits = found.coming;
    demand(plan, n);
    set_ready(plan, n, !found.coming && !found.lost);
    return MF_OK;
}

static mf_status provide_stream(mf_plan *plan, mf_plan_node *n)
{
    bool needed = serves(plan, n);

    if (needed != n->needed) {
        n->needed = needed;
        touch_streams(plan, n);
        touch_rebuilt(plan, n);
    }
    if (needed)
        return provide(plan, n);
    set_ready(plan, n, false);
    return MF_OK;
}

/* Other nodes with the key of one whose outputs are known anew: they have the same, and need not be
 * run. */
static void share(mf_plan *plan, mf_plan_node *made)
{
    made->fresh = false;
    for (size_t k = mf_twins_first(&plan->twins, made->key); k != MF_TWIN_NONE;
         k = mf_twins_next(&plan->twins, k)) {
        mf_plan_node *n = &plan->nodes[k];
        bool to_run = n->state == MF_PLAN_TO_RUN;
        if (n == made || n->stale || (!to_run && n->state != MF_PLAN_CACHED) ||
            strcmp(n->key, made->key))
            continue;
        n->again = false;
        n->imported = made->imported;
        mf_plan__know(plan, n, made->outputs);
        mf_plan__set(plan, n, MF_PLAN_CACHED);
        if (to_run && plan->changed)
            plan->changed(plan->self, k);
    }
}

static mf_status look(mf_plan *plan, mf_plan_node *n)
{
    size_t turn = n->turn;

    if (n->fresh)
        share(plan, n);
    if (n->state == MF_PLAN_WAITING || n->stale)
        MF_TRY(identify(plan, n));
    if (n->stale || !plan->store) {
        set_ready(plan, n, n->state == MF_PLAN_TO_RUN && !n->stale);
        return MF_OK;
    }
    if (n->state == MF_PLAN_CACHED && n->turn != turn && lacks_what_is_asked(plan, n))
        rebuild(plan, n);
    if (n->state == MF_PLAN_RECIPE)
        return provide_stream(plan, n);
    if (n->state != MF_PLAN_TO_RUN)
        return MF_OK;
    if (n->again && !serves(plan, n) && !lacks_what_is_asked(plan, n)) {
        n->again = false;
        mf_plan__set(plan, n, MF_PLAN_CACHED);
        return MF_OK;
    }
    return provide(plan, n);
}

static bool is_open(const mf_plan *plan, const mf_plan_node *n)
{
    switch (n->state) {
    case MF_PLAN_UNWANTED:
    case MF_PLAN_RUNNING: /* it keeps what it has begun with */
    case MF_PLAN_FAILED:
    case MF_PLAN_BLOCKED:
    case MF_PLAN_CANCELLED:
        return false;
    case MF_PLAN_RECIPE:
        return !read_now(plan, n); /* it is touched again when its reader ends */
    default:
        return true;
    }
}

static mf_status visit(mf_plan *plan, size_t i)
{
    mf_plan_node *n = &plan->nodes[i];
    mf_plan_state state = n->state;
    size_t turn = n->turn;

    if (!is_open(plan, n))
        return MF_OK;
    MF_TRY(look(plan, n));
    mf_plan__offer(plan, n);
    if (plan->changed && (n->state != state || n->turn != turn))
        plan->changed(plan->self, i);
    return MF_OK;
}

mf_status mf_plan_settle(mf_plan *plan)
{
    while (plan->touched.count)
        MF_TRY(visit(plan, mf_heap_take(&plan->touched)));
    return MF_OK;
}

/* ---- whether all is as it should be ---------------------------------------------------------- */

#define NAMED 5 /* nodes in a message */

static bool is_final(const mf_plan_node *n)
{
    return n->state == MF_PLAN_UNWANTED || n->state == MF_PLAN_CACHED || n->state == MF_PLAN_DONE ||
           n->state == MF_PLAN_RECIPE || n->state == MF_PLAN_CANCELLED || is_lost(n->state);
}

mf_status mf_plan_left(mf_plan *plan)
{
    size_t left = 0, size;
    char *text = NULL;
    FILE *out = open_memstream(&text, &size);
    mf_status status = MF_OK;

    if (!out)
        return mf_no_memory(0, "looking through a plan");
    for (size_t i = 0; i < plan->count; i++) {
        if (is_final(&plan->nodes[i]))
            continue;
        if (left++ < NAMED)
            fprintf(out, "%s%s", left > 1 ? ", " : "", plan->nodes[i].node->name);
    }
    if (left > NAMED)
        fprintf(out, " and %zu more", left - NAMED);
    if (fclose(out) != 0)
        status = mf_no_memory(0, "looking through a plan");
    else if (left)
        status = mf_hint(
            mf_fail(MF_INTERNAL, "the run ended though %zu node%s left: %s", left,
                    left == 1 ? " is" : "s are", text),
            "this is a bug in massflow, not in the graph; run the same command again to continue");
    free(text);
    return status;
}

/* What is wrong with node n, or NULL. */
static const char *wrong(const mf_plan *plan, mf_plan_node *n)
{
    inputs found = look_at_inputs(plan, n);
    bool waits = false, loses = false;

    for (size_t p = 0; p < n->node->input_count; p++) {
        for (size_t k = 0; k < n->node->inputs[p].count; k++) {
            const mf_edge *edge = &n->node->inputs[p].edges[k];
            waits = waits || pending(&plan->nodes[edge->node]);
            loses = loses || (mf_plan__lost(plan, edge, false) && !mf_skip_edge(plan, n, edge));
        }
    }
    if (n->again && !n->known)
        return "is made again, but not known";
    switch (n->state) {
    case MF_PLAN_WAITING:
        return loses   ? "waits, though what it needs is lost"
               : waits ? NULL
                       : "waits, though all that it reads is known";
    case MF_PLAN_CACHED:
    case MF_PLAN_DONE:
        return !n->known ? "is not known" : n->stale && !waits ? "is stale" : NULL;
    case MF_PLAN_RECIPE:
        if (read_now(plan, n))
            return NULL;
        if (n->stale)
            return n->ready ? "is stale and ready" : waits ? NULL : "is stale";
        if (n->needed != serves(plan, n))
            return "is needed, or is not";
        return n->ready != (n->needed && !found.coming && !found.lost) ? "is not ready" : NULL;
    case MF_PLAN_TO_RUN:
        if (n->known != n->again)
            return "is known and to be run, but not again";
        if (n->stale)
            return n->ready ? "is stale and ready" : waits ? NULL : "is stale";
        if (found.lost && !found.coming)
            return "is to be run, though data that it reads is lost";
        if (found.coming && data_of(plan, found.coming) == DROPPED)
            return "reads data that nobody makes";
        return n->ready == !found.coming ? NULL : "is ready, or is not";
    default:
        return NULL;
    }
}

/* Whether the plan knows what can start. */
static const char *wrong_place(const mf_plan *plan, const mf_plan_node *n)
{
    size_t i = (size_t)(n - plan->nodes), group = n->node->group;

    if (!n->held && mf_plan_may_start(plan, i) &&
        (!plan->active_at[group] ||
         !plan->startable[group].in[i - mf_graph_stage_at(plan->graph, group)->first]))
        return "can start, and is not found";
    return NULL;
}

mf_status mf_plan_check(mf_plan *plan)
{
    size_t tally[MF_PLAN_STATES] = {0};

    if (plan->touched.count)
        return mf_fail(MF_INTERNAL, "the plan is not settled");
    for (size_t i = 0; i < plan->count; i++) {
        mf_plan_node *n = &plan->nodes[i];
        const char *what = plan->store && n->state != MF_PLAN_UNWANTED ? wrong(plan, n) : NULL;
        what = what ? what : wrong_place(plan, n);
        tally[n->state] += !n->node->stage->item;
        if (what)
            return mf_fail(MF_INTERNAL, "node %s %s", n->node->name, what);
    }
    if (memcmp(tally, plan->tally, sizeof tally))
        return mf_fail(MF_INTERNAL, "nodes are miscounted");
    return MF_OK;
}
