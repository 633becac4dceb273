/* decide.c - one node, whose inputs are known: its key, and what is stored of it. */
#include "run/plan/key.h"
#include "run/plan/plan_private.h"
#include "run/plan/skip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the key --------------------------------------------------------------------------------- */

static void fill_element(mf_plan *plan, const mf_edge *edge, mf_element *e)
{
    const mf_plan_node *source = &plan->nodes[edge->node];

    /* A copy: who runs keeps what it has begun with. */
    memcpy(e->id, source->outputs[edge->port].id, sizeof e->id);
    e->node = source->node->name;
    e->case_id = source->work.case_id;
    e->row = source->node->of_case;
    e->axes = source->work.axes;
    e->axis_count = source->work.axis_count;
}

/* Fills in what lies at the ports, without what skip_failed leaves out. The input of which that is
 * all, or NULL. */
static const mf_input *fill_feeds(mf_plan *plan, mf_plan_node *n)
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
            return input;
    }
    return NULL;
}

void mf_plan_preview(mf_plan *plan, size_t i)
{
    mf_plan_node *n = &plan->nodes[i];

    for (size_t p = 0; p < n->work.feed_count; p++) {
        mf_feed *feed = &n->work.feeds[p];
        const mf_input *input = &n->node->inputs[p];
        if (!feed->elements)
            feed->stream = input->count ? &plan->nodes[input->edges[0].node].work : NULL;
        for (size_t k = 0; feed->elements && k < input->count; k++)
            fill_element(plan, &input->edges[k], &feed->elements[k]);
        if (feed->elements)
            feed->count = input->count;
    }
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
        return mf_no_memory(0, "a key");
    for (size_t p = 0; p < n->work.feed_count; p++) {
        if (n->work.feeds[p].stream)
            recipes[p] = plan->nodes[n->node->inputs[p].edges[0].node].components;
    }
    free(n->components);
    status = mf_key_components(&n->work, recipes, &source, &n->components);
    if (!status) {
        mf_digest_hex(n->components, strlen(n->components), n->key);
        mf_twins_put(&plan->twins, (size_t)(n - plan->nodes), n->key);
    }
    if (!status)
        status = make_state_key(n, recipes, source);
    free(recipes);
    return status;
}

/* ---- what is stored -------------------------------------------------------------------------- */

/* The outputs of a stored action by port. False where it has not all of them, or, with `whole`, not
 * the data of all of them. */
static bool take_outputs(const mf_plan_node *n, const mf_action *action, bool whole,
                         mf_plan_output *outputs)
{
    mf_port_type type;
    size_t found = 0;

    for (size_t i = 0; i < n->work.out_count; i++) {
        /* What is optional may have been left out, which is known then. */
        bool optional = mf_port_type_parse(n->node->stage->out[i].type, &type) && type.optional;
        outputs[i] = (mf_plan_output){.present = optional};
        found += optional;
    }
    for (size_t i = 0; i < action->output_count; i++) {
        int port = mf_port_find(n->node->stage->out, action->outputs[i].port);
        if (port < 0)
            continue;
        if (*outputs[port].id || action->outputs[i].position)
            return false; /* massflow records one for a port */
        memcpy(outputs[port].id, action->outputs[i].id, MF_HEX_SIZE);
        found += !outputs[port].present;
        outputs[port].present = action->outputs[i].present;
        if (whole && !outputs[port].present)
            return false;
    }
    return found == n->work.out_count;
}

mf_status mf_plan__look_up(mf_plan *plan, mf_plan_node *n, bool whole, bool *found)
{
    mf_action *action = NULL;
    mf_plan_output *outputs = calloc(n->work.out_count + 1, sizeof *outputs);
    mf_status status;

    *found = false;
    if (!outputs)
        return mf_no_memory(0, "a plan");
    if (n->work.anew) { /* whatever is stored is not what is asked for */
        free(outputs);
        return MF_OK;
    }
    status = mf_store_find(plan->store, n->key, plan->options.same_device, &action);
    *found = !status && action && take_outputs(n, action, whole, outputs);
    if (*found) {
        n->seconds = action->seconds;
        n->again = false;
        n->imported = action->import != 0;
        mf_plan__know(plan, n, outputs);
        mf_plan__set(plan, n, MF_PLAN_CACHED);
    }
    mf_action_free(action);
    free(outputs);
    return status;
}

