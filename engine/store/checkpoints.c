/* checkpoints.c - saves, finds and drops what long stages save of themselves.
 *
 * The artifact of a checkpoint, type `state`, holds one array, `packed`, f32 of rank 1: the arrays
 * of the state one after another as bytes, in order of name. Each piece that is stored as a chunk
 * begins with MARK random bytes, so that no other artifact ever has the same chunk. Attributes are
 * those of the state, and two more:
 *   .type     the state's type
 *   .arrays   a line an array: name, dtype and sizes, separated by tabs
 */
#include "store/checkpoints.h"
#include "store/check.h"
#include "store/internal.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK 32 /* bytes */
#define ROOM (MF__PIECE - MARK)

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a checkpoint");
}

static mf_status decode(const char *key, uint8_t digest[MF_DIGEST_BYTES])
{
    if (mf_hex_decode(key, digest))
        return MF_OK;
    return mf_fail(MF_INVALID, "'%s' is not a key of a checkpoint: 64 hex digits", key);
}

/* ---- packing --------------------------------------------------------------------------------- */

/* Where byte `at` of the state lies in the packed array, and how many follow it there. */
static size_t place(size_t at, size_t *run)
{
    *run = ROOM - at % ROOM;
    return at / ROOM * MF__PIECE + MARK + at % ROOM;
}

static void copy_in(uint8_t *packed, size_t at, const uint8_t *bytes, size_t size)
{
    for (size_t run, to; size; at += run, bytes += run, size -= run) {
        to = place(at, &run);
        run = run < size ? run : size;
        memcpy(packed + to, bytes, run);
    }
}

static void copy_out(const uint8_t *packed, size_t at, uint8_t *bytes, size_t size)
{
    for (size_t run, from; size; at += run, bytes += run, size -= run) {
        from = place(at, &run);
        run = run < size ? run : size;
        memcpy(bytes, packed + from, run);
    }
}

static mf_status array_bytes(const mf_array_info *info, size_t *bytes)
{
    *bytes = mf_dtype_size(info->dtype);
    for (int i = 0; i < info->rank; i++)
        if (info->shape[i] < 0 || !mf_size_mul(*bytes, (size_t)info->shape[i], bytes))
            return no_memory();
    return MF_OK;
}

/* Lists the arrays of `state` and adds their sizes up. */
static mf_status list_arrays(const mf_artifact *state, FILE *out, size_t *total)
{
    *total = 0;
    for (size_t i = 0; i < mf_artifact_array_count(state); i++) {
        mf_array_info info;
        size_t bytes;
        mf_artifact_array_info(state, i, &info);
        if (info.ragged || strpbrk(info.name, "\t\n"))
            return mf_fail(MF_INVALID, "a checkpoint can't hold the array '%s': %s", info.name,
                           info.ragged ? "it is ragged" : "its name has a tab or a line's end");
        fprintf(out, "%s\t%s", info.name, mf_dtype_text(info.dtype));
        for (int d = 0; d < info.rank; d++)
            fprintf(out, "\t%lld", (long long)info.shape[d]);
        fputc('\n', out);
        MF_TRY(array_bytes(&info, &bytes));
        *total += bytes;
    }
    return MF_OK;
}

/* Attributes whose names begin with a dot are ours: passed over. */
static mf_status copy_attributes(const mf_artifact *from, mf_artifact *to)
{
    for (size_t i = 0; i < mf_artifact_attribute_count(from); i++) {
        mf_attribute_kind kind;
        const char *name = mf_artifact_attribute(from, i, &kind);
        size_t count = 0;
        int64_t number = 0;
        if (name[0] == '.')
            continue;
        if (kind == MF_ATTRIBUTE_TEXT) {
            MF_TRY(mf_artifact_set_text(to, name, mf_artifact_text(from, name)));
        } else if (kind == MF_ATTRIBUTE_INT) {
            mf_artifact_int(from, name, &number);
            MF_TRY(mf_artifact_set_int(to, name, number));
        } else {
            const double *values = mf_artifact_reals(from, name, &count);
            MF_TRY(mf_artifact_set_reals(to, name, values, count));
        }
    }
    return MF_OK;
}

