/* verify.c - looks at every byte of a store: SQLite's own structure, the digest of every chunk and
 * record, the key of every action, and that what is named is there. Changes nothing. */
#include "store/check.h"
#include "store/trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_MESSAGES "100" /* of SQLite about one file */

/* ---- telling --------------------------------------------------------------------------------- */

static const char *const means_missing =
    "a run that reads it fails once; after a repair the next run computes it again when needed";
static const char *const means_action =
    "runs refuse it; after a repair the next run computes it again when needed";

static mf_status tell(mf__check *k, mf__finding *f, const char *means, const char *format, ...)
    MF_PRINTF(4, 5);
static mf_status tell(mf__check *k, mf__finding *f, const char *means, const char *format, ...)
{
    va_list args;
    char *what;
    va_start(args, format);
    int size = vasprintf(&what, format, args);
    va_end(args);
    if (size < 0)
        return mf_no_memory(0, "checking a cache");
    f->damage = (mf_damage){what, means, false};
    k->result->damages++;
    mf_status status = k->tell(k->self, f);
    free(what);
    return status;
}

/* The error of a look at one file becomes a finding where it says that the file is damaged. */
static mf_status judge(mf__check *k, mf__target file, mf_status status)
{
    if (!status || mf_error_code(status) != MF_CORRUPT)
        return status;
    mf__finding f = {.kind = MF__BAD_FILE, .file = file};
    mf_status told = tell(k, &f, "a part is not readable; a repair recovers the rest", "%s",
                          mf_error_message(status));
    mf_error_free(status);
    return told;
}

/* ---- files ----------------------------------------------------------------------------------- */

static mf_status ask_sqlite(mf__check *k, mf__target file, mf__connection *c, bool *sound)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c, "PRAGMA integrity_check(" MOST_MESSAGES ")", &s, ""));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        const char *text = (const char *)sqlite3_column_text(s, 0);
        if (text && strcmp(text, "ok")) {
            mf__finding f = {.kind = MF__BAD_FILE, .file = file};
            *sound = false;
            status = tell(k, &f, "rows may be lost; a repair recovers the readable ones",
                          "'%s' is damaged: %s", c->path, text);
        }
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

