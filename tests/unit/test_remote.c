/* test_remote.c - a worker of another machine, in this process: what it computes is what is
 * computed here; frames that were changed on the way, tokens that are wrong and chunks that are
 * damaged. */
#include "../run_suite.h"
#include "graph_fixture.h"
#include "run/remote/pilot.h"
#include "run/remote/rank_links.h"
#include "run/remote/workers.h"
#include "run/schedule/executor.h"
#include "run/worker/frozen.h"
#include "small_stages.h"
#include "store/file_cache.h"
#include "store/upkeep.h"

#include <massflow/seconds.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* ---- stages ---------------------------------------------------------------------------------- */

static const mf_port things_out[] = {MF_PORT("thing", "thing", ""), MF_END};
static const mf_port thing_in[] = {MF_PORT("thing", "thing", ""), MF_END};
static const mf_port text_out[] = {MF_PORT("text", "text", ""), MF_END};
static const mf_port read_in[] = {MF_PORT("items", "stream<text>", ""), MF_END};
static const mf_port model_out[] = {MF_PORT("model", "model", ""), MF_END};
static const mf_port model_in[] = {MF_PORT("model", "model", ""), MF_END};
static const mf_port things_in[] = {MF_PORT("thing", "thing", ""), MF_END};

/* Several bricks of numbers, an empty array, and rows of many pieces. */
static mf_status make_run(mf_task *t, const void *p, void *session)
{
    const int64_t shape[3] = {70, 80, 90}, none_shape = 0, bytes = 300000, ends = 41;
    const salt *o = p;
    mf_artifact *a;
    mf_array *x;
    mf_array *y;
    (void)session;
    MF_TRY(mf_artifact_new("thing", &a));
    MF_TRY(mf_artifact_set_int(a, "salt", o->salt));
    MF_TRY(mf_array_new(MF_I16, 3, shape, &x));
    for (int64_t i = 0; i < mf_array_count(x); i++)
        ((int16_t *)x->data)[i] = (int16_t)(i * i % 1777 + o->salt);
    MF_TRY(mf_artifact_add(a, "voxels", x));
    mf_array_unref(x);
    MF_TRY(mf_array_new(MF_F32, 1, &none_shape, &x));
    MF_TRY(mf_artifact_add(a, "nothing", x));
    mf_array_unref(x);
    MF_TRY(mf_array_new(MF_U8, 1, &bytes, &x));
    MF_TRY(mf_array_new(MF_I64, 1, &ends, &y));
    for (int64_t i = 0; i < bytes; i++)
        ((uint8_t *)x->data)[i] = (uint8_t)(i * 7 + i / 256);
    for (int64_t i = 0; i < ends; i++)
        ((int64_t *)y->data)[i] = i == 40 ? bytes : i * i * 180;
    MF_TRY(mf_artifact_add_rows(a, "rows", x, y));
    mf_array_unref(x);
    mf_array_unref(y);
    return mf_out(t, "thing", a);
}

/* Sums of the whole, of a box and of some rows: all ways of reading. */
static mf_status describe(const mf_artifact *a, char *text, size_t room)
{
    const int64_t lo[3] = {60, 0, 63}, hi[3] = {70, 3, 90};
    int16_t box[10 * 3 * 27];
    int64_t all = 0, some = 0;
    size_t size, sum = 0;
    uint8_t *row;
    mf_array *x;
    MF_TRY(mf_artifact_read_box(a, "voxels", lo, hi, box));
    for (size_t i = 0; i < sizeof box / sizeof *box; i++)
        some += box[i];
    MF_TRY(mf_artifact_array(a, "voxels", &x));
    for (int64_t i = 0; i < mf_array_count(x); i++)
        all += ((int16_t *)x->data)[i];
    mf_array_unref(x);
    for (int64_t i = 0; i < 40; i += 13) {
        MF_TRY(mf_artifact_read_row(a, "rows", i, &row, &size));
        for (size_t k = 0; k < size; k++)
            sum += row[k] * k % 1000;
        free(row);
    }
    snprintf(text, room, "%lld %lld %zu", (long long)all, (long long)some, sum);
    return MF_OK;
}

static mf_status put_text(mf_task *t, const char *text)
{
    mf_artifact *a;
    MF_TRY(mf_artifact_new("text", &a));
    MF_TRY(mf_artifact_set_text(a, "text", text));
    return mf_out(t, "text", a);
}

static mf_status look_run(mf_task *t, const void *p, void *session)
{
    const mf_artifact *a;
    char text[100];
    (void)p, (void)session;
    MF_TRY(mf_in(t, "thing", &a));
    MF_TRY(describe(a, text, sizeof text));
    mf_log(t, "looked");
    return put_text(t, text);
}

static mf_status items_item(mf_task *t, const void *p, void *session, int64_t i, mf_artifact **item)
{
    const mf_artifact *a;
    char text[100];
    (void)p, (void)session;
    MF_TRY(mf_in(t, "thing", &a));
    MF_TRY(describe(a, text, sizeof text));
    snprintf(text + strlen(text), 20, " %lld", (long long)i);
    MF_TRY(mf_artifact_new("text", item));
    return mf_artifact_set_text(*item, "text", text);
}

static mf_status read_run(mf_task *t, const void *p, void *session)
{
    mf_stream *items;
    char text[400] = "";
    (void)p, (void)session;
    MF_TRY(mf_in_stream(t, "items", &items));
    for (int i = 0; i < 3; i++) {
        mf_artifact *a;
        MF_TRY(mf_stream_next(items, &a));
        strcat(strcat(text, mf_artifact_text(a, "text")), ";");
        mf_artifact_unref(a);
    }
    return put_text(t, text);
}

