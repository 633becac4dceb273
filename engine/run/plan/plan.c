/* plan.c - making a plan, and telling it how its nodes end. */
#include "run/plan/plan_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const mf_graph *mf_plan_graph(const mf_plan *plan)
{
    return plan->graph;
}

mf_store *mf_plan_store(const mf_plan *plan)
{
    return plan->store;
}

const mf_plan_options *mf_plan_get_options(const mf_plan *plan)
{
    return &plan->options;
}

const mf_files *mf_plan_files(const mf_plan *plan)
{
    return plan->files;
}

size_t mf_plan_count(const mf_plan *plan)
{
    return plan->count;
}

const mf_plan_node *mf_plan_at(const mf_plan *plan, size_t i)
{
    return &plan->nodes[i];
}

size_t mf_plan_tally(const mf_plan *plan, mf_plan_state state)
{
    return plan->tally[state];
}

size_t mf_plan_wanted(const mf_plan *plan)
{
    size_t wanted = 0;

    for (int state = 0; state < MF_PLAN_STATES; state++)
        wanted += state == MF_PLAN_UNWANTED ? 0 : plan->tally[state];
    return wanted;
}

uint64_t mf_plan_changes(const mf_plan *plan)
{
    return plan->changes;
}

void mf_plan_watch(mf_plan *plan, mf_plan_changed changed, void *self)
{
    plan->changed = changed;
    plan->self = self;
}

/* ---- making ---------------------------------------------------------------------------------- */

static mf_status init_feed(mf_feed *feed, const mf_port *port, const mf_input *input)
{
    mf_port_type type;

    feed->port = port;
    if (!mf_port_type_parse(port->type, &type))
        return mf_fail(MF_INTERNAL, "port '%s' has the type '%s'", port->name, port->type);
    feed->list = type.shape == MF_PORT_LIST;
    if (type.shape == MF_PORT_STREAM)
        return MF_OK;
    feed->elements = calloc(input->count ? input->count : 1, sizeof *feed->elements);
    if (!feed->elements)
        return mf_no_memory(0, "a plan");
    return MF_OK;
}

static mf_status init_node(mf_plan_node *n, const mf_node *node)
{
    n->node = node;
    n->state = MF_PLAN_UNWANTED;
    n->work.node = node->name;
    n->work.state_key = n->state_key;
    n->work.stage = node->stage;
    n->work.params = node->params;
    n->work.case_id = node->of_case ? node->of_case->id : "";
    n->work.axes = node->axes + (node->of_case != NULL);
    n->work.axis_count = node->axis_count - (node->of_case != NULL);
    n->work.out_count = mf_port_count(node->stage->out);
    n->work.feeds = calloc(node->input_count ? node->input_count : 1, sizeof *n->work.feeds);
    n->outputs = calloc(n->work.out_count ? n->work.out_count : 1, sizeof *n->outputs);
    if (!n->work.feeds || !n->outputs)
        return mf_no_memory(0, "a plan");
    n->work.feed_count = node->input_count;
    for (size_t i = 0; i < node->input_count; i++)
        MF_TRY(init_feed(&n->work.feeds[i], &node->stage->in[i], &node->inputs[i]));
    return MF_OK;
}

/* Everything that the wanted nodes need; nodes are in topological order. */
static void mark_wanted(mf_plan *plan, const bool *wanted)
{
    for (size_t i = plan->count; i-- > 0;) {
        mf_plan_node *n = &plan->nodes[i];
        if (wanted[i])
            n->state = MF_PLAN_WAITING;
        if (n->state == MF_PLAN_UNWANTED)
            continue;
        for (size_t p = 0; p < n->node->input_count; p++) {
            const mf_input *input = &n->node->inputs[p];
            for (size_t k = 0; k < input->count; k++)
                plan->nodes[input->edges[k].node].state = MF_PLAN_WAITING;
        }
    }
}