static mf_status pack_arrays(const mf_artifact *state, size_t total, mf_artifact *packed)
{
    int64_t floats = (int64_t)((total + total / ROOM * MARK + MARK + 3) / sizeof(float));
    mf_array *bytes;
    size_t at = 0;
    MF_TRY(mf_array_new(MF_F32, 1, &floats, &bytes));
    for (size_t begin = 0; begin < bytes->bytes; begin += MF__PIECE) {
        size_t left = bytes->bytes - begin;
        sqlite3_randomness(left < MARK ? (int)left : MARK, (uint8_t *)bytes->data + begin);
    }
    mf_status status = mf_artifact_add(packed, "packed", bytes);
    for (size_t i = 0; i < mf_artifact_array_count(state) && !status; i++) {
        mf_array_info info;
        mf_array *array;
        mf_artifact_array_info(state, i, &info);
        status = mf_artifact_array(state, info.name, &array);
        if (status)
            break;
        copy_in(bytes->data, at, array->data, array->bytes);
        at += array->bytes;
        mf_array_unref(array);
    }
    mf_array_unref(bytes);
    return status;
}

static mf_status fill_packed(const mf_artifact *state, mf_artifact *packed)
{
    char *lines = NULL;
    size_t size, total;
    FILE *out = open_memstream(&lines, &size);
    if (!out)
        return no_memory();
    mf_status status = list_arrays(state, out, &total);
    if (fclose(out) != 0 && !status)
        status = no_memory();
    if (!status)
        status = copy_attributes(state, packed);
    if (!status)
        status = mf_artifact_set_text(packed, ".type", mf_artifact_type(state));
    if (!status)
        status = mf_artifact_set_text(packed, ".arrays", lines);
    free(lines);
    return status ? status : pack_arrays(state, total, packed);
}

static mf_status pack(const mf_artifact *state, double seconds, mf_artifact **packed)
{
    MF_TRY(mf_artifact_new("state", packed));
    mf_status status = mf_artifact_set_reals(*packed, ".seconds", &seconds, 1);
    if (!status)
        status = fill_packed(state, *packed);
    if (status) {
        mf_artifact_unref(*packed);
        *packed = NULL;
    }
    return status;
}

/* ---- unpacking ------------------------------------------------------------------------------- */

static mf_status damaged(void)
{
    return mf_fail(MF_CORRUPT, "the list of its arrays is damaged");
}

/* Takes the array of one line from `bytes`, at *at. */
static mf_status unpack_array(char *line, const mf_array *bytes, size_t *at, mf_artifact *state)
{
    mf_array_info info = {0};
    size_t size, run;
    char *rest = line, *word = strsep(&rest, "\t");
    info.name = word;
    if (!(word = strsep(&rest, "\t")) || !mf_dtype_parse(word, &info.dtype))
        return damaged();
    while ((word = strsep(&rest, "\t"))) {
        if (info.rank == MF_MAX_RANK)
            return damaged();
        info.shape[info.rank++] = strtoll(word, NULL, 10);
    }
    MF_TRY(array_bytes(&info, &size));
    if (size > bytes->bytes || (size && place(*at + size - 1, &run) >= bytes->bytes))
        return damaged();
    mf_array *array;
    MF_TRY(mf_array_new(info.dtype, info.rank, info.shape, &array));
    copy_out(bytes->data, *at, array->data, size);
    *at += size;
    mf_status status = mf_artifact_add(state, info.name, array);
    mf_array_unref(array);
    return status;
}

static mf_status unpack_arrays(const mf_artifact *packed, mf_artifact *state)
{
    const char *list = mf_artifact_text(packed, ".arrays");
    char *lines = list ? strdup(list) : NULL, *rest = lines, *line;
    mf_array *bytes = NULL;
    size_t at = 0;
    if (!lines)
        return list ? no_memory() : damaged();
    mf_status status = mf_artifact_array(packed, "packed", &bytes);
    while (!status && (line = strsep(&rest, "\n")) && *line)
        status = unpack_array(line, bytes, &at, state);
    mf_array_unref(bytes);
    free(lines);
    return status;
}

static mf_status unpack(const mf_artifact *packed, mf_artifact **state)
{
    const char *type = mf_artifact_text(packed, ".type");
    if (!type)
        return damaged();
    MF_TRY(mf_artifact_new(type, state));
    mf_status status = copy_attributes(packed, *state);
    if (!status)
        status = unpack_arrays(packed, *state);
    if (status) {
        mf_artifact_unref(*state);
        *state = NULL;
    }
    return status;
}

/* ---- dropping -------------------------------------------------------------------------------- */

typedef struct drop {
    uint8_t key[MF_DIGEST_BYTES];
    int64_t least, most, keep; /* steps */
    int64_t *artifacts;        /* that go */
    size_t artifact_count;
    uint8_t *digests; /* of the chunks that go */
    size_t count;
} drop;

