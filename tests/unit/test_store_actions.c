/* test_store_actions.c - actions, runs, digests of files. */
#include "../run_suite.h"
#include "store/internal.h"
#include "store_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

static void key_of(const char *text, char key[MF_HEX_SIZE])
{
    mf_digest_hex(text, strlen(text), key);
}

static mf_action make_action(const char *name, const char *device, mf_action_output *outputs,
                             size_t count)
{
    mf_action a = {.stage = "demo.keep",
                   .components = "{\"stage\":\"demo.keep\"}",
                   .device = device,
                   .seconds = 1.25,
                   .peak_bytes = 4096,
                   .run = 3,
                   .outputs = outputs,
                   .output_count = count};
    key_of(name, a.key);
    return a;
}

/* ---- actions ---- */

START_TEST(action_comes_back_with_its_outputs_in_order)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    mf_action_output outputs[3] = {
        {.port = "masks", .position = 10}, {.port = "masks", .position = 9}, {.port = "body"}};
    put_text(store, "a", outputs[0].id);
    put_text(store, "b", outputs[1].id);
    put_text(store, "c", outputs[2].id);
    mf_action a = make_action("k", "gpu", outputs, 3), *found;
    ok(mf_store_record(store, &a));
    for (int device = 0; device < 2; device++) {
        ok(mf_store_find(store, a.key, device ? "gpu" : NULL, &found));
        ck_assert_ptr_nonnull(found);
        ck_assert_str_eq(found->key, a.key);
        ck_assert_str_eq(found->stage, "demo.keep");
        ck_assert_str_eq(found->device, "gpu");
        ck_assert_double_eq(found->seconds, 1.25);
        ck_assert_int_eq(found->peak_bytes, 4096);
        ck_assert_int_eq(found->run, 3);
        ck_assert_int_ge(found->created, (int64_t)time(NULL) - 60);
        ck_assert_uint_eq(found->output_count, 3);
        ck_assert_str_eq(found->outputs[0].port, "body");
        ck_assert_str_eq(found->outputs[0].id, outputs[2].id);
        ck_assert_int_eq(found->outputs[1].position, 9);
        ck_assert_str_eq(found->outputs[1].id, outputs[1].id);
        ck_assert_int_eq(found->outputs[2].position, 10);
        ck_assert(found->outputs[2].present);
        mf_action_free(found);
    }
    ok(mf_store_find(store, a.key, "cpu", &found));
    ck_assert_ptr_null(found);
    char *json;
    ok(mf_store_components(store, a.key, &json));
    ck_assert_str_eq(json, "{\"stage\":\"demo.keep\"}");
    free(json);
    key_of("other", a.key);
    ok(mf_store_find(store, a.key, NULL, &found));
    ck_assert_ptr_null(found);
    ok(mf_store_components(store, a.key, &json));
    ck_assert_ptr_null(json);
    mf_store_close(store);
}
END_TEST

