/* page_session.c - what a page is told of the graph as a whole, which graphs it may open instead,
 * and the events that it hears. */
#include "parts.h"

#include <massflow/file.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_GRAPHS 200 /* files that are offered */
#define HEAD 4096       /* bytes of a file in which `massflow:` has to stand */

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
            desk_settings_free(*settings, *count + 1);
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
        *path = q->desk->graph ? strdup(q->desk->graph) : NULL;
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

const desk_route desk_session_routes[] = {{"GET", "/api/session", answer_session},
                                          {"POST", "/api/open", answer_open},
                                          {"GET", "/api/events", answer_events},
                                          {NULL, NULL, NULL}};