static mf_status link_consumers(mf_plan *plan)
{
    size_t edges = 0, at = 0;

    for (size_t i = 0; i < plan->count; i++) {
        mf_plan_node *n = &plan->nodes[i];
        if (n->state == MF_PLAN_UNWANTED)
            continue;
        for (size_t p = 0; p < n->node->input_count; p++) {
            const mf_input *input = &n->node->inputs[p];
            edges += input->count;
            for (size_t k = 0; k < input->count; k++)
                plan->nodes[input->edges[k].node].consumer_count++;
        }
    }
    plan->consumers = calloc(edges ? edges : 1, sizeof *plan->consumers);
    if (!plan->consumers)
        return mf_no_memory(0, "a plan");
    for (size_t i = 0; i < plan->count; i++) {
        plan->nodes[i].consumers = plan->consumers + at;
        at += plan->nodes[i].consumer_count;
        plan->nodes[i].consumer_count = 0;
    }
    for (size_t i = 0; i < plan->count; i++) {
        mf_plan_node *n = &plan->nodes[i];
        if (n->state == MF_PLAN_UNWANTED)
            continue;
        for (size_t p = 0; p < n->node->input_count; p++) {
            const mf_input *input = &n->node->inputs[p];
            for (size_t k = 0; k < input->count; k++) {
                mf_plan_node *source = &plan->nodes[input->edges[k].node];
                plan->consumers[source->consumers - plan->consumers + source->consumer_count++] =
                    (uint32_t)i;
            }
        }
    }
    return MF_OK;
}

mf_file_use mf_plan__use(const mf_plan_node *n, size_t i)
{
    mf_file_use use = {.stage = n->node->stage};

    use.path = mf_params_path(n->node->params, i, &use.param);
    return use;
}

static mf_status hash_files(mf_plan *plan)
{
    mf_file_use *uses;
    size_t count = 0, at = 0;
    mf_status status;

    for (size_t i = 0; i < plan->count; i++) {
        if (plan->nodes[i].state != MF_PLAN_UNWANTED)
            count += mf_params_path_count(plan->nodes[i].node->params);
    }
    uses = calloc(count ? count : 1, sizeof *uses);
    if (!uses)
        return mf_no_memory(0, "a plan");
    for (size_t i = 0; i < plan->count; i++) {
        const mf_plan_node *n = &plan->nodes[i];
        if (n->state == MF_PLAN_UNWANTED)
            continue;
        for (size_t k = 0; k < mf_params_path_count(n->node->params); k++)
            uses[at++] = mf_plan__use(n, k);
    }
    status = mf_files_new(plan->store, uses, count, plan->options.threads, &plan->files);
    free(uses);
    return status;
}

/* Every node that is wanted, as nothing is known of it yet. */
static void begin(mf_plan *plan, const bool *wanted)
{
    for (size_t i = 0; i < plan->count; i++) {
        mf_plan_node *n = &plan->nodes[i];
        plan->tally[n->state] += !n->node->stage->item;
        if (n->state == MF_PLAN_UNWANTED)
            continue;
        n->asked = plan->options.named ? wanted[i] : !n->consumer_count;
        mf_plan__touch(plan, i);
    }
}

/* Many look-ups share a transaction. */
static mf_status settle_all(mf_plan *plan)
{
    mf_status status;

    if (!plan->store)
        return mf_plan_settle(plan);
    MF_TRY(mf_store_hold(plan->store));
    status = mf_plan_settle(plan);
    mf_store_release(plan->store);
    return status;
}

static mf_status build(mf_plan *plan, const bool *wanted)
{
    for (size_t i = 0; i < plan->count; i++) {
        MF_TRY(init_node(&plan->nodes[i], mf_graph_node(plan->graph, i)));
        plan->nodes[i].work.anew = plan->options.anew && plan->options.anew[i];
    }
    plan->options.anew = NULL; /* the caller's */
    mark_wanted(plan, wanted);
    MF_TRY(link_consumers(plan));
    MF_TRY(mf_plan__pace_all(plan));
    mf_plan__rank(plan);
    if (plan->store)
        MF_TRY(hash_files(plan));
    begin(plan, wanted);
    return settle_all(plan);
}

