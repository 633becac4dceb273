/* test_store.c - artifacts: identity, round trips, boxes, rows, what is stored once. */
#include "../run_suite.h"
#include "store_fixture.h"

#include <pthread.h>

/* ---- identity ---- */

START_TEST(equal_content_has_an_equal_id_in_any_order)
{
    const int64_t shape[] = {3, 2};
    const double spacing[] = {1.5, 2, 0.25};
    mf_array *x = make_array(MF_F32, 2, shape, 1, false),
             *y = make_array(MF_I16, 2, shape, 2, false);
    mf_artifact *a, *b;
    char first[MF_HEX_SIZE], second[MF_HEX_SIZE];
    ok(mf_artifact_new("volume", &a));
    ok(mf_artifact_new("volume", &b));
    ok(mf_artifact_add(a, "x", x));
    ok(mf_artifact_add(a, "y", y));
    ok(mf_artifact_set_text(a, "modality", "MR"));
    ok(mf_artifact_set_reals(a, "spacing", spacing, 3));
    ok(mf_artifact_set_int(a, "count", -7));
    ok(mf_artifact_set_int(b, "count", -7));
    ok(mf_artifact_set_reals(b, "spacing", spacing, 3));
    ok(mf_artifact_set_text(b, "modality", "MR"));
    ok(mf_artifact_add(b, "y", y));
    ok(mf_artifact_add(b, "x", x));
    ok(mf_store_identify(a, first));
    ok(mf_store_identify(b, second));
    ck_assert_str_eq(first, second);
    /* The format is fixed: a change of it makes every cache stale and is a new version. */
    ck_assert_str_eq(first, "3398c76f354e22d6b3dce3175ae28fd591412a5aa62be5e82776e9b706041206");
    ok(mf_artifact_set_int(b, "count", -8));
    ok(mf_store_identify(b, second));
    ck_assert_str_ne(first, second);
    mf_artifact_unref(a);
    mf_artifact_unref(b);
    mf_array_unref(x);
    mf_array_unref(y);
}
END_TEST

START_TEST(id_tells_kind_dtype_shape_and_name_apart)
{
    char ids[6][MF_HEX_SIZE];
    const int64_t flat[] = {6}, square[] = {2, 3};
    const mf_dtype dtypes[] = {MF_I32, MF_F32, MF_I32, MF_I32};
    const char *const names[] = {"x", "x", "x", "y"};
    for (int i = 0; i < 4; i++) {
        mf_array *x = make_array(dtypes[i], i == 2 ? 2 : 1, i == 2 ? square : flat, 1, false);
        mf_artifact *a;
        ok(mf_artifact_new("features", &a));
        ok(mf_artifact_add(a, names[i], x));
        ok(mf_store_identify(a, ids[i]));
        mf_artifact_unref(a);
        mf_array_unref(x);
    }
    for (int i = 4; i < 6; i++) {
        mf_artifact *a;
        const double seven = 7;
        ok(mf_artifact_new("features", &a));
        if (i == 4)
            ok(mf_artifact_set_int(a, "x", 7));
        else
            ok(mf_artifact_set_reals(a, "x", &seven, 1));
        ok(mf_store_identify(a, ids[i]));
        mf_artifact_unref(a);
    }
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(ids[i], ids[k]);
}
END_TEST

/* ---- round trips ---- */

static mf_artifact *put_and_get(mf_store *store, const mf_artifact *a)
{
    char id[MF_HEX_SIZE], again[MF_HEX_SIZE];
    mf_artifact *lazy;
    ok(mf_store_identify(a, again));
    ok(mf_store_put(store, a, id));
    ck_assert_str_eq(id, again);
    ok(mf_store_get(store, id, &lazy));
    ck_assert_str_eq(mf_artifact_id(lazy), id);
    ck_assert_str_eq(mf_artifact_type(lazy), mf_artifact_type(a));
    return lazy;
}

START_TEST(every_dtype_and_rank_comes_back)
{
    static const int64_t shapes[][MF_MAX_RANK] = {
        {1},          {100001},     {0},        {3, 0, 2},      {7, 5},
        {1, 1, 1},    {65, 64, 63}, {70, 3, 2}, {2, 3, 130, 4}, {5, 4, 3, 2, 1, 2},
        {300, 200, 1}};
    static const int ranks[] = {1, 1, 1, 3, 2, 3, 3, 3, 4, 6, 3};
    mf_store *store = open_store(MF_STORE_WRITE);
    for (int dtype = 0; dtype < MF_DTYPE_COUNT; dtype++)
        for (size_t s = 0; s < sizeof ranks / sizeof *ranks; s++)
            for (int noise = 0; noise < 2; noise++) {
                mf_array *x =
                    make_array((mf_dtype)dtype, ranks[s], shapes[s], (uint32_t)s, noise != 0);
                mf_artifact *a;
                mf_array *back;
                ok(mf_artifact_new("features", &a));
                ok(mf_artifact_add(a, "values", x));
                mf_artifact *lazy = put_and_get(store, a);
                ok(mf_artifact_array(lazy, "values", &back));
                assert_same_array(x, back);
                mf_array_unref(back);
                mf_array_unref(x);
                mf_artifact_unref(a);
                mf_artifact_unref(lazy);
            }
    mf_store_close(store);
}
END_TEST

