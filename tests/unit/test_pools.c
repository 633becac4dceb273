/* test_pools.c - where workers come from: the file of pools, growing and shrinking without a batch
 * system, what Slurm is asked and what it answers, and the thread that does it, with commands made
 * up here. */
#include "../expect.h"
#include "../run_suite.h"

#include "graph/text/quantity.h"
#include "run/pool/growth.h"
#include "run/pool/pools.h"
#include "run/pool/slurm.h"
#include "run/pool/tool.h"

#include <massflow/file.h>

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/massflow-test-pools-XXXXXX";

static void enter(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    unsetenv("MASSFLOW_POOLS");
    unsetenv("XDG_CONFIG_HOME");
}

static void leave(void)
{
    char line[100];
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(line, sizeof line, "rm -rf %s", folder);
    ck_assert_int_eq(system(line), 0);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

/* ---- the file -------------------------------------------------------------------------------- */

static mf_site *site_of(const char *text)
{
    mf_diagnostics *d;
    mf_site *site;
    write_file("pools.yaml", text);
    ok(mf_diagnostics_new(&d));
    ok(mf_site_read("pools.yaml", d, &site));
    if (!site)
        ck_abort_msg("%s", mf_diagnostics_text(d));
    mf_diagnostics_free(d);
    return site;
}

static void site_fails(const char *text, const char *expected)
{
    mf_diagnostics *d;
    mf_site *site;
    write_file("pools.yaml", text);
    ok(mf_diagnostics_new(&d));
    ok(mf_site_read("pools.yaml", d, &site));
    ck_assert_ptr_null(site);
    char *said = mf_diagnostics_text(d);
    ck_assert_str_eq(said, expected);
    free(said);
    mf_diagnostics_free(d);
}

static const char whole[] = "listen: login1:7000\n"
                            "folder: /scratch/me\n"
                            "pools:\n"
                            "  gpu:\n"
                            "    submit: slurm\n"
                            "    sbatch: [--partition=gpu, --gres=gpu:2, -c, 8, --mem=32G]\n"
                            "    time: 1-12:00:00\n"
                            "    max: 8\n"
                            "    backlog: 3\n"
                            "    idle: 60\n"
                            "    signal: 180\n"
                            "    setup:\n"
                            "      - module load pocl\n"
                            "      - export TMPDIR=/local\n"
                            "  office:\n"
                            "    submit: command\n"
                            "    command: ssh ws2 massflow worker --connect {connect} --token "
                            "{token} --pool {pool}\n"
                            "    max: 1\n"
                            "    slots: 4\n"
                            "    memory: 16 GB\n"
                            "    devices: 1\n";

START_TEST(what_a_site_says)
{
    mf_site *site = site_of(whole);
    ck_assert_str_eq(mf_site_listen(site), "login1:7000");
    ck_assert_str_eq(mf_site_folder(site), "/scratch/me");
    ck_assert_uint_eq(mf_site_count(site), 2);
    const mf_pool *p;
    ok(mf_site_find(site, "gpu", &p));
    ck_assert_int_eq(p->submit, MF_SUBMIT_SLURM);
    ck_assert_uint_eq(p->sbatch_count, 5);
    ck_assert_str_eq(p->sbatch[4], "--mem=32G");
    ck_assert_double_eq(p->time, 36 * 3600);
    ck_assert_int_eq(p->max, 8);
    ck_assert_int_eq(p->backlog, 3);
    ck_assert_double_eq(p->idle, 60);
    ck_assert_int_eq(p->signal, 180);
    ck_assert_uint_eq(p->setup_count, 2);
    int slots, devices;
    size_t memory;
    mf_slurm_sizes(p, &slots, &memory, &devices);
    ck_assert_int_eq(slots, 8);
    ck_assert_uint_eq(memory, ((size_t)32 << 30) / 10 * 9);
    ck_assert_int_eq(devices, 2);
    ok(mf_site_find(site, "office", &p));
    ck_assert_int_eq(p->submit, MF_SUBMIT_COMMAND);
    ck_assert(isinf(p->time));
    ck_assert_int_eq(p->backlog, 2);
    ck_assert_double_eq(p->idle, 300);
    mf_slurm_sizes(p, &slots, &memory, &devices);
    ck_assert_int_eq(slots, 4);
    ck_assert_uint_eq(memory, 16000000000u);
    ck_assert_int_eq(devices, 1);
    fails(mf_site_find(site, "gpus", &p), "pools.yaml has no pool 'gpus'; did you mean 'gpu'?");
    fails(mf_site_find(site, "everything", &p),
          "pools.yaml has no pool 'everything'\n  it has gpu, office");
    const mf_pool **pools;
    size_t count;
    ok(mf_site_choose(site, "office,gpu", &pools, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(pools[0]->name, "office");
    free(pools);
    fails(mf_site_choose(site, "gpu,gpu", &pools, &count), "--pool: 'gpu' is there twice");
    ck_assert_ptr_null(pools);
    fails(mf_site_choose(site, "gpu,", &pools, &count),
          "pools.yaml has no pool ''\n  it has gpu, office");
    mf_site_free(site);
}
END_TEST

START_TEST(errors_of_the_file)
{
    site_fails("pools: {}\n", "pools.yaml:1:8: error: 'pools' takes names of pools, each with its "
                              "keys\n"
                              "    1 | pools: {}\n"
                              "      |        ^\n");
    site_fails("pool: {}\nlisten: a\n",
               "pools.yaml:1:1: error: a file of pools has no key 'pool'; did you mean 'pools'?\n"
               "    1 | pool: {}\n"
               "      | ^~~~\n"
               "pools.yaml:1:1: error: 'pools' takes names of pools, each with its keys\n"
               "    1 | pool: {}\n"
               "      | ^\n");
    site_fails("pools:\n"
               "  gpu: {submit: slrum, time: 1 h, max: 0, backlogs: 2}\n"
               "  a b: {submit: slurm}\n"
               "  c: {submit: slurm, command: x, time: 2:00:00}\n"
               "  d: {sbatch: []}\n"
               "  e: {submit: command, sbatch: [x]}\n"
               "  f: {submit: slurm}\n"
               "  g: {submit: slurm, time: 3, signal: 120}\n",
               "pools.yaml:2:17: error: 'submit' is slurm or command, not 'slrum'\n"
               "    2 |   gpu: {submit: slrum, time: 1 h, max: 0, backlogs: 2}\n"
               "      |                 ^~~~~\n"
               "pools.yaml:2:30: error: 'time' is a time limit as Slurm takes it, such as 90 "
               "(minutes), 12:00:00 or 2-00:00:00, not '1 h'\n"
               "    2 |   gpu: {submit: slrum, time: 1 h, max: 0, backlogs: 2}\n"
               "      |                              ^~~\n"
               "pools.yaml:2:40: error: 'max' is a number of workers from 1 to 10000, not '0'\n"
               "    2 |   gpu: {submit: slrum, time: 1 h, max: 0, backlogs: 2}\n"
               "      |                                        ^\n"
               "pools.yaml:2:43: error: a pool has no key 'backlogs'; did you mean 'backlog'?\n"
               "    2 |   gpu: {submit: slrum, time: 1 h, max: 0, backlogs: 2}\n"
               "      |                                           ^~~~~~~~\n"
               "pools.yaml:3:3: error: 'a b' is not a valid name of a pool: letters, digits, _ and "
               "-\n"
               "    3 |   a b: {submit: slurm}\n"
               "      |   ^~~\n"
               "pools.yaml:4:22: error: 'command' goes with 'submit: command'\n"
               "    4 |   c: {submit: slurm, command: x, time: 2:00:00}\n"
               "      |                      ^~~~~~~\n"
               "pools.yaml:5:3: error: 'd' does not say how workers are got: 'submit: slurm' or "
               "'submit: command'\n"
               "    5 |   d: {sbatch: []}\n"
               "      |   ^\n"
               "pools.yaml:6:24: error: 'sbatch' goes with 'submit: slurm'\n"
               "    6 |   e: {submit: command, sbatch: [x]}\n"
               "      |                        ^~~~~~\n"
               "pools.yaml:7:3: error: 'f' has no time limit: 'time: 12:00:00'\n"
               "    7 |   f: {submit: slurm}\n"
               "      |   ^\n"
               "  nodes that take longer than an allocation has left are not given to it\n"
               "pools.yaml:8:3: error: 'g' has 180 s of time: too little for a signal 120 s before "
               "its end, which may come 60 s early\n"
               "    8 |   g: {submit: slurm, time: 3, signal: 120}\n"
               "      |   ^\n");
    site_fails(
        "pools:\n"
        "  gpu:\n"
        "    submit: slurm\n"
        "    time: 60\n"
        "    sbatch: [--gres gpu:1, --time=3, -J x, --array=1-3]\n"
        "  ssh:\n"
        "    submit: command\n"
        "    command: \"ssh ws2 massflow worker --connect {conect} ${HOME}\"\n",
        "pools.yaml:5:14: error: '--gres gpu:1' is one argument with a space in it\n"
        "    5 |     sbatch: [--gres gpu:1, --time=3, -J x, --array=1-3]\n"
        "      |              ^~~~~~~~~~~~\n"
        "  write it with '=', or as two items of the list\n"
        "pools.yaml:5:28: error: '--time=3' is an argument that massflow gives to sbatch\n"
        "    5 |     sbatch: [--gres gpu:1, --time=3, -J x, --array=1-3]\n"
        "      |                            ^~~~~~~~\n"
        "  write the key 'time'\n"
        "pools.yaml:5:38: error: '-J x' is one argument with a space in it\n"
        "    5 |     sbatch: [--gres gpu:1, --time=3, -J x, --array=1-3]\n"
        "      |                                      ^~~~\n"
        "  write it with '=', or as two items of the list\n"
        "pools.yaml:5:44: error: '--array=1-3' is an argument that massflow gives to sbatch\n"
        "    5 |     sbatch: [--gres gpu:1, --time=3, -J x, --array=1-3]\n"
        "      |                                            ^~~~~~~~~~~\n"
        "  'max' and 'backlog' say how many there are\n"
        "pools.yaml:8:49: error: '{conect}' stands for nothing; did you mean '{connect}'?\n"
        "    8 |     command: \"ssh ws2 massflow worker --connect {conect} ${HOME}\"\n"
        "      |                                                 ^~~~~~~~\n"
        "  {connect}, {token}, {pool} and {name} are replaced\n");
}
END_TEST

START_TEST(no_file)
{
    mf_diagnostics *d;
    mf_site *site;
    char expected[300];
    ok(mf_diagnostics_new(&d));
    setenv("HOME", folder, 1);
    snprintf(expected, sizeof expected,
             "there are no pools yet: no file %s/.config/massflow/pools.yaml\n"
             "  docs/clusters.md shows one; --pools FILE names another file",
             folder);
    fails(mf_site_read(NULL, d, &site), expected);
    ck_assert_ptr_null(site);
    fails(mf_site_read("none.yaml", d, &site), "cannot read none.yaml: No such file or directory");
    mf_diagnostics_free(d);
}
END_TEST

START_TEST(time_limits)
{
    static const struct {
        const char *text;
        double seconds;
    } good[] = {{"90", 5400},        {"90:30", 5430},       {"12:00:00", 43200}, {"2-12", 216000},
                {"2-12:30", 217800}, {"1-00:00:01", 86401}, {"0:01", 1}};
    static const char *const bad[] = {"",     "0",       "1 h", "1h",        "-1",   "1-",
                                      "1:2:", "1:2:3:4", "x",   "UNLIMITED", "0x10", "1e3"};
    double seconds;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_msg(mf__read_time_limit(good[i].text, &seconds), "%s", good[i].text);
        ck_assert_double_eq(seconds, good[i].seconds);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!mf__read_time_limit(bad[i], &seconds), "%s", bad[i]);
}
END_TEST

/* ---- growing and shrinking ------------------------------------------------------------------- */

static void does(mf_growth *g, double now, mf_growth_act act, size_t count)
{
    mf_growth_step step = mf_growth_next(g, now);
    ck_assert_int_eq(step.act, act);
    if (act == MF_GROW_SUBMIT)
        ck_assert_uint_eq(step.count, count);
}

/* One of which nothing waits or runs yet. */
static mf_growth *counted(int max, int backlog, double now)
{
    mf_growth *g = mf_growth_new(max, backlog, 30);
    mf_growth_counted(g, now, &(mf_seen){0}, 0);
    return g;
}

static void rests(mf_growth *g, double now, double until)
{
    mf_growth_step step = mf_growth_next(g, now);
    ck_assert_int_eq(step.act, MF_GROW_REST);
    if (isinf(until))
        ck_assert(isinf(step.until));
    else
        ck_assert_double_eq_tol(step.until, until, 1e-9);
}

START_TEST(a_few_wait_and_no_more_than_can_be_used)
{
    mf_growth *g = mf_growth_new(5, 2, 30);
    rests(g, 0, INFINITY); /* nobody wants any */
    mf_growth_want(g, 1, 1);
    does(g, 1, MF_GROW_COUNT, 0);
    mf_growth_counted(g, 1, &(mf_seen){0}, 0);
    does(g, 1, MF_GROW_SUBMIT, 1); /* one node can use one worker */
    mf_growth_submitted(g, 1, 1, true);
    rests(g, 1, 31);
    mf_growth_want(g, 2, 100);
    does(g, 2, MF_GROW_SUBMIT, 1); /* two may wait */
    mf_growth_submitted(g, 2, 1, true);
    rests(g, 2, 31);
    mf_growth_connected(g, 2); /* both run, and the next two are asked for */
    ck_assert_uint_eq(mf_growth_waiting(g), 0);
    does(g, 3, MF_GROW_SUBMIT, 2);
    mf_growth_submitted(g, 3, 2, true);
    mf_growth_connected(g, 4);
    does(g, 4, MF_GROW_SUBMIT, 1); /* 5 are the most */
    mf_growth_submitted(g, 4, 1, true);
    mf_growth_connected(g, 5);
    rests(g, 5, INFINITY);
    /* A worker's time is over: another one is asked for, as long as it is wanted. */
    mf_growth_connected(g, 4);
    does(g, 6, MF_GROW_SUBMIT, 1);
    mf_growth_want(g, 6, 4);
    rests(g, 6, INFINITY);
    mf_growth_free(g);
}
END_TEST

START_TEST(what_waits_is_counted_not_believed)
{
    mf_growth *g = counted(4, 4, 0);
    const mf_seen two[] = {{"7_1", "", MF_SEEN_WAITING, 0}, {"7_2", "n1", MF_SEEN_RUNNING, 3}};
    mf_growth_want(g, 0, 4);
    does(g, 0, MF_GROW_SUBMIT, 4);
    mf_growth_submitted(g, 0, 4, true);
    rests(g, 0, 30);
    does(g, 30, MF_GROW_COUNT, 0);
    /* The controller was away: what was known holds, and it is asked again later. */
    mf_growth_counted(g, 30, NULL, 0);
    ck_assert_uint_eq(mf_growth_waiting(g), 4);
    rests(g, 31, 60);
    does(g, 60, MF_GROW_COUNT, 0);
    /* Two of the four were forgotten: they are asked for again. */
    mf_growth_counted(g, 60, two, 2);
    ck_assert_uint_eq(mf_growth_waiting(g), 1);
    ck_assert_uint_eq(mf_growth_running(g), 1);
    does(g, 60, MF_GROW_SUBMIT, 2);
    mf_growth_submitted(g, 60, 2, true);
    /* More are connected than are shown, as after a restart. */
    mf_growth_connected(g, 3);
    does(g, 90, MF_GROW_COUNT, 0);
    mf_growth_counted(g, 90, two, 1);
    ck_assert_uint_eq(mf_growth_running(g), 3);
    ck_assert_uint_eq(mf_growth_waiting(g), 1);
    rests(g, 90, 120);
    mf_growth_free(g);
}
END_TEST

START_TEST(a_failing_submission_is_said_once_and_tried_for_good)
{
    mf_growth *g = counted(4, 4, 100);
    static const double pauses[] = {5, 10, 20, 40, 80, 160, 300, 300, 300};
    double now = 100;
    mf_growth_want(g, now, 4);
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        does(g, now, MF_GROW_SUBMIT, 4);
        ck_assert_int_eq(mf_growth_submitted(g, now, 0, false), i == 0);
        rests(g, now, now + pauses[i]);
        now += pauses[i];
    }
    mf_growth_submitted(g, now, 4, true);
    mf_growth_counted(g, now, NULL, 0);
    mf_growth_connected(g, 4);
    mf_growth_connected(g, 0);
    does(g, now + 1, MF_GROW_SUBMIT, 4);
    ck_assert(mf_growth_submitted(g, now + 1, 0, false)); /* said again, after it went well */
    rests(g, now + 1, now + 6);
    mf_growth_free(g);
}
END_TEST

static mf_seen failed_on(const char *id, const char *host)
{
    return (mf_seen){id, host, MF_SEEN_FAILED, 2};
}

START_TEST(a_host_that_fails_at_once_is_left_out)
{
    mf_growth *g = counted(8, 8, 0);
    mf_seen seen[4] = {failed_on("7_1", "n1"),
                       failed_on("7_2", "n1"),
                       {"7_3", "n2", MF_SEEN_RUNNING, 100},
                       {"7_4", "n1", MF_SEEN_ENDED, 1}};
    mf_growth_want(g, 0, 8);
    mf_growth_submitted(g, 0, 4, true);
    mf_growth_connected(g, 1); /* that of n2: the set-up is right */
    mf_growth_counted(g, 30, seen, 4);
    mf_growth_counted(g, 60, seen, 4); /* each counts once */
    ck_assert_str_eq(mf_growth_excluded(g), "");
    ck_assert_ptr_null(mf_growth_news(g));
    seen[0] = failed_on("8_1", "n1");
    mf_growth_counted(g, 90, seen, 4);
    ck_assert_str_eq(mf_growth_excluded(g), "n1");
    ck_assert_str_eq(mf_growth_news(g), "n1");
    ck_assert_ptr_null(mf_growth_news(g)); /* said once */
    for (int i = 0; i < 3; i++)
        mf_growth_ended(g, 91 + i, "n3");
    ck_assert_str_eq(mf_growth_excluded(g), "n1,n3");
    ck_assert_uint_eq(mf_growth_quick(g), 0);
    does(g, 95, MF_GROW_SUBMIT, 7);
    /* No host is left: they are let in again, and the pauses grow. */
    mf_growth_submitted(g, 95, 0, false);
    ck_assert_str_eq(mf_growth_excluded(g), "");
    mf_growth_free(g);
}
END_TEST

START_TEST(a_wrong_set_up_makes_pauses)
{
    mf_growth *g = counted(8, 2, 0);
    mf_seen seen[] = {failed_on("7_1", "n1"), failed_on("7_2", "n2"), failed_on("8_1", "n3")};
    mf_growth_want(g, 0, 8);
    does(g, 0, MF_GROW_SUBMIT, 2);
    mf_growth_submitted(g, 0, 2, true);
    mf_growth_counted(g, 30, seen, 2);
    ck_assert_uint_eq(mf_growth_quick(g), 2);
    rests(g, 30, 40);
    does(g, 40, MF_GROW_SUBMIT, 2);
    mf_growth_submitted(g, 40, 2, true);
    mf_growth_counted(g, 70, seen, 3);
    ck_assert_uint_eq(mf_growth_quick(g), 3);
    rests(g, 70, 90);
    mf_growth_connected(g, 1); /* mended */
    ck_assert_uint_eq(mf_growth_quick(g), 0);
    mf_growth_free(g);
}
END_TEST

/* After a run that was killed: what it left is taken over, and what failed in it is no fault. */
START_TEST(what_an_earlier_run_left)
{
    mf_growth *g = mf_growth_new(4, 4, 30);
    const mf_seen left[] = {failed_on("7_1", "n1"),
                            failed_on("7_2", "n1"),
                            failed_on("7_3", "n1"),
                            {"8_1", "", MF_SEEN_WAITING, 0},
                            {"8_2", "n2", MF_SEEN_RUNNING, 500}};
    mf_growth_want(g, 0, 4);
    does(g, 0, MF_GROW_COUNT, 0);
    mf_growth_counted(g, 0, left, 5);
    ck_assert_uint_eq(mf_growth_quick(g), 0);
    ck_assert_str_eq(mf_growth_excluded(g), "");
    does(g, 0, MF_GROW_SUBMIT, 2);
    mf_growth_free(g);
}
END_TEST

START_TEST(what_nobody_wants_any_more_is_cancelled)
{
    mf_growth *g = counted(8, 2, 0);
    mf_growth_want(g, 0, 8);
    does(g, 0, MF_GROW_SUBMIT, 2);
    mf_growth_submitted(g, 0, 2, true);
    mf_growth_want(g, 10, 0);
    rests(g, 10, 30); /* the next stage may want it */
    mf_growth_want(g, 20, 3);
    mf_growth_counted(g, 20, NULL, 0);
    rests(g, 20, 50);
    mf_growth_want(g, 25, 0);
    mf_growth_counted(g, 84, NULL, 0);
    rests(g, 84, 85);
    does(g, 85, MF_GROW_CANCEL, 0);
    mf_growth_cancelled(g);
    ck_assert_uint_eq(mf_growth_waiting(g), 0);
    rests(g, 85, INFINITY);
    mf_growth_free(g);
}
END_TEST

START_TEST(a_queue_that_only_tells_a_number)
{
    mf_growth *g = counted(8, 8, 0);
    mf_growth_want(g, 0, 4);
    mf_growth_submitted(g, 0, 4, true);
    mf_growth_connected(g, 1);
    mf_growth_counted_only(g, 30, 3);
    ck_assert_uint_eq(mf_growth_running(g), 1);
    ck_assert_uint_eq(mf_growth_waiting(g), 2);
    does(g, 30, MF_GROW_SUBMIT, 1);
    mf_growth_free(g);
}
END_TEST

/* ---- Slurm ----------------------------------------------------------------------------------- */

static mf_pool_worker worker_of(const mf_pool *pool)
{
    return (mf_pool_worker){.pool = pool,
                            .name = "massflow-gpu-1a2b3c4d",
                            .connect = "login1:7000",
                            .token = "/home/me/a b/token",
                            .program = "/opt/massflow",
                            .plugins = "",
                            .log = "/home/me/a b/log"};
}

START_TEST(the_script)
{
    mf_site *site = site_of(whole);
    mf_arena *arena = mf_arena_new();
    mf_pool_worker w = worker_of(mf_site_pool(site, 0));
    ck_assert_str_eq(
        mf_slurm_script(arena, &w),
        "#!/bin/bash\n"
        "#SBATCH --job-name=massflow-gpu-1a2b3c4d\n"
        "#SBATCH --time=1-12:00:00\n"
        "#SBATCH --output=\"/home/me/a b/log/gpu-%A_%a.txt\"\n"
        "#SBATCH --open-mode=append\n"
        "#SBATCH --signal=B:TERM@180\n"
        "#SBATCH --requeue\n"
        "# A worker of massflow. The arguments that the site gives to sbatch go before these "
        "lines.\n"
        "\n"
        "module load pocl\n"
        "export TMPDIR=/local\n"
        "\n"
        "# Seconds that are left, which squeue shows as [[DAYS-]HOURS:]MINUTES:SECONDS.\n"
        "left=$(squeue -h -r -j \"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\" -o %L "
        "2>/dev/null)\n"
        "if [[ $left =~ ^(([0-9]+)-)?(([0-9]+):)?([0-9]+):([0-9]+)$ ]]; then\n"
        "    m=(\"${BASH_REMATCH[@]}\")\n"
        "    left=$(((10#0${m[2]} * 24 + 10#0${m[4]}) * 3600 + 10#0${m[5]} * 60 + 10#0${m[6]}))\n"
        "else\n"
        "    left=129600\n"
        "fi\n"
        "((left > 0)) || left=1\n"
        "\n"
        "# MiB that its nodes may need together: nine tenths of the limit, where there is one.\n"
        "memory=${SLURM_MEM_PER_NODE:-$((${SLURM_MEM_PER_CPU:-0} * ${SLURM_CPUS_ON_NODE:-1}))}\n"
        "memory=$((memory * 9 / 10))\n"
        "((memory > 0)) || memory=\n"
        "\n"
        "exec /opt/massflow worker --connect 'login1:7000' --token '/home/me/a b/token' --slots "
        "\"${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}\" ${memory:+--memory \"$memory MiB\"} "
        "--idle 60 --ends \"$left\" --pool "
        "gpu\n");
    ck_assert_str_eq(mf_pool_line(arena, &w, "ssh a {connect} {token} {pool} {name} {}"),
                     "ssh a 'login1:7000' '/home/me/a b/token' gpu massflow-gpu-1a2b3c4d {}");
    mf_arena_free(arena);
    mf_site_free(site);
}
END_TEST

/* An allocation of four workers, which MPI starts together. */
START_TEST(workers_of_one_launcher)
{
    mf_site *site =
        site_of("pools:\n"
                "  fast:\n"
                "    submit: slurm\n"
                "    mpi: pmix\n"
                "    sbatch: [-n, 4, --ntasks-per-node=2, --gpus-per-task=1, --mem=40G]\n"
                "    time: 60\n"
                "    max: 9\n");
    mf_arena *arena = mf_arena_new();
    const mf_pool *p = mf_site_pool(site, 0);
    mf_pool_worker w = worker_of(p);
    int slots, devices;
    size_t memory;

    ck_assert_int_eq(mf_pool_tasks(p), 4);
    mf_slurm_sizes(p, &slots, &memory, &devices);
    ck_assert_int_eq(slots, 1);
    ck_assert_uint_eq(memory, ((size_t)20 << 30) / 10 * 9);
    ck_assert_int_eq(devices, 1);
    const char *const *words = mf_slurm_submit(arena, &w, "fast.sh", 2, "");
    ck_assert_str_eq(words[7], "--array=1-2%2");
    const char *script = mf_slurm_script(arena, &w);
    ck_assert_ptr_nonnull(strstr(script, "#SBATCH --signal=TERM@120\n"));
    ck_assert_ptr_nonnull(strstr(script, "\nmemory=$((memory * 9 / 10 / tasks))\n"));
    const char *last = strstr(script, "\nexec ");
    ck_assert_ptr_nonnull(last);
    ck_assert_str_eq(
        last, "\nexec srun --mpi=pmix --kill-on-bad-exit=1 "
              "${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK} /opt/massflow worker "
              "--connect 'login1:7000' --token '/home/me/a b/token' --slots "
              "\"${SLURM_CPUS_PER_TASK:-1}\" ${memory:+--memory \"$memory MiB\"} --idle 300 "
              "--ends \"$left\" --pool fast --mpi\n");
    mf_arena_free(arena);
    mf_site_free(site);
    site_fails(
        "pools:\n"
        "  a: {submit: slurm, time: 60, mpi: pmix}\n"
        "  b: {submit: slurm, time: 60, mpi: pmix, sbatch: [--ntasks=8]}\n"
        "  c: {submit: command, command: x, mpi: pmix}\n"
        "  d: {submit: slurm, time: 60, mpi: a b, sbatch: [--ntasks=2]}\n",
        "pools.yaml:2:3: error: 'a' has 'mpi', and sbatch is not told how many workers start "
        "together\n"
        "    2 |   a: {submit: slurm, time: 60, mpi: pmix}\n"
        "      |   ^\n"
        "  each task is a worker: 'sbatch: [--ntasks=4]'\n"
        "pools.yaml:3:3: error: 'b' has at most 4 workers ('max'), and each allocation has 8\n"
        "    3 |   b: {submit: slurm, time: 60, mpi: pmix, sbatch: [--ntasks=8]}\n"
        "      |   ^\n"
        "pools.yaml:4:36: error: 'mpi' goes with 'submit: slurm'\n"
        "    4 |   c: {submit: command, command: x, mpi: pmix}\n"
        "      |                                    ^~~\n"
        "pools.yaml:5:37: error: 'mpi' is a kind of 'srun --mpi', such as pmix, not 'a b'\n"
        "    5 |   d: {submit: slurm, time: 60, mpi: a b, sbatch: [--ntasks=2]}\n"
        "      |                                     ^~~\n");
}
END_TEST

/* Words joined by spaces. */
static const char *joined(mf_arena *arena, const char *const *words)
{
    char *text = mf_arena_copy(arena, *words++);
    while (*words)
        text = mf_arena_print(arena, "%s %s", text, *words++);
    return text;
}

START_TEST(the_words)
{
    mf_site *site = site_of("pools:\n"
                            "  gpu: {submit: slurm, time: 60, max: 3, sbatch: [-p, gpu, --exclude, "
                            "n9, --exclusive]}\n");
    mf_arena *arena = mf_arena_new();
    mf_pool_worker w = worker_of(mf_site_pool(site, 0));
    ck_assert_str_eq(joined(arena, mf_slurm_submit(arena, &w, "gpu.sh", 2, "")),
                     "sbatch --parsable -p gpu --exclude n9 --exclusive --array=1-2%3 gpu.sh");
    ck_assert_str_eq(
        joined(arena, mf_slurm_submit(arena, &w, "gpu.sh", 2, "n1,n2")),
        "sbatch --parsable -p gpu --exclusive --exclude=n9,n1,n2 --array=1-2%3 gpu.sh");
    ck_assert_str_eq(joined(arena, mf_slurm_count(arena, "a,b")),
                     "squeue --me -h -r --states=all --name=a,b --format=%j|%F_%K|%T|%M|%N|%r");
    ck_assert_str_eq(joined(arena, mf_slurm_cancel(arena, "a", false)),
                     "scancel --me --name=a --state=PENDING");
    ck_assert_str_eq(joined(arena, mf_slurm_cancel(arena, "a", true)), "scancel --me --name=a");
    mf_arena_free(arena);
    mf_site_free(site);
}
END_TEST

START_TEST(the_answer)
{
    mf_arena *arena = mf_arena_new();
    mf_slurm_job *jobs;
    size_t count;
    mf_slurm_read(arena,
                  "massflow-gpu-1|12_1|PENDING|0:00||Resources\n"
                  "massflow-gpu-1|12_2|RUNNING|1-00:00:05|n1|None\n"
                  "slurm_load_jobs error: nothing\n"
                  "massflow-gpu-1|12_3|FAILED|0:02|n2|NonZeroExitCode\n"
                  "massflow-cpu-1|13_1|TIMEOUT|1:00|n2|TimeLimit\n"
                  "massflow-cpu-1|13_2|PENDING|0:00||launch failed requeued held\n"
                  "massflow-cpu-1|13_3|COMPLETING|0:10|n1|None\n"
                  "a|b|c",
                  &jobs, &count);
    static const struct {
        const char *name, *id, *host;
        mf_seen_state state;
        double used;
        const char *reason;
    } expected[] = {
        {"massflow-gpu-1", "12_1", "", MF_SEEN_WAITING, 0, "Resources"},
        {"massflow-gpu-1", "12_2", "n1", MF_SEEN_RUNNING, 86405, "None"},
        {"massflow-gpu-1", "12_3", "n2", MF_SEEN_FAILED, 2, "NonZeroExitCode"},
        {"massflow-cpu-1", "13_1", "n2", MF_SEEN_ENDED, 60, "TimeLimit"},
        {"massflow-cpu-1", "13_2", "", MF_SEEN_FAILED, 0, "launch failed requeued held"},
        {"massflow-cpu-1", "13_3", "n1", MF_SEEN_RUNNING, 10, "None"}};
    ck_assert_uint_eq(count, 6);
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(jobs[i].name, expected[i].name);
        ck_assert_str_eq(jobs[i].seen.id, expected[i].id);
        ck_assert_str_eq(jobs[i].seen.host, expected[i].host);
        ck_assert_int_eq(jobs[i].seen.state, expected[i].state);
        ck_assert_double_eq(jobs[i].seen.used, expected[i].used);
        ck_assert_str_eq(jobs[i].reason, expected[i].reason);
    }
    mf_slurm_read(arena, "", &jobs, &count);
    ck_assert_uint_eq(count, 0);
    mf_arena_free(arena);
}
END_TEST

