/* remote.c - one node at a worker: says what to run, answers what it asks, takes what it made.
 *
 * A start: bytes of memory, threads, the devices' numbers, microseconds of the time-out, whether in
 * a process of its own, retries, whether it waits for a slot, key; of several workers which one
 * this is, how many they are, their secret (0 and 1: it is alone); the input files (offer.h); then
 * the work (worker/frozen.h). The worker is trusted with this node and nothing else: it reads the
 * artifacts and files that are inputs of the node, and what it makes is checked as all outputs are.
 */
#include "run/remote/remote.h"
#include "run/remote/offer.h"
#include "run/worker/frozen.h"
#include "run/worker/heard.h"
#include "store/transfer.h"

#include "base/artifact_source.h"

#include <stdlib.h>
#include <string.h>

typedef struct opened {
    mf_parcel *parcel;
    struct opened *next;
} opened;

typedef struct node {
    mf_task *task;
    const mf_limits *limits;
    const char *key;
    const mf_gang_seat *seat; /* of several workers: what this one has; NULL: the task says it */
    mf_gang *gang;            /* the others; NULL: it is alone */
    int rank;
    mf_store *store;
    mf_channel *channel;
    bool ahead, started, lost;
    opened *inputs; /* records that were asked for */
    mf_offer *files;
    mf_intake
        *arriving; /* an output; the store is pinned, for chunks come before what names them */
    size_t port;   /* of it */
    mf_state_arrival *state;
    int lines; /* taken, and not told so yet */
    bool done;
    mf_status result; /* once it is done */
    mf_status unkept; /* why an output could not be kept; the worker may not wait to hear it */
    mf_remote_end *end;
} node;

static mf_status damaged(void)
{
    return mf_fail(MF_CORRUPT, "a message of the other end is damaged");
}

