/* history.c - runs that the cache remembers, of this desk and of other processes: how their nodes
 * came out, what they logged, and what a node gave in earlier runs. */
#include "parts.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MOST_RUNS 200
#define MOST_LINES 5000 /* of a node's log: the last */
#define MOST_PAST 100   /* results of a node */

/* The cache, to be read; *store NULL where there is none yet. */
static mf_status open_store(desk *d, mf_store **store)
{
    char *cache = desk_cache(d);

    *store = NULL;
    if (!cache)
        return MF_OK;
    mf_status status = mf_store_open(cache, MF_STORE_READ, store);
    free(cache);
    if (status && mf_error_code(status) == MF_NOT_FOUND) {
        mf_error_free(status);
        status = MF_OK;
    }
    return status;
}

/* The file of the graph that is open, for free(). */
static mf_status graph_path(desk *d, char **path)
{
    mf_workspace *w;

    *path = NULL;
    MF_TRY(desk_workspace(d, &w));
    *path = strdup(mf_workspace_path(w));
    mf_workspace_close(w);
    return *path ? MF_OK : mf_no_memory(0, "the name of a graph");
}

static void put_int(json_object *o, const char *name, int64_t value)
{
    json_object_object_add(o, name, json_object_new_int64(value));
}

static json_object *run_of(const mf_run_entry *e)
{
    json_object *o = json_object_new_object(), *counts = json_object_new_object();

    put_int(o, "run", e->id);
    desk_put(o, "graph", e->graph);
    desk_put(o, "command", e->command);
    desk_put(o, "host", e->host);
    desk_put(o, "status", e->status);
    put_int(o, "pid", e->pid);
    put_int(o, "slots", e->slots);
    put_int(o, "start", e->start);
    if (e->end)
        put_int(o, "end", e->end);
    for (int i = 0; i < MF_OUTCOME_COUNT; i++)
        if (e->counts[i])
            put_int(counts, mf_outcome_text((mf_outcome)i), e->counts[i]);
    json_object_object_add(o, "counts", counts);
    return o;
}

/* Runs of this graph, newest first. */
static mf_status answer_runs(desk_request *q, desk_reply *r)
{
    mf_store *store;
    mf_run_entry *runs = NULL;
    size_t count = 0;
    char *path;

    MF_TRY(graph_path(desk_of(q), &path));
    mf_status status = open_store(desk_of(q), &store);
    if (!status && store)
        status = mf_store_list_runs(store, path, MOST_RUNS, &runs, &count);
    mf_store_close(store);
    free(path);
    MF_TRY(status);
    json_object *list = json_object_new_array();
    for (size_t i = 0; i < count; i++)
        json_object_array_add(list, run_of(&runs[i]));
    mf_run_list_free(runs, count);
    desk_reply_json(r, list);
    return MF_OK;
}

static json_object *node_of(const mf_run_node *n)
{
    json_object *o = json_object_new_object();

    desk_put(o, "node", n->node);
    desk_put(o, "outcome", mf_outcome_text(n->outcome));
    if (n->started > 0) {
        json_object_object_add(o, "started", json_object_new_double(n->started));
        json_object_object_add(o, "seconds", json_object_new_double(n->seconds));
    }
    desk_put(o, "device", n->device && *n->device ? n->device : NULL);
    desk_put(o, "worker", n->place && *n->place ? n->place : NULL);
    desk_put(o, "message", n->message && *n->message ? n->message : NULL);
    if (n->peak_bytes) {
        put_int(o, "peak", n->peak_bytes);
        json_object_object_add(o, "own", json_object_new_boolean(n->own_process));
    }
    return o;
}

/* ?run=N: the nodes of one run. */
static mf_status answer_run_nodes(desk_request *q, desk_reply *r)
{
    mf_store *store;
    mf_run_node *nodes = NULL;
    size_t count = 0;
    int64_t run;

    MF_TRY(desk_query_int(q, "run", 1, INT64_MAX, &run));
    MF_TRY(open_store(desk_of(q), &store));
    if (!store)
        return mf_fail(MF_NOT_FOUND, "there is no run %" PRId64, run);
    mf_status status = mf_store_list_run_nodes(store, run, &nodes, &count);
    mf_store_close(store);
    MF_TRY(status);
    json_object *list = json_object_new_array();
    for (size_t i = 0; i < count; i++)
        json_object_array_add(list, node_of(&nodes[i]));
    mf_run_node_list_free(nodes, count);
    desk_reply_json(r, list);
    return MF_OK;
}

static json_object *lines_of(const mf_run_line *lines, size_t count)
{
    json_object *list = json_object_new_array();

    for (size_t i = count > MOST_LINES ? count - MOST_LINES : 0; i < count; i++) {
        json_object *o = json_object_new_object();
        json_object_object_add(o, "at", json_object_new_double(lines[i].at));
        desk_put(o, "text", lines[i].text);
        json_object_array_add(list, o);
    }
    return list;
}

