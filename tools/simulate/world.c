/* world.c - see world.h. */
#include "world.h"
#include "graph/data/graph.h"
#include "run/schedule/runner.h"
#include <massflow/memory.h>
#include <massflow/seconds.h>

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- stages, which are never run ------------------------------------------------------------- */

typedef struct salt {
    int64_t salt;
} salt;

static const mf_param table[] = {MF_INT(salt, salt, "0", 0, 1000000000, "", "Part of the key."),
                                 MF_END};
static const mf_port none[] = {MF_END};
static const mf_port one_in[] = {MF_PORT("a", "text", ""), MF_END};
static const mf_port all_in[] = {MF_PORT("all", "text[]", ""), MF_END};
static const mf_port outs[] = {MF_PORT("x", "text", ""), MF_END};

static mf_status no_run(mf_task *t, const void *params, void *session)
{
    (void)t, (void)params, (void)session;
    return mf_fail(MF_INTERNAL, "nothing is run here");
}

#define STAGE(variable, its_name, inputs)                                                          \
    static MF_STAGE(variable, its_name, 1, "Simulated.", .params = table,                          \
                    .params_size = sizeof(salt), .in = inputs, .out = outs, .random = true,        \
                    .run = no_run)
STAGE(load, "sim.load", none);
STAGE(work, "sim.work", one_in);
STAGE(gather, "sim.gather", all_in);
static const mf_stage *const stages[] = {&load, &work, &gather, NULL};

/* ---- the world ------------------------------------------------------------------------------- */

typedef enum happening { NODE_DONE, RESULT_HERE, WORKER_LOST, WORKER_COMES } happening;

typedef struct event {
    double at;
    happening what;
    mf_execution *node;
    size_t worker, turn;
} event;

typedef struct worker {
    mf_run_place place;
    uint64_t *has; /* a bit for each node: its result is there */
    mf_execution *running;
} worker;

typedef struct world world;

struct mf_execution {
    world *of;
    size_t node;
    const mf_plan *plan;
    mf_grant grant;
    mf_execution_ended ended;
    void *ended_self;
    mf_execution *next, *previous; /* at its worker */
    bool gone;                     /* its worker was lost */
    bool scheduled;                /* an event names it */
    double seconds, bytes;
    char key[MF_HEX_SIZE], *components;
    mf_plan_output output;
};

struct world {
    const world_options *o;
    world_result *result;
    worker *workers; /* from 1 on */
    size_t worker_count;
    event *events; /* a heap */
    size_t event_count;
    double now, out_free, in_free, store_free; /* when the servers are free */
    double idle_from, slot_seconds, used_seconds;
    float *bytes; /* by node, once it was drawn */
    uint64_t state;
    mf_graph *graph;
    mf_store *store;
    mf_plan *plan;
    mf_executor executor;
    mf_run_options options;
    mf_run_result run;
    mf_runner runner;
    mf_job *ended;
    void (*changed)(void *);
    void *changed_self;
};

static world *the_world; /* the runner's clock knows no other */

static double now(void)
{
    return the_world->now;
}

static double draw(world *w)
{
    w->state = w->state * 6364136223846793005ULL + 1442695040888963407ULL;
    return ((double)(w->state >> 11) + 0.5) / 9007199254740992.0;
}

