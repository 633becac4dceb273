/* axes.c - `axes`: lists of values beside the cases. */
#include "graph/check/axes.h"
#include "graph/data/columns.h"
#include "graph/data/report.h"
#include "graph/text/names.h"
#include "graph/values/splice.h"

#include <stdlib.h>
#include <string.h>

/* Values name nodes, as case ids do. Numbers that are equal are one value, for a selection could
 * not tell them apart. */
static bool check_values(mf_graph *g, const axis *a, const yaml *node)
{
    names seen = {0};
    bool good = true;
    for (uint32_t i = 0; i < a->count && good; i++) {
        const yaml *at = node->kind == YAML_LIST ? node->items[i] : node;
        char *end, *same = mf_arena_copy(g->arena, a->values[i]);
        double number = strtod(a->values[i], &end);
        if (!mf__good_id(a->values[i])) {
            good = mf__graph_error(g, at,
                                   "'%s' is not a valid value of an axis: no spaces at its ends, "
                                   "none of / \\ [ ] , = < > ! or quotes, no control characters",
                                   a->values[i]);
            continue;
        }
        if (!*end)
            same = mf_arena_print(g->arena, "%.17g", number);
        uint32_t other = mf__names_add(&seen, same, i);
        if (other != NAME_NONE && strcmp(a->values[other], a->values[i]))
            good = mf__graph_error(g, at, "axis '%s' has '%s' and '%s', which are equal", a->name,
                                   a->values[other], a->values[i]);
        else if (other != NAME_NONE)
            good = mf__graph_error(g, at, "axis '%s' has '%s' twice", a->name, a->values[i]);
    }
    mf__names_free(&seen);
    return good;
}

static bool check_name(mf_graph *g, const yaml *key)
{
    static const char *const taken[] = {"case", "id", "path"};
    uint32_t param = mf__names_get(&g->param_names, key->text);
    if (!mf__is_name(key->text))
        return mf__graph_error(g, key, "'%s' is not a valid name of an axis", key->text);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (!strcmp(key->text, taken[i]))
            return mf__graph_error(
                g, key, "'%s' is not a valid name of an axis: it denotes the cases", key->text);
    if (param == NAME_NONE)
        return true;
    mf__graph_error(g, key, "'%s' is a parameter already; \"${%s}\" could mean either", key->text,
                    key->text);
    mf_diagnostics_note(g->d, "the parameter stands in line %d; call it, for example, %s_list",
                        g->params[param].declared->line, key->text);
    return false;
}

static bool read_values(mf_graph *g, axis *a, const yaml *node)
{
    given v;
    if (mf_yaml_empty(node) || node->kind == YAML_MAP)
        return mf__graph_error(g, node, "an axis takes a list of values, as in {%s: [1, 2]}",
                               a->name);
    if (!mf__resolve(g, node, NULL, &v))
        return false;
    if (v.list && !v.count)
        return mf__graph_error(g, node, "axis '%s' has no values", a->name);
    a->count = v.list ? (uint32_t)v.count : 1;
    a->values = mf_arena_alloc(g->arena, a->count, sizeof *a->values);
    for (uint32_t i = 0; i < a->count; i++)
        a->values[i] = v.list ? v.texts[i] : v.text;
    if (check_values(g, a, node))
        return true;
    mf__graph_note_param(g, v.param);
    return false;
}

static bool read_axis(mf_graph *g, const yaml *key, const yaml *node)
{
    if (!check_name(g, key)) {
        g->axes_wrong = true;
        return false;
    }
    if (g->axis_count == MOST_AXES)
        return mf__graph_error(g, key, "a graph has at most %d axes beside the cases",
                               MOST_AXES - 1);
    axis *a = &g->axes[g->axis_count++];
    *a = (axis){.name = key->text, .key = key};
    return read_values(g, a, node);
}

bool mf__read_axes(mf_graph *g)
{
    const yaml *map = mf_yaml_get(g->root, "axes", NULL);
    bool good = true;
    axis *cases = &g->axes[0];
    *cases = (axis){.name = "case", .count = (uint32_t)g->case_count};
    cases->values = mf_arena_alloc(g->arena, g->case_count, sizeof *cases->values);
    for (size_t i = 0; i < g->case_count; i++)
        cases->values[i] = g->cases[i].id;
    g->axis_count = 1;
    if (!map || mf_yaml_empty(map))
        return true;
    if (map->kind != YAML_MAP)
        return mf__graph_error(g, map,
                               "'axes' takes names, each with its values, as in {fold: [0, 1]}");
    for (size_t i = 0; i < map->count; i++)
        good &= read_axis(g, map->items[2 * i], map->items[2 * i + 1]);
    return good;
}
