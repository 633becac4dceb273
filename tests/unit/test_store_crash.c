/* test_store_crash.c - kill -9 at any moment: what is recorded afterwards is whole. */
#include "../run_suite.h"
#include "store_fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KILLS 20

/* Volume n of round r: some bricks are shared with other volumes, the last is its own. */
static mf_artifact *make_step(int round, int n)
{
    static const int64_t shape[3] = {64, 64, 130};
    mf_artifact *a;
    mf_array *voxels = make_array(MF_F32, 3, shape, (uint32_t)(n % 3), true);
    int32_t *last = (int32_t *)voxels->data + mf_array_count(voxels) - 2;
    last[0] = round;
    last[1] = n;
    ok(mf_artifact_new("volume", &a));
    ok(mf_artifact_add(a, "voxels", voxels));
    mf_array_unref(voxels);
    return a;
}

static void write_step(mf_store *store, int round, int n)
{
    char name[64];
    mf_artifact *a = make_step(round, n);
    mf_action_output out = {.port = "volume"};
    mf_action action = {
        .stage = "demo.step", .components = "{}", .outputs = &out, .output_count = 1};
    ok(mf_store_put(store, a, out.id));
    snprintf(name, sizeof name, "%d %d", round, n);
    mf_digest_hex(name, strlen(name), action.key);
    ok(mf_store_record(store, &action));
    mf_artifact_unref(a);
}

/* Stores and records without end; writes a byte to `told` for each action recorded. */
static void write_without_end(int round, int told)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    for (int n = 0;; n++) {
        write_step(store, round, n);
        ck_assert_int_eq(write(told, "", 1), 1);
    }
}

/* Reads every output of every action; gives how many there are. */
static size_t check_all(mf_store_mode mode)
{
    mf_action **actions;
    size_t count;
    mf_store *store = open_store(mode);
    ok(mf_store_list_actions(store, NULL, 0, &actions, &count));
    for (size_t i = 0; i < count; i++) {
        mf_artifact *a;
        mf_array *voxels;
        ck_assert_uint_eq(actions[i]->output_count, 1);
        ck_assert(actions[i]->outputs[0].present);
        ok(mf_store_get(store, actions[i]->outputs[0].id, &a));
        ok(mf_artifact_array(a, "voxels", &voxels));
        mf_array_unref(voxels);
        mf_artifact_unref(a);
    }
    mf_action_list_free(actions, count);
    mf_store_close(store);
    return count;
}

/* Kills a writer some milliseconds after its n-th action; gives how many it said it recorded. */
static size_t kill_writer(int round)
{
    int told[2];
    char byte;
    size_t recorded = 0;
    ck_assert_int_eq(pipe(told), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        close(told[0]);
        write_without_end(round, told[1]);
        _exit(0);
    }
    close(told[1]);
    while (recorded < (size_t)(round % 4) && read(told[0], &byte, 1) == 1)
        recorded++;
    /* So that kills fall everywhere from the opening of the store to the middle of a commit. */
    struct timespec wait = {0, 3 * (round * 7 % 13) * 1000000};
    nanosleep(&wait, NULL);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    while (read(told[0], &byte, 1) == 1)
        recorded++;
    close(told[0]);
    int state;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert_msg(WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL, "the writer ended early");
    return recorded;
}

/* Who looks rolls nothing back: where a write was cut off it says so, until somebody writes. */
static size_t look(void)
{
    static const char *const files[] = {"chunks.db", "cache.db"};
    mf_store *store;
    char text[2][300];
    mf_status status = mf_store_open(folder, MF_STORE_READ, &store);
    if (!status) {
        mf_store_close(store);
        return check_all(MF_STORE_READ);
    }
    for (int i = 0; i < 2; i++)
        snprintf(text[i], sizeof text[i],
                 "while opening the cache: '%s/%s' was left in the middle of a write, and looking "
                 "changes nothing\n  the next `massflow run` mends it, or `massflow cache repair`",
                 folder, files[i]);
    char *said = mf_error_text(status);
    ck_assert_str_eq(said, text[strcmp(said, text[0]) != 0]);
    free(said);
    mf_error_free(status);
    mf_store_close(open_store(MF_STORE_WRITE));
    return check_all(MF_STORE_READ);
}

START_TEST(killed_writer_leaves_only_whole_results_and_all_it_recorded)
{
    size_t recorded = 0;
    mf_store_close(open_store(MF_STORE_WRITE));
    for (int round = 0; round < KILLS; round++) {
        recorded += kill_writer(round);
        if (round % 5 == 4)
            ck_assert_uint_ge(round % 2 ? look() : check_all(MF_STORE_WRITE), recorded);
    }
    ck_assert_uint_ge(recorded, KILLS);
    /* And all can be used on: the same results again are the same artifacts. */
    mf_store *store = open_store(MF_STORE_WRITE);
    char id[MF_HEX_SIZE], again[MF_HEX_SIZE];
    mf_artifact *a = make_step(KILLS - 1, 0);
    ok(mf_store_identify(a, id));
    ok(mf_store_put(store, a, again));
    ck_assert_str_eq(id, again);
    mf_artifact_unref(a);
    mf_store_close(store);
    ck_assert_uint_ge(check_all(MF_STORE_WRITE), recorded);
}
END_TEST

START_TEST(processes_share_a_store)
{
    pid_t children[3];
    for (int k = 0; k < 3; k++) {
        children[k] = fork();
        ck_assert_int_ge(children[k], 0);
        if (children[k] == 0) {
            mf_store *store = open_store(MF_STORE_WRITE);
            for (int n = 0; n < 8; n++)
                write_step(store, k, n);
            mf_store_close(store);
            _exit(0);
        }
    }
    for (int k = 0; k < 3; k++) {
        int state;
        ck_assert_int_eq(waitpid(children[k], &state, 0), children[k]);
        ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
    }
    ck_assert_uint_eq(check_all(MF_STORE_READ), 24);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_crash");
    TCase *tests = tcase_create("store_crash");
    tcase_set_timeout(tests, 300);
    tcase_add_checked_fixture(tests, make_folder, delete_folder);
    tcase_add_test(tests, killed_writer_leaves_only_whole_results_and_all_it_recorded);
    tcase_add_test(tests, processes_share_a_store);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
