/* test_executor.c - the executor of this process, without a scheduler: leases, tries, what is
 * stored; and that it needs nothing of the plan once a node is prepared. */
#include "../run_suite.h"
#include "graph_fixture.h"
#include "run/schedule/executor.h"
#include "small_stages.h"

#include <pthread.h>

/* ---- stages ---------------------------------------------------------------------------------- */

static int broken; /* so many tries fail; set while nothing runs */

static const mf_port read_in[] = {MF_PORT("items", "stream<text>", ""), MF_END};
static const mf_port outs[] = {MF_PORT("text", "text", ""), MF_PORT("more", "text?", ""), MF_END};

static mf_status new_text(const char *text, mf_artifact **a)
{
    MF_TRY(mf_artifact_new("text", a));
    return mf_artifact_set_text(*a, "text", text);
}

static mf_status put(mf_task *t, const char *text)
{
    mf_artifact *a;
    MF_TRY(new_text(text, &a));
    return mf_out(t, "text", a);
}

static mf_status make_run(mf_task *t, const void *p, void *session)
{
    (void)p, (void)session;
    if (broken > 0)
        return mf_fail(MF_INVALID, "%d more", --broken);
    return put(t, "made");
}

/* The texts of all, and i. */
static mf_status items_item(mf_task *t, const void *p, void *session, int64_t i, mf_artifact **a)
{
    char text[100];
    const mf_artifact *in;
    (void)p, (void)session;
    MF_TRY(mf_in_item(t, "all", 0, &in));
    snprintf(text, sizeof text, "%s %lld", mf_artifact_text(in, "text"), (long long)i);
    return new_text(text, a);
}

static mf_status read_run(mf_task *t, const void *p, void *session)
{
    char text[200] = "";
    mf_stream *items;
    (void)p, (void)session;
    MF_TRY(mf_in_stream(t, "items", &items));
    for (int i = 0; i < 2; i++) {
        mf_artifact *a;
        MF_TRY(mf_stream_next(items, &a));
        strcat(strcat(text, mf_artifact_text(a, "text")), ";");
        mf_artifact_unref(a);
    }
    return put(t, text);
}

SMALL_STAGE(make, "here.make", salt, salt_table, none, outs, .run = make_run);
SMALL_STAGE(items, "here.items", salt, salt_table, all_in, items_out, .item = items_item);
SMALL_STAGE(reading, "here.read", salt, salt_table, read_in, outs, .run = read_run);
MF_PLUGIN("here", &make, &items, &reading)

/* ---- one node -------------------------------------------------------------------------------- */

static const char text[] = "massflow: 1\n"
                           "stages:\n"
                           "  make: {use: here.make, retries: 2}\n"
                           "  items: {use: here.items, in: {all: [make.text]}}\n"
                           "  read: {use: here.read, in: {items: items}}\n";

typedef struct place {
    mf_graph *graph;
    mf_store *store;
    mf_host *host;
    mf_executor executor;
    char lines[500];
} place;

static void hear(void *self, const char *node, const char *line)
{
    place *p = self;
    size_t length = strlen(p->lines);
    snprintf(p->lines + length, sizeof p->lines - length, "%s: %s\n", node, line);
}

static void open_place(place *p)
{
    enter_scratch();
    p->graph = load_text(text);
    ok(mf_store_open("store", MF_STORE_WRITE, &p->store));
    ok(mf_host_new(p->store, toys, "cpu", &p->host));
    p->executor = mf_host_executor(p->host);
    p->executor.set_log(p->executor.self, hear, p);
    p->lines[0] = '\0';
}

static void close_place(place *p)
{
    mf_host_free(p->host);
    mf_store_close(p->store);
    mf_graph_free(p->graph);
    leave_scratch();
}

static mf_plan *new_plan(const place *p)
{
    bool asked[3] = {true, true, true};
    mf_plan_options options = {0};
    mf_plan *plan;
    ok(mf_plan_new(p->graph, p->store, asked, &options, &plan));
    return plan;
}

typedef struct ending {
    pthread_mutex_t lock;
    pthread_cond_t heard;
    int times;
    mf_execution_end end;
} ending;

static void on_ended(void *self, const mf_execution_end *end)
{
    ending *e = self;
    pthread_mutex_lock(&e->lock);
    e->end = *end;
    e->times++;
    pthread_cond_signal(&e->heard);
    pthread_mutex_unlock(&e->lock);
}

