/* test_store_leases.c - who runs an action: one of two, until it is done, has failed or is gone. */
#include "../run_suite.h"
#include "store/leases.h"
#include "store_fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

static const char key[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

static mf_lease_state take(mf_store *store, mf_lease_owner *owner)
{
    mf_lease_state state;
    mf_lease_owner unused;
    ok(mf_store_lease_take(store, key, 0, false, &state, owner ? owner : &unused));
    return state;
}

static mf_lease_state look(mf_store *store, int64_t dead, mf_lease_owner *owner)
{
    mf_lease_state state;
    mf_lease_owner unused;
    ok(mf_store_lease_look(store, key, dead, &state, owner ? owner : &unused));
    return state;
}

static void record(mf_store *store)
{
    mf_action_output output = {.port = "text"};
    mf_action action = {.stage = "test.stage", .device = "", .outputs = &output, .output_count = 1};
    put_text(store, "done", output.id);
    strcpy(action.key, key);
    ok(mf_store_record(store, &action));
}

static void change(const char *sql)
{
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/cache.db", folder);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

START_TEST(one_of_two_has_it)
{
    char host[256] = "";
    mf_lease_owner owner;
    mf_store *a = open_store(MF_STORE_WRITE), *b = open_store(MF_STORE_WRITE);
    gethostname(host, sizeof host - 1);
    ck_assert_int_eq(look(a, 0, NULL), MF_LEASE_FREE);
    ck_assert_int_eq(take(a, NULL), MF_LEASE_FREE);
    ck_assert_int_eq(take(a, NULL), MF_LEASE_FREE); /* again: it is its own */
    ck_assert_int_eq(take(b, &owner), MF_LEASE_HELD);
    ck_assert_str_eq(owner.host, host);
    ck_assert_int_eq(owner.pid, getpid());
    ck_assert_int_ge(owner.seconds, 0);
    ck_assert_int_eq(look(b, 0, NULL), MF_LEASE_HELD);
    ok(mf_store_lease_drop(b, key)); /* not its own: nothing happens */
    ck_assert_int_eq(look(b, 0, NULL), MF_LEASE_HELD);
    ok(mf_store_lease_drop(a, key)); /* failed */
    ck_assert_int_eq(take(b, NULL), MF_LEASE_FREE);
    ck_assert_int_eq(take(a, NULL), MF_LEASE_HELD);
    mf_store_close(a);
    mf_store_close(b);
}
END_TEST

START_TEST(done_ends_it)
{
    mf_lease_state state;
    mf_lease_owner owner;
    mf_store *a = open_store(MF_STORE_WRITE), *b = open_store(MF_STORE_WRITE);
    ck_assert_int_eq(take(a, NULL), MF_LEASE_FREE);
    record(a);
    ck_assert_int_eq(look(b, 0, NULL), MF_LEASE_DONE);
    ck_assert_int_eq(take(b, NULL), MF_LEASE_DONE);
    ok(mf_store_lease_take(b, key, 0, true, &state, &owner));
    ck_assert_int_eq(state, MF_LEASE_FREE);
    ok(mf_store_lease_take(a, key, 0, true, &state, &owner));
    ck_assert_int_eq(state, MF_LEASE_HELD);
    ok(mf_store_lease_drop(b, key));
    change("UPDATE artifact SET present = 0"); /* to be made again */
    ck_assert_int_eq(look(a, 0, NULL), MF_LEASE_FREE);
    mf_store_close(a);
    mf_store_close(b);
}
END_TEST

/* What is done is what a look-up finds, the newest that was made here: that an older one, of
 * another device, is all there, does not serve whoever looks up. */
START_TEST(done_is_what_a_look_up_finds)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    mf_action_output output = {.port = "text"};
    mf_action action = {.stage = "test.stage", .outputs = &output, .output_count = 1}, *found;
    strcpy(action.key, key);
    put_text(store, "older", output.id);
    action.device = "gpu";
    ok(mf_store_record(store, &action));
    put_text(store, "newer", output.id);
    action.device = "cpu";
    ok(mf_store_record(store, &action));
    ck_assert_int_eq(look(store, 0, NULL), MF_LEASE_DONE);
    change("UPDATE artifact SET present = 0 WHERE num = 2");
    ok(mf_store_find(store, key, NULL, &found));
    ck_assert_str_eq(found->device, "cpu");
    ck_assert(!found->outputs[0].present);
    mf_action_free(found);
    ck_assert_int_eq(look(store, 0, NULL), MF_LEASE_FREE);
    ck_assert_int_eq(take(store, NULL), MF_LEASE_FREE);
    mf_store_close(store);
}
END_TEST

/* A process that takes it and is killed; while it lives the lease is held. */
START_TEST(a_dead_process_has_nothing)
{
    int pipes[2];
    char byte;
    mf_lease_owner owner;
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        mf_store *mine = open_store(MF_STORE_WRITE);
        take(mine, NULL);
        if (write(pipes[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
    mf_store *store = open_store(MF_STORE_WRITE);
    ck_assert_int_eq(take(store, &owner), MF_LEASE_HELD);
    ck_assert_int_eq(owner.pid, child);
    kill(child, SIGKILL);
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    ck_assert_int_eq(look(store, 0, NULL), MF_LEASE_FREE); /* not waited for yet: a zombie */
    waitpid(child, NULL, 0);
    ck_assert_int_eq(take(store, NULL), MF_LEASE_FREE);
    mf_store_close(store);
}
END_TEST

START_TEST(a_number_that_is_used_again_is_another_process)
{
    mf_store *a = open_store(MF_STORE_WRITE), *b = open_store(MF_STORE_WRITE);
    ck_assert_int_eq(take(a, NULL), MF_LEASE_FREE);
    change("UPDATE lease SET process = process - 1");
    ck_assert_int_eq(take(b, NULL), MF_LEASE_FREE);
    mf_store_close(a);
    mf_store_close(b);
}
END_TEST

START_TEST(on_another_machine_only_the_heartbeat_tells)
{
    mf_lease_state state;
    mf_lease_owner owner;
    mf_store *a = open_store(MF_STORE_WRITE), *b = open_store(MF_STORE_WRITE);
    ck_assert_int_eq(take(a, NULL), MF_LEASE_FREE);
    change("UPDATE lease SET machine = 'other', host = 'far', pid = 1, heartbeat = 1000");
    ck_assert_int_eq(look(b, 0, &owner), MF_LEASE_HELD);
    ck_assert_str_eq(owner.host, "far");
    ck_assert_int_eq(owner.heartbeat, 1000);
    ck_assert_int_eq(look(b, 1000, NULL), MF_LEASE_FREE); /* still the same after a long time */
    ok(mf_store_lease_beat(a));
    ck_assert_int_eq(look(b, 1000, &owner), MF_LEASE_HELD);
    ck_assert_int_gt(owner.heartbeat, 1000);
    ok(mf_store_lease_take(b, key, owner.heartbeat, false, &state, &owner));
    ck_assert_int_eq(state, MF_LEASE_FREE);
    ck_assert_int_eq(look(a, 0, NULL), MF_LEASE_HELD);
    mf_store_close(a);
    mf_store_close(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store leases");
    TCase *c = tcase_create("leases");
    tcase_add_checked_fixture(c, make_folder, delete_folder);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, one_of_two_has_it);
    tcase_add_test(c, done_ends_it);
    tcase_add_test(c, done_is_what_a_look_up_finds);
    tcase_add_test(c, a_dead_process_has_nothing);
    tcase_add_test(c, a_number_that_is_used_again_is_another_process);
    tcase_add_test(c, on_another_machine_only_the_heartbeat_tells);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