/* ---- commands -------------------------------------------------------------------------------- */

START_TEST(programs_are_run)
{
    char *output;
    const char *const words[] = {"sh", "-c", "echo $A $SLURM_JOB_ID $LC_ALL; echo no >&2", NULL};
    const char *const extra[] = {"A=1", NULL};
    setenv("SLURM_JOB_ID", "7", 1);
    ok(mf_tool_run(words, extra, 60, &output));
    ck_assert_str_eq(output, "1 C\n");
    free(output);
    const char *const wrong[] = {"sh", "-c", "echo sbatch: error: a >&2; echo b >&2; exit 3", NULL};
    fails(mf_tool_run(wrong, NULL, 60, &output), "'sh' failed: sbatch: error: a b");
    ck_assert_ptr_null(output);
    const char *const silent[] = {"false", NULL};
    fails(mf_tool_run(silent, NULL, 60, &output), "'false' ended with exit status 1");
    const char *const none[] = {"no-such-batch-system", NULL};
    fails(mf_tool_run(none, NULL, 60, &output),
          "'no-such-batch-system' could not be started: there is no such program on this host\n"
          "  PATH says where programs are looked for");
    const char *const endless[] = {"sh", "-c", "while :; do :; done", NULL};
    fails(mf_tool_run(endless, NULL, 0.05, &output), "'sh' took longer than 0 s");
}
END_TEST

