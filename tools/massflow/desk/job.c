/* job.c - see job.h. */
#include "job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TICK = 250 /* ms */ };

struct desk_jobs {
    pthread_mutex_t turn; /* one runs at a time */
    pthread_mutex_t lock; /* of what follows */
    mf_workspace *running;
    bool stopped; /* for good */
    int64_t done, total;
    char node[160];
};

mf_status desk_jobs_new(desk_jobs **made)
{
    desk_jobs *jobs = calloc(1, sizeof *jobs);
    *made = jobs;
    if (!jobs)
        return mf_no_memory(sizeof *jobs, "the desk");
    pthread_mutex_init(&jobs->turn, NULL);
    pthread_mutex_init(&jobs->lock, NULL);
    return MF_OK;
}

void desk_jobs_stop(desk_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->stopped = true;
    if (jobs->running)
        mf_workspace_cancel(jobs->running);
    pthread_mutex_unlock(&jobs->lock);
}

void desk_jobs_free(desk_jobs *jobs)
{
    if (!jobs)
        return;
    pthread_mutex_destroy(&jobs->turn);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

/* ---- a job ----------------------------------------------------------------------------------- */

void desk_job_clear(desk_job *j)
{
    for (size_t i = 0; i < j->graph.setting_count; i++) {
        free((char *)j->graph.settings[i].name);
        free((char *)j->graph.settings[i].value);
        free((char *)j->own[i].name);
    }
    free((void *)j->graph.settings);
    free((char *)j->graph.graph);
    free((char *)j->graph.folder);
    free(j->own);
    free(j->cache);
    free(j->path);
}

/* Copies the settings of the desk. */
static bool copy_settings(desk_job *j)
{
    const desk *d = j->d;
    mf_setting *list = calloc(d->setting_count + 1, sizeof *list);
    j->own = calloc(d->setting_count + 1, sizeof *j->own);
    j->graph.settings = list;
    bool good = list && j->own;
    for (size_t i = 0; good && i < d->setting_count; i++) {
        list[i] = (mf_setting){strdup(d->settings[i].name), strdup(d->settings[i].value)};
        good =
            asprintf((char **)&j->own[i].name, "set_%zu", i) > 0 && list[i].name && list[i].value;
        j->own[i].value = list[i].value;
        j->graph.setting_count = i + 1;
    }
    return good;
}

mf_status desk_job_begin(desk *d, desk_job *j)
{
    char *folder = NULL;
    *j = (desk_job){.d = d, .cache = desk_cache(d)};
    pthread_mutex_lock(&d->lock);
    j->graph.graph = d->graph ? realpath(d->graph, NULL) : NULL;
    bool good = copy_settings(j) && j->graph.graph && j->cache &&
                asprintf(&folder, "%s/desk", j->cache) > 0;
    pthread_mutex_unlock(&d->lock);
    j->graph.folder = folder;
    return good ? MF_OK : mf_no_memory(0, "a graph");
}

mf_status desk_job_open(desk_job *j, const char *name, void (*put)(FILE *f, const void *self),
                        const void *self, mf_workspace **w)
{
    const mf_workspace_options options = {.settings = j->own,
                                          .setting_count = j->graph.setting_count,
                                          .plugins = j->d->plugins,
                                          .cache = j->cache,
                                          .devices = j->d->devices,
                                          .by_version = j->d->by_version};
    int lock;
    *w = NULL;
    free(j->path);
    j->path = NULL;
    MF_TRY(own_graph_lock(&j->graph, &lock));
    mf_status status = own_graph_write(&j->graph, name, put, self, &j->path);
    if (!status)
        status = mf_workspace_open(j->path, &options, NULL, w);
    close(lock);
    return status;
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct watching {
    desk_jobs *jobs;
    char *failed; /* the first error */
} watching;

static void watch(void *self, const mf_workspace_event *event)
{
    watching *w = self;
    if (!strcmp(event->kind, "failed") && !w->failed && event->text)
        w->failed = strdup(event->text);
    if (strcmp(event->kind, "tick") != 0 || !event->active_count)
        return;
    pthread_mutex_lock(&w->jobs->lock);
    w->jobs->done = event->active[0].done;
    w->jobs->total = event->active[0].total;
    snprintf(w->jobs->node, sizeof w->jobs->node, "%s", event->active[0].node);
    pthread_mutex_unlock(&w->jobs->lock);
}

static mf_status set_running(desk_jobs *jobs, mf_workspace *w)
{
    pthread_mutex_lock(&jobs->lock);
    bool stopped = jobs->stopped && w;
    if (!stopped)
        jobs->running = w;
    jobs->done = jobs->total = 0;
    jobs->node[0] = 0;
    pthread_mutex_unlock(&jobs->lock);
    return stopped ? mf_fail(MF_CANCELLED, "the desk is closing") : MF_OK;
}

static mf_status run_targets(desk_jobs *jobs, mf_workspace *w, const char *const *targets,
                             size_t count)
{
    watching seen = {.jobs = jobs};
    const mf_workspace_ask ask = {.targets = targets, .target_count = count};
    const mf_workspace_run_options options = {
        .tick = TICK, .command = "massflow desk", .watch = watch, .self = &seen};
    mf_workspace_result result = {0};
    MF_TRY(set_running(jobs, w));
    mf_status status = mf_workspace_run(w, &ask, &options, &result);
    mf_error_free(set_running(jobs, NULL));
    if (!status && result.cancelled)
        status = mf_fail(MF_CANCELLED, "it was stopped");
    else if (!status && (result.counts.failed || result.counts.blocked))
        status = mf_fail(MF_INVALID, "%s", seen.failed ? seen.failed : "it failed");
    free(seen.failed);
    return status;
}

mf_status desk_job_run(desk_job *j, mf_workspace *w, const char *const *targets, size_t count)
{
    desk_jobs *jobs = j->d->jobs;
    pthread_mutex_lock(&jobs->turn);
    mf_status status = run_targets(jobs, w, targets, count);
    pthread_mutex_unlock(&jobs->turn);
    return status;
}

/* How far what is run has come. */
static mf_status answer_progress(desk_request *q, desk_reply *r)
{
    desk_jobs *jobs = desk_of(q)->jobs;
    json_object *o = json_object_new_object();
    pthread_mutex_lock(&jobs->lock);
    json_object_object_add(o, "running", json_object_new_boolean(jobs->running != NULL));
    desk_put(o, "node", jobs->node);
    json_object_object_add(o, "done", json_object_new_int64(jobs->done));
    json_object_object_add(o, "total", json_object_new_int64(jobs->total));
    pthread_mutex_unlock(&jobs->lock);
    desk_reply_json(r, o);
    return MF_OK;
}

static mf_status answer_stop(desk_request *q, desk_reply *r)
{
    desk_jobs *jobs = desk_of(q)->jobs;
    pthread_mutex_lock(&jobs->lock);
    if (jobs->running)
        mf_workspace_cancel(jobs->running);
    pthread_mutex_unlock(&jobs->lock);
    desk_reply_json(r, json_object_new_object());
    return MF_OK;
}

const desk_route desk_job_routes[] = {{"POST", "/api/click/stop", answer_stop},
                                      {"GET", "/api/click", answer_progress},
                                      {NULL, NULL, NULL}};

/* ---- results of the user's graph --------------------------------------------------------------
 */

/* That the page names an output that there is, and that it is of this type. */
mf_status desk_output_check(const mf_workspace *w, const char *wanted, const char *type)
{
    const char *port, *of;
    for (size_t i = 0; i < mf_workspace_node_count(w); i++)
        for (size_t k = 0; (port = mf_workspace_output(w, i, k, &of)); k++) {
            char *name = NULL;
            bool same = asprintf(&name, "%s.%s", mf_workspace_node(w, i), port) > 0 &&
                        !strcmp(name, wanted);
            free(name);
            if (same)
                return !strcmp(of, type) ? MF_OK : mf_fail(MF_INVALID, "%s is no %s", wanted, type);
        }
    return mf_fail(MF_NOT_FOUND, "the graph has no result '%s'", wanted);
}

char *desk_output_included(const char *output)
{
    const char *dot = strrchr(output, '.'), *open = strchr(output, '[');
    char *name = NULL;
    if (!dot || !open || open > dot)
        return strdup(output);
    return asprintf(&name, "%.*s%s%.*s", (int)(open - output), output, dot, (int)(dot - open),
                    open) < 0
               ? NULL
               : name;
}

mf_status desk_output_same(mf_workspace *w, const char *included, const char *id)
{
    mf_artifact *found;
    char *name = NULL;
    if (asprintf(&name, "graph.%s", included) < 0)
        return mf_no_memory(0, "a name");
    mf_status status = mf_workspace_artifact(w, name, &found);
    free(name);
    MF_TRY(status);
    const char *now = mf_artifact_id(found);
    if (!now || strcmp(now, id) != 0)
        status = mf_hint(
            mf_fail(MF_INVALID, "the result %s is another one than the page shows", included),
            "reload the page");
    mf_artifact_unref(found);
    return status;
}
