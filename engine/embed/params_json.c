/* params_json.c - see params_json.h. */
#include "embed/params_json.h"
#include "base/utf8.h"
#include "stages/params.h"

#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {
    [MF_PARAM_BOOL] = "bool",   [MF_PARAM_INT] = "int",       [MF_PARAM_REAL] = "real",
    [MF_PARAM_TEXT] = "text",   [MF_PARAM_CHOICE] = "choice", [MF_PARAM_PATH] = "path",
    [MF_PARAM_INT3] = "int3",   [MF_PARAM_REAL3] = "real3",   [MF_PARAM_INTS] = "ints",
    [MF_PARAM_REALS] = "reals", [MF_PARAM_LABELS] = "labels",
};

static void add(json_object *o, const char *name, const char *value)
{
    if (value)
        json_object_object_add(o, name, json_object_new_string(value));
}

json_object *mf_param_json(const mf_param *p)
{
    json_object *o = json_object_new_object();

    add(o, "name", p->name);
    add(o, "kind", kinds[p->kind]);
    add(o, "default", mf_param_required(p) ? NULL : p->fallback);
    add(o, "help", p->help);
    add(o, "unit", p->unit);
    add(o, "choices", p->kind == MF_PARAM_CHOICE ? p->choices : NULL);
    if (p->kind != MF_PARAM_TEXT && p->kind != MF_PARAM_CHOICE && p->kind != MF_PARAM_PATH &&
        p->kind != MF_PARAM_BOOL) {
        char *range = mf_param_range(p);
        add(o, "range", range);
        free(range);
    }
    return o;
}

/* Takes `text`, which may be no UTF-8. */
static void add_taken(json_object *o, const char *name, char *text)
{
    char *clean = text ? mf_utf8_clean(text) : NULL;

    add(o, name, clean);
    free(clean);
    free(text);
}

json_object *mf_node_params_json(const mf_node *node)
{
    json_object *o = json_object_new_object();

    for (const mf_param *p = node->stage->params; p && p->name; p++) {
        char *text = mf_param_show(node->params, p);
        json_object_object_add(o, p->name, json_tokener_parse(text));
        free(text);
    }
    return o;
}

json_object *mf_graph_params_json(const mf_graph *graph)
{
    json_object *list = json_object_new_array();

    for (size_t i = 0; i < mf_graph_param_count(graph); i++) {
        json_object *o = json_object_new_object();
        const mf_stage *stage;
        const mf_param *taker = mf_graph_param_taker(graph, i, &stage);
        add(o, "name", mf_graph_param(graph, i));
        add_taken(o, "value", mf_graph_param_value(graph, i));
        add_taken(o, "written", mf_graph_param_written(graph, i));
        add_taken(o, "comment", mf_graph_param_comment(graph, i));
        json_object_object_add(o, "set", json_object_new_boolean(mf_graph_param_set(graph, i)));
        if (taker) {
            add(o, "stage", stage->name);
            json_object_object_add(o, "param", mf_param_json(taker));
        }
        json_object_array_add(list, o);
    }
    return list;
}