/* What failed when it was last run; *message stays NULL where it did not. */
static mf_status recall(mf_plan *plan, mf_plan_node *n, bool *failed, char **message)
{
    mf_outcome outcome;

    MF_TRY(mf_store_last_outcome(plan->store, n->node->name, n->key, &outcome, message));
    *failed = outcome == MF_NODE_FAILED;
    if (!*failed) {
        free(*message);
        *message = NULL;
    }
    return MF_OK;
}

static mf_status look_up(mf_plan *plan, mf_plan_node *n)
{
    bool found, failed = false;
    char *message = NULL;

    n->known = n->again = false;
    MF_TRY(mf_plan__look_up(plan, n, false, &found));
    if (found)
        return MF_OK;
    if (plan->options.recall_failures)
        MF_TRY(recall(plan, n, &failed, &message));
    if (failed)
        mf_plan__lose(plan, n, MF_PLAN_FAILED, false, message);
    else
        mf_plan__set(plan, n, MF_PLAN_TO_RUN);
    return MF_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* A port that has to be connected is, but to an optional output that was left out. */
static char *lacks_input(const mf_plan_node *n)
{
    mf_port_type type;

    for (size_t p = 0; p < n->work.feed_count; p++) {
        const mf_feed *feed = &n->work.feeds[p];
        mf_status status;
        char *text;
        if (!feed->elements || feed->count || !n->node->inputs[p].count ||
            !mf_port_type_parse(feed->port->type, &type) || type.optional)
            continue;
        status = mf_fail(MF_NOT_FOUND, "%s did not produce the input of port '%s'",
                         feed->elements[0].node, feed->port->name);
        text = mf_error_text(status);
        mf_error_free(status);
        return text ? text : strdup("out of memory");
    }
    return NULL;
}

static const mf_error *unreadable_path(const mf_plan *plan, const mf_plan_node *n)
{
    for (size_t i = 0; i < mf_params_path_count(n->node->params); i++) {
        const mf_file_use use = mf_plan__use(n, i);
        const mf_error *error = mf_files_error(plan->files, &use);
        if (error)
            return error;
    }
    return NULL;
}

/* Its inputs are filled in: by its key. */
static mf_status decide_by_key(mf_plan *plan, mf_plan_node *n)
{
    char key[MF_HEX_SIZE];
    bool decided = n->state != MF_PLAN_WAITING, same;

    memcpy(key, n->key, sizeof key);
    MF_TRY(mf_within(make_key(plan, n), "the key of %s", n->node->name));
    same = decided && !strcmp(key, n->key);
    if (same)
        return MF_OK; /* as it is: also where it has run just now */
    n->turn++;
    n->elsewhere = false;
    if (!n->node->stage->item)
        return look_up(plan, n);
    n->known = true;
    mf_plan__set(plan, n, MF_PLAN_RECIPE);
    mf_plan__renew(plan, n);
    return MF_OK;
}

mf_status mf_plan__decide(mf_plan *plan, mf_plan_node *n, bool data)
{
    const mf_error *error = unreadable_path(plan, n);
    const mf_input *empty;
    char *text;

    n->stale = false;
    n->waits = NULL;
    for (size_t k = 0; k < n->consumer_count; k++)
        mf_plan__touch(plan, n->consumers[k]); /* they may have waited for just that */
    if (error) {
        mf_plan__lose(plan, n, MF_PLAN_FAILED, false, mf_error_text(error));
        return MF_OK;
    }
    MF_TRY(mf_skip_choose(plan, n, data));
    empty = fill_feeds(plan, n);
    if (empty) {
        mf_plan__lose(plan, n, MF_PLAN_BLOCKED, false, mf_skip_none_left(plan, empty));
        return MF_OK;
    }
    text = plan->store ? lacks_input(n) : NULL;
    if (text) {
        mf_plan__lose(plan, n, MF_PLAN_FAILED, false, text);
        return MF_OK;
    }
    if (plan->store)
        return decide_by_key(plan, n);
    n->turn++;
    n->known = n->node->stage->item != NULL;
    mf_plan__set(plan, n, n->known ? MF_PLAN_RECIPE : MF_PLAN_TO_RUN);
    return MF_OK;
}
