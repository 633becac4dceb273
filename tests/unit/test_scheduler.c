/* test_scheduler.c - whole runs, several at once on one cache, with small stages for the host and
 * for a device. However they meet, each run ends with all that it wants, and each action runs once.
 */
#include "../run_suite.h"
#include "graph_fixture.h"
#include "run/schedule/run.h"
#include "small_stages.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- stages ---------------------------------------------------------------------------------- */

typedef struct failing {
    int64_t salt;
    bool fail;
} failing;

static const mf_param table[] = {MF_INT(failing, salt, "0", 0, 1000000000, "", "Part of the key."),
                                 MF_BOOL(failing, fail, "false", "It fails."), MF_END};
static const mf_port two_in[] = {MF_PORT("a", "text", ""), MF_PORT("b", "text?", ""), MF_END};
static const mf_port read_in[] = {MF_PORT("items", "stream<text>", ""), MF_END};
static const mf_port text_out[] = {MF_PORT("text", "text", ""), MF_END};

static atomic_int ran; /* stages */

static uint64_t hash(uint64_t h, const char *text)
{
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 1099511628211ULL;
    return h;
}

static mf_status new_text(uint64_t h, mf_artifact **a)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIx64, h);
    MF_TRY(mf_artifact_new("text", a));
    return mf_artifact_set_text(*a, "text", text);
}

static mf_status finish(mf_task *t, const failing *p, uint64_t h)
{
    mf_artifact *a;
    atomic_fetch_add(&ran, 1);
    if (p->fail)
        return mf_fail(MF_INVALID, "it is told to fail");
    MF_TRY(new_text(h + (uint64_t)p->salt, &a));
    return mf_out(t, "text", a);
}

static mf_status make_run(mf_task *t, const void *p, void *session)
{
    (void)session;
    return finish(t, p, 7);
}

static mf_status two_run(mf_task *t, const void *p, void *session)
{
    const mf_artifact *a, *b;
    (void)session;
    MF_TRY(mf_in(t, "a", &a));
    MF_TRY(mf_in(t, "b", &b));
    return finish(
        t, p, hash(hash(11, mf_artifact_text(a, "text")), b ? mf_artifact_text(b, "text") : ""));
}

static mf_status hash_all(mf_task *t, uint64_t *h)
{
    const mf_artifact *a;
    *h = 13;
    for (size_t i = 0; i < mf_in_count(t, "all"); i++) {
        MF_TRY(mf_in_item(t, "all", i, &a));
        *h = hash(*h, mf_artifact_text(a, "text"));
    }
    return MF_OK;
}

static mf_status all_run(mf_task *t, const void *p, void *session)
{
    uint64_t h;
    (void)session;
    MF_TRY(hash_all(t, &h));
    return finish(t, p, h);
}

static mf_status items_item(mf_task *t, const void *p, void *session, int64_t i, mf_artifact **a)
{
    uint64_t h;
    (void)session;
    MF_TRY(hash_all(t, &h));
    return new_text(h + (uint64_t)((const failing *)p)->salt + (uint64_t)i, a);
}

static mf_status read_run(mf_task *t, const void *p, void *session)
{
    uint64_t h = 17;
    mf_stream *items;
    (void)session;
    MF_TRY(mf_in_stream(t, "items", &items));
    for (int i = 0; i < 3; i++) {
        mf_artifact *a;
        MF_TRY(mf_stream_next(items, &a));
        h = hash(h, mf_artifact_text(a, "text"));
        mf_artifact_unref(a);
    }
    return finish(t, p, h);
}

SMALL_STAGE(make, "meet.make", failing, table, none, text_out, .run = make_run);
SMALL_STAGE(two, "meet.two", failing, table, two_in, text_out, .run = two_run);
SMALL_STAGE(device, "meet.device", failing, table, two_in, text_out, .run = two_run,
            .kernels = kernels);
SMALL_STAGE(all, "meet.all", failing, table, all_in, text_out, .run = all_run);
SMALL_STAGE(items, "meet.items", failing, table, all_in, items_out, .item = items_item);
SMALL_STAGE(reading, "meet.read", failing, table, read_in, text_out, .run = read_run);
MF_PLUGIN("meet", &make, &two, &device, &all, &items, &reading)

/* ---- one run --------------------------------------------------------------------------------- */

