/* fake_executor.h - a run without threads, stages or time: a fake executor, a clock that the test
 * sets, and the events of the scheduler as text, a line each.
 *
 * What is started waits until the test says how it ends. */
#ifndef FAKE_EXECUTOR_H
#define FAKE_EXECUTOR_H

#include "graph_fixture.h"
#include "run/schedule/runner.h"
#include "small_stages.h"

#include <math.h>
#include <sqlite3.h>

/* ---- stages, which are never run ------------------------------------------------------------- */

static const mf_port two_in[] = {MF_PORT("a", "text", ""), MF_PORT("b", "text?", ""), MF_END};
static const mf_port read_in[] = {MF_PORT("items", "stream<text>", ""), MF_END};
static const mf_port outs[] = {MF_PORT("x", "text", ""), MF_PORT("y", "text", ""), MF_END};
SMALL_STAGE(make, "fake.make", salt, salt_table, none, outs, .run = no_run);
SMALL_STAGE(two, "fake.two", salt, salt_table, two_in, outs, .run = no_run);
SMALL_STAGE(device, "fake.device", salt, salt_table, two_in, outs, .run = no_run,
            .kernels = kernels);
SMALL_STAGE(all, "fake.all", salt, salt_table, all_in, outs, .run = no_run);
SMALL_STAGE(items, "fake.items", salt, salt_table, all_in, items_out, .item = no_item);
SMALL_STAGE(reading, "fake.read", salt, salt_table, read_in, outs, .run = no_run);
MF_PLUGIN("fake", &make, &two, &device, &all, &items, &reading)

#define PORTS 2
#define MOST 16 /* nodes that run, devices, nodes with needs of their own */

/* ---- the executor ---------------------------------------------------------------------------- */

typedef struct fake fake;

struct mf_execution {
    fake *of;
    char node[64], key[MF_HEX_SIZE], *components;
    const mf_stage *stage;
    mf_grant grant;
    mf_execution_ended ended;
    void *ended_self;
    mf_plan_output outputs[PORTS];
};

/* What a node needs that is not one slot and no memory. */
typedef struct fake_needs {
    const char *node;
    int cpu;
    size_t host_bytes;
    int devices;
} fake_needs;

struct fake {
    mf_store *store;
    mf_execution *running[MOST];
    size_t count;
    size_t prepared; /* and not freed */
    mf_device_info devices[MOST];
    size_t device_count;
    fake_needs needs[MOST];
    const char *impossible; /* a node that can't be prepared */
    bool at_once;           /* what is started ends then and there */
    bool cancelled;
};

static inline MF_MUST_USE mf_status fake_open_devices(void *self, size_t *count)
{
    fake *f = self;
    *count = f->device_count;
    return *count ? MF_OK : mf_fail(MF_NOT_FOUND, "there is no device");
}

static inline const mf_device_info *fake_device(void *self, size_t place, size_t i)
{
    fake *f = self;
    ck_assert_uint_eq(place, 0);
    ck_assert_uint_lt(i, f->device_count);
    return &f->devices[i];
}

static inline bool fake_same_memory(void *self, size_t place, size_t a, size_t b)
{
    (void)self, (void)place;
    return a == b;
}

static inline size_t fake_place_count(void *self)
{
    (void)self;
    return 1;
}

static inline void fake_place(void *self, size_t place, mf_run_place *p)
{
    (void)self, (void)place;
    *p = (mf_run_place){.ends = INFINITY, .open = true};
}

static inline void fake_watch_places(void *self, void (*changed)(void *), void *changed_self)
{
    (void)self, (void)changed, (void)changed_self;
}

static inline const char *fake_cannot(void *self, const mf_plan *plan, size_t i, size_t place,
                                      const mf_run_place *p)
{
    (void)self, (void)plan, (void)i, (void)place, (void)p;
    return NULL;
}

static inline int64_t fake_missing(mf_execution *x, size_t place)
{
    (void)x, (void)place;
    return 0;
}

static inline MF_MUST_USE mf_status fake_prepare(void *self, const mf_plan *plan, size_t i,
                                                 mf_needs *needs, mf_execution **execution)
{
    fake *f = self;
    const mf_plan_node *n = mf_plan_at(plan, i);
    mf_execution *x;

    ck_assert(mf_plan_can_start(n));
    *execution = NULL;
    if (f->impossible && !strcmp(f->impossible, n->node->name))
        return mf_fail(MF_INVALID, "it can't be prepared");
    x = calloc(1, sizeof *x);
    x->of = f;
    x->stage = n->node->stage;
    x->components = strdup(n->components);
    strcpy(x->node, n->node->name);
    strcpy(x->key, n->key);
    *needs = (mf_needs){.cpu = 1, .device = mf_work_wants_device(&n->work), .cost = 1};
    for (int k = 0; k < MOST && f->needs[k].node; k++) {
        if (strcmp(f->needs[k].node, x->node))
            continue;
        needs->cpu = f->needs[k].cpu;
        needs->host_bytes = f->needs[k].host_bytes;
        needs->devices = f->needs[k].devices;
    }
    f->prepared++;
    *execution = x;
    return MF_OK;
}

