/* launch.c - a run that the page starts, follows and stops. It is one of this process: what it
 * keeps, and how it stops, is as with `massflow run`. */
#include "../rate.h"
#include "parts.h"
#include "pooled_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK 500       /* milliseconds */
#define MOST_TEXTS 256 /* targets, or pools */

static json_object *counts_of(const mf_workspace_counts *c)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "wanted", json_object_new_int64((int64_t)c->wanted));
    json_object_object_add(o, "done", json_object_new_int64((int64_t)c->done));
    json_object_object_add(o, "cached", json_object_new_int64((int64_t)c->cached));
    json_object_object_add(o, "failed", json_object_new_int64((int64_t)c->failed));
    json_object_object_add(o, "blocked", json_object_new_int64((int64_t)c->blocked));
    return o;
}

/* Resident memory of this process, bytes; 0 where it is not known. */
static int64_t resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file && fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static json_object *active_of(rates *r, const mf_workspace_active *a)
{
    const mf_run_active as = {.node = a->node,
                              .place = "",
                              .seconds = a->seconds,
                              .state = {.done = a->done, .total = a->total}};
    json_object *o = json_object_new_object();
    double rate, left;

    desk_put(o, "node", a->node);
    json_object_object_add(o, "seconds", json_object_new_double(a->seconds));
    if (a->total > 0) {
        json_object_object_add(o, "done", json_object_new_int64(a->done));
        json_object_object_add(o, "total", json_object_new_int64(a->total));
    }
    if (rate_of(r, &as, &rate, &left)) {
        json_object_object_add(o, "rate", json_object_new_double(rate));
        json_object_object_add(o, "left", json_object_new_double(left));
    }
    if (a->words && *a->words)
        desk_put(o, "words", a->words);
    return o;
}

typedef struct follower {
    desk *d;
    int slots; /* of this process */
    rates rates;
} follower;

/* What a page that is opened now has to be told. */
static void remember(desk *d, json_object *state, const mf_workspace_event *event)
{
    char *text = strdup(json_object_to_json_string(state));

    pthread_mutex_lock(&d->launch.lock);
    for (size_t i = 0; event && i < event->active_count; i++)
        desk_live_add(&d->launch.live, &event->active[i]);
    free(d->launch.state);
    d->launch.state = text;
    pthread_mutex_unlock(&d->launch.lock);
}

static void watch(void *self, const mf_workspace_event *event)
{
    follower *f = self;
    json_object *o = json_object_new_object();

    desk_put(o, "kind", event->kind);
    desk_put(o, "node", event->node);
    desk_put(o, "text", event->text);
    if (event->seconds > 0)
        json_object_object_add(o, "seconds", json_object_new_double(event->seconds));
    if (strcmp(event->kind, "notice") && strncmp(event->kind, "export", 6))
        json_object_object_add(o, "counts", counts_of(&event->counts));
    if (!strcmp(event->kind, "tick")) {
        json_object *list = json_object_new_array();
        for (size_t i = 0; i < event->active_count; i++)
            json_object_array_add(list, active_of(&f->rates, &event->active[i]));
        json_object_object_add(o, "active", list);
        json_object_object_add(o, "memory", json_object_new_int64(resident()));
        json_object_object_add(o, "slots", json_object_new_int(f->slots));
        remember(f->d, o, event);
    }
    desk_tell(f->d, "run", o);
}

static json_object *end_of(const mf_workspace_result *result, mf_status status)
{
    json_object *o = json_object_new_object();
    char *text = status ? mf_error_text(status) : NULL;
    bool bad = status || result->counts.failed || result->counts.blocked || result->exports_failed;

    desk_put(o, "kind", "ended");
    desk_put(o, "status", result->cancelled ? "interrupted" : bad ? "failed" : "done");
    desk_put(o, "text", text);
    json_object_object_add(o, "counts", counts_of(&result->counts));
    if (result->run)
        json_object_object_add(o, "run", json_object_new_int64(result->run));
    free(text);
    return o;
}

