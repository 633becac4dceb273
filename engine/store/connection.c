/* connection.c - one SQLite connection, its prepared statements and its errors. */
#include "base/path.h"
#include "store/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define BUSY_SECONDS 120 /* how long another process may keep a file locked */
#define MOST_ROW                                                                                   \
    (256 << 20) /* bytes of a row: a record or a key's components; chunks have 4 MiB               \
                 */

/* SQLite opens a file for reading alone where it cannot have it for writing, whatever the reason.
 */
#define WRITABLE "files must be readable and writable there, and the disk not full"

/* What one transaction adds to a file at most, about. */
#define MOST_ADDED ((rlim_t)64 << 20)

/* Whether a write failed where the limit of this process on files was near. SQLite does not always
 * keep the cause, and it has rolled back what it had written. */
static bool at_limit(mf__connection *c, const char *path)
{
    struct rlimit limit;
    struct stat about;
    return sqlite3_extended_errcode(c->db) == SQLITE_IOERR_WRITE &&
           getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
           stat(path, &about) == 0 && (rlim_t)about.st_size + MOST_ADDED > limit.rlim_cur;
}

/* SQLite's words, and the system's. */
static mf_status system_failed(mf__connection *c, const char *doing, const char *path)
{
    int code = sqlite3_errcode(c->db) & 0xff;
    int cause = code == SQLITE_IOERR ? sqlite3_system_errno(c->db) : 0; /* where it is known */
    const char *text = sqlite3_errmsg(c->db);
    if (cause == EFBIG || (!cause && at_limit(c, path)))
        return mf_hint(
            mf_fail(MF_IO,
                    "cannot write '%s': it would be larger than this shell allows "
                    "files to be",
                    path),
            "'ulimit -f' says how large; raise it and run again: finished results are kept");
    if (cause)
        return mf_fail(MF_IO, "%s'%s': %s (%s)", doing, path, text, strerror(cause));
    if (code == SQLITE_CANTOPEN)
        return mf_hint(mf_fail(MF_IO, "%s'%s': %s", doing, path, text), WRITABLE);
    return mf_fail(MF_IO, "%s'%s': %s", doing, path, text);
}

static mf_status locked(const mf__connection *c)
{
    char *holder = mf__lock_holder(c->path);
    mf_status status = mf_fail(MF_IO, "'%s' has been locked for %d s by %s", c->path, BUSY_SECONDS,
                               holder ? holder : "another process");
    free(holder);
    return status;
}

mf_status mf__sql_failed(mf__connection *c)
{
    int code = sqlite3_errcode(c->db) & 0xff;
    const char *text = sqlite3_errmsg(c->db);
    switch (code) {
    case SQLITE_FULL:
        return mf_hint(
            mf_fail(MF_IO, "cannot write '%s': the disk is full", c->path),
            "free some space or put the cache elsewhere, and run again: finished results are kept");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return locked(c);
    case SQLITE_CORRUPT:
    case SQLITE_ERROR: /* our statements are right: a table or a column is not there any more */
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return mf_hint(mf_fail(MF_CORRUPT, "'%s' is damaged: %s", c->path, text), MF__REPAIR);
    case SQLITE_NOTADB:
        return mf_hint(mf_fail(MF_CORRUPT, "'%s' is not an SQLite database", c->path), MF__REPAIR);
    case SQLITE_NOMEM:
        return mf_no_memory(0, "using '%s'", c->path);
    case SQLITE_READONLY:
        if (sqlite3_extended_errcode(c->db) != SQLITE_READONLY)
            return mf__left(c->path);
        return mf_hint(mf_fail(MF_IO, "cannot write '%s': it is read-only", c->path), WRITABLE);
    default:
        return system_failed(c, "", c->path);
    }
}

mf_status mf__left(const char *path)
{
    return mf_hint(
        mf_fail(MF_IO, "'%s' was left in the middle of a write, and looking changes nothing", path),
        "the next `massflow run` mends it, or `massflow cache repair`");
}

/* Short sleeps: the writer holds a file for milliseconds. */
static int busy(void *arg, int tries)
{
    mf__connection *c = arg;
    int64_t wait_ms = tries < 10 ? 1 : tries < 100 ? 5 : 20;
    if (tries == 0)
        mf__delay_begin(&c->wait);
    if (mf__delay_look(&c->wait, c->path) > BUSY_SECONDS)
        return 0;
    struct timespec t = {0, wait_ms * 1000000};
    nanosleep(&t, NULL);
    return 1;
}

