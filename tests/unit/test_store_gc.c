/* test_store_gc.c - what gc chooses to drop. */
#include "../run_suite.h"
#include "store/upkeep.h"
#include "store_fixture.h"

/* An artifact of random bytes, made in `seconds`; its id. */
static void make(mf_store *store, const char *name, int64_t floats, double seconds,
                 char id[MF_HEX_SIZE])
{
    const int64_t shape[3] = {1, 1, floats};
    mf_artifact *a;
    mf_array *voxels = make_array(MF_F32, 3, shape, (uint32_t)floats, true);
    mf_action_output out = {.port = "volume", .present = true};
    mf_action action = {.stage = "demo.step",
                        .components = "{}",
                        .seconds = seconds,
                        .outputs = &out,
                        .output_count = 1};
    ok(mf_artifact_new("volume", &a));
    ok(mf_artifact_add(a, "voxels", voxels));
    mf_array_unref(voxels);
    ok(mf_store_put(store, a, out.id));
    mf_artifact_unref(a);
    mf_digest_hex(name, strlen(name), action.key);
    ok(mf_store_record(store, &action));
    memcpy(id, out.id, MF_HEX_SIZE);
}

/* Small ones are cheapest to make again for their room and would go first; but the large one has to
 * go in any case, and then there is room for most of them. */
START_TEST(small_ones_stay_where_a_large_one_has_to_go)
{
    char large[MF_HEX_SIZE], small[4][MF_HEX_SIZE], cheapest[MF_HEX_SIZE];
    bool present;
    mf_store *store = open_store(MF_STORE_WRITE);
    make(store, "large", 400000, 1000, large);
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "small %d", i);
        make(store, name, 10000 + i, 1, small[i]);
    }
    make(store, "cheapest", 10010, 0, cheapest);
    mf_store_close(store);
    mf_gc_result result = {0};
    ok(mf_store_gc(folder, &(mf_gc_options){.size = 170000, .age = -1}, NULL, NULL, &result));
    ck_assert_int_eq(result.artifacts, 2);
    ck_assert_int_eq(result.kept, 4);
    store = open_store(MF_STORE_READ);
    ok(mf_store_has(store, large, &present));
    ck_assert(!present);
    ok(mf_store_has(store, cheapest, &present));
    ck_assert(!present);
    for (int i = 0; i < 4; i++) {
        ok(mf_store_has(store, small[i], &present));
        ck_assert(present);
    }
    mf_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_gc");
    TCase *tests = tcase_create("store_gc");
    tcase_add_checked_fixture(tests, make_folder, delete_folder);
    tcase_add_test(tests, small_ones_stay_where_a_large_one_has_to_go);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
