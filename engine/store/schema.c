/* schema.c - the tables of cache.db and chunks.db, and how they come to this version.
 *
 * user_version holds the schema's version, application_id says that a file is massflow's. Each
 * schema version is one script that takes a file from the version before; version 0 is an empty
 * file. Digests and ids are blobs of 32 bytes, times seconds since 1970. */
#include "store/internal.h"

#include <stdio.h>
#include <string.h>

#define APPLICATION 0x6d617373 /* "mass" */

/* In both files: chunks.db holds chunks of more than MF__SMALL bytes, cache.db the others, so that
 * a small artifact costs one commit. The directory is apart from the data, so that looking for a
 * chunk touches few pages. */
#define META_TABLE "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID"
#define CHUNK_TABLES                                                                               \
    META_TABLE                                                                                     \
    ";"                                                                                            \
    "CREATE TABLE chunk (digest BLOB PRIMARY KEY," /* SHA-256 of the bytes uncompressed */         \
    "  data INTEGER NOT NULL,"                                                                     \
    "  raw INTEGER NOT NULL,"    /* bytes uncompressed */                                          \
    "  stored INTEGER NOT NULL)" /* bytes in chunk_data */                                         \
    "  WITHOUT ROWID;"                                                                             \
    "CREATE TABLE chunk_data (num INTEGER PRIMARY KEY,"                                            \
    "  codec INTEGER NOT NULL," /* see chunks.c */                                                 \
    "  bytes BLOB NOT NULL);"

static const char *const chunk_scripts[MF__SCHEMA] = {CHUNK_TABLES, "", "", "", ""};

/* Version 1 is fixed: tests/pipelines holds such a cache, which must come forward. Until the
 * release what is new goes into the last version's script. */
