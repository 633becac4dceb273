/* repair.c - mends what verify finds: drops what is damaged, and marks what then lacks data, so
 * that the next run makes it again. Never changes a result. */
#include "store/check.h"

#include <massflow/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SQLITE_LOCKS 0x40000000 /* byte of a database where SQLite's locks begin; see its os.h */
#define SQLITE_LOCK_BYTES 512

/* ---- findings, kept -------------------------------------------------------------------------- */

typedef struct kept {
    mf__finding_kind kind;
    mf__target file;
    char *text;
    int64_t num;
    bool has_digest;
    uint8_t digest[MF_DIGEST_BYTES];
} kept;

typedef struct findings {
    kept *items;
    size_t count;
    mf_damage_call tell; /* NULL: told already */
    void *self;
} findings;

static void findings_clear(findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->items[i].text);
    free(f->items);
    f->items = NULL;
    f->count = 0;
}

static mf_status keep(void *self, const mf__finding *finding)
{
    findings *f = self;
    kept *grown = mf_list_more(f->items, f->count, sizeof *grown);
    if (!grown)
        return mf_no_memory(0, "repairing a cache");
    f->items = grown;
    kept *k = &f->items[f->count++];
    *k = (kept){finding->kind, finding->file, NULL, finding->num, finding->digest != NULL, {0}};
    if (finding->digest)
        memcpy(k->digest, finding->digest, sizeof k->digest);
    if (f->tell)
        f->tell(f->self, &finding->damage);
    if (finding->text && !(k->text = strdup(finding->text)))
        return mf_no_memory(0, "repairing a cache");
    return MF_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static mf_status drop_chunk(mf__connection *c, kept *k)
{
    if (k->has_digest)
        return mf__chunk_delete(c, k->digest);
    MF_TRY(mf__exec(c, "DELETE FROM chunk WHERE length(digest) != 32", ""));
    return mf__exec(c, "DELETE FROM chunk_data WHERE num NOT IN (SELECT data FROM chunk)", "");
}

/* An artifact whose record is damaged goes with the actions that name it: their outputs are not
 * known any more. */
static mf_status drop_artifact(mf__connection *c, int64_t num)
{
    MF_TRY(mf__exec(
        c, "DELETE FROM action WHERE num IN (SELECT action FROM output WHERE artifact = ?)", "i",
        num));
    MF_TRY(mf__exec(c, "DELETE FROM checkpoint WHERE artifact = ?", "i", num));
    return mf__exec(c, "DELETE FROM artifact WHERE num = ?", "i", num);
}

/* The rows of one table that name rows which are not there. */
static mf_status drop_dangling(mf__connection *c, const char *table)
{
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__exec(c,
                    "DELETE FROM action WHERE num IN (SELECT action FROM output"
                    " WHERE artifact NOT IN (SELECT num FROM artifact))",
                    ""));
    MF_TRY(mf__prepare(c, "SELECT \"from\", \"table\" FROM pragma_foreign_key_list(?)", &s, "t",
                       table));
    MF_TRY(mf__step(c, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        char *sql;
        if (asprintf(&sql, "DELETE FROM \"%s\" WHERE \"%s\" NOT IN (SELECT num FROM \"%s\")", table,
                     (const char *)sqlite3_column_text(s, 0),
                     (const char *)sqlite3_column_text(s, 1)) < 0) {
            sqlite3_reset(s);
            return mf_no_memory(0, "repairing a cache");
        }
        status = mf__script(c, sql);
        free(sql);
        if (!status)
            status = mf__step(c, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

static mf_status mend_row(mf__connection *index, kept *k, mf_repaired *result)
{
    switch (k->kind) {
    case MF__BAD_DATA:
        result->artifacts_missing++;
        return mf__exec(index, "UPDATE artifact SET present = 0 WHERE num = ?", "i", k->num);
    case MF__BAD_RECORD:
        result->artifacts_dropped++;
        return drop_artifact(index, k->num);
    case MF__BAD_ACTION:
        result->actions_dropped++;
        return mf__exec(index, "DELETE FROM action WHERE num = ?", "i", k->num);
    case MF__BAD_INPUT:
        result->others_dropped++;
        return mf__exec(index, "DELETE FROM file WHERE path = ?", "t", k->text);
    case MF__BAD_CHECKPOINT:
        result->others_dropped++;
        return mf__exec(index, "DELETE FROM checkpoint WHERE key = ? AND step = ?", "di", k->digest,
                        k->num);
    case MF__BAD_REFERENCE:
        result->others_dropped++;
        return drop_dangling(index, k->text);
    default:
        return MF_OK;
    }
}

static mf_status mend_file(mf__connection *c, mf__target file, findings *f, mf_repaired *result)
{
    for (size_t i = 0; i < f->count; i++) {
        kept *k = &f->items[i];
        if (k->kind == MF__BAD_CHUNK && k->file == file) {
            result->chunks_dropped++;
            MF_TRY(drop_chunk(c, k));
        } else if (k->kind != MF__BAD_CHUNK && file == MF__INDEX) {
            MF_TRY(mend_row(c, k, result));
        }
    }
    return MF_OK;
}

/* Chunks first: what the index says is missing is then missing. */
static mf_status mend_rows(mf__connection *index, mf__connection *chunks, findings *f,
                           mf_repaired *result)
{
    mf__connection *const both[] = {chunks, index};
    for (int i = 0; i < 2; i++) {
        MF_TRY(mf__script(both[i], "BEGIN IMMEDIATE"));
        mf_status status = mend_file(both[i], i ? MF__INDEX : MF__CHUNKS, f, result);
        if (!status)
            status = mf__script(both[i], "COMMIT");
        if (status) {
            mf_error_free(mf__script(both[i], "ROLLBACK"));
            return status;
        }
    }
    return MF_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Another process that has the index open holds one of SQLite's locks on it. */
static mf_status refuse_in_use(const char *path)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = SQLITE_LOCKS,
                         .l_len = SQLITE_LOCK_BYTES};
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? MF_OK
                               : mf_fail(MF_IO, "cannot open '%s': %s", path, strerror(errno));
    int failed = fcntl(file, F_GETLK, &lock) != 0 ? errno : 0;
    close(file);
    if (failed || lock.l_type == F_UNLCK)
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "'%s' must be replaced, but process %ld has it open", path,
                           (long)lock.l_pid),
                   "wait until it has ended, or end it, and repair again");
}

/* Indexes made anew from their tables; *sound whether that was all. */
static mf_status rebuild_indexes(const char *path, mf__target file, bool *sound)
{
    mf_verified counts = {0};
    findings f = {0};
    mf__check k = {.tell = keep, .self = &f, .result = &counts};
    mf__connection *c;
    *sound = false;
    MF_TRY(mf__connection_open(path, MF__CREATE, &c));
    *(file == MF__INDEX ? &k.index : &k.chunks) = c;
    mf_status status = mf__script(c, "REINDEX");
    if (!status)
        status = mf__check_file(&k, file, sound);
    if (status && mf_error_code(status) != MF_NO_MEMORY) { /* then a new file is made */
        mf_error_free(status);
        status = MF_OK;
        *sound = false;
    }
    findings_clear(&f);
    mf__check_clear(&k);
    mf__connection_close(c);
    return status;
}

static mf_status mend_damaged_file(const char *dir, const char *index, const char *path,
                                   mf__target file, bool readable, char **aside)
{
    bool sound = false;
    MF_TRY(refuse_in_use(index));
    MF_TRY(refuse_in_use(path));
    if (readable)
        MF_TRY(rebuild_indexes(path, file, &sound));
    return sound ? MF_OK : mf__salvage(dir, path, file, aside);
}

/* Whether SQLite can use the file and finds it sound. What it finds is told. */
static mf_status try_file(mf__check *k, mf__target file, const char *path, bool *readable,
                          bool *sound)
{
    mf__connection **c = file == MF__INDEX ? &k->index : &k->chunks;
    *sound = false;
    MF_TRY(mf__check_open(k, file, path, c));
    *readable = *c != NULL;
    return *c ? mf__check_file(k, file, sound) : MF_OK;
}

static mf_status mend_files(const char *dir, char *const paths[2], mf__check *k,
                            mf_repaired *result)
{
    bool readable[2], sound[2];
    for (int i = 0; i < 2; i++)
        MF_TRY(try_file(k, i ? MF__CHUNKS : MF__INDEX, paths[i], &readable[i], &sound[i]));
    for (int i = 0; i < 2; i++) {
        mf__connection **c = i ? &k->chunks : &k->index;
        if (sound[i])
            continue;
        mf__connection_close(*c);
        *c = NULL;
        MF_TRY(mend_damaged_file(dir, paths[0], paths[i], i ? MF__CHUNKS : MF__INDEX, readable[i],
                                 &result->aside[i]));
    }
    mf__connection_close(k->index);
    mf__connection_close(k->chunks);
    k->index = k->chunks = NULL;
    return MF_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

static mf_status open_both(const char *dir, char *const paths[2], mf__check *k)
{
    MF_TRY(mf__connection_open(paths[0], MF__CREATE, &k->index));
    MF_TRY(mf__connection_open(paths[1], MF__CREATE, &k->chunks));
    MF_TRY(mf__set_up(k->index, MF__INDEX, dir));
    MF_TRY(mf__set_up(k->chunks, MF__CHUNKS, dir));
    MF_TRY(mf__schema_make(k->index, MF__INDEX));
    return mf__schema_make(k->chunks, MF__CHUNKS);
}

static bool unreadable(const findings *f, mf__target file)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->items[i].kind == MF__BAD_FILE && f->items[i].file == file)
            return true;
    return false;
}

