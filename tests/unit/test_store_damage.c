/* test_store_damage.c - data that is damaged or gone: found, said, and made good again. */
#include "../run_suite.h"
#include "store_fixture.h"

#include <sqlite3.h>

static void change(const char *file, const char *sql)
{
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void chunk_name(const char *file, char hex[13])
{
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *s;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_prepare_v2(db, "SELECT lower(substr(hex(digest), 1, 12)) FROM chunk", -1, &s, NULL);
    ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
    snprintf(hex, 13, "%s", (const char *)sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    sqlite3_close(db);
}

START_TEST(damaged_chunk_is_found_said_and_made_again)
{
    static const int64_t shape[3] = {40, 40, 40};
    char id[MF_HEX_SIZE], chunk[13];
    mf_artifact *a = make_volume(MF_F32, shape, 1, true), *lazy;
    mf_array *array;
    bool present;
    mf_store *store = open_store(MF_STORE_WRITE);
    ok(mf_store_put(store, a, id));
    mf_store_close(store);
    chunk_name("chunks.db", chunk);
    change("chunks.db", "UPDATE chunk_data SET bytes = CAST(x'00' || substr(bytes, 2) AS BLOB)");

    store = open_store(MF_STORE_READ);
    ok(mf_store_get(store, id, &lazy));
    fails_like(
        mf_artifact_array(lazy, "voxels", &array),
        "array 'voxels' of artifact %.12s (volume): chunk %s in '%s/chunks.db' does not match its "
        "digest\n  run the graph again with a writable cache: damaged data is computed again",
        id, chunk, folder);
    mf_artifact_unref(lazy);
    mf_store_close(store);

    store = open_store(MF_STORE_WRITE);
    ok(mf_store_get(store, id, &lazy));
    fails_like(
        mf_artifact_array(lazy, "voxels", &array),
        "array 'voxels' of artifact %.12s (volume): chunk %s in '%s/chunks.db' does not match its "
        "digest\n  it is now marked as missing: run the graph again to compute it again",
        id, chunk, folder);
    mf_artifact_unref(lazy);
    ok(mf_store_has(store, id, &present));
    ck_assert(!present);
    fails_like(mf_store_get(store, id, &lazy),
               "the data of artifact %.12s is not in the cache '%s' any more\n"
               "  run the graph again: missing data is computed again",
               id, folder);
    ok(mf_store_put(store, a, id));
    ok(mf_store_get(store, id, &lazy));
    ok(mf_artifact_array(lazy, "voxels", &array));
    mf_array_unref(array);
    mf_artifact_unref(lazy);
    mf_artifact_unref(a);
    mf_store_close(store);
}
END_TEST

START_TEST(damaged_compressed_row_is_found)
{
    char id[MF_HEX_SIZE];
    int64_t total = 60000, count = 2;
    mf_array *bytes = make_array(MF_U8, 1, &total, 1, false), *offsets;
    mf_artifact *a, *lazy;
    ok(mf_array_new(MF_I64, 1, &count, &offsets));
    ((int64_t *)offsets->data)[1] = total;
    ok(mf_artifact_new("masks", &a));
    ok(mf_artifact_add_rows(a, "bits", bytes, offsets));
    mf_store *store = open_store(MF_STORE_WRITE);
    ok(mf_store_put(store, a, id));
    mf_store_close(store);
    change("chunks.db", "UPDATE chunk_data SET bytes = CAST(substr(bytes, 1, length(bytes) / 2) || "
                        "x'00' || substr(bytes, length(bytes) / 2 + 2) AS BLOB)");
    store = open_store(MF_STORE_WRITE);
    ok(mf_store_get(store, id, &lazy));
    uint8_t *row;
    size_t size;
    mf_status status = mf_artifact_read_row(lazy, "bits", 0, &row, &size);
    ck_assert_ptr_nonnull(status);
    ck_assert_int_eq(mf_error_code(status), MF_CORRUPT);
    mf_error_free(status);
    mf_artifact_unref(lazy);
    mf_artifact_unref(a);
    mf_array_unref(bytes);
    mf_array_unref(offsets);
    mf_store_close(store);
}
END_TEST

START_TEST(damaged_record_is_found)
{
    static const int64_t shape[3] = {4, 4, 4};
    char id[MF_HEX_SIZE];
    mf_artifact *a = make_volume(MF_U8, shape, 1, true), *lazy;
    mf_store *store = open_store(MF_STORE_WRITE);
    ok(mf_store_put(store, a, id));
    mf_store_close(store);
    change("cache.db", "UPDATE artifact SET record = CAST(x'14' || substr(record, 2) AS BLOB)");
    store = open_store(MF_STORE_READ);
    fails_like(mf_store_get(store, id, &lazy),
               "the record of artifact %.12s in '%s/cache.db' is damaged\n"
               "  `massflow cache repair` recovers what is readable; the rest is computed again",
               id, folder);
    mf_artifact_unref(a);
    mf_store_close(store);
}
END_TEST

START_TEST(lost_chunks_file_is_noticed)
{
    static const int64_t shape[3] = {40, 40, 40};
    char id[MF_HEX_SIZE], path[128];
    bool present;
    mf_artifact *a = make_volume(MF_F32, shape, 1, true);
    mf_store *store = open_store(MF_STORE_WRITE);
    ok(mf_store_put(store, a, id));
    mf_store_close(store);
    snprintf(path, sizeof path, "%s/chunks.db", folder);
    ck_assert_int_eq(remove(path), 0);
    store = open_store(MF_STORE_WRITE);
    ok(mf_store_has(store, id, &present));
    ck_assert(!present);
    ok(mf_store_put(store, a, id));
    ok(mf_store_has(store, id, &present));
    ck_assert(present);
    mf_artifact_unref(a);
    mf_store_close(store);
}
END_TEST

/* Copies a file of the store, with the byte at `at` (modulo its size) changed where at >= 0. */
static void copy_file(const char *from, const char *to, int64_t at)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, from);
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    uint8_t *bytes = malloc((size_t)size);
    rewind(f);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)size, f), (size_t)size);
    fclose(f);
    if (at >= 0)
        bytes[at % size] ^= (uint8_t)(1 + at % 255);
    snprintf(path, sizeof path, "%s/%s", folder, to);
    f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, (size_t)size, f), (size_t)size);
    fclose(f);
    free(bytes);
}

