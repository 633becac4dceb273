/* test_places.c - the scheduler with workers that come, close and are lost: which place a node
 * gets, what comes back, what no place can run. Nothing runs, nothing is stored, and time is what
 * the test says. */
#include "../run_suite.h"
#include "graph_fixture.h"
#include "run/schedule/runner.h"
#include "small_stages.h"

#include <math.h>

static const mf_port two_in[] = {MF_PORT("a", "text", ""), MF_PORT("b", "text?", ""), MF_END};
static const mf_port outs[] = {MF_PORT("x", "text", ""), MF_END};
SMALL_STAGE(make, "fake.make", salt, salt_table, none, outs, .run = no_run);
SMALL_STAGE(two, "fake.two", salt, salt_table, two_in, outs, .run = no_run);
SMALL_STAGE(device, "fake.device", salt, salt_table, two_in, outs, .run = no_run,
            .kernels = kernels);
SMALL_STAGE(all, "fake.all", salt, salt_table, all_in, outs, .run = no_run);
SMALL_STAGE(saving, "fake.saving", salt, salt_table, none, outs, .run = no_run, .saves = true);
typedef struct together {
    int64_t salt, ranks;
} together;
static const mf_param together_table[] = {
    MF_INT(together, salt, "0", 0, 1000000000, "", "Part of the key."),
    MF_INT_MARKED(together, ranks, "2", 1, 8, "", MF_NO_CACHE | MF_RANKS, "Workers."), MF_END};
SMALL_STAGE(gang, "fake.gang", together, together_table, none, outs, .run = no_run,
            .kernels = kernels);
MF_PLUGIN("fake", &make, &two, &device, &all, &saving, &gang)

#define PLACES 40
#define NODES 200
#define KINDS 3

/* ---- a world --------------------------------------------------------------------------------- */

typedef struct world world;

struct mf_execution {
    world *of;
    size_t node;
    mf_grant grant;
    mf_execution_ended ended;
    void *ended_self;
    mf_plan_output output;
};

struct world {
    mf_run_place places[PLACES];
    size_t count;
    size_t device_bytes[PLACES]; /* of each of its devices */
    const char *lacks[PLACES];   /* a stage that it has not */
    const char *not_to_come;     /* a stage that places to come have not */
    int64_t missing[PLACES];     /* of every node */
    size_t made_at;              /* of every node; 0: nowhere */
    mf_needs needs[NODES];       /* 0 slots: one, and nothing else */
    mf_execution *running[NODES];
    size_t running_count;
    int times[NODES]; /* that it was done */
    bool cancelled, checks, joinable;
    double now;
    mf_graph *graph;
    mf_plan *plan;
    mf_executor executor;
    mf_run_place may_come[KINDS];
    mf_run_options options;
    mf_run_result result;
    mf_runner r;
    mf_job *ended;
    mf_device_info device;
    char log[2000];
};

static world w; /* the clock knows no other */

static double now(void)
{
    return w.now;
}

static MF_MUST_USE mf_status open_devices(void *self, size_t *count)
{
    (void)self;
    *count = 0;
    return mf_fail(MF_NOT_FOUND, "there is no device");
}

static const mf_device_info *device_info(void *self, size_t place, size_t i)
{
    (void)self;
    ck_assert_uint_lt(i, w.places[place].device_count);
    w.device.memory = w.device_bytes[place];
    return &w.device;
}

static bool same_memory(void *self, size_t place, size_t a, size_t b)
{
    (void)self, (void)place;
    return a == b;
}

static size_t place_count(void *self)
{
    (void)self;
    return w.count;
}

static void place(void *self, size_t i, mf_run_place *p)
{
    (void)self;
    *p = w.places[i];
}

static void watch_places(void *self, void (*changed)(void *), void *changed_self)
{
    (void)self, (void)changed, (void)changed_self;
}

static bool joinable(void *self)
{
    (void)self;
    return w.joinable;
}

static const char *cannot(void *self, const mf_plan *plan, size_t i, size_t at,
                          const mf_run_place *p)
{
    const char *stage = mf_plan_at(plan, i)->node->stage->name;
    const char *lacks = at == MF_PLACE_TO_COME ? w.not_to_come : w.lacks[at];

    (void)self, (void)p;
    return lacks && !strcmp(lacks, stage) ? "its stage is missing" : NULL;
}

static int64_t missing(mf_execution *x, size_t at)
{
    return x->of->missing[at];
}

static size_t made_at(mf_execution *x)
{
    return x->of->made_at;
}

static MF_MUST_USE mf_status prepare(void *self, const mf_plan *plan, size_t i, mf_needs *needs,
                                     mf_execution **execution)
{
    (void)self;
    *needs = w.needs[i];
    needs->cpu = needs->cpu ? needs->cpu : 1;
    needs->device = mf_work_wants_device(&mf_plan_at(plan, i)->work);
    *execution = calloc(1, sizeof **execution);
    **execution = (mf_execution){.of = &w, .node = i};
    return MF_OK;
}

static void free_execution(mf_execution *x)
{
    for (size_t k = 0; x && k < w.running_count; k++)
        ck_assert_ptr_ne(w.running[k], x);
    free(x);
}

static void check_start(const mf_execution *x);

static void start(mf_execution *x, const mf_grant *grant, mf_execution_ended ended, void *self)
{
    x->grant = *grant;
    x->ended = ended;
    x->ended_self = self;
    check_start(x);
    w.running[w.running_count++] = x;
}

static void cancel(void *self)
{
    (void)self;
    w.cancelled = true;
}

static bool cancelled(void *self)
{
    (void)self;
    return w.cancelled;
}

static void take_over(void *self, mf_job *j)
{
    (void)self;
    j->finished = w.ended;
    w.ended = j;
}

static void check_failure(const mf_run_event *e);

