/* pilot.c - the worker's side of a run over TCP. See pilot.h and frames.h.
 *
 * The thread that called mf_pilot_serve hears the run and hands what it hears to the nodes; it
 * sends nothing, so that it never waits for the other end. */
#include "run/remote/pilot.h"
#include "run/process/clock.h"
#include "run/process/signals.h"
#include "run/remote/pilot_private.h"
#include "run/worker/heard.h"

#include <massflow/seconds.h>

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TICK 100 /* ms */
/* Seconds before the end of its time from which on it runs nothing: states are saved meanwhile. */
#define LAST_SECONDS 120.0
#define LAST_PART 0.2 /* of a short time */
/* Seconds that it waits for the run's goodbye. */
#define LEAVE_SECONDS 10.0
/* Seconds after it has joined again in which a run may take over what ran for the last one. */
#define CLAIM_SECONDS 60.0

void mf__pilot_say(const mf_pilot *p, const char *format, ...)
{
    char line[512];
    va_list args;

    if (!p->options->tell)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    p->options->tell(p->options->self, line);
}

mf_status mf__pilot_keep(mf_pilot *p, const uint8_t digest[MF_DIGEST_BYTES], const mf_chunk *chunk,
                         bool pin)
{
    mf_status status = mf_chunk_cache_put(p->chunk_cache, digest, chunk, pin);

    if (status && mf_error_code(status) == MF_IO) {
        pthread_mutex_lock(&p->lock);
        p->full = true;
        pthread_mutex_unlock(&p->lock);
    }
    return status;
}

/* ---- hearing --------------------------------------------------------------------------------- */

static mf_status pass_on(mf_pilot *p, mf_frame *f)
{
    mf_pilot_frame *h = malloc(sizeof *h);
    mf_pilot_job *j;

    if (!h)
        return mf_no_memory(0, "a message");
    *h = (mf_pilot_frame){.frame = *f};
    pthread_mutex_lock(&p->lock);
    for (j = p->jobs; j && j->channel != f->channel; j = j->next)
        ;
    if (j && f->channel) {
        f->body = (mf_packet){0};
        *j->last = h;
        j->last = &h->next;
        pthread_cond_broadcast(&j->arrived); /* a line may wait there, too */
        h = NULL;
    }
    pthread_mutex_unlock(&p->lock);
    free(h);
    return MF_OK;
}

/* All, or one node. */
static void cancel(mf_pilot *p, uint32_t channel)
{
    if (!channel) {
        mf_host_cancel(p->host);
        mf__pilot_wake(p);
        return;
    }
    pthread_mutex_lock(&p->lock);
    mf__pilot_hand_back_channel(p, channel);
    for (mf_pilot_job *j = p->jobs; j; j = j->next)
        if (j->channel == channel)
            mf__pilot_drop(j);
    pthread_mutex_unlock(&p->lock);
}

static mf_status take_frame(mf_pilot *p, mf_frame *f)
{
    switch (f->kind) {
    case MF_LINK_START:
        return mf__pilot_start(p, f);
    case MF_LINK_CANCEL:
        cancel(p, f->channel);
        return MF_OK;
    case MF_LINK_TAKEN:
        mf__pilot_lines_taken(p, f->channel, mf_packet_get_int(&f->body));
        return mf_packet_check(&f->body);
    case MF_LINK_ABORT:
        mf__pilot_abort(p, f->channel);
        return MF_OK;
    case MF_LINK_BACK:
        return f->channel ? mf__pilot_damaged() : mf__pilot_hand_back(p, &f->body);
    case MF_LINK_BYE:
        p->over = true;
        return MF_OK;
    case MF_LINK_REPLY:
    case MF_LINK_PIECE:
    case MF_LINK_BYTES:
        return pass_on(p, f);
    default:
        return mf__pilot_damaged();
    }
}

static mf_status hear_all(mf_pilot *p)
{
    bool end = false;
    mf_status status = MF_OK;

    while (!status && !end && !p->over) {
        mf_frame f;
        status = mf_link_receive(p->link, &f, &end);
        if (!status && !end)
            status = take_frame(p, &f);
        mf_packet_clear(&f.body);
    }
    return status;
}

/* ---- the second thread ----------------------------------------------------------------------- */