static const char *const index_scripts[MF__SCHEMA] = {
    CHUNK_TABLES
    /* record: see record.c. present 0: data dropped, the record stays. used and seconds (what it
     * took to make) are what gc weighs. */
    "CREATE TABLE artifact (num INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, type TEXT NOT NULL,"
    "  present INTEGER NOT NULL, bytes INTEGER NOT NULL, stored INTEGER NOT NULL,"
    "  created INTEGER NOT NULL, used INTEGER, seconds REAL, record BLOB NOT NULL);"
    "CREATE INDEX artifact_type ON artifact (type);"
    "CREATE TABLE action (num INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL,"
    "  device TEXT NOT NULL, stage TEXT NOT NULL, seconds REAL NOT NULL,"
    "  peak_bytes INTEGER NOT NULL, created INTEGER NOT NULL, run INTEGER NOT NULL,"
    "  UNIQUE (key, device));"
    "CREATE INDEX action_stage ON action (stage);"
    "CREATE TABLE component (action INTEGER PRIMARY KEY REFERENCES action ON DELETE CASCADE,"
    "  json TEXT NOT NULL);"
    "CREATE TABLE output (action INTEGER NOT NULL REFERENCES action ON DELETE CASCADE,"
    "  port TEXT NOT NULL, position INTEGER NOT NULL,"
    "  artifact INTEGER NOT NULL REFERENCES artifact, PRIMARY KEY (action, port, position))"
    "  WITHOUT ROWID;"
    "CREATE INDEX output_artifact ON output (artifact);"
    "CREATE TABLE run (num INTEGER PRIMARY KEY AUTOINCREMENT, graph TEXT NOT NULL,"
    "  command TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,"
    "  started INTEGER NOT NULL, ended INTEGER, status TEXT NOT NULL);"
    "CREATE INDEX run_graph ON run (graph);"
    "CREATE TABLE run_node (run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,"
    "  node TEXT NOT NULL, outcome INTEGER NOT NULL, seconds REAL NOT NULL, message TEXT,"
    "  key BLOB, PRIMARY KEY (run, node)) WITHOUT ROWID;"
    "CREATE INDEX run_node_node ON run_node (node, run);"
    /* hashed: nanoseconds; when the file was read. */
    "CREATE TABLE file (path TEXT PRIMARY KEY, size INTEGER NOT NULL, inode INTEGER NOT NULL,"
    "  mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, hashed INTEGER NOT NULL,"
    "  digest BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE binary (key TEXT PRIMARY KEY, digest BLOB NOT NULL, created INTEGER NOT NULL,"
    "  bytes BLOB NOT NULL);"
    /* Who runs an action now, and what a long stage saved of itself. */
    "CREATE TABLE lease (key BLOB PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL,"
    "  started INTEGER NOT NULL, heartbeat INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE checkpoint (key BLOB NOT NULL, step INTEGER NOT NULL, created INTEGER NOT NULL,"
    "  artifact INTEGER NOT NULL REFERENCES artifact, PRIMARY KEY (key, step)) WITHOUT ROWID;",

    /* 2: sums, see seal.c. An artifact's seconds were never filled: its actions have them. */
    "ALTER TABLE action ADD COLUMN sum BLOB; ALTER TABLE file ADD COLUMN sum BLOB;"
    "ALTER TABLE checkpoint ADD COLUMN sum BLOB; ALTER TABLE artifact DROP COLUMN seconds;"
    /* Owners of leases: see leases.c. */
    "DROP TABLE lease; CREATE TABLE lease (key BLOB PRIMARY KEY, token BLOB NOT NULL,"
    "  host TEXT NOT NULL, pid INTEGER NOT NULL, machine TEXT NOT NULL, process INTEGER NOT NULL,"
    "  since INTEGER NOT NULL, heartbeat INTEGER NOT NULL) WITHOUT ROWID;"
    /* Of a run which massflow it was, and how many slots it had. */
    "ALTER TABLE run ADD COLUMN version TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE run ADD COLUMN slots INTEGER NOT NULL DEFAULT 0;"
    /* started: with fractions. peak_bytes: the most that was resident while the node ran: of its
     * own process where own_process is 1, else of the whole of massflow, other nodes included. */
    "ALTER TABLE run_node ADD COLUMN started REAL; ALTER TABLE run_node ADD COLUMN device TEXT;"
    "ALTER TABLE run_node ADD COLUMN peak_bytes INTEGER;"
    "ALTER TABLE run_node ADD COLUMN own_process INTEGER NOT NULL DEFAULT 0;"
    /* What stages said while they ran. */
    "CREATE TABLE run_line (num INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run"
    "  ON DELETE CASCADE, node TEXT NOT NULL, at REAL NOT NULL, text TEXT NOT NULL);"
    "CREATE INDEX run_line_run ON run_line (run, node);",

    /* 3: where results are from. Of an import: the file and its closing sum, when and who imported
     * it, when, where and who wrote it; '' and 0 where that is not known. */
    "CREATE TABLE import (num INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL, sum BLOB,"
    "  imported INTEGER NOT NULL, user TEXT NOT NULL, exported INTEGER NOT NULL,"
    "  host TEXT NOT NULL, exporter TEXT NOT NULL);"
    /* import 0: made here. host: where an imported one was made. Both may be there for one key,
     * which a constraint of the table forbade; so it and what refers to it are made anew. */
    "CREATE TABLE action_3 (num INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL,"
    "  device TEXT NOT NULL, stage TEXT NOT NULL, seconds REAL NOT NULL,"
    "  peak_bytes INTEGER NOT NULL, created INTEGER NOT NULL, run INTEGER NOT NULL, sum BLOB,"
    "  import INTEGER NOT NULL DEFAULT 0, host TEXT NOT NULL DEFAULT '',"
    "  UNIQUE (key, device, import));"
    "INSERT INTO action_3 SELECT num, key, device, stage, seconds, peak_bytes, created, run, sum, "
    "0,"
    "  '' FROM action;"
    "CREATE TABLE component_3 (action INTEGER PRIMARY KEY REFERENCES action_3 ON DELETE CASCADE,"
    "  json TEXT NOT NULL);"
    "INSERT INTO component_3 SELECT action, json FROM component;"
    "CREATE TABLE output_3 (action INTEGER NOT NULL REFERENCES action_3 ON DELETE CASCADE,"
    "  port TEXT NOT NULL, position INTEGER NOT NULL,"
    "  artifact INTEGER NOT NULL REFERENCES artifact, PRIMARY KEY (action, port, position))"
    "  WITHOUT ROWID;"
    "INSERT INTO output_3 SELECT action, port, position, artifact FROM output;"
    "DROP TABLE output; DROP TABLE component; DROP TABLE action;"
    "ALTER TABLE action_3 RENAME TO action; ALTER TABLE component_3 RENAME TO component;"
    "ALTER TABLE output_3 RENAME TO output;"
    "CREATE INDEX action_stage ON action (stage); CREATE INDEX output_artifact ON output "
    "(artifact);"
    "CREATE INDEX action_import ON action (import) WHERE import <> 0;",

    /* 4: built OpenCL programs lay here. A cache comes from others and is no place for code: what
     * it held is dropped unread. */
    "DROP TABLE binary;",

    /* 5: the worker that ran a node; NULL: the process of the run. */
    "ALTER TABLE run_node ADD COLUMN place TEXT;"};