typedef struct one {
    const mf_graph *graph;
    const char *dir;
    bool fail_fast;
    pthread_barrier_t *start;         /* NULL: at once */
    void (*meanwhile)(mf_plan *plan); /* between planning and running; or NULL */
    mf_run_result result;
    mf_status status;
} one;

static mf_status run_plan(one *o, mf_store *store, mf_plan *plan)
{
    mf_run_options options = {.jobs = 2, .host_bytes = (size_t)1 << 30, .fail_fast = o->fail_fast};
    mf_executor executor;
    mf_host *host;
    mf_status status;

    MF_TRY(mf_host_new(store, toys, "cpu", &host));
    if (o->start)
        pthread_barrier_wait(o->start);
    if (o->meanwhile)
        o->meanwhile(plan);
    executor = mf_host_executor(host);
    status = mf_run(plan, &executor, &options, &o->result);
    if (!status && !(o->fail_fast && o->result.counts.failed))
        status = mf_plan_check(plan);
    mf_host_free(host);
    return status;
}

static void *run_one(void *self)
{
    one *o = self;
    mf_plan_options options = {0};
    size_t count = mf_graph_node_count(o->graph);
    bool *asked = malloc((count + 1) * sizeof *asked);
    mf_store *store = NULL;
    mf_plan *plan = NULL;

    memset(asked, true, (count + 1) * sizeof *asked);
    o->status = mf_store_open(o->dir, MF_STORE_WRITE, &store);
    if (!o->status)
        o->status = mf_plan_new(o->graph, store, asked, &options, &plan);
    if (!o->status)
        o->status = run_plan(o, store, plan);
    else if (o->start)
        pthread_barrier_wait(o->start);
    mf_plan_free(plan);
    mf_store_close(store);
    free(asked);
    return NULL;
}

static size_t ended(const mf_run_counts *c)
{
    return c->done + c->cached + c->failed + c->blocked;
}

/* ---- what another process stores ------------------------------------------------------------- */

static const char *const late = "massflow: 1\n"
                                "stages:\n"
                                "  scan: {use: meet.make}\n"
                                "  found: {use: meet.device, in: {a: scan}}\n"
                                "  mask: {use: meet.two, in: {a: found}}\n"
                                "  last: {use: meet.device, in: {a: mask, b: scan}}\n";

static void *make_scan(void *graph)
{
    one o = {.graph = graph, .dir = "store"};
    run_one(&o);
    ok(o.status);
    return NULL;
}

/* Another run of the same graph, up to its end. */
static void all_of_it(mf_plan *plan)
{
    make_scan((void *)mf_plan_graph(plan));
}

/* Only what the host makes first. */
static void scan_alone(mf_plan *plan)
{
    (void)plan;
    mf_graph *g = load_text("massflow: 1\nstages:\n  scan: {use: meet.make}\n");
    make_scan(g);
    mf_graph_free(g);
}

static void check_late(void (*meanwhile)(mf_plan *plan), size_t done, size_t cached)
{
    one o = {.dir = "store", .meanwhile = meanwhile};
    enter_scratch();
    mf_graph *g = load_text(late);
    o.graph = g;
    run_one(&o);
    ok(o.status);
    ck_assert_uint_eq(o.result.counts.wanted, 4);
    ck_assert_uint_eq(o.result.counts.done, done);
    ck_assert_uint_eq(o.result.counts.cached, cached);
    mf_graph_free(g);
    leave_scratch();
}

/* A node for the host is found stored when it is about to start: what follows on a device, and what
 * follows that on the host, is looked at. */
START_TEST(what_is_found_late_decides_nodes_of_both_kinds)
{
    check_late(scan_alone, 3, 1);
    check_late(all_of_it, 0, 4);
}
END_TEST

/* ---- many at once ---------------------------------------------------------------------------- */

#define RUNS 6

static uint64_t state;

static size_t below(size_t n)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (size_t)(state >> 33) % n;
}