static mf_status tell(node *n, mf_link_kind kind, mf_packet *p)
{
    return mf_channel_send(n->channel, kind, p, NULL, 0, &n->lost);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static bool is_input(const mf_work *work, const char *id)
{
    for (size_t i = 0; i < work->feed_count; i++) {
        const mf_feed *feed = &work->feeds[i];
        for (size_t k = 0; k < feed->count; k++)
            if (!strcmp(feed->elements[k].id, id))
                return true;
        if (feed->stream && is_input(feed->stream, id))
            return true;
    }
    return false;
}

static mf_status find_input(node *n, mf_packet *q, const mf_parcel **parcel)
{
    const char *id = mf_packet_get_text(q);
    opened *o;

    MF_TRY(mf_packet_check(q));
    if (!id)
        return damaged();
    for (o = n->inputs; o && strcmp(o->parcel->id, id); o = o->next)
        ;
    if (!o) {
        if (!is_input(mf_task_work(n->task), id))
            return mf_fail(MF_INVALID, "artifact %.12s is no input of %s", id,
                           mf_task_work(n->task)->node);
        o = calloc(1, sizeof *o);
        if (!o)
            return mf_no_memory(0, "an artifact");
        mf_status status = mf_store_parcel(n->store, id, &o->parcel);
        if (status) {
            free(o);
            return status;
        }
        o->next = n->inputs;
        n->inputs = o;
    }
    *parcel = o->parcel;
    return MF_OK;
}

static mf_status send_piece(node *n, int64_t index, const mf_chunk *chunk)
{
    mf_packet p = {0};

    mf_packet_int(&p, index);
    mf_packet_int(&p, chunk->codec);
    mf_packet_int(&p, (int64_t)chunk->raw);
    return mf_channel_send(n->channel, MF_LINK_PIECE, &p, chunk->bytes, chunk->size, &n->lost);
}

static mf_status answer_want(node *n, mf_packet *q)
{
    const mf_parcel *parcel;
    size_t count;

    MF_TRY(find_input(n, q, &parcel));
    count = mf_packet_get_count(q);
    for (size_t i = 0; i < count && !n->lost; i++) {
        int64_t index = mf_packet_get_int(q);
        mf_chunk chunk;
        if (q->failed || index < 0 || (size_t)index >= parcel->count)
            return damaged();
        MF_TRY(mf_store_chunk(n->store, parcel->pieces[index].digest, &chunk));
        mf_status status = send_piece(n, index, &chunk);
        if (!status)
            mf_channel_spool(n->channel, parcel->pieces[index].digest, &chunk);
        mf_chunk_clear(&chunk);
        MF_TRY(status);
    }
    mf_channel_knows(n->channel, parcel->id);
    return MF_OK;
}

static mf_status answer_get(node *n, mf_packet *q, mf_packet *p)
{
    const mf_parcel *parcel;

    MF_TRY(find_input(n, q, &parcel));
    mf_packet_bytes(p, parcel->record, parcel->size);
    if (!parcel->count)
        mf_channel_knows(n->channel, parcel->id);
    return MF_OK;
}

/* ---- outputs --------------------------------------------------------------------------------- */

static mf_status find_port(node *n, const char *name)
{
    const mf_work *work = mf_task_work(n->task);

    for (n->port = 0; n->port < work->out_count; n->port++)
        if (!strcmp(work->stage->out[n->port].name, name))
            return MF_OK;
    return mf_fail(MF_CORRUPT, "%s has no output '%s'", work->stage->name, name);
}

static mf_status answer_output(node *n, mf_packet *q, mf_packet *p)
{
    const char *port = mf_packet_get_text(q);
    size_t size, count;
    const void *record = mf_packet_get_bytes(q, &size);
    mf_parcel *parcel;
    uint32_t *lacks;

    MF_TRY(mf_packet_check(q));
    if (!port || !record || n->arriving)
        return damaged();
    MF_TRY(find_port(n, port));
    MF_TRY(mf_parcel_new(record, size, &parcel));
    MF_TRY(mf_intake_new(n->store, parcel, &n->arriving));
    mf_store_pin(n->store);
    MF_TRY(mf_intake_lacks(n->arriving, &lacks, &count));
    mf_packet_int(p, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        mf_packet_int(p, lacks[i]);
    free(lacks);
    return MF_OK;
}

static mf_status take_piece(node *n, mf_packet *q)
{
    int64_t index = mf_packet_get_int(q), codec = mf_packet_get_int(q), raw = mf_packet_get_int(q);
    mf_chunk chunk = {.codec = (int)codec, .raw = (size_t)raw};

    MF_TRY(mf_packet_check(q));
    if (!n->arriving && n->unkept) /* sent before it could hear of that */
        return MF_OK;
    if (!n->arriving || index < 0 || codec < 0 || codec > 8 || raw < 1 ||
        (size_t)raw > MF_CHUNK_MOST)
        return damaged();
    chunk.bytes = q->bytes + q->at;
    chunk.size = q->size - q->at;
    mf_status status = mf_intake_chunk(n->arriving, (size_t)index, &chunk);
    if (status && mf_error_code(status) != MF_CORRUPT)
        n->end->store_failed = true;
    return status;
}

static void drop_arriving(node *n)
{
    if (n->arriving)
        mf_store_unpin(n->store);
    mf_intake_free(n->arriving);
    n->arriving = NULL;
}

/* Its chunks and its record are committed before the node knows of it. */
static mf_status keep_output(node *n)
{
    mf_artifact *artifact;
    char id[MF_HEX_SIZE];

    if (!n->arriving)
        return n->unkept ? mf_fail(MF_IO, "the output is not kept") : damaged();
    MF_TRY(mf_intake_end(n->arriving));
    strcpy(id, mf_intake_parcel(n->arriving)->id);
    drop_arriving(n);
    MF_TRY(mf_store_get(n->store, id, &artifact));
    mf_channel_knows(n->channel, id);
    return mf_out(n->task, mf_task_work(n->task)->stage->out[n->port].name, artifact);
}

/* ---- states ---------------------------------------------------------------------------------- */

static mf_status send_slice(void *self, const void *bytes, size_t size)
{
    node *n = self;
    mf_packet none = {0};

    return n->lost ? MF_OK
                   : mf_channel_send(n->channel, MF_LINK_BYTES, &none, bytes, size, &n->lost);
}

static mf_status reply(node *n, const mf_error *status, mf_packet *content)
{
    mf_packet p = {0};

    mf_packet_status(&p, status);
    if (!status && content)
        mf_packet_append(&p, content);
    if (content)
        mf_packet_clear(content);
    return tell(n, MF_LINK_REPLY, &p);
}

/* The bytes follow the answer. */
static mf_status answer_load(node *n, mf_packet *q)
{
    int64_t most = mf_packet_get_int(q), step = 0;
    mf_artifact *state = NULL;
    mf_packet p = {0};
    mf_status status = mf_packet_check(q), sent;

    if (n->gang)
        mf_gang_lock(n->gang);
    if (!status)
        status = mf_checkpoint_load(n->task, most, &step, &state);
    if (n->gang)
        mf_gang_unlock(n->gang);
    mf_packet_int(&p, step);
    mf_packet_int(&p, state != NULL);
    if (state)
        mf_packet_head(&p, state);
    sent = reply(n, status, &p);
    mf_error_free(status);
    if (!sent && state)
        sent = mf_state_send(state, send_slice, n);
    mf_artifact_unref(state);
    return sent;
}

static mf_status save_state(node *n, mf_packet *q)
{
    int64_t step = mf_packet_get_int(q);
    bool keep = mf_packet_get_int(q) != 0;
    mf_artifact *state;
    mf_status status;

    MF_TRY(mf_packet_check(q));
    if (!n->state || !mf_state_arrival_done(n->state))
        return damaged();
    state = mf_state_arrival_take(n->state);
    mf_state_arrival_free(n->state);
    n->state = NULL;
    status = mf_checkpoint_save(n->task, step, state, keep);
    mf_artifact_unref(state);
    return status;
}

static mf_status begin_state(node *n, mf_packet *q)
{
    mf_state_arrival_free(n->state);
    n->state = NULL;
    return mf_state_arrival_new(q, &n->state);
}

/* ---- what it says ---------------------------------------------------------------------------- */

/* A chunk that the worker found damaged may be so in this store: read here, it is dropped and its
 * artifact marked as missing, as by any stage that reads it. */
static mf_status look_for_damage(node *n)
{
    for (const opened *o = n->inputs; o; o = o->next) {
        mf_artifact *a;
        mf_status status = mf_store_get(n->store, o->parcel->id, &a);
        for (size_t i = 0; !status && i < mf_artifact_array_count(a); i++) {
            mf_array_info info;
            mf_array *array = NULL, *offsets = NULL;
            mf_artifact_array_info(a, i, &info);
            status = info.ragged ? mf_artifact_rows(a, info.name, &array, &offsets)
                                 : mf_artifact_array(a, info.name, &array);
            mf_array_unref(array);
            mf_array_unref(offsets);
        }
        mf_artifact_unref(a);
        MF_TRY(status);
    }
    return MF_OK;
}

static mf_status take_done(node *n, mf_packet *q)
{
    n->result = mf_packet_get_status(q);
    if (n->result && mf_error_code(n->result) == MF_CORRUPT) {
        mf_status here = look_for_damage(n);
        if (here) {
            mf_error_free(n->result);
            n->result = here;
        }
    }
    n->end->seconds = (double)mf_packet_get_int(q) * 1e-6;
    n->end->spent.peak_bytes = mf_packet_get_int(q);
    /* One that did well has handed over each output that it began with. */
    n->done = !q->failed && n->end->seconds >= 0 && n->end->spent.peak_bytes >= 0 &&
              (n->result || n->unkept || !n->arriving);
    return n->done ? MF_OK : damaged();
}

static mf_status take_returned(node *n, mf_packet *q)
{
    (void)mf_packet_get_text(q); /* words, for people who read along */
    n->end->full = mf_packet_get_int(q) != 0;
    n->end->unbegun = mf_packet_get_int(q) != 0;
    MF_TRY(mf_packet_check(q));
    if (n->end->unbegun && !n->ahead)
        return damaged();
    n->end->returned = n->done = true;
    return MF_OK;
}

/* What one worker alone may do: of several number 0. */
static bool hands_over(mf_link_kind kind)
{
    return kind == MF_LINK_OUTPUT || kind == MF_LINK_KEEP || kind == MF_LINK_SAVE;
}

static mf_status put_answer(node *n, mf_frame *f, mf_packet *p)
{
    if (n->rank > 0 && hands_over(f->kind))
        return damaged();
    switch (f->kind) {
    case MF_LINK_RANKS:
        return n->gang ? mf_gang_meet(n->gang, n->rank, &f->body, p) : damaged();
    case MF_LINK_GET:
        return answer_get(n, &f->body, p);
    case MF_LINK_WANT:
        return answer_want(n, &f->body);
    case MF_LINK_OUTPUT:
        return answer_output(n, &f->body, p);
    case MF_LINK_FILES:
        return mf_offer_list(n->files, &f->body, p);
    case MF_LINK_READ:
        return mf_offer_read(n->files, &f->body, send_slice, n);
    case MF_LINK_SYNC:
        return MF_OK;
    case MF_LINK_KEEP:
        return keep_output(n);
    case MF_LINK_SAVE:
        return save_state(n, &f->body);
    default:
        return damaged();
    }
}

/* An answer that is an error is the node's; what makes no sense is the worker's. */
static mf_status answer(node *n, mf_frame *f)
{
    mf_packet content = {0};
    mf_status status = put_answer(n, f, &content), sent;

    if (status && mf_error_code(status) == MF_CORRUPT && f->kind != MF_LINK_WANT &&
        f->kind != MF_LINK_FILES && f->kind != MF_LINK_READ && f->kind != MF_LINK_GET) {
        mf_packet_clear(&content);
        return status;
    }
    sent = reply(n, status, &content);
    if (!n->unkept && (f->kind == MF_LINK_OUTPUT || f->kind == MF_LINK_KEEP))
        n->unkept = status;
    else
        mf_error_free(status);
    return sent;
}

static mf_status take_log(node *n, mf_packet *q)
{
    const char *name, *line;
    mf_packet p = {0};

    MF_TRY(mf_heard_log(n->task, q, &name, &line));
    mf_host_log(mf_task_host(n->task), name, line); /* which may wait for a moment */
    if (++n->lines < MF_LINK_LINES / 4)
        return MF_OK;
    mf_packet_int(&p, n->lines);
    n->lines = 0;
    return tell(n, MF_LINK_TAKEN, &p);
}

static mf_status take_frame(node *n, mf_frame *f)
{
    switch (f->kind) {
    case MF_LINK_LOG:
        return take_log(n, &f->body);
    case MF_LINK_PROGRESS: /* that of number 0 is the node's */
        return n->rank ? MF_OK : mf_heard_progress(n->task, &f->body);
    case MF_LINK_PIECE:
        return take_piece(n, &f->body);
    case MF_LINK_STATE:
        return n->rank ? damaged() : begin_state(n, &f->body);
    case MF_LINK_BYTES:
        return n->state ? mf_state_arrival_bytes(n->state, &f->body) : damaged();
    case MF_LINK_LOAD:
        return answer_load(n, &f->body);
    case MF_LINK_DONE:
        return take_done(n, &f->body);
    case MF_LINK_RETURNED:
        return take_returned(n, &f->body);
    default:
        return answer(n, f);
    }
}

/* ---- the node -------------------------------------------------------------------------------- */

static mf_status put_start(node *n, mf_packet *p)
{
    const size_t *devices;
    size_t count = mf_task_device_list(n->task, &devices);

    if (n->seat) {
        devices = n->seat->devices;
        count = n->seat->device_count;
    }
    mf_packet_int(p, (int64_t)n->limits->memory);
    mf_packet_int(p, n->seat ? n->seat->threads : mf_task_threads(n->task));
    mf_packet_int(p, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        mf_packet_int(p, (int64_t)devices[i]);
    mf_packet_int(p, (int64_t)(n->limits->timeout * 1e6));
    mf_packet_int(p, n->limits->isolate);
    mf_packet_int(p, n->gang ? 0 : n->limits->retries);
    mf_packet_int(p, n->ahead);
    mf_packet_text(p, n->key);
    if (n->gang) {
        mf_gang_put(n->gang, n->rank, p);
    } else {
        mf_packet_int(p, 0);
        mf_packet_int(p, 1);
    }
    MF_TRY(mf_offer_put(n->files, p));
    return mf_frozen_put(p, mf_task_work(n->task));
}

static mf_status run(node *n)
{
    mf_packet start = {0};
    mf_status status = mf_offer_new(mf_task_files(n->task), n->store, &n->files);

    if (!status)
        status = put_start(n, &start);
    if (status) {
        mf_packet_clear(&start);
        return status;
    }
    MF_TRY(tell(n, MF_LINK_START, &start));
    n->started = true;
    while (!n->done && !n->lost) {
        mf_frame f;
        mf_channel_next(n->channel, &f, &n->lost);
        if (n->lost)
            break;
        status = take_frame(n, &f);
        mf_packet_clear(&f.body);
        MF_TRY(status);
    }
    return MF_OK;
}

/* What it came to, by what was heard. */
static mf_status outcome(node *n, mf_status status)
{
    if (status && mf_error_code(status) == MF_CORRUPT && !n->done) {
        mf_channel_refuse(n->channel, status);
        mf_error_free(status);
        status = MF_OK;
        n->lost = true;
    }
    if (status)
        return status;
    if (!n->done)
        n->end->returned = n->end->lost = true;
    if (n->end->returned)
        return MF_OK;
    if (n->unkept) {
        n->end->store_failed = true;
        status = n->unkept;
        n->unkept = MF_OK;
        return status;
    }
    status = n->result;
    n->result = MF_OK;
    return status || n->rank ? status : mf_task_check_outputs(n->task);
}

/* Nobody hears it any more, and its slot is taken for free: it must not go on. */
static void end_there(node *n)
{
    mf_packet none = {0};

    if (n->started && !n->done && !n->lost)
        mf_error_free(tell(n, MF_LINK_CANCEL, &none));
}

static void clear(node *n)
{
    end_there(n);
    for (opened *o = n->inputs, *next; o; o = next) {
        next = o->next;
        mf_parcel_free(o->parcel);
        free(o);
    }
    drop_arriving(n);
    mf_offer_free(n->files);
    mf_state_arrival_free(n->state);
    mf_error_free(n->result);
    mf_error_free(n->unkept);
    mf_channel_close(n->channel);
}

/* Until its channel is closed. */
static mf_status execute(mf_workers *workers, size_t number, node *n)
{
    mf_status status;

    *n->end = (mf_remote_end){0};
    MF_TRY(mf_channel_open(workers, number, &n->channel));
    if (!n->channel) {
        n->end->returned = true;
        n->end->unbegun = n->ahead;
        return MF_OK;
    }
    if (n->gang)
        mf_gang_enter(n->gang, n->rank, n->channel);
    status = outcome(n, run(n));
    if (n->gang)
        mf_gang_leave(n->gang, n->rank, !status && !n->end->returned);
    clear(n);
    return status;
}

mf_status mf_execute_remote(mf_workers *workers, size_t number, mf_task *task,
                            const mf_limits *limits, const char *key, bool ahead,
                            mf_remote_end *end)
{
    node n = {.task = task,
              .limits = limits,
              .key = key,
              .ahead = ahead,
              .store = mf_host_store(mf_task_host(task)),
              .end = end};
    mf_status status;

    mf_task_begin_checkpoints(task);
    mf_task_set_timeout(task, limits->isolate ? 0 : limits->timeout); /* one there is killed */
    status = execute(workers, number, &n);
    mf_task_set_timeout(task, 0);
    if (status || end->returned)
        mf_task_drop(task);
    return status;
}

mf_status mf_execute_number(mf_workers *workers, const mf_gang_seat *seat, mf_task *task,
                            const mf_limits *limits, const char *key, mf_gang *gang, int rank,
                            mf_remote_end *end)
{
    node n = {.task = task,
              .limits = limits,
              .key = key,
              .seat = seat,
              .gang = gang,
              .rank = rank,
              .store = mf_host_store(mf_task_host(task)),
              .end = end};
    mf_status status = execute(workers, seat->worker, &n);

    if (!n.channel) /* it never entered */
        mf_gang_leave(gang, rank, false);
    return status;
}
