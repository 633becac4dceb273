/* test_store_guard.c - caches that others made: journals that name files, links, triggers and
 * views; and looking, which changes nothing of what a crash left. */
#include "../run_suite.h"
#include "store/internal.h"
#include "store/upkeep.h"
#include "store_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

static const uint8_t magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};

static const char *in_folder(const char *name)
{
    static char paths[4][160];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void run_sql(const char *file, const char *sql)
{
    sqlite3 *db;
    char *error = NULL;
    ck_assert_int_eq(sqlite3_open(in_folder(file), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        ck_abort_msg("%s", error);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void make_store(char id[MF_HEX_SIZE])
{
    mf_store *store = open_store(MF_STORE_WRITE);
    put_text(store, "kept", id);
    mf_store_close(store);
}

/* Name, size and time of each file, and a digest of what it holds. */
static char *look_of(const char *skip)
{
    static const char *const names[] = {"cache.db",          "cache.db-wal", "cache.db-shm",
                                        "cache.db-journal",  "chunks.db",    "chunks.db-wal",
                                        "chunks.db-journal", "lock",         NULL};
    char *text = calloc(1, 4096);
    for (int i = 0; names[i]; i++) {
        struct stat s;
        char digest[MF_HEX_SIZE] = "-";
        if ((skip && !strcmp(names[i], skip)) || stat(in_folder(names[i]), &s) != 0)
            continue;
        uint8_t *bytes = malloc((size_t)s.st_size + 1);
        FILE *f = fopen(in_folder(names[i]), "rb");
        ck_assert(f && fread(bytes, 1, (size_t)s.st_size, f) == (size_t)s.st_size);
        fclose(f);
        mf_digest_hex(bytes, (size_t)s.st_size, digest);
        free(bytes);
        snprintf(text + strlen(text), 4096 - strlen(text), "%s %lld %ld.%09ld %.16s\n", names[i],
                 (long long)s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec, digest);
    }
    return text;
}

/* ---- journals -------------------------------------------------------------------------------- */

static void put_big(FILE *f, uint32_t v)
{
    const uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    fwrite(b, 1, 4, f);
}

/* A journal's end as SQLite writes it: see guard.c. */
static void write_tail(FILE *f, const char *name, uint32_t length, uint32_t sum)
{
    fputs(name, f);
    put_big(f, length);
    put_big(f, sum);
    fwrite(magic, 1, sizeof magic, f);
}

static uint32_t sum_of(const char *name, bool sign)
{
    uint32_t sum = 0;
    for (; *name; name++)
        sum += sign ? (uint32_t)(int32_t)(int8_t)*name : (uint8_t)*name;
    return sum;
}

static char *super_of(const char *before, size_t size, const char *name, uint32_t length,
                      uint32_t sum)
{
    FILE *f = fopen(in_folder("journal"), "wb");
    char *found;
    fwrite(before, 1, size, f);
    write_tail(f, name, length, sum);
    fclose(f);
    ok(mf__journal_super(in_folder("journal"), &found));
    return found;
}

START_TEST(a_journals_end_is_read_as_sqlite_reads_it)
{
    static const char name[] = "/home/me/scan.nii", odd[] = "/home/\xc3\xa4.nii";
    char *found;
    ok(mf__journal_super(in_folder("none"), &found));
    ck_assert_ptr_null(found);
    write_file("journal", "", 1);
    ok(mf__journal_super(in_folder("journal"), &found));
    ck_assert_ptr_null(found);
    write_file("journal", "fifteen bytes..", 1);
    ok(mf__journal_super(in_folder("journal"), &found));
    ck_assert_ptr_null(found);

    found = super_of("page", 4, name, sizeof name - 1, sum_of(name, true));
    ck_assert_str_eq(found, name);
    free(found);
    found =
        super_of("", 0, name, sizeof name - 1, sum_of(name, true)); /* nothing else in the file */
    ck_assert_str_eq(found, name);
    free(found);
    for (int sign = 0; sign < 2;
         sign++) { /* of a byte above 127, as on this machine and on others */
        found = super_of("page", 4, odd, sizeof odd - 1, sum_of(odd, sign));
        ck_assert_str_eq(found, odd);
        free(found);
    }
    /* What SQLite passes over is no name: another sum, a length of nothing or of more than there
     * is. */
    ck_assert_ptr_null(super_of("page", 4, name, sizeof name - 1, sum_of(name, true) + 1));
    ck_assert_ptr_null(super_of("page", 4, name, 0, 0));
    ck_assert_ptr_null(super_of("", 0, name, sizeof name, sum_of(name, true)));
    ck_assert_ptr_null(super_of("page", 4, name, UINT32_MAX, sum_of(name, true)));
    FILE *f = fopen(in_folder("journal"), "ab");
    fputc(0, f);
    fclose(f);
    ok(mf__journal_super(in_folder("journal"), &found));
    ck_assert_ptr_null(found);
}
END_TEST

/* A journal of a database that SQLite would roll back, and for it delete `victim`. */
static void write_hot_journal(const char *database, const char *victim)
{
    uint8_t head[512] = {0}, page[2];
    char name[32];
    FILE *f = fopen(in_folder(database), "rb");
    ck_assert(f && fseek(f, 16, SEEK_SET) == 0 && fread(page, 1, 2, f) == 2);
    ck_assert(fseek(f, 0, SEEK_END) == 0);
    uint32_t size = (uint32_t)page[0] << 8 | page[1], length = (uint32_t)ftell(f);
    size = size == 1 ? 65536 : size;
    fclose(f);
    snprintf(name, sizeof name, "%s-journal", database);
    f = fopen(in_folder(name), "wb");
    fwrite(magic, 1, sizeof magic, f);
    put_big(f, 0); /* records */
    put_big(f, 1); /* a nonce */
    put_big(f, length / size);
    put_big(f, sizeof head); /* of a sector */
    put_big(f, size);
    fwrite(head, 1, sizeof head - sizeof magic - 20, f);
    put_big(f, 0x40000000 / size + 1);
    write_tail(f, victim, (uint32_t)strlen(victim), sum_of(victim, true));
    fclose(f);
}

static void refused_everywhere(const char *text)
{
    mf_store *store;
    mf_verified verified;
    mf_repaired repaired;
    mf_gc_result collected;
    const mf_gc_options options = {-1, -1, false};
    fails_like(mf_store_open(folder, MF_STORE_READ, &store), "while opening the cache: %s", text);
    fails_like(mf_store_open(folder, MF_STORE_WRITE, &store), "while opening the cache: %s", text);
    fails_like(mf_store_verify(folder, NULL, NULL, &verified), "while checking the cache: %s",
               text);
    fails_like(mf_store_repair(folder, NULL, NULL, &repaired), "while repairing the cache: %s",
               text);
    mf_repaired_clear(&repaired);
    fails_like(mf_store_gc(folder, &options, NULL, NULL, &collected),
               "while collecting in the cache: while opening the cache: %s", text);
}

START_TEST(a_journal_that_names_a_file_is_refused_and_the_file_stays)
{
    static const char *const files[] = {"chunks.db", "cache.db"};
    char id[MF_HEX_SIZE], text[1000];
    make_store(id);
    write_file("victim", "a scan", 1);
    for (int i = 0; i < 2; i++) {
        char journal[32];
        snprintf(journal, sizeof journal, "%s-journal", files[i]);
        write_hot_journal(files[i], in_folder("victim"));
        snprintf(
            text, sizeof text,
            "'%s/%s' names another file, which SQLite would delete; massflow writes no journal "
            "like that\n  use another cache; or delete that journal, which belongs to no run, "
            "and look with `massflow cache verify` at what is there",
            folder, journal);
        refused_everywhere(text);
        ck_assert_int_eq(access(in_folder("victim"), F_OK), 0);
        ck_assert_int_eq(access(in_folder(journal), F_OK), 0);
        ck_assert_int_eq(remove(in_folder(journal)), 0);
    }
    /* The test itself is right: SQLite alone would have deleted it. */
    write_hot_journal("chunks.db", in_folder("victim"));
    run_sql("chunks.db", "SELECT * FROM chunk");
    ck_assert_int_eq(access(in_folder("victim"), F_OK), -1);
}
END_TEST

/* ---- links ----------------------------------------------------------------------------------- */

START_TEST(links_and_odd_files_are_refused)
{
    static const char *const names[] = {"cache.db", "chunks.db", "cache.db-wal", "cache.db-shm",
                                        "chunks.db-journal"};
    char id[MF_HEX_SIZE], text[1000], kept[200];
    make_store(id);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(kept, sizeof kept, "%s/kept", folder);
        if (rename(in_folder(names[i]), kept) != 0)
            write_file("kept", "", 1);
        ck_assert_int_eq(symlink("kept", in_folder(names[i])), 0);
        snprintf(text, sizeof text,
                 "'%s/%s' is a link\n  a cache's files are never links, its folder may be one: put "
                 "the folder where the files shall lie",
                 folder, names[i]);
        refused_everywhere(text);
        remove(in_folder(names[i]));
        ck_assert_int_eq(mkfifo(in_folder(names[i]), 0600), 0);
        mf_store *store;
        if (i > 1) /* of the others looking says that there is no cache */
            fails_like(mf_store_open(folder, MF_STORE_READ, &store),
                       "while opening the cache: '%s/%s' is not a regular file", folder, names[i]);
        fails_like(mf_store_open(folder, MF_STORE_WRITE, &store),
                   "while opening the cache: '%s/%s' is not a regular file", folder, names[i]);
        remove(in_folder(names[i]));
        rename(kept, in_folder(names[i]));
    }
    mf_store_close(open_store(MF_STORE_WRITE));
}
END_TEST

START_TEST(the_lock_is_no_link_either)
{
    char id[MF_HEX_SIZE];
    mf_store *store;
    make_store(id);
    remove(in_folder("lock"));
    ck_assert_int_eq(symlink("victim", in_folder("lock")), 0);
    fails_like(mf_store_open(folder, MF_STORE_WRITE, &store),
               "while opening the cache: '%s/lock' is a link", folder);
    ck_assert_int_eq(access(in_folder("victim"), F_OK), -1);
}
END_TEST

START_TEST(a_second_name_is_refused_for_writing)
{
    char id[MF_HEX_SIZE];
    mf_store *store;
    make_store(id);
    ck_assert_int_eq(link(in_folder("chunks.db"), in_folder("other")), 0);
    fails_like(
        mf_store_open(folder, MF_STORE_WRITE, &store),
        "while opening the cache: '%s/chunks.db' has another name as well (a hard link), and "
        "would be changed under both\n"
        "  give the cache a copy of its own: cp FILE COPY && mv COPY FILE",
        folder);
    mf_store_close(open_store(MF_STORE_READ));
    remove(in_folder("other"));
    mf_store_close(open_store(MF_STORE_WRITE));
}
END_TEST

START_TEST(the_folder_may_be_a_link)
{
    char id[MF_HEX_SIZE], real[96], moved[96];
    mf_store *store;
    make_store(id);
    strcpy(real, folder);
    snprintf(moved, sizeof moved, "%s.moved", folder);
    ck_assert_int_eq(rename(real, moved), 0);
    ck_assert_int_eq(symlink(moved, real), 0);
    for (int mode = 0; mode < 2; mode++) {
        bool present;
        store = open_store(mode ? MF_STORE_WRITE : MF_STORE_READ);
        ok(mf_store_has(store, id, &present));
        ck_assert(present);
        mf_store_close(store);
    }
    ck_assert_int_eq(remove(real), 0);
    ck_assert_int_eq(rename(moved, real), 0);
}
END_TEST

/* ---- what a crash leaves --------------------------------------------------------------------- */

/* In a process that ends in the middle of a transaction, with the page cache too small for it. */
static void leave_journal(const char *file, const char *sql)
{
    pid_t child = fork();
    if (child == 0) {
        sqlite3 *db;
        if (sqlite3_open(in_folder(file), &db) != SQLITE_OK ||
            sqlite3_exec(db, "PRAGMA cache_size = 1; BEGIN", NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
            _exit(1);
        _exit(0);
    }
    int state;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
}

START_TEST(looking_leaves_a_hot_journal_and_says_so)
{
    char id[MF_HEX_SIZE];
    mf_store *store;
    mf_verified verified;
    mf_repaired repaired;
    for (int repair = 0; repair < 2; repair++) {
        make_store(id);
        leave_journal(
            "chunks.db",
            "INSERT INTO chunk_data (codec, bytes) WITH RECURSIVE n (i) AS (SELECT 1 UNION "
            "ALL SELECT i + 1 FROM n WHERE i < 100) SELECT 0, zeroblob(100000) FROM n");
        char *before = look_of(NULL);
        ck_assert_ptr_nonnull(strstr(before, "chunks.db-journal"));
        fails_like(mf_store_open(folder, MF_STORE_READ, &store),
                   "while opening the cache: '%s/chunks.db' was left in the middle of a write, and "
                   "looking changes nothing\n"
                   "  the next `massflow run` mends it, or `massflow cache repair`",
                   folder);
        fails_like(
            mf_store_verify(folder, NULL, NULL, &verified),
            "while checking the cache: '%s/chunks.db' was left in the middle of a write, and "
            "looking changes nothing\n"
            "  the next `massflow run` mends it, or `massflow cache repair`",
            folder);
        char *after = look_of("cache.db-shm");
        for (char *from = before, *to; (to = strchr(from, '\n')); from = to + 1) {
            *to = 0; /* all that was there is there as it was */
            ck_assert_msg(strstr(after, from) != NULL, "%s is changed:\n%s", from, after);
        }
        free(before);
        free(after);
        if (repair) {
            ok(mf_store_repair(folder, NULL, NULL, &repaired));
            ck_assert_int_eq(repaired.found.damages, 0);
            mf_repaired_clear(&repaired);
        } else {
            mf_store_close(open_store(MF_STORE_WRITE));
        }
        mf_store_close(open_store(MF_STORE_READ));
        ok(mf_store_verify(folder, NULL, NULL, &verified));
        ck_assert_int_eq(verified.damages + verified.unnamed, 0);
    }
}
END_TEST

/* What a run leaves that is killed: a WAL with what is not in the database yet. */
static void leave_wal(char id[MF_HEX_SIZE])
{
    int ends[2], state;
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        mf_store *store = open_store(MF_STORE_WRITE);
        put_text(store, "in the WAL", id);
        _exit(write(ends[1], id, MF_HEX_SIZE) == MF_HEX_SIZE ? 0 : 1);
    }
    ck_assert_int_eq(read(ends[0], id, MF_HEX_SIZE), MF_HEX_SIZE);
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    close(ends[0]);
    close(ends[1]);
    struct stat s;
    ck_assert(stat(in_folder("cache.db-wal"), &s) == 0 && s.st_size > 0);
}

/* In a process without root's rights; the end of it is 0 where the artifact was found. */
static int look_without_rights(const char *id, const char *expected)
{
    int state;
    ck_assert_int_eq(chmod(folder, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        mf_store *store;
        bool present = false;
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(2);
        mf_status status = mf_store_open(folder, MF_STORE_READ, &store);
        if (status) {
            char *text = mf_error_text(status);
            if (!expected || strcmp(text, expected))
                fprintf(stderr, "%s\n", text);
            _exit(expected && !strcmp(text, expected) ? 0 : 3);
        }
        status = mf_store_has(store, id, &present);
        mf_store_close(store);
        _exit(!status && present && !expected ? 0 : 4);
    }
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert_int_eq(chmod(folder, 0755), 0);
    ck_assert(WIFEXITED(state));
    return WEXITSTATUS(state);
}

START_TEST(looking_reads_a_wal_and_leaves_it)
{
    char id[MF_HEX_SIZE], expected[400];
    bool present;
    leave_wal(id);
    ck_assert_int_eq(look_without_rights(id, NULL), 0); /* by the -shm that is there */
    char *before = look_of("cache.db-shm");
    mf_store *store = open_store(MF_STORE_READ);
    ok(mf_store_has(store, id, &present));
    ck_assert(present);
    mf_store_close(store);
    char *after = look_of("cache.db-shm");
    ck_assert_str_eq(after, before);
    free(after);
    /* Copied without its -shm it can be looked at where that can be made anew. */
    remove(in_folder("cache.db-shm"));
    snprintf(
        expected, sizeof expected,
        "while opening the cache: '%s/cache.db' was left in the middle of a write, and looking "
        "changes nothing\n  the next `massflow run` mends it, or `massflow cache repair`",
        folder);
    ck_assert_int_eq(look_without_rights(id, expected), 0);
    store = open_store(MF_STORE_READ);
    ok(mf_store_has(store, id, &present));
    ck_assert(present);
    mf_store_close(store);
    after = look_of("cache.db-shm");
    ck_assert_str_eq(after, before);
    free(after);
    free(before);
}
END_TEST

START_TEST(looking_at_what_is_whole_changes_neither_file)
{
    char id[MF_HEX_SIZE];
    mf_verified verified;
    make_store(id);
    struct stat s;
    ck_assert(stat(in_folder("cache.db-wal"), &s) != 0); /* the last one tidied up */
    char *before = look_of("cache.db-shm");
    mf_store_close(open_store(MF_STORE_READ));
    ok(mf_store_verify(folder, NULL, NULL, &verified));
    char *after = look_of("cache.db-shm"), *wal = strstr(after, "cache.db-wal 0 ");
    if (wal) /* SQLite makes it, empty, to tell a run that somebody reads */
        memmove(wal, strchr(wal, '\n') + 1, strlen(strchr(wal, '\n')));
    ck_assert_str_eq(after, before);
    free(before);
    free(after);
}
END_TEST

/* ---- what a schema holds --------------------------------------------------------------------- */

START_TEST(words_of_statements)
{
    static const char *const same[][2] = {
        {"CREATE TABLE a (b)", "CREATE  TABLE\n a(b )"},
        {"CREATE TABLE \"action\" (b)", "CREATE TABLE action (b)"},
        {"x REFERENCES \"action\"ON DELETE", "x REFERENCES action ON DELETE"},
    };
    static const char *const others[][2] = {
        {"CREATE TABLE a (b \"PRIMARY\" KEY)", "CREATE TABLE a (b PRIMARY KEY)"},
        {"CREATE TABLE a (\"b c\")", "CREATE TABLE a (b c)"},
        {"CREATE TABLE a (b DEFAULT 'x  y')", "CREATE TABLE a (b DEFAULT 'x y')"},
        {"CREATE TABLE a (b DEFAULT 'x''y')", "CREATE TABLE a (b DEFAULT 'x' 'y')"},
        {"CREATE TABLE a (b CHECK (c))", "CREATE TABLE a (b)"},
        {"CREATE TABLE a (bc)", "CREATE TABLE a (b c)"},
        {"CREATE TABLE \"Action\" (b)", "CREATE TABLE Action (b)"},
        {"CREATE TABLE a ('unclosed", "CREATE TABLE a ("},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        char *a = mf__schema_words(same[i][0]), *b = mf__schema_words(same[i][1]);
        ck_assert_str_eq(a, b);
        free(a);
        free(b);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char *a = mf__schema_words(others[i][0]), *b = mf__schema_words(others[i][1]);
        ck_assert_str_ne(a, b);
        free(a);
        free(b);
    }
}
END_TEST

/* Each with what is said of it: %s is the folder. */
static const struct planted {
    const char *file, *sql, *text;
} planted[] = {
    {"cache.db", "CREATE TRIGGER sneaky AFTER INSERT ON run BEGIN DELETE FROM action; END",
     "'%s/cache.db' holds a trigger 'sneaky' that massflow did not make\n"},
    {"chunks.db", "CREATE VIEW look AS SELECT * FROM chunk",
     "'%s/chunks.db' holds a view 'look' that massflow did not make\n"},
    {"chunks.db", "CREATE TABLE theirs (x)",
     "'%s/chunks.db' holds a table 'theirs' that massflow did not make\n"},
    {"cache.db", "CREATE INDEX late ON action (abs(num))",
     "'%s/cache.db' holds an index 'late' that massflow did not make\n"},
    {"cache.db", "CREATE VIRTUAL TABLE sought USING fts5(x)",
     "'%s/cache.db' holds a table 'sought' that massflow did not make\n"},
    {"cache.db", "CREATE TABLE \"\x1b[31m\" (x)",
     "'%s/cache.db' holds a table '(a name that can't be shown)' that massflow did not make\n"},
    {"cache.db", "DROP INDEX run_graph; CREATE INDEX run_graph ON run (graph) WHERE num > 0",
     "the index 'run_graph' of '%s/cache.db' is not as massflow makes it\n"},
    {"cache.db",
     "ALTER TABLE file RENAME TO old; CREATE VIEW file AS WITH RECURSIVE n (i) AS (SELECT 1 UNION "
     "ALL "
     "SELECT i + 1 FROM n) SELECT i AS path FROM n; DROP TABLE old",
     "'%s/cache.db' is damaged: it lacks the table 'file'\n"},
    {"chunks.db",
     "DROP TABLE chunk_data; CREATE TABLE chunk_data (num INTEGER PRIMARY KEY, codec INTEGER NOT "
     "NULL,"
     " bytes BLOB NOT NULL AS (zeroblob(1000000000)))",
     "the table 'chunk_data' of '%s/chunks.db' is not as massflow makes it\n"},
    {"cache.db", "DROP INDEX artifact_type",
     "'%s/cache.db' is damaged: it lacks the index 'artifact_type'\n"},
};

START_TEST(what_a_schema_holds_beside_ours_is_refused_and_repaired)
{
    const struct planted *p = &planted[_i];
    char id[MF_HEX_SIZE], text[500];
    mf_store *store;
    mf_verified verified;
    mf_repaired repaired;
    make_store(id);
    run_sql(p->file, p->sql);
    for (int mode = 0; mode < 2; mode++) {
        mf_status status = mf_store_open(folder, mode ? MF_STORE_WRITE : MF_STORE_READ, &store);
        ck_assert_ptr_nonnull(status);
        char *got = mf_error_text(status);
        strcpy(text, "while opening the cache: ");
        snprintf(text + strlen(text), 400, p->text, folder);
        got[strlen(text) < strlen(got) ? strlen(text) : strlen(got)] = 0;
        ck_assert_str_eq(got, text);
        free(got);
        mf_error_free(status);
    }
    ok(mf_store_verify(folder, NULL, NULL, &verified));
    ck_assert_int_ge(verified.damages, 1);
    ok(mf_store_repair(folder, NULL, NULL, &repaired));
    ck_assert_int_eq(repaired.aside[0] != NULL, !strcmp(p->file, "cache.db"));
    mf_repaired_clear(&repaired);
    ok(mf_store_verify(folder, NULL, NULL, &verified));
    ck_assert_int_eq(verified.damages, 0);
    store = open_store(MF_STORE_WRITE);
    bool present;
    ok(mf_store_has(store, id, &present)); /* the rows were saved */
    ck_assert(present);
    mf_store_close(store);
}
END_TEST

/* A file with one page, which holds no table. */
START_TEST(a_view_alone_is_refused)
{
    mf_store *store;
    run_sql("cache.db", "CREATE VIEW meta AS SELECT 'schema' AS name, 4 AS value");
    fails_like(
        mf_store_open(folder, MF_STORE_WRITE, &store),
        "while opening the cache: '%s/cache.db' holds a view 'meta' that massflow did not "
        "make\n  `massflow cache repair` makes a new file of the rows that massflow knows; or "
        "delete the cache",
        folder);
}
END_TEST

/* Every version that comes forward is what its scripts made. */
START_TEST(connections_run_nothing_of_a_file)
{
    mf__connection *c;
    mf__access how[] = {MF__CREATE, MF__READ, MF__LOOK};
    char id[MF_HEX_SIZE];
    make_store(id);
    run_sql("cache.db", "CREATE VIEW v AS SELECT 1; CREATE TRIGGER t AFTER INSERT ON meta BEGIN "
                        "DELETE FROM artifact; END");
    for (int i = 0; i < 3; i++) {
        ok(mf__connection_open(in_folder("cache.db"), how[i], &c));
        ck_assert_int_ne(sqlite3_exec(c->db, "SELECT * FROM v", NULL, NULL, NULL), SQLITE_OK);
        ck_assert_int_ne(sqlite3_exec(c->db, "ATTACH ':memory:' AS m", NULL, NULL, NULL),
                         SQLITE_OK);
        ck_assert_int_ne(sqlite3_exec(c->db, "SELECT load_extension('x')", NULL, NULL, NULL),
                         SQLITE_OK);
        ck_assert_int_ne(
            sqlite3_exec(c->db, "SELECT length(zeroblob(400000000))", NULL, NULL, NULL), SQLITE_OK);
        int code = sqlite3_exec(c->db, "INSERT INTO meta VALUES ('x', 1)", NULL, NULL, NULL);
        ck_assert_int_eq(code == SQLITE_OK, how[i] == MF__CREATE);
        sqlite3_exec(c->db, "PRAGMA writable_schema = 1", NULL, NULL, NULL);
        ck_assert_int_ne(sqlite3_exec(c->db, "DELETE FROM sqlite_schema", NULL, NULL, NULL),
                         SQLITE_OK);
        int64_t artifacts;
        ok(mf__integer(c, "SELECT count(*) FROM artifact", &artifacts));
        ck_assert_int_eq(artifacts, 1);
        mf__connection_close(c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_guard");
    TCase *tests = tcase_create("store_guard");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_folder, delete_folder);
    tcase_add_test(tests, a_journals_end_is_read_as_sqlite_reads_it);
    tcase_add_test(tests, a_journal_that_names_a_file_is_refused_and_the_file_stays);
    tcase_add_test(tests, links_and_odd_files_are_refused);
    tcase_add_test(tests, the_lock_is_no_link_either);
    tcase_add_test(tests, a_second_name_is_refused_for_writing);
    tcase_add_test(tests, the_folder_may_be_a_link);
    tcase_add_test(tests, looking_leaves_a_hot_journal_and_says_so);
    tcase_add_test(tests, looking_reads_a_wal_and_leaves_it);
    tcase_add_test(tests, looking_at_what_is_whole_changes_neither_file);
    tcase_add_test(tests, words_of_statements);
    tcase_add_loop_test(tests, what_a_schema_holds_beside_ours_is_refused_and_repaired, 0,
                        sizeof planted / sizeof *planted);
    tcase_add_test(tests, a_view_alone_is_refused);
    tcase_add_test(tests, connections_run_nothing_of_a_file);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
