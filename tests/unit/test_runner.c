/* test_runner.c - the scheduler with a fake executor: what starts when, what becomes of nodes, what
 * is told of it. Nothing runs, nothing waits, and time is what the test says. */
#include "../run_suite.h"
#include "fake_executor.h"

static const char diamond[] = "massflow: 1\n"
                              "stages:\n"
                              "  scan: {use: fake.make}\n"
                              "  left: {use: fake.two, in: {a: scan.x}, with: {salt: 1}}\n"
                              "  right: {use: fake.two, in: {a: scan.x}, with: {salt: 2}}\n"
                              "  both: {use: fake.two, in: {a: left.x, b: right.x}}\n";

/* ---- order ----------------------------------------------------------------------------------- */

START_TEST(a_diamond)
{
    trial t = {0};
    begin_trial(&t, diamond);
    told(&t, "start scan\n");
    ck_assert_double_eq(node_of(&t, "scan")->rank, 3);
    finish(&t, "scan");
    told(&t, "done scan\nstart left\nstart right\n");
    ck_assert(finish(&t, "right"));
    told(&t, "done right\n");
    finish(&t, "left");
    told(&t, "done left\nstart both\n");
    ck_assert_double_eq(node_of(&t, "left")->seconds, 2);
    ck_assert(!finish(&t, "both"));
    told(&t, "done both\n");
    end_trial(&t, "4 0 0 0 0");
    /* All of it is there now. */
    begin_trial(&t, diamond);
    ck_assert(!go(&t));
    told(&t, "");
    end_trial(&t, "0 4 0 0 0");
}
END_TEST

/* Where two can start the one with the longer way down goes first, whatever the file says. */
START_TEST(the_longer_way_goes_first)
{
    trial t = {.options.jobs = 1};
    begin_trial(&t, "massflow: 1\n"
                    "stages:\n"
                    "  alone: {use: fake.make, with: {salt: 1}}\n"
                    "  first: {use: fake.make, with: {salt: 2}}\n"
                    "  last: {use: fake.two, in: {a: first.x}}\n");
    told(&t, "start first\n");
    finish(&t, "first");
    told(&t, "done first\nstart alone\n");
    finish(&t, "alone");
    finish(&t, "last");
    end_trial(&t, "3 0 0 0 0");
}
END_TEST

/* ---- slots, memory, devices ------------------------------------------------------------------ */

static const char four[] = "massflow: 1\n"
                           "stages:\n"
                           "  a: {use: fake.make, with: {salt: 1}}\n"
                           "  b: {use: fake.make, with: {salt: 2}}\n"
                           "  c: {use: fake.make, with: {salt: 3}}\n"
                           "  d: {use: fake.make, with: {salt: 4}}\n";

START_TEST(slots)
{
    trial t = {.f.needs = {{"b", 2, 0}, {"c", 9, 0}}};
    t.options.jobs = 3;
    begin_trial(&t, four);
    told(&t, "start a\nstart b\n"); /* c wants all there are; nobody overtakes it */
    finish(&t, "a");
    told(&t, "done a\n");
    finish(&t, "b");
    told(&t, "done b\nstart c\n");
    ck_assert_int_eq(running(&t, "c")->grant.slots, 3);
    finish(&t, "c");
    told(&t, "done c\nstart d\n");
    ck_assert_int_eq(running(&t, "d")->grant.slots, 1);
    finish(&t, "d");
    end_trial(&t, "4 0 0 0 0");
}
END_TEST

START_TEST(memory)
{
    trial t = {.f.needs = {{"a", 1, 600}, {"b", 1, 401}, {"c", 1, 5000}}};
    t.options.jobs = 4;
    begin_trial(&t, four); /* there are 1000 */
    told(&t, "start a\n");
    finish(&t, "a");
    told(&t, "done a\nstart b\n");
    finish(&t, "b");
    told(&t, "done b\nstart c\n"); /* more than there is: alone it may try */
    finish(&t, "c");
    told(&t, "done c\nstart d\n");
    finish(&t, "d");
    end_trial(&t, "4 0 0 0 0");
}
END_TEST