static mf_status note_chunk(void *self, const uint8_t *digest)
{
    drop *d = self;
    uint8_t *grown = mf_list_more(d->digests, d->count, MF_DIGEST_BYTES);
    if (!grown)
        return no_memory();
    d->digests = grown;
    memcpy(grown + d->count++ * MF_DIGEST_BYTES, digest, MF_DIGEST_BYTES);
    return MF_OK;
}

static mf_status note_artifact(sqlite3_stmt *s, drop *d)
{
    int64_t *grown = mf_list_more(d->artifacts, d->artifact_count, sizeof *grown);
    if (!grown)
        return no_memory();
    d->artifacts = grown;
    grown[d->artifact_count++] = sqlite3_column_int64(s, 0);
    const void *record = sqlite3_column_blob(s, 1);
    mf_status status = mf__record_chunks(record, (size_t)sqlite3_column_bytes(s, 1), note_chunk, d);
    if (!status || mf_error_code(status) != MF_CORRUPT)
        return status;
    mf_error_free(status); /* its chunks are left to gc */
    return MF_OK;
}

static mf_status note_all(mf__connection *c, drop *d)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT a.num, a.record FROM checkpoint p"
                       " JOIN artifact a ON a.num = p.artifact"
                       " WHERE p.key = ? AND p.step BETWEEN ? AND ? AND p.step <> ?",
                       &s, "diii", d->key, d->least, d->most, d->keep));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        status = note_artifact(s, d);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static void forget(drop *d)
{
    d->count = d->artifact_count = 0;
}

/* Rows of checkpoints, then of their artifacts, which nothing else names. */
static mf_status delete_more(mf__connection *c, drop *d)
{
    size_t first = d->artifact_count;
    MF_TRY(note_all(c, d));
    MF_TRY(mf__exec(c,
                    "DELETE FROM checkpoint"
                    " WHERE key = ? AND step BETWEEN ? AND ? AND step <> ?",
                    "diii", d->key, d->least, d->most, d->keep));
    for (size_t i = first; i < d->artifact_count; i++)
        MF_TRY(mf__exec(c, "DELETE FROM artifact WHERE num = ?", "i", d->artifacts[i]));
    return MF_OK;
}

static mf_status delete_rows(mf__connection *c, void *arg)
{
    forget(arg); /* it may be run again */
    return delete_more(c, arg);
}

static mf_status delete_chunks(mf__connection *c, void *arg)
{
    const drop *d = arg;
    for (size_t i = 0; i < d->count; i++)
        MF_TRY(mf__chunk_delete(c, d->digests + i * MF_DIGEST_BYTES));
    return MF_OK;
}

static mf_status drop_chunks(mf_store *store, drop *d)
{
    mf__ticket ticket = {0};
    mf__job large = {.target = MF__CHUNKS, .run = delete_chunks, .arg = d, .ticket = &ticket};
    mf__job small = {.target = MF__INDEX, .run = delete_chunks, .arg = d, .ticket = &ticket};
    mf_status status = mf__submit(store, &large);
    if (!status)
        status = mf__submit(store, &small);
    mf_status waited = mf__wait(store, &ticket);
    if (!status)
        return waited;
    mf_error_free(waited);
    return status;
}

/* The rows went first: a crash between leaves chunks that nothing names. `status`: whether the rows
 * are gone. */
static mf_status drop_data(mf_store *store, drop *d, mf_status status)
{
    if (!status && d->count)
        status = mf_within(drop_chunks(store, d), "while dropping old checkpoints");
    free(d->artifacts);
    free(d->digests);
    return status;
}

mf_status mf_store_checkpoint_drop(mf_store *store, const char *key, int64_t most, int64_t keep)
{
    drop d = {.most = most, .keep = keep};
    MF_TRY(decode(key, d.key));
    return drop_data(
        store, &d, mf_within(mf__write(store, delete_rows, &d), "while dropping old checkpoints"));
}

/* ---- saving ---------------------------------------------------------------------------------- */

typedef struct save {
    int64_t step;
    drop old; /* that the new one takes the place of */
} save;

/* In the transaction that records the artifact `id`: killed before it, nothing is left that no row
 * names; after it, the old ones are gone. */
