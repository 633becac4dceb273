/* why.c - comparing the stored components of two keys. */
#include "run/plan/why.h"

#include <massflow/memory.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mf_changes_clear(mf_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        free(changes->items[i].name);
        free(changes->items[i].before);
        free(changes->items[i].after);
    }
    free(changes->items);
    memset(changes, 0, sizeof *changes);
}

static bool is_id(const char *text)
{
    return strlen(text) == MF_HEX_SIZE - 1 && strspn(text, "0123456789abcdef") == MF_HEX_SIZE - 1;
}

/* As a user would write the value; ids shortened. NULL for none. */
static char *words(json_object *value)
{
    char *text = NULL;

    if (!value)
        return NULL;
    if (json_object_is_type(value, json_type_object)) {
        json_object *stage, *artifact;
        if (json_object_object_get_ex(value, "artifact", &artifact))
            return words(artifact);
        if (json_object_object_get_ex(value, "stage", &stage))
            return words(stage);
    }
    if (json_object_is_type(value, json_type_string)) {
        const char *s = json_object_get_string(value);
        if (asprintf(&text, "%.*s", is_id(s) ? 12 : (int)strlen(s), s) < 0)
            return NULL;
        return text;
    }
    return strdup(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN));
}

static mf_status add(mf_changes *changes, const char *prefix, const char *kind, const char *name,
                     json_object *before, json_object *after)
{
    mf_change *c;

    mf_change *grown = mf_list_more(changes->items, changes->count, sizeof *grown);
    if (!grown)
        return mf_no_memory(0, "comparing keys");
    changes->items = grown;
    c = &changes->items[changes->count];
    if (asprintf(&c->name, "%s%s%s%s", prefix, kind, *kind ? " " : "", name) < 0)
        return mf_no_memory(0, "comparing keys");
    c->before = words(before);
    c->after = words(after);
    changes->count++;
    return MF_OK;
}

static bool same(json_object *a, json_object *b)
{
    return a == b || (a && b && json_object_equal(a, b));
}

static json_object *member(json_object *o, const char *name)
{
    json_object *value = NULL;

    if (json_object_is_type(o, json_type_object))
        json_object_object_get_ex(o, name, &value);
    return value;
}

/* The case that an element of a keyed port is of; NULL where the stage is not told. */
static const char *case_of(json_object *element)
{
    return json_object_get_string(member(element, "case"));
}

/* "texts[2]", or "texts[case=b]" where the stage is told the case. */
static void name_element(const char *port, size_t i, json_object *element, char text[256])
{
    const char *id = case_of(element);

    if (id && *id)
        snprintf(text, 256, "%s[case=%s]", port, id);
    else
        snprintf(text, 256, "%s[%zu]", port, i);
}

/* Columns of one element's case. */
static mf_status compare_columns(mf_changes *changes, const char *prefix, const char *name,
                                 json_object *before, json_object *after)
{
    json_object *a = member(before, "columns"), *b = member(after, "columns");
    char text[512];

    if (b) {
        json_object_object_foreach(b, column, value)
        {
            if (same(member(a, column), value))
                continue;
            snprintf(text, sizeof text, "column %s of input %s", column, name);
            MF_TRY(add(changes, prefix, "", text, member(a, column), value));
        }
    }
    if (a) {
        json_object_object_foreach(a, column, value)
        {
            if (member(b, column))
                continue;
            snprintf(text, sizeof text, "column %s of input %s", column, name);
            MF_TRY(add(changes, prefix, "", text, value, NULL));
        }
    }
    return MF_OK;
}

/* One artifact at a port: an id, or, where the stage is told of the case, an object. */
static mf_status compare_elements(mf_changes *changes, const char *prefix, const char *name,
                                  json_object *before, json_object *after)
{
    json_object *a = member(before, "artifact"), *b = member(after, "artifact");
    char text[320];

    if (same(before, after))
        return MF_OK;
    if (!a || !b)
        return add(changes, prefix, "input", name, before, after);
    if (!same(member(before, "case"), member(after, "case"))) {
        snprintf(text, sizeof text, "case of input %s", name);
        MF_TRY(add(changes, prefix, "", text, member(before, "case"), member(after, "case")));
    }
    if (!same(a, b))
        MF_TRY(add(changes, prefix, "input", name, a, b));
    return compare_columns(changes, prefix, name, before, after);
}

