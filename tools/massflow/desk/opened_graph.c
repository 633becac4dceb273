/* opened_graph.c - the graph that is open: its workspace, its nodes, the artifacts that pages look
 * at. */
#include "parts.h"

#include <massflow/file.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_GRAPHS 200 /* files that are offered */
#define HEAD 4096       /* bytes of a file in which `massflow:` has to stand */

/* ---- opening --------------------------------------------------------------------------------- */

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static void free_settings(mf_setting *settings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((char *)settings[i].name);
        free((char *)settings[i].value);
    }
    free(settings);
}

static void drop_kept(desk *d)
{
    for (size_t i = 0; i < DESK_KEPT; i++) {
        mf_artifact_unref(d->kept[i].artifact);
        d->kept[i] = (desk_kept){0};
    }
}

mf_status desk_reopen(desk *d, const char *graph, mf_setting *settings, size_t count)
{
    const mf_workspace_options options = {.settings = settings,
                                          .setting_count = count,
                                          .plugins = d->plugins,
                                          .cache = d->cache,
                                          .devices = d->devices,
                                          .by_version = d->by_version};
    char *path = strdup(graph), *warnings = NULL, *trouble = NULL;
    mf_workspace *w = NULL;
    mf_status status = path ? mf_workspace_open(path, &options, &warnings, &w)
                            : mf_no_memory(0, "the name of a graph");

    if (status)
        trouble = mf_error_text(status);
    pthread_mutex_lock(&d->lock);
    if (status && d->w && !strcmp(d->graph, graph)) { /* what is open stays */
        pthread_mutex_unlock(&d->lock);
        free(path);
        free(trouble);
        free(warnings);
        free_settings(settings, count);
        return status;
    }
    mf_workspace *before = d->w;
    mf_setting *old = d->settings;
    size_t old_count = d->setting_count;
    free(d->graph);
    free(d->trouble);
    free(d->warnings);
    d->graph = path;
    d->trouble = trouble;
    d->warnings = warnings;
    d->w = w;
    d->settings = settings;
    d->setting_count = count;
    drop_kept(d);
    pthread_mutex_unlock(&d->lock);
    mf_workspace_close(before);
    free_settings(old, old_count);
    desk_tell(d, "session", json_object_new_object());
    return status;
}

static mf_status copy_options(desk *d, const desk_options *o, mf_setting **settings)
{
    d->cache = copy(o->cache);
    d->plugins = copy(o->plugins);
    d->devices = copy(o->devices);
    d->by_version = o->by_version;
    *settings = calloc(o->setting_count + 1, sizeof **settings);
    bool good = *settings && !d->cache == !o->cache && !d->plugins == !o->plugins &&
                !d->devices == !o->devices;
    for (size_t i = 0; good && i < o->setting_count; i++) {
        (*settings)[i] = (mf_setting){copy(o->settings[i].name), copy(o->settings[i].value)};
        good = (*settings)[i].name && (*settings)[i].value;
    }
    if (good)
        return MF_OK;
    if (*settings)
        free_settings(*settings, o->setting_count);
    *settings = NULL;
    return mf_no_memory(0, "the desk");
}

mf_status desk_new(const desk_options *o, desk **made)
{
    mf_setting *settings = NULL;
    desk *d = calloc(1, sizeof *d);

    *made = NULL;
    if (!d)
        return mf_no_memory(sizeof *d, "the desk");
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->launch.lock, NULL);
    mf_status status = desk_gate_token(d->token);
    if (!status)
        status = hub_new(&d->hub);
    if (!status)
        status = desk_look_new(&d->look);
    if (!status)
        status = desk_click_new(&d->click);
    if (!status)
        status = desk_jobs_new(&d->jobs);
    if (!status)
        status = copy_options(d, o, &settings);
    if (status) {
        desk_free(d);
        return status;
    }
    if (o->graph) {
        mf_error_free(desk_reopen(d, o->graph, settings, o->setting_count));
    } else {
        d->settings = settings;
        d->setting_count = o->setting_count;
        d->trouble = strdup("no graph is chosen");
    }
    *made = d;
    return MF_OK;
}