static const char on_devices[] = "massflow: 1\n"
                                 "stages:\n"
                                 "  scan: {use: fake.make}\n"
                                 "  a: {use: fake.device, in: {a: scan.x}, with: {salt: 1}}\n"
                                 "  b: {use: fake.device, in: {a: scan.x}, with: {salt: 2}}\n"
                                 "  c: {use: fake.device, in: {a: scan.x}, with: {salt: 3}}\n"
                                 "  host: {use: fake.two, in: {a: scan.x}}\n";

/* Each has a device of its own; who needs none goes past those that wait for one. */
START_TEST(devices)
{
    trial t = {.f.device_count = 2, .options.jobs = 4};
    begin_trial(&t, on_devices);
    finish(&t, "scan");
    told(&t, "start scan\ndone scan\nstart a\nstart b\nstart host\n");
    ck_assert_uint_eq(running(&t, "a")->grant.device, 0);
    ck_assert_uint_eq(running(&t, "b")->grant.device, 1);
    finish(&t, "host");
    told(&t, "done host\n");
    finish(&t, "b");
    told(&t, "done b\nstart c\n");
    ck_assert_uint_eq(running(&t, "c")->grant.device, 1);
    finish(&t, "c");
    finish(&t, "a");
    end_trial(&t, "5 0 0 0 0");
}
END_TEST

/* On a device that is the processor a node takes as many slots as that has units. */
START_TEST(a_processor_as_device)
{
    trial t = {.f.device_count = 1, .f.devices = {{.is_cpu = true, .compute_units = 3}}};
    t.options.jobs = 4;
    begin_trial(&t, on_devices);
    finish(&t, "scan");
    told(&t, "start scan\ndone scan\nstart a\nstart host\n");
    ck_assert_int_eq(running(&t, "a")->grant.slots, 3);
    finish(&t, "a");
    told(&t, "done a\nstart b\n");
    finish(&t, "host");
    finish(&t, "b");
    finish(&t, "c");
    end_trial(&t, "5 0 0 0 0");
}
END_TEST

/* A node that needs two gets two of one kind, and waits for both of them; kinds differ by name or
 * by compute units. */
START_TEST(several_devices_of_one_kind)
{
    static const size_t pair[2] = {1, 3};
    trial t = {.f.device_count = 4,
               .f.devices = {{.name = "A", .compute_units = 2},
                             {.name = "A", .compute_units = 1},
                             {.name = "B", .compute_units = 1},
                             {.name = "A", .compute_units = 1}},
               .f.needs = {{.node = "b", .cpu = 1, .devices = 2}},
               .options.jobs = 8};
    begin_trial(&t, on_devices);
    finish(&t, "scan");
    told(&t, "start scan\ndone scan\nstart a\nstart b\nstart c\nstart host\n");
    ck_assert_uint_eq(running(&t, "a")->grant.device, 0);
    ck_assert_uint_eq(running(&t, "b")->grant.device_count, 2);
    ck_assert_mem_eq(running(&t, "b")->grant.devices, pair, sizeof pair);
    ck_assert_uint_eq(running(&t, "c")->grant.device, 2);
    for (size_t i = 0; i < 4; i++)
        finish(&t, (const char *const[]){"a", "b", "c", "host"}[i]);
    end_trial(&t, "5 0 0 0 0");
}
END_TEST

START_TEST(both_devices_must_be_free)
{
    trial t = {
        .f.device_count = 2, .f.needs = {{.node = "b", .cpu = 1, .devices = 2}}, .options.jobs = 8};
    begin_trial(&t, on_devices);
    finish(&t, "scan");
    told(&t, "start scan\ndone scan\nstart a\nstart host\n");
    finish(&t, "a");
    told(&t, "done a\nstart b\n");
    finish(&t, "b");
    told(&t, "done b\nstart c\n");
    finish(&t, "c");
    finish(&t, "host");
    end_trial(&t, "5 0 0 0 0");
}
END_TEST