static const char *const *scripts_of(mf__target file)
{
    return file == MF__INDEX ? index_scripts : chunk_scripts;
}

/* The version that the tables themselves name since version 2; -1 where they name none. */
static int64_t get_mark(mf__connection *c)
{
    sqlite3_stmt *s = NULL;
    int64_t mark = -1;
    if (!mf__schema_plain(c, "meta", META_TABLE))
        return -1;
    if (sqlite3_prepare_v2(c->db, "SELECT value FROM meta WHERE name = 'schema'", -1, &s, NULL) ==
            SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW)
        mark = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return mark;
}

static mf_status read_version(mf__connection *c, mf__target file, int64_t *version)
{
    int64_t application, pages;
    /* The first one holds this state of the file; looking for a table that is not there would not.
     */
    MF_TRY(mf__integer(c, "PRAGMA user_version", version));
    MF_TRY(mf__integer(c, "PRAGMA application_id", &application));
    MF_TRY(mf__integer(c, "PRAGMA page_count", &pages));
    int64_t mark = get_mark(c);
    if ((mark > 0 && application != APPLICATION) ||
        (application == APPLICATION && mark != (*version == 1 ? -1 : *version)))
        return mf_hint(mf_fail(MF_CORRUPT,
                               "'%s' is damaged: its header and its tables differ in "
                               "what they are",
                               c->path),
                       MF__REPAIR);
    if (pages > 1 && application != APPLICATION)
        return mf_hint(mf_fail(MF_INVALID, "'%s' is a database of another program", c->path),
                       MF__ELSEWHERE);
    if (*version > MF__SCHEMA)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "'%s' has schema version %lld; this massflow reads versions up to "
                               "%d",
                               c->path, (long long)*version, MF__SCHEMA),
                       "use the newer massflow that made it, or another folder for the cache");
    return mf__schema_compare(c, scripts_of(file), *version);
}

/* In one state of the file: another process may be making it. */
static mf_status get_version(mf__connection *c, mf__target file, int64_t *version)
{
    bool alone = sqlite3_get_autocommit(c->db);
    if (alone)
        MF_TRY(mf__script(c, "BEGIN"));
    mf_status status = read_version(c, file, version);
    if (alone && status)
        mf_error_free(mf__script(c, "ROLLBACK"));
    else if (alone)
        status = mf__script(c, "COMMIT");
    return status;
}

mf_status mf__schema_check(mf__connection *c, mf__target file)
{
    int64_t version;
    MF_TRY(get_version(c, file, &version));
    if (version < 1)
        return mf_fail(MF_NOT_FOUND, "'%s' is empty", c->path);
    if (version < MF__SCHEMA)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "'%s' has schema version %lld, of an older massflow; this one reads "
                               "version %d",
                               c->path, (long long)version, MF__SCHEMA),
                       "any `massflow run` with this cache upgrades it; no result is lost");
    return MF_OK;
}

/* ---- the mark that both files carry ---- */

