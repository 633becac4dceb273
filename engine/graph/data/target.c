/* target.c - parts of a loaded graph by name: "stage", "stage[case=012,shots=5]", either with
 * ".port", which may stand before the brackets as it does in a graph file. */
#include "graph/data/combine.h"
#include "graph/data/graph_private.h"
#include "graph/data/lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN 256

static mf_status no_stage(const mf_graph *g, const mf_graph *in, const char *label)
{
    const char *near = mf__near_source(g, in, label);
    if (near)
        return mf_fail(MF_NOT_FOUND, "%s has no stage '%s'; did you mean '%s'?", in->path, label,
                       near);
    return mf_fail(MF_NOT_FOUND, "%s has no stage '%s'", in->path, label);
}

static mf_status no_case(const mf_graph *g, const char *id)
{
    const char **all = calloc(g->case_count + 1, sizeof *all);
    const char *near = NULL;
    for (size_t i = 0; all && i < g->case_count; i++)
        all[i] = g->cases[i].id;
    if (all && g->case_count < 100000)
        near = mf_nearest(id, all, g->case_count);
    free(all);
    if (near)
        return mf_fail(MF_NOT_FOUND, "%s has no case '%s'; did you mean '%s'?", g->path, id, near);
    return mf_fail(MF_NOT_FOUND, "%s has no case '%s'", g->path, id);
}

