/* run.c - the scheduler's loop: signals, ticks, logs, nodes that have ended. What the scheduler
 * does with them is in the files that runner.h names. */
#include "run/schedule/run.h"
#include "run/process/clock.h"
#include "run/process/folder.h"
#include "run/process/groups.h"
#include "run/process/signals.h"
#include "run/schedule/lines.h"
#include "run/schedule/runner.h"

#include <massflow/seconds.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

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
#define DEBOUNCE 0.3
/* Seconds between two lines about the same stage whose time is over. */
#define REMIND 60

typedef struct loop {
    mf_runner run;
    uv_loop_t uv;
    uv_async_t wake, places; /* places: have changed */
    uv_poll_t signals;       /* of the pipe that the handler writes to */
    uv_timer_t timer, sampler, looker;
    int samples;   /* since the journal was written */
    double beaten; /* seconds; the last heartbeat of the leases held */
    mf_run_active *active;
    size_t active_room;
    double interrupted; /* seconds; when the user asked for that; 0: not yet */
    pthread_t thread;
    mf_lines *lines;
    uint64_t shown;       /* the number of the last line that was taken */
    mf_job *ended;        /* finished ones whose lines are still on their way */
    pthread_mutex_t lock; /* of what follows */
    mf_job *finished;
} loop;

static void flush_journal(loop *l)
{
    l->samples = 0;
    mf_runner_flush(&l->run);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void on_look(uv_timer_t *handle);

/* Goes on, or ends the loop. What is found stored is written down before anybody collects it. */
static void go_on(loop *l)
{
    bool more;
    uv_handle_t *handles[] = {(uv_handle_t *)&l->wake, (uv_handle_t *)&l->places,
                              (uv_handle_t *)&l->timer, (uv_handle_t *)&l->sampler,
                              (uv_handle_t *)&l->looker};

    mf_store_pin(l->run.store);
    more = mf_runner_start(&l->run);
    flush_journal(l);
    mf_store_unpin(l->run.store);
    if (more || uv_is_closing(handles[0])) {
        if (mf_waits_any(&l->run.waits) && !uv_is_active((uv_handle_t *)&l->looker))
            uv_timer_start(&l->looker, on_look, LOOK, LOOK);
        return;
    }
    l->run.executor->watch_places(l->run.executor->self, NULL, NULL);
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++)
        uv_close(handles[i], NULL);
    if (l->run.options->signals) {
        mf_signals_listen(NULL);
        uv_close((uv_handle_t *)&l->signals, NULL);
    }
}

/* A part of the lines: signals, timers and the heartbeat of leases have their turn in between.
 * False where there may be more. */
static bool emit_lines(loop *l)
{
    double begun = mf_seconds();
    mf_line *line = NULL;

    for (int i = 0; i < LINES_A_TURN && mf_seconds() - begun < TURN; i++) {
        line = mf_lines_take(l->lines);
        if (!line)
            return true;
        l->shown = line->number;
        mf_runner_tell(&l->run,
                       (mf_run_event){.kind = MF_RUN_LOG, .node = line->node, .text = line->text});
        mf_runner_give_up(&l->run, mf_journal_line(l->run.journal, line->node, line->text));
        free(line);
    }
    return false;
}

static void hand_over(void *self, mf_job *j)
{
    loop *l = self;

    j->said = mf_lines_last(l->lines);
    pthread_mutex_lock(&l->lock);
    j->finished = l->finished;
    l->finished = j;
    pthread_mutex_unlock(&l->lock);
    uv_async_send(&l->wake);
}

/* Before the lines: then these were put after all that the jobs said. */
static void take_finished(loop *l)
{
    mf_job **end = &l->ended;

    while (*end)
        end = &(*end)->finished;
    pthread_mutex_lock(&l->lock);
    *end = l->finished;
    l->finished = NULL;
    pthread_mutex_unlock(&l->lock);
}

/* Takes the next job that is done and has been heard out. */
static mf_job *next_ended(loop *l, bool all_shown)
{
    for (mf_job **link = &l->ended; *link; link = &(*link)->finished) {
        mf_job *j = *link;
        if (!all_shown && j->said > l->shown)
            continue;
        *link = j->finished;
        return j;
    }
    return NULL;
}