static void watch(void *self, const mf_run_event *e)
{
    static const char *const words[] = {"planned", "start",   "done",     "found", "fail",
                                        "block",   "waiting", "overtime", "back",  "log"};
    size_t length = strlen(w.log);

    (void)self;
    if (e->kind == MF_RUN_FAILED)
        check_failure(e);
    if (e->kind == MF_RUN_PLANNED || length + 300 > sizeof w.log)
        return;
    snprintf(w.log + length, sizeof w.log - length, "%s %s%s%s%s%s\n", words[e->kind], e->node,
             e->place && *e->place ? " at " : "", e->place ? e->place : "", e->text ? ": " : "",
             e->text ? e->text : "");
}

static void told(const char *expected)
{
    ck_assert_str_eq(w.log, expected);
    w.log[0] = '\0';
}

/* Place 0 and what else a test has set up. */
static void begin_world(const char *text, int slots)
{
    bool asked[NODES];
    const mf_plan_options planning = {0};

    memset(asked, true, sizeof asked);
    w.graph = load_text(text);
    ck_assert_uint_le(mf_graph_node_count(w.graph), NODES);
    ok(mf_plan_new(w.graph, NULL, asked, &planning, &w.plan));
    w.executor = (mf_executor){.place_count = place_count,
                               .place = place,
                               .watch_places = watch_places,
                               .joinable = joinable,
                               .cannot = cannot,
                               .open_devices = open_devices,
                               .device = device_info,
                               .same_memory = same_memory,
                               .prepare = prepare,
                               .missing = missing,
                               .made_at = made_at,
                               .start = start,
                               .free = free_execution,
                               .cancel = cancel,
                               .cancelled = cancelled};
    w.places[0] = (mf_run_place){.ends = INFINITY, .open = true};
    w.options.jobs = slots;
    w.options.no_local = slots == 0;
    w.options.host_bytes = 1000;
    w.options.watch = watch;
    w.options.may_come = w.may_come;
    w.r = (mf_runner){.plan = w.plan,
                      .executor = &w.executor,
                      .options = &w.options,
                      .result = &w.result,
                      .clock = now,
                      .hand_over = take_over};
    ok(mf_runner_open(&w.r));
    mf_runner_begin(&w.r);
}

static void clear_world(void)
{
    w = (world){.count = 1};
    w.now = 1000;
}

static size_t add_place(int slots)
{
    ck_assert_uint_lt(w.count, PLACES);
    w.places[w.count] =
        (mf_run_place){.slots = slots, .bytes = 1000, .ends = INFINITY, .open = true};
    snprintf(w.places[w.count].name, sizeof w.places[0].name, "n%zu:1", w.count);
    w.r.places_changed = true;
    return w.count++;
}

static bool go(void)
{
    bool more;

    while (w.ended) {
        mf_job *j = w.ended;
        w.ended = j->finished;
        mf_runner_end(&w.r, j);
    }
    more = mf_runner_start(&w.r);
    ok(mf_plan_check(w.plan));
    return more;
}

static void end_world(void)
{
    ck_assert_uint_eq(w.running_count, 0);
    mf_runner_close(&w.r);
    ok(mf_runner_free(&w.r));
    mf_plan_free(w.plan);
    mf_graph_free(w.graph);
}

/* ---- what happens to nodes ------------------------------------------------------------------- */

static const char *name_of(size_t i)
{
    return mf_plan_at(w.plan, i)->node->name;
}

static mf_execution *take(size_t k)
{
    mf_execution *x = w.running[k];
    w.running[k] = w.running[--w.running_count];
    return x;
}

static void finish_at(size_t k)
{
    mf_execution *x = take(k);

    snprintf(x->output.id, sizeof x->output.id, "%064zx", x->node + 1);
    x->output.present = true;
    w.times[x->node]++;
    x->ended(x->ended_self, &(mf_execution_end){.seconds = 2, .outputs = &x->output});
}

static mf_execution *runs(const char *node)
{
    for (size_t k = 0; k < w.running_count; k++)
        if (!strcmp(name_of(w.running[k]->node), node))
            return w.running[k];
    ck_abort_msg("%s does not run", node);
    return NULL;
}

static bool finish(const char *node)
{
    mf_execution *x = runs(node);
    size_t k = 0;

    while (w.running[k] != x)
        k++;
    finish_at(k);
    return go();
}

static void give_back(size_t k, bool lost)
{
    mf_execution *x = take(k);

    x->ended(x->ended_self, &(mf_execution_end){.returned = true, .lost = lost});
}

/* The place is no more. */
static void end_place(size_t at, bool lost)
{
    w.places[at].open = false;
    w.r.places_changed = true;
    for (size_t k = w.running_count; k-- > 0;)
        if (w.running[k]->grant.place == at)
            give_back(k, lost);
}

static bool lose(size_t at)
{
    end_place(at, true);
    return go();
}

/* ---- which place ----------------------------------------------------------------------------- */

static const char three[] = "massflow: 1\n"
                            "stages:\n"
                            "  a: {use: fake.make, with: {salt: 1}}\n"
                            "  b: {use: fake.make, with: {salt: 2}}\n"
                            "  c: {use: fake.make, with: {salt: 3}}\n";

/* This process has all inputs; then the place with most slots free, and of equals the first. */
START_TEST(slots_of_all_places)
{
    clear_world();
    add_place(1);
    add_place(2);
    w.missing[1] = w.missing[2] = 10;
    begin_world(three, 1);
    ck_assert(go());
    told("start a\nstart b at n2:1\nstart c at n1:1\n");
    finish("a");
    finish("b");
    ck_assert(!finish("c"));
    end_world();
}
END_TEST

START_TEST(where_the_inputs_are)
{
    clear_world();
    add_place(4);
    add_place(2);
    add_place(4);
    w.missing[1] = 5;
    w.missing[2] = 3;
    w.missing[3] = 4;
    begin_world(three, 0);
    ck_assert(go());
    told("start a at n2:1\nstart b at n2:1\nstart c at n3:1\n");
    finish("a");
    finish("b");
    finish("c");
    end_world();
}
END_TEST