START_TEST(more_devices_than_there_are)
{
    trial t = {.f.device_count = 3,
               .f.devices = {{.name = "A"}, {.name = "B"}, {.name = "A"}},
               .f.needs = {{.node = "b", .cpu = 1, .devices = 4}},
               .options.jobs = 8};
    begin_trial(&t, on_devices);
    finish(&t, "scan");
    told(&t, "start scan\ndone scan\nstart a\n"
             "fail b: no place can run it: this process has 2 devices of one kind, and it needs 4\n"
             "  choose 4 devices of one kind with --device (such as gpus, or cpu/4), or lower "
             "`devices`\n"
             "start c\nstart host\n");
    finish(&t, "a");
    finish(&t, "c");
    finish(&t, "host");
    end_trial(&t, "4 0 1 0 0");
}
END_TEST

START_TEST(no_device)
{
    trial t = {0};
    begin_trial(&t, on_devices);
    finish(&t, "scan");
    told(&t, "start scan\ndone scan\nfail a: there is no device\nfail b: there is no device\n"
             "fail c: there is no device\nstart host\n");
    finish(&t, "host");
    end_trial(&t, "2 0 3 0 0");
}
END_TEST

/* ---- nodes with one key ---------------------------------------------------------------------- */

static const char twins[] = "massflow: 1\n"
                            "stages:\n"
                            "  a: {use: fake.make}\n"
                            "  b: {use: fake.make}\n"
                            "  c: {use: fake.make}\n"
                            "  after: {use: fake.two, in: {a: b.x}}\n";

START_TEST(one_of_twins_runs)
{
    trial t = {.options.jobs = 4};
    begin_trial(&t, twins);
    told(&t, "start b\n"); /* it has the longest way down */
    finish(&t, "b");
    told(&t, "done b\nfound a\nfound c\nstart after\n");
    finish(&t, "after");
    end_trial(&t, "2 2 0 0 0");
}
END_TEST

/* Where one fails the next one tries: it may have been chance. */
START_TEST(twins_fail_one_after_another)
{
    trial t = {.options.jobs = 4};
    begin_trial(&t, twins);
    fail_node(&t, "b");
    told(&t, "start b\nfail b: it is broken\nblock after: needs b\nstart a\n");
    fail_node(&t, "a");
    told(&t, "fail a: it is broken\nstart c\n");
    finish(&t, "c");
    told(&t, "done c\n");
    end_trial(&t, "1 0 2 1 0");
}
END_TEST

/* ---- failures -------------------------------------------------------------------------------- */

START_TEST(a_failure_blocks_what_needs_it)
{
    trial t = {0};
    begin_trial(&t, diamond);
    finish(&t, "scan");
    fail_node(&t, "left");
    told(&t, "start scan\ndone scan\nstart left\nstart right\nfail left: it is broken\n"
             "block both: needs left\n");
    ck_assert(!finish(&t, "right"));
    end_trial(&t, "2 0 1 1 0");
}
END_TEST

START_TEST(what_cannot_be_prepared_fails)
{
    trial t = {.f.impossible = "scan"};
    begin_trial(&t, diamond);
    told(&t, "fail scan: it can't be prepared\nblock left: needs scan\nblock right: needs scan\n"
             "block both: needs left\n");
    ck_assert(!go(&t));
    end_trial(&t, "0 0 1 3 0");
}
END_TEST

START_TEST(fail_fast_stops_the_run)
{
    trial t = {.options.fail_fast = true};
    begin_trial(&t, diamond);
    finish(&t, "scan");
    ck_assert(fail_node(&t, "left"));
    ck_assert(t.f.cancelled);
    told(&t, "start scan\ndone scan\nstart left\nstart right\nfail left: it is broken\n"
             "block both: needs left\n");
    ck_assert(!end_with(&t, "right", (mf_execution_end){.status = mf_fail(MF_CANCELLED, "stop")}));
    told(&t, "");
    end_trial(&t, "1 0 1 1 1");
}
END_TEST

static const char gather[] = "massflow: 1\n"
                             "cases:\n"
                             "  - {count: 1, id: c0, n: 0}\n"
                             "  - {count: 1, id: c1, n: 1}\n"
                             "  - {count: 1, id: c2, n: 2}\n"
                             "stages:\n"
                             "  one: {use: fake.make, each: case, with: {salt: \"${case.n}\"}}\n"
                             "  all: {use: fake.all, in: {all: \"one.x[*]\"}, skip_failed: true}\n";

