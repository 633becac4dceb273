/* test_rank.c - which node starts first: by the critical path in seconds, as earlier runs and the
 * stages' own estimates give it; and what runs together on the memory of a device. */
#include "../run_suite.h"
#include "compute/devices.h"
#include "graph_fixture.h"
#include "run/plan/plan.h"
#include "run/schedule/run.h"

#include <math.h>
#include <pthread.h>

/* ---- stages ---------------------------------------------------------------------------------- */

typedef struct rank_params {
    double seconds; /* that it estimates */
    double memory;  /* part of the device's that it says it needs */
    const char *salt;
} rank_params;

static const mf_param table[] = {
    MF_REAL(rank_params, seconds, "1", -1, HUGE_VAL, "s", "Estimated time."),
    MF_REAL(rank_params, memory, "0", 0, 2, "", "Part of the device's memory."),
    MF_TEXT(rank_params, salt, "", "Part of the key."), MF_END};
static const mf_port texts_in[] = {MF_PORT("all", "text[]?", ""), MF_END};
static const mf_port text_out[] = {MF_PORT("text", "text", ""), MF_END};

static size_t device_memory;
static pthread_barrier_t *together; /* two that run at once meet here; or NULL */

static mf_status needs(mf_task *t, const void *params, mf_needs *n)
{
    const rank_params *p = params;

    (void)t;
    n->cost = p->seconds;
    n->device_bytes = (size_t)(p->memory * (double)device_memory);
    return MF_OK;
}

static mf_status run(mf_task *t, const void *params, void *session)
{
    const rank_params *p = params;
    mf_artifact *a;

    (void)session;
    if (together)
        pthread_barrier_wait(together);
    MF_TRY(mf_artifact_new("text", &a));
    MF_TRY(mf_artifact_set_text(a, "text", p->salt));
    return mf_out(t, "text", a);
}

static const char *const kernels[] = {"kernel void nothing(int count) {}\n", NULL};

#define STAGE(variable, its_name, ...)                                                             \
    static const mf_stage variable = {.name = its_name,                                            \
                                      .version = 1,                                                \
                                      .summary = "For tests.",                                     \
                                      .params = table,                                             \
                                      .params_size = sizeof(rank_params),                          \
                                      .in = texts_in,                                              \
                                      .out = text_out,                                             \
                                      .run = run,                                                  \
                                      __VA_ARGS__}
STAGE(says, "rank.says", .needs = needs);
STAGE(silent, "rank.silent", .code = NULL);
STAGE(device, "rank.device", .needs = needs, .kernels = kernels);
MF_PLUGIN("rank", &says, &silent, &device)

/* ---- one run --------------------------------------------------------------------------------- */

typedef struct started {
    mf_text order;  /* "b a c" */
    mf_text events; /* "+b -b +a -a +c -c": starts and ends */
    mf_text failures;
} started;

static void on_event(void *self, const mf_run_event *e)
{
    started *s = self;

    if (e->kind == MF_RUN_STARTED)
        mf_text_add(&s->order, "%s%s", s->order.length ? " " : "", e->node);
    if (e->kind == MF_RUN_STARTED || e->kind == MF_RUN_DONE)
        mf_text_add(&s->events, "%s%c%s", s->events.length ? " " : "",
                    e->kind == MF_RUN_DONE ? '-' : '+', e->node);
    if (e->kind == MF_RUN_FAILED)
        mf_text_add(&s->failures, "%s: %s", e->node, e->text);
}

static mf_plan *new_plan(mf_graph *g, mf_store *store)
{
    size_t count = mf_graph_node_count(g);
    mf_plan_options options = {0};
    bool *asked = calloc(count, sizeof *asked);
    mf_plan *plan;

    memset(asked, true, count);
    ok(mf_plan_new(g, store, asked, &options, &plan));
    free(asked);
    return plan;
}

static void run_graph(mf_graph *g, const char *devices, int jobs, size_t failed, started *s)
{
    mf_run_options options = {
        .jobs = jobs, .host_bytes = SIZE_MAX / 2, .watch = on_event, .self = s};
    mf_run_result result;
    mf_store *store;
    mf_plan *plan;
    mf_executor executor;
    mf_host *host;

    ok(mf_store_open("store", MF_STORE_WRITE, &store));
    plan = new_plan(g, store);
    ok(mf_host_new(store, toys, devices, &host));
    executor = mf_host_executor(host);
    ok(mf_run(plan, &executor, &options, &result));
    ck_assert_uint_eq(result.counts.failed, failed);
    mf_host_free(host);
    mf_plan_free(plan);
    mf_store_close(store);
}