static mf_status model_run(mf_task *t, const void *p, void *session)
{
    const int64_t size = 400000;
    mf_artifact *a;
    mf_array *x;
    (void)p, (void)session;
    MF_TRY(mf_artifact_new("model", &a));
    MF_TRY(mf_artifact_set_text(a, "architecture", "none"));
    MF_TRY(mf_array_new(MF_U8, 1, &size, &x));
    for (int64_t i = 0; i < size; i++)
        ((uint8_t *)x->data)[i] = (uint8_t)(i * i * 7 >> 3);
    MF_TRY(mf_artifact_add(a, "x", x));
    mf_array_unref(x);
    return mf_out(t, "model", a);
}

/* A session that keeps its input, which is read with the fiftieth item. */
static mf_status kept_open(mf_task *t, const void *p, void **session)
{
    const mf_artifact *a;
    (void)p;
    MF_TRY(mf_in(t, "model", &a));
    *session = mf_artifact_ref(a);
    return MF_OK;
}

static void kept_close(void *session)
{
    mf_artifact_unref(session);
}

static mf_status kept_item(mf_task *t, const void *p, void *session, int64_t i, mf_artifact **item)
{
    mf_array *x = NULL;
    (void)t, (void)p;
    if (i == 50)
        MF_TRY(mf_artifact_array(session, "x", &x));
    MF_TRY(mf_artifact_new("text", item));
    mf_status status = mf_artifact_set_text(*item, "text", x ? "read" : "");
    mf_array_unref(x);
    return status;
}

/* As many items as its salt is. */
static mf_status some_run(mf_task *t, const void *p, void *session)
{
    const salt *o = p;
    mf_stream *items;
    mf_artifact *a = NULL;
    char text[40];
    (void)session;
    MF_TRY(mf_in_stream(t, "items", &items));
    for (int64_t i = 0; i < o->salt; i++) {
        mf_artifact_unref(a);
        MF_TRY(mf_stream_next(items, &a));
    }
    snprintf(text, sizeof text, "%s", mf_artifact_text(a, "text"));
    mf_artifact_unref(a);
    return put_text(t, text);
}

/* Saves a state in each of four steps, the first of two tries ends in the third. */
static mf_status steps_run(mf_task *t, const void *p, void *session)
{
    const int64_t size = 1500000;
    mf_artifact *state;
    mf_array *x;
    int64_t step;
    char text[60];
    (void)p, (void)session;
    MF_TRY(mf_checkpoint_load(t, INT64_MAX, &step, &state));
    snprintf(text, sizeof text, "from %lld", (long long)step);
    if (state) {
        MF_TRY(mf_artifact_array(state, "x", &x));
        snprintf(text + strlen(text), 30, " with %g", ((double *)x->data)[size - 1]);
        mf_array_unref(x);
        mf_artifact_unref(state);
        return put_text(t, text);
    }
    for (; step < 3; step++) {
        MF_TRY(mf_artifact_new("state", &state));
        MF_TRY(mf_array_new(MF_F64, 1, &size, &x));
        ((double *)x->data)[size - 1] = 0.5 + (double)step;
        MF_TRY(mf_artifact_add(state, "x", x));
        mf_array_unref(x);
        MF_TRY(mf_checkpoint_save(t, step + 1, state, false));
        mf_artifact_unref(state);
    }
    return mf_fail(MF_INVALID, "stopped");
}

static mf_status fail_run(mf_task *t, const void *p, void *session)
{
    (void)t, (void)p, (void)session;
    return mf_hint(mf_fail(MF_UNSUPPORTED, "it can't"), "do it by hand");
}

static mf_host *asked_to_end;

/* The processes of a job are all sent the same signal. */
static mf_status killed_run(mf_task *t, const void *p, void *session)
{
    (void)t, (void)p, (void)session;
    mf_host_interrupt(asked_to_end, 15);
    return mf_fail(MF_INTERNAL, "its process was killed");
}

/* Runs until it is asked to end. */
static atomic_int waiting; /* tasks of it */

static mf_status wait_run(mf_task *t, const void *p, void *session)
{
    mf_status status;
    (void)p, (void)session;
    atomic_fetch_add(&waiting, 1);
    while (!(status = mf_cancel_point(t)))
        poll(NULL, 0, 1);
    atomic_fetch_sub(&waiting, 1);
    return status;
}

SMALL_STAGE(make, "far.make", salt, salt_table, none, things_out, .run = make_run);
SMALL_STAGE(look, "far.look", salt, salt_table, thing_in, text_out, .run = look_run);
SMALL_STAGE(items, "far.items", salt, salt_table, things_in, items_out, .item = items_item);
SMALL_STAGE(reading, "far.read", salt, salt_table, read_in, text_out, .run = read_run);
SMALL_STAGE(steps, "far.steps", salt, salt_table, none, text_out, .run = steps_run);
SMALL_STAGE(failing, "far.fail", salt, salt_table, none, text_out, .run = fail_run);
SMALL_STAGE(model, "far.model", salt, salt_table, none, model_out, .run = model_run);
SMALL_STAGE(kept, "far.kept", salt, salt_table, model_in, items_out, .item = kept_item,
            .open = kept_open, .close = kept_close);
SMALL_STAGE(some, "far.some", salt, salt_table, read_in, text_out, .run = some_run);
SMALL_STAGE(killed, "far.killed", salt, salt_table, none, text_out, .run = killed_run);
SMALL_STAGE(card, "far.card", salt, salt_table, none, text_out, .run = fail_run,
            .kernels = kernels);
SMALL_STAGE(waits, "far.wait", salt, salt_table, none, text_out, .run = wait_run);
static const mf_type thing = {
    .name = "thing", .help = "For tests.", .arrays = "", .attributes = ""};