START_TEST(attributes_come_back)
{
    const double reals[] = {-0.0, 1e-300, 0.1};
    mf_store *store = open_store(MF_STORE_WRITE);
    mf_artifact *a, *lazy;
    ok(mf_artifact_new("text", &a));
    ok(mf_artifact_set_text(a, "text", "Gr\xc3\xbc\xc3\x9f\x65\n"));
    ok(mf_artifact_set_text(a, "empty", ""));
    ok(mf_artifact_set_int(a, "low", INT64_MIN));
    ok(mf_artifact_set_reals(a, "reals", reals, 3));
    ok(mf_artifact_set_reals(a, "none", reals, 0));
    lazy = put_and_get(store, a);
    ck_assert_uint_eq(mf_artifact_attribute_count(lazy), 5);
    ck_assert_str_eq(mf_artifact_text(lazy, "text"), "Gr\xc3\xbc\xc3\x9f\x65\n");
    ck_assert_str_eq(mf_artifact_text(lazy, "empty"), "");
    int64_t low;
    size_t count;
    ck_assert(mf_artifact_int(lazy, "low", &low) && low == INT64_MIN);
    const double *back = mf_artifact_reals(lazy, "reals", &count);
    ck_assert(count == 3 && !memcmp(back, reals, sizeof reals));
    ck_assert_ptr_nonnull(mf_artifact_reals(lazy, "none", &count));
    ck_assert_uint_eq(count, 0);
    mf_artifact_unref(a);
    mf_artifact_unref(lazy);
    mf_store_close(store);
}
END_TEST

START_TEST(boxes_equal_the_dense_array)
{
    static const int64_t shape[3] = {70, 129, 65};
    static const int64_t boxes[][6] = {{0, 0, 0, 70, 129, 65},   {34, 42, 32, 36, 44, 34},
                                       {0, 0, 64, 1, 129, 65},   {69, 128, 64, 70, 129, 65},
                                       {10, 20, 30, 10, 40, 50}, {35, 0, 0, 70, 43, 33}};
    static const mf_dtype dtypes[] = {MF_U8, MF_I16, MF_F32};
    mf_store *store = open_store(MF_STORE_WRITE);
    for (int d = 0; d < 3; d++) {
        mf_artifact *a = make_volume(dtypes[d], shape, 3, d == 2);
        mf_artifact *lazy = put_and_get(store, a);
        for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
            const int64_t *lo = boxes[i], *hi = boxes[i] + 3;
            size_t bytes = mf_dtype_size(dtypes[d]);
            for (int k = 0; k < 3; k++)
                bytes *= (size_t)(hi[k] - lo[k]);
            uint8_t *want = malloc(bytes + 1), *got = malloc(bytes + 1);
            got[bytes] = 0x5a;
            ok(mf_artifact_read_box(a, "voxels", lo, hi, want));
            ok(mf_artifact_read_box(lazy, "voxels", lo, hi, got));
            ck_assert_int_eq(memcmp(want, got, bytes), 0);
            ck_assert_int_eq(got[bytes], 0x5a);
            free(want);
            free(got);
        }
        mf_artifact_unref(a);
        mf_artifact_unref(lazy);
    }
    mf_store_close(store);
}
END_TEST

/* Lengths of rows: empty ones, some that share a piece, one alone, one in several pieces. */
static const int64_t lengths[] = {0, 10,    65526, 1,       65535, 65536,   0, 65537,
                                  3, 70000, 0,     9000000, 12,    4194304, 0};
#define ROWS ((int64_t)(sizeof lengths / sizeof *lengths))

static mf_artifact *make_rows(void)
{
    int64_t total = 0, count = ROWS + 1;
    mf_array *bytes, *offsets;
    mf_artifact *a;
    ok(mf_array_new(MF_I64, 1, &count, &offsets));
    for (int64_t i = 0; i < ROWS; i++)
        ((int64_t *)offsets->data)[i + 1] = total += lengths[i];
    bytes = make_array(MF_U8, 1, &total, 9, true);
    ok(mf_artifact_new("masks", &a));
    ok(mf_artifact_add_rows(a, "bits", bytes, offsets));
    mf_array_unref(bytes);
    mf_array_unref(offsets);
    return a;
}