/* Index of a case, or NAME_NONE; cases are sorted. */
static uint32_t find_case(const mf_graph *g, const char *id)
{
    size_t low = 0, high = g->case_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(g->cases[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < g->case_count && !strcmp(g->cases[low].id, id) ? (uint32_t)low : NAME_NONE;
}

/* "case=ID,shots=VALUE" */
static const char *axis_pattern(const stage_def *def, char text[PATTERN])
{
    size_t length = 0;
    strcpy(text, def->axes ? "" : "case=ID");
    for (uint32_t i = 0; i < def->graph->axis_count && length < PATTERN; i++)
        if (def->axes >> i & 1)
            length +=
                (size_t)snprintf(text + length, PATTERN - length, "%s%s=%s", length ? "," : "",
                                 def->graph->axes[i].name, i ? "VALUE" : "ID");
    return text;
}

static mf_status no_axis(const stage_def *def, const char *name)
{
    const char *all[MOST_AXES];
    char pattern[PATTERN];
    size_t count = 0;
    for (uint32_t i = 0; i < def->graph->axis_count; i++)
        if (def->axes >> i & 1)
            all[count++] = def->graph->axes[i].name;
    const char *near = mf_nearest(name, all, count);
    if (!count)
        return mf_fail(MF_INVALID, "'%s' is one node; it has no axes", def->label);
    if (near)
        return mf_fail(MF_INVALID, "'%s' has no axis '%s'; did you mean '%s'?", def->label, name,
                       near);
    return mf_fail(MF_INVALID, "'%s' has no axis '%s'; a node of it is '%s[%s]'", def->label, name,
                   def->label, axis_pattern(def, pattern));
}

static uint32_t find_value(const axis *a, const char *text)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (!strcmp(a->values[i], text))
            return i;
    return NAME_NONE;
}

static mf_status no_value(const axis *a, const char *text)
{
    const char *near = mf_nearest(text, a->values, a->count);
    mf_text list = {0};
    mf_status status;
    for (uint32_t i = 0; i < a->count && i < 12; i++)
        mf_text_add(&list, "%s%s", i ? ", " : "", a->values[i]);
    mf_text_add(&list, "%s", a->count > 12 ? ", ..." : "");
    if (near)
        status = mf_fail(MF_NOT_FOUND, "axis '%s' has no value '%s'; did you mean '%s'?", a->name,
                         text, near);
    else
        status = mf_fail(MF_NOT_FOUND, "axis '%s' has no value '%s'; it has %s", a->name, text,
                         list.data);
    free(list.data);
    return status;
}

/* "axis=value". *at is the value's place in the axis. */
static mf_status choose_value(const stage_def *def, char *text, mf_target *target, uint32_t *at)
{
    const mf_graph *g = def->graph;
    char *value = strchr(text, '='), pattern[PATTERN];
    if (!value)
        return mf_fail(MF_INVALID, "a node is named as in '%s[%s]', not '%s[%s]'", def->label,
                       axis_pattern(def, pattern), def->label, text);
    *value++ = 0;
    uint32_t index = mf__find_axis(g, text), place = 0;
    if (index == 0 && !(def->axes & CASE))
        return mf_fail(MF_INVALID, "'%s' is not per case", def->label);
    if (index == NAME_NONE || !(def->axes >> index & 1))
        return no_axis(def, text);
    uint32_t v = index ? find_value(&g->axes[index], value) : find_case(g, value);
    if (v == NAME_NONE)
        return index ? no_value(&g->axes[index], value) : no_case(g, value);
    place = (uint32_t)__builtin_popcount(def->axes & ((1u << index) - 1));
    if (target->chosen >> place & 1)
        return mf_fail(MF_INVALID, "the axis '%s' is there twice", text);
    target->chosen |= 1u << place;
    target->value[place] = g->axes[index].values[v];
    at[index] = v;
    return MF_OK;
}

static mf_status left_out(const stage_def *def, const mf_target *target)
{
    mf_text t = {0};
    for (uint32_t i = 0, place = 0; i < def->graph->axis_count; i++) {
        if (!(def->axes >> i & 1))
            continue;
        if (target->chosen >> place & 1)
            mf_text_add(&t, "%s%s=%s", t.length ? "," : "", def->graph->axes[i].name,
                        target->value[place]);
        place++;
    }
    mf_status status =
        def->axes == CASE
            ? mf_fail(MF_INVALID, "'where' of '%s' leaves out case '%s'", def->label,
                      target->value[0])
            : mf_fail(MF_INVALID, "'where' of '%s' leaves out [%s]", def->label, t.data);
    free(t.data);
    return status;
}

/* "axis=value, axis=value" */
static mf_status choose(const mf_graph *root, const stage_def *def, char *text, mf_target *target)
{
    uint32_t at[MOST_AXES] = {0}, first = def->count, count = 0;
    char *next;
    for (char *one = text; one; one = next) {
        next = strchr(one, ',');
        if (next)
            *next++ = 0;
        MF_TRY(choose_value(def, one + strspn(one, " "), target, at));
    }
    if (target->chosen == (1u << __builtin_popcount(def->axes)) - 1) { /* no need to look at all */
        first = mf__code_position(def, mf__axes_code(def->graph, def->axes, at));
        count = first != NAME_NONE;
    } else {
        for (uint32_t i = 0; i < def->count; i++)
            if (mf_target_has(root, target, def->first + i)) {
                first = count ? first : i;
                count++;
            }
    }
    target->first = def->first + first;
    target->count = count;
    return count ? MF_OK : left_out(def, target);
}

bool mf_target_has(const mf_graph *g, const mf_target *target, size_t i)
{
    const mf_node *n = &g->nodes[i];
    if (n->group != target->group)
        return false;
    for (size_t k = 0; k < n->axis_count; k++)
        if (target->chosen >> k & 1 && strcmp(n->axes[k].value, target->value[k]))
            return false;
    return true;
}

static mf_status choose_port(const mf_stage *stage, const char *name, mf_target *target)
{
    const char *all[64];
    size_t count = 0;
    target->port = mf_port_find(stage->out, name);
    if (target->port >= 0)
        return MF_OK;
    for (const mf_port *p = stage->out; p && p->name && count < 64; p++)
        all[count++] = p->name;
    const char *near = mf_nearest(name, all, count);
    mf_status status = near ? mf_fail(MF_NOT_FOUND, "%s has no output '%s'; did you mean '%s'?",
                                      stage->name, name, near)
                            : mf_fail(MF_NOT_FOUND, "%s has no output '%s'", stage->name, name);
    mf_text list = {0};
    for (size_t i = 0; i < count; i++)
        mf_text_add(&list, "%s%s", i ? ", " : "", all[i]);
    status = mf_hint(status, "outputs of %s: %s", stage->name, list.data ? list.data : "none");
    free(list.data);
    return status;
}

static mf_status read_target(const mf_graph *g, char *text, mf_target *target)
{
    size_t length, within;
    mf_graph *in;
    /* Finding changes nothing; it gives what may be changed while a file is read. */
    const stage_def *def = mf__find_source((mf_graph *)g, text, &length, &in, &within);
    char *rest = text + length, *port = NULL, *chosen = NULL;
    char mark = *rest, pattern[PATTERN];
    *rest = 0;
    if (!def)
        return no_stage(g, in, text + within);
    *target = (mf_target){.first = def->first, .count = def->count, .port = -1};
    target->group = g->nodes[def->first].group;
    while (mark) {
        char *end =
            rest + 1 + strcspn(rest + 1, mark == '[' ? "]" : "["); /* ids hold no brackets */
        char **piece = mark == '[' ? &chosen : &port;
        bool closed = mark != '[' || *end == ']';
        if (*piece || !closed || (mark == '[' && end[1] && end[1] != '.'))
            return mf_fail(MF_INVALID, "a node is named as in '%s[%s]' or '%s[%s].%s'", text,
                           axis_pattern(def, pattern), text, pattern, def->stage->out[0].name);
        *piece = rest + 1;
        rest = end + (mark == '[');
        mark = *rest;
        *end = *rest = 0;
    }
    if (chosen)
        MF_TRY(choose(g, def, chosen, target));
    return port ? choose_port(def->stage, port, target) : MF_OK;
}

mf_status mf_graph_target(const mf_graph *g, const char *text, mf_target *target)
{
    char *copy = strdup(text);
    if (!copy)
        return mf_no_memory(0, "a name");
    mf_status status = read_target(g, copy, target);
    free(copy);
    return status;
}

/* ---- selecting ---------------------------------------------------------------------------------
 */

typedef struct kept { /* --case */
    const char *const *ids;
    size_t count;
} kept;

static bool keeps(const kept *k, const mf_node *n)
{
    for (size_t i = 0; i < k->count; i++)
        if (n->of_case && !strcmp(n->of_case->id, k->ids[i]))
            return true;
    return !k->count;
}

static bool any_case(const mf_graph *g, const char *id)
{
    if (find_case(g, id) != NAME_NONE)
        return true;
    for (size_t i = 0; i < g->include_count; i++)
        if (any_case(g->includes[i].graph, id))
            return true;
    return false;
}

static mf_status mark_target(const mf_graph *g, const char *text, const kept *k, bool *wanted)
{
    mf_target target;
    bool any = false;
    MF_TRY(mf_graph_target(g, text, &target));
    if (k->count && !g->nodes[target.first].of_case)
        return mf_hint(
            mf_fail(MF_INVALID, "--case cannot be used with '%s', which is not per case", text),
            "it would be made from a part of its cases; leave --case out, or choose "
            "cases in the graph with 'where' or a selection");
    const mf_graph_stage *stage = &g->stages[target.group];
    for (uint32_t i = stage->first; i < stage->first + stage->count; i++)
        if (mf_target_has(g, &target, i) && keeps(k, &g->nodes[i]))
            any = wanted[i] = true;
    if (!any)
        return mf_fail(MF_INVALID, "'%s' has none of the cases of --case", text);
    return MF_OK;
}

/* All of the file itself; of those that it includes only what it exports. What it needs of them
 * comes by itself. */
static mf_status mark_all(const mf_graph *g, const kept *k, bool *wanted)
{
    bool any = false;
    for (size_t i = 0; i < g->node_count; i++)
        any |= wanted[i] = g->all[g->nodes[i].group]->graph == g && keeps(k, &g->nodes[i]);
    for (size_t i = 0; i < g->export_count; i++)
        if (keeps(k, &g->nodes[g->exports[i].node]))
            any = wanted[g->exports[i].node] = true;
    return any ? MF_OK : mf_fail(MF_INVALID, "no stage of %s has the cases of --case", g->path);
}

mf_status mf_graph_select(const mf_graph *g, const char *const *targets, size_t target_count,
                          const char *const *cases, size_t case_count, bool **wanted)
{
    const kept k = {cases, case_count};
    mf_status status = MF_OK;
    *wanted = calloc(g->node_count + 1, sizeof **wanted);
    if (!*wanted)
        status = mf_no_memory(0, "%zu nodes", g->node_count);
    for (size_t i = 0; i < case_count && !status; i++)
        if (!any_case(g, cases[i]))
            status = no_case(g, cases[i]);
    for (size_t i = 0; i < target_count && !status; i++)
        status = mark_target(g, targets[i], &k, *wanted);
    if (!status && !target_count)
        status = mark_all(g, &k, *wanted);
    if (status) {
        free(*wanted);
        *wanted = NULL;
    }
    return status;
}
