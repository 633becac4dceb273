/* artifacts.c - puts artifacts into the store and finds them there. */
#include "base/artifact_source.h"
#include "store/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- putting ---- */

typedef struct put {
    mf_store *store;      /* NULL: only the id */
    const mf__sink *sink; /* where chunks go without a store; or NULL */
    mf__ticket ticket;
    mf__buffer record;
    int64_t bytes, stored;
    mf_array **arrays; /* kept until all chunks are written */
    size_t array_count;
} put;

/* One array, or the offsets or bytes of a ragged one. */
typedef struct part {
    put *put;
    const mf__layout *layout;
    const uint8_t *data;
    bool integer;
    uint8_t *digests;
    int64_t stored; /* added to by several threads */
} part;

/* A brick's voxels, for free(). */
static uint8_t *gather(const mf__layout *layout, const uint8_t *data, const mf__piece *piece)
{
    static const int64_t zero[3] = {0, 0, 0};
    uint8_t *bytes = malloc(piece->bytes ? piece->bytes : 1);
    int64_t shape[3];
    for (int i = 0; i < 3; i++)
        shape[i] = piece->hi[i] - piece->lo[i];
    if (bytes)
        mf__copy_box(data, zero, layout->shape, bytes, piece->lo, shape, piece->lo, piece->hi,
                     layout->element);
    return bytes;
}

static mf_status put_piece(part *p, mf__reader *r, mf__scratch *scratch, size_t i)
{
    mf__piece piece;
    uint8_t *digest = p->digests + i * MF_DIGEST_BYTES, *own = NULL;
    mf__layout_piece(p->layout, i, &piece);
    if (p->layout->bricks && !(own = gather(p->layout, p->data, &piece)))
        return mf_no_memory(0, "a chunk of data");
    const uint8_t *bytes = own ? own : p->data + piece.begin;
    mf_digest_bytes(bytes, piece.bytes, digest);
    int64_t stored = 0;
    mf_status status = MF_OK;
    if (p->put->sink)
        status = p->put->sink->piece(p->put->sink->self, digest, bytes, piece.bytes,
                                     p->layout->element, p->integer);
    if (p->put->store) {
        status = mf__chunk_find(r, digest, piece.bytes, &stored);
        if (!status && stored < 0)
            return mf__chunk_write(p->put->store, &p->put->ticket, scratch, digest, bytes, own,
                                   piece.bytes, p->layout->element, p->integer, &p->stored);
        if (!status)
            __atomic_add_fetch(&p->stored, stored, __ATOMIC_RELAXED);
    }
    free(own);
    return status;
}

static mf_status put_pieces(void *arg, mf__counter *counter)
{
    part *p = arg;
    mf__scratch scratch = {0};
    mf__reader *r = NULL;
    mf_status status = p->put->store ? mf__reader_get(p->put->store, &r) : MF_OK;
    for (size_t i; !status && mf__next(counter, &i);) {
        status = put_piece(p, r, &scratch, i);
        if (!status && p->put->store && mf__ticket_failed(p->put->store, &p->put->ticket))
            break; /* mf__wait tells why */
    }
    if (r)
        mf__reader_put(p->put->store, r);
    mf__scratch_clear(&scratch);
    return status;
}

static mf_status put_part(put *p, const mf__layout *layout, const void *data, bool integer)
{
    part o = {.put = p, .layout = layout, .data = data, .integer = integer};
    o.digests = malloc(layout->count * MF_DIGEST_BYTES + 1);
    if (!o.digests)
        return mf_no_memory(layout->count * MF_DIGEST_BYTES + 1, "the digests of an array");
    mf_status status = mf__parallel(layout->count, layout->bytes, put_pieces, &o);
    if (!status)
        mf__record_digests(&p->record, o.digests, layout->count);
    free(o.digests);
    p->bytes += (int64_t)layout->bytes;
    p->stored += o.stored;
    return status;
}

static bool is_integer(mf_dtype dtype)
{
    return dtype != MF_F16 && dtype != MF_F32 && dtype != MF_F64;
}

static mf_status put_rows(put *p, const mf_array *bytes, const mf_array *offsets, int64_t rows)
{
    mf__layout layout;
    MF_TRY(mf__layout_dense(MF_I64, 1, offsets->shape, &layout));
    MF_TRY(put_part(p, &layout, offsets->data, true));
    MF_TRY(mf__layout_rows(offsets->data, rows, &layout));
    mf_status status = put_part(p, &layout, bytes->data, true);
    mf__layout_clear(&layout);
    return status;
}

