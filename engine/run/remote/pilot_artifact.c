/* pilot_artifact.c - artifacts that lie in the run's store. See pilot_private.h. */
#include "run/remote/pilot_private.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

#define AHEAD 4                  /* questions for pieces that are open at once */
#define SPAN ((size_t)256 << 20) /* bytes of pieces for which one node is asked in one go */

#define FRESH ((size_t)64 << 20) /* bytes of pieces that stay in memory until they are read */
#define MOST_FRESH 2048

/* A piece that has just come, and was held against its digest. */
typedef struct fresh {
    uint32_t piece;
    mf_packet packet; /* has the bytes of the chunk */
    mf_chunk chunk;
} fresh;

typedef struct source {
    mf_pilot *pilot;
    uint64_t job; /* number of the one that opened it */
    mf_parcel *parcel;
    pthread_mutex_t lock; /* of what follows */
    fresh *fresh;
    size_t fresh_count, fresh_bytes;
} source;

/* Takes over the packet where there is room. */
static void put_fresh(source *s, uint32_t piece, mf_packet *p, const mf_chunk *chunk)
{
    pthread_mutex_lock(&s->lock);
    if (s->fresh_count < MOST_FRESH && s->fresh_bytes + p->room <= FRESH) {
        fresh *grown = mf_list_more(s->fresh, s->fresh_count, sizeof *grown);
        if (grown) {
            s->fresh = grown;
            s->fresh[s->fresh_count++] = (fresh){piece, *p, *chunk};
            s->fresh_bytes += p->room;
            *p = (mf_packet){0};
        }
    }
    pthread_mutex_unlock(&s->lock);
}

/* The caller clears the packet. */
static bool take_fresh(source *s, uint32_t piece, fresh *out)
{
    bool found = false;

    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->fresh_count && !found; i++) {
        found = s->fresh[i].piece == piece;
        if (!found)
            continue;
        *out = s->fresh[i];
        s->fresh_bytes -= out->packet.room;
        s->fresh[i] = s->fresh[--s->fresh_count];
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void drop_fresh(source *s)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->fresh_count; i++)
        mf_packet_clear(&s->fresh[i].packet);
    s->fresh_count = s->fresh_bytes = 0;
    pthread_mutex_unlock(&s->lock);
}

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
static mf_pilot_job *who_asks(const source *s)
{
    mf_pilot_job *j;

    pthread_mutex_lock(&s->pilot->lock);
    for (j = s->pilot->jobs; j && (j->number != s->job || j->told); j = j->next)
        ;
    if (!j)
        for (j = s->pilot->jobs; j; j = j->next)
            if (!j->told && !j->gone && j->frozen &&
                has_input(mf_frozen_work(j->frozen), s->parcel->id))
                break;
    if (j)
        j->refs++;
    pthread_mutex_unlock(&s->pilot->lock);
    return j;
}

/* One that was asked for: held against the record, then kept. */
static mf_status take_piece(source *s, mf_packet *p)
{
    int64_t index = mf_packet_get_int(p), codec = mf_packet_get_int(p), raw = mf_packet_get_int(p);
    mf_chunk chunk = {.codec = (int)codec, .raw = (size_t)raw};
    const mf_parcel_piece *piece;
    bool sound = false;

    if (p->failed || index < 0 || (size_t)index >= s->parcel->count || codec < 0 || codec > 8 ||
        raw < 1 || (size_t)raw > MF_CHUNK_MOST)
        return mf__pilot_damaged();
    piece = &s->parcel->pieces[index];
    chunk.bytes = p->bytes + p->at;
    chunk.size = p->size - p->at;
    if (!piece->raw || piece->raw == chunk.raw)
        MF_TRY(mf_chunk_open(&chunk, piece->digest, NULL, &sound));
    if (!sound)
        return mf_fail(MF_CORRUPT, "piece %lld of artifact %.12s does not match its digest",
                       (long long)index, s->parcel->id);
    MF_TRY(mf__pilot_keep(s->pilot, piece->digest, &chunk, false));
    put_fresh(s, (uint32_t)index, p, &chunk);
    return MF_OK;
}

