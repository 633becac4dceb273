/* plan.c - deciding, node by node, what is cached and what has to run. */
#include "run/plan.h"
#include "run/files.h"
#include "run/key.h"
#include "run/skip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mf_plan {
    const mf_graph *graph;
    mf_store *store;
    mf_plan_options options;
    mf_plan_node *nodes;
    size_t count;
    uint32_t *consumers; /* of all nodes, one after another */
    mf_files *files;
    uint32_t *todo; /* nodes to be decided: a stack */
    size_t todo_count;
};

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

mf_plan_node *mf_plan_at(mf_plan *plan, size_t i)
{
    return &plan->nodes[i];
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
        return mf_fail(MF_NO_MEMORY, "no memory for a plan");
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
        return mf_fail(MF_NO_MEMORY, "no memory for a plan");
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
            n->missing += input->count;
            edges += input->count;
            for (size_t k = 0; k < input->count; k++)
                plan->nodes[input->edges[k].node].consumer_count++;
        }
    }
    plan->consumers = calloc(edges ? edges : 1, sizeof *plan->consumers);
    if (!plan->consumers)
        return mf_fail(MF_NO_MEMORY, "no memory for a plan");
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

static void rank(mf_plan *plan)
{
    for (size_t i = plan->count; i-- > 0;) {
        mf_plan_node *n = &plan->nodes[i];
        double below = 0;
        for (size_t k = 0; k < n->consumer_count; k++) {
            double r = plan->nodes[n->consumers[k]].rank;
            below = r > below ? r : below;
        }
        n->rank = below + 1;
    }
}

static mf_file_use use_of(const mf_plan_node *n, size_t i)
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
        return mf_fail(MF_NO_MEMORY, "no memory for a plan");
    for (size_t i = 0; i < plan->count; i++) {
        const mf_plan_node *n = &plan->nodes[i];
        if (n->state == MF_PLAN_UNWANTED)
            continue;
        for (size_t k = 0; k < mf_params_path_count(n->node->params); k++)
            uses[at++] = use_of(n, k);
    }
    status = mf_files_new(plan->store, uses, count, plan->options.threads, &plan->files);
    free(uses);
    return status;
}

/* ---- deciding -------------------------------------------------------------------------------- */

static bool known(const mf_plan_node *n)
{
    return n->state == MF_PLAN_CACHED || n->state == MF_PLAN_DONE || n->state == MF_PLAN_RECIPE;
}

static void fill_element(mf_plan *plan, const mf_edge *edge, mf_element *e)
{
    const mf_plan_node *source = &plan->nodes[edge->node];

    e->id = source->outputs[edge->port].id;
    e->node = source->node->name;
    e->case_id = source->work.case_id;
    e->row = source->node->of_case;
    e->axes = source->work.axes;
    e->axis_count = source->work.axis_count;
}

/* Fills in what lies at the ports, without what skip_failed leaves out. False when that is all of a
 * port's elements. */
static bool fill_feeds(mf_plan *plan, mf_plan_node *n)
{
    for (size_t p = 0; p < n->work.feed_count; p++) {
        mf_feed *feed = &n->work.feeds[p];
        const mf_input *input = &n->node->inputs[p];
        if (!feed->elements) {
            feed->stream = input->count ? &plan->nodes[input->edges[0].node].work : NULL;
            continue;
        }
        size_t came = 0;
        feed->count = 0;
        for (size_t k = 0; k < input->count; k++) {
            if (mf_skip_has(plan, n, &input->edges[k]))
                continue;
            came++;
            fill_element(plan, &input->edges[k], &feed->elements[feed->count]);
            /* An optional output may have been left out. */
            feed->count += !plan->store || *feed->elements[feed->count].id;
        }
        if (input->count && !came)
            return mf_skip_none_left(plan, n, input);
    }
    return true;
}

static const char *path_digest(void *self, const mf_file_use *use)
{
    return mf_files_digest(self, use);
}