START_TEST(newest_action_of_a_key_is_found_and_each_device_kept)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    mf_action_output first = {.port = "out"}, second = {.port = "out"}, third = {.port = "out"};
    put_text(store, "a", first.id);
    put_text(store, "b", second.id);
    put_text(store, "c", third.id);
    mf_action on_gpu = make_action("k", "gpu", &first, 1),
              on_cpu = make_action("k", "cpu", &second, 1);
    mf_action again = make_action("k", "gpu", &third, 1), *found, **list;
    size_t count;
    ok(mf_store_record(store, &on_gpu));
    ok(mf_store_record(store, &on_cpu));
    ok(mf_store_find(store, on_gpu.key, NULL, &found));
    ck_assert_str_eq(found->outputs[0].id, second.id);
    mf_action_free(found);
    ok(mf_store_record(store, &again));
    ok(mf_store_find(store, on_gpu.key, NULL, &found));
    ck_assert_str_eq(found->outputs[0].id, third.id);
    mf_action_free(found);
    ok(mf_store_find(store, on_gpu.key, "cpu", &found));
    ck_assert_str_eq(found->outputs[0].id, second.id);
    mf_action_free(found);
    ok(mf_store_list_actions(store, "demo.keep", 0, &list, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(list[0]->device, "gpu");
    ck_assert_uint_eq(list[0]->output_count, 1);
    mf_action_list_free(list, count);
    ok(mf_store_list_actions(store, NULL, 1, &list, &count));
    ck_assert_uint_eq(count, 1);
    mf_action_list_free(list, count);
    ok(mf_store_list_actions(store, "demo.other", 0, &list, &count));
    ck_assert_uint_eq(count, 0);
    mf_action_list_free(list, count);
    mf_store_close(store);
}
END_TEST

START_TEST(action_is_refused_without_its_outputs_and_leaves_nothing)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    mf_action_output outputs[2] = {{.port = "a"}, {.port = "b"}};
    put_text(store, "a", outputs[0].id);
    key_of("nowhere", outputs[1].id);
    mf_action a = make_action("k", "", outputs, 2), *found;
    fails_like(
        mf_store_record(store, &a),
        "while recording an action of stage demo.keep: port 'b' names artifact %.12s, which is "
        "not stored",
        outputs[1].id);
    ok(mf_store_find(store, a.key, NULL, &found));
    ck_assert_ptr_null(found);
    strcpy(a.key, "12");
    fails_like(
        mf_store_record(store, &a),
        "while recording an action of stage demo.keep: '12' is not an action key: 64 hex digits");
    mf_store_close(store);
}
END_TEST

static void find_all(mf_store *store, int count)
{
    ok(mf_store_hold(store));
    for (int i = 0; i < count; i++) {
        char name[32], key[MF_HEX_SIZE];
        mf_action *found;
        snprintf(name, sizeof name, "action %d", i);
        key_of(name, key);
        ok(mf_store_find(store, key, NULL, &found));
        ck_assert_ptr_nonnull(found);
        ck_assert(found->outputs[0].present);
        mf_action_free(found);
    }
    mf_store_release(store);
}

typedef struct recorder {
    mf_store *store;
    int begin, end;
} recorder;

static void *record_range(void *arg)
{
    recorder *r = arg;
    mf_action_output out = {.port = "out"};
    put_text(r->store, "same", out.id);
    for (int i = r->begin; i < r->end; i++) {
        char name[32];
        snprintf(name, sizeof name, "action %d", i);
        mf_action a = make_action(name, "", &out, 1);
        ok(mf_store_record(r->store, &a));
    }
    return NULL;
}

START_TEST(what_threads_record_is_found)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    pthread_t threads[4];
    recorder recorders[4];
    for (int i = 0; i < 4; i++) {
        recorders[i] = (recorder){store, i * 500, i * 500 + 500};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, record_range, &recorders[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    find_all(store, 2000);
    mf_store_close(store);
}
END_TEST

START_TEST(held_look_ups_see_one_state)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    mf_action_output out = {.port = "out"};
    put_text(store, "a", out.id);
    mf_action a = make_action("k", "", &out, 1), *found;
    ok(mf_store_hold(store));
    ok(mf_store_hold(store));
    ok(mf_store_find(store, a.key, NULL, &found));
    ck_assert_ptr_null(found);
    ok(mf_store_record(store, &a));
    mf_store_release(store);
    ok(mf_store_find(store, a.key, NULL, &found));
    ck_assert_ptr_null(found);
    mf_store_release(store);
    ok(mf_store_find(store, a.key, NULL, &found));
    ck_assert_ptr_nonnull(found);
    mf_action_free(found);
    mf_store_close(store);
}
END_TEST

/* ---- runs ---- */