/* ---- the thread ------------------------------------------------------------------------------ */

static mf_shared *shared;
static FILE *said; /* what the programs below write, a line each */

/* A program of a batch system made up here: it writes its words into a pipe, and does `rest`. */
static void make_program(const char *name, const char *rest)
{
    char path[200], text[1000];
    snprintf(path, sizeof path, "%s/bin/%s", folder, name);
    snprintf(text, sizeof text, "#!/bin/sh\necho \"%s $*\" >%s/said\n%s\n", name, folder, rest);
    write_file(path, text);
    ck_assert_int_eq(chmod(path, 0755), 0);
}

static void enter_batch(void)
{
    char path[300];
    enter();
    ck_assert_int_eq(mkdir("bin", 0755), 0);
    snprintf(path, sizeof path, "%s/bin:/usr/bin:/bin", folder);
    setenv("PATH", path, 1);
    ck_assert_int_eq(mkfifo("said", 0600), 0);
    said = fopen("said", "r+"); /* both ends: nobody waits for this one */
    ck_assert_ptr_nonnull(said);
    snprintf(path, sizeof path, "%s/shared", folder);
    ok(mf_shared_open(path, folder, false, &shared));
    make_program("scancel", "");
}

static void leave_batch(void)
{
    fclose(said);
    mf_shared_free(shared);
    leave();
}