mf_status mf__check_file(mf__check *k, mf__target file, bool *sound)
{
    mf__connection *c = file == MF__INDEX ? k->index : k->chunks;
    int64_t before = k->result->damages;
    *sound = true;
    mf_status status = judge(k, file, ask_sqlite(k, file, c, sound));
    *sound = *sound && k->result->damages == before;
    return status;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static mf_status check_chunk(mf__check *k, mf__target file, mf__connection *c, sqlite3_stmt *s)
{
    uint8_t digest[MF_DIGEST_BYTES], got[MF_DIGEST_BYTES], *bytes = NULL;
    char hex[MF_HEX_SIZE];
    mf__finding f = {.kind = MF__BAD_CHUNK, .file = file, .digest = digest};
    mf__map_entry *entry;
    int64_t raw = sqlite3_column_int64(s, 1), size = sqlite3_column_bytes(s, 4);
    if (!mf__column_digest(s, 0, digest)) {
        f.digest = NULL;
        return tell(k, &f, "it is unusable; a repair deletes it",
                    "'%s' has a chunk without a digest", c->path);
    }
    mf_hex_encode(digest, hex);
    k->result->chunks++;
    k->result->chunk_bytes += size;
    MF_TRY(mf__map_add(&k->stored, digest, &entry));
    bool again = entry->value > 0; /* in the other file as well: sound there */
    if (raw > 0 && sqlite3_column_int64(s, 2) == size && mf__chunk_place((size_t)raw) == file)
        MF_TRY(mf__chunk_expand(&k->scratch, sqlite3_column_int(s, 3), sqlite3_column_blob(s, 4),
                                (size_t)size, (size_t)raw, &bytes));
    if (bytes)
        mf_digest_bytes(bytes, (size_t)raw, got);
    if (bytes && !memcmp(got, digest, MF_DIGEST_BYTES)) {
        entry->value = size;
        return MF_OK;
    }
    if (!again)
        entry->value = -1;
    return tell(
        k, &f,
        "stages that read it fail; a repair deletes it, and it is computed again when needed",
        "chunk %.*s in '%s' does not match its digest", MF__SHORT_ID, hex, c->path);
}

/* A slice at a time: a reader of chunks.db keeps runs from writing while it reads. */
static mf_status check_slice(mf__check *k, mf__target file, mf__connection *c,
                             uint8_t after[MF_DIGEST_BYTES], int *rows)
{
    sqlite3_stmt *s;
    bool row;
    uint8_t from[MF_DIGEST_BYTES];
    memcpy(from, after, sizeof from);
    MF_TRY(mf__prepare(c,
                       "SELECT k.digest, k.raw, k.stored, d.codec, d.bytes"
                       " FROM chunk k LEFT JOIN chunk_data d ON d.num = k.data"
                       " WHERE k.digest > ? ORDER BY k.digest LIMIT 64",
                       &s, "b", from, (size_t)(*rows < 0 ? 0 : MF_DIGEST_BYTES)));
    *rows = 0;
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        uint8_t last[MF_DIGEST_BYTES];
        ++*rows;
        if (mf__column_digest(s, 0, last))
            memcpy(after, last, sizeof last);
        status = check_chunk(k, file, c, s);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static mf_status check_chunks(mf__check *k, mf__target file, mf__connection *c)
{
    uint8_t after[MF_DIGEST_BYTES] = {0}, before[MF_DIGEST_BYTES];
    int rows = -1; /* the first slice */
    do {
        memcpy(before, after, sizeof before);
        MF_TRY(check_slice(k, file, c, after, &rows));
    } while (rows > 0 && memcmp(before, after, sizeof before) < 0);
    return MF_OK;
}

/* ---- artifacts ------------------------------------------------------------------------------- */

typedef struct naming {
    mf__check *check;
    int64_t chunks, missing;
} naming;

static mf_status name_chunk(void *self, const uint8_t *digest)
{
    naming *n = self;
    mf__map_entry *entry = mf__map_find(&n->check->stored, digest);
    n->chunks++;
    if (!entry || entry->value < 0)
        n->missing++;
    else
        entry->count++;
    return MF_OK;
}

/* " (output 'volume' of volume.load)", or less where that is not known. */
static void origin(mf__check *k, int64_t artifact, char text[192])
{
    sqlite3_stmt *s;
    bool row = false;
    text[0] = 0;
    mf_status status =
        mf__prepare(k->index,
                    "SELECT o.port, a.stage FROM output o JOIN action a ON a.num = o.action"
                    " WHERE o.artifact = ? LIMIT 1",
                    &s, "i", artifact);
    if (!status)
        status = mf__step(k->index, s, &row);
    if (!status && row) {
        snprintf(text, 192, " (output '%s' of %s)", (const char *)sqlite3_column_text(s, 0),
                 (const char *)sqlite3_column_text(s, 1));
        sqlite3_reset(s);
    }
    mf_error_free(status);
}

static mf_status check_artifact(mf__check *k, sqlite3_stmt *s)
{
    uint8_t id[MF_DIGEST_BYTES], got[MF_DIGEST_BYTES];
    char hex[MF_HEX_SIZE] = "?", from[192];
    naming n = {.check = k};
    mf__finding f = {.kind = MF__BAD_RECORD, .file = MF__INDEX, .num = sqlite3_column_int64(s, 0)};
    bool present = sqlite3_column_int(s, 3) != 0;
    const char *type = (const char *)sqlite3_column_text(s, 2);
    const uint8_t *record = sqlite3_column_blob(s, 4);
    size_t size = (size_t)sqlite3_column_bytes(s, 4);
    k->result->artifacts++;
    bool good = record && mf__column_digest(s, 1, id);
    if (good) {
        mf_digest_bytes(record, size, got);
        mf_hex_encode(id, hex);
        good = !memcmp(got, id, MF_DIGEST_BYTES);
    }
    mf_status status = MF_OK;
    if (good && present)
        status = mf__record_chunks(record, size, name_chunk, &n);
    if (status && mf_error_code(status) == MF_CORRUPT) {
        mf_error_free(status);
        status = MF_OK;
        good = false;
    }
    MF_TRY(status);
    if (good && !n.missing)
        return MF_OK;
    origin(k, f.num, from);
    if (!good)
        return tell(k, &f, means_action, "the record of artifact %.*s%s does not match its id",
                    MF__SHORT_ID, hex, from);
    f.kind = MF__BAD_DATA;
    return tell(k, &f, means_missing, "%s %.*s%s lacks %lld of its %lld chunks",
                type ? type : "artifact", MF__SHORT_ID, hex, from, (long long)n.missing,
                (long long)n.chunks);
}

static void count_unnamed(mf__check *k)
{
    for (size_t i = 0; i < k->stored.room; i++) {
        const mf__map_entry *e = &k->stored.entries[i];
        if (e->taken && !e->count && e->value >= 0) {
            k->result->unnamed++;
            k->result->unnamed_bytes += e->value;
        }
    }
}

/* ---- actions --------------------------------------------------------------------------------- */

/* NULL where the JSON text that made the key is there and right. */
static const char *check_components(sqlite3_stmt *s, const char *hex)
{
    uint8_t key[MF_DIGEST_BYTES], got[MF_DIGEST_BYTES];
    const char *json = (const char *)sqlite3_column_text(s, 0);
    if (!mf_hex_decode(hex, key))
        return "has no key";
    if (!json)
        return "lacks the components of its key";
    mf_digest_bytes(json, (size_t)sqlite3_column_bytes(s, 0), got);
    return !memcmp(got, key, MF_DIGEST_BYTES) ? NULL : "does not match its key";
}

static mf_status check_action(void *self, int64_t num, const mf_action *a, bool sound)
{
    mf__check *k = self;
    const char *wrong = sound ? NULL : "does not match its sum";
    mf__finding f = {.kind = MF__BAD_ACTION, .file = MF__INDEX, .num = num};
    sqlite3_stmt *s;
    bool row;
    k->result->actions++;
    MF_TRY(mf__prepare(k->index, "SELECT json FROM component WHERE action = ?", &s, "i", num));
    MF_TRY(mf__step(k->index, s, &row));
    if (!wrong)
        wrong = row ? check_components(s, a->key) : "lacks the components of its key";
    sqlite3_reset(s);
    if (!wrong)
        return MF_OK;
    return tell(k, &f, means_action, "the record of action %.*s of %s %s", MF__SHORT_ID, a->key,
                a->stage, wrong);
}

static mf_status check_actions(mf__check *k)
{
    return mf__each_action(k->index, check_action, k);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static mf_status check_input(mf__check *k, sqlite3_stmt *s)
{
    uint8_t sum[MF_DIGEST_BYTES];
    mf__file file = {.path = (char *)sqlite3_column_text(s, 0),
                     .size = sqlite3_column_int64(s, 1),
                     .inode = sqlite3_column_int64(s, 2),
                     .mtime = sqlite3_column_int64(s, 3),
                     .ctime = sqlite3_column_int64(s, 4),
                     .hashed = sqlite3_column_int64(s, 5)};
    mf__finding f = {.kind = MF__BAD_INPUT, .file = MF__INDEX, .text = file.path ? file.path : ""};
    bool good = file.path && mf__column_digest(s, 6, file.digest);
    k->result->files++;
    if (good)
        MF_TRY(mf__sum_file(&file, sum));
    if (good && mf__sum_is(s, 7, sum))
        return MF_OK;
    return tell(k, &f, "it is not used; the next run that needs it reads the file again",
                "the digest of the input file '%s' does not match its sum", f.text);
}

static mf_status each_row(mf__check *k, const char *sql,
                          mf_status (*each)(mf__check *k, sqlite3_stmt *s))
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(k->index, sql, &s, ""));
    MF_TRY(mf__step(k->index, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        status = each(k, s);
        if (!status)
            status = mf__step(k->index, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static mf_status check_checkpoint(mf__check *k, sqlite3_stmt *s)
{
    uint8_t key[MF_DIGEST_BYTES] = {0}, id[MF_DIGEST_BYTES], sum[MF_DIGEST_BYTES];
    char hex[MF_HEX_SIZE];
    mf__finding f = {.kind = MF__BAD_CHECKPOINT,
                     .file = MF__INDEX,
                     .digest = key,
                     .num = sqlite3_column_int64(s, 1)};
    bool good = mf__column_digest(s, 0, key) && mf__column_digest(s, 3, id);
    if (good)
        MF_TRY(mf__sum_checkpoint(key, f.num, sqlite3_column_int64(s, 2), id, sum));
    if (good && mf__sum_is(s, 4, sum))
        return MF_OK;
    mf_hex_encode(key, hex);
    return tell(k, &f,
                "a stage that resumes from it fails; after a repair it starts from the beginning",
                "the checkpoint of step %lld of %.*s does not match its sum", (long long)f.num,
                MF__SHORT_ID, hex);
}

static mf_status check_checkpoints(mf__check *k)
{
    return each_row(k,
                    "SELECT p.key, p.step, p.created, a.id, p.sum FROM checkpoint p"
                    " LEFT JOIN artifact a ON a.num = p.artifact",
                    check_checkpoint);
}

static mf_status check_inputs(mf__check *k)
{
    return each_row(k, "SELECT path, size, inode, mtime, ctime, hashed, digest, sum FROM file",
                    check_input);
}

static mf_status check_artifacts(mf__check *k)
{
    return each_row(k, "SELECT num, id, type, present, record FROM artifact", check_artifact);
}

/* Rows that name rows which are not there. */
static mf_status check_references(mf__check *k)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(k->index, "SELECT \"table\", rowid, parent FROM pragma_foreign_key_check",
                       &s, ""));
    MF_TRY(mf__step(k->index, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        mf__finding f = {.kind = MF__BAD_REFERENCE,
                         .file = MF__INDEX,
                         .text = (const char *)sqlite3_column_text(s, 0),
                         .num = sqlite3_column_int64(s, 1)};
        status =
            tell(k, &f, means_action, "a row of table %s names a row of table %s that is not there",
                 f.text, (const char *)sqlite3_column_text(s, 2));
        if (!status)
            status = mf__step(k->index, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

/* ---- imported actions that are not what counts --------------------------------------------------
 */

/* The first output of the imported one that differs, in words; *text NULL where none does. */
static mf_status difference(const mf_action *here, const mf_action *other, char **text)
{
    const mf_action_output *differs;
    const char *id = "not there";
    int size;
    *text = NULL;
    if (mf__same_outputs(here, other, &differs))
        return MF_OK;
    for (size_t i = 0; differs && i < here->output_count; i++)
        if (!strcmp(here->outputs[i].port, differs->port) &&
            here->outputs[i].position == differs->position)
            id = here->outputs[i].id;
    if (differs)
        size = asprintf(text, "%s is %.*s, %.*s here", differs->port, MF__SHORT_ID, differs->id,
                        MF__SHORT_ID, id);
    else
        size = asprintf(text, "it has fewer outputs");
    if (size >= 0)
        return MF_OK;
    *text = NULL;
    return mf_no_memory(0, "checking a cache");
}

static mf_status tell_conflict(mf__check *k, const mf_action *here, const mf_action *other,
                               const char *file)
{
    mf__finding f = {.kind = MF__CONFLICT, .file = MF__INDEX};
    char *text, *what;
    MF_TRY(difference(here, other, &text));
    if (!text)
        return MF_OK;
    int size = asprintf(&what, "%s (action %.*s) imported from %s: %s", other->stage, MF__SHORT_ID,
                        other->key, file && *file ? file : "a file that is not known", text);
    free(text);
    if (size < 0)
        return mf_no_memory(0, "checking a cache");
    f.damage = (mf_damage){
        what, here->import ? "the first import is used" : "the local result is used", true};
    k->result->conflicts++;
    mf_status status = k->tell(k->self, &f);
    free(what);
    return status;
}

static mf_status import_file(mf__connection *c, int64_t num, char **file)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c, "SELECT file FROM import WHERE num = ?", &s, "i", num));
    MF_TRY(mf__step(c, s, &row));
    *file = row ? strdup((const char *)sqlite3_column_text(s, 0)) : NULL;
    sqlite3_reset(s);
    return row && !*file ? mf_no_memory(0, "checking a cache") : MF_OK;
}

static mf_status check_key_conflicts(mf__check *k, sqlite3_stmt *s)
{
    uint8_t key[MF_DIGEST_BYTES];
    mf_action **actions;
    size_t count;
    if (!mf__column_digest(s, 0, key))
        return MF_OK; /* told of as damage */
    MF_TRY(mf__actions_of(k->index, key, &actions, &count));
    mf_status status = MF_OK;
    for (size_t i = 1; i < count && !status; i++) {
        char *file = NULL;
        if (!actions[i]->import)
            continue;
        status = import_file(k->index, actions[i]->import, &file);
        if (!status)
            status = tell_conflict(k, actions[0], actions[i], file);
        free(file);
    }
    mf_action_list_free(actions, count);
    return status;
}

static mf_status check_conflicts(mf__check *k)
{
    return each_row(k,
                    "SELECT DISTINCT key FROM action a WHERE import <> 0 AND"
                    " EXISTS (SELECT 1 FROM action b WHERE b.key = a.key AND b.num <> a.num)"
                    " ORDER BY key",
                    check_key_conflicts);
}

/* ---- all ------------------------------------------------------------------------------------- */

static mf_status check_pair(mf__check *k)
{
    mf__finding f = {.kind = MF__BAD_PAIR, .file = MF__INDEX};
    mf_status status = mf__schema_paired(k->index, k->chunks);
    if (!status || mf_error_code(status) != MF_CORRUPT)
        return status;
    mf_status told =
        tell(k, &f,
             "runs use no result from it; after a repair they use all results whose data is there",
             "%s", mf_error_message(status));
    mf_error_free(status);
    return told;
}

mf_status mf__check_rows(mf__check *k)
{
    static mf_status (*const checks[])(mf__check * k) = {
        check_artifacts, check_actions, check_references, check_inputs, check_checkpoints};
    if (k->chunks)
        MF_TRY(judge(k, MF__CHUNKS, check_chunks(k, MF__CHUNKS, k->chunks)));
    if (!k->index)
        return MF_OK;
    MF_TRY(judge(k, MF__INDEX, check_chunks(k, MF__INDEX, k->index)));
    if (k->chunks)
        MF_TRY(judge(k, MF__INDEX, check_pair(k)));
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        MF_TRY(judge(k, MF__INDEX, checks[i](k)));
    count_unnamed(k);
    return MF_OK;
}

void mf__check_clear(mf__check *k)
{
    mf__map_clear(&k->stored);
    mf__scratch_clear(&k->scratch);
}

/* ---- verify ---------------------------------------------------------------------------------- */

typedef struct listener {
    mf_damage_call tell;
    void *self;
} listener;

static mf_status pass_on(void *self, const mf__finding *finding)
{
    const listener *l = self;
    if (l->tell)
        l->tell(l->self, &finding->damage);
    return MF_OK;
}

mf_status mf__check_open(mf__check *k, mf__target file, const char *path, mf__connection **c)
{
    mf__access how = MF__LOOK;
    *c = NULL;
    if (mf__file_empty(path, "")) {
        mf__finding f = {.kind = MF__BAD_FILE, .file = file};
        return tell(k, &f, "its content is computed again when needed", "'%s' is missing or empty",
                    path);
    }
    mf_status status = MF_OK;
    if (k->mends)
        how = MF__READ;
    else if (file == MF__INDEX)
        status = mf__look_access(k->dir, path, &how);
    if (!status)
        status = mf__connection_open(path, how, c);
    if (!status)
        status = mf__schema_check(*c, file);
    if (!status)
        return MF_OK;
    mf__connection_close(*c);
    *c = NULL;
    return mf_error_code(status) == MF_CORRUPT ? judge(k, file, status) : status;
}

static mf_status look(mf__check *k, const char *index, const char *chunks)
{
    bool sound;
    MF_TRY(mf__check_open(k, MF__INDEX, index, &k->index));
    MF_TRY(mf__check_open(k, MF__CHUNKS, chunks, &k->chunks));
    /* One state of the index for all looks, also while a run writes, and older than the state of
     * the chunks: then every chunk that it names is there. */
    if (k->index)
        MF_TRY(judge(k, MF__INDEX, mf__script(k->index, "BEGIN")));
    if (k->index)
        MF_TRY(mf__check_file(k, MF__INDEX, &sound));
    if (k->chunks)
        MF_TRY(mf__check_file(k, MF__CHUNKS, &sound));
    MF_TRY(mf__check_rows(k));
    return k->index ? judge(k, MF__INDEX, check_conflicts(k)) : MF_OK;
}

mf_status mf__paths(const char *dir, char **index, char **chunks)
{
    *index = *chunks = NULL;
    if (asprintf(index, "%s/cache.db", dir) < 0)
        *index = NULL;
    if (asprintf(chunks, "%s/chunks.db", dir) < 0)
        *chunks = NULL;
    if (!*index || !*chunks)
        return mf_no_memory(0, "checking a cache");
    MF_TRY(mf_trust_check(dir));
    MF_TRY(mf__folder_check(dir));
    if (!mf__file_empty(*index, "") || !mf__file_empty(*chunks, ""))
        return MF_OK;
    return mf_hint(mf_fail(MF_NOT_FOUND, "there is no cache in '%s'", dir),
                   "the first `massflow run` of a graph creates one");
}

mf_status mf_store_verify(const char *dir, mf_damage_call call, void *self, mf_verified *result)
{
    listener l = {call, self};
    mf__check k = {.dir = dir, .tell = pass_on, .self = &l, .result = result};
    char *index, *chunks;
    *result = (mf_verified){0};
    mf_status status = mf__paths(dir, &index, &chunks);
    if (!status)
        status = look(&k, index, chunks);
    mf__connection_close(k.index);
    mf__connection_close(k.chunks);
    mf__check_clear(&k);
    free(index);
    free(chunks);
    return mf_within(status, "while checking the cache");
}
