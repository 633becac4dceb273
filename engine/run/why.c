/* why.c - comparing the stored components of two keys. */
#include "run/why.h"

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

    if (changes->count == changes->room) {
        size_t room = changes->room ? 2 * changes->room : 8;
        mf_change *grown = realloc(changes->items, room * sizeof *grown);
        if (!grown)
            return mf_fail(MF_NO_MEMORY, "no memory to compare keys");
        changes->items = grown;
        changes->room = room;
    }
    c = &changes->items[changes->count];
    if (asprintf(&c->name, "%s%s%s%s", prefix, kind, *kind ? " " : "", name) < 0)
        return mf_fail(MF_NO_MEMORY, "no memory to compare keys");
    c->before = words(before);
    c->after = words(after);
    changes->count++;
    return MF_OK;
}

static bool same(json_object *a, json_object *b)
{
    return a == b || (a && b && json_object_equal(a, b));
}

/* Elements of an input list: which ones, where there are as many as before. */
static mf_status compare_lists(mf_changes *changes, const char *prefix, const char *name,
                               json_object *before, json_object *after)
{
    size_t count = json_object_array_length(before);
    char text[256];

    if (count != json_object_array_length(after)) {
        json_object *a = json_object_new_int64((int64_t)count);
        json_object *b = json_object_new_int64((int64_t)json_object_array_length(after));
        mf_status status;
        snprintf(text, sizeof text, "elements of input %s", name);
        status = add(changes, prefix, "", text, a, b);
        json_object_put(a);
        json_object_put(b);
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        json_object *a = json_object_array_get_idx(before, i);
        json_object *b = json_object_array_get_idx(after, i);
        if (same(a, b))
            continue;
        snprintf(text, sizeof text, "%s[%zu]", name, i);
        MF_TRY(add(changes, prefix, "input", text, a, b));
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
    if (strcmp(group, "inputs") != 0)
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
    return add(changes, prefix, "input", name, before, after);
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

mf_status mf_why_node(mf_plan *plan, size_t i, const char *graph, mf_why_kind *kind,
                      mf_changes *changes)
{
    const mf_plan_node *n = mf_plan_at(plan, i);
    mf_action **past = NULL;
    size_t count = 0, k = 0;
    mf_status status = MF_OK;

    *kind = MF_WHY_UNKNOWN;
    if (n->state == MF_PLAN_CACHED || n->state == MF_PLAN_DONE)
        *kind = MF_WHY_SAME;
    if (!n->again && n->state == MF_PLAN_WAITING)
        return MF_OK;
    if (!mf_plan_store(plan)) {
        *kind = MF_WHY_NEW;
        return MF_OK;
    }
    MF_TRY(mf_store_node_actions(mf_plan_store(plan), graph, n->node->name, 2, &past, &count));
    if (*kind != MF_WHY_SAME)
        *kind = n->again ? MF_WHY_MISSING : count ? MF_WHY_CHANGED : MF_WHY_NEW;
    if (*kind == MF_WHY_CHANGED && strcmp(past[0]->key, n->key) == 0)
        *kind = MF_WHY_MISSING;
    while (k < count && strcmp(past[k]->key, n->key) == 0)
        k++;
    if (k < count && past[k]->components && n->components)
        status = mf_changes_between(past[k]->components, n->components, changes);
    mf_action_list_free(past, count);
    return status;
}

size_t mf_why_above(mf_plan *plan, size_t i)
{
    const mf_node *node = mf_plan_at(plan, i)->node;

    for (size_t p = 0; p < node->input_count; p++) {
        for (size_t k = 0; k < node->inputs[p].count; k++) {
            size_t above = node->inputs[p].edges[k].node, further;
            const mf_plan_node *source = mf_plan_at(plan, above);
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