void desk_free(desk *d)
{
    if (!d)
        return;
    drop_kept(d);
    mf_workspace_close(d->w);
    free_settings(d->settings, d->setting_count);
    free(d->launch.state);
    desk_click_free(d->click);
    desk_jobs_free(d->jobs);
    desk_look_free(d->look);
    desk_live_clear(&d->launch.live);
    hub_free(d->hub);
    pthread_mutex_destroy(&d->launch.lock);
    pthread_mutex_destroy(&d->lock);
    free(d->host);
    free(d->cookie);
    free(d->graph);
    free(d->cache);
    free(d->plugins);
    free(d->devices);
    free(d->trouble);
    free(d->warnings);
    free(d);
}

void desk_tell(desk *d, const char *name, json_object *o)
{
    hub_put(
        d->hub, name,
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
}

mf_status desk_workspace(desk *d, mf_workspace **w)
{
    mf_status status = MF_OK;

    *w = NULL;
    pthread_mutex_lock(&d->lock);
    if (d->w)
        *w = mf_workspace_ref(d->w);
    else
        status = mf_fail(MF_INVALID, "%s", d->trouble ? d->trouble : "no graph is open");
    pthread_mutex_unlock(&d->lock);
    return status;
}

char *desk_cache(desk *d)
{
    char *cache = NULL;

    pthread_mutex_lock(&d->lock);
    if (d->cache)
        cache = strdup(d->cache);
    else if (d->w) {
        const char *path = mf_workspace_path(d->w);
        if (asprintf(&cache, "%.*s/.massflow", (int)(strrchr(path, '/') - path), path) < 0)
            cache = NULL;
    }
    pthread_mutex_unlock(&d->lock);
    return cache;
}

/* ---- artifacts ------------------------------------------------------------------------------- */

static mf_artifact *find_kept(desk *d, const char *id)
{
    mf_artifact *found = NULL;

    pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < DESK_KEPT && !found; i++)
        if (d->kept[i].artifact && !strcmp(d->kept[i].id, id)) {
            d->kept[i].used = ++d->used;
            found = mf_artifact_ref(d->kept[i].artifact);
        }
    pthread_mutex_unlock(&d->lock);
    return found;
}

/* In the place of the one that nobody asked for longest. */
static void keep(desk *d, mf_artifact *a)
{
    desk_kept *place = d->kept;
    const char *id = mf_artifact_id(a);

    if (!id || strlen(id) >= sizeof place->id)
        return;
    pthread_mutex_lock(&d->lock);
    for (size_t i = 1; i < DESK_KEPT; i++)
        if (d->kept[i].used < place->used)
            place = &d->kept[i];
    mf_artifact *old = place->artifact;
    *place = (desk_kept){.artifact = mf_artifact_ref(a), .used = ++d->used};
    strcpy(place->id, id);
    pthread_mutex_unlock(&d->lock);
    mf_artifact_unref(old);
}

mf_status desk_artifact_of_id(desk *d, const char *id, mf_artifact **artifact)
{
    mf_workspace *w;

    *artifact = find_kept(d, id);
    if (*artifact)
        return MF_OK;
    MF_TRY(desk_workspace(d, &w));
    mf_status status = mf_workspace_artifact_of_id(w, id, artifact);
    mf_workspace_close(w);
    if (!status)
        keep(d, *artifact);
    return status;
}

mf_status desk_artifact(const desk_request *q, mf_artifact **artifact)
{
    const char *id = desk_query(q, "id"), *node;
    mf_workspace *w;

    *artifact = NULL;
    if (id)
        return desk_artifact_of_id(q->desk, id, artifact);
    MF_TRY(desk_query_text(q, "node", &node));
    MF_TRY(desk_workspace(q->desk, &w));
    mf_status status = mf_workspace_artifact(w, node, artifact);
    mf_workspace_close(w);
    return status;
}