static mf_status get_meta(mf__connection *c, const char *name, uint8_t digest[MF_DIGEST_BYTES],
                          bool *found)
{
    sqlite3_stmt *s;
    MF_TRY(mf__prepare(c, "SELECT value FROM meta WHERE name = ?", &s, "t", name));
    MF_TRY(mf__step(c, s, found));
    if (*found) {
        *found = mf__column_digest(s, 0, digest);
        sqlite3_reset(s);
    }
    return MF_OK;
}

static mf_status set_pair(mf__connection *c, const uint8_t mark[MF_DIGEST_BYTES])
{
    uint8_t sum[MF_DIGEST_BYTES];
    mf_digest_bytes(mark, MF_DIGEST_BYTES, sum);
    MF_TRY(mf__exec(c, "INSERT OR REPLACE INTO meta VALUES ('pair', ?)", "d", mark));
    return mf__exec(c, "INSERT OR REPLACE INTO meta VALUES ('pair sum', ?)", "d", sum);
}

/* *found false where the file is new. Both values come from one statement, so from one state of
 * the file, whatever other processes do. */
static mf_status get_pair(mf__connection *c, uint8_t mark[MF_DIGEST_BYTES], bool *found)
{
    uint8_t sum[MF_DIGEST_BYTES], got[MF_DIGEST_BYTES];
    sqlite3_stmt *s;
    bool row;
    MF_TRY(mf__prepare(c,
                       "SELECT (SELECT value FROM meta WHERE name = 'pair'),"
                       " (SELECT value FROM meta WHERE name = 'pair sum')",
                       &s, ""));
    MF_TRY(mf__step(c, s, &row));
    *found = mf__column_digest(s, 0, mark);
    bool summed = mf__column_digest(s, 1, sum);
    sqlite3_reset(s);
    if (*found)
        mf_digest_bytes(mark, MF_DIGEST_BYTES, got);
    if (*found == summed && (!summed || !memcmp(sum, got, sizeof sum)))
        return MF_OK;
    return mf_hint(mf_fail(MF_CORRUPT, "'%s' is damaged: its mark does not match its sum", c->path),
                   MF__REPAIR);
}

static mf_status seal_pair(mf__connection *c)
{
    uint8_t mark[MF_DIGEST_BYTES];
    bool found;
    MF_TRY(get_meta(c, "pair", mark, &found));
    return found ? set_pair(c, mark) : MF_OK;
}

/* A mark that no other file has. */
static mf_status new_pair(mf__connection *c, uint8_t mark[MF_DIGEST_BYTES])
{
    sqlite3_randomness(MF_DIGEST_BYTES, mark);
    return set_pair(c, mark);
}

/* ---- migration ---- */

/* What was imported before version 3 is from a file that is not known. */
static mf_status name_imported(mf__connection *c)
{
    int64_t count;
    MF_TRY(mf__integer(c, "SELECT count(*) FROM action WHERE run = 0", &count));
    if (!count)
        return MF_OK;
    MF_TRY(mf__exec(c,
                    "INSERT INTO import (file, imported, user, exported, host, exporter)"
                    " VALUES ('', 0, '', 0, '', '')",
                    ""));
    return mf__seal_imported(c, sqlite3_last_insert_rowid(c->db));
}

/* What the script of a version leaves to be computed. */
static mf_status compute(mf__connection *c, bool index, int version)
{
    if (version == 2) {
        MF_TRY(seal_pair(c));
        if (index) /* actions in version 3, whose columns are read */
            MF_TRY(mf__seal_files(c));
    }
    if (version == 3 && index) {
        MF_TRY(mf__seal_actions(c));
        MF_TRY(name_imported(c));
    }
    return MF_OK;
}