static mf_status make_state_key(mf_plan_node *n, const char *const *recipes, mf_key_source source)
{
    char *json;

    if (mf_params_base_json(n->work.params) == mf_params_json(n->work.params)) {
        memcpy(n->state_key, n->key, sizeof n->state_key);
        return MF_OK;
    }
    source.of_state = true;
    MF_TRY(mf_key_components(&n->work, recipes, &source, &json));
    mf_digest_hex(json, strlen(json), n->state_key);
    free(json);
    return MF_OK;
}

static mf_status make_key(mf_plan *plan, mf_plan_node *n)
{
    mf_key_source source = {path_digest, plan->files, plan->options.by_version};
    const char **recipes = calloc(n->work.feed_count ? n->work.feed_count : 1, sizeof *recipes);
    mf_status status;

    if (!recipes)
        return mf_fail(MF_NO_MEMORY, "no memory for a key");
    for (size_t p = 0; p < n->work.feed_count; p++) {
        if (n->work.feeds[p].stream)
            recipes[p] = plan->nodes[n->node->inputs[p].edges[0].node].components;
    }
    free(n->components);
    status = mf_key_components(&n->work, recipes, &source, &n->components);
    if (!status)
        mf_digest_hex(n->components, strlen(n->components), n->key);
    if (!status)
        status = make_state_key(n, recipes, source);
    free(recipes);
    return status;
}

/* Takes the outputs of a stored action over, if it has them all. */
static bool take_outputs(mf_plan_node *n, const mf_action *action)
{
    mf_port_type type;
    size_t found = 0;

    for (size_t i = 0; i < n->work.out_count; i++) {
        /* What is optional may have been left out, which is known then. */
        bool optional = mf_port_type_parse(n->node->stage->out[i].type, &type) && type.optional;
        n->outputs[i] = (mf_plan_output){.present = optional};
        found += optional;
    }
    for (size_t i = 0; i < action->output_count; i++) {
        int port = mf_port_find(n->node->stage->out, action->outputs[i].port);
        if (port < 0)
            continue;
        memcpy(n->outputs[port].id, action->outputs[i].id, MF_HEX_SIZE);
        found += !n->outputs[port].present;
        n->outputs[port].present = action->outputs[i].present;
    }
    n->seconds = action->seconds;
    return found == n->work.out_count;
}

static mf_status recall(mf_plan *plan, mf_plan_node *n)
{
    mf_outcome outcome;
    char *message;

    MF_TRY(mf_store_last_outcome(plan->store, n->node->name, n->key, &outcome, &message));
    if (outcome == MF_NODE_FAILED) {
        n->state = MF_PLAN_FAILED;
        free(n->message);
        n->message = message;
        message = NULL;
    }
    free(message);
    return MF_OK;
}

/* What nothing reads in this plan is what the user asked for: its data must be there. In between
 * it is enough to know what came out. */
static bool lacks_what_is_asked(const mf_plan_node *n)
{
    for (size_t i = 0; i < n->work.out_count && !n->consumer_count; i++)
        if (!n->outputs[i].present)
            return true;
    return false;
}

static mf_status look_up(mf_plan *plan, mf_plan_node *n)
{
    mf_action *action = NULL;

    n->state = MF_PLAN_TO_RUN;
    if (!plan->store || n->again)
        return MF_OK;
    MF_TRY(mf_store_find(plan->store, n->key, plan->options.same_device, &action));
    if (action && take_outputs(n, action) && !lacks_what_is_asked(n))
        n->state = MF_PLAN_CACHED;
    mf_action_free(action);
    if (n->state == MF_PLAN_TO_RUN && plan->options.recall_failures)
        return recall(plan, n);
    return MF_OK;
}

/* A port that has to be connected is, but to an optional output that was left out. */
static bool lacks_input(mf_plan_node *n)
{
    mf_port_type type;

    for (size_t p = 0; p < n->work.feed_count; p++) {
        const mf_feed *feed = &n->work.feeds[p];
        mf_status status;
        if (!feed->elements || feed->count || !n->node->inputs[p].count ||
            !mf_port_type_parse(feed->port->type, &type) || type.optional)
            continue;
        status = mf_fail(MF_NOT_FOUND, "%s came out without what port '%s' takes",
                         feed->elements[0].node, feed->port->name);
        n->state = MF_PLAN_FAILED;
        n->message = mf_error_text(status);
        mf_error_free(status);
        return true;
    }
    return false;
}