static void clear(started *s)
{
    free(mf_text_take(&s->order));
    free(mf_text_take(&s->events));
    free(mf_text_take(&s->failures));
}

/* What was written, "" where nothing was. */
static void check_text(const mf_text *text, const char *expected)
{
    ck_assert_str_eq(text->length ? text->data : "", expected);
}

static void check_order(const char *text, const char *order)
{
    mf_graph *g = load_text(text);
    started s = {0};

    run_graph(g, "cpu", 1, 0, &s);
    check_text(&s.order, order);
    clear(&s);
    mf_graph_free(g);
}

/* ---- estimates of stages --------------------------------------------------------------------- */

START_TEST(the_longest_path_by_estimates_goes_first)
{
    enter_scratch();
    /* By the number of nodes below, a would be first; by the file, too. */
    check_order("massflow: 1\n"
                "stages:\n"
                "  a: {use: rank.says, with: {seconds: 1, salt: a}}\n"
                "  b: {use: rank.says, with: {seconds: 2, salt: b}, in: {all: [a]}}\n"
                "  c: {use: rank.says, with: {seconds: 1, salt: c}, in: {all: [b]}}\n"
                "  d: {use: rank.says, with: {seconds: 100, salt: d}}\n",
                "d a b c");
    leave_scratch();
}
END_TEST

/* One that says nothing counts a second. */
START_TEST(what_is_not_known_counts_a_second)
{
    enter_scratch();
    check_order("massflow: 1\n"
                "stages:\n"
                "  a: {use: rank.says, with: {seconds: 1.5, salt: a}}\n"
                "  b: {use: rank.silent, with: {salt: b}}\n"
                "  c: {use: rank.silent, with: {salt: c}, in: {all: [b]}}\n"
                "  d: {use: rank.says, with: {seconds: 0.5, salt: d}}\n",
                "b a c d");
    leave_scratch();
}
END_TEST

/* It is asked when its inputs are there; what waits already gives way to what then comes first. */
START_TEST(a_later_estimate_changes_the_order)
{
    enter_scratch();
    check_order("massflow: 1\n"
                "stages:\n"
                "  a: {use: rank.says, with: {seconds: 5, salt: a}}\n"
                "  b: {use: rank.says, with: {seconds: 3, salt: b}}\n"
                "  c: {use: rank.says, with: {seconds: 9, salt: c}, in: {all: [a]}}\n"
                "  d: {use: rank.says, with: {seconds: 4, salt: d}}\n",
                "a c d b");
    leave_scratch();
}
END_TEST

START_TEST(an_estimate_that_is_no_time_is_an_error)
{
    started s = {0};
    enter_scratch();
    mf_graph *g = load_text("massflow: 1\nstages:\n"
                            "  a: {use: rank.says, with: {seconds: -1}}\n");
    run_graph(g, "cpu", 1, 1, &s);
    check_text(&s.order, "");
    check_text(&s.failures, "a: needs of rank.says: it is estimated to take -1 seconds");
    clear(&s);
    mf_graph_free(g);
    leave_scratch();
}
END_TEST

/* ---- earlier runs ---------------------------------------------------------------------------- */

/* Records a run of `graph` in which a node took so long. */
static void record(const char *graph, const char *node, const char *stage, double seconds)
{
    static int number;
    mf_run_start start = {graph, "massflow run", "0", 1};
    mf_action_output output = {.port = "text", .present = true};
    mf_action action = {.stage = stage,
                        .components = "{}",
                        .device = "",
                        .seconds = seconds,
                        .outputs = &output,
                        .output_count = 1};
    mf_artifact *a;
    mf_store *store;

    snprintf(action.key, sizeof action.key, "%064d", ++number);
    ok(mf_store_open("store", MF_STORE_WRITE, &store));
    ok(mf_artifact_new("text", &a));
    ok(mf_artifact_set_text(a, "text", action.key));
    ok(mf_store_put(store, a, output.id));
    mf_artifact_unref(a);
    ok(mf_store_run_begin(store, &start, &action.run));
    mf_run_node n = {.node = node, .outcome = MF_NODE_DONE, .seconds = seconds, .key = action.key};
    ok(mf_store_run_nodes(store, action.run, &n, 1));
    ok(mf_store_record(store, &action));
    ok(mf_store_run_end(store, action.run, "done"));
    mf_store_close(store);
}

static char graph_path[64];

static const char *const chains = "massflow: 1\n"
                                  "stages:\n"
                                  "  a: {use: rank.says, with: {seconds: 50, salt: a}}\n"
                                  "  b: {use: rank.silent, with: {salt: b}}\n"
                                  "  c: {use: rank.silent, with: {salt: c}, in: {all: [b]}}\n";