START_TEST(rows_come_back_alone_and_together)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    mf_artifact *a = make_rows(), *lazy = put_and_get(store, a);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < ROWS; i++) {
            int64_t row = pass ? ROWS - 1 - i : i;
            uint8_t *want, *got;
            size_t want_size, size;
            ok(mf_artifact_read_row(a, "bits", row, &want, &want_size));
            ok(mf_artifact_read_row(lazy, "bits", row, &got, &size));
            ck_assert_uint_eq(size, want_size);
            ck_assert((got == NULL) == (size == 0));
            ck_assert(size == 0 || !memcmp(got, want, size));
            free(want);
            free(got);
        }
    mf_array *want, *got;
    ok(mf_artifact_array(a, "bits", &want));
    ok(mf_artifact_array(lazy, "bits", &got));
    assert_same_array(want, got);
    mf_array_unref(want);
    mf_array_unref(got);
    mf_artifact_unref(a);
    mf_artifact_unref(lazy);
    mf_store_close(store);
}
END_TEST

START_TEST(lazy_artifact_outlives_the_store_and_copies_to_another)
{
    mf_store *store = open_store(MF_STORE_WRITE), *other;
    char path[96], id[MF_HEX_SIZE], copied[MF_HEX_SIZE];
    mf_artifact *a = make_rows(), *lazy = put_and_get(store, a);
    mf_store_close(store);
    snprintf(path, sizeof path, "%s/a/b", folder);
    ok(mf_store_open(path, MF_STORE_WRITE, &other));
    ok(mf_store_identify(a, id));
    ok(mf_store_put(other, lazy, copied));
    ck_assert_str_eq(id, copied);
    bool present;
    ok(mf_store_has(other, id, &present));
    ck_assert(present);
    mf_artifact_unref(a);
    mf_artifact_unref(lazy);
    mf_store_close(other);
}
END_TEST

typedef struct user {
    mf_store *store;
    uint32_t seed;
    bool same;
} user;

/* Puts volumes that others put too and some of its own, and reads boxes of all. */
static void *use_store(void *arg)
{
    static const int64_t shape[3] = {66, 40, 70}, lo[3] = {30, 3, 30}, hi[3] = {60, 40, 70};
    user *u = arg;
    uint8_t want[30 * 37 * 40 * 2], got[30 * 37 * 40 * 2];
    u->same = true;
    for (uint32_t i = 0; i < 6; i++) {
        mf_artifact *a = make_volume(MF_I16, shape, i % 2 ? u->seed : i, i < 3), *lazy;
        char id[MF_HEX_SIZE];
        ok(mf_store_put(u->store, a, id));
        ok(mf_store_get(u->store, id, &lazy));
        ok(mf_artifact_read_box(a, "voxels", lo, hi, want));
        ok(mf_artifact_read_box(lazy, "voxels", lo, hi, got));
        u->same = u->same && !memcmp(want, got, sizeof want);
        mf_artifact_unref(a);
        mf_artifact_unref(lazy);
    }
    return NULL;
}

START_TEST(threads_put_and_read_at_once)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    pthread_t threads[6];
    user users[6];
    for (uint32_t i = 0; i < 6; i++) {
        users[i] = (user){store, 100 + i, false};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_store, &users[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(users[i].same);
    }
    mf_store_stat stat;
    ok(mf_store_get_stat(store, &stat));
    /* Noise: two shared and six own. Without it seeds count modulo 5: five in all. */
    ck_assert_int_eq(stat.artifacts, 2 + 6 + 5);
    mf_store_stat_clear(&stat);
    mf_store_close(store);
}
END_TEST

/* ---- what is stored ---- */

static int64_t stored_bytes(mf_store *store)
{
    mf_store_stat stat;
    ok(mf_store_get_stat(store, &stat));
    int64_t stored = stat.stored;
    mf_store_stat_clear(&stat);
    return stored;
}