/* A stage of a random kind that reads earlier ones; stage 0 has cases, and so have some others. */
static void draw_stage(FILE *out, int s, bool *each, bool *stream)
{
    static const char *const names[] = {"two", "device", "all", "items", "read"};
    int from[3], kind = (int)below(5), source = -1;

    for (int k = 0; k < s; k++)
        source = stream[k] ? k : source;
    if (kind == 4 && source < 0)
        kind = 1;
    for (int k = 0; k < 3; k++)
        do {
            from[k] = (int)below((size_t)s);
        } while (stream[from[k]] || (kind == 1 && each[from[k]] && below(2)));
    stream[s] = kind == 3;
    each[s] = kind == 4 ? each[source] : kind < 2 && (each[from[0]] || each[from[1]]);
    fprintf(out, "  s%d:\n    use: meet.%s\n%s    with: {salt: %d, fail: %s}\n", s, names[kind],
            each[s] ? "    each: case\n" : "", s, kind != 3 && below(12) == 0 ? "true" : "false");
    if (kind < 2)
        fprintf(out, "    in: {a: s%d, b: s%d}\n", from[0], from[1]);
    else if (kind == 4)
        fprintf(out, "    in: {items: s%d}\n", source);
    else
        fprintf(out, "    in: {all: [\"s%d%s\", \"s%d%s\"]}\n", from[0], each[from[0]] ? "[*]" : "",
                from[1], each[from[1]] ? "[*]" : "");
}

static mf_graph *draw_graph(void)
{
    bool each[12] = {true, false}, stream[12] = {false};
    char *text;
    size_t size;
    int count = 4 + (int)below(8);
    FILE *out = open_memstream(&text, &size);

    fprintf(out, "massflow: 1\ncases: [{count: 2, id: \"c{id}\"}]\nstages:\n"
                 "  s0: {use: meet.make, each: case}\n  s1: {use: meet.make, with: {salt: 1}}\n");
    for (int s = 2; s < count; s++)
        draw_stage(out, s, each, stream);
    fclose(out);
    mf_graph *g = load_text(text);
    free(text);
    return g;
}

static void meet(const mf_graph *graph, const char *dir)
{
    pthread_t threads[RUNS];
    pthread_barrier_t start;
    one runs[RUNS], after = {.graph = graph, .dir = dir};
    size_t done = 0, fail = 0;

    atomic_store(&ran, 0);
    pthread_barrier_init(&start, NULL, RUNS);
    for (int i = 0; i < RUNS; i++) {
        /* Some stop at the first failure: what they were at is left to the others. */
        runs[i] =
            (one){.graph = graph, .dir = dir, .start = &start, .fail_fast = i && below(3) == 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_one, &runs[i]), 0);
    }
    for (int i = 0; i < RUNS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < RUNS; i++) {
        const mf_run_counts *c = &runs[i].result.counts;
        ok(runs[i].status);
        done += c->done;
        fail += c->failed;
        if (runs[i].fail_fast && c->failed)
            continue;
        ck_assert_uint_eq(ended(c), c->wanted);
        ck_assert_uint_eq(c->failed, runs[0].result.counts.failed);
        ck_assert_uint_eq(c->blocked, runs[0].result.counts.blocked);
    }
    ck_assert_uint_eq((size_t)atomic_load(&ran), done + fail);
    run_one(&after);
    ok(after.status);
    ck_assert_uint_eq(after.result.counts.done, 0);
    ck_assert_uint_eq(after.result.counts.cached, after.result.counts.wanted -
                                                      after.result.counts.failed -
                                                      after.result.counts.blocked);
}

START_TEST(runs_that_meet)
{
    const char *rounds = getenv("MASSFLOW_ROUNDS"), *seed = getenv("MASSFLOW_SEED");
    size_t first = seed ? strtoull(seed, NULL, 10) : 1,
           count = rounds ? strtoull(rounds, NULL, 10) : 25;
    enter_scratch();
    for (size_t i = first; i < first + count; i++) {
        char dir[32];
        state = i * 0x9e3779b97f4a7c15ULL + 1;
        printf("MASSFLOW_SEED=%zu\n", i);
        fflush(stdout);
        snprintf(dir, sizeof dir, "store%zu", i);
        mf_graph *g = draw_graph();
        meet(g, dir);
        mf_graph_free(g);
    }
    leave_scratch();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scheduler");
    TCase *c = tcase_create("scheduler");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, what_is_found_late_decides_nodes_of_both_kinds);
    tcase_add_test(c, runs_that_meet);
    suite_add_tcase(suite, c);
    return run_suite_as(suite, CK_NOFORK); /* an OpenCL driver does not survive a fork */
}