/* Waits for a line that a program says, and passes over those of squeue before it. */
static void is_said(const char *format, const char *path)
{
    char line[1000], expected[1000];
    snprintf(expected, sizeof expected, format, path);
    do
        ck_assert_ptr_nonnull(fgets(line, sizeof line, said));
    while (!strncmp(line, "squeue", 6) && strncmp(expected, "squeue", 6));
    line[strcspn(line, "\n")] = 0;
    ck_assert_str_eq(line, expected);
}

static void hear(void *self, const char *text)
{
    size_t size = strlen(text) + 1;
    ck_assert_int_eq(write(((int *)self)[1], text, size), (ssize_t)size);
}

/* Waits for what users are told. */
static void is_heard(const int *pipe_ends, const char *expected)
{
    char text[2000];
    size_t n = 0;
    do
        ck_assert_int_eq(read(pipe_ends[0], text + n, 1), 1);
    while (text[n++]);
    ck_assert_str_eq(text, expected);
}

static mf_pools *start(mf_site *site, const mf_pool **pool, int *pipe_ends)
{
    mf_pools *pools;
    *pool = mf_site_pool(site, 0);
    ck_assert_int_eq(pipe(pipe_ends), 0);
    ok(mf_pools_new(&(mf_pools_options){.pools = pool,
                                        .count = 1,
                                        .connect = "login1:7000",
                                        .shared = shared,
                                        .program = "/opt/massflow",
                                        .plugins = "",
                                        .count_every = 0.01,
                                        .say = hear,
                                        .self = pipe_ends},
                    &pools));
    return pools;
}