START_TEST(earlier_runs_count_for_more_than_estimates)
{
    enter_scratch();
    snprintf(graph_path, sizeof graph_path, "%s/g.yaml", scratch);
    record(graph_path, "a", "rank.says", 3);
    record(graph_path, "c", "rank.silent", 10);
    check_order(chains, "b c a");
    leave_scratch();
}
END_TEST

/* The median of the graph's own runs: 2 s, though one took long. */
START_TEST(the_median_counts)
{
    enter_scratch();
    snprintf(graph_path, sizeof graph_path, "%s/g.yaml", scratch);
    record(graph_path, "a", "rank.says", 2);
    record(graph_path, "a", "rank.says", 1000);
    record(graph_path, "a", "rank.says", 1);
    record(graph_path, "c", "rank.silent", 2);
    record("/somewhere/else.yaml", "b", "rank.says", 5000);
    mf_graph *g = load_text(chains);
    mf_store *store;
    ok(mf_store_open("store", MF_STORE_WRITE, &store));
    mf_plan *plan = new_plan(g, store);
    ck_assert_double_eq(mf_plan_at(plan, 1)->rank, 2); /* a second each */
    ok(mf_plan_expect(plan));
    ck_assert_double_eq(mf_plan_at(plan, 0)->rank, 2);
    /* b has not run here: rank.silent took 2 s in other places. */
    ck_assert_double_eq(mf_plan_at(plan, 1)->rank, 4);
    ck_assert_double_eq(mf_plan_at(plan, 2)->rank, 2);
    mf_plan_free(plan);
    mf_store_close(store);
    mf_graph_free(g);
    leave_scratch();
}
END_TEST

/* ---- memory of devices ----------------------------------------------------------------------- */

/* Two stages on the two halves of the CPU, and how they start and end; NULL: in any order, but both
 * run at once. A machine with one core has no halves. */
static void run_two(const char *first, const char *second, const char *events)
{
    started s = {0};
    char text[400];
    pthread_barrier_t barrier;
    mf_device **halves;
    size_t count;
    mf_status status;

    enter_scratch();
    snprintf(text, sizeof text,
             "massflow: 1\nstages:\n"
             "  a: {use: rank.device, with: {memory: %s, salt: a}}\n"
             "  b: {use: rank.device, with: {memory: %s, salt: b}}\n",
             first, second);
    mf_graph *g = load_text(text);
    status = mf_devices_open("cpu/2", &halves, &count);
    if (status) {
        mf_error_free(status);
        mf_graph_free(g);
        leave_scratch();
        return;
    }
    ck_assert_uint_eq(count, 2);
    ck_assert(mf_device_same_memory(halves[0], halves[1]));
    device_memory = mf_device_get_info(halves[0])->memory;
    int units = mf_device_get_info(halves[0])->compute_units;
    mf_device_unref(halves[0]);
    mf_device_unref(halves[1]);
    free(halves);
    pthread_barrier_init(&barrier, NULL, 2);
    together = events ? NULL : &barrier;
    run_graph(g, "cpu/2", 2 * units, 0, &s);
    if (events)
        check_text(&s.events, events);
    clear(&s);
    together = NULL;
    pthread_barrier_destroy(&barrier);
    mf_graph_free(g);
    leave_scratch();
}

START_TEST(what_fits_on_a_device_together_runs_together)
{
    run_two("0.4", "0.5", NULL); /* neither ends before the other has begun */
}
END_TEST

START_TEST(what_does_not_fit_on_a_device_together_runs_one_by_one)
{
    run_two("0.6", "0.5", "+a -a +b -b");
}
END_TEST

/* It may know how to do with less. */
START_TEST(what_needs_more_than_a_device_has_runs_alone)
{
    run_two("1.5", "0", "+a -a +b -b");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rank");
    TCase *c = tcase_create("rank");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, the_longest_path_by_estimates_goes_first);
    tcase_add_test(c, what_is_not_known_counts_a_second);
    tcase_add_test(c, a_later_estimate_changes_the_order);
    tcase_add_test(c, an_estimate_that_is_no_time_is_an_error);
    tcase_add_test(c, earlier_runs_count_for_more_than_estimates);
    tcase_add_test(c, the_median_counts);
    tcase_add_test(c, what_fits_on_a_device_together_runs_together);
    tcase_add_test(c, what_does_not_fit_on_a_device_together_runs_one_by_one);
    tcase_add_test(c, what_needs_more_than_a_device_has_runs_alone);
    suite_add_tcase(suite, c);
    return run_suite_as(suite, CK_NOFORK); /* an OpenCL driver does not survive a fork */
}