static double draw_normal(world *w)
{
    double u = draw(w), v = draw(w);

    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* ---- events ---------------------------------------------------------------------------------- */

static mf_status put_event(world *w, event e)
{
    event *grown = mf_list_more(w->events, w->event_count, sizeof *grown);
    size_t at = w->event_count;

    if (!grown)
        return mf_no_memory(0, "events");
    w->events = grown;
    w->event_count++;
    for (; at && e.at < w->events[(at - 1) / 2].at; at = (at - 1) / 2)
        w->events[at] = w->events[(at - 1) / 2];
    w->events[at] = e;
    return MF_OK;
}

static event take_event(world *w)
{
    event first = w->events[0], last = w->events[--w->event_count];
    size_t at = 0, next;

    for (; (next = 2 * at + 1) < w->event_count; at = next) {
        if (next + 1 < w->event_count && w->events[next + 1].at < w->events[next].at)
            next++;
        if (last.at <= w->events[next].at)
            break;
        w->events[at] = w->events[next];
    }
    w->events[at] = last;
    return first;
}

/* That it computed: the machine may do other work, too. What it waits for the disk is not
 * in it. */
static double spent_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void expect(mf_status status)
{
    if (!status)
        return;
    fprintf(stderr, "simulate: %s\n", mf_error_message(status));
    exit(1);
}

/* ---- the executor ---------------------------------------------------------------------------- */

static size_t place_count(void *self)
{
    return ((world *)self)->worker_count + 1;
}

static void place(void *self, size_t i, mf_run_place *p)
{
    world *w = self;

    *p = i ? w->workers[i - 1].place : (mf_run_place){.ends = INFINITY, .open = true};
}

static void watch_places(void *self, void (*changed)(void *), void *changed_self)
{
    (void)self, (void)changed, (void)changed_self;
}

static const char *cannot(void *self, const mf_plan *plan, size_t i, size_t at,
                          const mf_run_place *p)
{
    (void)self, (void)plan, (void)i, (void)at, (void)p;
    return NULL;
}

static mf_status open_devices(void *self, size_t *count)
{
    (void)self;
    *count = 0;
    return mf_fail(MF_NOT_FOUND, "there is no device");
}

static bool has(const worker *k, size_t node)
{
    return k->has[node / 64] >> (node % 64) & 1;
}

static int64_t missing_bytes(const mf_execution *x, const worker *k, bool now_there)
{
    const mf_node *n = mf_plan_at(x->plan, x->node)->node;
    double bytes = 0;

    for (size_t p = 0; p < n->input_count; p++)
        for (size_t e = 0; e < n->inputs[p].count; e++) {
            size_t source = n->inputs[p].edges[e].node;
            if (has(k, source))
                continue;
            bytes += x->of->bytes[source];
            if (now_there)
                k->has[source / 64] |= (uint64_t)1 << (source % 64);
        }
    return (int64_t)bytes;
}

static int64_t missing(mf_execution *x, size_t at)
{
    return at ? missing_bytes(x, &x->of->workers[at - 1], false) : 0;
}

static mf_status prepare(void *self, const mf_plan *plan, size_t i, mf_needs *needs,
                         mf_execution **execution)
{
    const mf_plan_node *n = mf_plan_at(plan, i);
    mf_execution *x = calloc(1, sizeof *x);

    *execution = x;
    if (!x)
        return mf_no_memory(0, "a node");
    *x = (mf_execution){.of = self, .node = i, .plan = plan};
    memcpy(x->key, n->key, sizeof x->key);
    x->components = n->components ? strdup(n->components) : NULL;
    *needs = (mf_needs){.cpu = 1, .host_bytes = 1 << 20, .cost = 1};
    return MF_OK;
}

static void free_execution(mf_execution *x)
{
    if (!x)
        return;
    if (x->scheduled) { /* its event frees it */
        x->of = NULL;
        return;
    }
    free(x->components);
    free(x);
}

/* A queue with one server: when what comes now is through. */
static double serve(double *is_free, double at, double seconds, double *busy)
{
    double begin = *is_free > at ? *is_free : at;

    *busy += seconds;
    *is_free = begin + seconds;
    return *is_free;
}

/* The thread of the node takes its lease first. */
static double take_lease(mf_execution *x)
{
    world *w = x->of;
    double begun = spent_now();
    mf_lease_state state;
    mf_lease_owner owner;

    if (!w->store)
        return w->now;
    expect(mf_store_lease_take(w->store, x->key, 0, false, &state, &owner));
    return serve(&w->store_free, w->now, spent_now() - begun, &w->result->store);
}

static void start(mf_execution *x, const mf_grant *grant, mf_execution_ended ended, void *self)
{
    world *w = x->of;
    worker *k = &w->workers[grant->place - 1];
    double at = take_lease(x), bytes = (double)missing_bytes(x, k, true);

    x->grant = *grant;
    x->ended = ended;
    x->ended_self = self;
    x->seconds = w->o->seconds * exp(w->o->spread * draw_normal(w));
    x->bytes = -w->o->bytes * log(draw(w));
    x->next = k->running;
    if (k->running)
        k->running->previous = x;
    k->running = x;
    w->result->sent += bytes;
    at = serve(&w->out_free, at, bytes / w->o->link, &w->result->link) + w->o->latency;
    x->scheduled = true;
    expect(put_event(w, (event){.at = at + x->seconds, .what = NODE_DONE, .node = x}));
}

static bool cancelled(void *self)
{
    (void)self;
    return false;
}

static void cancel(void *self)
{
    (void)self;
}

static void hand_over(void *self, mf_job *j)
{
    world *w = self;

    j->finished = w->ended;
    w->ended = j;
}

/* ---- what happens ---------------------------------------------------------------------------- */

static void leave(world *w, mf_execution *x)
{
    worker *k = &w->workers[x->grant.place - 1];

    if (x->previous)
        x->previous->next = x->next;
    else
        k->running = x->next;
    if (x->next)
        x->next->previous = x->previous;
}

/* The result is in the cache. */
static void publish(world *w, mf_execution *x)
{
    mf_action_output out = {.port = "x", .present = true};
    mf_action action = {.stage = "sim.work",
                        .components = x->components,
                        .seconds = x->seconds,
                        .run = x->grant.run,
                        .outputs = &out,
                        .output_count = 1};
    char text[32];
    mf_artifact *a;
    double begun = spent_now();

    snprintf(text, sizeof text, "%zu", x->node);
    memcpy(action.key, x->key, sizeof action.key);
    expect(mf_artifact_new("text", &a));
    expect(mf_artifact_set_text(a, "text", text));
    expect(mf_store_put(w->store, a, out.id));
    expect(mf_store_record(w->store, &action));
    mf_artifact_unref(a);
    memcpy(x->output.id, out.id, sizeof x->output.id);
    serve(&w->store_free, w->now, spent_now() - begun, &w->result->store);
}

/* It is done at the worker: its result comes over the link, and goes into the cache. */
static void node_done(world *w, mf_execution *x)
{
    double at;

    w->result->sent += x->bytes;
    at = serve(&w->in_free, w->now, x->bytes / w->o->link, &w->result->link) + w->o->latency;
    snprintf(x->output.id, sizeof x->output.id, "%064zx", x->node + 1);
    x->output.present = true;
    if (w->store) {
        publish(w, x);
        at = at > w->store_free ? at : w->store_free;
    }
    expect(put_event(w, (event){.at = at, .what = RESULT_HERE, .node = x}));
}

static void result_here(world *w, mf_execution *x)
{
    worker *k = &w->workers[x->grant.place - 1];

    w->bytes[x->node] = (float)x->bytes;
    k->has[x->node / 64] |= (uint64_t)1 << (x->node % 64);
    w->result->work += x->seconds;
    leave(w, x);
    x->scheduled = false;
    x->ended(x->ended_self, &(mf_execution_end){.seconds = x->seconds, .outputs = &x->output});
}

static mf_status add_worker(world *w)
{
    worker *grown = mf_list_more(w->workers, w->worker_count, sizeof *grown);
    worker *k;

    if (!grown)
        return mf_no_memory(0, "workers");
    w->workers = grown;
    k = &grown[w->worker_count++];
    *k = (worker){
        .place = {.slots = w->o->slots, .bytes = (size_t)1 << 40, .ends = INFINITY, .open = true}};
    snprintf(k->place.name, sizeof k->place.name, "n%zu:1", w->worker_count);
    k->has = calloc(w->result->nodes / 64 + 1, sizeof *k->has);
    if (!k->has)
        return mf_no_memory(0, "a worker");
    w->runner.places_changed = true;
    if (w->o->losses > 0)
        return put_event(w, (event){.at = w->now - log(draw(w)) * 3600 / w->o->losses,
                                    .what = WORKER_LOST,
                                    .worker = w->worker_count - 1});
    return MF_OK;
}

static void lose_worker(world *w, size_t number)
{
    worker *k = &w->workers[number];

    k->place.open = false;
    free(k->has);
    k->has = NULL;
    w->result->lost++;
    w->runner.places_changed = true;
    while (k->running) {
        mf_execution *x = k->running;
        leave(w, x);
        x->gone = true;
        w->result->returned++;
        if (w->store)
            expect(mf_store_lease_drop(w->store, x->key));
        x->ended(x->ended_self, &(mf_execution_end){.returned = true});
    }
    expect(put_event(w, (event){.at = w->now + 60, .what = WORKER_COMES}));
}

static void happen(world *w, event e)
{
    if (e.node && e.node->gone) { /* nobody waits for it any more */
        mf_execution *x = e.node;
        bool freed = !x->of;
        x->scheduled = false;
        if (freed) {
            free(x->components);
            free(x);
        }
        return;
    }
    switch (e.what) {
    case NODE_DONE:
        node_done(w, e.node);
        break;
    case RESULT_HERE:
        result_here(w, e.node);
        break;
    case WORKER_LOST:
        lose_worker(w, e.worker);
        break;
    case WORKER_COMES:
        expect(add_worker(w));
        break;
    }
}

/* As the loop of run.c does it: what has ended, then what can start, then the record. */
static bool go(world *w)
{
    double begun = spent_now(), store = w->result->store, spent;
    bool more;

    if (w->store)
        mf_store_pin(w->store);
    while (w->ended) {
        mf_job *j = w->ended;
        w->ended = j->finished;
        mf_runner_end(&w->runner, j);
    }
    more = mf_runner_start(&w->runner);
    mf_runner_flush(&w->runner);
    if (w->store)
        mf_store_unpin(w->store);
    /* Leases are taken by threads of their own. */
    spent = spent_now() - begun - (w->result->store - store);
    w->result->loop += spent;
    w->now += spent;
    return more;
}

static void count_slots(world *w, double until)
{
    double passed = until - w->idle_from;

    if (mf_plan_tally(w->plan, MF_PLAN_TO_RUN) + mf_plan_tally(w->plan, MF_PLAN_WAITING)) {
        w->slot_seconds += passed * (double)w->o->workers * w->o->slots;
        w->used_seconds += passed * (double)w->runner.running;
    }
    w->idle_from = until;
}

static void live(world *w)
{
    double begun = w->now;
    bool more = go(w);

    w->idle_from = w->now;
    while (more) {
        if (w->event_count && w->events[0].at > w->now) {
            count_slots(w, w->events[0].at);
            w->now = w->events[0].at;
        }
        while (w->event_count && w->events[0].at <= w->now)
            happen(w, take_event(w));
        if (!w->ended && !w->runner.places_changed)
            continue;
        more = go(w);
        count_slots(w, w->now);
    }
    w->result->span = w->now - begun;
}

/* ---- making it ------------------------------------------------------------------------------- */

/* Cases in thousands of their own set, which is gathered. */
static mf_status write_graph(const world_options *o, const char *path)
{
    size_t cases = o->nodes / 3 ? o->nodes / 3 : 1;
    FILE *out = fopen(path, "w");

    if (!out)
        return mf_fail(MF_IO, "cannot write '%s'", path);
    fprintf(out, "massflow: 1\ncases:\n");
    for (size_t k = 0; k < cases; k += 1000)
        fprintf(out, "  - {count: %zu, id: \"g%zu-{id}\", set: s%zu}\n",
                cases - k < 1000 ? cases - k : 1000, k / 1000, k / 1000);
    fprintf(out, "stages:\n"
                 "  scan: {use: sim.load, each: case}\n"
                 "  masks: {use: sim.work, each: case, in: {a: scan.x}, with: {salt: 1}}\n"
                 "  sample: {use: sim.work, each: case, in: {a: masks.x}, with: {salt: 2}}\n");
    for (size_t k = 0; k < cases; k += 1000)
        fprintf(out, "  all%zu: {use: sim.gather, in: {all: \"sample.x[set=s%zu]\"}}\n", k / 1000,
                k / 1000);
    return fclose(out) ? mf_fail(MF_IO, "cannot write '%s'", path) : MF_OK;
}

static mf_status make_plan(world *w, const mf_registry *registry)
{
    const mf_plan_options planning = {0};
    mf_diagnostics *d;
    bool *asked;
    mf_status status;

    MF_TRY(write_graph(w->o, "graph.yaml"));
    MF_TRY(mf_diagnostics_new(&d));
    status = mf_graph_load("graph.yaml", registry, NULL, 0, d, &w->graph);
    if (!status && !w->graph)
        status = mf_fail(MF_INVALID, "%s", mf_diagnostics_text(d));
    mf_diagnostics_free(d);
    MF_TRY(status);
    w->result->nodes = mf_graph_node_count(w->graph);
    asked = malloc(w->result->nodes + 1);
    w->bytes = calloc(w->result->nodes, sizeof *w->bytes);
    if (!asked || !w->bytes) {
        free(asked);
        return mf_no_memory(0, "a plan");
    }
    memset(asked, true, w->result->nodes);
    status = mf_plan_new(w->graph, w->store, asked, &planning, &w->plan);
    free(asked);
    return status;
}

static mf_status run_world(world *w, const mf_registry *registry)
{
    double begun = mf_seconds();
    static const mf_run_place any = {.slots = 1, .ends = INFINITY};

    if (w->o->store)
        MF_TRY(mf_store_open("store", MF_STORE_WRITE, &w->store));
    MF_TRY(make_plan(w, registry));
    w->result->load = mf_seconds() - begun;
    w->executor = (mf_executor){.self = w,
                                .place_count = place_count,
                                .place = place,
                                .watch_places = watch_places,
                                .cannot = cannot,
                                .open_devices = open_devices,
                                .prepare = prepare,
                                .missing = missing,
                                .start = start,
                                .free = free_execution,
                                .cancel = cancel,
                                .cancelled = cancelled};
    w->options = (mf_run_options){
        .no_local = true, .host_bytes = 1 << 30, .may_come = &any, .may_come_count = 1};
    for (size_t k = 0; k < w->o->workers; k++)
        MF_TRY(add_worker(w));
    w->runner = (mf_runner){.plan = w->plan,
                            .store = w->store,
                            .executor = &w->executor,
                            .options = &w->options,
                            .result = &w->run,
                            .clock = now,
                            .hand_over = hand_over,
                            .self = w};
    MF_TRY(mf_runner_open(&w->runner));
    mf_runner_begin(&w->runner);
    live(w);
    mf_runner_close(&w->runner);
    w->result->done = w->run.counts.done;
    w->result->failed = w->run.counts.failed;
    w->result->slots_used = w->slot_seconds > 0 ? w->used_seconds / w->slot_seconds : 0;
    return mf_runner_free(&w->runner);
}

static void free_world(world *w)
{
    while (w->event_count) {
        event e = take_event(w);
        if (e.node && e.node->gone && !e.node->of) {
            free(e.node->components);
            free(e.node);
        }
    }
    for (size_t k = 0; k < w->worker_count; k++)
        free(w->workers[k].has);
    free(w->workers);
    free(w->events);
    free(w->bytes);
    mf_plan_free(w->plan);
    mf_graph_free(w->graph);
    mf_store_close(w->store);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
    (void)st, (void)flag, (void)walk;
    return remove(path);
}

mf_status world_run(const world_options *options, world_result *result)
{
    static const mf_plugin plugin = {.abi_major = MF_ABI_MAJOR,
                                     .abi_minor = MF_ABI_MINOR,
                                     .stage_size = sizeof(mf_stage),
                                     .param_size = sizeof(mf_param),
                                     .port_size = sizeof(mf_port),
                                     .type_size = sizeof(mf_type),
                                     .name = "sim",
                                     .stages = stages};
    world w = {.o = options, .result = result, .state = options->seed, .now = 1};
    const char *temporary = getenv("TMPDIR");
    char folder[4096];
    mf_registry *registry;
    mf_status status;

    *result = (world_result){0};
    the_world = &w;
    snprintf(folder, sizeof folder, "%.4000s/massflow-simulate-XXXXXX",
             temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return mf_fail(MF_IO, "no temporary folder");
    MF_TRY(mf_registry_new(&registry));
    status = mf_registry_add(registry, &plugin, "sim.so");
    if (!status)
        status = run_world(&w, registry);
    free_world(&w);
    mf_registry_free(registry);
    if (chdir("/") == 0)
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
