/* run.c - the scheduler's loop: signals, ticks, logs, workers that are done. What starts when is in
 * start.c, one running node in job.c, what becomes of nodes in outcome.c. */
#include "run/run.h"
#include "run/clock.h"
#include "run/folder.h"
#include "run/groups.h"
#include "run/runner.h"
#include "run/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Milliseconds between looks at the memory that is used, and how many looks between writes of the
 * journal, so that a killed run still says what ran. */
#define SAMPLE 100
#define SAMPLES_A_FLUSH 10
/* Milliseconds between looks at what other processes are running for us. */
#define LOOK 200
/* Lines and seconds of showing them before anything else has its turn. */
#define LINES_A_TURN 256
#define TURN 0.02
/* Seconds within which two signals count as one. */
#define ONE_WISH 0.3
/* Seconds between two lines about the same stage whose time is over. */
#define REMIND 60

double mf_runner_now(void)
{
    return (double)uv_hrtime() * 1e-9;
}

/* As the plan has them now. */
static void count(mf_runner *r)
{
    r->result->counts = (mf_run_counts){.imported = r->result->counts.imported,
                                        .wanted = mf_plan_wanted(r->plan),
                                        .done = mf_plan_tally(r->plan, MF_PLAN_DONE),
                                        .cached = mf_plan_tally(r->plan, MF_PLAN_CACHED),
                                        .failed = mf_plan_tally(r->plan, MF_PLAN_FAILED),
                                        .blocked = mf_plan_tally(r->plan, MF_PLAN_BLOCKED),
                                        .cancelled = mf_plan_tally(r->plan, MF_PLAN_CANCELLED)};
}

static void count_imported(mf_runner *r)
{
    r->result->counts.imported = 0;
    for (size_t i = 0; i < mf_plan_count(r->plan); i++) {
        const mf_plan_node *n = mf_plan_at(r->plan, i);
        r->result->counts.imported += n->state == MF_PLAN_CACHED && n->imported;
    }
}

void mf_runner_tell(mf_runner *r, mf_run_event event)
{
    count(r);
    event.counts = &r->result->counts;
    if (r->options->watch)
        r->options->watch(r->options->self, &event);
}

/* Keeps the first error of the run itself and stops it. */
void mf_runner_give_up(mf_runner *r, mf_status status)
{
    if (!status)
        return;
    if (r->failure)
        mf_error_free(status);
    else
        r->failure = status;
    r->stopping = true;
    mf_host_cancel(r->host);
}

/* `j` is the job that ran or runs; NULL for a node that did not start. */
void mf_runner_record(mf_runner *r, size_t i, mf_outcome outcome, const mf_job *j)
{
    const mf_plan_node *n = mf_plan_at(r->plan, i);
    mf_run_node entry = {.node = n->node->name,
                         .outcome = outcome,
                         .message = n->message,
                         .key = *n->key ? n->key : NULL};

    if (j) {
        entry.started = j->started;
        entry.seconds = j->seconds;
        entry.device = mf_job_device(j);
        entry.peak_bytes = j->spent.peak_bytes ? j->spent.peak_bytes : j->peak;
        entry.own_process = j->spent.peak_bytes != 0;
    }
    mf_runner_give_up(r, mf_journal_node(r->journal, &entry));
}

static void flush_journal(mf_runner *r)
{
    r->samples = 0;
    if (!r->failure)
        mf_runner_give_up(r, mf_journal_flush(r->journal));
}