START_TEST(skip_failed_goes_on_without)
{
    trial t = {.options.jobs = 3};
    begin_trial(&t, gather);
    told(&t, "start one[case=c0]\nstart one[case=c1]\nstart one[case=c2]\n");
    fail_node(&t, "one[case=c1]");
    finish(&t, "one[case=c0]");
    told(&t, "fail one[case=c1]: it is broken\ndone one[case=c0]\n");
    finish(&t, "one[case=c2]");
    told(&t, "done one[case=c2]\nlog all: continues without one[case=c1]\nstart all\n");
    ck_assert_uint_eq(node_of(&t, "all")->work.feeds[0].count, 2);
    finish(&t, "all");
    end_trial(&t, "3 0 1 0 0");
}
END_TEST

START_TEST(skip_failed_needs_one)
{
    trial t = {.options.jobs = 3};
    begin_trial(&t, gather);
    fail_node(&t, "one[case=c0]");
    fail_node(&t, "one[case=c1]");
    t.log[0] = '\0';
    ck_assert(!fail_node(&t, "one[case=c2]"));
    told(&t, "fail one[case=c2]: it is broken\nblock all: needs one, of which none succeeded\n");
    end_trial(&t, "0 0 3 1 0");
}
END_TEST

/* The cache can't be written: that is no failure of the node, and ends the run. */
START_TEST(a_store_that_fails_ends_the_run)
{
    trial t = {0};
    begin_trial(&t, diamond);
    finish(&t, "scan");
    ck_assert(end_with(&t, "left",
                       (mf_execution_end){.store_failed = true, .status = mf_fail(MF_IO, "full")}));
    ck_assert(t.f.cancelled);
    ck_assert(!finish(&t, "right"));
    told(&t, "start scan\ndone scan\nstart left\nstart right\ndone right\n");
    mf_runner_close(&t.r);
    fails(mf_runner_free(&t.r), "full");
    ck_assert_uint_eq(t.result.counts.cancelled, 1);
    ck_assert_uint_eq(t.result.counts.failed, 0);
    forget_trial(&t);
}
END_TEST

/* ---- stopping -------------------------------------------------------------------------------- */

START_TEST(a_run_that_is_stopped)
{
    trial t = {0};
    begin_trial(&t, diamond);
    finish(&t, "scan");
    t.result.interrupted = t.r.stopping = true;
    t.executor.cancel(t.executor.self);
    ck_assert(end_with(&t, "left", (mf_execution_end){.status = mf_fail(MF_CANCELLED, "stop")}));
    ck_assert(!finish(&t, "right")); /* it was done before it heard of it */
    told(&t, "start scan\ndone scan\nstart left\nstart right\ndone right\n");
    ck_assert_int_eq(node_of(&t, "left")->state, MF_PLAN_CANCELLED);
    ck_assert_int_eq(node_of(&t, "both")->state, MF_PLAN_WAITING);
    end_trial(&t, "2 0 0 0 1");
    /* The same command goes on with what is left. */
    t = (trial){0};
    begin_trial(&t, diamond);
    told(&t, "start left\n");
    finish(&t, "left");
    finish(&t, "both");
    end_trial(&t, "2 2 0 0 0");
}
END_TEST

/* Its time was over, and nobody asked the run to stop: it failed. */
START_TEST(a_node_that_is_cancelled_alone_fails)
{
    trial t = {0};
    begin_trial(&t, diamond);
    end_with(&t, "scan", (mf_execution_end){.status = mf_fail(MF_CANCELLED, "too long")});
    told(&t, "start scan\nfail scan: too long\nblock left: needs scan\nblock right: needs scan\n"
             "block both: needs left\n");
    end_trial(&t, "0 0 1 3 0");
}
END_TEST

/* ---- data that was collected ----------------------------------------------------------------- */

