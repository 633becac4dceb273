/* salvage.c - a new file of all rows that can still be read of a damaged one.
 *
 * Each table is read from its beginning up to where it is damaged, then from its end down to where
 * it is damaged: what lies on other pages than the damaged ones is saved. Chunks whose directory
 * entry is lost are known by their content. Rows are not judged here: verify does that with the new
 * file. */
#include "store/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#define HEAD 24 /* bytes of a database's header that do not change */

typedef struct salvage {
    mf__connection *from, *to;
} salvage;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "saving a cache");
}

/* A text from the only column of the only row, for free(); NULL where there is none. */
static char *ask_text(mf__connection *c, const char *sql, const char *name)
{
    sqlite3_stmt *s = NULL;
    char *text = NULL;
    if (sqlite3_prepare_v2(c->db, sql, -1, &s, NULL) == SQLITE_OK) {
        sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_text(s, 0))
            text = strdup((const char *)sqlite3_column_text(s, 0));
    }
    sqlite3_finalize(s);
    return text;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static bool copy_row(sqlite3_stmt *from, sqlite3_stmt *to, int *code)
{
    for (int i = 0; i < sqlite3_column_count(from); i++)
        sqlite3_bind_value(to, i + 1, sqlite3_column_value(from, i));
    *code = sqlite3_step(to);
    sqlite3_reset(to);
    sqlite3_clear_bindings(to);
    /* A row that breaks a rule of the table is no row of ours. */
    return *code == SQLITE_DONE || *code == SQLITE_CONSTRAINT || *code == SQLITE_MISMATCH;
}

/* Reads until the end or until what is damaged. */
static mf_status copy_rows(salvage *v, const char *select, const char *insert)
{
    sqlite3_stmt *from = NULL, *to = NULL;
    int code = SQLITE_DONE;
    mf_status status = MF_OK;
    if (sqlite3_prepare_v2(v->to->db, insert, -1, &to, NULL) != SQLITE_OK)
        return mf__sql_failed(v->to);
    if (sqlite3_prepare_v2(v->from->db, select, -1, &from, NULL) == SQLITE_OK)
        while (!status && sqlite3_step(from) == SQLITE_ROW)
            if (!copy_row(from, to, &code))
                status = mf__sql_failed(v->to);
    sqlite3_finalize(from);
    sqlite3_finalize(to);
    return status;
}

/* The columns as the old file names them, where there are as many: a damaged name is no loss. */
static char *old_columns(salvage *v, const char *table)
{
    static const char count[] = "SELECT count(*) FROM pragma_table_info(?)";
    char *old = v->from ? ask_text(v->from, count, table) : NULL;
    char *new = ask_text(v->to, count, table);
    char *columns = NULL;
    if (old && new && !strcmp(old, new))
        columns = strdup("*");
    free(old);
    free(new);
    return columns;
}

/* Whether reading rows only reads: a view or a virtual table in a table's place, or a column that
 * is computed, would run what somebody has put there. */
static bool only_rows(salvage *v, const char *table)
{
    char *text =
        ask_text(v->from,
                 "SELECT count(*) FROM sqlite_master m WHERE m.type = 'table' AND m.name = ?1"
                 " AND m.rootpage > 0"
                 " AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(?1) WHERE hidden <> 0)",
                 table);
    bool only = text && !strcmp(text, "1");
    free(text);
    return only;
}

static mf_status copy_table(salvage *v, const char *table)
{
    if (!only_rows(v, table))
        return MF_OK;
    static const char list[] =
        "SELECT group_concat('\"' || name || '\"') FROM pragma_table_info(?)";
    char *columns = ask_text(v->to, list, table), *from = old_columns(v, table);
    char *marks = ask_text(v->to, "SELECT group_concat('?') FROM pragma_table_info(?)", table);
    char *key = ask_text(v->to,
                         "SELECT group_concat((cid + 1) || ' DESC') FROM"
                         " (SELECT cid FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk)",
                         table);
    char *select = NULL, *down = NULL, *insert = NULL;
    mf_status status = MF_OK;
    if (columns &&
        asprintf(&select, "SELECT %s FROM \"%s\" NOT INDEXED", from ? from : columns, table) < 0)
        select = NULL;
    if (select && asprintf(&down, "%s ORDER BY %s", select, key ? key : "rowid DESC") < 0)
        down = NULL;
    if (columns && marks &&
        asprintf(&insert, "INSERT OR IGNORE INTO \"%s\" (%s) VALUES (%s)", table, columns, marks) <
            0)
        insert = NULL;
    if (!select || !down || !insert)
        status = no_memory();
    if (!status)
        status = copy_rows(v, select, insert);
    if (!status)
        status = copy_rows(v, down, insert);
    free(columns);
    free(from);
    free(marks);
    free(key);
    free(select);
    free(down);
    free(insert);
    return status;
}