static inline void fake_free(mf_execution *x)
{
    if (!x)
        return;
    for (size_t k = 0; k < x->of->count; k++)
        ck_assert_ptr_ne(x->of->running[k], x);
    x->of->prepared--;
    free(x->components);
    free(x);
}

static inline void fake_progress(mf_execution *x, mf_task_state *task)
{
    (void)x;
    *task = (mf_task_state){0};
}

static inline double fake_overtime(mf_execution *x)
{
    (void)x;
    return -1;
}

static inline void fake_cancel(void *self)
{
    ((fake *)self)->cancelled = true;
}

static inline bool fake_cancelled(void *self)
{
    return ((fake *)self)->cancelled;
}

static inline void fake_set_log(void *self, mf_log_sink sink, void *sink_self)
{
    (void)self, (void)sink, (void)sink_self;
}

/* Somebody stores what the node makes: a text for each port, which begins with `content`. */
static inline void fake_store(mf_store *store, const mf_stage *stage, const char *key,
                              const char *components, const char *device_name, const char *content,
                              mf_plan_output *outputs)
{
    mf_action_output list[PORTS] = {{.port = "x"}, {.port = "y"}};
    mf_action action = {.stage = stage->name,
                        .components = components,
                        .device = device_name,
                        .outputs = list,
                        .output_count = PORTS};
    strcpy(action.key, key);
    for (int p = 0; p < PORTS; p++) {
        char text[128];
        mf_artifact *a;
        snprintf(text, sizeof text, "%s %s", content, list[p].port);
        ok(mf_artifact_new("text", &a));
        ok(mf_artifact_set_text(a, "text", text));
        ok(mf_store_put(store, a, list[p].id));
        mf_artifact_unref(a);
        strcpy(outputs[p].id, list[p].id);
        outputs[p].present = true;
    }
    ok(mf_store_record(store, &action));
}

/* Takes it from what runs. */
static inline void fake_end(mf_execution *x, const mf_execution_end *end)
{
    fake *f = x->of;
    size_t at = 0;
    while (at < f->count && f->running[at] != x)
        at++;
    ck_assert_uint_lt(at, f->count);
    f->running[at] = f->running[--f->count];
    x->ended(x->ended_self, end);
}

static inline void fake_finish(mf_execution *x, const char *content)
{
    fake_store(x->of->store, x->stage, x->key, x->components, "", content, x->outputs);
    fake_end(x, &(mf_execution_end){.seconds = 2, .outputs = x->outputs});
}

static inline void fake_start(mf_execution *x, const mf_grant *grant, mf_execution_ended ended,
                              void *self)
{
    fake *f = x->of;
    ck_assert_uint_lt(f->count, MOST);
    x->grant = *grant;
    x->ended = ended;
    x->ended_self = self;
    f->running[f->count++] = x;
    if (f->at_once)
        fake_finish(x, x->node);
}

static inline mf_executor fake_executor(fake *f)
{
    return (mf_executor){.self = f,
                         .place_count = fake_place_count,
                         .place = fake_place,
                         .watch_places = fake_watch_places,
                         .cannot = fake_cannot,
                         .open_devices = fake_open_devices,
                         .device = fake_device,
                         .same_memory = fake_same_memory,
                         .prepare = fake_prepare,
                         .missing = fake_missing,
                         .start = fake_start,
                         .free = fake_free,
                         .progress = fake_progress,
                         .overtime = fake_overtime,
                         .cancel = fake_cancel,
                         .cancelled = fake_cancelled,
                         .set_log = fake_set_log};
}

/* ---- a run ----------------------------------------------------------------------------------- */

typedef struct trial {
    fake f;
    mf_executor executor;
    mf_store *store;
    mf_graph *graph;
    mf_plan *plan;
    mf_plan_options planning;
    mf_run_options options;
    mf_run_result result;
    mf_runner r;
    mf_job *ended; /* handed over, and not told to the runner yet */
    char log[4096];
} trial;

static double fake_clock; /* seconds */

static inline double fake_now(void)
{
    return fake_clock;
}

static inline void watch_trial(void *self, const mf_run_event *e)
{
    static const char *const words[] = {"planned", "start",   "done",     "found", "fail",
                                        "block",   "waiting", "overtime", "back",  "log"};
    trial *t = self;
    const char *text = e->kind == MF_RUN_WAITING ? "" : e->text; /* names a host and a process */

    if (e->kind == MF_RUN_PLANNED)
        return;
    snprintf(t->log + strlen(t->log), sizeof t->log - strlen(t->log), "%s %s%s%s\n", words[e->kind],
             e->node, text && *text ? ": " : "", text ? text : "");
}

static inline void take_over(void *self, mf_job *j)
{
    trial *t = self;
    j->finished = t->ended;
    t->ended = j;
}

/* What has been told since the last time. */
static inline void told(trial *t, const char *expected)
{
    ck_assert_str_eq(t->log, expected);
    t->log[0] = '\0';
}