START_TEST(equal_data_is_stored_once)
{
    static const int64_t shape[3] = {64, 64, 80}; /* two bricks */
    mf_store *store = open_store(MF_STORE_WRITE);
    mf_artifact *a = make_volume(MF_F32, shape, 1, true), *b = make_volume(MF_F32, shape, 1, true);
    char first[MF_HEX_SIZE], second[MF_HEX_SIZE];
    ok(mf_artifact_set_text(b, "modality", "MR"));
    ok(mf_store_put(store, a, first));
    ck_assert_int_eq(stored_bytes(store), 64 * 64 * 80 * 4);
    ok(mf_store_put(store, b, second));
    ok(mf_store_put(store, a, second));
    ck_assert_str_eq(first, second);
    ck_assert_int_eq(stored_bytes(store), 64 * 64 * 80 * 4);
    mf_store_stat stat;
    ok(mf_store_get_stat(store, &stat));
    ck_assert_int_eq(stat.artifacts, 2);
    ck_assert_int_eq(stat.chunks, 2);
    ck_assert_int_eq(stat.bytes, 2 * 64 * 64 * 80 * 4);
    ck_assert_uint_eq(stat.type_count, 1);
    ck_assert_str_eq(stat.types[0].type, "volume");
    ck_assert_int_eq(stat.types[0].count, 2);
    ck_assert_int_eq(stat.types[0].stored, 2 * 64 * 64 * 80 * 4);
    mf_store_stat_clear(&stat);
    mf_artifact_unref(a);
    mf_artifact_unref(b);
    mf_store_close(store);
}
END_TEST

START_TEST(labels_and_whole_numbers_are_compressed)
{
    static const int64_t shape[3] = {64, 64, 64};
    mf_store *store = open_store(MF_STORE_WRITE);
    char id[MF_HEX_SIZE];
    mf_artifact *labels = make_volume(MF_I16, shape, 1, false);
    ok(mf_store_put(store, labels, id));
    int64_t stored = stored_bytes(store);
    ck_assert_int_lt(stored, 64 * 64 * 64 * 2 / 20);
    /* Reals that hold whole numbers, as a CT does. */
    mf_array *array;
    mf_artifact *ct = make_volume(MF_F32, shape, 2, true);
    ok(mf_artifact_array(ct, "voxels", &array));
    for (int64_t i = 0; i < mf_array_count(array); i++)
        ((float *)array->data)[i] = (float)((uint8_t *)array->data)[4 * i] - 128;
    ok(mf_store_put(store, ct, id));
    ck_assert_int_lt(stored_bytes(store) - stored, 64 * 64 * 64 * 4 / 2);
    mf_array_unref(array);
    mf_artifact_unref(ct);
    mf_artifact_unref(labels);
    mf_store_close(store);
}
END_TEST

/* ---- names ---- */

START_TEST(ids_are_checked_and_resolved)
{
    static const int64_t shape[3] = {2, 2, 2};
    char id[MF_HEX_SIZE], full[MF_HEX_SIZE], prefix[9];
    mf_artifact *a = make_volume(MF_U8, shape, 1, true), *lazy;
    mf_store *store = open_store(MF_STORE_WRITE);
    ok(mf_store_put(store, a, id));
    snprintf(prefix, sizeof prefix, "%.8s", id);
    ok(mf_store_resolve(store, prefix, full));
    ck_assert_str_eq(full, id);
    fails_like(mf_store_resolve(store, "ab", full),
               "'ab' is too short for an artifact: give 4 digits or more");
    fails_like(mf_store_resolve(store, "0000000000", full),
               "no artifact in the cache '%s' begins with '0000000000'", folder);
    fails_like(mf_store_resolve(store, "xyz!", full),
               "'xyz!' is not the beginning of an id: hex digits, at most 64");
    fails_like(mf_store_get(store, "ab", &lazy), "'ab' is not an artifact id: 64 hex digits");
    id[0] = id[0] == '0' ? '1' : '0';
    fails_like(mf_store_get(store, id, &lazy), "there is no artifact %.12s in the cache '%s'", id,
               folder);
    mf_artifact_entry *entries;
    size_t count;
    ok(mf_store_list_artifacts(store, "volume", NULL, 0, &entries, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(entries[0].id, full);
    ck_assert(entries[0].present);
    ck_assert_int_eq(entries[0].bytes, 8);
    free(entries);
    ok(mf_store_list_artifacts(store, "masks", NULL, 0, &entries, &count));
    ck_assert_uint_eq(count, 0);
    free(entries);
    mf_artifact_unref(a);
    mf_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tests = tcase_create("store");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_folder, delete_folder);
    tcase_add_test(tests, equal_content_has_an_equal_id_in_any_order);
    tcase_add_test(tests, id_tells_kind_dtype_shape_and_name_apart);
    tcase_add_test(tests, every_dtype_and_rank_comes_back);
    tcase_add_test(tests, attributes_come_back);
    tcase_add_test(tests, boxes_equal_the_dense_array);
    tcase_add_test(tests, rows_come_back_alone_and_together);
    tcase_add_test(tests, lazy_artifact_outlives_the_store_and_copies_to_another);
    tcase_add_test(tests, threads_put_and_read_at_once);
    tcase_add_test(tests, equal_data_is_stored_once);
    tcase_add_test(tests, labels_and_whole_numbers_are_compressed);
    tcase_add_test(tests, ids_are_checked_and_resolved);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