static void clear(desk_wanted *wanted)
{
    desk_pooled_free(wanted->pooled);
    mf_workspace_close(wanted->w);
    for (size_t i = 0; i < wanted->target_count; i++)
        free(wanted->targets[i]);
    free(wanted->targets);
    *wanted = (desk_wanted){0};
}

static void *run(void *self)
{
    desk *d = self;
    desk_launch *l = &d->launch;
    desk_wanted *is = &l->wanted;
    follower f = {.d = d, .slots = is->local ? (int)sysconf(_SC_NPROCESSORS_ONLN) : 0};
    const mf_workspace_ask ask = {.targets = (const char *const *)is->targets,
                                  .target_count = is->target_count};
    const mf_workspace_run_options options = {
        .tick = TICK, .command = "massflow desk", .force = is->force, .watch = watch, .self = &f};
    mf_workspace_helpers helpers = {0};
    mf_workspace_result result;

    if (is->pooled)
        helpers = desk_pooled_helpers(is->pooled);
    mf_status status =
        mf_workspace_run_helped(is->w, &ask, &options, is->pooled ? &helpers : NULL, &result);
    json_object *end = end_of(&result, status);
    mf_error_free(status);
    remember(d, end, NULL);
    pthread_mutex_lock(&l->lock);
    clear(is);
    l->running = l->stopping = false;
    pthread_mutex_unlock(&l->lock);
    desk_tell(d, "run", end);
    return NULL;
}

/* A list of texts in a body; none where it is left out. The caller frees them, after an error, too.
 */
static mf_status read_texts(const desk_request *q, const char *name, char ***texts, size_t *count)
{
    json_object *list = NULL;
    size_t length;

    *texts = NULL;
    *count = 0;
    if (!json_object_object_get_ex(desk_body(q), name, &list))
        return MF_OK;
    if (!json_object_is_type(list, json_type_array))
        return mf_fail(MF_INVALID, "'%s' has to be a list of texts", name);
    length = json_object_array_length(list);
    if (length > MOST_TEXTS)
        return mf_fail(MF_INVALID, "'%s' has at most %d texts", name, MOST_TEXTS);
    *texts = calloc(length + 1, sizeof **texts);
    if (!*texts)
        return mf_no_memory(0, name);
    for (size_t i = 0; i < length; i++) {
        json_object *o = json_object_array_get_idx(list, i);
        bool is = json_object_is_type(o, json_type_string);
        (*texts)[i] = is ? strdup(json_object_get_string(o)) : NULL;
        if (!(*texts)[i])
            break;
        ++*count;
    }
    return *count == length ? MF_OK : mf_fail(MF_INVALID, "'%s' has to be a list of texts", name);
}

/* "gpu,cpu"; NULL where memory is short. */
static char *joined(char **texts, size_t count)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    for (size_t i = 0; out && i < count; i++)
        fprintf(out, "%s%s", i ? "," : "", texts[i]);
    if (out)
        fclose(out);
    return text;
}

/* Without pools a run has the slots of this process; with some it may have none of its own. */
static mf_status read_places(desk_request *q, desk_wanted *wanted)
{
    json_object *o;
    char **pools, *names = NULL;
    size_t count;

    wanted->local =
        !json_object_object_get_ex(desk_body(q), "local", &o) || json_object_get_boolean(o);
    mf_status status = read_texts(q, "pools", &pools, &count);
    if (!status && !count && !wanted->local)
        status = mf_fail(MF_INVALID, "a run needs this machine, or a pool");
    if (!status && count) {
        names = joined(pools, count);
        status = names ? desk_pooled_new(desk_of(q), names, wanted->local, &wanted->pooled)
                       : mf_no_memory(0, "pools");
    }
    for (size_t i = 0; i < count; i++)
        free(pools[i]);
    free(pools);
    free(names);
    return status;
}