/* true where all came back as it was; false where an error said what is wrong. */
static bool reads_back(const char *id, const mf_artifact *want)
{
    mf_store *store = NULL;
    mf_artifact *lazy = NULL;
    mf_status status = mf_store_open(folder, MF_STORE_READ, &store);
    if (!status)
        status = mf_store_get(store, id, &lazy);
    for (size_t i = 0; !status && i < mf_artifact_array_count(want); i++) {
        mf_array_info info;
        mf_array *a, *b;
        mf_artifact_array_info(want, i, &info);
        status = mf_artifact_array(lazy, info.name, &b);
        if (status)
            break;
        ok(mf_artifact_array(want, info.name, &a));
        assert_same_array(a, b);
        mf_array_unref(a);
        mf_array_unref(b);
    }
    bool same = !status;
    if (status) {
        mf_code code = mf_error_code(status);
        ck_assert_msg(code == MF_CORRUPT || code == MF_NOT_FOUND || code == MF_UNSUPPORTED ||
                          code == MF_INVALID || code == MF_IO,
                      "%s", mf_error_message(status));
    }
    mf_error_free(status);
    mf_artifact_unref(lazy);
    mf_store_close(store);
    return same;
}

START_TEST(any_changed_byte_is_harmless_or_found)
{
    static const int64_t shape[3] = {40, 40, 40}, labels_shape[3] = {64, 64, 70};
    static const char *const files[] = {"cache.db", "chunks.db"};
    mf_artifact *a = make_volume(MF_F32, shape, 1, true);
    mf_array *labels = make_array(MF_I16, 3, labels_shape, 2, false);
    char id[MF_HEX_SIZE];
    ok(mf_artifact_add(a, "labels", labels));
    mf_store *store = open_store(MF_STORE_WRITE);
    ok(mf_store_put(store, a, id));
    mf_store_close(store);
    uint64_t state = 11;
    int found = 0;
    for (int f = 0; f < 2; f++) {
        copy_file(files[f], "kept", -1);
        for (int i = 0; i < 60; i++) {
            state = state * 6364136223846793005ULL + 1442695040888963407ULL;
            copy_file("kept", files[f], (int64_t)(state >> 24));
            found += !reads_back(id, a);
        }
        copy_file("kept", files[f], -1);
    }
    ck_assert(reads_back(id, a));
    ck_assert_int_gt(found, 5); /* the rest fell on pages or bytes that are not in use */
    mf_array_unref(labels);
    mf_artifact_unref(a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_damage");
    TCase *tests = tcase_create("store_damage");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_folder, delete_folder);
    tcase_add_test(tests, damaged_chunk_is_found_said_and_made_again);
    tcase_add_test(tests, damaged_compressed_row_is_found);
    tcase_add_test(tests, damaged_record_is_found);
    tcase_add_test(tests, lost_chunks_file_is_noticed);
    tcase_add_test(tests, any_changed_byte_is_harmless_or_found);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
