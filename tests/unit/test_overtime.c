/* test_overtime.c - a stage in a thread whose time is over: said at once, and again and again; and
 * the clock that time is measured by. */
#include "../run_suite.h"
#include "graph_fixture.h"
#include "run/process/clock.h"
#include "run/schedule/run.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

/* ---- a stage that goes on until it has been told of often enough -------------------------------
 */

static atomic_int told;

static mf_status run(mf_task *t, const void *params, void *session)
{
    mf_artifact *a;

    (void)params, (void)session;
    while (atomic_load(&told) < 3)
        usleep(1000);
    MF_TRY(mf_artifact_new("text", &a));
    mf_status status = mf_artifact_set_text(a, "text", "done");
    if (!status)
        return mf_out(t, "text", a);
    mf_artifact_unref(a);
    return status;
}

static const mf_port text_out[] = {MF_PORT("text", "text", "That it is done."), MF_END};
static const mf_param no_params[] = {MF_END};
static MF_STAGE(stage, "slow.one", 1, "Takes its time.", .params = no_params, .out = text_out,
                .run = run);
static const mf_stage *const stages[] = {&stage, NULL};
static const mf_plugin plugin = {MF_ABI_MAJOR,     MF_ABI_MINOR,    sizeof(mf_stage),
                                 sizeof(mf_param), sizeof(mf_port), sizeof(mf_type),
                                 "slow",           stages,          NULL};

typedef struct heard {
    int overtime;
    char first[400], text[400];
    double seconds;
} heard;

static void watch(void *self, const mf_run_event *event)
{
    heard *h = self;

    if (event->kind != MF_RUN_OVERTIME)
        return;
    ck_assert_str_eq(event->node, "slow");
    ck_assert(event->seconds > h->seconds || !h->overtime);
    h->seconds = event->seconds;
    snprintf(h->overtime ? h->text : h->first, sizeof h->text, "%s", event->text);
    atomic_store(&told, ++h->overtime);
}

START_TEST(it_is_said_at_once_and_again)
{
    const bool wanted[] = {true};
    const mf_plan_options how = {.threads = 1};
    heard h = {0};
    const mf_run_options options = {.jobs = 1, .remind = 0.2, .watch = watch, .self = &h};
    mf_run_result result;
    mf_diagnostics *d;
    mf_graph *graph;
    mf_store *store;
    mf_plan *plan;
    mf_executor executor;
    mf_host *host;

    ok(mf_registry_add(toys, &plugin, "slow.so"));
    write_file("g.yaml", "massflow: 1\nstages:\n  slow: {use: slow.one, timeout: 0.1}\n");
    ok(mf_diagnostics_new(&d));
    ok(mf_graph_load("g.yaml", toys, NULL, 0, d, &graph));
    ok(mf_store_open(".massflow", MF_STORE_WRITE, &store));
    ok(mf_plan_new(graph, store, wanted, &how, &plan));
    ok(mf_host_new(store, toys, NULL, &host));
    executor = mf_host_executor(host);
    ok(mf_run(plan, &executor, &options, &result));
    ck_assert_int_eq(result.counts.done, 1);
    ck_assert_int_ge(h.overtime, 3);
    ck_assert_str_eq(
        h.first, "has run longer than its timeout of 0.1 s; it runs in a thread, which can't be "
                 "killed, and ends at its next safe point; with isolate: true beside the timeout "
                 "it is killed");
    mf_host_free(host);
    mf_plan_free(plan);
    mf_store_close(store);
    mf_graph_free(graph);
    mf_diagnostics_free(d);
}
END_TEST

/* ---- the clock ---------------------------------------------------------------------------------
 */

static void sleep_for(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

    while (nanosleep(&t, &t) != 0)
        ;
}

/* That time passes is what is tested: a process stopped for 1.5 s has run for half a second more at
 * most, one that reads its clock for all of it. */
START_TEST(the_clock_stands_still_while_stopped)
{
    int how;
    double start = mf_run_clock();
    for (int i = 0; i < 10; i++) {
        sleep_for(0.03);
        mf_run_clock();
    }
    ck_assert_double_ge(mf_run_clock() - start, 0.3);

    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        start = mf_run_clock();
        raise(SIGSTOP);
        _exit(mf_run_clock() - start > 0.6);
    }
    ck_assert_int_eq(waitpid(pid, &how, WUNTRACED), pid);
    ck_assert(WIFSTOPPED(how));
    sleep_for(1.5);
    kill(pid, SIGCONT);
    ck_assert_int_eq(waitpid(pid, &how, 0), pid);
    ck_assert(WIFEXITED(how));
    ck_assert_int_eq(WEXITSTATUS(how), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("overtime");
    TCase *cases = tcase_create("overtime");

    tcase_add_checked_fixture(cases, enter_scratch, leave_scratch);
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, it_is_said_at_once_and_again);
    tcase_add_test(cases, the_clock_stands_still_while_stopped);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
