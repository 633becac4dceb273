/* pooled_run.c - see pooled_run.h. The file of the run in the cache, which `massflow workers`
 * reads, is also what the page shows of its workers. */
#include "pooled_run.h"

#include "../crew.h"
#include "../listen.h"
#include "../run_pools.h"
#include "../sites.h"
#include "parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct desk_pooled {
    desk *d;
    mf_site *site; /* until the run has it */
    char *names, *plugins;
    bool local;
    const mf_opened *opened; /* of the run, as all that follows */
    mf_plan *plan;
    run_pools pools;
    notices *said;
    mf_workers *workers;
    crew *crew;
    mf_executor executor;
};

/* ---- before the run -------------------------------------------------------------------------- */

static mf_status check_names(const desk_pooled *p)
{
    const mf_pool **chosen = NULL;
    size_t count;

    mf_status status = mf_site_choose(p->site, p->names, &chosen, &count);
    free(chosen);
    return status;
}

mf_status desk_pooled_new(desk *d, const char *names, bool local, desk_pooled **pooled)
{
    desk_pooled *p = calloc(1, sizeof *p);

    *pooled = NULL;
    if (!p)
        return mf_no_memory(sizeof *p, "a run");
    p->d = d;
    p->local = local;
    p->names = strdup(names);
    p->plugins = d->plugins ? strdup(d->plugins) : NULL;
    p->said = notices_new();
    mf_status status = MF_OK;
    if (!p->names || !p->plugins != !d->plugins || !p->said)
        status = mf_no_memory(0, "a run");
    if (!status)
        status = read_site(d->pools, &p->site);
    if (!status)
        status = check_names(p);
    if (status)
        desk_pooled_free(p);
    else
        *pooled = p;
    return status;
}

void desk_pooled_free(desk_pooled *p)
{
    if (!p)
        return;
    run_pools_clear(&p->pools);
    mf_site_free(p->site);
    notices_free(p->said);
    free(p->names);
    free(p->plugins);
    free(p);
}

/* ---- during the run -------------------------------------------------------------------------- */

static void tell(desk_pooled *p, const char *line, bool wrong)
{
    json_object *o = json_object_new_object();

    desk_put(o, "kind", "notice");
    desk_put(o, "text", line);
    json_object_object_add(o, "wrong", json_object_new_boolean(wrong));
    desk_tell(p->d, "run", o);
}

static void say_notices(desk_pooled *p)
{
    char *line;
    bool wrong;

    while ((line = notices_take(p->said, &wrong))) {
        tell(p, line, wrong);
        free(line);
    }
}

static mf_status plan_it(void *self, mf_opened *opened, mf_plan *plan, mf_run_options *options)
{
    desk_pooled *p = self;
    mf_site *site = p->site;

    p->opened = opened;
    p->plan = plan;
    p->site = NULL;
    MF_TRY(run_pools_open(site, p->names, NULL, opened, plan, &p->pools));
    options->may_come = p->pools.may_come;
    options->may_come_count = p->pools.count;
    options->no_local = !p->local;
    return MF_OK;
}

static void end(void *self)
{
    desk_pooled *p = self;

    crew_free(p->crew);
    p->crew = NULL;
    run_pools_end(&p->pools);
    mf_workers_close(p->workers);
    p->workers = NULL;
    say_notices(p);
}

static mf_status begin(void *self, mf_host *host)
{
    desk_pooled *p = self;
    const listen_at at = run_pools_listen(&p->pools);
    const int slots = p->local ? (int)sysconf(_SC_NPROCESSORS_ONLN) : 0;

    MF_TRY(listen_begin(&at, MF_LINK_BEAT, p->said, &p->workers));
    mf_host_set_workers(host, p->workers);
    p->crew = crew_new(p->opened, p->workers, &p->pools);
    p->executor = mf_host_executor(host);
    mf_status status = run_pools_start(&p->pools, p->plugins, p->workers, slots, false, p->said);
    if (status)
        end(p);
    return status;
}

static void watch(void *self, const mf_run_event *event)
{
    desk_pooled *p = self;

    if (event->kind == MF_RUN_STOPPING)
        run_pools_stop(&p->pools);
    if (event->kind != MF_RUN_TICK && event->kind != MF_RUN_PLANNED)
        return;
    run_pools_look(&p->pools, p->plan, &p->executor);
    say_notices(p);
    if (p->crew)
        crew_note(p->crew, event->counts);
}

mf_workspace_helpers desk_pooled_helpers(desk_pooled *p)
{
    return (mf_workspace_helpers){
        .plan = plan_it, .begin = begin, .event = watch, .end = end, .self = p};
}