START_TEST(slurm_is_asked_counted_and_cancelled)
{
    mf_site *site = site_of("pools: {gpu: {submit: slurm, time: 60, max: 3}}\n");
    const mf_pool *pool;
    mf_pool_state state;
    int ends[2];
    make_program("sbatch", "touch asked");
    make_program("squeue", "[ ! -e asked ] || echo \"${5#--name=}|12_1|PENDING|0:00||Resources\"");
    mf_pools *pools = start(site, &pool, ends);
    mf_pools_want(pools, 0, 1);
    is_said("sbatch --parsable --array=1-1%%3 %s/gpu.sh", shared->path);
    static const char count[] = "squeue --me -h -r --states=all --name=massflow-gpu-%s "
                                "--format=%%j|%%F_%%K|%%T|%%M|%%N|%%r";
    for (int i = 0; i < 3; i++) /* by the third one the first answer has been noted */
        is_said(count, shared->key);
    mf_pools_state(pools, 0, &state);
    ck_assert_uint_eq(state.wanted, 1);
    ck_assert_uint_eq(state.waiting, 1);
    ck_assert_uint_eq(state.running, 0);
    ck_assert_str_eq(state.reason, "Resources");
    mf_pools_free(pools);
    is_said("scancel --me --name=massflow-gpu-%s", shared->key);
    mf_site_free(site);
}
END_TEST

