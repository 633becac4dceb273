/* pilot.c - the worker's side of a run over TCP. See pilot.h and frames.h.
 *
 * The thread that called mf_pilot_serve hears the run and hands what it hears to the nodes; it
 * sends nothing, so that it never waits for the other end. */
#include "run/remote/pilot.h"
#include "run/artifact/check.h"
#include "run/process/altstack.h"
#include "run/process/clock.h"
#include "run/process/signals.h"
#include "run/remote/frames.h"
#include "run/remote/hello.h"
#include "run/remote/remote.h"
#include "run/worker/frozen.h"
#include "run/worker/heard.h"
#include "store/chunk_cache.h"
#include "store/process.h"

#include "base/array_shared.h"
#include "compute/devices.h"
#include <massflow/seconds.h>

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK 100          /* ms */
#define JOIN_SECONDS 20.0 /* for a handshake */
#define RETRY_EVERY 1.0   /* s, at first */
#define RETRY_MOST 10.0
/* Seconds before the end of its time from which on it runs nothing: states are saved meanwhile. */
#define LAST_SECONDS 120.0
#define LAST_PART 0.2 /* of a short time */
/* Seconds that it waits for the run's goodbye. */
#define LEAVE_SECONDS 10.0
/* An output up to this size goes over in one go. */
#define SMALL_BYTES ((int64_t)64 << 10)
#define SMALL_PIECES 16

typedef struct pilot pilot;

typedef struct heard {
    mf_frame frame;
    struct heard *next;
} heard;

/* A running node. */
typedef struct job {
    struct job *next;
    pilot *pilot;
    uint64_t number; /* of all that it has had */
    uint32_t channel;
    int refs; /* its thread, and whoever asks through it; under the pilot's lock */
    mf_packet start;
    mf_frozen *frozen;
    mf_limits limits;
    mf_supply supply;
    mf_task *task;           /* under the pilot's lock for others than its thread */
    mf_task_state shown;     /* its progress, as the run knows it */
    pthread_mutex_t calling; /* one question at a time */
    heard *first, **last;    /* under the pilot's lock, as what follows */
    pthread_cond_t arrived;
    bool gone; /* the link: nothing more is heard */
    int owed;  /* answers that were not waited for; its thread's, with `calling` held */
    bool told; /* its end: the run answers nothing more. Set with both locks held */
} job;

struct pilot {
    const mf_pilot_options *options;
    mf_host *host;
    mf_chunk_cache *chunk_cache;
    mf_hello hello;
    mf_link *link;
    pthread_mutex_t lock;
    pthread_cond_t calm; /* a job has ended */
    job *jobs;
    uint64_t last_job;
    int running;
    int wake; /* the second thread */
    bool joined, ticking, leaving, over;
    bool full;         /* its folder can't be written */
    const char *why;   /* it leaves */
    double busy;       /* mf_seconds when it last had a node */
    double ends, last; /* last: seconds before it from which on nothing runs */
    pthread_mutex_t device_lock;
    bool device_ready;
};

static void say(const pilot *p, const char *format, ...) MF_PRINTF(2, 3);
static void say(const pilot *p, const char *format, ...)
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