static void tell_progress(mf_pilot *p)
{
    pthread_mutex_lock(&p->lock);
    for (mf_pilot_job *j = p->jobs; j; j = j->next) {
        mf_packet q = {0};
        if (p->link && !j->gone && j->task && mf_heard_put_progress(&q, j->task, &j->shown))
            mf_error_free(mf_link_send(p->link, MF_LINK_PROGRESS, j->channel, &q));
        mf_packet_clear(&q);
    }
    pthread_mutex_unlock(&p->lock);
}

/* No new nodes; those that run save their states and go back. */
static void leave(mf_pilot *p, mf_link *link, const char *why)
{
    mf_packet q = {0};

    atomic_store(&p->leaving, true);
    pthread_mutex_lock(&p->lock);
    mf__pilot_hand_back_channel(p, 0);
    p->busy = mf_seconds(); /* from now on it waits for a goodbye */
    pthread_mutex_unlock(&p->lock);
    if (!link)
        return;
    mf_packet_text(&q, why);
    mf_error_free(mf_link_send(link, MF_LINK_LEAVING, 0, &q));
}

/* Nodes that a run has here. Others, that it has not asked for in its time, are given up. Under the
 * lock. */
static size_t count_nodes(mf_pilot *p, double now)
{
    size_t count = p->waiting ? 1 : 0;

    for (mf_pilot_job *j = p->jobs; j; j = j->next) {
        count += !j->gone;
        if (j->gone && !j->dropped && p->link && now - p->since > CLAIM_SECONDS)
            mf__pilot_drop(j);
    }
    return count;
}

static void look(mf_pilot *p, mf_link *link)
{
    double now = mf_seconds();
    bool left = p->leaving;

    pthread_mutex_lock(&p->lock);
    bool idle = !count_nodes(p, now), full = p->full;
    double since = now - p->busy;
    pthread_mutex_unlock(&p->lock);
    if (!p->leaving && mf_host_signal(p->host)) {
        leave(p, link, "it was asked to end");
    } else if (!p->leaving && full) {
        mf__pilot_say(p, "the cache '%s' can't be written", mf_chunk_cache_dir(p->chunk_cache));
        leave(p, link, "its cache can't be written");
    } else if (!p->leaving && isfinite(p->ends) && now >= p->ends - p->last) {
        leave(p, link, "its time is over");
        mf_host_interrupt(p->host, SIGTERM);
    } else if (!p->leaving && link && idle && p->options->idle > 0 && since >= p->options->idle) {
        leave(p, link, "it has been idle");
    }
    /* The run says goodbye once it has no node here; a node may still be on its way. */
    if (link && left && idle && since > LEAVE_SECONDS)
        mf_link_cut(link);
}

/* What waits when all is cancelled begins no more. */
static void give_up_waiting(mf_pilot *p)
{
    if (!mf_host_cancelled(p->host) && !atomic_load(&p->leaving))
        return;
    pthread_mutex_lock(&p->lock);
    mf__pilot_hand_back_channel(p, 0);
    pthread_mutex_unlock(&p->lock);
}