static bool unreadable_path(const mf_plan *plan, mf_plan_node *n)
{
    for (size_t i = 0; i < mf_params_path_count(n->node->params); i++) {
        const mf_file_use use = use_of(n, i);
        const mf_error *error = mf_files_error(plan->files, &use);
        if (error) {
            n->state = MF_PLAN_FAILED;
            n->message = mf_error_text(error);
            return true;
        }
    }
    return false;
}

static mf_status decide(mf_plan *plan, mf_plan_node *n)
{
    if (unreadable_path(plan, n))
        return MF_OK;
    MF_TRY(mf_skip_choose(plan, n));
    if (!fill_feeds(plan, n) || (plan->store && lacks_input(n)))
        return MF_OK;
    if (!plan->store) {
        n->state = n->node->stage->item ? MF_PLAN_RECIPE : MF_PLAN_TO_RUN;
        return MF_OK;
    }
    MF_TRY(mf_within(make_key(plan, n), "the key of %s", n->node->name));
    if (n->node->stage->item) {
        n->state = MF_PLAN_RECIPE;
        return MF_OK;
    }
    return look_up(plan, n);
}

/* Node i is known: what waits for it may be decided now. */
static void announce(mf_plan *plan, size_t i)
{
    mf_plan_node *n = &plan->nodes[i];

    for (size_t k = 0; k < n->consumer_count; k++) {
        mf_plan_node *c = &plan->nodes[n->consumers[k]];
        if (c->state == MF_PLAN_WAITING && --c->missing == 0)
            plan->todo[plan->todo_count++] = n->consumers[k];
    }
}

static void block_below(mf_plan *plan, size_t i, mf_plan_changed changed, void *self);

static mf_status decide_all(mf_plan *plan, mf_plan_changed changed, void *self)
{
    while (plan->todo_count) {
        size_t i = plan->todo[--plan->todo_count];
        mf_plan_node *n = &plan->nodes[i];
        MF_TRY(decide(plan, n));
        if (changed)
            changed(self, i);
        if (known(n))
            announce(plan, i);
        else if (n->state == MF_PLAN_FAILED || n->state == MF_PLAN_BLOCKED)
            block_below(plan, i, changed, self);
    }
    return MF_OK;
}

static mf_status walk(mf_plan *plan)
{
    mf_status status;

    for (size_t i = plan->count; i-- > 0;) {
        if (plan->nodes[i].state == MF_PLAN_WAITING && plan->nodes[i].missing == 0)
            plan->todo[plan->todo_count++] = (uint32_t)i;
    }
    if (!plan->store)
        return decide_all(plan, NULL, NULL);
    MF_TRY(mf_store_hold(plan->store));
    status = decide_all(plan, NULL, NULL);
    mf_store_release(plan->store);
    return status;
}