static mf_status copy_tables(salvage *v)
{
    sqlite3_stmt *s;
    bool row;
    mf_status status = MF_OK;
    MF_TRY(mf__prepare(v->to,
                       "SELECT name FROM sqlite_schema WHERE type = 'table'"
                       " AND name NOT LIKE 'sqlite_%'",
                       &s, ""));
    MF_TRY(mf__step(v->to, s, &row));
    while (row && !status) {
        status = copy_table(v, (const char *)sqlite3_column_text(s, 0));
        if (!status)
            status = mf__step(v->to, s, &row);
    }
    sqlite3_reset(s);
    return status;
}

/* ---- chunks without a name ------------------------------------------------------------------- */

static size_t raw_size(int codec, const void *bytes, size_t size)
{
    if (codec == 0)
        return size;
    unsigned long long raw = ZSTD_getFrameContentSize(bytes, size);
    return raw == ZSTD_CONTENTSIZE_UNKNOWN || raw == ZSTD_CONTENTSIZE_ERROR || raw > MF__PIECE
               ? 0
               : (size_t)raw;
}

static mf_status name_chunk(salvage *v, mf__scratch *scratch, sqlite3_stmt *s)
{
    const void *stored = sqlite3_column_blob(s, 2);
    size_t size = (size_t)sqlite3_column_bytes(s, 2);
    int codec = sqlite3_column_int(s, 1);
    size_t raw = stored ? raw_size(codec, stored, size) : 0;
    uint8_t *bytes, digest[MF_DIGEST_BYTES];
    MF_TRY(mf__chunk_expand(scratch, codec, stored, size, raw, &bytes));
    if (!bytes)
        return MF_OK;
    mf_digest_bytes(bytes, raw, digest);
    return mf__exec(v->to,
                    "INSERT OR IGNORE INTO chunk (digest, data, raw, stored) VALUES (?, ?, ?, ?)",
                    "diii", digest, sqlite3_column_int64(s, 0), (int64_t)raw, (int64_t)size);
}

static mf_status name_chunks(salvage *v)
{
    mf__scratch scratch = {0};
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(v->to,
                       "SELECT num, codec, bytes FROM chunk_data"
                       " WHERE num NOT IN (SELECT data FROM chunk)",
                       &s, ""));
    MF_TRY(mf__step(v->to, s, &row));
    mf_status status = MF_OK;
    while (row && !status) {
        status = name_chunk(v, &scratch, s);
        if (!status)
            status = mf__step(v->to, s, &row);
    }
    sqlite3_reset(s);
    mf__scratch_clear(&scratch);
    if (status)
        return status;
    return mf__script(v->to, "DELETE FROM chunk_data WHERE num NOT IN (SELECT data FROM chunk);"
                             "DELETE FROM chunk WHERE data NOT IN (SELECT num FROM chunk_data)");
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Rewrites the beginning of the header, which is the same in all our files; false where the rest of
 * it does not say that the file is ours. */
static bool mend_header(const char *path, mf__target file)
{
    static const uint8_t head[HEAD + 1] = "SQLite format 3\0\0\0\2\2\0\x40\x20\x20";
    uint8_t bytes[HEAD], mark[4] = {0};
    memcpy(bytes, head, sizeof bytes);
    bytes[16] = file == MF__INDEX ? 0x10 : 0; /* page size 4096; or 65536, which is written as 1 */
    bytes[17] = file == MF__INDEX ? 0 : 1;
    bytes[18] = bytes[19] = file == MF__INDEX ? 2 : 1; /* WAL, or not */
    FILE *f = fopen(path, "r+b");
    if (!f)
        return false;
    bool good = fseek(f, 68, SEEK_SET) == 0 && fread(mark, 1, sizeof mark, f) == sizeof mark &&
                !memcmp(mark, "mass", sizeof mark) && fseek(f, 0, SEEK_SET) == 0 &&
                fwrite(bytes, 1, sizeof bytes, f) == sizeof bytes;
    return fclose(f) == 0 && good;
}