static mf_status insert(mf__connection *c, const uint8_t id[MF_DIGEST_BYTES], void *arg)
{
    save *s = arg;
    drop *old = &s->old;
    sqlite3_stmt *q;
    bool row;
    int64_t created = mf__now();
    uint8_t sum[MF_DIGEST_BYTES];
    forget(old); /* it may be run again */
    old->least = old->most = s->step;
    MF_TRY(delete_more(c, old));
    MF_TRY(mf__sum_checkpoint(old->key, s->step, created, id, sum));
    MF_TRY(mf__exec(c,
                    "INSERT INTO checkpoint (key, step, created, artifact, sum)"
                    " SELECT ?, ?, ?, num, ? FROM artifact WHERE id = ?",
                    "diidd", old->key, s->step, created, sum, id));
    MF_TRY(mf__prepare(c, "SELECT max(step) FROM checkpoint WHERE key = ? AND step < ?", &q, "di",
                       old->key, s->step));
    MF_TRY(mf__step(c, q, &row));
    int64_t before = sqlite3_column_type(q, 0) == SQLITE_NULL ? 0 : sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    old->least = 0;
    old->most = before - 1;
    return before > 0 ? delete_more(c, old) : MF_OK;
}

static mf_status save_all(mf_store *store, const char *key, int64_t step, double seconds,
                          const mf_artifact *state)
{
    save s = {.step = step, .old.keep = -1};
    mf__row row = {insert, &s};
    mf_artifact *packed;
    MF_TRY(decode(key, s.old.key));
    if (step < 0)
        return mf_fail(MF_INVALID, "step %lld: steps count from 0", (long long)step);
    MF_TRY(pack(state, seconds, &packed));
    mf_status status = mf__put_artifact(store, packed, &row);
    mf_artifact_unref(packed);
    return drop_data(store, &s.old, status);
}

mf_status mf_store_checkpoint_save(mf_store *store, const char *key, int64_t step, double seconds,
                                   const mf_artifact *state)
{
    return mf_within(save_all(store, key, step, seconds, state),
                     "while saving the checkpoint of step %lld", (long long)step);
}

/* ---- loading --------------------------------------------------------------------------------- */

static mf_status take(sqlite3_stmt *s, const uint8_t key[MF_DIGEST_BYTES], int64_t *step,
                      char id[MF_HEX_SIZE])
{
    uint8_t artifact[MF_DIGEST_BYTES], sum[MF_DIGEST_BYTES];
    *step = sqlite3_column_int64(s, 0);
    if (!mf__column_digest(s, 2, artifact))
        return mf_fail(MF_CORRUPT, "its record is damaged");
    MF_TRY(mf__sum_checkpoint(key, *step, sqlite3_column_int64(s, 1), artifact, sum));
    if (!mf__sum_is(s, 3, sum))
        return mf_fail(MF_CORRUPT, "its record is damaged");
    mf_hex_encode(artifact, id);
    return MF_OK;
}

static mf_status find(mf_store *store, const uint8_t key[MF_DIGEST_BYTES], int64_t most,
                      int64_t *step, char id[MF_HEX_SIZE])
{
    mf__reader *r;
    sqlite3_stmt *s;
    bool row = false;
    id[0] = 0;
    MF_TRY(mf__reader_get(store, &r));
    mf_status status = mf__prepare(r->index,
                                   "SELECT p.step, p.created, a.id, p.sum FROM checkpoint p"
                                   " JOIN artifact a ON a.num = p.artifact"
                                   " WHERE p.key = ? AND p.step <= ? ORDER BY p.step DESC LIMIT 1",
                                   &s, "di", key, most);
    if (!status)
        status = mf__step(r->index, s, &row);
    if (!status && row) {
        status = take(s, key, step, id);
        sqlite3_reset(s);
    }
    mf__reader_put(store, r);
    return status;
}

mf_status mf_store_checkpoint_load(mf_store *store, const char *key, int64_t most, int64_t *step,
                                   double *seconds, mf_artifact **state)
{
    uint8_t digest[MF_DIGEST_BYTES];
    char id[MF_HEX_SIZE];
    mf_artifact *packed = NULL;
    *step = 0;
    *seconds = 0;
    *state = NULL;
    MF_TRY(decode(key, digest));
    mf_status status = find(store, digest, most, step, id);
    if (!status && !id[0])
        return MF_OK;
    if (!status)
        status = mf_store_get(store, id, &packed);
    if (!status)
        status = unpack(packed, state);
    if (!status) {
        size_t count;
        const double *spent = mf_artifact_reals(packed, ".seconds", &count);
        *seconds = spent && count == 1 ? *spent : 0;
    }
    mf_artifact_unref(packed);
    return mf_within(status, "while reading the checkpoint of step %lld", (long long)*step);
}
