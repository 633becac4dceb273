/* chunks.c - chunks: bytes named by their SHA-256, compressed where that pays.
 *
 * A chunk is stored in one of these codecs (column codec of chunk_data):
 *   0       the bytes
 *   1       one zstd frame of the bytes
 *   2 4 8   the bytes as elements of that many bytes, first all first bytes, then all second bytes
 *           and so on (planes), and that as one zstd frame: numbers of one kind have alike high
 *           bytes, and reals that hold whole numbers have zero low bytes */
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define LEVEL 1                      /* zstd */
#define SAMPLE ((size_t)8 << 10)     /* bytes a stripe of the test for reals */
#define STRIPES 4                    /* stripes of that test */
#define WORTH(size) ((size) / 4 * 3) /* a compressed size below this pays for reals */
#define SQL_FIND "SELECT stored FROM chunk WHERE digest = ?"

uint8_t *mf__scratch_get(mf__scratch *scratch, int which, size_t size)
{
    if (scratch->sizes[which] < size) {
        free(scratch->bytes[which]);
        scratch->bytes[which] = malloc(size);
        scratch->sizes[which] = scratch->bytes[which] ? size : 0;
    }
    return scratch->bytes[which];
}

void mf__scratch_clear(mf__scratch *scratch)
{
    free(scratch->bytes[0]);
    free(scratch->bytes[1]);
    ZSTD_freeCCtx(scratch->compressor);
    ZSTD_freeDCtx(scratch->expander);
    *scratch = (mf__scratch){0};
}

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a chunk of data");
}

/* ---- planes ---- */

static void split2(const uint8_t *restrict from, uint8_t *restrict to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = from[2 * i];
        to[n + i] = from[2 * i + 1];
    }
}

static void split4(const uint8_t *restrict from, uint8_t *restrict to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = from[4 * i];
        to[n + i] = from[4 * i + 1];
        to[2 * n + i] = from[4 * i + 2];
        to[3 * n + i] = from[4 * i + 3];
    }
}

static void join2(const uint8_t *restrict from, uint8_t *restrict to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[2 * i] = from[i];
        to[2 * i + 1] = from[n + i];
    }
}

static void join4(const uint8_t *restrict from, uint8_t *restrict to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[4 * i] = from[i];
        to[4 * i + 1] = from[n + i];
        to[4 * i + 2] = from[2 * n + i];
        to[4 * i + 3] = from[3 * n + i];
    }
}

/* size is a multiple of element. */
static void split(const uint8_t *from, uint8_t *to, size_t size, size_t element)
{
    size_t n = size / element;
    if (element == 2)
        split2(from, to, n);
    else if (element == 4)
        split4(from, to, n);
    else
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < element; k++)
                to[k * n + i] = from[i * element + k];
}

static void join(const uint8_t *from, uint8_t *to, size_t size, size_t element)
{
    size_t n = size / element;
    if (element == 2)
        join2(from, to, n);
    else if (element == 4)
        join4(from, to, n);
    else
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < element; k++)
                to[i * element + k] = from[k * n + i];
}

/* ---- compressing ---- */

/* Whether real numbers are worth compressing: tried on a few stripes. */
static bool test_reals(mf__scratch *scratch, const uint8_t *bytes, size_t raw, size_t element)
{
    uint8_t planes[SAMPLE], packed[SAMPLE + SAMPLE / 8];
    size_t stripe = raw < SAMPLE ? raw / element * element : SAMPLE, in = 0, out = 0;
    for (size_t i = 0; i < STRIPES; i++) {
        size_t at = (raw - stripe) / (STRIPES - 1) * i / element * element;
        split(bytes + at, planes, stripe, element);
        size_t size =
            ZSTD_compressCCtx(scratch->compressor, packed, sizeof packed, planes, stripe, LEVEL);
        in += stripe;
        out += ZSTD_isError(size) ? stripe : size;
    }
    return out < WORTH(in);
}