static mf_status put_array(put *p, const mf_artifact *a, const mf_array_info *info)
{
    mf_array *array, *offsets = NULL;
    mf__record_array_begin(&p->record, info);
    if (info->ragged)
        MF_TRY(mf_artifact_rows(a, info->name, &array, &offsets));
    else
        MF_TRY(mf_artifact_array(a, info->name, &array));
    p->arrays[p->array_count++] = array;
    if (info->ragged) {
        p->arrays[p->array_count++] = offsets;
        return put_rows(p, array, offsets, info->rows);
    }
    mf__layout layout;
    MF_TRY(mf__layout_dense(info->dtype, info->rank, info->shape, &layout));
    return put_part(p, &layout, array->data, is_integer(info->dtype));
}

static mf_status put_arrays(put *p, const mf_artifact *a)
{
    size_t count = mf_artifact_array_count(a);
    p->arrays = malloc((2 * count + 1) * sizeof *p->arrays);
    if (!p->arrays)
        return mf_no_memory((2 * count + 1) * sizeof *p->arrays, "an artifact");
    mf__record_begin(&p->record, a);
    for (size_t i = 0; i < count; i++) {
        mf_array_info info;
        mf_artifact_array_info(a, i, &info);
        MF_TRY(mf_within(put_array(p, a, &info), "while storing array '%s'", info.name));
    }
    return p->record.failed ? mf_no_memory(0, "an artifact") : MF_OK;
}

typedef struct entry {
    uint8_t id[MF_DIGEST_BYTES];
    const char *type;
    const put *put;
    const mf__row *row;
} entry;

static mf_status insert(mf__connection *c, void *arg)
{
    const entry *r = arg;
    MF_TRY(mf__exec(c,
                    "INSERT INTO artifact (id, type, present, bytes, stored, created, used, record)"
                    " VALUES (?1, ?2, 1, ?3, ?4, ?5, ?5, ?6)"
                    " ON CONFLICT (id) DO UPDATE SET present = 1, stored = excluded.stored,"
                    " used = excluded.used",
                    "dtiiib", r->id, r->type, r->put->bytes, r->put->stored, mf__now(),
                    r->put->record.bytes, r->put->record.size));
    return r->row ? r->row->insert(c, r->id, r->row->arg) : MF_OK;
}

static mf_status put_record(put *p, const mf_artifact *a, const mf__row *row, char id[MF_HEX_SIZE])
{
    entry r = {.type = mf_artifact_type(a), .put = p, .row = row};
    mf_digest_bytes(p->record.bytes, p->record.size, r.id);
    mf_hex_encode(r.id, id);
    if (!p->store)
        return MF_OK;
    mf__job job = {.target = MF__INDEX, .run = insert, .arg = &r, .ticket = &p->ticket};
    MF_TRY(mf__submit(p->store, &job));
    return mf__wait(p->store, &p->ticket);
}

static mf_status put_all(mf_store *store, const mf_artifact *a, const mf__row *row,
                         char id[MF_HEX_SIZE])
{
    put p = {.store = store};
    mf_status status = put_arrays(&p, a);
    if (!status)
        status = put_record(&p, a, row, id);
    if (status && store) /* chunks on their way still read from the arrays */
        mf_error_free(mf__wait(store, &p.ticket));
    for (size_t i = 0; i < p.array_count; i++)
        mf_array_unref(p.arrays[i]);
    free(p.arrays);
    free(p.record.bytes);
    return mf_within(status, "while storing an artifact of type %s", mf_artifact_type(a));
}

mf_status mf__record_of(const mf_artifact *artifact, const mf__sink *sink, mf__buffer *record)
{
    put p = {.sink = sink};
    mf_status status = put_arrays(&p, artifact);
    for (size_t i = 0; i < p.array_count; i++)
        mf_array_unref(p.arrays[i]);
    free(p.arrays);
    *record = p.record;
    return mf_within(status, "while packing an artifact of type %s", mf_artifact_type(artifact));
}

mf_status mf_store_identify(const mf_artifact *artifact, char id[MF_HEX_SIZE])
{
    return put_all(NULL, artifact, NULL, id);
}