static const mf_type *const types[] = {&thing, NULL};
MF_PLUGIN_WITH_TYPES("far", types, &make, &look, &items, &reading, &steps, &failing, &model, &kept,
                     &some, &killed, &card, &waits)

/* ---- a run and its worker -------------------------------------------------------------------- */

static const char text[] = "massflow: 1\n"
                           "stages:\n"
                           "  make: {use: far.make}\n"
                           "  look: {use: far.look, in: {thing: make}}\n"
                           "  items: {use: far.items, in: {thing: make}}\n"
                           "  read: {use: far.read, in: {items: items}}\n"
                           "  steps: {use: far.steps, retries: 1}\n"
                           "  fail: {use: far.fail}\n"
                           "  model: {use: far.model}\n"
                           "  kept: {use: far.kept, in: {model: model}}\n"
                           "  one: {use: far.some, in: {items: kept}, with: {salt: 1}}\n"
                           "  more: {use: far.some, in: {items: kept}, with: {salt: 51}}\n"
                           "  killed: {use: far.killed}\n"
                           "  card: {use: far.card}\n"
                           "  wait: {use: far.wait}\n";
#define NODES 13

typedef struct worker {
    mf_pilot_options options;
    mf_host *host;
    pthread_t thread;
    mf_status status;
} worker;

typedef struct run {
    mf_graph *graph;
    mf_store *store;
    mf_host *host;
    mf_workers *workers;
    mf_executor executor;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char lines[2000], told[2000];
} run;

static void hear(void *self, const char *node, const char *line)
{
    run *r = self;
    size_t length = strlen(r->lines);
    snprintf(r->lines + length, sizeof r->lines - length, "%s: %s\n", node, line);
}

