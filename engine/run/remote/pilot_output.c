/* pilot_output.c - what a node made goes to the run. See pilot_private.h. */
#include "run/remote/pilot_private.h"

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

    pthread_mutex_lock(&j->calling);
    if (parcel->bytes <= SMALL_BYTES && parcel->count <= SMALL_PIECES) {
        status = hand_over_small(j, port, parcel);
        pthread_mutex_unlock(&j->calling);
        return status;
    }
    mf_packet_text(&q, port);
    mf_packet_bytes(&q, parcel->record, parcel->size);
    status = mf__pilot_call(j, MF_LINK_OUTPUT, &q, &lacks);
    if (!status)
        status = send_pieces(j, parcel, &lacks);
    mf_packet_clear(&lacks);
    if (!status)
        status = mf__pilot_call(j, MF_LINK_KEEP, &none, &answer);
    mf_packet_clear(&answer);
    pthread_mutex_unlock(&j->calling);
    return status;
}

mf_status mf__pilot_send_output(mf_pilot_job *j, size_t port)
{
    const mf_artifact *a = mf_task_output(j->task, port);
    mf_parcel *parcel;
    uint8_t digest[MF_DIGEST_BYTES];
    mf_status status;

    MF_TRY(mf_parcel_of(a, keep_piece, j, &parcel));
    mf_chunk record = {.raw = parcel->size, .size = parcel->size, .bytes = parcel->record};
    mf_hex_decode(parcel->id, digest);
    status = mf__pilot_keep(j->pilot, digest, &record, false);
    if (!status)
        status = hand_over(j, mf_task_work(j->task)->stage->out[port].name, parcel);
    for (size_t i = 0; i < parcel->count; i++)
        mf_chunk_cache_unpin(j->pilot->chunk_cache, parcel->pieces[i].digest);
    mf_parcel_free(parcel);
    return status;
}