static mf_status count_elements(mf_changes *changes, const char *prefix, const char *name,
                                size_t before, size_t after)
{
    json_object *a = json_object_new_int64((int64_t)before);
    json_object *b = json_object_new_int64((int64_t)after);
    char text[256];
    mf_status status;

    snprintf(text, sizeof text, "elements of input %s", name);
    status = add(changes, prefix, "", text, a, b);
    json_object_put(a);
    json_object_put(b);
    return status;
}

/* Finds for each element of `list` an element of `others` of the same case that no other element
 * has found; SIZE_MAX where there is none. Lists are in order of case, so the search goes on where
 * the last one ended. */
static void match_cases(json_object *list, json_object *others, size_t *match, bool *taken)
{
    size_t count = json_object_array_length(others), next = 0;

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        const char *id = case_of(json_object_array_get_idx(list, i));
        match[i] = SIZE_MAX;
        for (size_t k = 0; k < count && id && match[i] == SIZE_MAX; k++) {
            size_t at = (next + k) % count;
            const char *other = case_of(json_object_array_get_idx(others, at));
            if (!taken[at] && other && !strcmp(id, other))
                match[i] = at;
        }
        if (match[i] == SIZE_MAX)
            continue;
        taken[match[i]] = true;
        next = match[i] + 1;
    }
}

/* An element that has no partner of its case: renamed where one with its content is left over. */
static size_t same_content(json_object *element, json_object *others, const bool *taken)
{
    for (size_t k = 0; k < json_object_array_length(others); k++) {
        json_object *other = json_object_array_get_idx(others, k);
        if (!taken[k] && same(member(element, "artifact"), member(other, "artifact")))
            return k;
    }
    return SIZE_MAX;
}

static mf_status compare_cases(mf_changes *changes, const char *prefix, const char *name,
                               json_object *before, json_object *after)
{
    size_t old = json_object_array_length(before), new = json_object_array_length(after);
    size_t *match = calloc(new ? new : 1, sizeof *match);
    bool *taken = calloc(old ? old : 1, sizeof *taken);
    mf_status status = MF_OK;
    char text[256];

    if (!match || !taken)
        status = mf_no_memory(0, "comparing keys");
    else
        match_cases(after, before, match, taken);
    for (size_t i = 0; i < new && !status; i++) {
        json_object *b = json_object_array_get_idx(after, i), *a = NULL;
        if (match[i] == SIZE_MAX)
            match[i] = same_content(b, before, taken);
        if (match[i] != SIZE_MAX) {
            a = json_object_array_get_idx(before, match[i]);
            taken[match[i]] = true;
        }
        name_element(name, i, b, text);
        status = compare_elements(changes, prefix, text, a, b);
    }
    for (size_t k = 0; k < old && !status; k++) {
        json_object *a = json_object_array_get_idx(before, k);
        name_element(name, k, a, text);
        if (!taken[k])
            status = compare_elements(changes, prefix, text, a, NULL);
    }
    free(match);
    free(taken);
    return status;
}

/* Elements of an input list: which cases; without cases which places, where there are as many as
 * before. */
static mf_status compare_lists(mf_changes *changes, const char *prefix, const char *name,
                               json_object *before, json_object *after)
{
    size_t count = json_object_array_length(before);
    size_t now = json_object_array_length(after);
    char text[256];

    if (count != now)
        MF_TRY(count_elements(changes, prefix, name, count, now));
    if (case_of(json_object_array_get_idx(count ? before : after, 0)))
        return compare_cases(changes, prefix, name, before, after);
    for (size_t i = 0; i < count && count == now; i++) {
        json_object *a = json_object_array_get_idx(before, i);
        json_object *b = json_object_array_get_idx(after, i);
        name_element(name, i, b, text);
        MF_TRY(compare_elements(changes, prefix, text, a, b));
    }
    return MF_OK;
}

static mf_status compare_keys(mf_changes *changes, const char *prefix, json_object *before,
                              json_object *after);

static mf_status compare_member(mf_changes *changes, const char *prefix, const char *group,
                                const char *name, json_object *before, json_object *after)
{
    char deeper[512];

    if (same(before, after))
        return MF_OK;
    if (strcmp(group, "inputs"))
        return add(changes, prefix, strcmp(group, "params") ? "content of" : "parameter", name,
                   before, after);
    if (json_object_is_type(before, json_type_array) && json_object_is_type(after, json_type_array))
        return compare_lists(changes, prefix, name, before, after);
    if (json_object_is_type(before, json_type_object) &&
        json_object_object_get_ex(before, "stage", NULL) &&
        json_object_is_type(after, json_type_object) &&
        json_object_object_get_ex(after, "stage", NULL)) {
        snprintf(deeper, sizeof deeper, "%sinput %s: ", prefix, name);
        return compare_keys(changes, deeper, before, after);
    }
    return compare_elements(changes, prefix, name, before, after);
}