START_TEST(a_refused_submission_is_told)
{
    mf_site *site = site_of("pools: {gpu: {submit: slurm, time: 60, max: 3}}\n");
    const mf_pool *pool;
    mf_pool_state state;
    int ends[2];
    make_program("sbatch", "echo 'sbatch: error: invalid partition specified: gpx' >&2; exit 1");
    make_program("squeue", "");
    mf_pools *pools = start(site, &pool, ends);
    mf_pools_want(pools, 0, 2);
    is_heard(ends, "pool gpu: no worker could be asked for; it is tried again: 'sbatch' failed: "
                   "sbatch: error: invalid partition specified: gpx");
    mf_pools_state(pools, 0, &state);
    ck_assert_str_eq(state.trouble,
                     "'sbatch' failed: sbatch: error: invalid partition specified: gpx");
    mf_pools_free(pools); /* nothing waits: nothing is cancelled */
    is_said("sbatch --parsable --array=1-2%%3 %s/gpu.sh", shared->path);
    mf_site_free(site);
}
END_TEST

START_TEST(workers_that_end_at_once_are_told_with_their_last_words)
{
    mf_site *site = site_of("pools: {gpu: {submit: slurm, time: 60, max: 3, backlog: 3}}\n");
    const mf_pool *pool;
    char path[300], expected[1000];
    int ends[2];
    snprintf(path, sizeof path, "%s/gpu-12_1.txt", shared->log);
    write_file(path, "one\ntwo\nthree\nfour\nfive\n/opt/massflow: No such file or directory\n");
    make_program("sbatch", "touch asked");
    make_program(
        "squeue",
        "[ ! -e asked ] || for i in 1 2 3; do echo \"${5#--name=}|12_$i|FAILED|0:01|n$i|x\"; done");
    mf_pools *pools = start(site, &pool, ends);
    mf_pools_want(pools, 0, 3);
    snprintf(expected, sizeof expected,
             "pool gpu: 3 workers ended within a minute and none has connected; it is tried again. "
             "The end of %s\n  | two\n  | three\n  | four\n  | five\n"
             "  | /opt/massflow: No such file or directory",
             path);
    is_heard(ends, expected);
    mf_pools_free(pools);
    mf_site_free(site);
}
END_TEST

