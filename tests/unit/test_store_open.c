/* test_store_open.c - opening a store: newer, foreign, read-only, missing; a full disk. */
#include "../run_suite.h"
#include "store/internal.h"
#include "store_fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void run_sql(const char *file, const char *sql)
{
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

START_TEST(newer_schema_is_refused)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    static const char *const files[] = {"cache.db", "chunks.db"};
    mf_store_close(store);
    for (int i = 0; i < 2; i++) {
        run_sql(files[i], "PRAGMA user_version = 9; UPDATE meta SET value = 9 WHERE name = "
                          "'schema'");
        for (int mode = 0; mode < 2; mode++)
            fails_like(
                mf_store_open(folder, mode ? MF_STORE_WRITE : MF_STORE_READ, &store),
                "while opening the cache: '%s/%s' has schema version 9; this massflow reads "
                "versions up to 5\n  use the newer massflow that made it, or another folder for "
                "the cache",
                folder, files[i]);
        run_sql(files[i], "PRAGMA user_version = 5; UPDATE meta SET value = 5 WHERE name = "
                          "'schema'");
    }
    store = open_store(MF_STORE_WRITE);
    mf_store_close(store);
}
END_TEST

START_TEST(foreign_files_are_refused)
{
    mf_store *store;
    run_sql("cache.db", "CREATE TABLE theirs (x)");
    fails_like(mf_store_open(folder, MF_STORE_WRITE, &store),
               "while opening the cache: '%s/cache.db' is a database of another program\n"
               "  --cache DIR puts the cache into another folder",
               folder);
    write_file("cache.db",
               "This is a text, not a database; long enough to hold a header of SQLite,"
               " which takes one hundred bytes.\n",
               1000000000);
    fails_like(mf_store_open(folder, MF_STORE_WRITE, &store),
               "while opening the cache: '%s/cache.db' is not an SQLite database\n"
               "  `massflow cache repair` recovers what is readable; the rest is computed again",
               folder);
    char path[128];
    snprintf(path, sizeof path, "%s/cache.db/x", folder);
    fails_like(mf_store_open(path, MF_STORE_WRITE, &store),
               "while opening the cache: cannot make the cache folder '%s': Not a directory\n"
               "  --cache DIR puts the cache into another folder",
               path);
}
END_TEST

START_TEST(reader_needs_a_store_and_never_writes)
{
    mf_store *store;
    fails_like(mf_store_open(folder, MF_STORE_READ, &store),
               "while opening the cache: there is no cache in '%s'\n"
               "  the first `massflow run` of a graph creates one",
               folder);
    store = open_store(MF_STORE_WRITE);
    mf_store_close(store);
    store = open_store(MF_STORE_READ);
    mf_artifact *a;
    char id[MF_HEX_SIZE];
    ok(mf_artifact_new("text", &a));
    ok(mf_artifact_set_text(a, "text", "x"));
    fails_like(mf_store_put(store, a, id),
               "while storing an artifact of type text: the cache in '%s' is open for reading only",
               folder);
    int64_t run;
    fails_like(mf_store_run_begin(store, &(mf_run_start){"g", "c", "", 1}, &run),
               "the cache in '%s' is open for reading only", folder);
    mf_artifact_unref(a);
    mf_store_close(store);
}
END_TEST

/* Runs in a process without root's rights, which a read-only folder does not stop. */
static int use_read_only_folder(const char *id)
{
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        return 2;
    mf_store *store;
    mf_artifact *lazy;
    mf_status status = mf_store_open(folder, MF_STORE_READ, &store);
    if (!status)
        status = mf_store_get(store, id, &lazy);
    if (!status && strcmp(mf_artifact_text(lazy, "text"), "kept"))
        return 3;
    if (status) {
        char *text = mf_error_text(status);
        fprintf(stderr, "%s\n", text);
        return 4;
    }
    mf_artifact_unref(lazy);
    mf_store_close(store);
    status = mf_store_open(folder, MF_STORE_WRITE, &store);
    char *text = status ? mf_error_text(status) : NULL, expected[256];
    snprintf(expected, sizeof expected,
             "while opening the cache: the cache folder '%s' cannot be written: Permission denied\n"
             "  --cache DIR puts the cache into another folder",
             folder);
    return text && !strcmp(text, expected) ? 0 : (fprintf(stderr, "%s\n", text), 5);
}

START_TEST(read_only_folder_can_be_read)
{
    char id[MF_HEX_SIZE];
    mf_store *store = open_store(MF_STORE_WRITE);
    put_text(store, "kept", id);
    mf_store_close(store);
    ck_assert_int_eq(chmod(folder, 0555), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(use_read_only_folder(id));
    int state;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state));
    ck_assert_int_eq(WEXITSTATUS(state), 0);
    ck_assert_int_eq(chmod(folder, 0755), 0);
}
END_TEST