static mf_status compare_group(mf_changes *changes, const char *prefix, const char *group,
                               json_object *before, json_object *after)
{
    if (after) {
        json_object_object_foreach(after, name, value)
        {
            json_object *old = NULL;
            if (before)
                json_object_object_get_ex(before, name, &old);
            MF_TRY(compare_member(changes, prefix, group, name, old, value));
        }
    }
    if (before) {
        json_object_object_foreach(before, name, value)
        {
            if (!after || !json_object_object_get_ex(after, name, NULL))
                MF_TRY(compare_member(changes, prefix, group, name, value, NULL));
        }
    }
    return MF_OK;
}

static mf_status compare_keys(mf_changes *changes, const char *prefix, json_object *before,
                              json_object *after)
{
    static const char *const groups[] = {"params", "paths", "inputs"};
    static const char *const single[] = {"stage", "code", "numerics", "format", "case"};

    for (size_t i = 0; i < sizeof single / sizeof *single; i++) {
        json_object *a = NULL, *b = NULL;
        json_object_object_get_ex(before, single[i], &a);
        json_object_object_get_ex(after, single[i], &b);
        if (!same(a, b))
            MF_TRY(add(changes, prefix, "", single[i], a, b));
    }
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        json_object *a = NULL, *b = NULL;
        json_object_object_get_ex(before, groups[i], &a);
        json_object_object_get_ex(after, groups[i], &b);
        MF_TRY(compare_group(changes, prefix, groups[i], a, b));
    }
    return MF_OK;
}

mf_status mf_changes_between(const char *before, const char *after, mf_changes *changes)
{
    json_object *a = json_tokener_parse(before);
    json_object *b = json_tokener_parse(after);
    mf_status status;

    if (json_object_is_type(a, json_type_object) && json_object_is_type(b, json_type_object))
        status = compare_keys(changes, "", a, b);
    else
        status = mf_fail(MF_CORRUPT, "the components of a key are no JSON object");
    json_object_put(a);
    json_object_put(b);
    return status;
}

/* ---- one node -------------------------------------------------------------------------------- */

void mf_why_clear(mf_why *why)
{
    mf_changes_clear(&why->changes);
    free(why->other);
    memset(why, 0, sizeof *why);
}

/* The node is known by its key, but not taken: what made it was another kind of device. */
static mf_status other_device(mf_plan *plan, const mf_plan_node *n, mf_why *why)
{
    mf_action *made = NULL;
    bool whole = true;

    if (!mf_plan_get_options(plan)->same_device)
        return MF_OK;
    MF_TRY(mf_store_find(mf_plan_store(plan), n->key, NULL, &made));
    for (size_t i = 0; made && i < made->output_count; i++)
        whole = whole && made->outputs[i].present;
    if (made && whole && *made->device) {
        why->kind = MF_WHY_DEVICE;
        why->other = strdup(made->device);
        if (!why->other) {
            mf_action_free(made);
            return mf_no_memory(0, "comparing keys");
        }
    }
    mf_action_free(made);
    return MF_OK;
}

static mf_status compare_past(mf_plan *plan, const char *graph, const char *node,
                              const mf_plan_node *n, mf_changes *changes, size_t *found, bool *same)
{
    mf_action **past = NULL;
    size_t count = 0, k = 0;
    mf_status status = MF_OK;

    MF_TRY(mf_store_node_actions(mf_plan_store(plan), graph, node, 2, &past, &count));
    *found = count;
    *same = count && !strcmp(past[0]->key, n->key);
    while (k < count && !strcmp(past[k]->key, n->key))
        k++;
    if (k < count && past[k]->components && n->components)
        status = mf_changes_between(past[k]->components, n->components, changes);
    mf_action_list_free(past, count);
    return status;
}

static bool in_graph(const mf_plan *plan, const char *name)
{
    mf_target target;
    mf_status status = mf_graph_target(mf_plan_graph(plan), name, &target);

    if (!status)
        return true;
    mf_error_free(status);
    return false;
}

/* The earlier node of this stage that differs least, for a node that is new. Those that the graph
 * does not have any more come first: one of them may have been renamed. */