mf_status mf__chunk_compress(mf__scratch *scratch, const uint8_t *bytes, size_t raw, size_t element,
                             bool integer, int *codec, size_t *packed)
{
    *codec = 0;
    *packed = 0;
    if (!scratch->compressor)
        scratch->compressor = ZSTD_createCCtx();
    if (!scratch->compressor)
        return no_memory();
    if (!integer && !test_reals(scratch, bytes, raw, element))
        return MF_OK;
    const uint8_t *from = bytes;
    if (element > 1) {
        uint8_t *planes = mf__scratch_get(scratch, 0, raw);
        if (!planes)
            return no_memory();
        split(bytes, planes, raw, element);
        from = planes;
    }
    size_t room = ZSTD_compressBound(raw);
    uint8_t *to = mf__scratch_get(scratch, 1, room);
    if (!to)
        return no_memory();
    size_t size = ZSTD_compressCCtx(scratch->compressor, to, room, from, raw, LEVEL);
    if (ZSTD_isError(size))
        return mf_fail(MF_INTERNAL, "zstd: %s", ZSTD_getErrorName(size));
    if (size < raw) {
        *codec = (int)element;
        *packed = size;
    }
    return MF_OK;
}

/* ---- writing ---- */

typedef struct chunk {
    uint8_t digest[MF_DIGEST_BYTES];
    int codec;
    size_t raw, size;
    const uint8_t *bytes;
    uint8_t *own;     /* what bytes points to, where it is the chunk's */
    uint8_t packed[]; /* or this, where it was compressed */
} chunk;

static void chunk_free(void *arg)
{
    chunk *k = arg;
    free(k->own);
    free(k);
}

mf__target mf__chunk_place(size_t raw)
{
    return raw <= MF__SMALL ? MF__INDEX : MF__CHUNKS;
}

static mf_status insert(mf__connection *c, void *arg)
{
    const chunk *k = arg;
    sqlite3_stmt *s;
    bool found;
    MF_TRY(mf__prepare(c, SQL_FIND, &s, "d", k->digest));
    MF_TRY(mf__step(c, s, &found));
    sqlite3_reset(s);
    if (found)
        return MF_OK;
    MF_TRY(mf__exec(c, "INSERT INTO chunk_data (codec, bytes) VALUES (?, ?)", "ib",
                    (int64_t)k->codec, k->bytes, k->size));
    return mf__exec(c, "INSERT INTO chunk (digest, data, raw, stored) VALUES (?, ?, ?, ?)", "diii",
                    k->digest, (int64_t)sqlite3_last_insert_rowid(c->db), (int64_t)k->raw,
                    (int64_t)k->size);
}

mf_status mf__chunk_write(mf_store *store, mf__ticket *ticket, mf__scratch *scratch,
                          const uint8_t digest[MF_DIGEST_BYTES], const uint8_t *bytes, uint8_t *own,
                          size_t raw, size_t element, bool integer, int64_t *stored)
{
    int codec;
    size_t packed;
    mf_status status = mf__chunk_compress(scratch, bytes, raw, element, integer, &codec, &packed);
    chunk *k = status ? NULL : malloc(sizeof *k + packed);
    if (!k) {
        free(own);
        return status ? status : no_memory();
    }
    memcpy(k->digest, digest, MF_DIGEST_BYTES);
    k->codec = codec;
    k->raw = raw;
    k->size = packed ? packed : raw;
    k->bytes = packed ? k->packed : bytes;
    k->own = own;
    if (packed) {
        memcpy(k->packed, scratch->bytes[1], packed);
        free(own);
        k->own = NULL;
    }
    __atomic_add_fetch(stored, (int64_t)k->size, __ATOMIC_RELAXED);
    mf__job job = {.target = mf__chunk_place(raw),
                   .run = insert,
                   .arg = k,
                   .free = chunk_free,
                   .bytes = sizeof *k + k->size,
                   .ticket = ticket};
    return mf__submit(store, &job);
}

mf_status mf__chunk_keep(mf_store *store, mf__ticket *ticket, const uint8_t digest[MF_DIGEST_BYTES],
                         size_t raw, int codec, const uint8_t *bytes, size_t size)
{
    chunk *k = malloc(sizeof *k + size);
    if (!k)
        return no_memory();
    *k = (chunk){.codec = codec, .raw = raw, .size = size, .bytes = k->packed};
    memcpy(k->digest, digest, MF_DIGEST_BYTES);
    memcpy(k->packed, bytes, size);
    mf__job job = {.target = mf__chunk_place(raw),
                   .run = insert,
                   .arg = k,
                   .free = chunk_free,
                   .bytes = sizeof *k + size,
                   .ticket = ticket};
    return mf__submit(store, &job);
}