static void interrupt(loop *l)
{
    l->run.result->interrupted = true;
    l->run.stopping = true;
    l->run.executor->cancel(l->run.executor->self);
    mf_runner_tell(&l->run, (mf_run_event){.kind = MF_RUN_STOPPING});
    go_on(l); /* where it only waits, that is all */
}

/* A program that embeds the engine may have cancelled the executor, from another thread. */
static void mind_cancelled(loop *l)
{
    const mf_executor *e = l->run.executor;

    if (!l->run.stopping && e->cancelled(e->self))
        interrupt(l);
}

static void on_wake(uv_async_t *handle)
{
    loop *l = handle->data;
    mf_job *j;

    mind_cancelled(l);
    take_finished(l);
    bool all_shown = emit_lines(l), any = false;
    if (!all_shown)
        uv_async_send(&l->wake);
    mf_store_pin(l->run.store);
    while ((j = next_ended(l, all_shown))) {
        mf_runner_end(&l->run, j);
        any = true;
    }
    if (any)
        go_on(l);
    mf_store_unpin(l->run.store);
}

/* In any thread. */
static void places_changed(void *self)
{
    loop *l = self;

    uv_async_send(&l->places);
}

static void on_places(uv_async_t *handle)
{
    loop *l = handle->data;

    l->run.places_changed = true;
    go_on(l);
}

static void on_look(uv_timer_t *handle)
{
    loop *l = handle->data;

    mf_store_pin(l->run.store);
    mf_runner_look(&l->run);
    if (!mf_waits_any(&l->run.waits))
        uv_timer_stop(&l->looker);
    go_on(l);
    mf_store_unpin(l->run.store);
}