/* What comes first of what can start: by rank, then by the order of the graph. */
static bool starts_before(const void *self, size_t a, size_t b)
{
    const mf_plan_node *nodes = self;

    return nodes[a].rank > nodes[b].rank || (!(nodes[a].rank < nodes[b].rank) && a < b);
}

static mf_status order(mf_plan *plan)
{
    size_t groups = mf_graph_stage_count(plan->graph);

    MF_TRY(mf_twins_init(&plan->twins, plan->count));
    MF_TRY(mf_heap_init(&plan->touched, plan->count, NULL, NULL));
    plan->startable = calloc(groups + 1, sizeof *plan->startable);
    plan->active = calloc(groups + 1, sizeof *plan->active);
    plan->active_at = calloc(groups + 1, sizeof *plan->active_at);
    if (!plan->startable || !plan->active || !plan->active_at)
        return mf_no_memory(0, "a plan");
    for (size_t g = 0; g < groups; g++) {
        const mf_graph_stage *s = mf_graph_stage_at(plan->graph, g);
        MF_TRY(mf_heap_init(&plan->startable[g], s->count, starts_before, plan->nodes + s->first));
    }
    return MF_OK;
}

mf_status mf_plan_new(const mf_graph *graph, mf_store *store, const bool *wanted,
                      const mf_plan_options *options, mf_plan **plan)
{
    mf_plan *p = calloc(1, sizeof *p);
    mf_status status;

    *plan = NULL;
    if (!p)
        return mf_no_memory(0, "a plan");
    p->graph = graph;
    p->store = store;
    p->options = *options;
    p->count = mf_graph_node_count(graph);
    p->nodes = calloc(p->count ? p->count : 1, sizeof *p->nodes);
    if (!p->nodes)
        status = mf_no_memory(0, "a plan of %zu nodes", p->count);
    else
        status = order(p);
    if (!status)
        status = build(p, wanted);
    if (status) {
        mf_plan_free(p);
        return status;
    }
    *plan = p;
    return MF_OK;
}

void mf_plan_free(mf_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; plan->nodes && i < plan->count; i++) {
        mf_plan_node *n = &plan->nodes[i];
        for (size_t p = 0; n->work.feeds && p < n->work.feed_count; p++)
            free(n->work.feeds[p].elements);
        free(n->work.feeds);
        free(n->outputs);
        free(n->components);
        free(n->message);
        free(n->skipped);
    }
    mf_files_free(plan->files);
    free(plan->nodes);
    free(plan->consumers);
    free(plan->paces);
    free(plan->unpaced);
    mf_heap_clear(&plan->touched);
    for (size_t g = 0; plan->startable && g < mf_graph_stage_count(plan->graph); g++)
        mf_heap_clear(&plan->startable[g]);
    free(plan->startable);
    free(plan->active);
    free(plan->active_at);
    mf_twins_clear(&plan->twins);
    free(plan);
}

/* ---- as nodes start and end ------------------------------------------------------------------ */

bool mf_plan_can_start(const mf_plan_node *n)
{
    return n->state == MF_PLAN_TO_RUN && n->ready && !n->elsewhere;
}

static bool runs_twin(const mf_plan *plan, const mf_plan_node *n)
{
    /* Without a store nodes have no key. */
    size_t k = *n->key ? mf_twins_first(&plan->twins, n->key) : MF_TWIN_NONE;

    while (k != MF_TWIN_NONE &&
           (plan->nodes[k].state != MF_PLAN_RUNNING || strcmp(plan->nodes[k].key, n->key)))
        k = mf_twins_next(&plan->twins, k);
    return k != MF_TWIN_NONE;
}

bool mf_plan_may_start(const mf_plan *plan, size_t i)
{
    return mf_plan_can_start(&plan->nodes[i]) && !runs_twin(plan, &plan->nodes[i]);
}

const size_t *mf_plan_active(const mf_plan *plan, size_t *count)
{
    *count = plan->active_count;
    return plan->active;
}