START_TEST(a_command_is_a_worker)
{
    mf_site *site =
        site_of("pools:\n"
                "  office: {submit: command, max: 2, command: \"exec 3<go; worker {connect} "
                "{token} {pool} {name}; exec cat <&3\"}\n");
    const mf_pool *pool;
    char expected[1000];
    int ends[2];
    make_program("worker", "");
    ck_assert_int_eq(mkfifo("go", 0600), 0);
    int go = open("go", O_RDWR | O_CLOEXEC);
    mf_pools *pools = start(site, &pool, ends);
    mf_pools_want(pools, 0, 1);
    snprintf(expected, sizeof expected, "worker login1:7000 %%s office massflow-office-%s",
             shared->key);
    is_said(expected, shared->token);
    mf_pools_connected(pools, 0, 1);
    mf_pools_want(pools, 0, 2);
    is_said(expected, shared->token);
    close(go); /* both workers end by themselves, as after a run */
    mf_pools_free(pools);
    mf_site_free(site);
}
END_TEST

START_TEST(two_runs_on_a_cache_have_folders_of_their_own)
{
    char base[300];
    mf_shared *second, *third;
    snprintf(base, sizeof base, "%s/shared", folder);
    ok(mf_shared_open(base, folder, false, &second));
    ck_assert_uint_eq(strlen(shared->key), 8);
    ck_assert_int_eq(strncmp(second->key, shared->key, 8), 0);
    ck_assert_str_eq(second->key + 8, "-2");
    ck_assert_ptr_null(mf_shared_address(shared));
    ok(mf_shared_note_address(shared, "login1:7000"));
    /* The first one ends, or is killed: the next has its place, and knows where it listened. */
    char *key = strdup(shared->key);
    mf_shared_free(shared);
    ok(mf_shared_open(base, folder, false, &third));
    ck_assert_str_eq(third->key, key);
    char *address = mf_shared_address(third);
    ck_assert_str_eq(address, "login1:7000");
    free(address);
    free(key);
    mf_shared_free(second);
    shared = third;
    fails(mf_shared_open("/tmp/a$b", folder, false, &second),
          "/tmp/a$b: a script of Slurm can't name this folder\n"
          "  choose one without \" \\ % ` and $: 'folder' in the file of pools");
}
END_TEST