static mf_status build(mf_plan *plan, const bool *wanted)
{
    for (size_t i = 0; i < plan->count; i++)
        MF_TRY(init_node(&plan->nodes[i], mf_graph_node(plan->graph, i)));
    mark_wanted(plan, wanted);
    MF_TRY(link_consumers(plan));
    rank(plan);
    if (plan->store)
        MF_TRY(hash_files(plan));
    MF_TRY(walk(plan));
    for (size_t i = plan->count; i-- > 0;) {
        if (plan->nodes[i].state == MF_PLAN_TO_RUN)
            mf_plan_demand(plan, i);
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
        return mf_fail(MF_NO_MEMORY, "no memory for a plan");
    p->graph = graph;
    p->store = store;
    p->options = *options;
    p->count = mf_graph_node_count(graph);
    p->nodes = calloc(p->count ? p->count : 1, sizeof *p->nodes);
    p->todo = calloc(p->count ? p->count : 1, sizeof *p->todo);
    if (!p->nodes || !p->todo)
        status = mf_fail(MF_NO_MEMORY, "no memory for a plan of %zu nodes", p->count);
    else
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
    free(plan->todo);
    free(plan);
}

/* ---- data that is missing -------------------------------------------------------------------- */

/* Node i is no longer known: what was about to use it waits again. */
static void forget(mf_plan *plan, size_t i)
{
    mf_plan_node *n = &plan->nodes[i];

    for (size_t k = 0; k < n->consumer_count; k++) {
        size_t below = n->consumers[k];
        mf_plan_node *c = &plan->nodes[below];
        if (c->state == MF_PLAN_WAITING) {
            c->missing++; /* consumers hold one entry for each edge */
        } else if (c->state == MF_PLAN_TO_RUN || c->state == MF_PLAN_RECIPE) {
            bool stream = c->state == MF_PLAN_RECIPE;
            c->state = MF_PLAN_WAITING;
            c->missing = 1;
            if (stream)
                forget(plan, below);
        }
    }
}

/* Whether what node i reads is there; asks for it where it is not. */
static void demand_inputs(mf_plan *plan, size_t i)
{
    const mf_node *node = plan->nodes[i].node;

    for (size_t p = 0; p < node->input_count; p++) {
        for (size_t k = 0; k < node->inputs[p].count; k++) {
            const mf_edge *edge = &node->inputs[p].edges[k];
            mf_plan_node *source = &plan->nodes[edge->node];
            if (source->state == MF_PLAN_RECIPE) {
                demand_inputs(plan, edge->node);
            } else if (source->state == MF_PLAN_CACHED && !source->outputs[edge->port].present) {
                source->state = MF_PLAN_TO_RUN;
                source->again = true;
                forget(plan, edge->node);
                demand_inputs(plan, edge->node);
            }
        }
    }
}

void mf_plan_demand(mf_plan *plan, size_t i)
{
    demand_inputs(plan, i);
}

/* ---- as nodes end ---------------------------------------------------------------------------- */

mf_status mf_plan_done(mf_plan *plan, size_t i, mf_plan_changed changed, void *self)
{
    plan->nodes[i].state = MF_PLAN_DONE;
    plan->nodes[i].again = false;
    announce(plan, i);
    return decide_all(plan, changed, self);
}

/* Streams are no nodes to the user: of one that is blocked it is said why. */
static void block(mf_plan *plan, mf_plan_node *n, size_t i)
{
    const mf_plan_node *source = &plan->nodes[i];
    const char *name = source->node->name;
    int length;

    n->state = MF_PLAN_BLOCKED;
    free(n->message);
    if (source->node->stage->item && source->message)
        length = asprintf(&n->message, "needs %s, which %s", name, source->message);
    else if (mf_skip_could(plan, n, i))
        length =
            asprintf(&n->message, "needs %s; 'skip_failed: true' at '%s' would go on without it",
                     name, n->node->label);
    else
        length = asprintf(&n->message, "needs %s", name);
    if (length < 0)
        n->message = NULL;
}

/* Node i failed or is blocked, and so is what needs it. What can do without waits for one less. */
static void block_below(mf_plan *plan, size_t i, mf_plan_changed changed, void *self)
{
    for (size_t k = 0; k < plan->nodes[i].consumer_count; k++) {
        size_t below = plan->nodes[i].consumers[k];
        mf_plan_node *c = &plan->nodes[below];
        if (c->state != MF_PLAN_WAITING)
            continue;
        if (mf_skip_may(plan, c, i)) {
            if (--c->missing == 0)
                plan->todo[plan->todo_count++] = (uint32_t)below;
            continue;
        }
        block(plan, c, i);
        if (changed)
            changed(self, below);
        block_below(plan, below, changed, self);
    }
}

mf_status mf_plan_failed(mf_plan *plan, size_t i, mf_plan_changed changed, void *self)
{
    block_below(plan, i, changed, self);
    return decide_all(plan, changed, self);
}

mf_status mf_plan_look_again(mf_plan *plan, size_t i, mf_plan_changed changed, void *self)
{
    mf_plan_node *n = &plan->nodes[i];

    n->again = false;
    MF_TRY(look_up(plan, n));
    if (n->state != MF_PLAN_CACHED)
        return MF_OK;
    if (changed)
        changed(self, i);
    announce(plan, i);
    return decide_all(plan, changed, self);
}
