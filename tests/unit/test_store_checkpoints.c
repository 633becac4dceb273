/* test_store_checkpoints.c - what long stages save of themselves: kept, found, dropped. */
#include "../run_suite.h"
#include "store/checkpoints.h"
#include "store_fixture.h"

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

static const char key[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/* A state of `floats` numbers that say which it is. */
static mf_artifact *make_state(uint32_t seed, int64_t floats)
{
    static const double reals[] = {0.1, -3};
    int64_t shape[2] = {floats, 1}, few = 3;
    mf_artifact *a;
    mf_array *weights = make_array(MF_F32, 2, shape, seed, true);
    mf_array *order = make_array(MF_U8, 1, &few, seed + 1, true);
    ok(mf_artifact_new("training", &a));
    ok(mf_artifact_set_int(a, "steps", seed));
    ok(mf_artifact_set_text(a, "words", "so far"));
    ok(mf_artifact_set_reals(a, "losses", reals, 2));
    ok(mf_artifact_add(a, "weights", weights));
    ok(mf_artifact_add(a, "order", order));
    mf_array_unref(weights);
    mf_array_unref(order);
    return a;
}

static void save(mf_store *store, int64_t step, int64_t floats)
{
    mf_artifact *a = make_state((uint32_t)step, floats);
    ok(mf_store_checkpoint_save(store, key, step, 2.5, a));
    mf_artifact_unref(a);
}

/* The newest of at most step `most` is that of `step` (-1: there is none), with all it had. */
static void found(mf_store *store, int64_t most, int64_t step, int64_t floats)
{
    mf_artifact *state, *expected;
    mf_array *a, *b;
    int64_t got, number = -1;
    double seconds;
    size_t count = 0;
    ok(mf_store_checkpoint_load(store, key, most, &got, &seconds, &state));
    if (step < 0) {
        ck_assert_ptr_null(state);
        return;
    }
    ck_assert_ptr_nonnull(state);
    ck_assert_int_eq(got, step);
    ck_assert_double_eq(seconds, 2.5);
    expected = make_state((uint32_t)step, floats);
    ck_assert_str_eq(mf_artifact_type(state), "training");
    ck_assert(mf_artifact_int(state, "steps", &number));
    ck_assert_int_eq(number, step);
    ck_assert_str_eq(mf_artifact_text(state, "words"), "so far");
    ck_assert_double_eq(mf_artifact_reals(state, "losses", &count)[0], 0.1);
    ck_assert_uint_eq(mf_artifact_attribute_count(state), 3);
    ck_assert_uint_eq(mf_artifact_array_count(state), 2);
    for (size_t i = 0; i < 2; i++) {
        const char *name = i ? "weights" : "order";
        ok(mf_artifact_array(state, name, &a));
        ok(mf_artifact_array(expected, name, &b));
        assert_same_array(a, b);
        mf_array_unref(a);
        mf_array_unref(b);
    }
    mf_artifact_unref(expected);
    mf_artifact_unref(state);
}

static int64_t chunks(mf_store *store)
{
    mf_store_stat stat;
    ok(mf_store_get_stat(store, &stat));
    int64_t count = stat.chunks;
    mf_store_stat_clear(&stat);
    return count;
}

/* Small states lie in the index; large ones span chunks: 2^20 floats and the marks are two. */
START_TEST(newest_is_found_and_older_ones_go)
{
    static const int64_t sizes[] = {0, 100, 1 << 20, (1 << 20) - 8, 3 << 20};
    int64_t floats = sizes[_i], each;
    mf_store *store = open_store(MF_STORE_WRITE);
    found(store, INT64_MAX, -1, floats);
    save(store, 10, floats);
    each = chunks(store);
    ck_assert_int_eq(each, floats * 4 / ((4 << 20) - 32) + 1);
    found(store, INT64_MAX, 10, floats);
    save(store, 20, floats);
    save(store, 30, floats);
    ck_assert_int_eq(chunks(store), 2 * each);
    found(store, INT64_MAX, 30, floats);
    found(store, 29, 20, floats);
    found(store, 19, -1, floats);
    mf_store_close(store);
    store = open_store(MF_STORE_WRITE);
    found(store, 30, 30, floats);
    save(store, 30, floats); /* again: takes its own place */
    ck_assert_int_eq(chunks(store), 2 * each);
    found(store, 30, 30, floats);
    ok(mf_store_checkpoint_drop(store, key, 25, -1));
    found(store, 29, -1, floats);
    found(store, 30, 30, floats);
    ok(mf_store_checkpoint_drop(store, key, 30, -1));
    found(store, INT64_MAX, -1, floats);
    ck_assert_int_eq(chunks(store), 0);
    mf_store_close(store);
}
END_TEST

START_TEST(one_can_be_kept_for_a_longer_run)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    save(store, 1, 10);
    save(store, 3, 10);
    ok(mf_store_checkpoint_drop(store, key, 3, 3));
    found(store, 9, 3, 10);
    found(store, 2, -1, 10);
    save(store, 2, 10); /* of a shorter run, beside it */
    found(store, 2, 2, 10);
    found(store, 9, 3, 10);
    mf_store_close(store);
}
END_TEST