/* Into its folder. Where that can't be written no node comes to its end here: they go back. */
static mf_status keep(pilot *p, const uint8_t digest[MF_DIGEST_BYTES], const mf_chunk *chunk,
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

/* ---- asking ---------------------------------------------------------------------------------- */

static mf_status gone(void)
{
    return mf_fail(MF_IO, "the run is not there any more");
}

static mf_status send_body(job *j, mf_link_kind kind, mf_packet *body, const void *bytes,
                           size_t size)
{
    mf_status status = mf_link_send_bytes(j->pilot->link, kind, j->channel, body, bytes, size);

    if (!status || mf_error_code(status) != MF_IO)
        return status;
    mf_error_free(status);
    return gone();
}

static mf_status next_frame(job *j, mf_frame *f)
{
    heard *h;

    pthread_mutex_lock(&j->pilot->lock);
    while (!j->first && !j->gone)
        pthread_cond_wait(&j->arrived, &j->pilot->lock);
    h = j->first;
    if (h) {
        j->first = h->next;
        if (!j->first)
            j->last = &j->first;
    }
    pthread_mutex_unlock(&j->pilot->lock);
    *f = h ? h->frame : (mf_frame){0};
    free(h);
    return h ? MF_OK : gone();
}

static mf_status damaged(void)
{
    return mf_fail(MF_CORRUPT, "a message of the run is damaged");
}

/* The answer to a question; the caller clears it. */
static mf_status take_reply(job *j, mf_packet *answer)
{
    mf_frame f;

    MF_TRY(next_frame(j, &f));
    *answer = f.body;
    return f.kind == MF_LINK_REPLY ? mf_packet_get_status(answer) : damaged();
}

/* Answers that nobody waited for: that all is well is not known before. */
static mf_status take_owed(job *j)
{
    while (j->owed) {
        mf_packet answer = {0};
        mf_status status = take_reply(j, &answer);
        mf_packet_clear(&answer);
        j->owed--;
        MF_TRY(status);
    }
    return MF_OK;
}

/* Asks, and waits for the answer, with `calling` held. */
static mf_status call(job *j, mf_link_kind kind, mf_packet *question, mf_packet *answer)
{
    *answer = (mf_packet){0};
    MF_TRY(take_owed(j));
    MF_TRY(send_body(j, kind, question, NULL, 0));
    return take_reply(j, answer);
}

/* ---- artifacts that lie in the run's store ----------------------------------------------------
 */

typedef struct source {
    pilot *pilot;
    uint64_t job; /* number of the one that opened it */
    mf_parcel *parcel;
} source;

static void unref_job(job *j);

/* With the streams that it reads. */
static bool has_input(const mf_work *work, const char *id)
{
    for (size_t i = 0; i < work->feed_count; i++) {
        const mf_feed *feed = &work->feeds[i];
        for (size_t k = 0; k < feed->count; k++)
            if (!strcmp(feed->elements[k].id, id))
                return true;
        if (feed->stream && has_input(feed->stream, id))
            return true;
    }
    return false;
}

/* Sessions keep artifacts beyond the node that opened them: then any node that has it as an input
 * asks for it. The caller unrefs it. */
static job *who_asks(const source *s)
{
    job *j;

    pthread_mutex_lock(&s->pilot->lock);
    for (j = s->pilot->jobs; j && (j->number != s->job || j->told); j = j->next)
        ;
    if (!j)
        for (j = s->pilot->jobs; j; j = j->next)
            if (!j->told && j->frozen && has_input(mf_frozen_work(j->frozen), s->parcel->id))
                break;
    if (j)
        j->refs++;
    pthread_mutex_unlock(&s->pilot->lock);
    return j;
}

/* One that was asked for: held against the record, then kept. */
static mf_status take_piece(const source *s, mf_packet *p)
{
    int64_t index = mf_packet_get_int(p), codec = mf_packet_get_int(p), raw = mf_packet_get_int(p);
    mf_chunk chunk = {.codec = (int)codec, .raw = (size_t)raw};
    const mf_parcel_piece *piece;
    bool sound = false;

    if (p->failed || index < 0 || (size_t)index >= s->parcel->count || codec < 0 || codec > 8 ||
        raw < 1 || (size_t)raw > MF_CHUNK_MOST)
        return damaged();
    piece = &s->parcel->pieces[index];
    chunk.bytes = p->bytes + p->at;
    chunk.size = p->size - p->at;
    if (!piece->raw || piece->raw == chunk.raw)
        MF_TRY(mf_chunk_open(&chunk, piece->digest, NULL, &sound));
    if (!sound)
        return mf_fail(MF_CORRUPT, "piece %lld of artifact %.12s does not match its digest",
                       (long long)index, s->parcel->id);
    return keep(s->pilot, piece->digest, &chunk, false);
}

/* The pieces that were asked for, then the answer. */
static mf_status take_pieces(job *j, const source *s, size_t count)
{
    mf_status status = MF_OK;

    for (;;) {
        mf_frame f;
        mf_status now = next_frame(j, &f);
        if (now) {
            mf_error_free(status);
            return now;
        }
        if (f.kind == MF_LINK_REPLY) {
            now = mf_packet_get_status(&f.body);
            mf_packet_clear(&f.body);
            if (status) {
                mf_error_free(now);
                return status;
            }
            return now || !count ? now : damaged();
        }
        if (f.kind != MF_LINK_PIECE || !count)
            now = damaged();
        else
            now = take_piece(s, &f.body);
        count -= count > 0;
        mf_packet_clear(&f.body);
        if (status)
            mf_error_free(now);
        else
            status = now;
    }
}

/* *told: that node has ended meanwhile, and nothing was asked. */
static mf_status ask_through(job *j, const source *s, const uint32_t *pieces, size_t count,
                             bool *told)
{
    mf_packet q = {0};
    mf_status status = MF_OK;

    mf_packet_text(&q, s->parcel->id);
    mf_packet_int(&q, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        mf_packet_int(&q, pieces[i]);
    pthread_mutex_lock(&j->calling);
    *told = j->told;
    if (!*told)
        status = take_owed(j);
    if (!*told && !status)
        status = send_body(j, MF_LINK_WANT, &q, NULL, 0);
    if (!*told && !status)
        status = take_pieces(j, s, count);
    pthread_mutex_unlock(&j->calling);
    mf_packet_clear(&q);
    return status;
}

static mf_status ask_pieces(const source *s, const uint32_t *pieces, size_t count)
{
    bool told = true;
    mf_status status = MF_OK;

    while (told && !status) {
        job *j = who_asks(s);
        if (!j)
            return gone();
        status = ask_through(j, s, pieces, count, &told);
        unref_job(j);
    }
    return status;
}

static size_t bytes_of(const source *s, uint32_t piece)
{
    uint32_t raw = s->parcel->pieces[piece].raw;

    return raw ? raw : (size_t)64 << 10;
}

/* Those that are not here, in batches. */
static mf_status source_want(void *self, const uint32_t *pieces, size_t count)
{
    source *s = self;
    uint32_t *lacks = malloc((count + 1) * sizeof *lacks);
    size_t n = 0, bytes = 0;
    mf_status status = MF_OK;

    if (!lacks)
        return mf_no_memory(0, "a list of chunks");
    for (size_t i = 0; i < count && !status; i++) {
        if (mf_chunk_cache_has(s->pilot->chunk_cache, s->parcel->pieces[pieces[i]].digest))
            continue;
        lacks[n++] = pieces[i];
        bytes += bytes_of(s, pieces[i]);
        if (bytes < MF_LINK_BATCH)
            continue;
        status = ask_pieces(s, lacks, n);
        n = bytes = 0;
    }
    if (!status && n)
        status = ask_pieces(s, lacks, n);
    free(lacks);
    return status;
}

/* From the folder; what has gone there meanwhile is asked for once more. */
static mf_status source_get(void *self, uint32_t piece, uint8_t *dst, size_t raw)
{
    source *s = self;
    const uint8_t *digest = s->parcel->pieces[piece].digest;

    for (int tried = 0; tried < 2; tried++) {
        bool found;
        MF_TRY(mf_chunk_cache_read(s->pilot->chunk_cache, digest, dst, raw, &found));
        if (found)
            return MF_OK;
        MF_TRY(source_want(s, &piece, 1));
    }
    return mf_hint(mf_fail(MF_IO, "the worker's cache '%s' keeps nothing",
                           mf_chunk_cache_dir(s->pilot->chunk_cache)),
                   "give it more room with --cache-size");
}

static void source_free(void *self)
{
    source *s = self;

    mf_parcel_free(s->parcel);
    free(s);
}

static mf_status ask_record(job *j, const char *id, mf_parcel **parcel)
{
    mf_packet q = {0}, answer;
    const void *bytes = NULL;
    size_t size = 0;
    mf_status status;

    mf_packet_text(&q, id);
    pthread_mutex_lock(&j->calling);
    status = call(j, MF_LINK_GET, &q, &answer);
    pthread_mutex_unlock(&j->calling);
    if (!status) {
        bytes = mf_packet_get_bytes(&answer, &size);
        status = mf_packet_check(&answer);
    }
    if (!status)
        status = mf_parcel_new(bytes, size, parcel);
    mf_packet_clear(&answer);
    if (!status && strcmp((*parcel)->id, id)) {
        mf_parcel_free(*parcel);
        *parcel = NULL;
        status = mf_fail(MF_CORRUPT, "the record of artifact %.12s does not match its id", id);
    }
    return status;
}

/* A record is kept as a chunk is: its id is its digest. */
static mf_status find_record(job *j, const char *id, mf_parcel **parcel)
{
    uint8_t digest[MF_DIGEST_BYTES];
    mf_chunk chunk;
    bool found;
    mf_status status;

    *parcel = NULL;
    if (!mf_hex_decode(id, digest))
        return mf_fail(MF_INVALID, "'%s' is not an artifact id", id);
    MF_TRY(mf_chunk_cache_get(j->pilot->chunk_cache, digest, &chunk, &found));
    if (found) {
        status = mf_parcel_new(chunk.bytes, chunk.size, parcel);
        mf_chunk_clear(&chunk);
        return status;
    }
    MF_TRY(ask_record(j, id, parcel));
    chunk = (mf_chunk){.raw = (*parcel)->size, .size = (*parcel)->size, .bytes = (*parcel)->record};
    status = keep(j->pilot, digest, &chunk, false);
    if (status) {
        mf_parcel_free(*parcel);
        *parcel = NULL;
    }
    return status;
}

static mf_status get_artifact(void *self, const char *id, mf_artifact **artifact)
{
    job *j = self;
    source *s = calloc(1, sizeof *s);
    mf_status status = s ? MF_OK : mf_no_memory(0, "an artifact");

    *artifact = NULL;
    if (!status)
        status = find_record(j, id, &s->parcel);
    if (status) {
        free(s);
        return status;
    }
    s->pilot = j->pilot;
    s->job = j->number;
    const mf_chunk_source calls = {s, source_want, source_get, source_free};
    MF_TRY(mf_parcel_artifact(s->parcel, &calls, artifact));
    return MF_OK;
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* In several threads. */
static mf_status keep_piece(void *self, const uint8_t digest[MF_DIGEST_BYTES], const uint8_t *bytes,
                            size_t raw, size_t element, bool integer)
{
    job *j = self;
    mf_chunk chunk;
    bool found;
    mf_status status = mf_chunk_cache_get(j->pilot->chunk_cache, digest, &chunk, &found);

    /* What lies there is read: a crash may have left it damaged, and it may go meanwhile. */
    if (!status && !found)
        status = mf_chunk_pack(bytes, raw, element, integer, &chunk);
    if (!status)
        status = keep(j->pilot, digest, &chunk, true);
    mf_chunk_clear(&chunk);
    return status;
}

static mf_status send_piece(job *j, const mf_parcel *parcel, size_t index, size_t *bytes)
{
    mf_chunk chunk;
    mf_packet p = {0};
    bool found;
    mf_status status;

    MF_TRY(mf_chunk_cache_get(j->pilot->chunk_cache, parcel->pieces[index].digest, &chunk, &found));
    if (!found)
        return mf_fail(MF_IO, "the worker's cache '%s' has lost a result",
                       mf_chunk_cache_dir(j->pilot->chunk_cache));
    mf_packet_int(&p, (int64_t)index);
    mf_packet_int(&p, chunk.codec);
    mf_packet_int(&p, (int64_t)chunk.raw);
    *bytes += chunk.size;
    status = send_body(j, MF_LINK_PIECE, &p, chunk.bytes, chunk.size);
    mf_chunk_clear(&chunk);
    return status;
}

/* What the answer names, in batches. */
static mf_status send_pieces(job *j, const mf_parcel *parcel, mf_packet *lacks)
{
    size_t count = mf_packet_get_count(lacks), bytes = 0;

    for (size_t i = 0; i < count; i++) {
        int64_t index = mf_packet_get_int(lacks);
        if (lacks->failed || index < 0 || (size_t)index >= parcel->count)
            return damaged();
        MF_TRY(send_piece(j, parcel, (size_t)index, &bytes));
        if (bytes < MF_LINK_BATCH)
            continue;
        mf_packet none = {0}, answer;
        mf_status status = call(j, MF_LINK_SYNC, &none, &answer);
        mf_packet_clear(&answer);
        MF_TRY(status);
        bytes = 0;
    }
    return mf_packet_check(lacks);
}

/* All of it at once, without asking what is lacking and without waiting: what goes wrong with it
 * the run sees first. */
static mf_status hand_over_small(job *j, const char *port, const mf_parcel *parcel)
{
    mf_packet q = {0}, none = {0};
    size_t bytes = 0;

    mf_packet_text(&q, port);
    mf_packet_bytes(&q, parcel->record, parcel->size);
    MF_TRY(send_body(j, MF_LINK_OUTPUT, &q, NULL, 0));
    j->owed++;
    for (size_t i = 0; i < parcel->count; i++)
        MF_TRY(send_piece(j, parcel, i, &bytes));
    MF_TRY(send_body(j, MF_LINK_KEEP, &none, NULL, 0));
    j->owed++;
    return MF_OK;
}

static mf_status hand_over(job *j, const char *port, const mf_parcel *parcel)
{
    mf_packet q = {0}, lacks, answer = {0}, none = {0};
    mf_status status;

    pthread_mutex_lock(&j->calling);
    if (parcel->bytes <= SMALL_BYTES && parcel->count <= SMALL_PIECES) {
        status = hand_over_small(j, port, parcel);
        pthread_mutex_unlock(&j->calling);
        return status;
    }
    mf_packet_text(&q, port);
    mf_packet_bytes(&q, parcel->record, parcel->size);
    status = call(j, MF_LINK_OUTPUT, &q, &lacks);
    if (!status)
        status = send_pieces(j, parcel, &lacks);
    mf_packet_clear(&lacks);
    if (!status)
        status = call(j, MF_LINK_KEEP, &none, &answer);
    mf_packet_clear(&answer);
    pthread_mutex_unlock(&j->calling);
    return status;
}

static mf_status send_output(job *j, size_t port)
{
    const mf_artifact *a = mf_task_output(j->task, port);
    mf_parcel *parcel;
    uint8_t digest[MF_DIGEST_BYTES];
    mf_status status;

    MF_TRY(mf_parcel_of(a, keep_piece, j, &parcel));
    mf_chunk record = {.raw = parcel->size, .size = parcel->size, .bytes = parcel->record};
    mf_hex_decode(parcel->id, digest);
    status = keep(j->pilot, digest, &record, false);
    if (!status)
        status = hand_over(j, mf_task_work(j->task)->stage->out[port].name, parcel);
    for (size_t i = 0; i < parcel->count; i++)
        mf_chunk_cache_unpin(j->pilot->chunk_cache, parcel->pieces[i].digest);
    mf_parcel_free(parcel);
    return status;
}

/* ---- states ---------------------------------------------------------------------------------- */

static mf_status send_slice(void *self, const void *bytes, size_t size)
{
    mf_packet none = {0};

    return send_body(self, MF_LINK_BYTES, &none, bytes, size);
}

static mf_status save_state(void *self, int64_t step, const mf_artifact *state, bool keep)
{
    job *j = self;
    mf_packet head = {0}, q = {0}, answer = {0};
    mf_status status;

    mf_packet_head(&head, state);
    mf_packet_int(&q, step);
    mf_packet_int(&q, keep);
    pthread_mutex_lock(&j->calling);
    status = send_body(j, MF_LINK_STATE, &head, NULL, 0);
    if (!status)
        status = mf_state_send(state, send_slice, j);
    if (!status)
        status = call(j, MF_LINK_SAVE, &q, &answer);
    pthread_mutex_unlock(&j->calling);
    mf_packet_clear(&q);
    mf_packet_clear(&answer);
    return status;
}

static mf_status take_state(job *j, mf_packet *head, mf_artifact **state)
{
    mf_state_arrival *arrival;
    mf_status status;

    MF_TRY(mf_state_arrival_new(head, &arrival));
    for (status = MF_OK; !status && !mf_state_arrival_done(arrival);) {
        mf_frame f;
        status = next_frame(j, &f);
        if (!status)
            status = f.kind == MF_LINK_BYTES ? mf_state_arrival_bytes(arrival, &f.body) : damaged();
        mf_packet_clear(&f.body);
    }
    if (!status)
        *state = mf_state_arrival_take(arrival);
    mf_state_arrival_free(arrival);
    return status;
}

static mf_status load_state(void *self, int64_t most, int64_t *step, mf_artifact **state)
{
    job *j = self;
    mf_packet q = {0}, answer;
    bool found = false;
    mf_status status;

    *state = NULL;
    mf_packet_int(&q, most);
    pthread_mutex_lock(&j->calling);
    status = call(j, MF_LINK_LOAD, &q, &answer);
    if (!status) {
        *step = mf_packet_get_int(&answer);
        found = mf_packet_get_int(&answer) != 0;
        status = mf_packet_check(&answer);
    }
    if (!status && found)
        status = take_state(j, &answer, state);
    pthread_mutex_unlock(&j->calling);
    mf_packet_clear(&answer);
    return status;
}

/* ---- one node -------------------------------------------------------------------------------- */

static void free_job(job *j)
{
    for (heard *h = j->first, *next; h; h = next) {
        next = h->next;
        mf_packet_clear(&h->frame.body);
        free(h);
    }
    mf_frozen_free(j->frozen);
    mf_packet_clear(&j->start);
    pthread_mutex_destroy(&j->calling);
    pthread_cond_destroy(&j->arrived);
    free(j);
}

static void unref_job(job *j)
{
    pthread_mutex_lock(&j->pilot->lock);
    bool last = --j->refs == 0;
    pthread_mutex_unlock(&j->pilot->lock);
    if (last)
        free_job(j);
}

typedef struct device_list {
    size_t index[MF_TASK_DEVICES], count;
} device_list;

static void get_devices(mf_packet *p, device_list *d)
{
    d->count = mf_packet_get_count(p);
    p->failed |= d->count < 1 || d->count > MF_TASK_DEVICES;
    for (size_t i = 0; i < d->count && !p->failed; i++) {
        const int64_t index = mf_packet_get_int(p);
        p->failed |= index < 0;
        d->index[i] = (size_t)index;
    }
}

/* The order in which remote.c puts it. */
static mf_status read_start(job *j, int64_t *threads, device_list *devices)
{
    mf_packet *p = &j->start;
    mf_frozen *frozen;
    int64_t memory = mf_packet_get_int(p), timeout, retries;

    *threads = mf_packet_get_int(p);
    get_devices(p, devices);
    timeout = mf_packet_get_int(p);
    j->limits.isolate = mf_packet_get_int(p) != 0;
    retries = mf_packet_get_int(p);
    (void)mf_packet_get_text(p); /* key */
    p->failed |= memory < 0 || *threads < 1 || timeout < 0 || retries < 0 || retries > 1000000;
    MF_TRY(mf_packet_check(p));
    j->limits.memory = (size_t)memory;
    j->limits.timeout = (double)timeout * 1e-6;
    j->limits.retries = (int)retries;
    MF_TRY(mf_frozen_get(p, mf_host_registry(j->pilot->host), &frozen));
    pthread_mutex_lock(&j->pilot->lock);
    j->frozen = frozen;
    pthread_mutex_unlock(&j->pilot->lock);
    return MF_OK;
}

static mf_status prepare_devices(pilot *p, const mf_work *work, const device_list *devices)
{
    mf_status status = MF_OK;

    if (!mf_work_wants_device(work))
        return MF_OK;
    for (size_t i = 0; i < devices->count; i++)
        if (devices->index[i] >= p->hello.device_count)
            return mf_fail(MF_INVALID, "the worker has no device %zu", devices->index[i]);
    pthread_mutex_lock(&p->device_lock);
    if (!p->device_ready && p->options->before_device)
        status = p->options->before_device(p->options->self);
    p->device_ready |= !status;
    pthread_mutex_unlock(&p->device_lock);
    return status;
}

static mf_status run_task(job *j, mf_spent *spent, double *seconds)
{
    device_list devices;
    int64_t threads;
    mf_task *task;

    MF_TRY(read_start(j, &threads, &devices));
    MF_TRY(prepare_devices(j->pilot, mf_frozen_work(j->frozen), &devices));
    MF_TRY(mf_task_new(j->pilot->host, mf_frozen_work(j->frozen), (int)threads, &task));
    j->supply = (mf_supply){j, get_artifact, load_state, save_state};
    mf_task_set_supply(task, &j->supply);
    mf_task_set_devices(task, devices.index, devices.count);
    pthread_mutex_lock(&j->pilot->lock);
    j->task = task;
    pthread_mutex_unlock(&j->pilot->lock);
    MF_TRY(mf_execute(task, &j->limits, spent, seconds));
    for (size_t i = 0; i < mf_task_work(task)->out_count; i++)
        if (mf_task_output(task, i)) /* else optional, and left out */
            MF_TRY(send_output(j, i));
    return MF_OK;
}

static mf_status tell_end(job *j, const mf_error *status, const mf_spent *spent, double seconds)
{
    pilot *p = j->pilot;
    mf_packet done = {0};
    /* A batch system ends the processes of its nodes, too: what they died of is not theirs. */
    bool ended = status && mf_host_signal(p->host);

    pthread_mutex_lock(&p->lock);
    ended |= status && p->full;
    pthread_mutex_unlock(&p->lock);
    if (ended) {
        mf_packet_text(&done, mf_error_message(status));
    } else {
        mf_packet_status(&done, status);
        mf_packet_int(&done, (int64_t)(seconds * 1e6));
        mf_packet_int(&done, spent->peak_bytes);
    }
    /* Others may have artifacts that it opened: from here on they ask through another node. */
    pthread_mutex_lock(&j->calling);
    pthread_mutex_lock(&p->lock);
    j->told = true;
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_unlock(&j->calling);
    return send_body(j, ended ? MF_LINK_RETURNED : MF_LINK_DONE, &done, NULL, 0);
}

/* The pilot may be gone once the count says so. */
static void end_job(job *j)
{
    pilot *p = j->pilot;
    job **link = &p->jobs;
    mf_task *task;

    pthread_mutex_lock(&p->lock);
    task = j->task;
    j->task = NULL;
    pthread_mutex_unlock(&p->lock);
    mf_task_free(task);
    pthread_mutex_lock(&p->lock);
    while (*link != j)
        link = &(*link)->next;
    *link = j->next;
    pthread_mutex_unlock(&p->lock);
    unref_job(j);
    pthread_mutex_lock(&p->lock);
    p->running--;
    p->busy = mf_seconds();
    pthread_cond_broadcast(&p->calm);
    pthread_mutex_unlock(&p->lock);
}

static void *run_job(void *self)
{
    job *j = self;
    mf_spent spent = {0};
    double seconds = 0;
    mf_status status;

    mf_altstack_set();
    status = run_task(j, &spent, &seconds);
    mf_error_free(tell_end(j, status, &spent, seconds));
    mf_error_free(status);
    end_job(j);
    return NULL;
}

static mf_status start_job(pilot *p, mf_frame *f)
{
    job *j = calloc(1, sizeof *j);
    pthread_t thread;

    if (!j)
        return mf_no_memory(0, "a node");
    j->pilot = p;
    j->channel = f->channel;
    j->refs = 1;
    j->start = f->body;
    f->body = (mf_packet){0};
    j->last = &j->first;
    pthread_mutex_init(&j->calling, NULL);
    pthread_cond_init(&j->arrived, NULL);
    pthread_mutex_lock(&p->lock);
    j->number = ++p->last_job;
    j->next = p->jobs;
    p->jobs = j;
    p->running++;
    pthread_mutex_unlock(&p->lock);
    if (pthread_create(&thread, NULL, run_job, j) == 0) {
        pthread_detach(thread);
        return MF_OK;
    }
    end_job(j);
    return mf_fail(MF_NO_MEMORY, "no thread for a node");
}

/* ---- hearing --------------------------------------------------------------------------------- */

static mf_status pass_on(pilot *p, mf_frame *f)
{
    heard *h = malloc(sizeof *h);
    job *j;

    if (!h)
        return mf_no_memory(0, "a message");
    *h = (heard){.frame = *f};
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

static mf_status take_frame(pilot *p, mf_frame *f)
{
    switch (f->kind) {
    case MF_LINK_START:
        return start_job(p, f);
    case MF_LINK_CANCEL:
        mf_host_cancel(p->host);
        return MF_OK;
    case MF_LINK_BYE:
        p->over = true;
        return MF_OK;
    case MF_LINK_REPLY:
    case MF_LINK_PIECE:
    case MF_LINK_BYTES:
        return pass_on(p, f);
    default:
        return damaged();
    }
}

static mf_status hear_all(pilot *p)
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

static void tell_progress(pilot *p)
{
    pthread_mutex_lock(&p->lock);
    for (job *j = p->jobs; j; j = j->next) {
        mf_packet q = {0};
        if (j->task && mf_heard_put_progress(&q, j->task, &j->shown))
            mf_error_free(mf_link_send(p->link, MF_LINK_PROGRESS, j->channel, &q));
        mf_packet_clear(&q);
    }
    pthread_mutex_unlock(&p->lock);
}

/* No new nodes; those that run save their states and go back. */
static void leave(pilot *p, const char *why)
{
    mf_packet q = {0};

    p->leaving = true;
    p->why = why;
    mf_packet_text(&q, why);
    mf_error_free(mf_link_send(p->link, MF_LINK_LEAVING, 0, &q));
}

static void look(pilot *p)
{
    double now = mf_seconds();

    pthread_mutex_lock(&p->lock);
    bool idle = !p->running, full = p->full;
    double since = now - p->busy;
    pthread_mutex_unlock(&p->lock);
    if (!p->leaving && mf_host_signal(p->host)) {
        leave(p, "it was asked to end");
    } else if (!p->leaving && full) {
        say(p, "the cache '%s' can't be written", mf_chunk_cache_dir(p->chunk_cache));
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
    pilot *p = self;

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
    }
}

/* ---- joining --------------------------------------------------------------------------------- */

static mf_status connect_to(const char *where, int *out)
{
    char *text = strdup(where), *colon = text ? strrchr(text, ':') : NULL, *host = text;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *a;
    mf_status status = MF_OK;
    int why;

    *out = -1;
    if (!text)
        return mf_no_memory(0, "an address");
    if (!colon || colon == text || !colon[1]) {
        free(text);
        return mf_fail(MF_INVALID, "'%s' is not HOST:PORT", where);
    }
    *colon = 0;
    if (*host == '[' && colon[-1] == ']') {
        colon[-1] = 0;
        host++;
    }
    why = getaddrinfo(host, colon + 1, &hints, &found);
    free(text);
    if (why)
        return mf_fail(MF_IO, "cannot reach %s: %s", where, gai_strerror(why));
    for (a = found; a && *out < 0; a = a->ai_next) {
        *out = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (*out >= 0 && connect(*out, a->ai_addr, a->ai_addrlen) != 0) {
            int failed = errno;
            close(*out);
            *out = -1;
            errno = failed;
        }
    }
    if (*out < 0)
        status = mf_fail(MF_IO, "cannot reach %s: %s", where, strerror(errno));
    freeaddrinfo(found);
    return status;
}

static mf_status greet(pilot *p)
{
    mf_packet q = {0};
    mf_frame f;
    bool end;
    mf_status status;
    double beat;

    p->hello.ends = p->ends - mf_seconds();
    mf_hello_put(&q, &p->hello);
    MF_TRY(mf_link_send(p->link, MF_LINK_HELLO, 0, &q));
    MF_TRY(mf_link_receive(p->link, &f, &end));
    if (end)
        return mf_fail(MF_IO, "%s closed the connection without a word", p->options->where);
    beat = f.kind == MF_LINK_WELCOME ? (double)mf_packet_get_int(&f.body) * 1e-3 : 0;
    if (f.kind == MF_LINK_REFUSED) {
        const char *words = mf_packet_get_text(&f.body);
        status = mf_fail(MF_INVALID, "%s refused this worker: %s", p->options->where,
                         words ? words : "");
    } else if (f.kind != MF_LINK_WELCOME || beat < MF_LINK_LEAST_BEAT || beat > MF_LINK_MOST_BEAT) {
        status = damaged();
    } else {
        status = MF_OK;
        mf_link_set_beat(p->link, beat);
    }
    mf_packet_clear(&f.body);
    return status;
}

static mf_status join_once(pilot *p)
{
    int socket;
    mf_status status;

    MF_TRY(connect_to(p->options->where, &socket));
    MF_TRY(mf_link_join(socket, &p->options->token, JOIN_SECONDS, p->options->where, &p->link));
    mf_link_set_beat(p->link, JOIN_SECONDS / MF_LINK_BEATS);
    status = greet(p);
    if (status) {
        mf_link_free(p->link);
        p->link = NULL;
    }
    return status;
}

/* Tries for a while where nobody answers; a refusal is final. */
static mf_status join(pilot *p)
{
    double until = fmin(mf_seconds() + p->options->retry, p->ends), pause = RETRY_EVERY;
    bool said = false;

    for (;;) {
        mf_status status = join_once(p);
        if (!status || mf_error_code(status) != MF_IO || mf_seconds() + pause > until ||
            mf_host_signal(p->host))
            return status;
        if (!said)
            say(p, "%s; trying again for %.0f s", mf_error_message(status), p->options->retry);
        said = true;
        mf_error_free(status);
        /* Readable once it is asked to end. */
        struct pollfd asked = {.fd = mf_host_cancel_event(p->host), .events = POLLIN};
        poll(&asked, 1, (int)(pause * 1e3));
        pause = pause * 1.5 < RETRY_MOST ? pause * 1.5 : RETRY_MOST;
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

static void wake_jobs(pilot *p)
{
    pthread_mutex_lock(&p->lock);
    for (job *j = p->jobs; j; j = j->next) {
        j->gone = true;
        pthread_cond_broadcast(&j->arrived);
    }
    pthread_mutex_unlock(&p->lock);
}

static void wait_for_jobs(pilot *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->running)
        pthread_cond_wait(&p->calm, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

/* One connection, from its beginning to its end. */
static mf_status serve_link(pilot *p)
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
        say(p, "no end could be told: %s", strerror(errno));
    pthread_join(ticker, NULL);
    mf_link_free(p->link);
    p->link = NULL;
    if (p->over || p->leaving) {
        mf_error_free(status);
        return MF_OK;
    }
    return status ? status : mf_fail(MF_IO, "%s closed the connection", p->options->where);
}

static mf_status fill_devices(pilot *p)
{
    mf_device *const *devices;
    size_t count;

    if (!p->options->devices)
        return MF_OK;
    MF_TRY(mf_host_devices(p->host, &devices, &count));
    p->hello.devices = calloc(count + 1, sizeof *p->hello.devices);
    if (!p->hello.devices)
        return mf_no_memory(0, "the devices of a worker");
    for (size_t i = 0; i < count; i++) {
        mf_hello_device *d = &p->hello.devices[i];
        d->info = *mf_device_get_info(devices[i]);
        while (d->memory_of < (int64_t)i &&
               !mf_device_same_memory(devices[d->memory_of], devices[i]))
            d->memory_of++;
        p->hello.device_count++;
    }
    return MF_OK;
}

static mf_status fill_hello(pilot *p)
{
    const mf_pilot_options *o = p->options;
    mf_process self;
    uint8_t random[MF_SECRET_BYTES];

    mf_process_self(&self);
    MF_TRY(mf_secret_random(random));
    memcpy(p->hello.random, random, sizeof p->hello.random);
    p->hello.pid = self.pid;
    p->hello.start = self.start;
    p->hello.slots = o->slots;
    p->hello.bytes = (int64_t)o->bytes;
    snprintf(p->hello.version, sizeof p->hello.version, "%s", o->version);
    snprintf(p->hello.pool, sizeof p->hello.pool, "%s", o->pool);
    if (gethostname(p->hello.host, sizeof p->hello.host - 1) != 0)
        snprintf(p->hello.host, sizeof p->hello.host, "unknown");
    MF_TRY(mf_hello_fill(mf_host_registry(p->host), &p->hello));
    return fill_devices(p);
}

static void tell_line(void *self, const char *node, const char *line)
{
    pilot *p = self;
    mf_packet q = {0};
    uint32_t channel = 0;

    pthread_mutex_lock(&p->lock);
    for (job *j = p->jobs; j && !channel; j = j->next)
        if (j->frozen && !strcmp(mf_frozen_work(j->frozen)->node, node))
            channel = j->channel;
    /* Of a stream: of whichever node reads it. */
    for (job *j = p->jobs; j && !channel; j = j->next) {
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

static mf_status serve(pilot *p)
{
    MF_TRY(mf_chunk_cache_open(p->options->cache, p->options->cache_bytes, &p->chunk_cache));
    MF_TRY(fill_hello(p));
    MF_TRY(join(p));
    p->joined = true;
    say(p, "joined %s; cache %s", p->options->where, mf_chunk_cache_dir(p->chunk_cache));
    mf_host_set_log(p->host, tell_line, p);
    mf_status status = serve_link(p);
    mf_host_set_log(p->host, NULL, NULL);
    return status;
}

mf_status mf_pilot_serve(mf_host *host, const mf_pilot_options *options, bool *lost)
{
    pilot p = {.options = options,
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
