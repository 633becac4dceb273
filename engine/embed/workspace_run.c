/* workspace_run.c - the run of a workspace, from its plan to its exports. See massflow/embed.h. */
#include "embed/event.h"
#include "embed/first_use.h"
#include "embed/own_program.h"
#include "embed/version.h"
#include "embed/workspace.h"

#include <stdlib.h>
#include <string.h>

/* A run under way: what its parts share. */
typedef struct work {
    mf_workspace *w;
    const mf_workspace_helpers *helpers; /* NULL: none */
    mf_opened opened;                    /* graph and plugins are those of w->look */
    const mf_workspace_run_options *options;
    mf_workspace_result *result;
} work;

static void watch_run(void *self, const mf_run_event *event)
{
    work *k = self;

    if (k->helpers)
        k->helpers->event(k->helpers->self, event);
    mf_event_tell(k->options->watch, k->options->self, event);
}

static void watch_export(void *self, const mf_exported *file)
{
    work *k = self;
    const mf_workspace_event event = {.kind = file->error ? "export failed" : "export",
                                      .node = file->node,
                                      .text = file->error ? file->error : file->path};

    if (k->options->watch && (file->error || file->written))
        k->options->watch(k->options->self, &event);
}

static void say(void *self, const char *text)
{
    work *k = self;

    if (k->options->watch)
        k->options->watch(k->options->self, &(mf_workspace_event){.kind = "notice", .text = text});
}

static bool is_cancelled(mf_workspace *w)
{
    pthread_mutex_lock(&w->run_lock);
    bool cancelled = w->cancelled;
    pthread_mutex_unlock(&w->run_lock);
    return cancelled;
}

/* From now on a cancellation reaches the host; one that came before reaches it now. */
static void set_host(mf_workspace *w, mf_host *host)
{
    pthread_mutex_lock(&w->run_lock);
    w->host = host;
    if (host && w->cancelled)
        mf_host_cancel(host);
    pthread_mutex_unlock(&w->run_lock);
}

/* `local`: nodes that want a device may run in this process. */
static mf_status open_host(work *k, mf_plan *plan, bool local, mf_host **host)
{
    char *program = mf_program_path();

    mf_status status = mf_host_new(k->opened.store, k->opened.registry, k->w->devices, host);
    if (!status && program)
        status = mf_host_set_program(*host, program);
    if (!status && local && mf_opened_wants_device(plan))
        status = program ? mf_first_use(*host, say, k)
                         : mf_hint(mf_fail(MF_NOT_FOUND, "devices can't be checked before they are "
                                                         "used: the command massflow is missing"),
                                   "install massflow whole: the command lies beside the library");
    free(program);
    if (status) {
        mf_host_free(*host);
        *host = NULL;
    }
    return status;
}

static mf_status export(work *k, mf_plan *plan, const mf_output_rule *rule)
{
    pthread_mutex_lock(&k->w->lock);
    mf_status status =
        mf_export_all(plan, k->opened.registry, rule, watch_export, k, &k->result->exports_failed);
    pthread_mutex_unlock(&k->w->lock);
    return status;
}

static mf_status run_with(work *k, mf_plan *plan, const mf_output_rule *rule, mf_host *host,
                          const mf_run_options *options)
{
    mf_run_result result = {0};

    if (k->helpers)
        MF_TRY(k->helpers->begin(k->helpers->self, host));
    mf_executor executor = mf_host_executor(host);
    mf_status status = mf_run(plan, &executor, options, &result);
    set_host(k->w, NULL);
    if (k->helpers)
        k->helpers->end(k->helpers->self);
    k->result->counts = mf_event_counts(&result.counts);
    k->result->cancelled = result.interrupted;
    k->result->run = result.run;
    if (!status && !result.interrupted)
        status = export(k, plan, rule);
    return status;
}

static mf_status run_plan(work *k, mf_plan *plan, const mf_output_rule *rule)
{
    const mf_workspace_run_options *o = k->options;
    mf_run_options options = {.jobs = o->jobs,
                              .fail_fast = o->fail_fast,
                              .tick = o->tick,
                              .command = o->command ? o->command : "embedded",
                              .version = MF_VERSION,
                              .watch = watch_run,
                              .self = k};
    mf_host *host;

    if (k->helpers)
        MF_TRY(k->helpers->plan(k->helpers->self, &k->opened, plan, &options));
    MF_TRY(open_host(k, plan, !options.no_local, &host));
    set_host(k->w, host);
    mf_status status = run_with(k, plan, rule, host, &options);
    set_host(k->w, NULL);
    mf_host_free(host);
    return status;
}

static mf_status plan_and_run(work *k, const mf_workspace_ask *ask)
{
    mf_opened_ask all = mf_workspace_asked(k->w, ask);
    mf_output_rule rule;
    mf_plan *plan;

    MF_TRY(mf_opened_cache(&k->opened, k->w->cache, MF_STORE_WRITE));
    MF_TRY(mf_opened_plan(&k->opened, &all, &plan));
    mf_status status = mf_opened_rule(&k->opened, k->options->force, false, &rule);
    if (!status) {
        pthread_mutex_lock(&k->w->lock);
        status = mf_export_check(plan, &rule);
        pthread_mutex_unlock(&k->w->lock);
    }
    if (!status && is_cancelled(k->w))
        k->result->cancelled = true;
    else if (!status)
        status = run_plan(k, plan, &rule);
    mf_plan_free(plan);
    return status;
}

mf_status mf_workspace_run_helped(mf_workspace *w, const mf_workspace_ask *ask,
                                  const mf_workspace_run_options *options,
                                  const mf_workspace_helpers *helpers, mf_workspace_result *result)
{
    const mf_workspace_run_options usual = {0};
    work k = {.w = w,
              .helpers = helpers,
              .opened = {.registry = w->look.registry, .graph = w->look.graph},
              .options = options ? options : &usual,
              .result = result};

    memset(result, 0, sizeof *result);
    pthread_mutex_lock(&w->run_lock);
    bool busy = w->running;
    w->running = true;
    if (!busy)
        w->cancelled = false;
    pthread_mutex_unlock(&w->run_lock);
    if (busy)
        return mf_hint(mf_fail(MF_INVALID, "a run of %s is going on", w->look.graph_path),
                       "wait for it, or open the graph once more");
    atomic_fetch_add(&w->refs, 1);
    mf_status status = plan_and_run(&k, ask);
    k.opened.registry = NULL; /* those of w->look */
    k.opened.graph = NULL;
    mf_opened_clear(&k.opened);
    pthread_mutex_lock(&w->run_lock);
    w->running = false;
    pthread_mutex_unlock(&w->run_lock);
    mf_workspace_close(w);
    return status;
}

mf_status mf_workspace_run(mf_workspace *w, const mf_workspace_ask *ask,
                           const mf_workspace_run_options *options, mf_workspace_result *result)
{
    return mf_workspace_run_helped(w, ask, options, NULL, result);
}

void mf_workspace_cancel(mf_workspace *w)
{
    pthread_mutex_lock(&w->run_lock);
    w->cancelled = w->running;
    if (w->running && w->host)
        mf_host_cancel(w->host);
    pthread_mutex_unlock(&w->run_lock);
}