static mf_status migrate(mf__connection *c, mf__target file)
{
    int64_t version;
    MF_TRY(get_version(c, file, &version));
    for (; version < MF__SCHEMA; version++) {
        char tail[160];
        snprintf(tail, sizeof tail,
                 "PRAGMA application_id = %d; PRAGMA user_version = %d;"
                 "%s INSERT OR REPLACE INTO meta VALUES ('schema', %d)",
                 APPLICATION, (int)version + 1, version ? "" : "--", (int)version + 1);
        MF_TRY(mf__script(c, scripts_of(file)[version]));
        MF_TRY(compute(c, file == MF__INDEX, (int)version + 1));
        MF_TRY(mf__script(c, tail));
    }
    return MF_OK;
}

mf_status mf__schema_make(mf__connection *c, mf__target file)
{
    int64_t version;
    MF_TRY(get_version(c, file, &version));
    if (version == MF__SCHEMA)
        return MF_OK;
    /* Inside the transaction the version is read again: another process may have been faster. */
    MF_TRY(mf__script(c, "BEGIN IMMEDIATE"));
    mf_status status = migrate(c, file);
    if (!status)
        status = mf__script(c, "COMMIT");
    if (status)
        mf_error_free(mf__script(c, "ROLLBACK"));
    return status;
}

/* The mark of a new file; of two processes that open it at once the first one makes it. */
static mf_status make_mark(mf__connection *c, uint8_t mark[MF_DIGEST_BYTES])
{
    bool found;
    MF_TRY(mf__script(c, "BEGIN IMMEDIATE"));
    mf_status status = get_pair(c, mark, &found);
    if (!status && !found)
        status = new_pair(c, mark);
    if (!status)
        status = mf__script(c, "COMMIT");
    if (status)
        mf_error_free(mf__script(c, "ROLLBACK"));
    return status;
}

/* What an index believes in that lies in another chunks.db than this one. */
static mf_status renew(mf__connection *index, const uint8_t mark[MF_DIGEST_BYTES])
{
    MF_TRY(mf__script(index, "UPDATE artifact SET present = 0"));
    return set_pair(index, mark);
}

/* Both files carry the same random mark, made with chunks.db. Where the marks differ, one of the
 * files has been deleted or replaced: data that the index believes in is gone. */
static mf_status pair(mf__connection *index, mf__connection *chunks)
{
    uint8_t mine[MF_DIGEST_BYTES], theirs[MF_DIGEST_BYTES];
    bool paired, marked;
    MF_TRY(get_pair(chunks, theirs, &marked));
    MF_TRY(get_pair(index, mine, &paired));
    if (marked && paired && !memcmp(mine, theirs, sizeof mine))
        return MF_OK;
    /* Whoever opened it at the same time may have been faster, and have stored something since:
     * with the lock held it is looked at again. */
    MF_TRY(mf__script(index, "BEGIN IMMEDIATE"));
    mf_status status = marked ? MF_OK : make_mark(chunks, theirs);
    if (!status)
        status = get_pair(index, mine, &paired);
    if (!status && !(paired && !memcmp(mine, theirs, sizeof mine)))
        status = renew(index, theirs);
    if (!status)
        status = mf__script(index, "COMMIT");
    if (status)
        mf_error_free(mf__script(index, "ROLLBACK"));
    return status;
}

mf_status mf__schema_paired(mf__connection *index, mf__connection *chunks)
{
    uint8_t mine[MF_DIGEST_BYTES], theirs[MF_DIGEST_BYTES];
    bool paired, marked;
    MF_TRY(get_pair(chunks, theirs, &marked));
    MF_TRY(get_pair(index, mine, &paired));
    if (marked && paired && !memcmp(mine, theirs, sizeof mine))
        return MF_OK;
    return mf_fail(MF_CORRUPT, "'%s' and '%s' are not of one cache", index->path, chunks->path);
}

mf_status mf__schema_pair(mf__connection *index, mf__connection *chunks)
{
    uint8_t mark[MF_DIGEST_BYTES];
    MF_TRY(new_pair(chunks, mark));
    return set_pair(index, mark);
}

mf_status mf__schema_write(mf__connection *index, mf__connection *chunks)
{
    MF_TRY(mf__schema_make(index, MF__INDEX));
    MF_TRY(mf__schema_make(chunks, MF__CHUNKS));
    return pair(index, chunks);
}