/* Its script would be run as this user. */
START_TEST(a_folder_that_others_can_write_to_is_refused)
{
    char base[100], expected[400];
    mf_shared *own;
    snprintf(base, sizeof base, "%s/base", folder);
    ok(mf_shared_open(base, folder, false, &own));
    snprintf(expected, sizeof expected,
             "%s is no folder that only this user can write to\n"
             "  remove it, or name another place: the key 'folder' of the file of pools",
             own->path);
    ck_assert_int_eq(chmod(own->path, 0777), 0);
    char *path = strdup(own->path);
    mf_shared_free(own);
    fails(mf_shared_open(base, folder, false, &own), expected);
    ck_assert_int_eq(chmod(path, 0700), 0);
    ck_assert_int_eq(rename(path, "elsewhere"), 0);
    ck_assert_int_eq(symlink("../elsewhere", path), 0);
    fails(mf_shared_open(base, folder, false, &own), expected);
    free(path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pools");
    TCase *site = tcase_create("site"), *growth = tcase_create("growth"),
          *slurm = tcase_create("slurm"), *thread = tcase_create("thread");
    tcase_add_checked_fixture(site, enter, leave);
    tcase_add_test(site, what_a_site_says);
    tcase_add_test(site, errors_of_the_file);
    tcase_add_test(site, no_file);
    tcase_add_test(site, time_limits);
    tcase_add_test(site, a_folder_that_others_can_write_to_is_refused);
    tcase_add_test(growth, a_few_wait_and_no_more_than_can_be_used);
    tcase_add_test(growth, what_waits_is_counted_not_believed);
    tcase_add_test(growth, a_failing_submission_is_said_once_and_tried_for_good);
    tcase_add_test(growth, a_host_that_fails_at_once_is_left_out);
    tcase_add_test(growth, a_wrong_set_up_makes_pauses);
    tcase_add_test(growth, what_an_earlier_run_left);
    tcase_add_test(growth, what_nobody_wants_any_more_is_cancelled);
    tcase_add_test(growth, a_queue_that_only_tells_a_number);
    tcase_add_checked_fixture(slurm, enter, leave);
    tcase_add_test(slurm, the_script);
    tcase_add_test(slurm, workers_of_one_launcher);
    tcase_add_test(slurm, the_words);
    tcase_add_test(slurm, the_answer);
    tcase_add_test(slurm, programs_are_run);
    tcase_add_checked_fixture(thread, enter_batch, leave_batch);
    tcase_add_test(thread, slurm_is_asked_counted_and_cancelled);
    tcase_add_test(thread, a_refused_submission_is_told);
    tcase_add_test(thread, workers_that_end_at_once_are_told_with_their_last_words);
    tcase_add_test(thread, a_command_is_a_worker);
    tcase_add_test(thread, two_runs_on_a_cache_have_folders_of_their_own);
    suite_add_tcase(s, site);
    suite_add_tcase(s, growth);
    suite_add_tcase(s, slurm);
    suite_add_tcase(s, thread);
    return run_suite(s);
}