static void hear_told(void *self, const char *line)
{
    run *r = self;
    pthread_mutex_lock(&r->lock);
    size_t length = strlen(r->told);
    snprintf(r->told + length, sizeof r->told - length, "%s\n", line);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void on_change(void *self)
{
    run *r = self;
    pthread_mutex_lock(&r->lock);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void open_run_with(run *r, const char *cache, const char *spool)
{
    mf_workers_options o = {.address = "127.0.0.1:0",
                            .version = "1",
                            .beat = 0.5,
                            .spool = spool,
                            .spool_bytes = 1 << 30,
                            .tell = hear_told,
                            .self = r};
    memset(r, 0, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->graph = load_text(text);
    ok(mf_store_open(cache, MF_STORE_WRITE, &r->store));
    ok(mf_host_new(r->store, toys, "cpu", &r->host));
    ok(mf_token_read("token", true, &o.token));
    ok(mf_workers_open(&o, &r->workers));
    mf_workers_watch(r->workers, on_change, r);
    mf_host_set_workers(r->host, r->workers);
    r->executor = mf_host_executor(r->host);
    r->executor.set_log(r->executor.self, hear, r);
}

static void open_run(run *r, const char *cache)
{
    open_run_with(r, cache, NULL);
}

static void close_run(run *r)
{
    mf_workers_close(r->workers);
    mf_host_free(r->host);
    mf_store_close(r->store);
    mf_graph_free(r->graph);
}

static void *serve(void *self)
{
    worker *w = self;
    bool lost;
    w->status = mf_pilot_serve(w->host, &w->options, &lost);
    return NULL;
}

/* Waits until the n-th worker of the run is there. */
static void start_worker_with(worker *w, run *r, const char *cache, size_t n, bool devices)
{
    *w = (worker){.options = {.where = mf_workers_address(r->workers),
                              .slots = 2,
                              .bytes = 1 << 30,
                              .cache = cache,
                              .cache_bytes = 1 << 30,
                              .pool = "",
                              .devices = devices,
                              .version = "1",
                              .retry = 60,
                              .ends = INFINITY}};
    ok(mf_token_read("token", false, &w->options.token));
    ok(mf_host_new(NULL, toys, "cpu", &w->host));
    ck_assert_int_eq(pthread_create(&w->thread, NULL, serve, w), 0);
    pthread_mutex_lock(&r->lock);
    while (mf_workers_count(r->workers) < n)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

static void start_worker(worker *w, run *r, const char *cache, size_t n)
{
    start_worker_with(w, r, cache, n, false);
}

static mf_status end_worker(worker *w)
{
    pthread_join(w->thread, NULL);
    mf_host_free(w->host);
    return w->status;
}

static mf_plan *new_plan(const run *r)
{
    bool asked[NODES];
    mf_plan_options options = {0};
    mf_plan *plan;
    memset(asked, true, sizeof asked);
    ok(mf_plan_new(r->graph, r->store, asked, &options, &plan));
    return plan;
}

typedef struct ending {
    pthread_mutex_t lock;
    pthread_cond_t heard;
    bool ended;
    mf_execution_end end;
} ending;

static void on_ended(void *self, const mf_execution_end *end)
{
    ending *e = self;
    pthread_mutex_lock(&e->lock);
    e->end = *end;
    e->ended = true;
    pthread_cond_signal(&e->heard);
    pthread_mutex_unlock(&e->lock);
}

static size_t find_node(const mf_plan *plan, const char *name)
{
    size_t i = 0;
    while (strcmp(mf_plan_at(plan, i)->work.node, name))
        i++;
    return i;
}

/* At a place, from begin to end. */
static mf_execution_end run_node(run *r, const char *name, size_t place)
{
    ending e = {.lock = PTHREAD_MUTEX_INITIALIZER, .heard = PTHREAD_COND_INITIALIZER};
    const mf_grant grant = {.slots = 1, .place = place};
    mf_plan *plan = new_plan(r);
    mf_run_place p;
    mf_execution *x;
    mf_needs needs;
    size_t i = find_node(plan, name);
    ok(r->executor.prepare(r->executor.self, plan, i, &needs, &x));
    if (place) {
        r->executor.place(r->executor.self, place, &p);
        ck_assert_ptr_null(r->executor.cannot(r->executor.self, plan, i, place, &p));
    }
    mf_plan_free(plan);
    r->executor.start(x, &grant, on_ended, &e);
    pthread_mutex_lock(&e.lock);
    while (!e.ended)
        pthread_cond_wait(&e.heard, &e.lock);
    pthread_mutex_unlock(&e.lock);
    r->executor.free(x);
    e.end.outputs = NULL; /* the execution's */
    return e.end;
}

static void id_of(const run *r, const char *name, char id[MF_HEX_SIZE])
{
    mf_plan *plan = new_plan(r);
    const mf_plan_node *n = mf_plan_at(plan, find_node(plan, name));
    ck_assert_int_eq(n->state, MF_PLAN_CACHED);
    strcpy(id, n->outputs[0].id);
    mf_plan_free(plan);
}

static void check_sound(const char *cache)
{
    mf_verified v;
    ok(mf_store_verify(cache, NULL, NULL, &v));
    ck_assert_int_eq(v.damages, 0);
}

START_TEST(a_node_comes_out_as_here)
{
    static const char *const nodes[] = {"make", "look", "read"};
    char here[MF_HEX_SIZE], there[MF_HEX_SIZE];
    worker w;
    run a;
    run b;
    enter_scratch();
    open_run(&a, "here");
    open_run(&b, "there");
    start_worker(&w, &b, "chunk_cache", 1);
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        mf_execution_end end = run_node(&b, nodes[i], 1);
        ok(end.status);
        ck_assert(!end.returned);
        ok(run_node(&a, nodes[i], 0).status);
        id_of(&a, nodes[i], here);
        id_of(&b, nodes[i], there);
        ck_assert_str_eq(here, there);
    }
    ck_assert_str_eq(b.lines, "look: looked\n");
    fails(run_node(&b, "fail", 1).status, "it can't\n  do it by hand");
    close_run(&a);
    close_run(&b);
    ok(end_worker(&w));
    check_sound("there");
    leave_scratch();
}
END_TEST

/* The states of the first try lie in the run's store; the second goes on from the last one. */
static bool has_chunk(const char *folder, const uint8_t *digest, char path[100])
{
    char hex[MF_HEX_SIZE];
    mf_hex_encode(digest, hex);
    snprintf(path, 100, "%s/%.2s/%s", folder, hex, hex);
    return access(path, F_OK) == 0;
}

/* Waits until each chunk of an artifact that the worker has is in the spool, which a thread writes;
 * `path`: the last of them there. */
static void wait_for_spool(const run *r, const char *id, const char *cache, char path[100])
{
    mf_parcel *parcel;
    size_t count = 0;
    char at[100];
    ok(mf_store_parcel(r->store, id, &parcel));
    for (size_t i = 0; i < parcel->count; i++) {
        if (!has_chunk(cache, parcel->pieces[i].digest, at))
            continue;
        while (!has_chunk("spool", parcel->pieces[i].digest, path))
            poll(NULL, 0, 5);
        count++;
    }
    ck_assert_uint_gt(count, 5);
    mf_parcel_free(parcel);
}

static int64_t sent_to(const run *r, size_t number)
{
    mf_worker_state state;
    mf_workers_state(r->workers, number, &state);
    return state.sent;
}

/* The second worker takes from the spool what the first one was sent, but for a damaged chunk. */
START_TEST(chunks_are_read_from_the_spool)
{
    char here[MF_HEX_SIZE], there[MF_HEX_SIZE], last[100] = "";
    worker first;
    worker second;
    run a;
    run b;
    enter_scratch();
    open_run(&a, "here");
    ok(run_node(&a, "make", 0).status);
    ok(run_node(&a, "look", 0).status);
    ok(run_node(&a, "read", 0).status);
    id_of(&a, "read", here);
    close_run(&a);
    open_run_with(&b, "there", "spool");
    start_worker(&first, &b, "one", 1);
    ok(run_node(&b, "make", 0).status);
    ok(run_node(&b, "look", 1).status);
    const int64_t sent = sent_to(&b, 1);
    id_of(&b, "make", there);
    wait_for_spool(&b, there, "one", last);
    ck_assert_int_eq(truncate(last, 30), 0);
    start_worker(&second, &b, "two", 2);
    ok(run_node(&b, "read", 2).status);
    id_of(&b, "read", there);
    ck_assert_str_eq(here, there);
    ck_assert_int_lt(sent_to(&b, 2), sent / 2);
    close_run(&b);
    ok(end_worker(&first));
    ok(end_worker(&second));
    check_sound("there");
    ck_assert_int_eq(chmod("spool", 0777), 0);
    mf_spool *spool;
    fails(mf_spool_open("spool", 1 << 20, NULL, NULL, &spool),
          "'spool' is no folder that only this user can write to\n"
          "  the key 'spool' of the file of pools names another folder");
    leave_scratch();
}
END_TEST

START_TEST(states_go_to_the_run)
{
    char id[MF_HEX_SIZE];
    mf_artifact *a;
    worker w;
    run r;
    enter_scratch();
    open_run(&r, "cache");
    start_worker(&w, &r, "chunk_cache", 1);
    ok(run_node(&r, "steps", 1).status);
    ck_assert_str_eq(r.lines, "steps: attempt 1 of 2 failed, retrying: stopped\n");
    id_of(&r, "steps", id);
    ok(mf_host_get(r.host, id, &a));
    ck_assert_str_eq(mf_artifact_text(a, "text"), "from 3 with 2.5");
    mf_artifact_unref(a);
    close_run(&r);
    ok(end_worker(&w));
    check_sound("cache");
    leave_scratch();
}
END_TEST

/* What it has is not sent again: not to a worker that comes back to its folder either. */
START_TEST(what_is_there_is_not_sent)
{
    mf_worker_state state;
    worker w;
    run r;
    enter_scratch();
    open_run(&r, "cache");
    ok(run_node(&r, "make", 0).status);
    for (size_t n = 1; n <= 2; n++) {
        start_worker(&w, &r, "chunk_cache", n);
        mf_plan *plan = new_plan(&r);
        mf_execution *x;
        mf_needs needs;
        ok(r.executor.prepare(r.executor.self, plan,
                              n == 1 ? find_node(plan, "look") : find_node(plan, "read"), &needs,
                              &x));
        ck_assert_int_eq(r.executor.missing(x, n), 70 * 80 * 90 * 2 + 300000);
        r.executor.free(x);
        mf_plan_free(plan);
        ok(run_node(&r, n == 1 ? "look" : "read", n).status);
        mf_workers_state(r.workers, n, &state);
        if (n == 1)
            ck_assert_int_gt(state.sent, 20000);
        else
            ck_assert_int_lt(state.sent, 4000);
        mf_host_interrupt(w.host, 15);
        ok(end_worker(&w));
    }
    close_run(&r);
    leave_scratch();
}
END_TEST

/* The session was opened for another node, which has ended. */
START_TEST(a_stream_reads_what_its_session_kept)
{
    char id[MF_HEX_SIZE];
    mf_artifact *a;
    worker w;
    run r;
    enter_scratch();
    open_run(&r, "cache");
    ok(run_node(&r, "model", 0).status);
    start_worker(&w, &r, "chunk_cache", 1);
    ok(run_node(&r, "one", 1).status);
    ok(run_node(&r, "more", 1).status);
    id_of(&r, "more", id);
    ok(mf_host_get(r.host, id, &a));
    ck_assert_str_eq(mf_artifact_text(a, "text"), "read");
    mf_artifact_unref(a);
    close_run(&r);
    ok(end_worker(&w));
    leave_scratch();
}
END_TEST

START_TEST(what_ends_with_its_worker_has_not_failed)
{
    worker w;
    run r;
    enter_scratch();
    open_run(&r, "cache");
    start_worker(&w, &r, "chunk_cache", 1);
    asked_to_end = w.host;
    mf_execution_end end = run_node(&r, "killed", 1);
    ok(end.status);
    ck_assert(end.returned);
    ck_assert(!end.lost);
    ok(end_worker(&w));
    close_run(&r);
    leave_scratch();
}
END_TEST

/* As remote.c says it. */
static void start_there(const run *r, mf_channel *channel, const char *name)
{
    mf_plan *plan = new_plan(r);
    const mf_plan_node *n = mf_plan_at(plan, find_node(plan, name));
    const int64_t head[] = {0, 1, 1, 0, 0, 0, 0, 0}; /* memory, a thread, a device, no limits */
    mf_packet p = {0};
    bool lost;
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        mf_packet_int(&p, head[i]);
    mf_packet_text(&p, n->key);
    for (size_t i = 0; i < 3; i++)
        mf_packet_int(&p, i == 1); /* number 0 of one worker, no input files */
    ok(mf_frozen_put(&p, &n->work));
    ok(mf_channel_send(channel, MF_LINK_START, &p, NULL, 0, &lost));
    ck_assert(!lost);
    mf_plan_free(plan);
}

static void wait_for(int count)
{
    while (atomic_load(&waiting) != count)
        poll(NULL, 0, 1);
}

/* A node that nobody hears any more ends at once, alone. */
START_TEST(one_node_is_cancelled)
{
    worker w;
    run r;
    mf_channel *channel, *other;
    mf_packet empty = {0};
    bool lost;
    enter_scratch();
    open_run(&r, "cache");
    start_worker(&w, &r, "chunk_cache", 1);
    ok(mf_channel_open(r.workers, 1, &channel));
    ok(mf_channel_open(r.workers, 1, &other));
    start_there(&r, channel, "wait");
    start_there(&r, other, "wait");
    wait_for(2);
    ok(mf_channel_send(channel, MF_LINK_CANCEL, &empty, NULL, 0, &lost));
    wait_for(1);
    mf_channel_close(channel);
    ck_assert(!mf_host_cancelled(w.host));
    mf_execution_end end = run_node(&r, "make", 1);
    ok(end.status);
    ck_assert(!end.returned);
    ck_assert_int_eq(atomic_load(&waiting), 1);
    mf_channel_close(other);
    close_run(&r);
    ok(end_worker(&w));
    ck_assert_int_eq(atomic_load(&waiting), 0);
    check_sound("cache");
    leave_scratch();
}
END_TEST

/* One that is not heard any more, for it said what makes no sense: it joins again, does not go on
 * with that, and is none that was there before. */
START_TEST(who_is_refused_ends_what_it_runs)
{
    worker w;
    run r;
    mf_channel *channel;
    mf_worker_state state;
    mf_status why = mf_fail(MF_CORRUPT, "it makes no sense");
    enter_scratch();
    open_run(&r, "cache");
    start_worker(&w, &r, "chunk_cache", 1);
    ok(mf_channel_open(r.workers, 1, &channel));
    start_there(&r, channel, "wait");
    wait_for(1);
    mf_channel_refuse(channel, why);
    mf_error_free(why);
    mf_channel_close(channel);
    pthread_mutex_lock(&r.lock);
    while (mf_workers_count(r.workers) < 2)
        pthread_cond_wait(&r.changed, &r.lock);
    pthread_mutex_unlock(&r.lock);
    wait_for(0);
    mf_workers_state(r.workers, 2, &state);
    ck_assert(state.open);
    ck_assert(!state.again);
    close_run(&r);
    ok(end_worker(&w));
    leave_scratch();
}
END_TEST

static void damage(const char *path)
{
    int file = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(file, "xxxx", 4, 40), 4);
    close(file);
}

/* Of an earlier job, which a crash left so: the result is not of it. */
START_TEST(results_over_damaged_chunks_are_sound)
{
    char line[300];
    worker w;
    run r;
    FILE *list;
    size_t count = 0;
    enter_scratch();
    open_run(&r, "before");
    start_worker(&w, &r, "chunk_cache", 1);
    ok(run_node(&r, "make", 1).status);
    close_run(&r);
    ok(end_worker(&w));
    list = popen("find chunk_cache -type f -size +100c", "r");
    for (; fgets(line, sizeof line, list); count++) {
        line[strcspn(line, "\n")] = 0;
        damage(line);
    }
    ck_assert_int_eq(pclose(list), 0);
    ck_assert_uint_gt(count, 5);
    open_run(&r, "cache");
    start_worker(&w, &r, "chunk_cache", 1);
    ok(run_node(&r, "make", 1).status);
    close_run(&r);
    ok(end_worker(&w));
    check_sound("cache");
    leave_scratch();
}
END_TEST

/* What a device of another name makes would not count. */
START_TEST(the_same_device_is_that_of_workers_too)
{
    mf_plan_options options = {0};
    bool asked[NODES];
    char name[256];
    mf_run_place p;
    mf_plan *plan;
    worker w;
    run r;
    memset(asked, true, sizeof asked);
    enter_scratch();
    open_run(&r, "cache");
    start_worker_with(&w, &r, "chunk_cache", 1, true);
    r.executor.place(r.executor.self, 1, &p);
    ck_assert_uint_eq(p.device_count, 1);
    snprintf(name, sizeof name, "%s", mf_workers_device(r.workers, 1, 0)->name);
    for (int other = 0; other < 2; other++) {
        const char *const names[] = {name, "Another Device"};
        options.same_device = names[other];
        ok(mf_plan_new(r.graph, r.store, asked, &options, &plan));
        ck_assert_pstr_eq(r.executor.cannot(r.executor.self, plan, find_node(plan, "card"), 1, &p),
                          other ? "it has a device of another kind, and --same-device was given"
                                : NULL);
        ck_assert_ptr_null(
            r.executor.cannot(r.executor.self, plan, find_node(plan, "make"), 1, &p));
        mf_plan_free(plan);
    }
    close_run(&r);
    ok(end_worker(&w));
    leave_scratch();
}
END_TEST

/* ---- who may join ---------------------------------------------------------------------------- */

static int connect_raw(const run *r)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons((uint16_t)atoi(strrchr(mf_workers_address(r->workers), ':') + 1));
    ck_assert_int_eq(connect(s, (struct sockaddr *)&address, sizeof address), 0);
    return s;
}

static void wait_told(run *r, const char *words)
{
    pthread_mutex_lock(&r->lock);
    while (!strstr(r->told, words))
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

static size_t open_files(void)
{
    size_t count = 0;
    for (int i = 0; i < 1024; i++)
        count += fcntl(i, F_GETFD) != -1;
    return count;
}

/* A run may see thousands of workers come and go. */
START_TEST(a_worker_that_is_gone_leaves_no_file_open)
{
    worker w;
    run r;
    enter_scratch();
    open_run(&r, "cache");
    size_t before = open_files();
    for (size_t n = 1; n <= 2; n++) {
        start_worker(&w, &r, "chunk_cache", n);
        ck_assert_uint_gt(open_files(), before);
        mf_host_interrupt(w.host, 15);
        ok(end_worker(&w));
        while (open_files() != before)
            poll(NULL, 0, 10);
    }
    ck_assert_uint_eq(mf_workers_count(r.workers), 2);
    close_run(&r);
    leave_scratch();
}
END_TEST

START_TEST(who_does_not_know_the_token_is_refused)
{
    mf_token wrong;
    mf_link *link;
    uint8_t hello[200] = "massflow link 2\n";
    char expected[200];
    run r;
    enter_scratch();
    open_run(&r, "cache");
    ok(mf_token_read("other", true, &wrong));
    snprintf(expected, sizeof expected,
             "%s refused the token\n  give run and worker the same token file",
             mf_workers_address(r.workers));
    fails(mf_link_join(connect_raw(&r), &wrong, 10, mf_workers_address(r.workers), &link),
          expected);
    wait_told(&r, "was refused: it does not know the token\n");
    int s = connect_raw(&r);
    ck_assert_int_eq(send(s, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    wait_told(&r, "was refused: it is no worker of this version of massflow\n");
    close(s);
    s = connect_raw(&r);
    ck_assert_int_eq(send(s, hello, 40, 0), 40);
    close(s);
    wait_told(&r, "was refused: it went in the middle of the handshake\n");
    ck_assert_uint_eq(mf_workers_count(r.workers), 0);
    close_run(&r);
    leave_scratch();
}
END_TEST

/* Of a process that may have 80 files, the last 20 are not for connections. */
START_TEST(connections_leave_files_to_the_run)
{
    struct rlimit files;
    run r;
    enter_scratch();
    open_run(&r, "cache");
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = 80;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    while (dup(0) < 59)
        ;
    int s = connect_raw(&r);
    wait_told(&r, "was refused: this process has few open files left (ulimit -n)\n");
    close(s);
    close_run(&r);
    leave_scratch();
}
END_TEST

START_TEST(a_token_is_its_owners_alone)
{
    mf_token token;
    enter_scratch();
    fails(mf_token_read("none", false, &token),
          "cannot read the token file 'none': No such file or directory\n"
          "  it is the one that 'massflow run --listen --token FILE' names");
    ok(mf_token_read("token", true, &token));
    ck_assert_int_eq(chmod("token", 0640), 0);
    fails(mf_token_read("token", false, &token),
          "the token file 'token' can be read by others than its owner\n"
          "  chmod 600 'token', as the user that runs massflow");
    write_file("short", "abc\n");
    ck_assert_int_eq(chmod("short", 0600), 0);
    fails(mf_token_read("short", true, &token),
          "the token file 'short' has 3 bytes, not 32 to 4096\n"
          "  'massflow run --listen' makes one where there is none");
    leave_scratch();
}
END_TEST

/* ---- frames ---------------------------------------------------------------------------------- */

static const uint8_t keys[2][MF_SECRET_BYTES] = {"one", "other"};

static void sent_bytes(uint8_t *bytes, size_t room, size_t *size)
{
    int s[2];
    mf_link *l;
    mf_packet p = {0};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    ok(mf_link_new(s[0], keys[0], keys[1], &l));
    mf_packet_text(&p, "what is said");
    ok(mf_link_send(l, MF_LINK_LOG, 7, &p));
    *size = (size_t)recv(s[1], bytes, room, 0);
    mf_link_free(l);
    close(s[1]);
}

static mf_status hear_bytes(const uint8_t *bytes, size_t size, mf_frame *f, bool *end)
{
    int s[2];
    mf_link *l;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    ok(mf_link_new(s[0], keys[1], keys[0], &l));
    ck_assert_int_eq(send(s[1], bytes, size, 0), size);
    close(s[1]);
    mf_status status = mf_link_receive(l, f, end);
    mf_link_free(l);
    return status;
}

START_TEST(a_frame_that_was_changed_is_refused)
{
    uint8_t bytes[200], changed[200];
    size_t size;
    mf_frame f;
    bool end;
    sent_bytes(bytes, sizeof bytes, &size);
    ok(hear_bytes(bytes, size, &f, &end));
    ck_assert(!end);
    ck_assert_int_eq(f.kind, MF_LINK_LOG);
    ck_assert_uint_eq(f.channel, 7);
    ck_assert_str_eq(mf_packet_get_text(&f.body), "what is said");
    mf_packet_clear(&f.body);
    for (size_t i = 0; i < size; i++) {
        memcpy(changed, bytes, size);
        changed[i] ^= 0x10;
        mf_status status = hear_bytes(changed, size, &f, &end);
        ck_assert_ptr_nonnull(status); /* damaged, or cut short by what it says of its size */
        mf_error_free(status);
    }
    for (size_t cut = 1; cut < size; cut++)
        fails(hear_bytes(bytes, cut, &f, &end), "the other end went in the middle of a message");
    ok(hear_bytes(bytes, 0, &f, &end));
    ck_assert(end);
}
END_TEST

/* Sent again, it has another number. */
START_TEST(a_frame_counts_once)
{
    uint8_t bytes[200];
    size_t size;
    int s[2];
    mf_link *l;
    mf_frame f;
    bool end;
    sent_bytes(bytes, sizeof bytes, &size);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    ok(mf_link_new(s[0], keys[1], keys[0], &l));
    ck_assert_int_eq(send(s[1], bytes, size, 0), size);
    ck_assert_int_eq(send(s[1], bytes, size, 0), size);
    ok(mf_link_receive(l, &f, &end));
    mf_packet_clear(&f.body);
    fails(mf_link_receive(l, &f, &end), "a message of the other end is damaged");
    mf_link_free(l);
    close(s[1]);
}
END_TEST

/* ---- workers that meet ----------------------------------------------------------------------- */

typedef struct meeting {
    mf_rank_links *links;
    mf_status status;
} meeting;

static void *meet(void *self)
{
    const char *const addresses[2] = {"127.0.0.1:1", "127.0.0.1:1"};
    meeting *m = self;

    m->status = mf_rank_links_meet(m->links, addresses); /* it is the first: the other one comes */
    return NULL;
}

/* It would wait for ten minutes. */
START_TEST(who_waits_for_another_worker_hears_of_the_end)
{
    const mf_rank_links_options options = {.ranks = 2, .devices = 1, .seconds = 600};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int beside = socket(AF_INET, SOCK_STREAM, 0);
    meeting m = {0};
    pthread_t thread;

    ck_assert_int_eq(bind(beside, (struct sockaddr *)&at, sizeof at), 0);
    ok(mf_rank_links_new(&options, beside, &m.links));
    ck_assert_int_eq(pthread_create(&thread, NULL, meet, &m), 0);
    poll(NULL, 0, 50); /* most often it waits by now */
    mf_rank_links_abort(m.links);
    pthread_join(thread, NULL);
    ck_assert_ptr_nonnull(m.status);
    ck_assert_int_eq(mf_error_code(m.status), MF_CANCELLED);
    mf_error_free(m.status);
    mf_rank_links_free(m.links);
    close(beside);
}
END_TEST

/* ---- the folder of a worker ------------------------------------------------------------------ */

static void put_one(mf_chunk_cache *h, int i, bool pin, uint8_t digest[MF_DIGEST_BYTES])
{
    uint8_t bytes[100000];
    mf_chunk c = {.raw = sizeof bytes, .size = sizeof bytes, .bytes = bytes};
    memset(bytes, i, sizeof bytes);
    mf_digest_bytes(bytes, sizeof bytes, digest);
    ok(mf_chunk_cache_put(h, digest, &c, pin));
}

START_TEST(a_full_folder_drops_what_was_not_used)
{
    uint8_t d[12][MF_DIGEST_BYTES];
    mf_chunk_cache *h;
    mf_chunk_cache *second;
    enter_scratch();
    ok(mf_chunk_cache_open("chunk_cache", 1000000, &h));
    for (int i = 0; i < 12; i++) {
        put_one(h, i, i == 0, d[i]);
        if (i > 1)
            ck_assert(mf_chunk_cache_has(h, d[1])); /* used, so it stays */
    }
    ck_assert_int_le(mf_chunk_cache_bytes(h), 1000000);
    ck_assert(mf_chunk_cache_has(h, d[0])); /* pinned */
    ck_assert(!mf_chunk_cache_has(h, d[2]));
    ck_assert(mf_chunk_cache_has(h, d[11]));
    ok(mf_chunk_cache_open("chunk_cache", 1000000, &second));
    ck_assert_str_eq(mf_chunk_cache_dir(second), "chunk_cache-2");
    mf_chunk_cache_close(second);
    mf_chunk_cache_close(h);
    ok(mf_chunk_cache_open("chunk_cache", 1000000, &h));
    ck_assert(mf_chunk_cache_has(h, d[11])); /* kept between two jobs */
    mf_chunk_cache_close(h);
    leave_scratch();
}
END_TEST

START_TEST(a_damaged_chunk_is_gone)
{
    uint8_t d[MF_DIGEST_BYTES];
    char hex[MF_HEX_SIZE], path[200];
    mf_chunk_cache *h;
    mf_chunk c;
    bool found;
    enter_scratch();
    ok(mf_chunk_cache_open("chunk_cache", 1000000, &h));
    put_one(h, 1, false, d);
    mf_hex_encode(d, hex);
    snprintf(path, sizeof path, "chunk_cache/%.2s/%s", hex, hex);
    int file = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(file, "x", 1, 5000), 1);
    close(file);
    ok(mf_chunk_cache_get(h, d, &c, &found));
    ck_assert(!found);
    ck_assert(!mf_chunk_cache_has(h, d));
    ck_assert_int_ne(access(path, F_OK), 0);
    put_one(h, 1, false, d);
    ok(mf_chunk_cache_get(h, d, &c, &found));
    ck_assert(found);
    mf_chunk_clear(&c);
    mf_chunk_cache_close(h);
    leave_scratch();
}
END_TEST

/* What a run says of a copy can't lead out of its folder; what a node reads elsewhere isn't copied.
 */
START_TEST(names_of_copies_lead_down)
{
    static const char *const out[] = {"", "/x", "../x", "a/../../x", "a//../x", "./x"};
    static const char name[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    mf_chunk_cache *chunks;
    mf_file_cache *files;
    mf_copy_state state;
    mf_file_copy *copy;
    int file;
    enter_scratch();
    ok(mf_chunk_cache_open("chunk_cache", 1000000, &chunks));
    ok(mf_file_cache_open(chunks, &files));
    ok(mf_file_cache_hold(files, name, &state, &copy));
    ck_assert_int_eq(state, MF_COPY_MISSING);
    ok(mf_file_copy_begin(copy, 10));
    for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
        mf_status status = mf_file_copy_create(copy, out[i], false, &file);
        ck_assert_ptr_nonnull(status);
        ck_assert_int_eq(mf_error_code(status), MF_CORRUPT);
        mf_error_free(status);
    }
    ok(mf_file_copy_create(copy, "..a/b..", false, &file));
    close(file);
    mf_file_copy_done(copy, true);
    mf_file_copy_release(copy);
    ok(mf_file_cache_hold(files, name, &state, &copy));
    ck_assert_int_eq(state, MF_COPY_READY);
    mf_file_copy_release(copy);
    mf_file_cache_close(files);
    mf_chunk_cache_close(chunks);
    ck_assert_str_eq(mf_file_below("/d/h.mhd", "/d/raw/x"), "raw/x");
    ck_assert_str_eq(mf_file_below("h.mhd", "x"), "x");
    ck_assert_str_eq(mf_file_below("/d/h.dcm", "/d"), "");
    ck_assert_ptr_null(mf_file_below("/d/h.mhd", "/e/x"));
    ck_assert_ptr_null(mf_file_below("/d/h.mhd", "/d/../e/x"));
    ck_assert_ptr_null(mf_file_below("h.mhd", "/e/x"));
    ck_assert_ptr_null(mf_file_below("..", ".."));
    leave_scratch();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("remote");
    TCase *tests = tcase_create("remote");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_node_comes_out_as_here);
    tcase_add_test(tests, chunks_are_read_from_the_spool);
    tcase_add_test(tests, states_go_to_the_run);
    tcase_add_test(tests, what_is_there_is_not_sent);
    tcase_add_test(tests, a_stream_reads_what_its_session_kept);
    tcase_add_test(tests, what_ends_with_its_worker_has_not_failed);
    tcase_add_test(tests, one_node_is_cancelled);
    tcase_add_test(tests, who_is_refused_ends_what_it_runs);
    tcase_add_test(tests, results_over_damaged_chunks_are_sound);
    tcase_add_test(tests, the_same_device_is_that_of_workers_too);
    tcase_add_test(tests, a_worker_that_is_gone_leaves_no_file_open);
    tcase_add_test(tests, who_does_not_know_the_token_is_refused);
    tcase_add_test(tests, connections_leave_files_to_the_run);
    tcase_add_test(tests, a_token_is_its_owners_alone);
    tcase_add_test(tests, a_frame_that_was_changed_is_refused);
    tcase_add_test(tests, a_frame_counts_once);
    tcase_add_test(tests, a_full_folder_drops_what_was_not_used);
    tcase_add_test(tests, a_damaged_chunk_is_gone);
    tcase_add_test(tests, names_of_copies_lead_down);
    tcase_add_test(tests, who_waits_for_another_worker_hears_of_the_end);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