START_TEST(runs_keep_nodes_and_the_actions_of_a_node)
{
    mf_store *store = open_store(MF_STORE_WRITE);
    mf_action_output out = {.port = "out"};
    put_text(store, "a", out.id);
    mf_action old = make_action("old", "", &out, 1), new = make_action("new", "", &out, 1);
    new.components = "{\"lower\":2}";
    ok(mf_store_record(store, &old));
    ok(mf_store_record(store, &new));
    int64_t runs[3];
    const char *keys[] = {old.key, new.key, new.key};
    for (int i = 0; i < 3; i++) {
        mf_run_node nodes[2] = {
            {.node = "keep[case=1]",
             .outcome = i < 2 ? MF_NODE_DONE : MF_NODE_CACHED,
             .started = 1e9 + 0.25,
             .seconds = 0.5 + i,
             .device = "a device",
             .place = "n1:4711",
             .peak_bytes = 1 << 30,
             .key = keys[i]},
            {.node = "view", .outcome = MF_NODE_FAILED, .seconds = 2, .message = "it broke"}};
        mf_run_line said[2] = {{"view", 1e9, "first"}, {"keep[case=1]", 1e9 + 0.5, "second"}};
        mf_run_start start = {i == 2 ? "/g/b.yaml" : "/g/a.yaml", "massflow run a.yaml", "0.1", 4};
        ok(mf_store_run_begin(store, &start, &runs[i]));
        ok(mf_store_run_nodes(store, runs[i], nodes, 2));
        ok(mf_store_run_lines(store, runs[i], said, 2));
        if (i != 1)
            ok(mf_store_run_end(store, runs[i], "failed"));
    }
    mf_run_entry *list;
    mf_run_node *nodes;
    mf_action **actions;
    size_t count;
    ok(mf_store_list_runs(store, NULL, 0, &list, &count));
    ck_assert_uint_eq(count, 3);
    ck_assert_int_eq(list[0].id, runs[2]);
    ck_assert_int_eq(list[0].counts[MF_NODE_CACHED], 1);
    ck_assert_int_eq(list[0].counts[MF_NODE_FAILED], 1);
    ck_assert_int_eq(list[0].counts[MF_NODE_DONE], 0);
    ck_assert_int_ge(list[0].end, list[0].start);
    ck_assert_str_eq(list[0].status, "failed");
    ck_assert_str_eq(list[1].status, "running");
    ck_assert_int_eq(list[1].end, 0);
    ck_assert_int_eq(list[1].pid, getpid());
    ck_assert_int_eq(list[1].slots, 4);
    ck_assert_str_eq(list[1].version, "0.1");
    ck_assert_str_eq(list[1].command, "massflow run a.yaml");
    mf_run_list_free(list, count);
    ok(mf_store_list_runs(store, "/g/a.yaml", 1, &list, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(list[0].id, runs[1]);
    mf_run_list_free(list, count);

    ok(mf_store_list_run_nodes(store, runs[0], &nodes, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(nodes[0].node, "keep[case=1]");
    ck_assert_str_eq(nodes[0].key, old.key);
    ck_assert_str_eq(mf_outcome_text(nodes[0].outcome), "done");
    ck_assert_str_eq(nodes[1].message, "it broke");
    ck_assert_ptr_null(nodes[1].key);
    ck_assert_double_eq(nodes[0].started, 1e9 + 0.25);
    ck_assert_str_eq(nodes[0].device, "a device");
    ck_assert_str_eq(nodes[0].place, "n1:4711");
    ck_assert_str_eq(nodes[1].place, "");
    ck_assert_int_eq(nodes[0].peak_bytes, 1 << 30);
    ck_assert(!nodes[0].own_process);
    mf_run_node_list_free(nodes, count);

    mf_run_line *said;
    ok(mf_store_list_run_lines(store, runs[0], NULL, &said, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(said[0].text, "first");
    mf_run_line_list_free(said, count);
    ok(mf_store_list_run_lines(store, runs[0], "keep[case=1]", &said, &count));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(said[0].text, "second");
    ck_assert_double_eq(said[0].at, 1e9 + 0.5);
    mf_run_line_list_free(said, count);

    mf_past_times past;
    old.run = runs[0];
    ok(mf_store_record(store, &old));
    new.run = runs[1];
    ok(mf_store_record(store, &new));
    ok(mf_store_past_times(store, "/g/a.yaml", "keep", "no.stage", &past));
    ck_assert_uint_eq(past.count, 2);
    ck_assert_int_eq(past.from, MF_PAST_GRAPH);
    ck_assert_double_eq(past.median, 1.5);
    ok(mf_store_past_times(store, "/g/a.yaml", "kee", "no.stage", &past));
    ck_assert_uint_eq(past.count, 0);
    ok(mf_store_past_times(store, "/g/other.yaml", "keep", old.stage, &past));
    ck_assert_uint_eq(past.count, 2);
    ck_assert_int_eq(past.from, MF_PAST_STAGE);

    char **names, *maker;
    bool is;
    ok(mf_store_past_nodes(store, "/g/a.yaml", "keep", 10, &names, &count, &is));
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(names[0], "keep[case=1]");
    ck_assert(is);
    mf_name_list_free(names, count);
    ok(mf_store_past_nodes(store, "/g/a.yaml", "kee", 10, &names, &count, &is));
    ck_assert_uint_eq(count, 0);
    ck_assert(is);
    mf_name_list_free(names, count);
    ok(mf_store_past_nodes(store, "/g/c.yaml", "keep", 10, &names, &count, &is));
    ck_assert(!is);
    mf_name_list_free(names, count);
    ok(mf_store_maker(store, runs[1], new.key, &maker));
    ck_assert_str_eq(maker, "keep[case=1]");
    free(maker);
    ok(mf_store_maker(store, runs[1], old.key, &maker));
    ck_assert_ptr_null(maker);
    ok(mf_store_node_used(store, "/g/a.yaml", "keep[case=1]", old.key, &is));
    ck_assert(is);
    ok(mf_store_node_used(store, "/g/b.yaml", "keep[case=1]", old.key, &is));
    ck_assert(!is);

    ok(mf_store_node_actions(store, "/g/a.yaml", "keep[case=1]", 0, &actions, &count));
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(actions[0]->key, new.key);
    ck_assert_str_eq(actions[0]->components, "{\"lower\":2}");
    ck_assert_str_eq(actions[1]->key, old.key);
    mf_action_list_free(actions, count);
    ok(mf_store_node_actions(store, "/g/a.yaml", "keep[case=1]", 1, &actions, &count));
    ck_assert_uint_eq(count, 1);
    mf_action_list_free(actions, count);
    ok(mf_store_node_actions(store, "/g/a.yaml", "view", 0, &actions, &count));
    ck_assert_uint_eq(count, 0);
    mf_action_list_free(actions, count);
    mf_store_close(store);
}
END_TEST

/* ---- files ---- */

static void digest_of(mf_store *store, const char *name, char hex[MF_HEX_SIZE])
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ok(mf_store_file(store, path, hex));
}

/* Rows that a test has changed get sums as if the store had written them. */
static void seal_files(void)
{
    char path[160];
    mf__connection *c;
    snprintf(path, sizeof path, "%s/cache.db", folder);
    ok(mf__connection_open(path, MF__CREATE, &c));
    ok(mf__seal_files(c));
    mf__connection_close(c);
}

/* Makes the table say that a file was hashed long after its last change, with `digest`. */
static void pretend(const char *name, const char *digest)
{
    char path[160], sql[600];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/cache.db", folder);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    snprintf(sql, sizeof sql,
             "UPDATE file SET digest = x'%s', hashed = max(mtime, ctime) + 2000000001"
             " WHERE path LIKE '%%/%s'",
             digest, name);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_changes(db), 1);
    sqlite3_close(db);
    seal_files();
}

START_TEST(file_is_read_again_only_when_it_may_have_changed)
{
    static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    char mark[MF_HEX_SIZE], hex[MF_HEX_SIZE];
    int64_t now = (int64_t)time(NULL);
    mf_store *store = open_store(MF_STORE_WRITE);
    key_of("what only the table knows", mark);
    write_file("scan", "abc", now - 100);
    digest_of(store, "scan", hex);
    ck_assert_str_eq(hex, abc);
    pretend("scan", mark);
    digest_of(store, "scan", hex); /* not read: the table's word is taken */
    ck_assert_str_eq(hex, mark);
    write_file("scan", "abd", now - 99); /* same size and inode, other mtime */
    digest_of(store, "scan", hex);
    ck_assert_str_eq(hex, "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9");
    pretend("scan", mark);
    write_file("scan", "abc", now - 99); /* all the same but ctime */
    digest_of(store, "scan", hex);
    ck_assert_str_eq(hex, abc);
    /* Hashed less than 2 s after its last change (ctime is now): not trusted. */
    char sql[200], path[160];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/cache.db", folder);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    snprintf(sql, sizeof sql, "UPDATE file SET digest = x'%s', hashed = ctime + 1000", mark);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    seal_files();
    digest_of(store, "scan", hex);
    ck_assert_str_eq(hex, abc);
    mf_store_close(store);
    /* A reader remembers nothing, but uses what is there. */
    pretend("scan", mark);
    store = open_store(MF_STORE_READ);
    digest_of(store, "scan", hex);
    ck_assert_str_eq(hex, mark);
    mf_store_close(store);
}
END_TEST

START_TEST(folder_is_its_files_names_and_contents)
{
    char first[MF_HEX_SIZE], other[MF_HEX_SIZE], path[160], inner[176];
    int64_t now = (int64_t)time(NULL);
    mf_store *store = open_store(MF_STORE_WRITE);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, i ? "b" : "a");
        snprintf(inner, sizeof inner, "%s/in", path);
        ck_assert_int_eq(mkdir(path, 0777), 0);
        ck_assert_int_eq(mkdir(inner, 0777), 0);
    }
    write_file("a/1.dcm", "one", now);
    write_file("a/in/2.dcm", "two", now);
    write_file("b/in/2.dcm", "two", now - 1000);
    write_file("b/1.dcm", "one", now - 1000);
    digest_of(store, "a", first);
    digest_of(store, "b", other);
    ck_assert_str_eq(first, other);
    write_file("b/in/2.dcm", "too", now - 1000);
    digest_of(store, "b", other);
    ck_assert_str_ne(first, other);
    write_file("b/in/2.dcm", "two", now - 1000);
    write_file("b/3.dcm", "", now - 1000);
    digest_of(store, "b", other);
    ck_assert_str_ne(first, other);
    snprintf(path, sizeof path, "%s/a/in/loop", folder);
    ck_assert_int_eq(symlink("..", path), 0);
    snprintf(inner, sizeof inner, "%s/a", folder);
    mf_status status = mf_store_file(store, inner, other);
    ck_assert_ptr_nonnull(status);
    ck_assert_ptr_nonnull(
        strstr(mf_error_message(status), "is nested more than 64 deep: a link in a circle?"));
    mf_error_free(status);
    snprintf(path, sizeof path, "%s/pipe", folder);
    ck_assert_int_eq(mkfifo(path, 0666), 0);
    fails_like(mf_store_file(store, path, other),
               "%s: is a pipe, not a file\n"
               "  write the bytes to a file, and name that",
               path);
    fails_like(mf_store_file(store, "/nowhere/scan.nii", other),
               "cannot read '/nowhere/scan.nii': No such file or directory");
    mf_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_actions");
    TCase *tests = tcase_create("store_actions");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_folder, delete_folder);
    tcase_add_test(tests, action_comes_back_with_its_outputs_in_order);
    tcase_add_test(tests, newest_action_of_a_key_is_found_and_each_device_kept);
    tcase_add_test(tests, action_is_refused_without_its_outputs_and_leaves_nothing);
    tcase_add_test(tests, what_threads_record_is_found);
    tcase_add_test(tests, held_look_ups_see_one_state);
    tcase_add_test(tests, runs_keep_nodes_and_the_actions_of_a_node);
    tcase_add_test(tests, file_is_read_again_only_when_it_may_have_changed);
    tcase_add_test(tests, folder_is_its_files_names_and_contents);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