/* Only what is read is made again, and only then. */
START_TEST(collected_data_is_made_again)
{
    trial t = {0};
    run_all(diamond);
    drop_outputs("scan", NULL);
    drop_outputs("both", NULL);
    begin_trial(&t, diamond);
    told(&t, "start both\n"); /* the user asks for it, and left and right are there */
    finish(&t, "both");
    end_trial(&t, "1 3 0 0 0");
    drop_outputs("both", NULL);
    drop_outputs("left", NULL);
    t = (trial){0};
    begin_trial(&t, diamond);
    told(&t, "start scan\n");
    finish(&t, "scan");
    told(&t, "done scan\nstart left\n");
    finish(&t, "left");
    told(&t, "done left\nstart both\n");
    finish(&t, "both");
    end_trial(&t, "3 1 0 0 0");
}
END_TEST

/* What can't be made again blocks who needs the data; who has it stays cached. */
START_TEST(collected_data_that_cannot_be_made)
{
    trial t = {0};
    run_all(diamond);
    drop_outputs("scan", NULL);
    drop_outputs("left", NULL);
    drop_outputs("both", NULL);
    begin_trial(&t, diamond);
    fail_node(&t, "scan");
    told(&t,
         "start scan\nfail scan: it is broken\nblock left: needs scan\nblock both: needs left\n");
    ck_assert_int_eq(node_of(&t, "right")->state, MF_PLAN_CACHED);
    end_trial(&t, "0 1 1 2 0");
}
END_TEST

static const char late_demand[] = "massflow: 1\n"
                                  "stages:\n"
                                  "  scan: {use: fake.make}\n"
                                  "  slow: {use: fake.make, with: {salt: 1}}\n"
                                  "  big: {use: fake.two, in: {a: scan.x}, with: {salt: 2}}\n"
                                  "  late: {use: fake.two, in: {a: slow.x, b: scan.y}}\n";

/* A node that was prepared, and waits for slots, is prepared anew when what it reads came out as
 * something else meanwhile. */
START_TEST(a_prepared_node_is_decided_anew)
{
    char key[MF_HEX_SIZE];
    trial t = {.f.needs = {{"big", 2, 0}}};
    run_all("massflow: 1\nstages:\n  scan: {use: fake.make}\n");
    drop_outputs("scan", "y");
    begin_trial(&t, late_demand);
    told(&t, "start slow\n");
    ck_assert_uint_eq(t.f.prepared, 2); /* big, too */
    ck_assert_str_eq(t.r.waiting[0]->execution->node, "big");
    strcpy(key, t.r.waiting[0]->execution->key);
    finish(&t, "slow"); /* now late needs scan.y */
    told(&t, "done slow\nstart scan\n");
    ck_assert_uint_eq(t.f.prepared, 1);
    finish_as(&t, "scan", "other");
    told(&t, "done scan\nstart big\n");
    ck_assert_str_ne(running(&t, "big")->key, key);
    ck_assert_str_eq(running(&t, "big")->key, node_of(&t, "big")->key);
    finish(&t, "big");
    told(&t, "done big\nstart late\n");
    finish(&t, "late");
    end_trial(&t, "4 0 0 0 0");
}
END_TEST

/* ---- another process ------------------------------------------------------------------------- */

static void take_lease(mf_store *store, const char *key)
{
    mf_lease_state state;
    mf_lease_owner owner;
    ok(mf_store_lease_take(store, key, 0, false, &state, &owner));
    ck_assert_int_eq(state, MF_LEASE_FREE);
}

/* As another process has it, before the run begins. */
static mf_store *held(const char *graph, const char *node)
{
    trial t = {0};
    mf_store *other;
    plan_trial(&t, graph);
    ok(mf_store_open("store", MF_STORE_WRITE, &other));
    take_lease(other, node_of(&t, node)->key);
    forget_trial(&t);
    return other;
}

static void store_as_other(const trial *t, mf_store *other, const char *node, const char *on)
{
    const mf_plan_node *n = node_of(t, node);
    mf_plan_output outputs[PORTS];
    fake_store(other, n->node->stage, n->key, n->components, on, node, outputs);
}

static void look(trial *t)
{
    mf_runner_look(&t->r);
}