mf_status mf_store_put(mf_store *store, const mf_artifact *artifact, char id[MF_HEX_SIZE])
{
    const char *known = mf_artifact_id(artifact);
    if (known) {
        bool present;
        MF_TRY(mf_store_has(store, known, &present));
        if (present) {
            memcpy(id, known, MF_HEX_SIZE);
            return MF_OK;
        }
    }
    return put_all(store, artifact, NULL, id);
}

mf_status mf__put_artifact(mf_store *store, const mf_artifact *artifact, const mf__row *row)
{
    char id[MF_HEX_SIZE];
    return put_all(store, artifact, row, id);
}

/* ---- getting ---- */

static mf_status decode(const char *id, uint8_t digest[MF_DIGEST_BYTES])
{
    if (mf_hex_decode(id, digest))
        return MF_OK;
    return mf_fail(MF_INVALID, "'%s' is not an artifact id: 64 hex digits", id);
}

typedef struct found {
    bool known, present;
    uint8_t *record;
    size_t size;
} found;

static mf_status find(mf__reader *r, const uint8_t id[MF_DIGEST_BYTES], found *f)
{
    sqlite3_stmt *s;
    MF_TRY(mf__prepare(r->index, "SELECT present, record FROM artifact WHERE id = ?", &s, "d", id));
    MF_TRY(mf__step(r->index, s, &f->known));
    if (!f->known)
        return MF_OK;
    f->present = sqlite3_column_int(s, 0);
    const void *bytes = sqlite3_column_blob(s, 1);
    f->size = (size_t)sqlite3_column_bytes(s, 1);
    f->record = malloc(f->size ? f->size : 1);
    if (f->record && bytes)
        memcpy(f->record, bytes, f->size);
    sqlite3_reset(s);
    return f->record ? MF_OK : mf_no_memory(0, "an artifact");
}

static mf_status check(const mf_store *store, const char *id, const uint8_t digest[MF_DIGEST_BYTES],
                       const found *f)
{
    if (!f->known)
        return mf_fail(MF_NOT_FOUND, "there is no artifact %.*s in the cache '%s'", MF__SHORT_ID,
                       id, store->dir);
    if (!f->present)
        return mf_hint(mf_fail(MF_NOT_FOUND,
                               "the data of artifact %.*s is not in the cache '%s' any more",
                               MF__SHORT_ID, id, store->dir),
                       "run the graph again: missing data is computed again");
    uint8_t got[MF_DIGEST_BYTES];
    mf_digest_bytes(f->record, f->size, got);
    if (memcmp(got, digest, MF_DIGEST_BYTES))
        return mf_hint(mf_fail(MF_CORRUPT, "the record of artifact %.*s in '%s' is damaged",
                               MF__SHORT_ID, id, store->index_path),
                       MF__REPAIR);
    return MF_OK;
}

mf_status mf__record_get(mf_store *store, const char *id, uint8_t **record, size_t *size)
{
    uint8_t digest[MF_DIGEST_BYTES];
    found f = {0};
    mf__reader *r;
    *record = NULL;
    MF_TRY(decode(id, digest));
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = find(r, digest, &f);
    mf__reader_put(store, r);
    if (!status)
        status = check(store, id, digest, &f);
    if (status) {
        free(f.record);
        return status;
    }
    *record = f.record;
    *size = f.size;
    return MF_OK;
}

mf_status mf_store_get(mf_store *store, const char *id, mf_artifact **artifact)
{
    uint8_t *record;
    size_t size;
    *artifact = NULL;
    MF_TRY(mf__record_get(store, id, &record, &size));
    return mf__lazy_new(store, id, record, size, artifact);
}

mf_status mf_store_has(mf_store *store, const char *id, bool *present)
{
    uint8_t digest[MF_DIGEST_BYTES];
    mf__reader *r;
    sqlite3_stmt *s;
    *present = false;
    MF_TRY(decode(id, digest));
    MF_TRY(mf__reader_get(store, &r));
    bool known = false;
    mf_status status =
        mf__prepare(r->index, "SELECT present FROM artifact WHERE id = ?", &s, "d", digest);
    if (!status)
        status = mf__step(r->index, s, &known);
    if (!status && known) {
        *present = sqlite3_column_int(s, 0);
        sqlite3_reset(s);
    }
    mf__reader_put(store, r);
    return status;
}