/* The pieces that were asked for, then the answer. */
static mf_status take_pieces(mf_pilot_job *j, source *s, size_t count)
{
    mf_status status = MF_OK;

    for (;;) {
        mf_frame f;
        mf_status now = mf__pilot_next(j, &f);
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
            return now || !count ? now : mf__pilot_damaged();
        }
        if (f.kind != MF_LINK_PIECE || !count)
            now = mf__pilot_damaged();
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

static size_t bytes_of(const source *s, uint32_t piece)
{
    uint32_t raw = s->parcel->pieces[piece].raw;

    return raw ? raw : (size_t)64 << 10;
}

/* Of the first pieces, as many as one question is for; *asked: how many. */
static mf_status send_want(mf_pilot_job *j, const source *s, const uint32_t *pieces, size_t count,
                           size_t *asked)
{
    mf_packet q = {0};
    size_t n = 0, bytes = 0;

    while (n < count && bytes < MF_LINK_BATCH / AHEAD)
        bytes += bytes_of(s, pieces[n++]);
    *asked = n;
    mf_packet_text(&q, s->parcel->id);
    mf_packet_int(&q, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        mf_packet_int(&q, pieces[i]);
    return mf__pilot_send(j, MF_LINK_WANT, &q, NULL, 0);
}

/* Several questions are on their way at once, so that the run never waits for the next one. After
 * an error what was asked for is still heard. */
static mf_status ask_ahead(mf_pilot_job *j, source *s, const uint32_t *pieces, size_t count)
{
    size_t asked[AHEAD], first = 0, open = 0, at = 0;
    mf_status status;

    MF_TRY(mf__pilot_begin(j));
    status = mf__pilot_take_owed(j);
    for (;;) {
        while (!status && open < AHEAD && at < count) {
            size_t *n = &asked[(first + open) % AHEAD];
            status = send_want(j, s, pieces + at, count - at, n);
            if (status)
                break;
            at += *n;
            open++;
        }
        if (!open)
            return status;
        mf_status now = take_pieces(j, s, asked[first]);
        first = (first + 1) % AHEAD;
        open--;
        if (status)
            mf_error_free(now);
        else
            status = now;
    }
}

/* Those that did not come before the link was lost. */
static size_t keep_lacking(const source *s, uint32_t *pieces, size_t count)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        if (!mf_chunk_cache_has(s->pilot->chunk_cache, s->parcel->pieces[pieces[i]].digest))
            pieces[n++] = pieces[i];
    return n;
}

/* *told: that node has ended meanwhile, and nothing was asked. */
static mf_status ask_through(mf_pilot_job *j, source *s, uint32_t *pieces, size_t count, bool *told)
{
    mf_status status = MF_OK;

    pthread_mutex_lock(&j->calling);
    *told = j->told;
    while (!*told) {
        status = ask_ahead(j, s, pieces, count);
        if (!mf__pilot_anew(j, &status))
            break;
        count = keep_lacking(s, pieces, count);
    }
    pthread_mutex_unlock(&j->calling);
    return status;
}

static mf_status ask_pieces(source *s, uint32_t *pieces, size_t count)
{
    bool told = true;
    mf_status status = MF_OK;

    while (told && !status) {
        mf_pilot_job *j = who_asks(s);
        if (!j)
            return mf__pilot_gone();
        status = ask_through(j, s, pieces, count, &told);
        mf__pilot_unref(j);
    }
    return status;
}

/* From the spool, where there is one and it has the chunk. */
static mf_status take_spooled(const source *s, const char *spool, uint32_t piece, bool *found)
{
    const mf_parcel_piece *p = &s->parcel->pieces[piece];
    mf_chunk chunk;

    *found = false;
    if (!spool)
        return MF_OK;
    MF_TRY(mf_chunk_folder_get(spool, p->digest, &chunk, found));
    *found = *found && (!p->raw || p->raw == chunk.raw);
    mf_status status = *found ? mf__pilot_keep(s->pilot, p->digest, &chunk, false) : MF_OK;
    mf_chunk_clear(&chunk);
    return status;
}

/* For the caller to free: joining again may bring another one. */
static char *copy_spool(mf_pilot *p)
{
    pthread_mutex_lock(&p->lock);
    char *spool = p->spool ? strdup(p->spool) : NULL;
    pthread_mutex_unlock(&p->lock);
    return spool;
}

/* Those that are not here. Between two spans others may ask through the same node. */
static mf_status source_want(void *self, const uint32_t *pieces, size_t count)
{
    source *s = self;
    uint32_t *lacks = malloc((count + 1) * sizeof *lacks);
    size_t n = 0, bytes = 0;
    mf_status status = MF_OK;

    if (!lacks)
        return mf_no_memory(0, "a list of chunks");
    drop_fresh(s); /* what nobody has read meanwhile */
    char *spool = copy_spool(s->pilot);
    for (size_t i = 0; i < count && !status; i++) {
        if (mf_chunk_cache_has(s->pilot->chunk_cache, s->parcel->pieces[pieces[i]].digest))
            continue;
        bool found;
        status = take_spooled(s, spool, pieces[i], &found);
        if (status || found)
            continue;
        lacks[n++] = pieces[i];
        bytes += bytes_of(s, pieces[i]);
        if (bytes < SPAN)
            continue;
        status = ask_pieces(s, lacks, n);
        n = bytes = 0;
    }
    if (!status && n)
        status = ask_pieces(s, lacks, n);
    free(spool);
    free(lacks);
    return status;
}

/* From the folder; what has gone there meanwhile is asked for once more. */
static mf_status source_get(void *self, uint32_t piece, uint8_t *dst, size_t raw)
{
    source *s = self;
    const uint8_t *digest = s->parcel->pieces[piece].digest;
    fresh f;

    if (take_fresh(s, piece, &f)) {
        bool sound = f.chunk.raw == raw;
        mf_status status = MF_OK;
        if (sound && f.chunk.codec == 0)
            memcpy(dst, f.chunk.bytes, raw); /* it was never out of memory */
        else if (sound)
            status = mf_chunk_open(&f.chunk, digest, dst, &sound);
        mf_packet_clear(&f.packet);
        if (status || sound)
            return status;
    }
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

    drop_fresh(s);
    free(s->fresh);
    pthread_mutex_destroy(&s->lock);
    mf_parcel_free(s->parcel);
    free(s);
}

static mf_status get_once(mf_pilot_job *j, const char *id, mf_packet *answer)
{
    mf_packet q = {0};

    *answer = (mf_packet){0};
    MF_TRY(mf__pilot_begin(j));
    mf_packet_text(&q, id);
    return mf__pilot_call(j, MF_LINK_GET, &q, answer);
}

static mf_status ask_record(mf_pilot_job *j, const char *id, mf_parcel **parcel)
{
    mf_packet answer;
    const void *bytes = NULL;
    size_t size = 0;
    mf_status status;

    pthread_mutex_lock(&j->calling);
    do {
        status = get_once(j, id, &answer);
        if (status)
            mf_packet_clear(&answer);
    } while (mf__pilot_anew(j, &status));
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
static mf_status find_record(mf_pilot_job *j, const char *id, mf_parcel **parcel)
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
    status = mf__pilot_keep(j->pilot, digest, &chunk, false);
    if (status) {
        mf_parcel_free(*parcel);
        *parcel = NULL;
    }
    return status;
}

mf_status mf__pilot_get_artifact(void *self, const char *id, mf_artifact **artifact)
{
    mf_pilot_job *j = self;
    source *s = calloc(1, sizeof *s);
    mf_status status = s ? MF_OK : mf_no_memory(0, "an artifact");

    *artifact = NULL;
    if (!status)
        status = find_record(j, id, &s->parcel);
    if (status) {
        free(s);
        return status;
    }
    pthread_mutex_init(&s->lock, NULL);
    s->pilot = j->pilot;
    s->job = j->number;
    const mf_chunk_source calls = {s, source_want, source_get, source_free};
    MF_TRY(mf_parcel_artifact(s->parcel, &calls, artifact));
    return MF_OK;
}