/* The process holds this much now: what runs is remembered with the most of it. */
void mf_runner_sample(mf_runner *r)
{
    size_t bytes = 0;

    if (uv_resident_set_memory(&bytes) != 0)
        return;
    for (mf_job *j = r->running; j; j = j->next) {
        if ((int64_t)bytes > j->peak)
            j->peak = (int64_t)bytes;
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void on_look(uv_timer_t *handle);

/* Goes on, or ends the loop. What is found stored is written down before anybody collects it. */
static void go_on(mf_runner *r)
{
    bool more;
    uv_handle_t *handles[] = {(uv_handle_t *)&r->wake, (uv_handle_t *)&r->timer,
                              (uv_handle_t *)&r->sampler, (uv_handle_t *)&r->looker};

    mf_store_pin(r->store);
    more = mf_runner_start(r);
    flush_journal(r);
    mf_store_unpin(r->store);
    if (more || uv_is_closing(handles[0])) {
        if (mf_waits_any(&r->waits) && !uv_is_active((uv_handle_t *)&r->looker))
            uv_timer_start(&r->looker, on_look, LOOK, LOOK);
        return;
    }
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++)
        uv_close(handles[i], NULL);
    if (r->options->signals) {
        mf_signals_listen(NULL);
        uv_close((uv_handle_t *)&r->signals, NULL);
    }
}

/* A part of the lines: signals, timers and the heartbeat of leases have their turn in between.
 * False where there may be more. */
static bool emit_lines(mf_runner *r)
{
    double begun = mf_runner_now();
    mf_line *line = NULL;

    for (int i = 0; i < LINES_A_TURN && mf_runner_now() - begun < TURN; i++) {
        line = mf_lines_take(r->lines);
        if (!line)
            return true;
        r->shown = line->number;
        mf_runner_tell(r,
                       (mf_run_event){.kind = MF_RUN_LOG, .node = line->node, .text = line->text});
        mf_runner_give_up(r, mf_journal_line(r->journal, line->node, line->text));
        free(line);
    }
    return false;
}

/* Before the lines: then these were put after all that the jobs said. */
static void take_finished(mf_runner *r)
{
    mf_job **end = &r->ended;

    while (*end)
        end = &(*end)->finished;
    pthread_mutex_lock(&r->lock);
    *end = r->finished;
    r->finished = NULL;
    pthread_mutex_unlock(&r->lock);
}

/* Takes the next job that is done and has been heard out. */
static mf_job *next_ended(mf_runner *r, bool all_shown)
{
    for (mf_job **link = &r->ended; *link; link = &(*link)->finished) {
        mf_job *j = *link;
        if (!all_shown && j->said > r->shown)
            continue;
        *link = j->finished;
        return j;
    }
    return NULL;
}

static void on_wake(uv_async_t *handle)
{
    mf_runner *r = handle->data;
    mf_job *j;

    take_finished(r);
    bool all_shown = emit_lines(r), any = false;
    if (!all_shown)
        uv_async_send(&r->wake);
    mf_store_pin(r->store);
    while ((j = next_ended(r, all_shown))) {
        mf_runner_end(r, j);
        any = true;
    }
    if (any)
        go_on(r);
    mf_store_unpin(r->store);
}

static void on_look(uv_timer_t *handle)
{
    mf_runner *r = handle->data;

    mf_store_pin(r->store);
    mf_runner_look(r);
    if (!mf_waits_any(&r->waits))
        uv_timer_stop(&r->looker);
    go_on(r);
    mf_store_unpin(r->store);
}

/* The loop itself never waits for itself, and a stage that is to end not for anybody. */
static void on_log(void *self, const char *node, const char *text)
{
    mf_runner *r = self;

    mf_lines_put(r->lines, node, text,
                 !pthread_equal(pthread_self(), r->thread) && !mf_host_cancelled(r->host));
    uv_async_send(&r->wake);
}

/* ---- signals -----------------------------------------------------------------------------------
 * libuv's own handlers would not hold against those of drivers (signals.h). This one may still run
 * in another thread when the loop has ended: its pipe stays. */

static int pipe_of_signals[2] = {-1, -1};

static bool on_stop_signal(int number)
{
    unsigned char byte = (unsigned char)number;

    /* One that is full holds more than anybody has to say. */
    return write(pipe_of_signals[1], &byte, 1) == 1 || errno == EAGAIN;
}

static mf_status open_pipe(void)
{
    if (pipe_of_signals[0] < 0 && pipe2(pipe_of_signals, O_CLOEXEC | O_NONBLOCK) != 0)
        return mf_fail(MF_IO, "no pipe for signals: %s", strerror(errno));
    return MF_OK;
}

/* SIGINT and SIGTERM stop the run, a second one ends it at once. SIGHUP, SIGUSR1 and SIGUSR2 stop it
 * too: systems send them as a warning. They send them as often as they like, and beside others: they
 * are never the first of two, nor the second. */
static void on_signal(mf_runner *r, int number)
{
    bool again = r->result->interrupted;

    if (number == SIGINT || number == SIGTERM) {
        /* A shell's timeout signals a process and its group: that is one wish, not two. */
        if (r->interrupted > 0 && mf_runner_now() - r->interrupted < ONE_WISH)
            return;
        if (r->interrupted > 0) {
            mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_STOP_NOW});
            return;
        }
        r->interrupted = mf_runner_now();
    }
    if (again)
        return;
    r->result->interrupted = true;
    r->stopping = true;
    mf_host_cancel(r->host);
    mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_STOPPING});
    go_on(r); /* where it only waits, that is all */
}

