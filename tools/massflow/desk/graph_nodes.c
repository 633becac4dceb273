/* graph_nodes.c - what pages are told of the nodes of the graph: how they stand, and why. */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

/* Those that a stage may leave out ("table?") are here once they are there. */
static json_object *outputs(const mf_workspace *w, const mf_forecast *f, size_t i)
{
    json_object *list = json_object_new_array();
    const char *name, *type;

    for (size_t k = 0; (name = mf_workspace_output(w, i, k, &type)); k++) {
        const char *id = mf_forecast_output(f, i, k);
        size_t length = strcspn(type, "?");
        json_object *o;
        if (!id && type[length])
            continue;
        o = json_object_new_object();
        desk_put(o, "name", name);
        json_object_object_add(o, "type", json_object_new_string_len(type, (int)length));
        desk_put(o, "id", id);
        json_object_array_add(list, o);
    }
    return list;
}

/* All nodes in order of the graph: name, stage (its index), state, outputs with the ids of those
 * that are in the cache. Reasons are asked for one by one: each takes several look-ups. */
static mf_status answer_nodes(desk_request *q, desk_reply *r)
{
    mf_workspace *w;
    mf_forecast *f;

    MF_TRY(desk_workspace(desk_of(q), &w));
    mf_status status = mf_workspace_plan(w, NULL, &f);
    json_object *list = json_object_new_array();
    for (size_t s = 0; !status && s < mf_workspace_stage_count(w); s++) {
        mf_workspace_stage stage;
        mf_workspace_stage_at(w, s, &stage);
        for (size_t i = stage.first; i < stage.first + stage.count; i++) {
            json_object *o = json_object_new_object();
            desk_put(o, "name", mf_workspace_node(w, i));
            json_object_object_add(o, "stage", json_object_new_int64((int64_t)s));
            desk_put(o, "state", mf_stands_text(mf_forecast_node(f, i)));
            json_object_object_add(o, "outputs", outputs(w, f, i));
            json_object_array_add(list, o);
        }
    }
    mf_forecast_free(f);
    mf_workspace_close(w);
    if (status) {
        json_object_put(list);
        return status;
    }
    desk_reply_json(r, list);
    return MF_OK;
}

static mf_status find_node(const mf_workspace *w, const char *name, size_t *index)
{
    for (*index = 0; *index < mf_workspace_node_count(w); ++*index)
        if (!strcmp(mf_workspace_node(w, *index), name))
            return MF_OK;
    return mf_fail(MF_NOT_FOUND, "the graph has no node '%s'", name);
}

static mf_status answer_why(desk_request *q, desk_reply *r)
{
    const char *name;
    mf_workspace *w;
    mf_forecast *f = NULL;
    char *text = NULL, *line = NULL;
    size_t i;

    MF_TRY(desk_query_text(q, "node", &name));
    MF_TRY(desk_workspace(desk_of(q), &w));
    mf_status status = find_node(w, name, &i);
    if (!status)
        status = mf_workspace_plan(w, &(mf_workspace_ask){.targets = &name, .target_count = 1}, &f);
    if (!status)
        status = mf_forecast_why(f, i, true, &text);
    if (!status)
        status = mf_forecast_why(f, i, false, &line);
    mf_forecast_free(f);
    mf_workspace_close(w);
    if (!status) {
        json_object *o = json_object_new_object();
        desk_put(o, "why", text);
        desk_put(o, "line", line);
        desk_reply_json(r, o);
    }
    free(text);
    free(line);
    return status;
}

const desk_route desk_node_routes[] = {
    {"GET", "/api/nodes", answer_nodes}, {"GET", "/api/why", answer_why}, {NULL, NULL, NULL}};
