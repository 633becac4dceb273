/* run_pools.c - see run_pools.h. */
#include "run_pools.h"

#include "base/path.h"
#include "run/pool/slurm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- before the run -------------------------------------------------------------------------- */

static bool is_chosen(const run_pools *r, const char *name)
{
    for (size_t i = 0; i < r->count; i++)
        if (!strcmp(r->chosen[i]->name, name))
            return true;
    return false;
}

/* Stages that ask for a pool which the run has not. */
static mf_status check_stages(const char *names, const run_pools *r, mf_plan *plan)
{
    const mf_graph *graph = mf_plan_graph(plan);

    for (size_t i = 0; i < mf_plan_count(plan); i++) {
        const mf_plan_node *n = mf_plan_at(plan, i);
        const mf_graph_stage *stage = mf_graph_stage_at(graph, n->node->group);
        const char *pool = stage->limits.pool;
        const mf_pool *there;
        if (!pool || (n->state != MF_PLAN_TO_RUN && n->state != MF_PLAN_WAITING) ||
            is_chosen(r, pool))
            continue;
        mf_status status = mf_site_find(r->site, pool, &there);
        if (!status)
            status = mf_hint(mf_fail(MF_INVALID, "this run has no workers of pool '%s'", pool),
                             "--pool %s,%s", names, pool);
        return mf_at(mf_within(status, "stage '%s' asks for a pool", stage->label),
                     mf_graph_path(graph), stage->line, stage->column);
    }
    return MF_OK;
}

/* What a worker of each pool will have, as far as the site says. */
static mf_status make_places(run_pools *r)
{
    r->may_come = calloc(r->count, sizeof *r->may_come);
    if (!r->may_come)
        return mf_no_memory(0, "pools");
    for (size_t i = 0; i < r->count; i++) {
        const mf_pool *p = r->chosen[i];
        mf_run_place *place = &r->may_come[i];
        int devices;
        mf_slurm_sizes(p, &place->slots, &place->bytes, &devices);
        snprintf(place->pool, sizeof place->pool, "%s", p->name);
        /* What the site does not say can't be held against it: a CPU is a device, too. */
        if (p->submit == MF_SUBMIT_COMMAND && !p->slots)
            place->slots = INT32_MAX;
        place->device_count = devices > 0 ? (size_t)devices : p->devices < 0;
        place->ends = p->time; /* counted from when it comes */
        place->most = (size_t)(p->max - p->max % mf_pool_tasks(p));
        place->open = true;
    }
    return MF_OK;
}

static mf_status prepare(const char *names, const char *listen, const workspace *w, mf_plan *plan,
                         run_pools *r)
{
    char *last = NULL;

    MF_TRY(mf_site_choose(r->site, names, &r->chosen, &r->count));
    MF_TRY(check_stages(names, r, plan));
    MF_TRY(make_places(r));
    MF_TRY(mf_shared_open(mf_site_folder(r->site), mf_store_dir(w->store), false, &r->shared));
    last = mf_shared_address(r->shared);
    mf_status status = listen_address(listen, r->site, last, &r->listen);
    if (!status && last)
        status = listen_address(listen, r->site, NULL, &r->otherwise);
    free(last);
    return status;
}

mf_status run_pools_open(mf_site *site, const char *names, const char *listen, const workspace *w,
                         mf_plan *plan, run_pools *r)
{
    *r = (run_pools){.site = site};
    mf_status status = prepare(names, listen, w, plan, r);
    if (status)
        run_pools_clear(r);
    return status;
}

listen_at run_pools_listen(const run_pools *r)
{
    listen_at at = {.address = r->listen, .otherwise = r->otherwise};

    if (r->shared)
        at.token = r->shared->token;
    if (r->site)
        at.spool = mf_site_spool(r->site, &at.spool_bytes);
    return at;
}

/* ---- during the run -------------------------------------------------------------------------- */

/* The options that workers need to know the same stages. */
static char *plugin_words(const char *dir)
{
    char *real = dir ? realpath(dir, NULL) : NULL, *words = NULL;
    char *word = real ? mf_shell_word(real, false) : NULL;

    if (asprintf(&words, "%s%s", word ? "--plugins " : "", word ? word : "") < 0)
        words = NULL;
    free(real);
    free(word);
    return words;
}

mf_status run_pools_start(run_pools *r, const char *plugins, mf_workers *workers, int slots,
                          bool trial, notices *said)
{
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);

    program[length < 0 ? 0 : length] = 0;
    r->workers = workers;
    r->slots = slots;
    r->plugins = plugin_words(plugins);
    if (!r->plugins)
        return mf_no_memory(0, "pools");
    MF_TRY(connect_address(r->listen, mf_workers_address(workers), &r->connect));
    MF_TRY(mf_shared_note_address(r->shared, r->connect));
    return mf_pools_new(&(mf_pools_options){.pools = r->chosen,
                                            .count = r->count,
                                            .connect = r->connect,
                                            .shared = r->shared,
                                            .program = program,
                                            .plugins = r->plugins,
                                            .count_every = trial ? 5 : 0,
                                            .tell_after = trial,
                                            .say = notices_warn,
                                            .self = said},
                        &r->pools);
}