static mf_status read_wanted(desk_request *q, desk_wanted *wanted)
{
    json_object *force;

    *wanted = (desk_wanted){.force = json_object_object_get_ex(desk_body(q), "force", &force) &&
                                     json_object_get_boolean(force)};
    MF_TRY(desk_workspace(desk_of(q), &wanted->w));
    MF_TRY(read_texts(q, "targets", &wanted->targets, &wanted->target_count));
    return read_places(q, wanted);
}

/* With the lock held. Takes `wanted` over where it begins. */
static mf_status start(desk *d, desk_wanted *wanted)
{
    desk_launch *l = &d->launch;

    if (l->closed)
        return mf_fail(MF_CANCELLED, "the desk is closing");
    if (l->running)
        return mf_fail(MF_CANCELLED, "a run is going on already");
    if (l->joinable)
        pthread_join(l->thread, NULL);
    l->wanted = *wanted;
    desk_live_clear(&l->live);
    l->running = true;
    l->joinable = !pthread_create(&l->thread, NULL, run, d);
    if (l->joinable) {
        *wanted = (desk_wanted){0};
        return MF_OK;
    }
    l->running = false;
    l->wanted = (desk_wanted){0};
    return mf_fail(MF_NO_MEMORY, "no thread for a run");
}

/* {"targets": [...], "force": true, "pools": [...], "local": false}, all of which may be left out.
 */
static mf_status answer_run(desk_request *q, desk_reply *r)
{
    desk *d = desk_of(q);
    desk_wanted wanted;

    mf_status status = read_wanted(q, &wanted);
    if (!status) {
        pthread_mutex_lock(&d->launch.lock);
        status = start(d, &wanted);
        pthread_mutex_unlock(&d->launch.lock);
    }
    clear(&wanted);
    if (!status)
        desk_reply_json(r, json_object_new_object());
    return status;
}

/* With the lock held. */
static void stop(desk_launch *l)
{
    if (!l->running || !l->wanted.w)
        return;
    l->stopping = true;
    mf_workspace_cancel(l->wanted.w);
}

void desk_launch_close(desk *d)
{
    pthread_mutex_lock(&d->launch.lock);
    d->launch.closed = true;
    stop(&d->launch);
    pthread_mutex_unlock(&d->launch.lock);
}

void desk_launch_join(desk *d)
{
    if (d->launch.joinable)
        pthread_join(d->launch.thread, NULL);
    d->launch.joinable = false;
}

static mf_status answer_stop(desk_request *q, desk_reply *r)
{
    desk_launch *l = &desk_of(q)->launch;

    pthread_mutex_lock(&l->lock);
    stop(l);
    pthread_mutex_unlock(&l->lock);
    desk_reply_json(r, json_object_new_object());
    return MF_OK;
}

/* How the run stands that this desk started last. */
static mf_status answer_running(desk_request *q, desk_reply *r)
{
    desk_launch *l = &desk_of(q)->launch;
    json_object *o = json_object_new_object();

    pthread_mutex_lock(&l->lock);
    json_object_object_add(o, "running", json_object_new_boolean(l->running));
    json_object_object_add(o, "stopping", json_object_new_boolean(l->stopping));
    json_object_object_add(o, "last", l->state ? json_tokener_parse(l->state) : NULL);
    desk_reply_json(r, o);
    pthread_mutex_unlock(&l->lock);
    return MF_OK;
}

/* The steps of the run that this desk started last: node, step, words. */
static mf_status answer_live(desk_request *q, desk_reply *r)
{
    desk_launch *l = &desk_of(q)->launch;

    pthread_mutex_lock(&l->lock);
    json_object *list = desk_live_json(&l->live);
    pthread_mutex_unlock(&l->lock);
    desk_reply_json(r, list);
    return MF_OK;
}

const desk_route desk_launch_routes[] = {{"POST", "/api/run", answer_run},
                                         {"POST", "/api/stop", answer_stop},
                                         {"GET", "/api/run", answer_running},
                                         {"GET", "/api/live", answer_live},
                                         {NULL, NULL, NULL}};