static mf_status open_old(const char *path, mf__target file, mf__connection **c)
{
    int64_t version;
    mf_status status = mf__connection_open(path, MF__READ, c);
    if (!status)
        status = mf__integer(*c, "PRAGMA schema_version", &version);
    if (!status)
        return MF_OK;
    mf__connection_close(*c);
    *c = NULL;
    if (!mend_header(path, file))
        return status;
    mf_error_free(status);
    return mf__connection_open(path, MF__READ, c);
}

static mf_status copy_all(salvage *v, const char *dir, mf__target file)
{
    MF_TRY(mf__set_up(v->to, file, dir));
    MF_TRY(mf__schema_make(v->to, file));
    MF_TRY(mf__script(v->to, "PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE"));
    if (v->from)
        MF_TRY(copy_tables(v));
    /* The marks of this file and the other are given anew once their rows have been looked at. */
    MF_TRY(mf__script(v->to, "DELETE FROM meta WHERE name LIKE 'pair%'"));
    MF_TRY(name_chunks(v));
    MF_TRY(mf__script(v->to, "COMMIT"));
    return mf__script(v->to, "PRAGMA journal_mode = DELETE");
}

static void remove_with(const char *path, const char *suffix)
{
    char *name;
    if (asprintf(&name, "%s%s", path, suffix) < 0)
        return;
    remove(name);
    free(name);
}

/* The old file and what belongs to it get another name. */
static mf_status move_aside(const char *path, char **aside)
{
    static const char *const suffixes[] = {"-wal", "-journal", "-shm", ""};
    char when[32], *from, *to;
    time_t now = time(NULL);
    struct tm utc;
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", gmtime_r(&now, &utc));
    if (asprintf(aside, "%s.damaged-%s", path, when) < 0) {
        *aside = NULL;
        return no_memory();
    }
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        if (asprintf(&from, "%s%s", path, suffixes[i]) < 0)
            return no_memory();
        if (asprintf(&to, "%s%s", *aside, suffixes[i]) < 0) {
            free(from);
            return no_memory();
        }
        int failed = rename(from, to) != 0 && errno != ENOENT ? errno : 0;
        free(from);
        free(to);
        if (failed)
            return mf_fail(MF_IO, "cannot move '%s' aside: %s", path, strerror(failed));
    }
    return MF_OK;
}

mf_status mf__salvage(const char *dir, const char *path, mf__target file, char **aside)
{
    salvage v = {0};
    struct stat old;
    char *made;
    *aside = NULL;
    if (asprintf(&made, "%s.new", path) < 0)
        return no_memory();
    remove(made); /* of a repair that was broken off */
    remove_with(made, "-wal");
    remove_with(made, "-journal");
    mf_status status = mf__connection_open(made, MF__CREATE, &v.to);
    if (!status && stat(path, &old) == 0 && chmod(made, old.st_mode & 0777) != 0)
        status = mf_fail(MF_IO, "cannot set the mode of '%s': %s", made, strerror(errno));
    if (!status) {
        mf_status unreadable = access(path, F_OK) == 0 ? open_old(path, file, &v.from) : MF_OK;
        mf_error_free(unreadable); /* then the new file is empty */
        status = copy_all(&v, dir, file);
    }
    mf__connection_close(v.from);
    mf__connection_close(v.to);
    if (!status && access(path, F_OK) == 0)
        status = move_aside(path, aside);
    if (!status && rename(made, path) != 0)
        status = mf_fail(MF_IO, "cannot rename '%s': %s", made, strerror(errno));
    if (status)
        remove(made);
    free(made);
    return mf_within(status, "while recovering the readable part of '%s'", path);
}