/* The cache is made by the first, and stays for the next. */
static inline void plan_trial(trial *t, const char *text)
{
    bool asked[64];
    memset(asked, true, sizeof asked);
    ok(mf_store_open("store", MF_STORE_WRITE, &t->store));
    t->graph = load_text(text);
    ck_assert_uint_le(mf_graph_node_count(t->graph), 64);
    ok(mf_plan_new(t->graph, t->store, asked, &t->planning, &t->plan));
    ok(mf_plan_check(t->plan));
}

/* Lets it start what can start: whether anything runs or is waited for. */
static inline bool go(trial *t)
{
    bool more = mf_runner_start(&t->r);
    ok(mf_plan_check(t->plan));
    return more;
}

static inline void begin_trial(trial *t, const char *text)
{
    plan_trial(t, text);
    t->f.store = t->store;
    t->executor = fake_executor(&t->f);
    if (!t->options.jobs)
        t->options.jobs = 2;
    t->options.host_bytes = 1000;
    t->options.watch = watch_trial;
    t->options.self = t;
    t->r = (mf_runner){.plan = t->plan,
                       .store = t->store,
                       .executor = &t->executor,
                       .options = &t->options,
                       .result = &t->result,
                       .clock = fake_now,
                       .hand_over = take_over,
                       .self = t};
    ok(mf_runner_open(&t->r));
    mf_runner_begin(&t->r);
    go(t);
}

static inline mf_execution *running(trial *t, const char *node)
{
    for (size_t k = 0; k < t->f.count; k++)
        if (!strcmp(t->f.running[k]->node, node))
            return t->f.running[k];
    ck_abort_msg("%s does not run", node);
    return NULL;
}

/* The runner is told of what has ended, and goes on. */
static inline bool hear(trial *t)
{
    while (t->ended) {
        mf_job *j = t->ended;
        t->ended = j->finished;
        mf_runner_end(&t->r, j);
    }
    return go(t);
}

static inline bool finish(trial *t, const char *node)
{
    fake_finish(running(t, node), node);
    return hear(t);
}

static inline bool finish_as(trial *t, const char *node, const char *content)
{
    fake_finish(running(t, node), content);
    return hear(t);
}

static inline bool end_with(trial *t, const char *node, mf_execution_end end)
{
    fake_end(running(t, node), &end);
    return hear(t);
}

static inline bool fail_node(trial *t, const char *node)
{
    return end_with(t, node, (mf_execution_end){.status = mf_fail(MF_INVALID, "it is broken")});
}

static inline const mf_plan_node *node_of(const trial *t, const char *node)
{
    for (size_t i = 0; i < mf_plan_count(t->plan); i++)
        if (!strcmp(mf_plan_at(t->plan, i)->node->name, node))
            return mf_plan_at(t->plan, i);
    ck_abort_msg("there is no %s", node);
    return NULL;
}

static inline void forget_trial(trial *t)
{
    mf_plan_free(t->plan);
    mf_graph_free(t->graph);
    mf_store_close(t->store);
}

/* The run is over; counts as "done cached failed blocked cancelled". */
static inline void end_trial(trial *t, const char *counts)
{
    const mf_run_counts *c = &t->result.counts;
    char text[64];

    ck_assert_uint_eq(t->f.count, 0);
    mf_runner_close(&t->r);
    ok(mf_runner_free(&t->r));
    ck_assert_uint_eq(t->f.prepared, 0);
    snprintf(text, sizeof text, "%zu %zu %zu %zu %zu", c->done, c->cached, c->failed, c->blocked,
             c->cancelled);
    ck_assert_str_eq(text, counts);
    forget_trial(t);
}

/* The data of an output is collected. */
static inline void drop(const char *id)
{
    sqlite3 *db;
    char *sql;
    ck_assert_int_gt(asprintf(&sql, "UPDATE artifact SET present = 0 WHERE id = x'%s'", id), 0);
    ck_assert_int_eq(sqlite3_open("store/cache.db", &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_changes(db), 1);
    sqlite3_close(db);
    free(sql);
}

/* All of a node's outputs, as finish() makes them, or one. */
static inline void drop_outputs(const char *node, const char *port)
{
    static const char *const ports[PORTS] = {"x", "y"};
    for (int p = 0; p < PORTS; p++) {
        char text[128], id[MF_HEX_SIZE];
        mf_artifact *a;
        if (port && strcmp(port, ports[p]))
            continue;
        snprintf(text, sizeof text, "%s %s", node, ports[p]);
        ok(mf_artifact_new("text", &a));
        ok(mf_artifact_set_text(a, "text", text));
        ok(mf_store_identify(a, id));
        mf_artifact_unref(a);
        drop(id);
    }
}

/* Runs all of a graph, each node well. */
static inline void run_all(const char *text)
{
    trial t = {.f.at_once = true, .f.device_count = 1};
    begin_trial(&t, text);
    while (t.ended)
        hear(&t);
    mf_runner_close(&t.r);
    ok(mf_runner_free(&t.r));
    ck_assert_uint_eq(t.result.counts.done + t.result.counts.cached, t.result.counts.wanted);
    forget_trial(&t);
}

#endif