mf_status mf__chunk_delete(mf__connection *c, void *digest)
{
    MF_TRY(mf__exec(c,
                    "DELETE FROM chunk_data WHERE num = (SELECT data FROM chunk WHERE digest = ?)",
                    "d", digest));
    return mf__exec(c, "DELETE FROM chunk WHERE digest = ?", "d", digest);
}

/* ---- reading ---- */

static mf__connection *connection(mf__reader *r, size_t raw)
{
    return mf__chunk_place(raw) == MF__INDEX ? r->index : r->chunks;
}

mf_status mf__chunk_find(mf__reader *r, const uint8_t digest[MF_DIGEST_BYTES], size_t raw,
                         int64_t *stored)
{
    mf__connection *c = connection(r, raw);
    sqlite3_stmt *s;
    bool found;
    *stored = -1;
    MF_TRY(mf__prepare(c, SQL_FIND, &s, "d", digest));
    MF_TRY(mf__step(c, s, &found));
    if (found)
        *stored = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return MF_OK;
}

static mf_status find_raw(mf__connection *c, const uint8_t digest[MF_DIGEST_BYTES], int64_t *raw)
{
    sqlite3_stmt *s;
    bool found;
    MF_TRY(mf__prepare(c, "SELECT raw FROM chunk WHERE digest = ?", &s, "d", digest));
    MF_TRY(mf__step(c, s, &found));
    if (found)
        *raw = sqlite3_column_int64(s, 0);
    sqlite3_reset(s);
    return MF_OK;
}

mf_status mf__chunk_raw(mf__reader *r, const uint8_t digest[MF_DIGEST_BYTES], int64_t *raw)
{
    *raw = -1;
    MF_TRY(find_raw(r->index, digest, raw));
    return *raw < 0 ? find_raw(r->chunks, digest, raw) : MF_OK;
}

/* What a row holds, copied; false where there is none. */
static mf_status copy_raw(mf__connection *c, const uint8_t digest[MF_DIGEST_BYTES], int *codec,
                          size_t *raw, uint8_t **bytes, size_t *size, bool *found)
{
    sqlite3_stmt *s;
    MF_TRY(mf__prepare(
        c,
        "SELECT d.codec, k.raw, d.bytes FROM chunk k JOIN chunk_data d ON d.num = k.data"
        " WHERE k.digest = ?",
        &s, "d", digest));
    MF_TRY(mf__step(c, s, found));
    if (!*found)
        return MF_OK;
    const void *blob = sqlite3_column_blob(s, 2);
    *codec = sqlite3_column_int(s, 0);
    *raw = (size_t)sqlite3_column_int64(s, 1);
    *size = (size_t)sqlite3_column_bytes(s, 2);
    *bytes = malloc(*size ? *size : 1);
    if (*bytes && blob)
        memcpy(*bytes, blob, *size);
    sqlite3_reset(s);
    return *bytes ? MF_OK : no_memory();
}

mf_status mf__chunk_raw_bytes(mf__reader *r, const uint8_t digest[MF_DIGEST_BYTES], int *codec,
                              size_t *raw, uint8_t **bytes, size_t *size)
{
    bool found;
    char hex[MF_HEX_SIZE];
    *bytes = NULL;
    MF_TRY(copy_raw(r->chunks, digest, codec, raw, bytes, size, &found));
    if (!found)
        MF_TRY(copy_raw(r->index, digest, codec, raw, bytes, size, &found));
    if (found)
        return MF_OK;
    mf_hex_encode(digest, hex);
    return mf_fail(MF_CORRUPT, "chunk %.*s is missing in '%s'", MF__SHORT_ID, hex, r->chunks->path);
}