/* The newest run of the graph in which the node ran or failed, or else was met at all. */
static mf_status newest(mf_store *store, const char *node, const mf_run_entry *runs,
                        size_t run_count, int64_t *run, json_object **found)
{
    for (size_t i = 0; i < run_count; i++) {
        mf_run_node *nodes;
        size_t count;
        bool ran = false;
        MF_TRY(mf_store_list_run_nodes(store, runs[i].id, &nodes, &count));
        for (size_t k = 0; k < count; k++) {
            if (strcmp(nodes[k].node, node))
                continue;
            ran = nodes[k].outcome != MF_NODE_CACHED;
            if (!*found || ran) {
                json_object_put(*found);
                *found = node_of(&nodes[k]);
                *run = runs[i].id;
            }
        }
        mf_run_node_list_free(nodes, count);
        if (ran)
            break;
    }
    return MF_OK;
}

#define LOOKED_BACK 20 /* runs in which a node's last is looked for */

static mf_status read_log(mf_store *store, const char *graph, const char *node, json_object *o)
{
    mf_run_entry *runs;
    mf_run_line *lines;
    json_object *met = NULL;
    size_t run_count, count;
    int64_t run = 0;

    MF_TRY(mf_store_list_runs(store, graph, LOOKED_BACK, &runs, &run_count));
    mf_status status = newest(store, node, runs, run_count, &run, &met);
    mf_run_list_free(runs, run_count);
    if (!met || status) {
        json_object_put(met);
        return status;
    }
    put_int(o, "run", run);
    json_object_object_add(o, "met", met);
    MF_TRY(mf_store_list_run_lines(store, run, node, &lines, &count));
    json_object_object_add(o, "lines", lines_of(lines, count));
    mf_run_line_list_free(lines, count);
    return MF_OK;
}

/* ?node=NAME: what it logged when it last ran, and how it came out. */
static mf_status answer_log(desk_request *q, desk_reply *r)
{
    const char *node;
    mf_store *store;
    char *path;

    MF_TRY(desk_query_text(q, "node", &node));
    MF_TRY(graph_path(desk_of(q), &path));
    json_object *o = json_object_new_object();
    mf_status status = open_store(desk_of(q), &store);
    if (!status && store)
        status = read_log(store, path, node, o);
    mf_store_close(store);
    free(path);
    if (status) {
        json_object_put(o);
        return status;
    }
    desk_reply_json(r, o);
    return MF_OK;
}

/* Of the components of a key, the parameters. */
static json_object *params_of(const char *components)
{
    json_object *all = components ? json_tokener_parse(components) : NULL, *params = NULL;

    if (json_object_object_get_ex(all, "params", &params))
        json_object_get(params);
    json_object_put(all);
    return params;
}

static json_object *result_of(const mf_action *a)
{
    json_object *o = json_object_new_object(), *outputs = json_object_new_object();

    if (a->run)
        put_int(o, "run", a->run);
    put_int(o, "created", a->created);
    json_object_object_add(o, "seconds", json_object_new_double(a->seconds));
    for (size_t i = 0; i < a->output_count; i++)
        if (a->outputs[i].present)
            desk_put(outputs, a->outputs[i].port, a->outputs[i].id);
    json_object_object_add(o, "outputs", outputs);
    json_object_object_add(o, "params", params_of(a->components));
    return o;
}

/* ?node=NAME: its results in this and in earlier runs, newest first: run, created, outputs (an id
 * by the name of the output), params. */
static mf_status answer_past(desk_request *q, desk_reply *r)
{
    const char *node;
    mf_store *store;
    mf_action **actions = NULL;
    size_t count = 0;
    char *path;

    MF_TRY(desk_query_text(q, "node", &node));
    MF_TRY(graph_path(desk_of(q), &path));
    mf_status status = open_store(desk_of(q), &store);
    if (!status && store)
        status = mf_store_node_actions(store, path, node, MOST_PAST, &actions, &count);
    json_object *list = json_object_new_array();
    for (size_t i = 0; i < count; i++)
        json_object_array_add(list, result_of(actions[i]));
    mf_action_list_free(actions, count);
    mf_store_close(store);
    free(path);
    if (status) {
        json_object_put(list);
        return status;
    }
    desk_reply_json(r, list);
    return MF_OK;
}

const desk_route desk_history_routes[] = {{"GET", "/api/runs", answer_runs},
                                          {"GET", "/api/runs/nodes", answer_run_nodes},
                                          {"GET", "/api/log", answer_log},
                                          {"GET", "/api/past", answer_past},
                                          {NULL, NULL, NULL}};