static void close_both(mf__check *k)
{
    mf__connection_close(k->index);
    mf__connection_close(k->chunks);
    k->index = k->chunks = NULL;
}

/* Looks again, at what has been told already. */
static mf_status look_again(mf__check *k, findings *f, mf_verified *counts)
{
    f->tell = NULL;
    findings_clear(f);
    mf__check_clear(k);
    *counts = (mf_verified){0};
    k->result = counts;
    return mf__check_rows(k);
}

/* Files that SQLite finds sound, but whose tables are not ours any more, are replaced as well. */
static mf_status replace_unreadable(const char *dir, char *const paths[2], mf__check *k,
                                    findings *f, mf_repaired *result)
{
    bool replace[2] = {unreadable(f, MF__INDEX), unreadable(f, MF__CHUNKS)};
    if (!replace[0] && !replace[1])
        return MF_OK;
    close_both(k);
    for (int i = 0; i < 2; i++) {
        if (!replace[i])
            continue;
        MF_TRY(refuse_in_use(paths[0]));
        free(result->aside[i]);
        MF_TRY(mf__salvage(dir, paths[i], i ? MF__CHUNKS : MF__INDEX, &result->aside[i]));
    }
    return open_both(dir, paths, k);
}

/* The damages of both files' rows are told, mended, and looked for again. */
static mf_status repair_rows(const char *dir, char *const paths[2], mf__check *k, findings *f,
                             mf_repaired *result)
{
    mf_verified counts;
    MF_TRY(mf__check_rows(k));
    MF_TRY(replace_unreadable(dir, paths, k, f, result));
    MF_TRY(look_again(k, f, &counts));
    if (f->count)
        MF_TRY(mf__schema_pair(k->index, k->chunks)); /* what is there has just been seen */
    for (int round = 0; round < 4; round++) { /* what is dropped may leave others without data */
        MF_TRY(mend_rows(k->index, k->chunks, f, result));
        MF_TRY(look_again(k, f, &counts));
        if (!f->count)
            return MF_OK;
    }
    return mf_hint(mf_fail(MF_CORRUPT, "the damage in '%s' cannot be repaired", k->index->path),
                   "delete the cache folder: everything in it can be computed again");
}

static mf_status repair(const char *dir, char *const paths[2], findings *f, mf_repaired *result)
{
    mf__check k = {.dir = dir, .mends = true, .tell = keep, .self = f, .result = &result->found};
    mf_status status = mend_files(dir, paths, &k, result);
    findings_clear(f);
    if (!status)
        status = open_both(dir, paths, &k);
    if (!status)
        status = repair_rows(dir, paths, &k, f, result);
    close_both(&k);
    mf__check_clear(&k);
    return status;
}

mf_status mf_store_repair(const char *dir, mf_damage_call tell, void *self, mf_repaired *result)
{
    findings f = {.tell = tell, .self = self};
    char *paths[2];
    *result = (mf_repaired){0};
    mf_status status = mf__paths(dir, &paths[0], &paths[1]);
    if (!status)
        status = repair(dir, paths, &f, result);
    findings_clear(&f);
    free(paths[0]);
    free(paths[1]);
    return mf_within(status, "while repairing the cache");
}

void mf_repaired_clear(mf_repaired *result)
{
    free(result->aside[0]);
    free(result->aside[1]);
    *result = (mf_repaired){0};
}