/* Chunks of a checkpoint are dropped with it, so no result may have the same. */
START_TEST(results_with_equal_bytes_stay)
{
    char id[MF_HEX_SIZE];
    mf_artifact *a = make_state(1, 1 << 18), *b;
    mf_array *array;
    mf_store *store = open_store(MF_STORE_WRITE);
    ok(mf_store_checkpoint_save(store, key, 1, 2.5, a));
    ok(mf_store_put(store, a, id));
    ok(mf_store_checkpoint_drop(store, key, 1, -1));
    ok(mf_store_get(store, id, &b));
    ok(mf_artifact_array(b, "weights", &array));
    mf_array_unref(array);
    mf_artifact_unref(a);
    mf_artifact_unref(b);
    mf_store_close(store);
}
END_TEST

static void change(const char *file, const char *sql)
{
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

START_TEST(damage_is_said_and_an_older_one_is_sound)
{
    mf_artifact *state;
    int64_t step;
    double seconds;
    mf_store *store = open_store(MF_STORE_WRITE);
    save(store, 1, 10000);
    save(store, 2, 10000);
    mf_store_close(store);
    change("chunks.db", "UPDATE chunk_data SET bytes = CAST(substr(bytes, 1, 999) || x'00' ||"
                        " substr(bytes, 1001) AS BLOB) WHERE num = 2");
    store = open_store(MF_STORE_WRITE);
    mf_status status = mf_store_checkpoint_load(store, key, 9, &step, &seconds, &state);
    ck_assert_int_eq(mf_error_code(status), MF_CORRUPT);
    ck_assert_int_eq(step, 2);
    ck_assert_ptr_null(state);
    mf_error_free(status);
    status = mf_store_checkpoint_load(store, key, 9, &step, &seconds,
                                      &state); /* its data has been dropped */
    ck_assert_int_eq(mf_error_code(status), MF_NOT_FOUND);
    mf_error_free(status);
    found(store, step - 1, 1, 10000);
    save(store, 2, 10000);
    found(store, 9, 2, 10000);
    mf_store_close(store);
}
END_TEST

static void save_many(void)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    for (int64_t step = 0; step < 300; step++)
        save(store, step, 10000);
    mf_store_close(store);
}

/* What a kill would leave is what another process sees: no moment has a state that no row names. */
START_TEST(a_state_and_its_row_come_together)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    char path[100];
    int most = 0, how;
    mf_store_close(open_store(MF_STORE_WRITE));
    snprintf(path, sizeof path, "%s/cache.db", folder);
    ck_assert_int_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 60000);
    ck_assert_int_eq(sqlite3_prepare_v2(db,
                                        "SELECT (SELECT count(*) FROM artifact),"
                                        " (SELECT count(*) FROM checkpoint)",
                                        -1, &s, NULL),
                     SQLITE_OK);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        save_many();
        _exit(0);
    }
    while (waitpid(child, &how, WNOHANG) == 0) {
        ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
        int artifacts = sqlite3_column_int(s, 0), rows = sqlite3_column_int(s, 1);
        sqlite3_reset(s);
        ck_assert_int_eq(artifacts, rows);
        most = rows > most ? rows : most;
    }
    ck_assert(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    ck_assert_int_eq(most, 2); /* the newest, and the one before */
    sqlite3_finalize(s);
    sqlite3_close(db);
}
END_TEST

START_TEST(a_changed_row_is_found)
{
    mf_artifact *state;
    int64_t step;
    double seconds;
    mf_store *store = open_store(MF_STORE_WRITE);
    save(store, 5, 10);
    mf_store_close(store);
    change("cache.db", "UPDATE checkpoint SET step = 6");
    store = open_store(MF_STORE_WRITE);
    fails_like(mf_store_checkpoint_load(store, key, 9, &step, &seconds, &state),
               "while reading the checkpoint of step 6: its record is damaged");
    ck_assert_int_eq(step, 6);
    found(store, 5, -1, 10);
    mf_store_close(store);
}
END_TEST

START_TEST(what_can_not_be_saved_is_refused)
{
    int64_t ends = 1, none = 0;
    mf_array *bytes, *offsets;
    mf_artifact *a;
    mf_store *store = open_store(MF_STORE_WRITE);
    ok(mf_array_new(MF_U8, 1, &none, &bytes));
    ok(mf_array_new(MF_I64, 1, &ends, &offsets));
    ok(mf_artifact_new("training", &a));
    fails_like(mf_store_checkpoint_save(store, key, -1, 2.5, a),
               "while saving the checkpoint of step -1: step -1: steps count from 0");
    fails_like(
        mf_store_checkpoint_save(store, "12", 1, 2.5, a),
        "while saving the checkpoint of step 1: '12' is not a key of a checkpoint: 64 hex digits");
    ok(mf_artifact_add_rows(a, "names", bytes, offsets));
    fails_like(
        mf_store_checkpoint_save(store, key, 1, 2.5, a),
        "while saving the checkpoint of step 1: a checkpoint can't hold the array 'names': it is "
        "ragged");
    mf_array_unref(bytes);
    mf_array_unref(offsets);
    mf_artifact_unref(a);
    mf_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store checkpoints");
    TCase *c = tcase_create("checkpoints");
    tcase_add_checked_fixture(c, make_folder, delete_folder);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, newest_is_found_and_older_ones_go, 0, 5);
    tcase_add_test(c, one_can_be_kept_for_a_longer_run);
    tcase_add_test(c, results_with_equal_bytes_stay);
    tcase_add_test(c, damage_is_said_and_an_older_one_is_sound);
    tcase_add_test(c, a_state_and_its_row_come_together);
    tcase_add_test(c, a_changed_row_is_found);
    tcase_add_test(c, what_can_not_be_saved_is_refused);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