/* ---- what the page is told ------------------------------------------------------------------- */

static bool is_graph(const char *folder, const char *name)
{
    const char *suffix = strrchr(name, '.');
    char path[4096], head[HEAD + 1];
    FILE *file;
    int64_t size;
    bool is = false;

    if (name[0] == '.' || !suffix || (strcmp(suffix, ".yaml") && strcmp(suffix, ".yml")) ||
        (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path)
        return false;
    mf_status status = mf_file_open(path, &file, &size);
    if (status) {
        mf_error_free(status);
        return false;
    }
    head[fread(head, 1, HEAD, file)] = 0;
    fclose(file);
    for (char *at = head; at && !is; at = strchr(at, '\n')) {
        at += *at == '\n';
        is = !strncmp(at, "massflow:", 9);
    }
    return is;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(json_object_get_string(*(json_object *const *)a),
                  json_object_get_string(*(json_object *const *)b));
}

/* The graph files beside the one that is open, or in the current folder: what a page may open. */
static json_object *offered(const char *folder)
{
    json_object *list = json_object_new_array();
    DIR *dir = opendir(folder);

    for (struct dirent *e = dir ? readdir(dir) : NULL;
         e && json_object_array_length(list) < MOST_GRAPHS; e = readdir(dir))
        if (is_graph(folder, e->d_name))
            json_object_array_add(list, desk_text(e->d_name));
    if (dir)
        closedir(dir);
    json_object_array_sort(list, by_name);
    return list;
}

/* The folder whose graphs are offered, for free(). */
static char *graph_folder(desk *d)
{
    const char *last;
    char *folder;

    pthread_mutex_lock(&d->lock);
    last = d->graph ? strrchr(d->graph, '/') : NULL;
    folder =
        last ? strndup(d->graph, last > d->graph ? (size_t)(last - d->graph) : 1) : strdup(".");
    pthread_mutex_unlock(&d->lock);
    return folder;
}

static json_object *stages(const mf_workspace *w)
{
    json_object *list = json_object_new_array();

    for (size_t i = 0; i < mf_workspace_stage_count(w); i++) {
        json_object *o = json_object_new_object();
        mf_workspace_stage s;
        mf_workspace_stage_at(w, i, &s);
        desk_put(o, "name", s.name);
        desk_put(o, "use", s.use);
        desk_put(o, "summary", s.summary);
        json_object_object_add(o, "count", json_object_new_int64((int64_t)s.count));
        json_object_object_add(o, "stream", json_object_new_boolean(s.stream));
        json_object_array_add(list, o);
    }
    return list;
}

/* What settings are made on the desk or its command line. Called with the lock held. */
static json_object *settings(const desk *d)
{
    json_object *o = json_object_new_object();

    for (size_t i = 0; i < d->setting_count; i++)
        desk_put(o, d->settings[i].name, d->settings[i].value);
    return o;
}

static mf_status answer_session(desk_request *q, desk_reply *r)
{
    desk *d = desk_of(q);
    json_object *o = json_object_new_object();
    char *folder = graph_folder(d), *cache = desk_cache(d);

    desk_put(o, "version", mf_version());
    desk_put(o, "cache", cache);
    pthread_mutex_lock(&d->lock);
    desk_put(o, "graph", d->w ? mf_workspace_path(d->w) : d->graph);
    desk_put(o, "trouble", d->w ? NULL : d->trouble);
    desk_put(o, "warnings", d->warnings);
    json_object_object_add(o, "settings", settings(d));
    if (d->w) {
        char *params;
        json_object_object_add(o, "stages", stages(d->w));
        mf_status status = mf_workspace_params_json(d->w, &params);
        if (!status)
            json_object_object_add(o, "params", json_tokener_parse(params));
        mf_error_free(status);
        free(params);
        json_object_object_add(o, "cases",
                               json_object_new_int64((int64_t)mf_workspace_case_count(d->w)));
    }
    pthread_mutex_unlock(&d->lock);
    if (folder)
        json_object_object_add(o, "graphs", offered(folder));
    free(folder);
    free(cache);
    desk_reply_json(r, o);
    return MF_OK;
}

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

/* The settings of a body; those that are not texts are refused. */
static mf_status read_settings(desk_request *q, mf_setting **settings, size_t *count)
{
    json_object *set = NULL;
    size_t room;

    *settings = NULL;
    *count = 0;
    if (!json_object_object_get_ex(desk_body(q), "set", &set) ||
        !json_object_is_type(set, json_type_object))
        return mf_fail(MF_INVALID, "'set' has to be an object of texts");
    room = (size_t)json_object_object_length(set);
    *settings = calloc(room + 1, sizeof **settings);
    if (!*settings)
        return mf_no_memory(0, "settings");
    json_object_object_foreach(set, name, value)
    {
        const char *text =
            json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
        if (text && strlen(text) == (size_t)json_object_get_string_len(value))
            (*settings)[*count] = (mf_setting){strdup(name), strdup(text)};
        if (!(*settings)[*count].name || !(*settings)[*count].value) {
            free_settings(*settings, *count + 1);
            *settings = NULL;
            return mf_fail(MF_INVALID, "the value of '%s' has to be a text", name);
        }
        ++*count;
    }
    return MF_OK;
}

/* Of the files that are offered alone; NULL for the one that is open. */
static mf_status choose(desk_request *q, char **path)
{
    char *folder;
    const char *name;
    json_object *o;
    bool found = false;

    *path = NULL;
    if (!json_object_object_get_ex(desk_body(q), "graph", &o)) {
        pthread_mutex_lock(&q->desk->lock);
        *path = copy(q->desk->graph);
        pthread_mutex_unlock(&q->desk->lock);
        return *path ? MF_OK : mf_fail(MF_INVALID, "no graph is chosen");
    }
    MF_TRY(desk_body_text(q, "graph", &name));
    folder = graph_folder(q->desk);
    json_object *list = offered(folder ? folder : ".");
    for (size_t i = 0; i < json_object_array_length(list) && !found; i++)
        found = !strcmp(json_object_get_string(json_object_array_get_idx(list, i)), name);
    json_object_put(list);
    if (found && (!folder || asprintf(path, "%s/%s", folder, name) < 0))
        *path = NULL;
    free(folder);
    return *path ? MF_OK : mf_fail(MF_NOT_FOUND, "there is no graph '%s' beside this one", name);
}

/* {"graph": one of those that are offered, "set": {name: value}}: reads the file again. */
static mf_status answer_open(desk_request *q, desk_reply *r)
{
    mf_setting *set;
    size_t count;
    char *path;

    MF_TRY(choose(q, &path));
    mf_status status = read_settings(q, &set, &count);
    if (!status)
        status = desk_reopen(desk_of(q), path, set, count);
    free(path);
    MF_TRY(status);
    return answer_session(q, r);
}

static mf_status answer_events(desk_request *q, desk_reply *r)
{
    hub_ear *ear = hub_listen(desk_of(q)->hub);

    if (!ear)
        return mf_hint(mf_fail(MF_CANCELLED, "too many pages of this desk are open"),
                       "close some of them");
    desk_reply_stream(r, "text/event-stream", hub_read, hub_leave, ear);
    return MF_OK;
}

const desk_route desk_session_routes[] = {
    {"GET", "/api/session", answer_session}, {"GET", "/api/nodes", answer_nodes},
    {"GET", "/api/why", answer_why},         {"POST", "/api/open", answer_open},
    {"GET", "/api/events", answer_events},   {NULL, NULL, NULL}};