START_TEST(what_another_process_computes_is_waited_for)
{
    trial t = {0};
    mf_store *other = held(four, "a");
    fake_clock = 1000;
    begin_trial(&t, four);
    told(&t, "waiting a\nstart b\nstart c\n");
    finish(&t, "b");
    finish(&t, "c");
    ck_assert(finish(&t, "d")); /* it goes on: it waits */
    told(&t, "done b\nstart d\ndone c\ndone d\n");
    look(&t);
    ck_assert(go(&t));
    told(&t, "");
    fake_clock += 60;
    look(&t);
    ck_assert(go(&t));
    told(&t, "waiting a\n"); /* again, each minute */
    store_as_other(&t, other, "a", "");
    look(&t);
    ck_assert(!go(&t));
    told(&t, "found a\n");
    end_trial(&t, "3 1 0 0 0");
    mf_store_close(other);
}
END_TEST

START_TEST(what_another_process_gives_up_is_run)
{
    trial t = {0};
    mf_store *other = held(diamond, "scan");
    begin_trial(&t, diamond);
    told(&t, "waiting scan\n");
    ok(mf_store_lease_drop(other, node_of(&t, "scan")->key));
    ck_assert(go(&t)); /* nobody has looked yet */
    told(&t, "");
    look(&t);
    ck_assert(go(&t));
    told(&t, "start scan\n");
    finish(&t, "scan");
    finish(&t, "left");
    finish(&t, "right");
    finish(&t, "both");
    end_trial(&t, "4 0 0 0 0");
    mf_store_close(other);
}
END_TEST

START_TEST(a_run_that_is_stopped_while_it_waits)
{
    trial t = {0};
    mf_store *other = held(diamond, "scan");
    begin_trial(&t, diamond);
    told(&t, "waiting scan\n");
    t.result.interrupted = t.r.stopping = true;
    ck_assert(!go(&t));
    end_trial(&t, "0 0 0 0 1");
    mf_store_close(other);
}
END_TEST

/* Another process takes the lease between the look at it and the start. */
START_TEST(another_process_is_first)
{
    trial t = {0};
    mf_store *other;
    ok(mf_store_open("store", MF_STORE_WRITE, &other));
    begin_trial(&t, twins);
    told(&t, "start b\n");
    take_lease(other, node_of(&t, "b")->key);
    ck_assert(end_with(&t, "b", (mf_execution_end){.lease = MF_LEASE_HELD}));
    told(&t, "waiting b\nwaiting a\nwaiting c\n"); /* its twins are the same work */
    ck_assert_int_eq(node_of(&t, "b")->state, MF_PLAN_TO_RUN);
    store_as_other(&t, other, "b", "");
    look(&t);
    ck_assert(go(&t));
    told(&t, "found b\nfound a\nfound c\nstart after\n");
    finish(&t, "after");
    end_trial(&t, "1 3 0 0 0");
    mf_store_close(other);
}
END_TEST

/* It has even stored the result. */
START_TEST(another_process_was_faster)
{
    trial t = {0};
    begin_trial(&t, diamond);
    store_as_other(&t, t.store, "scan", "");
    ck_assert(end_with(&t, "scan", (mf_execution_end){.lease = MF_LEASE_DONE}));
    told(&t, "start scan\nfound scan\nstart left\nstart right\n");
    finish(&t, "left");
    finish(&t, "right");
    finish(&t, "both");
    end_trial(&t, "3 1 0 0 0");
}
END_TEST

/* What it has stored is nothing that this run takes: the node runs all the same. */
START_TEST(a_result_that_does_not_serve)
{
    trial t = {.planning.same_device = "gpu", .options.jobs = 1};
    begin_trial(&t, four);
    store_as_other(&t, t.store, "a", "its own");
    ck_assert(!running(&t, "a")->grant.insist);
    end_with(&t, "a", (mf_execution_end){.lease = MF_LEASE_DONE});
    told(&t, "start a\nstart a\n");
    ck_assert(running(&t, "a")->grant.insist);
    finish(&t, "a");
    finish(&t, "b");
    finish(&t, "c");
    finish(&t, "d");
    end_trial(&t, "4 0 0 0 0");
}
END_TEST