/* Where more than are compared have slots free, the place that made its inputs is still among
 * those. */
START_TEST(where_the_inputs_were_made)
{
    clear_world();
    for (int k = 0; k < 30; k++)
        add_place(k == 20 ? 2 : 3);
    w.needs[0].host_bytes = 900; /* for the first place alone */
    for (size_t k = 1; k < w.count; k++) {
        w.missing[k] = k == 21 ? 0 : 7;
        w.places[k].bytes = k == 21 ? 1000 : 100;
    }
    begin_world("massflow: 1\n"
                "stages:\n"
                "  a: {use: fake.make}\n"
                "  b: {use: fake.two, in: {a: a.x}}\n",
                0);
    go();
    told("start a at n21:1\n");
    finish("a");
    told("done a at n21:1\nstart b at n21:1\n");
    finish("b");
    end_world();
}
END_TEST

static const char on_device[] = "massflow: 1\n"
                                "stages:\n"
                                "  scan: {use: fake.make}\n"
                                "  a: {use: fake.device, in: {a: scan.x}, with: {salt: 1}}\n"
                                "  b: {use: fake.device, in: {a: scan.x}, with: {salt: 2}}\n"
                                "  host: {use: fake.two, in: {a: scan.x}}\n";

/* This process has no device: its slots take what needs none. */
START_TEST(devices_of_places)
{
    clear_world();
    w.places[add_place(4)].device_count = 1;
    w.device_bytes[1] = 100;
    w.missing[1] = 1;
    begin_world(on_device, 1);
    go();
    finish("scan");
    told("start scan\ndone scan\nstart a at n1:1\nstart host\n");
    finish("a");
    told("done a at n1:1\nstart b at n1:1\n");
    finish("b");
    finish("host");
    end_world();
}
END_TEST

/* One that waits for a large place keeps it; smaller ones of the same stage go on elsewhere. */
START_TEST(what_is_large_waits_for_a_large_place)
{
    clear_world();
    w.places[add_place(4)].bytes = 50;
    w.places[add_place(4)].bytes = 500;
    w.missing[2] = -1; /* as if it had more: c goes there */
    for (size_t i = 0; i < 8; i++)
        w.needs[i] = (mf_needs){.cpu = 1, .host_bytes = i == 2 ? 450 : i == 0 ? 60 : 40};
    begin_world("massflow: 1\n"
                "cases: [{count: 8, id: \"c{id}\"}]\n"
                "stages:\n"
                "  s: {use: fake.make, each: case}\n",
                0);
    go();
    told("start s[case=c000] at n2:1\nstart s[case=c001] at n2:1\nstart s[case=c003] at n1:1\n");
    finish("s[case=c003]");
    told("done s[case=c003] at n1:1\nstart s[case=c004] at n1:1\n");
    finish("s[case=c001]");
    told("done s[case=c001] at n2:1\n"); /* nobody overtakes c2 there */
    finish("s[case=c000]");
    told("done s[case=c000] at n2:1\nstart s[case=c002] at n2:1\nstart s[case=c005] at n2:1\n");
    while (w.running_count) {
        finish_at(0);
        go();
    }
    end_world();
}
END_TEST

/* ---- time ------------------------------------------------------------------------------------ */

/* A node that was not done when its worker's time was over needs one with more time, unless it
 * saves its state. */
START_TEST(time_that_is_left)
{
    clear_world();
    w.places[add_place(1)].ends = 1100;
    w.places[add_place(1)].ends = 1100;
    w.may_come[0] = (mf_run_place){.slots = 1, .ends = 50};
    w.options.may_come_count = 1;
    begin_world("massflow: 1\n"
                "stages:\n"
                "  a: {use: fake.make}\n"
                "  b: {use: fake.saving}\n",
                0);
    go();
    told("start a at n1:1\nstart b at n2:1\n");
    w.now = 1090;
    end_place(1, false);
    end_place(2, false);
    w.places[add_place(2)].ends = 1150; /* 60 s */
    ck_assert(go());
    told("back b at n2:1: came back after 90 s: worker n2:1 has ended; it is to be run again\n"
         "back a at n1:1: came back after 90 s: worker n1:1 has ended; it is to be run again\n"
         "fail a: no place can run it: this process has no slots; n3:1 has 60 s left, and it takes "
         "90 s; workers that may join have 50 s, and it takes 90 s\n"
         "  give this process slots (--local 1), or connect workers or name pools that can run "
         "it\n"
         "start b at n3:1\n");
    finish("b");
    end_world();
}
END_TEST

/* ---- nodes that come back -------------------------------------------------------------------- */

START_TEST(what_was_lost_runs_elsewhere)
{
    clear_world();
    add_place(1);
    add_place(1);
    strcpy(w.places[2].name, "n1:2"); /* the same host */
    add_place(1);
    w.missing[3] = 1000;
    begin_world("massflow: 1\nstages:\n  a: {use: fake.make}\n", 1);
    w.missing[0] = 2000;
    go();
    told("start a at n1:1\n");
    w.now += 3;
    ck_assert(lose(1));
    told("back a at n1:1: came back after 3 s: worker n1:1 was lost; it is to be run again\n"
         "start a at n3:1\n");
    ck_assert_uint_eq(w.result.counts.failed, 0);
    lose(3); /* now there is no other host, and the process comes last */
    told("back a at n3:1: came back after 0 s: worker n3:1 was lost; it is to be run again\n"
         "start a at n1:2\n");
    ck_assert(!lose(2));
    told("fail a at n1:2: 3 workers were lost while they ran it: n1:1 after 3 s, n3:1 after 0 s, "
         "n1:2 after 0 s\n"
         "  it may be the node that ends them: 'isolate: true' and 'memory' at its stage run it in "
         "a process of its own with a limit; the logs of the workers say more\n");
    ck_assert_uint_eq(w.result.counts.failed, 1);
    end_world();
}
END_TEST