static void *tick(void *self)
{
    mf_pilot *p = self;

    for (;;) {
        pthread_mutex_lock(&p->lock);
        bool on = p->ticking;
        pthread_mutex_unlock(&p->lock);
        if (!on)
            return NULL;
        struct pollfd end = {.fd = p->wake, .events = POLLIN};
        uint64_t woken;
        if (poll(&end, 1, TICK) > 0 && read(p->wake, &woken, sizeof woken) < 0)
            continue;
        mf_run_clock();
        mf_signals_hold();
        pthread_mutex_lock(&p->lock);
        mf_link *link = p->link;
        p->sending += link != NULL;
        pthread_mutex_unlock(&p->lock);
        tell_progress(p);
        mf__pilot_beat_ranks(p);
        look(p, link);
        give_up_waiting(p);
        mf__pilot_tell_handed_back(p, link);
        if (!link)
            continue;
        mf_link_beat(link);
        mf__pilot_give_back(p);
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

/* Takes the link away from the nodes, which go on. */
static void end_link(mf_pilot *p)
{
    mf_link *link = p->link;

    mf_link_cut(link);
    pthread_mutex_lock(&p->lock);
    for (mf_pilot_job *j = p->jobs; j; j = j->next) {
        j->gone = true;
        j->channel = 0;
        pthread_cond_broadcast(&j->arrived);
        if (j->rank.ranks > 1) /* the others are told to end: no run can take it over */
            mf__pilot_drop(j);
    }
    p->link = NULL;
    mf__pilot_hand_back_channel(p, 0); /* the run knows that it has lost them */
    while (p->sending)
        pthread_cond_wait(&p->calm, &p->lock);
    pthread_mutex_unlock(&p->lock);
    mf__pilot_tell_handed_back(p, NULL);
    mf_link_free(link);
}

/* Those that wait for a run look at the host only now and then. */
static void cancel_jobs(mf_pilot *p)
{
    mf_host_cancel(p->host);
    pthread_mutex_lock(&p->lock);
    for (mf_pilot_job *j = p->jobs; j; j = j->next)
        pthread_cond_broadcast(&j->arrived);
    pthread_mutex_unlock(&p->lock);
}

static void wait_for_jobs(mf_pilot *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->running)
        pthread_cond_wait(&p->calm, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

/* One connection, from its beginning to its end. *on: it was lost, and what runs goes on. */
static mf_status serve_link(mf_pilot *p, bool *on)
{
    mf_status status = hear_all(p);

    *on = !p->over && !p->leaving && !mf_host_cancelled(p->host);
    end_link(p);
    if (p->over || p->leaving) {
        mf_error_free(status);
        return MF_OK;
    }
    return status ? status : mf_fail(MF_IO, "%s closed the connection", p->options->where);
}

/* Connections, one after the other; *lost: as mf_pilot_serve says. */
static mf_status serve_links(mf_pilot *p, bool *lost)
{
    bool on = true;
    mf_status status = mf__pilot_join(p);

    while (!status) {
        mf__pilot_say(p, "joined %s; cache %s", p->options->where,
                      mf_chunk_cache_dir(p->chunk_cache));
        status = serve_link(p, &on);
        *lost = status && !on && !mf_host_signal(p->host);
        if (!status || !on)
            break;
        mf__pilot_say(p, "%s: joining again", mf_error_message(status));
        mf_error_free(status);
        status = mf__pilot_join(p);
        if (status && mf_error_code(status) == MF_IO) {
            /* Nobody is there any more: the run has ended without a word. */
            mf_error_free(status);
            status = mf_fail(MF_IO, "%s was lost and did not come back in %.0f s",
                             p->options->where, p->options->retry);
        }
    }
    return status;
}

static void stop_ticking(mf_pilot *p, pthread_t ticker)
{
    pthread_mutex_lock(&p->lock);
    p->ticking = false;
    pthread_mutex_unlock(&p->lock);
    mf__pilot_wake(p);
    pthread_join(ticker, NULL);
}

static mf_status serve(mf_pilot *p, bool *lost)
{
    pthread_t ticker;
    mf_status status;

    MF_TRY(mf_chunk_cache_open(p->options->cache, p->options->cache_bytes, &p->chunk_cache));
    MF_TRY(mf_file_cache_open(p->chunk_cache, &p->file_cache));
    MF_TRY(mf__pilot_fill_hello(p));
    mf_host_set_log(p->host, mf__pilot_line, p);
    p->ticking = true;
    if (pthread_create(&ticker, NULL, tick, p) != 0)
        return mf_fail(MF_NO_MEMORY, "no thread for a worker");
    status = serve_links(p, lost);
    cancel_jobs(p); /* what still runs runs for nobody */
    wait_for_jobs(p);
    stop_ticking(p, ticker);
    mf_host_set_log(p->host, NULL, NULL);
    for (size_t i = 0; i < MF_PILOT_MADE; i++)
        mf__pilot_clear_result(p, &p->made[i]);
    return status;
}

mf_status mf_pilot_serve(mf_host *host, const mf_pilot_options *options, bool *lost)
{
    mf_pilot p = {.options = options,
                  .host = host,
                  .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                  .last = fmin(LAST_SECONDS, options->ends * LAST_PART),
                  .ends = isfinite(options->ends) ? mf_seconds() + options->ends : INFINITY};
    mf_status status;

    *lost = false;
    pthread_mutex_init(&p.lock, NULL);
    pthread_mutex_init(&p.device_lock, NULL);
    pthread_cond_init(&p.calm, NULL);
    status = p.wake >= 0 ? serve(&p, lost)
                         : mf_fail(MF_IO, "no worker can be started: %s", strerror(errno));
    if (p.wake >= 0)
        close(p.wake);
    mf_hello_clear(&p.hello);
    free(p.spool);
    mf__pilot_forget_files(&p);
    mf_file_cache_close(p.file_cache);
    mf_chunk_cache_close(p.chunk_cache);
    pthread_mutex_destroy(&p.lock);
    pthread_mutex_destroy(&p.device_lock);
    pthread_cond_destroy(&p.calm);
    return status;
}
