/* pilot.c - the worker's side of a run over TCP. See pilot.h and frames.h.
 *
 * The thread that called mf_pilot_serve hears the run and hands what it hears to the nodes; it
 * sends nothing, so that it never waits for the other end. */
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
    if (j) {
        f->body = (mf_packet){0};
        *j->last = h;
        j->last = &h->next;
        pthread_cond_signal(&j->arrived);
        h = NULL;
    }
    pthread_mutex_unlock(&p->lock);
    free(h);
    return MF_OK;
}

static mf_status take_frame(mf_pilot *p, mf_frame *f)
{
    switch (f->kind) {
    case MF_LINK_START:
        return mf__pilot_start(p, f);
    case MF_LINK_CANCEL:
        mf_host_cancel(p->host);
        return MF_OK;
    case MF_LINK_ABORT:
        mf__pilot_abort(p, f->channel);
        return MF_OK;
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
        if (j->task && mf_heard_put_progress(&q, j->task, &j->shown))
            mf_error_free(mf_link_send(p->link, MF_LINK_PROGRESS, j->channel, &q));
        mf_packet_clear(&q);
    }
    pthread_mutex_unlock(&p->lock);
}

/* No new nodes; those that run save their states and go back. */
static void leave(mf_pilot *p, const char *why)
{
    mf_packet q = {0};

    p->leaving = true;
    p->why = why;
    mf_packet_text(&q, why);
    mf_error_free(mf_link_send(p->link, MF_LINK_LEAVING, 0, &q));
}

static void look(mf_pilot *p)
{
    double now = mf_seconds();

    pthread_mutex_lock(&p->lock);
    bool idle = !p->running, full = p->full;
    double since = now - p->busy;
    pthread_mutex_unlock(&p->lock);
    if (!p->leaving && mf_host_signal(p->host)) {
        leave(p, "it was asked to end");
    } else if (!p->leaving && full) {
        mf__pilot_say(p, "the cache '%s' can't be written", mf_chunk_cache_dir(p->chunk_cache));
        leave(p, "its cache can't be written");
    } else if (!p->leaving && isfinite(p->ends) && now >= p->ends - p->last) {
        leave(p, "its time is over");
        mf_host_interrupt(p->host, SIGTERM);
    } else if (!p->leaving && idle && p->options->idle > 0 && since >= p->options->idle) {
        leave(p, "it has been idle");
    }
    /* The run says goodbye once it has no node here; a node may still be on its way. */
    if (p->leaving && idle && since > LEAVE_SECONDS)
        mf_link_cut(p->link);
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
        poll(&end, 1, TICK);
        mf_run_clock();
        mf_signals_hold();
        tell_progress(p);
        look(p);
        mf_link_beat(p->link);
        mf__pilot_beat_ranks(p);
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

static void wake_jobs(mf_pilot *p)
{
    pthread_mutex_lock(&p->lock);
    for (mf_pilot_job *j = p->jobs; j; j = j->next) {
        j->gone = true;
        pthread_cond_broadcast(&j->arrived);
    }
    pthread_mutex_unlock(&p->lock);
}

static void wait_for_jobs(mf_pilot *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->running)
        pthread_cond_wait(&p->calm, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

/* One connection, from its beginning to its end. */
static mf_status serve_link(mf_pilot *p)
{
    pthread_t ticker;
    mf_status status;

    p->ticking = true;
    p->busy = mf_seconds();
    if (pthread_create(&ticker, NULL, tick, p) != 0)
        return mf_fail(MF_NO_MEMORY, "no thread for a worker");
    status = hear_all(p);
    mf_link_cut(p->link);
    mf_host_cancel(p->host); /* what still runs runs for nobody */
    wake_jobs(p);
    wait_for_jobs(p);
    pthread_mutex_lock(&p->lock);
    p->ticking = false;
    pthread_mutex_unlock(&p->lock);
    uint64_t one = 1;
    if (write(p->wake, &one, sizeof one) < 0)
        mf__pilot_say(p, "no end could be told: %s", strerror(errno));
    pthread_join(ticker, NULL);
    mf_link_free(p->link);
    p->link = NULL;
    if (p->over || p->leaving) {
        mf_error_free(status);
        return MF_OK;
    }
    return status ? status : mf_fail(MF_IO, "%s closed the connection", p->options->where);
}

static void tell_line(void *self, const char *node, const char *line)
{
    mf_pilot *p = self;
    mf_packet q = {0};
    uint32_t channel = 0;

    pthread_mutex_lock(&p->lock);
    for (mf_pilot_job *j = p->jobs; j && !channel; j = j->next)
        if (j->frozen && !strcmp(mf_frozen_work(j->frozen)->node, node))
            channel = j->channel;
    /* Of a stream: of whichever node reads it. */
    for (mf_pilot_job *j = p->jobs; j && !channel; j = j->next) {
        const mf_work *work = j->frozen ? mf_frozen_work(j->frozen) : NULL;
        for (size_t i = 0; work && i < work->feed_count && !channel; i++)
            if (work->feeds[i].stream && !strcmp(work->feeds[i].stream->node, node))
                channel = j->channel;
    }
    pthread_mutex_unlock(&p->lock);
    if (!channel)
        return;
    mf_packet_text(&q, node);
    mf_packet_text(&q, line);
    mf_error_free(mf_link_send(p->link, MF_LINK_LOG, channel, &q));
}

static mf_status serve(mf_pilot *p)
{
    MF_TRY(mf_chunk_cache_open(p->options->cache, p->options->cache_bytes, &p->chunk_cache));
    MF_TRY(mf__pilot_fill_hello(p));
    MF_TRY(mf__pilot_join(p));
    p->joined = true;
    mf__pilot_say(p, "joined %s; cache %s", p->options->where, mf_chunk_cache_dir(p->chunk_cache));
    mf_host_set_log(p->host, tell_line, p);
    mf_status status = serve_link(p);
    mf_host_set_log(p->host, NULL, NULL);
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

    pthread_mutex_init(&p.lock, NULL);
    pthread_mutex_init(&p.device_lock, NULL);
    pthread_cond_init(&p.calm, NULL);
    status =
        p.wake >= 0 ? serve(&p) : mf_fail(MF_IO, "no worker can be started: %s", strerror(errno));
    *lost = status && p.joined && !mf_host_signal(host);
    if (p.wake >= 0)
        close(p.wake);
    mf_hello_clear(&p.hello);
    mf_chunk_cache_close(p.chunk_cache);
    pthread_mutex_destroy(&p.lock);
    pthread_mutex_destroy(&p.device_lock);
    pthread_cond_destroy(&p.calm);
    return status;
}
