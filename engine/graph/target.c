/* target.c - parts of a loaded graph by name: "stage", "stage[case=012]", either with ".port",
 * which may stand before the brackets as it does in a graph file. */
#include "graph/internal.h"

#include <stdlib.h>
#include <string.h>

static mf_status no_stage(const mf_graph *g, const char *label)
{
    const char **all = calloc(g->def_count + 1, sizeof *all);
    const char *near = NULL;
    for (size_t i = 0; all && i < g->def_count; i++)
        all[i] = g->stages[i].label;
    if (all)
        near = mf_nearest(label, all, g->def_count);
    free(all);
    if (near)
        return mf_fail(MF_NOT_FOUND, "%s has no stage '%s'; did you mean '%s'?", g->path, label,
                       near);
    return mf_fail(MF_NOT_FOUND, "%s has no stage '%s'", g->path, label);
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

/* "case=ID" */
static mf_status choose_case(const mf_graph *g, const stage_def *def, const char *text,
                             mf_target *target)
{
    if (strncmp(text, "case=", 5))
        return mf_fail(MF_INVALID, "a node is named as in '%s[case=ID]', not '%s[%s]'",
                       def->key->text, def->key->text, text);
    if (!def->each_case)
        return mf_fail(MF_INVALID, "'%s' is not per case", def->key->text);
    uint32_t c = find_case(g, text + 5);
    if (c == NAME_NONE)
        return no_case(g, text + 5);
    uint32_t position = case_position(def, c);
    if (position == NAME_NONE)
        return mf_fail(MF_INVALID, "'where' of '%s' leaves out case '%s'", def->key->text,
                       text + 5);
    target->first += position;
    target->count = 1;
    return MF_OK;
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
    if (near)
        return mf_fail(MF_NOT_FOUND, "%s has no output '%s'; did you mean '%s'?", stage->name, name,
                       near);
    return mf_fail(MF_NOT_FOUND, "%s has no output '%s'", stage->name, name);
}

static mf_status read_target(const mf_graph *g, char *text, mf_target *target)
{
    size_t length = strcspn(text, ".[");
    uint32_t index = names_get_n(&g->labels, text, length);
    char *rest = text + length, *port = NULL, *chosen = NULL;
    char mark = *rest;
    *rest = 0;
    if (index == NAME_NONE)
        return no_stage(g, text);
    const stage_def *def = &g->defs[index];
    *target = (mf_target){def->first, def_cases(g, def), -1};
    while (mark) {
        char *end =
            rest + 1 + strcspn(rest + 1, mark == '[' ? "]" : "["); /* ids hold no brackets */
        char **part = mark == '[' ? &chosen : &port;
        bool closed = mark != '[' || *end == ']';
        if (*part || !closed || (mark == '[' && end[1] && end[1] != '.'))
            return mf_fail(MF_INVALID, "a node is named as in '%s[case=ID]' or '%s[case=ID].%s'",
                           text, text, def->stage->out[0].name);
        *part = rest + 1;
        rest = end + (mark == '[');
        mark = *rest;
        *end = *rest = 0;
    }
    if (chosen)
        MF_TRY(choose_case(g, def, chosen, target));
    return port ? choose_port(def->stage, port, target) : MF_OK;
}

mf_status mf_graph_target(const mf_graph *g, const char *text, mf_target *target)
{
    char *copy = strdup(text);
    if (!copy)
        return mf_fail(MF_NO_MEMORY, "no memory for a name");
    mf_status error = read_target(g, copy, target);
    free(copy);
    return error;
}

/* ---- selecting ---------------------------------------------------------------------------------
 */

static mf_status mark_target(const mf_graph *g, const char *text, const bool *kept, bool *wanted)
{
    mf_target target;
    bool any = false;
    MF_TRY(mf_graph_target(g, text, &target));
    if (kept && !g->nodes[target.first].of_case)
        return mf_hint(
            mf_fail(MF_INVALID, "--case cannot be used with '%s', which is not per case", text),
            "it would be made from a part of its cases; leave --case out, or choose "
            "cases in the graph with 'where' or a selection");
    for (uint32_t i = target.first; i < target.first + target.count; i++)
        if (!kept || kept[g->nodes[i].of_case - g->cases])
            any = wanted[i] = true;
    if (!any)
        return mf_fail(MF_INVALID, "'%s' has none of the cases of --case", text);
    return MF_OK;
}

static mf_status mark_all(const mf_graph *g, const bool *kept, bool *wanted)
{
    bool any = false;
    for (size_t i = 0; i < g->node_count; i++) {
        const mf_case *c = g->nodes[i].of_case;
        any |= wanted[i] = !kept || (c && kept[c - g->cases]);
    }
    return any ? MF_OK : mf_fail(MF_INVALID, "no stage of %s has the cases of --case", g->path);
}

mf_status mf_graph_select(const mf_graph *g, const char *const *targets, size_t target_count,
                          const char *const *cases, size_t case_count, bool **wanted)
{
    bool *kept = case_count ? calloc(g->case_count + 1, sizeof *kept) : NULL;
    mf_status error = MF_OK;
    *wanted = calloc(g->node_count + 1, sizeof **wanted);
    if (!*wanted || (case_count && !kept))
        error = mf_fail(MF_NO_MEMORY, "no memory for %zu nodes", g->node_count);
    for (size_t i = 0; i < case_count && !error; i++) {
        uint32_t c = find_case(g, cases[i]);
        if (c == NAME_NONE)
            error = no_case(g, cases[i]);
        else
            kept[c] = true;
    }
    for (size_t i = 0; i < target_count && !error; i++)
        error = mark_target(g, targets[i], kept, *wanted);
    if (!error && !target_count)
        error = mark_all(g, kept, *wanted);
    free(kept);
    if (error) {
        free(*wanted);
        *wanted = NULL;
    }
    return error;
}