/* Once four nodes of the stage are known to be short, others wait at the worker; with it they come
 * back without a word. */
START_TEST(short_nodes_wait_at_a_worker)
{
    clear_world();
    add_place(1);
    w.places[1].ahead = 2;
    begin_world("massflow: 1\naxes: {k: [1, 2, 3, 4, 5, 6, 7, 8]}\nstages:\n"
                "  a: {use: fake.make, each: k}\n",
                0);
    go();
    for (int i = 0; i < 4; i++) {
        ck_assert_uint_eq(w.running_count, 1);
        ck_assert(!w.running[0]->grant.ahead);
        mf_execution *x = take(0);
        x->output.present = true;
        snprintf(x->output.id, sizeof x->output.id, "%064zx", x->node + 1);
        x->ended(x->ended_self, &(mf_execution_end){.seconds = 0.001, .outputs = &x->output});
        go();
    }
    ck_assert_uint_eq(w.running_count, 3);
    ck_assert_uint_eq(w.r.spots.ahead, 2);
    ck_assert_uint_eq(w.r.spots.items[1].job_count, 1);
    w.log[0] = 0;
    add_place(1);
    w.r.places_changed = true;
    lose(1);
    ck_assert_ptr_nonnull(strstr(w.log, "was lost"));
    ck_assert_ptr_null(strstr(strstr(w.log, "was lost") + 1, "was lost"));
    while (w.running_count) {
        finish_at(0);
        go();
    }
    ck_assert_uint_eq(w.result.counts.failed, 0);
    end_world();
}
END_TEST

/* Workers may come, but all of them from the one host that there is: it is not waited for another.
 */
START_TEST(what_was_lost_runs_on_the_only_host)
{
    clear_world();
    add_place(1);
    add_place(1);
    strcpy(w.places[2].name, "n1:2");
    w.may_come[0] = (mf_run_place){.slots = 1, .ends = INFINITY};
    w.options.may_come_count = 1;
    begin_world("massflow: 1\nstages:\n  a: {use: fake.make}\n", 1);
    w.missing[0] = 2000;
    go();
    told("start a at n1:1\n");
    lose(1);
    told("back a at n1:1: came back after 0 s: worker n1:1 was lost; it is to be run again\n"
         "start a at n1:2\n");
    finish("a");
    end_world();
}
END_TEST

/* Whose disk is full: another host, also this process; and in the end an error that says so. */
START_TEST(what_found_no_room_runs_elsewhere)
{
    clear_world();
    add_place(1);
    add_place(1);
    strcpy(w.places[2].name, "n1:2");
    add_place(1);
    w.missing[3] = 1000;
    begin_world("massflow: 1\nstages:\n  a: {use: fake.make}\n", 0);
    go();
    for (size_t k = 0; k < 3; k++) {
        static const char *const started[] = {"start a at n1:1\n", "start a at n3:1\n",
                                              "start a at n1:2\n"};
        static const size_t at[] = {1, 3, 2};
        char expected[400];
        told(started[k]);
        w.now += 2;
        w.places[at[k]].open = false;
        w.r.places_changed = true;
        mf_execution *x = take(0);
        x->ended(x->ended_self, &(mf_execution_end){.returned = true, .full = true});
        ck_assert(go() == (k < 2));
        snprintf(expected, sizeof expected,
                 "back a at %s: came back after 2 s: worker %s can't write to its folder; it is to "
                 "be run again\n",
                 w.places[at[k]].name, w.places[at[k]].name);
        if (k == 2)
            break;
        ck_assert(!strncmp(w.log, expected, strlen(expected)));
        memmove(w.log, w.log + strlen(expected), strlen(w.log + strlen(expected)) + 1);
    }
    told("fail a at n1:2: 3 workers could not write to their folder: n1:1 after 2 s, n3:1 after 2 "
         "s, n1:2 after 2 s\n"
         "  their disk is full, or smaller than what the node reads and makes: give workers a "
         "folder with more room, by TMPDIR or 'massflow worker --cache'\n");
    end_world();
}
END_TEST

/* A worker that is back was not lost, but its link: its host is as good as any, and it counts for
 * nothing. */
START_TEST(what_is_back_was_not_lost)
{
    clear_world();
    w.joinable = true;
    add_place(1);
    begin_world("massflow: 1\nstages:\n  a: {use: fake.make}\n", 0);
    go();
    for (size_t k = 1; k < 8; k++) {
        end_place(k, true);
        go();
        size_t back = add_place(1);
        strcpy(w.places[back].name, "n1:1");
        w.places[back].again = true;
        ck_assert(go());
        ck_assert_uint_eq(runs("a")->grant.place, back);
    }
    finish("a");
    ck_assert_uint_eq(w.result.counts.done, 1);
    end_world();
}
END_TEST

/* A worker has the result already: it is asked, whoever has the inputs. One that the scheduler has
 * not looked at yet is none. */
START_TEST(where_it_was_made)
{
    clear_world();
    add_place(1);
    add_place(4);
    add_place(1);
    w.missing[3] = 1000;
    w.made_at = 3;
    begin_world("massflow: 1\nstages:\n  a: {use: fake.make}\n", 1);
    go();
    told("start a at n3:1\n");
    finish("a");
    end_world();

    clear_world();
    w.made_at = 1;
    begin_world("massflow: 1\nstages:\n  a: {use: fake.make}\n", 1);
    go();
    told("start a\n");
    finish("a");
    end_world();
}
END_TEST