static void on_signals(uv_poll_t *handle, int status, int events)
{
    unsigned char byte;

    (void)status;
    (void)events;
    while (read(pipe_of_signals[0], &byte, 1) == 1)
        on_signal(handle->data, byte);
}

static void on_tick(uv_timer_t *handle)
{
    mf_runner *r = handle->data;
    size_t count = 0;

    for (const mf_job *j = r->running; j && count < (size_t)r->slots; j = j->next) {
        mf_run_active *a = &r->active[count++];
        a->node = mf_plan_at(r->plan, j->index)->work.node;
        a->seconds = (double)(uv_hrtime() - j->start) * 1e-9;
        mf_task_progress(j->task, &a->state);
    }
    mf_runner_tell(r,
                   (mf_run_event){.kind = MF_RUN_TICK, .active = r->active, .active_count = count});
}

/* A stage in a thread can't be ended: that its time is over is at least said, at once and every
 * minute. */
static void tell_overtime(mf_runner *r, mf_job *j)
{
    const mf_plan_node *n = mf_plan_at(r->plan, j->index);
    double over = mf_task_overtime(j->task), every = r->options->remind;
    const double timeout =
        mf_graph_stage_at(mf_plan_graph(r->plan), n->node->group)->limits.timeout;
    char text[320], by[32] = "";

    if (over < 0) {
        j->told = 0; /* also for a further try */
        return;
    }
    if (over < j->told * (every > 0 ? every : REMIND))
        return;
    j->told++;
    if (over >= 1)
        snprintf(by, sizeof by, ", by %.0f s", over);
    snprintf(text, sizeof text,
             "has run longer than its timeout of %g s%s; it runs in a thread, which can't be "
             "killed, and ends at its next safe point; with isolate: true beside the timeout it is "
             "killed",
             timeout, by);
    mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_OVERTIME,
                                     .node = n->work.node,
                                     .text = text,
                                     .seconds = timeout + over});
    mf_runner_give_up(r, mf_journal_line(r->journal, n->work.node, text));
}

static void on_sample(uv_timer_t *handle)
{
    mf_runner *r = handle->data;

    mf_run_clock(); /* so that it goes on */
    mf_signals_hold();
    mf_runner_sample(r);
    for (mf_job *j = r->running; j; j = j->next)
        tell_overtime(r, j);
    if (++r->samples >= SAMPLES_A_FLUSH)
        flush_journal(r);
    if (r->running && mf_runner_now() - r->beaten >= MF_LEASE_BEAT) {
        mf_runner_give_up(r, mf_store_lease_beat(r->store));
        r->beaten = mf_runner_now();
    }
}

static void open_loop(mf_runner *r)
{
    uv_loop_init(&r->loop);
    uv_async_init(&r->loop, &r->wake, on_wake);
    uv_timer_init(&r->loop, &r->timer);
    uv_timer_init(&r->loop, &r->sampler);
    uv_timer_init(&r->loop, &r->looker);
    r->sampler.data = r->looker.data = r;
    r->wake.data = r->timer.data = r->signals.data = r;
    if (r->options->signals) {
        uv_poll_init(&r->loop, &r->signals, pipe_of_signals[0]);
        uv_poll_start(&r->signals, UV_READABLE, on_signals);
        mf_signals_listen(on_stop_signal);
        mf_groups_watch();
    }
    uv_timer_start(&r->sampler, on_sample, SAMPLE, SAMPLE);
    if (r->options->tick > 0)
        uv_timer_start(&r->timer, on_tick, (uint64_t)r->options->tick, (uint64_t)r->options->tick);
}

