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
#define CHUNK_TABLES                                                                               \
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"                              \
    "CREATE TABLE chunk (digest BLOB PRIMARY KEY," /* SHA-256 of the bytes uncompressed */         \
    "  data INTEGER NOT NULL,"                                                                     \
    "  raw INTEGER NOT NULL,"    /* bytes uncompressed */                                          \
    "  stored INTEGER NOT NULL)" /* bytes in chunk_data */                                         \
    "  WITHOUT ROWID;"                                                                             \
    "CREATE TABLE chunk_data (num INTEGER PRIMARY KEY,"                                            \
    "  codec INTEGER NOT NULL," /* see chunks.c */                                                 \
    "  bytes BLOB NOT NULL);"

static const char *const chunk_scripts[MF__SCHEMA] = {CHUNK_TABLES};

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
    "  command TEXT NOT NULL, version TEXT NOT NULL, slots INTEGER NOT NULL,"
    "  host TEXT NOT NULL, pid INTEGER NOT NULL,"
    "  started INTEGER NOT NULL, ended INTEGER, status TEXT NOT NULL);"
    "CREATE INDEX run_graph ON run (graph);"
    /* started: with fractions. peak_bytes: the most that was resident while the node ran: of its
     * own process where own_process is 1, else of the whole of massflow, other nodes included. */
    "CREATE TABLE run_node (run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,"
    "  node TEXT NOT NULL, outcome INTEGER NOT NULL, started REAL, seconds REAL NOT NULL,"
    "  device TEXT, peak_bytes INTEGER, own_process INTEGER NOT NULL, message TEXT,"
    "  key BLOB, PRIMARY KEY (run, node)) WITHOUT ROWID;"
    "CREATE INDEX run_node_node ON run_node (node, run);"
    /* What stages said while they ran. */
    "CREATE TABLE run_line (num INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run"
    "  ON DELETE CASCADE, node TEXT NOT NULL, at REAL NOT NULL, text TEXT NOT NULL);"
    "CREATE INDEX run_line_run ON run_line (run, node);"
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
    "  artifact INTEGER NOT NULL REFERENCES artifact, PRIMARY KEY (key, step)) WITHOUT ROWID;"};

static mf_status get_version(mf__connection *c, int64_t *version)
{
    int64_t application, pages;
    MF_TRY(mf__integer(c, "PRAGMA user_version", version));
    MF_TRY(mf__integer(c, "PRAGMA application_id", &application));
    MF_TRY(mf__integer(c, "PRAGMA page_count", &pages));
    if (pages > 1 && application != APPLICATION)
        return mf_hint(mf_fail(MF_INVALID, "'%s' is a database of another program", c->path),
                       "choose another folder for the cache");
    if (*version > MF__SCHEMA)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "'%s' has schema version %lld; this massflow reads versions up to "
                               "%d",
                               c->path, (long long)*version, MF__SCHEMA),
                       "use the newer massflow that made it, or another folder for the cache");
    return MF_OK;
}

mf_status mf__schema_check(mf__connection *c)
{
    int64_t version;
    MF_TRY(get_version(c, &version));
    if (version < 1)
        return mf_fail(MF_NOT_FOUND, "'%s' is empty", c->path);
    return MF_OK;
}

static mf_status migrate(mf__connection *c, const char *const *scripts)
{
    int64_t version;
    MF_TRY(get_version(c, &version));
    for (; version < MF__SCHEMA; version++) {
        char tail[96];
        snprintf(tail, sizeof tail, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                 APPLICATION, (int)version + 1);
        MF_TRY(mf__script(c, scripts[version]));
        MF_TRY(mf__script(c, tail));
    }
    return MF_OK;
}

static mf_status migrate_file(mf__connection *c, const char *const *scripts)
{
    int64_t version;
    MF_TRY(get_version(c, &version));
    if (version == MF__SCHEMA)
        return MF_OK;
    /* Inside the transaction the version is read again: another process may have been faster. */
    MF_TRY(mf__script(c, "BEGIN IMMEDIATE"));
    mf_status status = migrate(c, scripts);
    if (!status)
        status = mf__script(c, "COMMIT");
    if (status)
        mf_error_free(mf__script(c, "ROLLBACK"));
    return status;
}

static mf_status get_pair(mf__connection *c, char hex[MF_HEX_SIZE])
{
    sqlite3_stmt *s;
    bool row;
    hex[0] = 0;
    MF_TRY(mf__prepare(c, "SELECT value FROM meta WHERE name = 'pair'", &s, ""));
    MF_TRY(mf__step(c, s, &row));
    if (row) {
        mf__column_hex(s, 0, hex);
        sqlite3_reset(s);
    }
    return MF_OK;
}

static mf_status set_pair(mf__connection *c, const char *hex)
{
    uint8_t digest[MF_DIGEST_BYTES];
    if (!mf_hex_decode(hex, digest))
        return mf_fail(MF_CORRUPT, "'%s' is damaged: its meta table is not sound", c->path);
    return mf__exec(c, "INSERT OR REPLACE INTO meta VALUES ('pair', ?)", "d", digest);
}

/* Both files carry the same random mark, made with chunks.db. Where the marks differ, one of the
 * files has been deleted or replaced: data that the index believes in is gone. */
static mf_status pair(mf__connection *index, mf__connection *chunks)
{
    char mine[MF_HEX_SIZE], theirs[MF_HEX_SIZE];
    MF_TRY(get_pair(chunks, theirs));
    if (!theirs[0]) {
        MF_TRY(mf__script(chunks, "INSERT OR IGNORE INTO meta VALUES ('pair', randomblob(32))"));
        MF_TRY(get_pair(chunks, theirs));
    }
    MF_TRY(get_pair(index, mine));
    if (strcmp(mine, theirs) == 0)
        return MF_OK;
    MF_TRY(mf__script(index, "BEGIN IMMEDIATE"));
    mf_status status = mf__script(index, "UPDATE artifact SET present = 0");
    if (!status)
        status = set_pair(index, theirs);
    if (!status)
        status = mf__script(index, "COMMIT");
    if (status)
        mf_error_free(mf__script(index, "ROLLBACK"));
    return status;
}

mf_status mf__schema_pair(mf__connection *index, mf__connection *chunks)
{
    char theirs[MF_HEX_SIZE];
    MF_TRY(mf__script(chunks, "INSERT OR IGNORE INTO meta VALUES ('pair', randomblob(32))"));
    MF_TRY(get_pair(chunks, theirs));
    return set_pair(index, theirs);
}

mf_status mf__schema_make(mf__connection *c, mf__target file)
{
    return migrate_file(c, file == MF__INDEX ? index_scripts : chunk_scripts);
}

mf_status mf__schema_write(mf__connection *index, mf__connection *chunks)
{
    MF_TRY(mf__schema_make(index, MF__INDEX));
    MF_TRY(mf__schema_make(chunks, MF__CHUNKS));
    return pair(index, chunks);
}