/* A worker whose time is over is no loss, however often. */
START_TEST(what_ends_is_no_loss)
{
    clear_world();
    add_place(1);
    begin_world("massflow: 1\nstages:\n  a: {use: fake.saving}\n", 0);
    go();
    for (size_t k = 1; k < 20; k++) {
        w.now += 5;
        end_place(k, false);
        add_place(1);
        ck_assert(go());
        ck_assert_uint_eq(runs("a")->grant.place, k + 1);
    }
    finish("a");
    ck_assert_uint_eq(w.result.counts.done, 1);
    end_world();
}
END_TEST

/* ---- places that come ------------------------------------------------------------------------ */

START_TEST(it_waits_for_workers_that_may_come)
{
    clear_world();
    w.may_come[0] = (mf_run_place){.slots = 1, .ends = INFINITY, .device_count = 1};
    w.options.may_come_count = 1;
    begin_world(on_device, 1);
    go();
    finish("scan");
    told("start scan\ndone scan\nstart host\n");
    ck_assert(finish("host"));
    told("done host\nwaiting a: no worker that can run it is there: the run waits for one\n");
    w.now += 59;
    mf_runner_tell_idle(&w.r);
    told("");
    w.now += 1;
    mf_runner_tell_idle(&w.r);
    told("waiting a: no worker that can run it is there: the run waits for one\n");
    w.places[add_place(2)].device_count = 1;
    w.device_bytes[1] = 10;
    ck_assert(go());
    told("start a at n1:1\n");
    finish("a");
    finish("b");
    end_world();
}
END_TEST

/* Where nothing is said of what may come, and workers join by themselves, any may: a run without
 * slots of its own waits for the first. */
START_TEST(it_waits_for_workers_that_join)
{
    clear_world();
    w.joinable = true;
    begin_world(three, 0);
    ck_assert(go());
    told("waiting a: no worker that can run it is there: the run waits for one\n");
    add_place(3);
    ck_assert(go());
    told("start a at n1:1\nstart b at n1:1\nstart c at n1:1\n");
    finish("a");
    finish("b");
    finish("c");
    end_world();
}
END_TEST

/* Before anything runs. */
START_TEST(what_no_place_can_run_is_an_error)
{
    clear_world();
    w.may_come[0] = (mf_run_place){.pool = "cpu", .slots = 1, .ends = INFINITY};
    w.options.may_come_count = 1;
    add_place(1);
    w.lacks[1] = "fake.device";
    begin_world(on_device, 0);
    ck_assert(!mf_runner_start(&w.r));
    mf_runner_close(&w.r);
    fails(mf_runner_free(&w.r),
          "no place can run stage 'a' (fake.device): this process has no slots; n1:1 can't: its "
          "stage is missing; workers of pool cpu have no device\n"
          "  give this process slots (--local 1), or connect workers or name pools that can run "
          "it");
    ck_assert_uint_eq(w.running_count, 0);
    mf_plan_free(w.plan);
    mf_graph_free(w.graph);
}
END_TEST

/* --local 0 is for nodes that workers could run; what none of them can, whatever it has, runs here,
 * one at a time. */
START_TEST(what_workers_can_not_run_runs_here)
{
    clear_world();
    add_place(2);
    w.lacks[1] = w.not_to_come = "fake.make";
    w.may_come[0] = (mf_run_place){.slots = 1, .ends = INFINITY};
    w.options.may_come_count = 1;
    begin_world("massflow: 1\n"
                "stages:\n"
                "  a: {use: fake.make, with: {salt: 1}}\n"
                "  b: {use: fake.make, with: {salt: 2}}\n"
                "  c: {use: fake.saving}\n",
                0);
    go();
    told("start a\nstart c at n1:1\n");
    finish("a");
    told("done a\nstart b\n");
    finish("b");
    finish("c");
    end_world();
}
END_TEST

/* What is known of one node alone is said once it could start. */
START_TEST(a_node_that_is_too_large_for_all_workers)
{
    clear_world();
    add_place(1);
    w.needs[1].host_bytes = (size_t)3 << 30;
    w.places[1].bytes = (size_t)1 << 30;
    begin_world(three, 0);
    ck_assert(go());
    told("start a at n1:1\n");
    finish("a");
    told("done a at n1:1\n"
         "fail b: no place can run it: this process has no slots; n1:1 has 1.0 GiB of memory, and "
         "it needs 3.0 GiB\n"
         "  give this process slots (--local 1), or connect workers or name pools that can run "
         "it\n"
         "start c at n1:1\n");
    finish("c");
    end_world();
}
END_TEST

/* ---- several workers for one node ------------------------------------------------------------ */

/* Two of them, and nodes that need one worker. */
static const char gangs[] = "massflow: 1\n"
                            "stages:\n"
                            "  a: {use: fake.make, with: {salt: 1}}\n"
                            "  b: {use: fake.make, with: {salt: 2}}\n"
                            "  g: {use: fake.gang, with: {salt: 1}}\n"
                            "  h: {use: fake.gang, with: {salt: 2, ranks: 4}}\n"
                            "  z: {use: fake.saving}\n";

static size_t add_device_place(void)
{
    const size_t at = add_place(1);

    w.places[at].device_count = 1;
    w.device_bytes[at] = 10;
    return at;
}

static void finish_all(void)
{
    while (w.running_count) {
        finish_at(0);
        go();
    }
}

/* It gets all its places at once: those that are free are kept until as many are. */
START_TEST(several_workers_are_kept_for_one_node)
{
    clear_world();
    for (int i = 0; i < 4; i++)
        add_device_place();
    begin_world(gangs, 0);
    ck_assert(go());
    /* g needs two, h all four: what comes after them begins at none of the others. */
    told("start g at n1:1\n");
    ck_assert_uint_eq(runs("g")->grant.other_count, 1);
    ck_assert_uint_eq(runs("g")->grant.others[0].place, 2);
    ck_assert_uint_eq(runs("g")->grant.others[0].device_count, 1);
    finish("g");
    told("done g at n1:1\nstart h at n1:1\n");
    ck_assert_uint_eq(runs("h")->grant.other_count, 3);
    for (size_t k = 0; k < 3; k++)
        ck_assert_uint_eq(runs("h")->grant.others[k].place, k + 2);
    finish("h");
    ck_assert_uint_eq(w.running_count, 3);
    finish_all();
    ck_assert_uint_eq(w.result.counts.done, 5);
    end_world();
}
END_TEST

