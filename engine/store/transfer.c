/* transfer.c - records and chunks for another machine, and from one. See transfer.h. */
#include "store/transfer.h"
#include "store/check.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(MF_CHUNK_MOST == MF__PIECE, "no piece is longer than a chunk may be");

static mf_status no_memory(void)
{
    return mf_no_memory(0, "an artifact on its way");
}

/* ---- records --------------------------------------------------------------------------------- */

static mf_status count_piece(void *self, const uint8_t *digest, size_t raw)
{
    mf_parcel *p = self;

    (void)digest;
    (void)raw;
    p->count++;
    return MF_OK;
}

static mf_status add_piece(void *self, const uint8_t *digest, size_t raw)
{
    mf_parcel *p = self;
    mf_parcel_piece *piece = &p->pieces[p->count++];

    memcpy(piece->digest, digest, sizeof piece->digest);
    piece->raw = (uint32_t)raw;
    return MF_OK;
}

static mf_status fill_parcel(mf_parcel *p)
{
    MF_TRY(mf__record_type(p->record, p->size, &p->type));
    MF_TRY(mf__record_bytes(p->record, p->size, &p->bytes));
    MF_TRY(mf__record_all_pieces(p->record, p->size, count_piece, p));
    p->pieces = calloc(p->count ? p->count : 1, sizeof *p->pieces);
    if (!p->pieces)
        return no_memory();
    p->count = 0;
    return mf__record_all_pieces(p->record, p->size, add_piece, p);
}

mf_status mf_parcel_new(const uint8_t *record, size_t size, mf_parcel **parcel)
{
    mf_parcel *p = calloc(1, sizeof *p);
    mf_status status;

    *parcel = NULL;
    if (!p || !(p->record = malloc(size ? size : 1))) {
        free(p);
        return no_memory();
    }
    if (size)
        memcpy(p->record, record, size);
    p->size = size;
    mf_digest_hex(record, size, p->id);
    status = fill_parcel(p);
    if (status) {
        mf_parcel_free(p);
        return status;
    }
    *parcel = p;
    return MF_OK;
}

void mf_parcel_free(mf_parcel *p)
{
    if (!p)
        return;
    free(p->type);
    free(p->record);
    free(p->pieces);
    free(p);
}