static void end_active(mf_plan *plan, size_t group)
{
    size_t at = plan->active_at[group], last = plan->active[--plan->active_count];

    plan->active[at - 1] = last;
    plan->active_at[last] = at;
    plan->active_at[group] = 0;
}

size_t mf_plan_next(mf_plan *plan, size_t group)
{
    mf_heap *heap = &plan->startable[group];
    size_t first = mf_graph_stage_at(plan->graph, group)->first;

    for (; heap->count; mf_heap_take(heap)) {
        size_t i = first + heap->nodes[0];
        if (!plan->nodes[i].held && mf_plan_may_start(plan, i))
            return i;
    }
    if (plan->active_at[group])
        end_active(plan, group);
    return plan->count;
}

bool mf_plan_before(const mf_plan *plan, size_t a, size_t b)
{
    const mf_plan_node *n = &plan->nodes[a], *m = &plan->nodes[b];
    bool device;

    if (n->rank > m->rank || n->rank < m->rank)
        return n->rank > m->rank;
    device = mf_work_wants_device(&n->work);
    return device != mf_work_wants_device(&m->work) ? device : a < b;
}

void mf_plan_hold(mf_plan *plan, size_t i)
{
    plan->nodes[i].held = true; /* the heap drops it when it is met */
}

void mf_plan_release(mf_plan *plan, size_t i)
{
    plan->nodes[i].held = false;
    mf_plan__offer(plan, &plan->nodes[i]);
}

/* What has changed by itself may have to be decided anew. */
static mf_plan_node *take(mf_plan *plan, size_t i)
{
    mf_plan__touch(plan, i);
    return &plan->nodes[i];
}

void mf_plan_start(mf_plan *plan, size_t i)
{
    mf_plan_node *n = take(plan, i);

    assert(mf_plan_can_start(n));
    n->held = false;
    mf_plan__set(plan, n, MF_PLAN_RUNNING);
}

void mf_plan_put_back(mf_plan *plan, size_t i)
{
    mf_plan_node *n = take(plan, i);

    assert(n->state == MF_PLAN_RUNNING);
    mf_plan__set(plan, n, MF_PLAN_TO_RUN);
}

void mf_plan_finish(mf_plan *plan, size_t i, const mf_plan_output *outputs, double seconds)
{
    mf_plan_node *n = take(plan, i);

    assert(n->state == MF_PLAN_RUNNING);
    n->seconds = seconds;
    n->again = n->imported = false;
    n->fresh = true;
    mf_plan__know(plan, n, outputs);
    mf_plan__set(plan, n, MF_PLAN_DONE);
}

void mf_plan_fail(mf_plan *plan, size_t i, char *message, double seconds)
{
    mf_plan_node *n = take(plan, i);

    assert(n->state == MF_PLAN_TO_RUN || n->state == MF_PLAN_RUNNING);
    n->seconds = seconds;
    mf_plan__lose(plan, n, MF_PLAN_FAILED, n->again, message);
}

void mf_plan_cancel(mf_plan *plan, size_t i)
{
    mf_plan_node *n = take(plan, i);

    assert(n->state == MF_PLAN_TO_RUN || n->state == MF_PLAN_RUNNING);
    mf_plan__set(plan, n, MF_PLAN_CANCELLED);
}

void mf_plan_defer(mf_plan *plan, size_t i)
{
    assert(plan->nodes[i].state == MF_PLAN_TO_RUN);
    plan->nodes[i].elsewhere = true;
}

void mf_plan_resume(mf_plan *plan, size_t i)
{
    plan->nodes[i].elsewhere = false;
    mf_plan__offer(plan, &plan->nodes[i]);
}

mf_status mf_plan_look_again(mf_plan *plan, size_t i)
{
    mf_plan_node *n = take(plan, i);
    bool found;

    assert(n->state == MF_PLAN_TO_RUN);
    MF_TRY(mf_plan__look_up(plan, n, n->again, &found));
    n->fresh = found;
    return MF_OK;
}