/* The faster of two processes that open a new store: it has the lock when the slower one, which
 * sees no mark yet, comes to it, and gives the files their mark as soon as it hears of `go`. */
static void be_first(int ready, int go)
{
    char path[128], byte = 0;
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/cache.db", folder);
    bool good = sqlite3_open(path, &db) == SQLITE_OK &&
                sqlite3_exec(db,
                             "CREATE TEMP TABLE mark AS SELECT * FROM meta WHERE name LIKE 'pair%';"
                             "DELETE FROM main.meta WHERE name LIKE 'pair%'; BEGIN IMMEDIATE;"
                             "INSERT INTO main.meta SELECT * FROM mark",
                             NULL, NULL, NULL) == SQLITE_OK &&
                write(ready, &byte, 1) == 1 && read(go, &byte, 1) == 1 &&
                sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    _exit(good ? 0 : 1);
}

static void let_go(void *self, const char *text)
{
    (void)text;
    ck_assert_int_eq(write(*(int *)self, "", 1), 1);
}

START_TEST(who_opens_second_keeps_what_the_first_has_stored)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    mf_artifact *a = make_volume(MF_F32, (int64_t[]){4, 5, 6}, 1, false);
    mf__connection *index, *chunks;
    char path[128], id[MF_HEX_SIZE], byte;
    int ready[2], go[2], status;
    bool present = false;
    ok(mf_store_put(store, a, id));
    mf_artifact_unref(a);
    mf_store_close(store);
    ck_assert_int_eq(pipe(ready) | pipe(go), 0);
    pid_t first = fork();
    if (!first)
        be_first(ready[1], go[0]);
    snprintf(path, sizeof path, "%s/cache.db", folder);
    ok(mf__connection_open(path, MF__CREATE, &index));
    snprintf(path, sizeof path, "%s/chunks.db", folder);
    ok(mf__connection_open(path, MF__CREATE, &chunks));
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    mf_store_on_wait(let_go, &go[1]);
    ok(mf__schema_write(index, chunks));
    mf_store_on_wait(NULL, NULL);
    mf__connection_close(index);
    mf__connection_close(chunks);
    ck_assert_int_eq(waitpid(first, &status, 0), first);
    ck_assert_int_eq(status, 0);
    store = open_store(MF_STORE_READ);
    ok(mf_store_has(store, id, &present));
    ck_assert(present);
    mf_store_close(store);
    for (int i = 0; i < 2; i++)
        close(ready[i]), close(go[i]);
}
END_TEST

START_TEST(full_disk_is_an_error_that_reaches_the_caller)
{
    static const int64_t shape[3] = {64, 64, 64};
    mf_store *store = open_store(MF_STORE_WRITE);
    mf_store_close(store);
    char path[128], id[MF_HEX_SIZE];
    bool present;
    snprintf(path, sizeof path, "%s/chunks.db", folder);
    mf_artifact *a = make_volume(MF_F32, shape, 1, true);
    pid_t child = fork();
    if (child == 0) {
        /* A limit on the size of files stands in for a full disk. */
        struct rlimit limit = {400000, 400000};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        mf_status status = mf_store_open(folder, MF_STORE_WRITE, &store);
        if (status)
            _exit(2);
        status = mf_store_put(store, a, id);
        char *text = status ? mf_error_text(status) : NULL, expected[500];
        snprintf(expected, sizeof expected,
                 "while storing an artifact of type volume: cannot write '%s': it would be larger "
                 "than this shell allows files to be\n"
                 "  'ulimit -f' says how large; raise it and run again: finished results are kept",
                 path);
        if (!text || strcmp(text, expected)) {
            fprintf(stderr, "%s\n", text ? text : "no error");
            _exit(3);
        }
        status = mf_store_identify(a, id);
        _exit(status || mf_store_has(store, id, &present) || present ? 4 : 0);
    }
    int state;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state));
    ck_assert_int_eq(WEXITSTATUS(state), 0);
    store = open_store(MF_STORE_WRITE);
    ok(mf_store_put(store, a, id));
    mf_artifact_unref(a);
    mf_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_open");
    TCase *tests = tcase_create("store_open");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_folder, delete_folder);
    tcase_add_test(tests, newer_schema_is_refused);
    tcase_add_test(tests, foreign_files_are_refused);
    tcase_add_test(tests, reader_needs_a_store_and_never_writes);
    tcase_add_test(tests, read_only_folder_can_be_read);
    tcase_add_test(tests, who_opens_second_keeps_what_the_first_has_stored);
    tcase_add_test(tests, full_disk_is_an_error_that_reaches_the_caller);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
