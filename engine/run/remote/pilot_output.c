/* pilot_output.c - what a node made goes to the run. See pilot_private.h. */
#include "run/remote/pilot_private.h"

#include <stdlib.h>

/* An output up to this size goes over in one go. */
#define SMALL_BYTES ((int64_t)64 << 10)
#define SMALL_PIECES 16

/* In several threads. */
static mf_status keep_piece(void *self, const uint8_t digest[MF_DIGEST_BYTES], const uint8_t *bytes,
                            size_t raw, size_t element, bool integer)
{
    mf_pilot_job *j = self;
    mf_chunk chunk;
    bool found;
    mf_status status = mf_chunk_cache_get(j->pilot->chunk_cache, digest, &chunk, &found);

    /* What lies there is read: a crash may have left it damaged, and it may go meanwhile. */
    if (!status && !found)
        status = mf_chunk_pack(bytes, raw, element, integer, &chunk);
    if (!status)
        status = mf__pilot_keep(j->pilot, digest, &chunk, true);
    mf_chunk_clear(&chunk);
    return status;
}

static mf_status send_piece(mf_pilot_job *j, const mf_parcel *parcel, size_t index, size_t *bytes)
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
    status = mf__pilot_send(j, MF_LINK_PIECE, &p, chunk.bytes, chunk.size);
    mf_chunk_clear(&chunk);
    return status;
}

/* What the answer names, in batches. */
static mf_status send_pieces(mf_pilot_job *j, const mf_parcel *parcel, mf_packet *lacks)
{
    size_t count = mf_packet_get_count(lacks), bytes = 0;

    for (size_t i = 0; i < count; i++) {
        int64_t index = mf_packet_get_int(lacks);
        if (lacks->failed || index < 0 || (size_t)index >= parcel->count)
            return mf__pilot_damaged();
        MF_TRY(send_piece(j, parcel, (size_t)index, &bytes));
        if (bytes < MF_LINK_BATCH)
            continue;
        mf_packet none = {0}, answer;
        mf_status status = mf__pilot_call(j, MF_LINK_SYNC, &none, &answer);
        mf_packet_clear(&answer);
        MF_TRY(status);
        bytes = 0;
    }
    return mf_packet_check(lacks);
}

/* All of it at once, without asking what is lacking and without waiting: what goes wrong with it
 * the run sees first. */
static mf_status hand_over_small(mf_pilot_job *j, const char *port, const mf_parcel *parcel)
{
    mf_packet q = {0}, none = {0};
    size_t bytes = 0;

    mf_packet_text(&q, port);
    mf_packet_bytes(&q, parcel->record, parcel->size);
    MF_TRY(mf__pilot_send(j, MF_LINK_OUTPUT, &q, NULL, 0));
    j->owed++;
    for (size_t i = 0; i < parcel->count; i++)
        MF_TRY(send_piece(j, parcel, i, &bytes));
    MF_TRY(mf__pilot_send(j, MF_LINK_KEEP, &none, NULL, 0));
    j->owed++;
    return MF_OK;
}

static mf_status hand_over(mf_pilot_job *j, const char *port, const mf_parcel *parcel)
{
    mf_packet q = {0}, lacks, answer = {0}, none = {0};
    mf_status status;

    if (parcel->bytes <= SMALL_BYTES && parcel->count <= SMALL_PIECES)
        return hand_over_small(j, port, parcel);
    mf_packet_text(&q, port);
    mf_packet_bytes(&q, parcel->record, parcel->size);
    status = mf__pilot_call(j, MF_LINK_OUTPUT, &q, &lacks);
    if (!status)
        status = send_pieces(j, parcel, &lacks);
    mf_packet_clear(&lacks);
    if (!status)
        status = mf__pilot_call(j, MF_LINK_KEEP, &none, &answer);
    mf_packet_clear(&answer);
    return status;
}

static mf_status pack_output(mf_pilot_job *j, size_t port)
{
    mf_parcel *parcel;
    uint8_t digest[MF_DIGEST_BYTES];

    MF_TRY(mf_parcel_of(mf_task_output(j->task, port), keep_piece, j, &parcel));
    j->result.parcels[port] = parcel;
    mf_chunk record = {.raw = parcel->size, .size = parcel->size, .bytes = parcel->record};
    mf_hex_decode(parcel->id, digest);
    return mf__pilot_keep(j->pilot, digest, &record, false);
}

mf_status mf__pilot_pack(mf_pilot_job *j)
{
    size_t count = mf_task_work(j->task)->out_count;

    j->result.parcels = calloc(count + 1, sizeof(mf_parcel *));
    if (!j->result.parcels)
        return mf_no_memory(0, "the outputs of a node");
    j->result.count = count;
    j->result.pinned = true;
    for (size_t i = 0; i < count; i++)
        if (mf_task_output(j->task, i)) /* else optional, and left out */
            MF_TRY(pack_output(j, i));
    return MF_OK;
}

/* All outputs over one link, and then `told`: a run that takes the node over later hears of it anew
 * (pilot_made.c). */
static mf_status deliver_once(mf_pilot_job *j)
{
    const mf_stage *stage = mf_frozen_work(j->frozen)->stage;
    mf_pilot *p = j->pilot;

    pthread_mutex_lock(&p->lock);
    bool gone = j->gone;
    pthread_mutex_unlock(&p->lock);
    if (gone)
        return mf__pilot_gone();
    MF_TRY(mf__pilot_begin(j));
    for (size_t i = 0; i < j->result.count; i++)
        if (j->result.parcels[i])
            MF_TRY(hand_over(j, stage->out[i].name, j->result.parcels[i]));
    pthread_mutex_lock(&p->lock);
    gone = j->gone || j->asks != j->turn;
    j->told = !gone;
    pthread_mutex_unlock(&p->lock);
    return gone ? mf__pilot_gone() : MF_OK;
}

/* Taken over meanwhile by another run, which has heard nothing yet. */
static bool is_taken_over(mf_pilot_job *j)
{
    pthread_mutex_lock(&j->pilot->lock);
    bool taken = !j->gone && j->asks != j->turn;
    pthread_mutex_unlock(&j->pilot->lock);
    return taken;
}

mf_status mf__pilot_deliver(mf_pilot_job *j)
{
    mf_status status;

    pthread_mutex_lock(&j->calling);
    while ((status = deliver_once(j)) && is_taken_over(j))
        mf_error_free(status);
    pthread_mutex_unlock(&j->calling);
    return status;
}