/* "file:..." with what an URI treats specially escaped. The caller frees. */
static char *immutable_uri(const char *path)
{
    static const char tail[] = "?immutable=1";
    char *uri = malloc(3 * strlen(path) + sizeof "file:" + sizeof tail);
    if (!uri)
        return NULL;
    char *to = stpcpy(uri, "file:");
    for (const char *p = path; *p; p++)
        if (strchr("%?#", *p))
            to += sprintf(to, "%%%02X", (unsigned)*p);
        else
            *to++ = *p;
    strcpy(to, tail);
    return uri;
}

/* SQLite makes files that only their owner can write, whatever the umask says, and gives -wal and
 * -journal the mode that the database has. mknod opens nothing: see guard.c. Where the file system
 * refuses it, SQLite makes the file after all. */
static void make_file(const char *path)
{
    mknod(path, S_IFREG | 0666, 0);
}

/* What a cache may hold, which may come from others, is never run: no trigger, view, extension, and
 * no function that is not harmless; nor is the schema written. The sizes are what massflow needs.
 */
static mf_status harden(mf__connection *c, mf__access access)
{
    static const struct {
        int setting, value;
    } settings[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0},
        {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (sqlite3_db_config(c->db, settings[i].setting, settings[i].value, NULL) != SQLITE_OK)
            return mf_fail(MF_INTERNAL, "SQLite refuses setting %d", settings[i].setting);
    sqlite3_limit(c->db, SQLITE_LIMIT_LENGTH, MOST_ROW);
    sqlite3_limit(c->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(c->db, SQLITE_LIMIT_TRIGGER_DEPTH, 1);
    MF_TRY(mf__script(c, "PRAGMA cell_size_check = 1; PRAGMA mmap_size = 0"));
    return access == MF__CREATE ? MF_OK : mf__script(c, "PRAGMA query_only = 1");
}

static int open_database(mf__connection *c, const char *real, mf__access access)
{
    static const int rights[] = {[MF__CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                                 [MF__READ] = SQLITE_OPEN_READWRITE,
                                 [MF__LOOK] = SQLITE_OPEN_READONLY,
                                 [MF__IMMUTABLE] = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI};
    char *uri = access == MF__IMMUTABLE ? immutable_uri(real) : NULL;
    if (access == MF__IMMUTABLE && !uri)
        return SQLITE_NOMEM;
    int code = sqlite3_open_v2(uri ? uri : real, &c->db,
                               rights[access] | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    free(uri);
    return code;
}

static mf_status open_guarded(mf__connection *c, mf__access access)
{
    MF_TRY(mf__guard(c->path, access == MF__CREATE));
    char *real = mf_real_name(c->path); /* SQLite is told to follow no links */
    if (!real)
        return errno == ENOMEM ? mf_no_memory(0, "opening '%s'", c->path)
                               : mf_fail(MF_IO, "cannot open '%s': %s", c->path, strerror(errno));
    if (access == MF__CREATE)
        make_file(real);
    int code = open_database(c, real, access);
    free(real);
    if (!c->db)
        return mf_no_memory(0, "opening '%s'", c->path);
    if ((code & 0xff) == SQLITE_CANTOPEN)
        return system_failed(c, "cannot open ", c->path);
    if (code != SQLITE_OK)
        return mf__sql_failed(c);
    sqlite3_busy_handler(c->db, busy, c);
    sqlite3_extended_result_codes(c->db, 1);
    return harden(c, access);
}

mf_status mf__connection_open(const char *path, mf__access access, mf__connection **connection)
{
    mf__connection *c = calloc(1, sizeof *c);
    *connection = NULL;
    if (!c || !(c->path = strdup(path))) {
        mf__connection_close(c);
        return mf_no_memory(0, "opening '%s'", path);
    }
    mf_status status = open_guarded(c, access);
    if (status)
        mf__connection_close(c);
    else
        *connection = c;
    return status;
}

void mf__connection_close(mf__connection *connection)
{
    if (!connection)
        return;
    for (int i = 0; i < connection->count; i++)
        sqlite3_finalize(connection->statements[i].statement);
    sqlite3_close(connection->db);
    free(connection->path);
    free(connection);
}

static mf_status get_statement(mf__connection *c, const char *sql, sqlite3_stmt **statement)
{
    for (int i = 0; i < c->count; i++)
        if (c->statements[i].sql == sql) {
            *statement = c->statements[i].statement;
            return MF_OK;
        }
    if (c->count == MF__STATEMENTS)
        return mf_fail(MF_INTERNAL, "too many statements on one connection");
    if (sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) != SQLITE_OK)
        return mf__sql_failed(c);
    c->statements[c->count].sql = sql;
    c->statements[c->count++].statement = *statement;
    return MF_OK;
}

static mf_status vprepare(mf__connection *c, const char *sql, sqlite3_stmt **statement,
                          const char *kinds, va_list args)
{
    MF_TRY(get_statement(c, sql, statement));
    sqlite3_stmt *s = *statement;
    int code = SQLITE_OK;
    sqlite3_reset(s);
    for (int i = 1; kinds[i - 1] && code == SQLITE_OK; i++) {
        const void *bytes;
        switch (kinds[i - 1]) {
        case 't':
            code = sqlite3_bind_text(s, i, va_arg(args, const char *), -1, SQLITE_STATIC);
            break;
        case 'i':
            code = sqlite3_bind_int64(s, i, va_arg(args, int64_t));
            break;
        case 'r':
            code = sqlite3_bind_double(s, i, va_arg(args, double));
            break;
        case 'd':
            bytes = va_arg(args, const void *);
            code = sqlite3_bind_blob(s, i, bytes, MF_DIGEST_BYTES, SQLITE_STATIC);
            break;
        default:
            bytes = va_arg(args, const void *);
            code = sqlite3_bind_blob64(s, i, bytes, va_arg(args, size_t), SQLITE_STATIC);
        }
    }
    return code == SQLITE_OK ? MF_OK : mf__sql_failed(c);
}

mf_status mf__prepare(mf__connection *c, const char *sql, sqlite3_stmt **statement,
                      const char *kinds, ...)
{
    va_list args;
    va_start(args, kinds);
    mf_status status = vprepare(c, sql, statement, kinds, args);
    va_end(args);
    return status;
}

mf_status mf__step(mf__connection *c, sqlite3_stmt *statement, bool *row)
{
    int code = sqlite3_step(statement);
    *row = code == SQLITE_ROW;
    if (*row)
        return MF_OK;
    mf_status status = code == SQLITE_DONE ? MF_OK : mf__sql_failed(c);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

mf_status mf__exec(mf__connection *c, const char *sql, const char *kinds, ...)
{
    sqlite3_stmt *s;
    va_list args;
    va_start(args, kinds);
    mf_status status = vprepare(c, sql, &s, kinds, args);
    va_end(args);
    for (bool row = true; !status && row;)
        status = mf__step(c, s, &row);
    return status;
}

mf_status mf__script(mf__connection *c, const char *sql)
{
    return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? MF_OK : mf__sql_failed(c);
}

mf_status mf__insist(mf__connection *c, const char *sql)
{
    int code = SQLITE_BUSY;
    for (int tries = 0; code == SQLITE_BUSY; tries++) {
        code = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
        if (code == SQLITE_BUSY && !busy(c, tries))
            break;
    }
    return code == SQLITE_OK ? MF_OK : mf__sql_failed(c);
}

mf_status mf__integer(mf__connection *c, const char *sql, int64_t *value)
{
    sqlite3_stmt *s;
    bool row;
    *value = 0;
    MF_TRY(mf__prepare(c, sql, &s, ""));
    MF_TRY(mf__step(c, s, &row));
    if (row) {
        *value = sqlite3_column_int64(s, 0);
        sqlite3_reset(s);
    }
    return MF_OK;
}

bool mf__column_digest(sqlite3_stmt *s, int column, uint8_t digest[MF_DIGEST_BYTES])
{
    const void *bytes = sqlite3_column_blob(s, column);
    if (!bytes || sqlite3_column_bytes(s, column) != MF_DIGEST_BYTES)
        return false;
    memcpy(digest, bytes, MF_DIGEST_BYTES);
    return true;
}

bool mf__column_hex(sqlite3_stmt *s, int column, char hex[MF_HEX_SIZE])
{
    uint8_t digest[MF_DIGEST_BYTES];
    if (!mf__column_digest(s, column, digest))
        return false;
    mf_hex_encode(digest, hex);
    return true;
}