/* The loop itself never waits for itself, and a stage that is to end not for anybody. */
static void on_log(void *self, const char *node, const char *text)
{
    loop *l = self;
    const mf_executor *e = l->run.executor;

    mf_lines_put(l->lines, node, text,
                 !pthread_equal(pthread_self(), l->thread) && !e->cancelled(e->self));
    uv_async_send(&l->wake);
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

/* SIGINT and SIGTERM stop the run, a second one ends it at once. SIGHUP, SIGUSR1 and SIGUSR2 stop
 * it too: systems send them as a warning. They send them as often as they like, and beside others:
 * they are never the first of two, nor the second. */
static void on_signal(loop *l, int number)
{
    bool again = l->run.result->interrupted;

    if (number == SIGINT || number == SIGTERM) {
        /* A shell's timeout signals a process and its group: that is one request, not two. */
        if (l->interrupted > 0 && mf_seconds() - l->interrupted < DEBOUNCE)
            return;
        if (l->interrupted > 0) {
            mf_runner_tell(&l->run, (mf_run_event){.kind = MF_RUN_STOP_NOW});
            return;
        }
        l->interrupted = mf_seconds();
    }
    if (!again)
        interrupt(l);
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
    loop *l = handle->data;
    mf_run_active *grown;
    size_t count = 0;

    if (l->run.running > l->active_room) {
        grown = realloc(l->active, 2 * l->run.running * sizeof *grown);
        l->active = grown ? grown : l->active;
        l->active_room = grown ? 2 * l->run.running : l->active_room;
    }
    for (size_t p = 0; p < l->run.spots.count; p++)
        for (const mf_job *j = l->run.spots.items[p].jobs; j && count < l->active_room;
             j = j->next) {
            if (j->leader)
                continue;
            mf_run_active *a = &l->active[count++];
            a->node = mf_plan_at(l->run.plan, j->index)->work.node;
            a->place = mf_job_place(j);
            a->seconds = mf_seconds() - j->start;
            l->run.executor->progress(j->execution, &a->state);
        }
    mf_runner_tell(&l->run,
                   (mf_run_event){.kind = MF_RUN_TICK, .active = l->active, .active_count = count});
}

/* A stage in a thread can't be ended: that its time is over is at least said, at once and every
 * minute. */
static void tell_overtime(loop *l, mf_job *j)
{
    const mf_plan_node *n = mf_plan_at(l->run.plan, j->index);
    double over = l->run.executor->overtime(j->execution), every = l->run.options->remind;
    const double timeout =
        mf_graph_stage_at(mf_plan_graph(l->run.plan), n->node->group)->limits.timeout;
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
    mf_runner_tell(&l->run, (mf_run_event){.kind = MF_RUN_OVERTIME,
                                           .node = n->work.node,
                                           .text = text,
                                           .seconds = timeout + over});
    mf_runner_give_up(&l->run, mf_journal_line(l->run.journal, n->work.node, text));
}

static void on_sample(uv_timer_t *handle)
{
    loop *l = handle->data;

    mf_run_clock(); /* so that it goes on */
    mf_signals_hold();
    mf_runner_sample(&l->run);
    for (mf_job *j = l->run.spots.items[0].jobs; j; j = j->next)
        tell_overtime(l, j);
    mf_runner_tell_idle(&l->run);
    mf_runner_take_back(&l->run);
    if (++l->samples >= SAMPLES_A_FLUSH)
        flush_journal(l);
    if (l->run.running && mf_seconds() - l->beaten >= MF_LEASE_BEAT) {
        mf_runner_give_up(&l->run, mf_store_lease_beat(l->run.store));
        l->beaten = mf_seconds();
    }
    mind_cancelled(l);
}

static void open_loop(loop *l)
{
    uv_loop_init(&l->uv);
    uv_async_init(&l->uv, &l->wake, on_wake);
    uv_async_init(&l->uv, &l->places, on_places);
    uv_timer_init(&l->uv, &l->timer);
    uv_timer_init(&l->uv, &l->sampler);
    uv_timer_init(&l->uv, &l->looker);
    l->sampler.data = l->looker.data = l;
    l->wake.data = l->places.data = l->timer.data = l->signals.data = l;
    if (l->run.options->signals) {
        uv_poll_init(&l->uv, &l->signals, pipe_of_signals[0]);
        uv_poll_start(&l->signals, UV_READABLE, on_signals);
        mf_signals_listen(on_stop_signal);
        mf_groups_watch();
    }
    uv_timer_start(&l->sampler, on_sample, SAMPLE, SAMPLE);
    if (l->run.options->tick > 0)
        uv_timer_start(&l->timer, on_tick, (uint64_t)l->run.options->tick,
                       (uint64_t)l->run.options->tick);
}

static void run_loop(loop *l)
{
    const mf_executor *e = l->run.executor;

    mf_folders_sweep();
    open_loop(l);
    e->set_log(e->self, on_log, l);
    e->watch_places(e->self, places_changed, l);
    l->run.places_changed = true; /* since the run was opened */
    go_on(l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    uv_loop_close(&l->uv);
    e->set_log(e->self, NULL, NULL);
    while (!emit_lines(l)) /* nobody says more */
        ;
}

static mf_status run_recorded(loop *l)
{
    if (l->run.options->signals)
        MF_TRY(open_pipe());
    MF_TRY(mf_runner_open(&l->run));
    if (!l->lines)
        return mf_no_memory(0, "a run");
    mf_runner_begin(&l->run);
    run_loop(l);
    mf_runner_close(&l->run);
    return MF_OK;
}

mf_status mf_run(mf_plan *plan, const mf_executor *executor, const mf_run_options *options,
                 mf_run_result *result)
{
    loop l = {.run = {.plan = plan,
                      .store = mf_plan_store(plan),
                      .executor = executor,
                      .options = options,
                      .result = result,
                      .clock = mf_seconds,
                      .hand_over = hand_over,
                      .self = &l},
              .thread = pthread_self(),
              .lines = mf_lines_new()};

    memset(result, 0, sizeof *result);
    pthread_mutex_init(&l.lock, NULL);
    mf_runner_give_up(&l.run, run_recorded(&l));
    pthread_mutex_destroy(&l.lock);
    free(l.active);
    mf_lines_free(l.lines);
    return mf_runner_free(&l.run);
}