/* false where the bytes are no such frame; *status where memory is short. */
static bool expand(mf__scratch *scratch, int codec, const uint8_t *bytes, size_t size, uint8_t *dst,
                   size_t raw, mf_status *status)
{
    if (codec == 0) {
        if (size == raw)
            memcpy(dst, bytes, raw);
        return size == raw;
    }
    if (!scratch->expander)
        scratch->expander = ZSTD_createDCtx();
    uint8_t *to = codec > 1 ? mf__scratch_get(scratch, 1, raw) : dst;
    if (!scratch->expander || !to) {
        *status = no_memory();
        return true;
    }
    if (ZSTD_decompressDCtx(scratch->expander, to, raw, bytes, size) != raw ||
        raw % (size_t)codec != 0)
        return false;
    if (codec > 1)
        join(to, dst, raw, (size_t)codec);
    return true;
}

static bool known(int codec)
{
    return codec == 0 || codec == 1 || codec == 2 || codec == 4 || codec == 8;
}

mf_status mf__chunk_expand(mf__scratch *scratch, int codec, const uint8_t *bytes, size_t size,
                           size_t raw, uint8_t **expanded)
{
    mf_status status = MF_OK;
    *expanded = NULL;
    if (!bytes || !known(codec) || raw == 0 || raw > MF__PIECE)
        return MF_OK;
    uint8_t *dst = mf__scratch_get(scratch, 0, raw);
    if (!dst)
        return no_memory();
    if (expand(scratch, codec, bytes, size, dst, raw, &status) && !status)
        *expanded = dst;
    return status;
}

/* Whether the chunk in a row (codec, bytes, size) is what its digest says, whatever its size. */
static mf_status is_sound(mf__scratch *scratch, const uint8_t digest[MF_DIGEST_BYTES],
                          sqlite3_stmt *s, bool *sound)
{
    uint8_t *bytes, got[MF_DIGEST_BYTES];
    size_t raw = (size_t)sqlite3_column_int64(s, 2);
    *sound = false;
    MF_TRY(mf__chunk_expand(scratch, sqlite3_column_int(s, 0), sqlite3_column_blob(s, 1),
                            (size_t)sqlite3_column_bytes(s, 1), raw, &bytes));
    if (bytes)
        mf_digest_bytes(bytes, raw, got);
    *sound = bytes && !memcmp(got, digest, MF_DIGEST_BYTES);
    return MF_OK;
}

mf_status mf__chunk_read(mf__reader *r, mf__scratch *scratch, const uint8_t digest[MF_DIGEST_BYTES],
                         uint8_t *dst, size_t raw, bool *damaged)
{
    mf__connection *c = connection(r, raw);
    sqlite3_stmt *s;
    bool found;
    char hex[MF_HEX_SIZE];
    mf_hex_encode(digest, hex);
    *damaged = false;
    MF_TRY(mf__prepare(
        c,
        "SELECT d.codec, d.bytes, k.raw FROM chunk k JOIN chunk_data d ON d.num = k.data"
        " WHERE k.digest = ?",
        &s, "d", digest));
    MF_TRY(mf__step(c, s, &found));
    *damaged = !found;
    if (!found)
        return mf_fail(MF_CORRUPT, "chunk %.*s is missing in '%s'", MF__SHORT_ID, hex, c->path);
    int codec = sqlite3_column_int(s, 0);
    const uint8_t *bytes = sqlite3_column_blob(s, 1);
    mf_status status = MF_OK;
    bool other = false;
    if (sqlite3_column_int64(s, 2) != (int64_t)raw)
        status = is_sound(scratch, digest, s, &other);
    bool good =
        !status && !other && bytes && known(codec) &&
        expand(scratch, codec, bytes, (size_t)sqlite3_column_bytes(s, 1), dst, raw, &status);
    sqlite3_reset(s);
    MF_TRY(status);
    if (other) /* it is what its digest says; nobody else's data is dropped for a record that lies
                */
        return mf_fail(MF_CORRUPT, "chunk %.*s has not the %zu bytes that are looked for in it",
                       MF__SHORT_ID, hex, raw);
    uint8_t got[MF_DIGEST_BYTES];
    if (good)
        mf_digest_bytes(dst, raw, got);
    if (good && !memcmp(got, digest, MF_DIGEST_BYTES))
        return MF_OK;
    *damaged = true;
    return mf_fail(MF_CORRUPT, "chunk %.*s in '%s' does not match its digest", MF__SHORT_ID, hex,
                   c->path);
}
