/* opened_graph.c - the graph that is open, with its settings and its workspace, from the beginning
 * of the desk to its end. */
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

void desk_settings_free(mf_setting *settings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((char *)settings[i].name);
        free((char *)settings[i].value);
    }
    free(settings);
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
        desk_settings_free(settings, count);
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
    desk_kept_drop(d);
    pthread_mutex_unlock(&d->lock);
    mf_workspace_close(before);
    desk_settings_free(old, old_count);
    desk_tell(d, "session", json_object_new_object());
    return status;
}

static mf_status copy_options(desk *d, const desk_options *o, mf_setting **settings)
{
    d->cache = copy(o->cache);
    d->plugins = copy(o->plugins);
    d->devices = copy(o->devices);
    d->pools = copy(o->pools);
    d->by_version = o->by_version;
    *settings = calloc(o->setting_count + 1, sizeof **settings);
    bool good = *settings && !d->cache == !o->cache && !d->plugins == !o->plugins &&
                !d->devices == !o->devices && !d->pools == !o->pools;
    for (size_t i = 0; good && i < o->setting_count; i++) {
        (*settings)[i] = (mf_setting){copy(o->settings[i].name), copy(o->settings[i].value)};
        good = (*settings)[i].name && (*settings)[i].value;
    }
    if (good)
        return MF_OK;
    if (*settings)
        desk_settings_free(*settings, o->setting_count);
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
    desk_kept_drop(d);
    mf_workspace_close(d->w);
    desk_settings_free(d->settings, d->setting_count);
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
    free(d->pools);
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
