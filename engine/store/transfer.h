/* transfer.h - artifacts on their way between a store and another machine: the record first, then
 * those of its chunks that the other end lacks.
 *
 * A chunk travels in the form in which it is stored (codec, bytes) and is held against its digest
 * by whoever takes it. The pieces of a record are numbered: array by array in the record's order,
 * of a ragged array first those of its offsets. */
#ifndef MASSFLOW_STORE_TRANSFER_H
#define MASSFLOW_STORE_TRANSFER_H

#include "store/store.h"

#define MF_CHUNK_MOST ((size_t)4 << 20) /* bytes of a chunk, uncompressed */

/* ---- records --------------------------------------------------------------------------------- */

typedef struct mf_parcel_piece {
    uint8_t digest[MF_DIGEST_BYTES];
    uint32_t raw; /* bytes; 0: depends on the offsets of a ragged array */
} mf_parcel_piece;

/* A record, read. */
typedef struct mf_parcel {
    char id[MF_HEX_SIZE];
    char *type;
    uint8_t *record;
    size_t size;
    int64_t bytes; /* of its arrays, uncompressed */
    mf_parcel_piece *pieces;
    size_t count;
} mf_parcel;

/* Copies the record, which may come from anybody: MF_CORRUPT where it is none. */
MF_MUST_USE mf_status mf_parcel_new(const uint8_t *record, size_t size, mf_parcel **parcel);
void mf_parcel_free(mf_parcel *parcel); /* NULL is fine */
/* Of an artifact in a store whose data is there. */
MF_MUST_USE mf_status mf_store_parcel(mf_store *store, const char *id, mf_parcel **parcel);

/* ---- chunks ---------------------------------------------------------------------------------- */

typedef struct mf_chunk {
    int codec;
    size_t raw, size; /* uncompressed; of `bytes` */
    uint8_t *bytes;
} mf_chunk;
void mf_chunk_clear(mf_chunk *chunk);

/* As it is stored, not held against its digest; MF_CORRUPT where it is not there. */
MF_MUST_USE mf_status mf_store_chunk(mf_store *store, const uint8_t digest[MF_DIGEST_BYTES],
                                     mf_chunk *chunk);
/* Expands it to `dst`, which has chunk->raw bytes, and holds it against its digest: *sound. `dst`
 * may be NULL. */
MF_MUST_USE mf_status mf_chunk_open(const mf_chunk *chunk, const uint8_t digest[MF_DIGEST_BYTES],
                                    uint8_t *dst, bool *sound);

/* ---- into a store ---------------------------------------------------------------------------- */

/* An artifact that is arriving: chunks are stored as they come, the artifact once all are there. */
typedef struct mf_intake mf_intake;
/* Takes over the parcel, also on failure. */
MF_MUST_USE mf_status mf_intake_new(mf_store *store, mf_parcel *parcel, mf_intake **intake);
/* Which pieces the store lacks, each digest once; the caller frees. */
MF_MUST_USE mf_status mf_intake_lacks(mf_intake *intake, uint32_t **pieces, size_t *count);
/* MF_CORRUPT where it is not what the record says. One thread at a time. */
MF_MUST_USE mf_status mf_intake_chunk(mf_intake *intake, size_t piece, const mf_chunk *chunk);
/* Records the artifact; returns when all is committed. MF_CORRUPT where a chunk is missing. */
MF_MUST_USE mf_status mf_intake_end(mf_intake *intake);
const mf_parcel *mf_intake_parcel(const mf_intake *intake);
void mf_intake_free(mf_intake *intake); /* NULL is fine */

/* ---- without a store --------------------------------------------------------------------------
 */

/* Where the chunks of an artifact come from that is in no store here. Calls come from several
 * threads at once. */
typedef struct mf_chunk_source {
    void *self;
    /* These pieces will be read: a hint, for what is asked for together comes faster. */
    mf_status (*want)(void *self, const uint32_t *pieces, size_t count);
    /* One piece, which has `raw` bytes, sound. */
    mf_status (*get)(void *self, uint32_t piece, uint8_t *dst, size_t raw);
    void (*free)(void *self);
} mf_chunk_source;

/* A lazy artifact of a record; takes over source->self, also on failure. */
MF_MUST_USE mf_status mf_parcel_artifact(const mf_parcel *parcel, const mf_chunk_source *source,
                                         mf_artifact **artifact);
/* The record that mf_store_put would write for an artifact, and each of its chunks, from several
 * threads at once; `raw` bytes that are sound, `element` and `integer` for mf_chunk_pack. */
typedef mf_status (*mf_piece_call)(void *self, const uint8_t digest[MF_DIGEST_BYTES],
                                   const uint8_t *bytes, size_t raw, size_t element, bool integer);
MF_MUST_USE mf_status mf_parcel_of(const mf_artifact *artifact, mf_piece_call call, void *self,
                                   mf_parcel **parcel);
/* A chunk as a store would keep it: compressed where that pays. */
MF_MUST_USE mf_status mf_chunk_pack(const uint8_t *bytes, size_t raw, size_t element, bool integer,
                                    mf_chunk *chunk);

#endif