mf_status mf_store_parcel(mf_store *store, const char *id, mf_parcel **parcel)
{
    uint8_t *record;
    size_t size;
    mf_status status;

    *parcel = NULL;
    MF_TRY(mf__record_get(store, id, &record, &size));
    status = mf_parcel_new(record, size, parcel);
    free(record);
    return status;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

void mf_chunk_clear(mf_chunk *c)
{
    free(c->bytes);
    *c = (mf_chunk){0};
}

mf_status mf_store_chunk(mf_store *store, const uint8_t digest[MF_DIGEST_BYTES], mf_chunk *chunk)
{
    mf__reader *r;
    mf_status status;

    *chunk = (mf_chunk){0};
    MF_TRY(mf__reader_get(store, &r));
    status =
        mf__chunk_raw_bytes(r, digest, &chunk->codec, &chunk->raw, &chunk->bytes, &chunk->size);
    mf__reader_put(store, r);
    return status;
}

static mf_status open_with(mf__scratch *scratch, const mf_chunk *chunk,
                           const uint8_t digest[MF_DIGEST_BYTES], uint8_t **bytes)
{
    uint8_t got[MF_DIGEST_BYTES];

    MF_TRY(mf__chunk_expand(scratch, chunk->codec, chunk->bytes, chunk->size, chunk->raw, bytes));
    if (*bytes)
        mf_digest_bytes(*bytes, chunk->raw, got);
    if (*bytes && memcmp(got, digest, sizeof got))
        *bytes = NULL;
    return MF_OK;
}

mf_status mf_chunk_open(const mf_chunk *chunk, const uint8_t digest[MF_DIGEST_BYTES], uint8_t *dst,
                        bool *sound)
{
    mf__scratch scratch = {0};
    uint8_t *bytes = NULL, got[MF_DIGEST_BYTES];
    mf_status status;

    if (chunk->codec == 0) { /* as it is */
        mf_digest_bytes(chunk->bytes, chunk->size, got);
        *sound = chunk->size == chunk->raw && !memcmp(got, digest, sizeof got);
        if (*sound && dst)
            memcpy(dst, chunk->bytes, chunk->raw);
        return MF_OK;
    }
    status = open_with(&scratch, chunk, digest, &bytes);
    *sound = bytes != NULL;
    if (bytes && dst)
        memcpy(dst, bytes, chunk->raw);
    mf__scratch_clear(&scratch);
    return status;
}

/* ---- into a store ---------------------------------------------------------------------------- */

struct mf_intake {
    mf_store *store;
    mf_parcel *parcel;
    mf__ticket ticket;
    mf__scratch scratch;
    int64_t stored;
};

mf_status mf_intake_new(mf_store *store, mf_parcel *parcel, mf_intake **intake)
{
    mf_intake *in = *intake = calloc(1, sizeof *in);

    if (!in) {
        mf_parcel_free(parcel);
        return no_memory();
    }
    in->store = store;
    in->parcel = parcel;
    return MF_OK;
}

const mf_parcel *mf_intake_parcel(const mf_intake *in)
{
    return in->parcel;
}

void mf_intake_free(mf_intake *in)
{
    if (!in)
        return;
    mf_error_free(mf__wait(in->store, &in->ticket)); /* what is on its way uses the ticket */
    mf__scratch_clear(&in->scratch);
    mf_parcel_free(in->parcel);
    free(in);
}

/* The bytes that a chunk takes where it is looked for, or -1. */
static mf_status find_piece(mf__reader *r, const mf_parcel_piece *piece, int64_t *stored)
{
    *stored = -1;
    if (piece->raw)
        return mf__chunk_find(r, piece->digest, piece->raw, stored);
    MF_TRY(mf__chunk_find(r, piece->digest, MF__SMALL, stored));
    return *stored < 0 ? mf__chunk_find(r, piece->digest, MF__PIECE, stored) : MF_OK;
}

static mf_status find_lacks(mf_intake *in, mf__reader *r, mf__map *seen, uint32_t *pieces,
                            size_t *count)
{
    for (size_t i = 0; i < in->parcel->count; i++) {
        mf__map_entry *entry;
        int64_t stored;
        MF_TRY(find_piece(r, &in->parcel->pieces[i], &stored));
        if (stored >= 0)
            continue;
        MF_TRY(mf__map_add(seen, in->parcel->pieces[i].digest, &entry));
        if (!entry->value++)
            pieces[(*count)++] = (uint32_t)i;
    }
    return MF_OK;
}

mf_status mf_intake_lacks(mf_intake *in, uint32_t **pieces, size_t *count)
{
    mf__map seen = {0};
    mf__reader *r;
    mf_status status;

    *count = 0;
    *pieces = malloc((in->parcel->count + 1) * sizeof **pieces);
    if (!*pieces)
        return no_memory();
    status = mf__reader_get(in->store, &r);
    if (!status) {
        status = find_lacks(in, r, &seen, *pieces, count);
        mf__reader_put(in->store, r);
    }
    mf__map_clear(&seen);
    if (status) {
        free(*pieces);
        *pieces = NULL;
    }
    return status;
}

mf_status mf_intake_chunk(mf_intake *in, size_t piece, const mf_chunk *chunk)
{
    const mf_parcel_piece *p;
    uint8_t *bytes = NULL;

    if (piece >= in->parcel->count)
        return mf_fail(MF_CORRUPT, "artifact %.*s has no piece %zu", MF__SHORT_ID, in->parcel->id,
                       piece);
    p = &in->parcel->pieces[piece];
    if (!p->raw || p->raw == chunk->raw)
        MF_TRY(open_with(&in->scratch, chunk, p->digest, &bytes));
    if (!bytes)
        return mf_fail(MF_CORRUPT, "piece %zu of artifact %.*s does not match its digest", piece,
                       MF__SHORT_ID, in->parcel->id);
    if (mf__ticket_failed(in->store, &in->ticket))
        return mf__wait(in->store, &in->ticket);
    return mf__chunk_keep(in->store, &in->ticket, p->digest, chunk->raw, chunk->codec, chunk->bytes,
                          chunk->size);
}

static mf_status add_up(mf_intake *in)
{
    mf__reader *r;
    mf_status status = MF_OK;

    in->stored = 0;
    MF_TRY(mf__reader_get(in->store, &r));
    for (size_t i = 0; !status && i < in->parcel->count; i++) {
        int64_t stored;
        status = find_piece(r, &in->parcel->pieces[i], &stored);
        if (!status && stored < 0)
            status = mf_fail(MF_CORRUPT, "piece %zu of artifact %.*s did not arrive", i,
                             MF__SHORT_ID, in->parcel->id);
        in->stored += stored;
    }
    mf__reader_put(in->store, r);
    return status;
}

static mf_status insert(mf__connection *c, void *arg)
{
    const mf_intake *in = arg;
    uint8_t id[MF_DIGEST_BYTES];

    mf_hex_decode(in->parcel->id, id);
    return mf__exec(c,
                    "INSERT INTO artifact (id, type, present, bytes, stored, created, used, record)"
                    " VALUES (?1, ?2, 1, ?3, ?4, ?5, ?5, ?6)"
                    " ON CONFLICT (id) DO UPDATE SET present = 1, stored = excluded.stored,"
                    " used = excluded.used",
                    "dtiiib", id, in->parcel->type, in->parcel->bytes, in->stored, mf__now(),
                    in->parcel->record, in->parcel->size);
}

mf_status mf_intake_end(mf_intake *in)
{
    MF_TRY(mf__wait(in->store, &in->ticket));
    MF_TRY(add_up(in));
    return mf__write(in->store, insert, in);
}

/* ---- without a store ------------------------------------------------------------------------- */

mf_status mf_parcel_artifact(const mf_parcel *parcel, const mf_chunk_source *source,
                             mf_artifact **artifact)
{
    uint8_t *record = malloc(parcel->size ? parcel->size : 1);

    *artifact = NULL;
    if (!record) {
        source->free(source->self);
        return no_memory();
    }
    memcpy(record, parcel->record, parcel->size);
    return mf__lazy_from(source, parcel->id, record, parcel->size, artifact);
}

mf_status mf_parcel_of(const mf_artifact *artifact, mf_piece_call call, void *self,
                       mf_parcel **parcel)
{
    const mf__sink sink = {call, self};
    mf__buffer record = {0};
    mf_status status;

    *parcel = NULL;
    status = mf__record_of(artifact, &sink, &record);
    if (!status)
        status = mf_parcel_new(record.bytes, record.size, parcel);
    free(record.bytes);
    return status;
}

mf_status mf_chunk_pack(const uint8_t *bytes, size_t raw, size_t element, bool integer,
                        mf_chunk *chunk)
{
    mf__scratch scratch = {0};
    size_t packed = 0;
    mf_status status;

    *chunk = (mf_chunk){.raw = raw};
    status = mf__chunk_compress(&scratch, bytes, raw, element, integer, &chunk->codec, &packed);
    if (!status) {
        chunk->size = packed ? packed : raw;
        chunk->bytes = malloc(chunk->size ? chunk->size : 1);
        if (chunk->bytes)
            memcpy(chunk->bytes, packed ? scratch.bytes[1] : bytes, chunk->size);
        else
            status = no_memory();
    }
    mf__scratch_clear(&scratch);
    return status;
}