/* What the plan knows already, told and recorded. */
static void begin(mf_runner *r)
{
    mf_plan_watch(r->plan, mf_runner_on_change, r);
    for (size_t i = 0; i < mf_plan_count(r->plan); i++) {
        if (mf_plan_at(r->plan, i)->state == MF_PLAN_CACHED)
            mf_runner_record(r, i, MF_NODE_CACHED, NULL);
    }
    count_imported(r);
    if (mf_plan_tally(r->plan, MF_PLAN_TO_RUN))
        mf_runner_give_up(r, mf_plan_expect(r->plan));
    mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_PLANNED});
    for (size_t i = 0; i < mf_plan_count(r->plan); i++) {
        mf_plan_state state = mf_plan_at(r->plan, i)->state;
        if (state == MF_PLAN_FAILED || state == MF_PLAN_BLOCKED)
            mf_runner_on_change(r, i);
        else
            mf_runner_tell_skipped(r, mf_plan_at(r->plan, i));
    }
    flush_journal(r);
}

static void run_loop(mf_runner *r)
{
    mf_folders_sweep();
    open_loop(r);
    mf_host_set_log(r->host, on_log, r);
    go_on(r);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    uv_loop_close(&r->loop);
    mf_host_set_log(r->host, NULL, NULL);
    while (!emit_lines(r)) /* nobody says more */
        ;
    mf_job_free(r->pending[false]);
    mf_job_free(r->pending[true]);
    mf_runner_end_waits(r);
    if (!r->stopping)
        mf_runner_give_up(r, mf_plan_left(r->plan));
    mf_plan_watch(r->plan, NULL, NULL);
    count_imported(r);
    count(r);
}

static void size_up(mf_runner *r)
{
    uv_cpu_info_t *cpus;
    int count = 0;

    r->slots = r->options->jobs;
    if (r->slots < 1) {
        if (uv_cpu_info(&cpus, &count) == 0)
            uv_free_cpu_info(cpus, count);
        r->slots = count > 0 ? count : 1;
    }
    r->bytes = r->options->host_bytes;
    if (!r->bytes) {
        uint64_t available = uv_get_free_memory(), limit = uv_get_constrained_memory();
        if (limit && limit < available)
            available = limit;
        r->bytes = (size_t)((double)available * 0.8);
    }
}

static mf_status run_recorded(mf_runner *r, const char *graph)
{
    mf_run_result *result = r->result;
    const char *status = "done";
    const mf_run_options *o = r->options;
    mf_run_start start = {graph, o->command ? o->command : "", o->version ? o->version : "",
                          r->slots};

    if (o->signals)
        MF_TRY(open_pipe());
    MF_TRY(mf_journal_open(r->store, &start, &r->journal));
    result->run = mf_journal_run(r->journal);
    begin(r);
    run_loop(r);
    if (result->interrupted)
        status = "interrupted";
    else if (r->failure || result->counts.failed || result->counts.blocked)
        status = "failed";
    if (!r->failure)
        mf_runner_give_up(r, mf_journal_end(r->journal, status));
    return r->failure;
}

mf_status mf_run(mf_plan *plan, mf_host *host, const mf_run_options *options, mf_run_result *result)
{
    mf_runner r = {.plan = plan,
                   .host = host,
                   .store = mf_plan_store(plan),
                   .options = options,
                   .result = result};
    char *graph = realpath(mf_graph_path(mf_plan_graph(plan)), NULL);
    mf_status status;

    memset(result, 0, sizeof *result);
    size_up(&r);
    r.thread = pthread_self();
    r.lines = mf_lines_new();
    r.active = calloc((size_t)r.slots, sizeof *r.active);
    pthread_mutex_init(&r.lock, NULL);
    if (r.active && r.lines && graph)
        status = run_recorded(&r, graph);
    else
        status = mf_fail(MF_NO_MEMORY, "no memory for a run");
    pthread_mutex_destroy(&r.lock);
    free(graph);
    free(r.device_busy);
    free(r.active);
    mf_lines_free(r.lines);
    mf_journal_free(r.journal);
    return status;
}