/* Nodes that run or could start. */
typedef struct demand {
    size_t host, device; /* that want no device, and that want one */
    size_t together;     /* the most workers that one of them needs at the same time; not counted
                          * above */
} demand;

/* Whether workers of pool k may run node i: the same for all nodes of its stage. */
static bool can(run_pools *r, mf_plan *plan, const mf_executor *e, size_t i, size_t k)
{
    size_t stages = mf_graph_stage_count(mf_plan_graph(plan));
    uint8_t *known = &r->can[k * stages + mf_plan_at(plan, i)->node->group];

    if (!*known)
        *known = e->cannot(e->self, plan, i, MF_PLACE_TO_COME, &r->may_come[k]) ? 2 : 1;
    return *known == 1;
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void count_nodes(run_pools *r, mf_plan *plan, const mf_executor *e, demand *any,
                        demand *pinned)
{
    const mf_graph *graph = mf_plan_graph(plan);

    for (size_t i = 0; i < mf_plan_count(plan); i++) {
        const mf_plan_node *n = mf_plan_at(plan, i);
        demand *d = NULL;
        if (n->state != MF_PLAN_RUNNING && !mf_plan_can_start(n))
            continue;
        for (size_t k = 0; k < r->count && !d; k++)
            if (can(r, plan, e, i, k))
                d = mf_graph_stage_at(graph, n->node->group)->limits.pool ? &pinned[k] : any;
        if (d && mf_work_ranks(&n->work) > 1)
            d->together = most(d->together, mf_work_ranks(&n->work));
        else if (d && (n->work.stage->kernels || n->work.stage->program))
            d->device++;
        else if (d)
            d->host++;
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t over(size_t nodes, size_t each)
{
    return nodes / each + (nodes % each > 0);
}

/* Workers of a place's kind that these nodes could use. */
static size_t workers_for(const mf_run_place *p, const demand *d)
{
    size_t slots = p->slots > 0 ? (size_t)p->slots : 1;
    size_t for_device = p->device_count ? over(d->device, p->device_count) : 0;
    size_t for_host = over(d->host, slots);

    return most(most(for_device, for_host), d->together);
}

static size_t connected(run_pools *r, const char *pool)
{
    size_t count = 0;

    for (size_t i = 1; i <= mf_workers_count(r->workers); i++) {
        mf_worker_state s;
        mf_workers_state(r->workers, i, &s);
        count += !s.lost && !strcmp(s.pool, pool);
    }
    return count;
}

/* What any worker may run is for this process first, then for the pools in their order. */
static void share(run_pools *r, mf_plan *plan, const mf_executor *e)
{
    size_t stages = mf_graph_stage_count(mf_plan_graph(plan));
    demand any = {0}, *pinned = calloc(r->count, sizeof *pinned);

    if (!r->can)
        r->can = calloc(r->count * stages, 1);
    if (!pinned || !r->can) {
        free(pinned);
        return;
    }
    count_nodes(r, plan, e, &any, pinned);
    any.host -= least(any.host, (size_t)r->slots);
    any.device -= least(any.device, r->slots > 0);
    for (size_t i = 0; i < r->count; i++) {
        const mf_run_place *p = &r->may_come[i];
        demand all = {any.host + pinned[i].host,
                      (p->device_count ? any.device : 0) + pinned[i].device,
                      most(any.together, pinned[i].together)};
        size_t workers = least(workers_for(p, &all), (size_t)r->chosen[i]->max);
        mf_pools_want(r->pools, i, workers);
        any.host -= least(any.host, workers * (size_t)p->slots);
        any.device -= least(any.device, workers * p->device_count);
        any.together -= least(any.together, workers);
    }
    free(pinned);
}

void run_pools_look(run_pools *r, mf_plan *plan, const mf_executor *executor)
{
    if (!r->pools)
        return;
    for (size_t i = 0; i < r->count; i++)
        mf_pools_connected(r->pools, i, connected(r, r->chosen[i]->name));
    if (r->stopping || r->changes == mf_plan_changes(plan))
        return;
    r->changes = mf_plan_changes(plan);
    share(r, plan, executor);
}

void run_pools_stop(run_pools *r)
{
    r->stopping = true;
    for (size_t i = 0; r->pools && i < r->count; i++)
        mf_pools_want(r->pools, i, 0);
}

/* ---- after the run --------------------------------------------------------------------------- */

void run_pools_end(run_pools *r)
{
    for (size_t i = 0; r->pools && i < r->count; i++)
        mf_pools_connected(r->pools, i, connected(r, r->chosen[i]->name));
    if (r->pools)
        mf_workers_dismiss(r->workers); /* their commands end with them */
    mf_pools_free(r->pools);
    r->pools = NULL;
}

void run_pools_clear(run_pools *r)
{
    run_pools_end(r);
    mf_shared_free(r->shared);
    mf_site_free(r->site);
    free(r->chosen);
    free(r->listen);
    free(r->otherwise);
    free(r->may_come);
    free(r->can);
    free(r->connect);
    free(r->plugins);
    memset(r, 0, sizeof *r);
}