/* Node i from begin to end. The plan is gone before it starts. */
static mf_execution_end run_node(place *p, size_t i)
{
    ending e = {.lock = PTHREAD_MUTEX_INITIALIZER, .heard = PTHREAD_COND_INITIALIZER};
    const mf_grant grant = {.slots = 1};
    mf_plan *plan = new_plan(p);
    mf_execution *x;
    mf_needs needs;

    ck_assert_uint_eq(mf_plan_next(plan, i), i);
    ok(p->executor.prepare(p->executor.self, plan, i, &needs, &x));
    ck_assert_int_eq(needs.cpu, 1);
    ck_assert(!needs.device);
    mf_plan_free(plan);
    p->executor.start(x, &grant, on_ended, &e);
    pthread_mutex_lock(&e.lock);
    while (!e.times)
        pthread_cond_wait(&e.heard, &e.lock);
    pthread_mutex_unlock(&e.lock);
    p->executor.free(x);
    ck_assert_int_eq(e.times, 1);
    e.end.outputs = NULL; /* the execution's */
    return e.end;
}

static void key_of(const place *p, size_t i, char key[MF_HEX_SIZE])
{
    mf_plan *plan = new_plan(p);
    strcpy(key, mf_plan_at(plan, i)->key);
    mf_plan_free(plan);
}

/* The text that is stored as what node i made. */
static void check_stored(const place *p, size_t i, const char *expected)
{
    mf_plan *plan = new_plan(p);
    const mf_plan_node *n = mf_plan_at(plan, i);
    mf_artifact *a;
    ck_assert_int_eq(n->state, MF_PLAN_CACHED);
    ck_assert(!*n->outputs[1].id); /* left out */
    ok(mf_host_get(p->host, n->outputs[0].id, &a));
    ck_assert_str_eq(mf_artifact_text(a, "text"), expected);
    mf_artifact_unref(a);
    mf_plan_free(plan);
}

START_TEST(it_needs_no_plan)
{
    place p;
    open_place(&p);
    broken = 0;
    ok(run_node(&p, 0).status);
    check_stored(&p, 0, "made");
    ok(run_node(&p, 2).status); /* with its stream */
    check_stored(&p, 2, "made 0;made 1;");
    ck_assert_str_eq(p.lines, "");
    close_place(&p);
}
END_TEST

START_TEST(it_tries_again)
{
    place p;
    open_place(&p);
    broken = 2;
    ok(run_node(&p, 0).status);
    check_stored(&p, 0, "made");
    ck_assert_str_eq(p.lines, "make: attempt 1 of 3 failed, retrying: 1 more\n"
                              "make: attempt 2 of 3 failed, retrying: 0 more\n");
    close_place(&p);
}
END_TEST

/* After the last try its error is that of the node, and its lease is free. */
START_TEST(it_gives_up)
{
    char key[MF_HEX_SIZE];
    mf_execution_end end;
    mf_lease_state state;
    mf_lease_owner owner;
    mf_store *other;
    place p;
    open_place(&p);
    broken = 4;
    end = run_node(&p, 0);
    fails(end.status, "1 more");
    ck_assert(!end.store_failed);
    ck_assert_int_eq(end.lease, MF_LEASE_FREE);
    key_of(&p, 0, key);
    ok(mf_store_open("store", MF_STORE_WRITE, &other));
    ok(mf_store_lease_look(other, key, 0, &state, &owner));
    ck_assert_int_eq(state, MF_LEASE_FREE);
    mf_store_close(other);
    close_place(&p);
}
END_TEST

/* A run that is stopped tries nothing again. */
START_TEST(it_stops)
{
    place p;
    open_place(&p);
    broken = 3;
    p.executor.cancel(p.executor.self);
    ck_assert(p.executor.cancelled(p.executor.self));
    fails(run_node(&p, 0).status, "2 more");
    ck_assert_str_eq(p.lines, "");
    ck_assert_int_eq(broken, 2);
    close_place(&p);
}
END_TEST

START_TEST(another_process_has_it)
{
    char key[MF_HEX_SIZE];
    mf_execution_end end;
    mf_lease_state state;
    mf_lease_owner owner;
    mf_store *other;
    place p;
    open_place(&p);
    broken = 0;
    key_of(&p, 0, key);
    ok(mf_store_open("store", MF_STORE_WRITE, &other));
    ok(mf_store_lease_take(other, key, 0, false, &state, &owner));
    end = run_node(&p, 0);
    ok(end.status);
    ck_assert_int_eq(end.lease, MF_LEASE_HELD);
    ck_assert_int_eq(end.owner.pid, getpid());
    ok(mf_store_lease_drop(other, key));
    end = run_node(&p, 0);
    ok(end.status);
    ck_assert_int_eq(end.lease, MF_LEASE_FREE);
    mf_store_close(other);
    close_place(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("executor");
    TCase *c = tcase_create("executor");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, it_needs_no_plan);
    tcase_add_test(c, it_tries_again);
    tcase_add_test(c, it_gives_up);
    tcase_add_test(c, it_stops);
    tcase_add_test(c, another_process_has_it);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
