/* with.c - the parameters of a stage: what does not depend on the node is parsed once, and what
 * depends on some of its axes once for each combination of these. */
#include "graph/check/with.h"
#include "graph/check/typed.h"
#include "graph/data/combine.h"
#include "graph/data/report.h"
#include "graph/values/splice.h"

#include <stdlib.h>
#include <string.h>

#define CASES_SHOWN 3 /* of those that fail in the same way */

static void note_param(mf_graph *g, const mf_stage *stage, const mf_param *p)
{
    mf_diagnostics_note(g->d, "%s: %s   (massflow describe %s)", p->name, p->help, stage->name);
}

static bool unknown(mf_graph *g, const stage_def *def, const yaml *key)
{
    const mf_stage *stage = def->stage;
    size_t count = 0;
    mf_text list = {0};
    if (mf__graph_misplaced(g, def, key, "with"))
        return false;
    while (stage->params && stage->params[count].name)
        count++;
    const char **all = mf_arena_alloc(g->arena, count, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        all[i] = stage->params[i].name;
        mf_text_add(&list, "%s%s", i ? ", " : "", all[i]);
    }
    char *what = mf_arena_print(g->arena, "%s: unknown parameter", stage->name);
    mf__graph_unknown(g, key, what, all, count);
    mf_diagnostics_note(g->d, "parameters of %s: %s   (massflow describe %s)", stage->name,
                        list.data ? list.data : "none", stage->name);
    free(list.data);
    return false;
}

/* For those who ask what a parameter of the graph may be. */
static void note_taker(graph_param *param, const mf_stage *stage, const mf_param *p)
{
    for (; param && !param->taker; param = param->from) {
        param->stage = stage;
        param->taker = p;
    }
}

/* Resolves one value and sets it. The error stands at the value, or at the element of a list. */
static bool set(mf_graph *g, const stage_def *def, mf_params *params, const mf_param *p,
                const yaml *node, const here *h)
{
    given v;
    int at;
    const here own = {h->def, h->at, p->marks & MF_COMMAND};
    if (!mf__resolve(g, node, &own, &v))
        return false;
    if (v.cell && mf_param_list(p->kind) && !mf__list_in_cell(g, node, &v))
        return false;
    if (mf_yaml_empty(node))
        return mf__graph_error(g, node, "%s: '%s' has no value; write \"\" for empty text",
                               def->stage->name, p->name);
    note_taker(v.param, def->stage, p);
    mf_status status = mf_params_set(params, p, v.list, v.list ? v.texts : &v.text,
                                     v.list ? v.count : 1, v.base, &at);
    if (!status)
        return true;
    bool element = node->kind == YAML_LIST && at >= 0;
    mf__graph_status(g, element ? node->items[at] : node, def->stage->name, status);
    mf__graph_note_param(g, v.param);
    note_param(g, def->stage, p);
    return false;
}

/* Sets the parameters that depend on the node (h->at given) or those that do not. */
static bool set_all(mf_graph *g, const stage_def *def, mf_params *params, const here *h)
{
    bool good = true;
    for (size_t i = 0; def->with && i < def->with->count; i++) {
        const yaml *key = def->with->items[2 * i], *node = def->with->items[2 * i + 1];
        const mf_param *p = mf_param_find(def->stage, key->text);
        bool depends = (mf__mentions(g, node) & def->axes) != 0;
        if (!p && !h->at)
            good = unknown(g, def, key);
        else if (p && depends == (h->at != NULL))
            good &= set(g, def, params, p, node, h);
    }
    return good;
}

static bool check_missing(mf_graph *g, const stage_def *def)
{
    bool good = true;
    for (const mf_param *p = def->stage->params; p && p->name; p++) {
        if (!mf_param_required(p) || (def->with && mf_yaml_get(def->with, p->name, NULL)))
            continue;
        good = mf__graph_error(g, def->key, "%s: required parameter '%s' is missing",
                               def->stage->name, p->name);
        note_param(g, def->stage, p);
    }
    return good;
}

static bool finish(mf_graph *g, const stage_def *def, mf_params *params)
{
    mf_status status = mf_params_finish(params);
    return !status ||
           mf__graph_status(g, def->with ? def->with : def->key, def->stage->name, status);
}

/* Parameters that depend on the node: a copy of the common ones for each combination of the axes
 * that they mention. Stops at the third that fails, for the others fail alike. */
static mf_status each_node(mf_graph *g, stage_def *def, const mf_params *common, bool *good)
{
    uint32_t failed = 0, at[MOST_AXES];
    def->param_count = mf__axes_space(g, def->param_axes);
    def->params = mf_arena_alloc(g->arena, def->param_count, sizeof *def->params);
    for (uint32_t i = 0; i < def->count && failed < CASES_SHOWN; i++) {
        mf__def_at(def, i, at);
        mf_params **own = &def->params[mf__axes_code(g, def->param_axes, at)];
        if (*own)
            continue;
        MF_TRY(mf_params_copy(common, own));
        if (set_all(g, def, *own, &(here){def, at, false}) && finish(g, def, *own))
            continue;
        mf__note_at(g, def->param_axes, at);
        failed++;
    }
    *good &= !failed;
    return MF_OK;
}

mf_status mf__read_with(mf_graph *g, stage_def *def, bool *good)
{
    mf_params *common;
    bool fine = true;
    if (def->with && mf_yaml_empty(def->with))
        def->with = NULL;
    if (def->with && def->with->kind != YAML_MAP) {
        *good = mf__graph_error(g, def->with, "'with' takes parameters and their values");
        return MF_OK;
    }
    MF_TRY(mf_params_new(def->stage, &common));
    fine = set_all(g, def, common, &(here){def, NULL, false});
    fine &= check_missing(g, def);
    mf_status status = MF_OK;
    if (def->with)
        def->param_axes = mf__mentions(g, def->with) & def->axes;
    if (!fine || (g->cases_wrong && def->axes & CASE)) {
        mf_params_unref(common);
    } else if (def->param_axes) {
        status = each_node(g, def, common, &fine);
        mf_params_unref(common);
    } else {
        def->params = mf_arena_alloc(g->arena, 1, sizeof *def->params);
        def->params[def->param_count++] = common;
        fine = finish(g, def, common);
    }
    *good &= fine;
    return status;
}