/* ---- streams --------------------------------------------------------------------------------- */

static const char streams[] = "massflow: 1\n"
                              "stages:\n"
                              "  scan: {use: fake.make}\n"
                              "  crops: {use: fake.items, in: {all: [scan.x]}}\n"
                              "  train: {use: fake.read, in: {items: crops}}\n"
                              "  test: {use: fake.read, in: {items: crops}, with: {salt: 1}}\n";

/* They never start, are not counted, and what they read is made for who reads them. */
START_TEST(streams_run_with_their_readers)
{
    trial t = {0};
    begin_trial(&t, streams);
    finish(&t, "scan");
    told(&t, "start scan\ndone scan\nstart train\nstart test\n");
    finish(&t, "train");
    fail_node(&t, "test");
    end_trial(&t, "2 0 1 0 0");
    drop_outputs("scan", NULL);
    t = (trial){0};
    begin_trial(&t, streams);
    told(&t, "start scan\n");
    fail_node(&t, "scan");
    told(&t, "fail scan: it is broken\nblock test: needs crops, which needs scan\n");
    end_trial(&t, "0 1 1 1 0");
}
END_TEST

/* ---- the loop -------------------------------------------------------------------------------- */

/* All of it with the real loop: what is started ends then and there. */
START_TEST(the_loop_ends)
{
    trial t = {.f.at_once = true, .f.device_count = 1};
    plan_trial(&t, on_devices);
    t.f.store = t.store;
    t.executor = fake_executor(&t.f);
    t.options = (mf_run_options){.jobs = 1, .host_bytes = 1000, .watch = watch_trial, .self = &t};
    ok(mf_run(t.plan, &t.executor, &t.options, &t.result));
    told(&t, "start scan\ndone scan\nstart a\ndone a\nstart b\ndone b\nstart c\ndone c\n"
             "start host\ndone host\n");
    ck_assert_uint_eq(t.result.counts.done, 5);
    ck_assert_uint_eq(t.f.prepared, 0);
    forget_trial(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("runner");
    TCase *c = tcase_create("runner");
    tcase_set_timeout(c, 0);
    tcase_add_checked_fixture(c, enter_scratch, leave_scratch);
    tcase_add_test(c, a_diamond);
    tcase_add_test(c, the_longer_way_goes_first);
    tcase_add_test(c, slots);
    tcase_add_test(c, memory);
    tcase_add_test(c, devices);
    tcase_add_test(c, several_devices_of_one_kind);
    tcase_add_test(c, both_devices_must_be_free);
    tcase_add_test(c, more_devices_than_there_are);
    tcase_add_test(c, a_processor_as_device);
    tcase_add_test(c, no_device);
    tcase_add_test(c, one_of_twins_runs);
    tcase_add_test(c, twins_fail_one_after_another);
    tcase_add_test(c, a_failure_blocks_what_needs_it);
    tcase_add_test(c, what_cannot_be_prepared_fails);
    tcase_add_test(c, fail_fast_stops_the_run);
    tcase_add_test(c, skip_failed_goes_on_without);
    tcase_add_test(c, skip_failed_needs_one);
    tcase_add_test(c, a_store_that_fails_ends_the_run);
    tcase_add_test(c, a_run_that_is_stopped);
    tcase_add_test(c, a_node_that_is_cancelled_alone_fails);
    tcase_add_test(c, collected_data_is_made_again);
    tcase_add_test(c, collected_data_that_cannot_be_made);
    tcase_add_test(c, a_prepared_node_is_decided_anew);
    tcase_add_test(c, what_another_process_computes_is_waited_for);
    tcase_add_test(c, what_another_process_gives_up_is_run);
    tcase_add_test(c, a_run_that_is_stopped_while_it_waits);
    tcase_add_test(c, another_process_is_first);
    tcase_add_test(c, another_process_was_faster);
    tcase_add_test(c, a_result_that_does_not_serve);
    tcase_add_test(c, streams_run_with_their_readers);
    tcase_add_test(c, the_loop_ends);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