/* Nothing is kept for one that lacks workers: those that are there go on. */
START_TEST(workers_do_not_idle_for_one_that_lacks_more)
{
    clear_world();
    w.may_come[0] = (mf_run_place){.slots = 1, .ends = INFINITY, .device_count = 1, .most = 4};
    w.options.may_come_count = 1;
    for (int i = 0; i < 2; i++)
        add_device_place();
    begin_world(gangs, 0);
    ck_assert(go());
    told("start g at n1:1\n");
    finish("g");
    ck_assert_uint_eq(w.running_count, 2); /* of a, b and z */
    w.log[0] = 0;
    add_device_place();
    add_device_place();
    ck_assert(go());
    ck_assert_uint_eq(w.running_count, 2); /* all four are kept now */
    finish_at(0);
    ck_assert(go());
    ck_assert_uint_eq(w.running_count, 1);
    finish_at(0);
    ck_assert(go());
    ck_assert_uint_eq(w.running_count, 1);
    ck_assert_uint_eq(runs("h")->grant.other_count, 3);
    finish_all();
    ck_assert_uint_eq(w.result.counts.done, 5);
    end_world();
}
END_TEST

/* It goes back as a whole, with the worker that was lost. */
START_TEST(one_of_several_workers_is_lost)
{
    clear_world();
    for (int i = 0; i < 2; i++)
        add_device_place();
    begin_world("massflow: 1\nstages:\n  g: {use: fake.gang}\n", 0);
    ck_assert(go());
    told("start g at n1:1\n");
    mf_execution *x = take(0);
    w.places[2].open = false;
    add_device_place();
    mf_execution_end end = {.returned = true, .lost = true};
    strcpy(end.place, "n2:1");
    x->ended(x->ended_self, &end);
    ck_assert(go());
    told("back g at n2:1: came back after 0 s: worker n2:1 was lost; it is to be run again\n"
         "start g at n1:1\n");
    ck_assert_uint_eq(runs("g")->grant.others[0].place, 3);
    finish("g");
    end_world();
}
END_TEST

/* Before anything runs. */
START_TEST(fewer_workers_than_a_node_needs_are_an_error)
{
    clear_world();
    w.may_come[0] =
        (mf_run_place){.pool = "gpu", .slots = 1, .ends = INFINITY, .device_count = 1, .most = 3};
    w.options.may_come_count = 1;
    begin_world(gangs, 0);
    ck_assert(!mf_runner_start(&w.r));
    mf_runner_close(&w.r);
    fails(mf_runner_free(&w.r),
          "no place can run stage 'h' (fake.gang): it needs 4 workers at the same time: this "
          "process is none; workers of pool gpu can be 3\n"
          "  connect 4 workers (--listen) or name pools that may have so many (--pool), or lower "
          "`ranks`; `devices` takes several devices of one machine");
    ck_assert_uint_eq(w.running_count, 0);
    mf_plan_free(w.plan);
    mf_graph_free(w.graph);
}
END_TEST

/* ---- whatever happens ------------------------------------------------------------------------ */

static uint64_t state;

static size_t below(size_t n)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (size_t)(state >> 33) % n;
}

static char *draw_graph(void)
{
    char *text;
    size_t size;
    bool each[9] = {true};
    int count = 3 + (int)below(6);
    FILE *out = open_memstream(&text, &size);

    fprintf(out,
            "massflow: 1\ncases: [{count: %zu, id: \"c{id}\"}]\nstages:\n"
            "  s0: {use: fake.make, each: case}\n",
            2 + below(14));
    for (int s = 1; s < count; s++) {
        int from = (int)below((size_t)s);
        size_t kind = below(6);
        each[s] = kind > 1 ? each[from] : kind == 1;
        if (kind == 1)
            fprintf(out, "  s%d: {use: fake.saving, each: case, with: {salt: %d}}\n", s, s);
        else if (kind == 0)
            fprintf(out, "  s%d: {use: fake.all, in: {all: [\"s%d.x%s\"]}}\n", s, from,
                    each[from] ? "[*]" : "");
        else
            fprintf(out, "  s%d: {use: fake.%s, in: {a: s%d.x}%s, with: {salt: %d}}\n", s,
                    kind < 4 ? "two" : "device", from, each[s] ? ", each: case" : "", s);
    }
    fclose(out);
    return text;
}

static size_t used_bytes(size_t at)
{
    size_t used = 0;

    for (size_t k = 0; k < w.running_count; k++)
        if (w.running[k]->grant.place == at)
            used += w.needs[w.running[k]->node].host_bytes;
    return used;
}

static int used_slots(size_t at, size_t *jobs)
{
    int used = 0;

    *jobs = 0;
    for (size_t k = 0; k < w.running_count; k++) {
        if (w.running[k]->grant.place != at)
            continue;
        used += w.running[k]->grant.slots;
        ++*jobs;
    }
    return used;
}

static bool wants_device(size_t i)
{
    return mf_work_wants_device(&mf_plan_at(w.plan, i)->work);
}

/* No worker that is there or may come has its stage. */
static bool is_for_here(size_t i)
{
    bool others = w.options.may_come_count > 0;

    for (size_t at = 1; at < w.r.spots.count; at++) {
        others = others || w.places[at].open;
        if (w.places[at].open && !cannot(NULL, w.plan, i, at, NULL))
            return false;
    }
    return others &&
           !(w.options.may_come_count && !cannot(NULL, w.plan, i, MF_PLACE_TO_COME, NULL));
}