static mf_status nearest(mf_plan *plan, const char *graph, const mf_plan_node *n, char **names,
                         size_t count, mf_why *why)
{
    bool gone = false;

    for (size_t i = 0; i < count; i++) {
        mf_changes changes = {0};
        bool left = !in_graph(plan, names[i]), same_key;
        size_t found;
        mf_status status = compare_past(plan, graph, names[i], n, &changes, &found, &same_key);
        bool better = !status && found && !same_key && (left || !gone) &&
                      (!why->other || (left && !gone) || changes.count < why->changes.count);
        if (!better) {
            mf_changes_clear(&changes);
            MF_TRY(status);
            continue;
        }
        mf_why_kind kind = why->kind;
        mf_why_clear(why);
        *why = (mf_why){kind, changes, strdup(names[i])};
        gone = left;
        if (!why->other)
            return mf_no_memory(0, "comparing keys");
    }
    if (gone && why->changes.count == 1 && !strcmp(why->changes.items[0].name, "case"))
        why->kind = MF_WHY_RENAMED;
    return MF_OK;
}

/* Earlier nodes that a new one is compared with, at most. */
#define SIBLINGS 50

static mf_status new_node(mf_plan *plan, const char *graph, const mf_plan_node *n, mf_why *why)
{
    char **names = NULL;
    size_t count = 0;
    bool ran = false;
    mf_status status = mf_store_past_nodes(mf_plan_store(plan), graph, n->node->label, SIBLINGS,
                                           &names, &count, &ran);

    why->kind = count ? MF_WHY_NEW_NODE : ran ? MF_WHY_NEW_STAGE : MF_WHY_NEW;
    if (!status)
        status = nearest(plan, graph, n, names, count, why);
    mf_name_list_free(names, count);
    return status;
}

mf_status mf_why_node(mf_plan *plan, size_t i, const char *graph, mf_why *why)
{
    const mf_plan_node *n = mf_plan_at(plan, i);
    bool cached = n->state == MF_PLAN_CACHED || n->state == MF_PLAN_DONE, same_key;
    size_t count;

    memset(why, 0, sizeof *why);
    if (cached)
        why->kind = MF_WHY_SAME;
    if (n->state == MF_PLAN_WAITING)
        return MF_OK;
    if (!mf_plan_store(plan)) {
        why->kind = MF_WHY_NEW;
        return MF_OK;
    }
    MF_TRY(compare_past(plan, graph, n->node->name, n, &why->changes, &count, &same_key));
    if (cached)
        return MF_OK;
    if (!same_key)
        MF_TRY(mf_store_node_used(mf_plan_store(plan), graph, n->node->name, n->key, &same_key));
    if (n->again)
        why->kind = mf_why_needs(plan, i) < mf_plan_count(plan) ? MF_WHY_DROPPED : MF_WHY_MISSING;
    else
        why->kind = same_key ? MF_WHY_MISSING : MF_WHY_CHANGED;
    if (why->kind == MF_WHY_MISSING && n->work.anew)
        why->kind = MF_WHY_ANEW;
    else if (!n->again)
        MF_TRY(other_device(plan, n, why));
    if (why->kind == MF_WHY_CHANGED)
        return count ? MF_OK : new_node(plan, graph, n, why);
    mf_changes_clear(&why->changes); /* nothing that counts */
    return MF_OK;
}

size_t mf_why_needs(mf_plan *plan, size_t i)
{
    const mf_plan_node *n = mf_plan_at(plan, i);

    for (size_t k = 0; k < n->consumer_count; k++) {
        const mf_plan_node *c = mf_plan_at(plan, n->consumers[k]);
        if (c->state == MF_PLAN_TO_RUN)
            return n->consumers[k];
        if (c->state == MF_PLAN_RECIPE && mf_why_needs(plan, n->consumers[k]) < mf_plan_count(plan))
            return mf_why_needs(plan, n->consumers[k]);
    }
    return mf_plan_count(plan);
}

size_t mf_why_above(mf_plan *plan, size_t i)
{
    const mf_node *node = mf_plan_at(plan, i)->node;

    for (size_t p = 0; p < node->input_count; p++) {
        for (size_t k = 0; k < node->inputs[p].count; k++) {
            size_t above = node->inputs[p].edges[k].node, further;
            const mf_plan_node *source = mf_plan_at(plan, above);
            if (source->known)
                continue;
            if (source->state == MF_PLAN_TO_RUN || source->state == MF_PLAN_FAILED)
                return above;
            if (source->state != MF_PLAN_WAITING)
                continue;
            further = mf_why_above(plan, above);
            if (further < mf_plan_count(plan))
                return further;
        }
    }
    return mf_plan_count(plan);
}