/* Whether a place of that kind can run node i at all; 0 bytes: not known. */
static bool is_able(size_t i, size_t at, const mf_run_place *p)
{
    const mf_return *back = mf_returns_find(&w.r.returns, i);
    double ends = at == MF_PLACE_TO_COME ? w.now + p->ends : p->ends;

    if (!at && w.options.no_local && !is_for_here(i))
        return false;
    return p->slots > 0 && (!wants_device(i) || p->device_count) &&
           !cannot(NULL, w.plan, i, at, p) &&
           (at == 0 || !p->bytes || w.needs[i].host_bytes <= p->bytes) &&
           (!back || mf_plan_at(w.plan, i)->node->stage->saves || w.now + back->ran <= ends);
}

static int slots_of(size_t at)
{
    return at ? w.places[at].slots : w.options.no_local ? 1 : w.options.jobs;
}

static mf_run_place place_of(size_t at)
{
    mf_run_place p = w.places[at];

    p.slots = slots_of(at);
    p.bytes = at ? p.bytes : w.options.host_bytes;
    return p;
}

static bool device_is_free(size_t i, size_t at)
{
    size_t busy = 0;

    for (size_t k = 0; k < w.running_count; k++)
        busy += w.running[k]->grant.place == at && wants_device(w.running[k]->node);
    return !wants_device(i) || busy < w.places[at].device_count;
}

/* Node i could start there at once, if nobody keeps the place. */
static bool could_start(size_t i, size_t at)
{
    const mf_run_place p = place_of(at);
    size_t jobs;
    int used = used_slots(at, &jobs), slots = w.needs[i].cpu < p.slots ? w.needs[i].cpu : p.slots;

    return p.open && is_able(i, at, &p) && device_is_free(i, at) && used + slots <= p.slots &&
           used_bytes(at) + w.needs[i].host_bytes <= p.bytes;
}

static bool is_kept_from(size_t i, size_t at)
{
    const mf_spot *p = &w.r.spots.items[at];

    return (p->keeper && mf_plan_before(w.plan, p->keeper->index, i)) ||
           (wants_device(i) && p->device_keeper &&
            mf_plan_before(w.plan, p->device_keeper->index, i));
}

/* No node but `besides` that comes before `most` should be running there now. */
static void check_nobody(size_t at, size_t besides, size_t most)
{
    for (size_t i = 0; i < mf_plan_count(w.plan); i++) {
        const mf_return *back = mf_returns_find(&w.r.returns, i);
        if (i == besides || !mf_plan_may_start(w.plan, i) || (back && back->lost) ||
            w.r.queues[mf_plan_at(w.plan, i)->node->group].count >= MF_QUEUE_MOST ||
            (most < mf_plan_count(w.plan) && !mf_plan_before(w.plan, i, most)))
            continue;
        ck_assert_msg(!could_start(i, at) || is_kept_from(i, at), "%s could start at place %zu",
                      name_of(i), at);
    }
}

/* It is not there twice, the place takes nodes, and has what the node needs. */
static void check_start(const mf_execution *x)
{
    const mf_run_place p = place_of(x->grant.place);
    size_t jobs;

    ck_assert(p.open);
    ck_assert_int_eq(w.times[x->node], 0);
    ck_assert_int_ge(x->grant.slots, 1);
    if (!x->grant.ahead)
        ck_assert_int_le(used_slots(x->grant.place, &jobs) + x->grant.slots, p.slots);
    else
        used_slots(x->grant.place, &jobs);
    ck_assert(is_able(x->node, x->grant.place, &p));
    if (jobs)
        ck_assert_uint_le(used_bytes(x->grant.place) + w.needs[x->node].host_bytes, p.bytes);
    for (size_t k = 0; k < w.running_count; k++) {
        ck_assert_uint_ne(w.running[k]->node, x->node);
        if (wants_device(x->node) && wants_device(w.running[k]->node) &&
            w.running[k]->grant.place == x->grant.place)
            ck_assert_uint_ne(w.running[k]->grant.device, x->grant.device);
    }
    if (w.checks)
        check_nobody(x->grant.place, x->node, x->node);
}

/* Rightly. */
static void check_failure(const mf_run_event *e)
{
    size_t i = 0;

    while (strcmp(name_of(i), e->node))
        i++;
    if (!w.checks || strstr(e->text, "workers were lost while they ran it") ||
        (w.count == 1 && !w.options.may_come_count && !strcmp(e->text, "there is no device")))
        return;
    ck_assert_msg(strstr(e->text, "no place can run it: ") != NULL, "%s: %s", e->node, e->text);
    for (size_t at = 0; at < w.r.spots.count; at++) {
        const mf_run_place p = place_of(at);
        ck_assert(!p.open || !is_able(i, at, &p));
    }
    for (size_t k = 0; k < w.options.may_come_count; k++)
        ck_assert(!is_able(i, MF_PLACE_TO_COME, &w.may_come[k]));
}

static mf_run_place draw_kind(void)
{
    return (mf_run_place){.slots = 1 + (int)below(5),
                          .bytes = 100 + 100 * below(9),
                          .device_count = below(3),
                          .ends = below(3) ? INFINITY : (double)(20 + below(200)),
                          .open = true};
}

static void add_drawn(const mf_run_place *kind)
{
    size_t at = w.count;

    add_place(1);
    snprintf(w.places[at].name, sizeof w.places[at].name, "n%zu:%zu", below(4), at);
    w.places[at].slots = kind->slots;
    w.places[at].bytes = kind->bytes;
    w.places[at].device_count = kind->device_count;
    w.places[at].ends = w.now + kind->ends;
    w.device_bytes[at] = 1000;
    w.missing[at] = (int64_t)below(4);
}

static void draw_world(void)
{
    static const char *const stages[] = {"fake.two", "fake.device", "fake.all"};
    char *text = draw_graph();
    size_t workers = below(4);
    int slots;

    clear_world();
    for (size_t k = 0; k < workers; k++) {
        mf_run_place kind = draw_kind();
        add_drawn(&kind);
        w.lacks[w.count - 1] = below(5) ? NULL : stages[below(3)];
    }
    w.options.may_come_count = below(KINDS + 1);
    for (size_t k = 0; k < w.options.may_come_count; k++)
        w.may_come[k] = draw_kind();
    w.not_to_come = below(6) ? NULL : stages[below(3)];
    for (size_t i = 0; i < NODES; i++)
        w.needs[i] = (mf_needs){.cpu = 1 + (int)below(2) * (int)below(4),
                                .host_bytes = below(4) ? below(100) : below(900)};
    slots = (int)below(4);
    w.checks = true;
    begin_world(text, slots);
    free(text);
}

/* Something ends, or comes, or goes. */
static void step(size_t left)
{
    size_t what = left ? below(20) : 0;

    w.now += (double)below(5);
    for (size_t at = 1; at < w.count; at++)
        if (w.places[at].open && w.now > w.places[at].ends)
            end_place(at, false);
    if (what == 1 && w.count < PLACES - 10 && w.options.may_come_count)
        add_drawn(&w.may_come[below(w.options.may_come_count)]);
    else if (what == 2 && w.count > 1)
        end_place(1 + below(w.count - 1), below(2));
    else if (what == 3 && w.count > 1) { /* it is about to end */
        w.places[1 + below(w.count - 1)].open = false;
        w.r.places_changed = true;
    } else if (w.running_count)
        finish_at(below(w.running_count));
}

static void live(void)
{
    size_t steps = 60;
    bool more = go();

    for (size_t n = 0; more; n++) {
        ck_assert_msg(n < 2000, "it does not end");
        for (size_t at = 0; at < w.count; at++)
            if (w.places[at].open)
                check_nobody(at, mf_plan_count(w.plan), mf_plan_count(w.plan));
        if (!w.running_count) { /* it waits for what may come: so that comes */
            ck_assert_uint_gt(w.options.may_come_count, 0);
            for (size_t k = 0; k < w.options.may_come_count && w.count < PLACES; k++)
                add_drawn(&w.may_come[k]);
        }
        steps -= steps > 0;
        if (w.running_count)
            step(steps);
        more = go();
    }
    ok(mf_plan_left(w.plan));
    for (size_t i = 0; i < mf_plan_count(w.plan); i++)
        ck_assert_int_eq(w.times[i], mf_plan_at(w.plan, i)->state == MF_PLAN_DONE);
}

/* Every node is done once, or rightly no place can run it; no place has more than it has slots,
 * memory and devices; what could start has started; what comes first goes first; it ends. */
START_TEST(random_places)
{
    const char *rounds = getenv("MASSFLOW_ROUNDS"), *seed = getenv("MASSFLOW_SEED");
    size_t first = seed ? strtoull(seed, NULL, 10) : 1,
           count = rounds ? strtoull(rounds, NULL, 10) : 300, refused = 0, failed = 0, back = 0;

    for (size_t i = first; i < first + count; i++) {
        state = i * 0x9e3779b97f4a7c15ULL + 1;
        printf("MASSFLOW_SEED=%zu\n", i);
        fflush(stdout);
        draw_world();
        if (w.r.failure) { /* before anything ran */
            refused++;
            ck_assert(!mf_runner_start(&w.r));
            mf_runner_close(&w.r);
            mf_status status = mf_runner_free(&w.r);
            ck_assert_int_eq(mf_error_code(status), MF_UNSUPPORTED);
            mf_error_free(status);
        } else {
            live();
            failed += w.result.counts.failed;
            back += w.r.returns.count;
            mf_runner_close(&w.r);
            ok(mf_runner_free(&w.r));
        }
        mf_plan_free(w.plan);
        mf_graph_free(w.graph);
    }
    printf("%zu of %zu runs were refused; in the others %zu nodes failed, %zu came back\n", refused,
           count, failed, back);
    if (!seed)
        ck_assert(refused < count / 2 && failed && back > count / 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("places");
    TCase *c = tcase_create("places");
    tcase_set_timeout(c, 0);
    tcase_add_checked_fixture(c, enter_scratch, leave_scratch);
    tcase_add_test(c, slots_of_all_places);
    tcase_add_test(c, where_the_inputs_are);
    tcase_add_test(c, where_the_inputs_were_made);
    tcase_add_test(c, devices_of_places);
    tcase_add_test(c, what_is_large_waits_for_a_large_place);
    tcase_add_test(c, time_that_is_left);
    tcase_add_test(c, what_was_lost_runs_elsewhere);
    tcase_add_test(c, what_was_lost_runs_on_the_only_host);
    tcase_add_test(c, short_nodes_wait_at_a_worker);
    tcase_add_test(c, what_found_no_room_runs_elsewhere);
    tcase_add_test(c, what_is_back_was_not_lost);
    tcase_add_test(c, where_it_was_made);
    tcase_add_test(c, what_ends_is_no_loss);
    tcase_add_test(c, several_workers_are_kept_for_one_node);
    tcase_add_test(c, workers_do_not_idle_for_one_that_lacks_more);
    tcase_add_test(c, one_of_several_workers_is_lost);
    tcase_add_test(c, fewer_workers_than_a_node_needs_are_an_error);
    tcase_add_test(c, it_waits_for_workers_that_may_come);
    tcase_add_test(c, it_waits_for_workers_that_join);
    tcase_add_test(c, what_no_place_can_run_is_an_error);
    tcase_add_test(c, what_workers_can_not_run_runs_here);
    tcase_add_test(c, a_node_that_is_too_large_for_all_workers);
    tcase_add_test(c, random_places);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
