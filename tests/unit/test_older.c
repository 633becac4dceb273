/* test_older.c - a plugin that was built with the headers of stage interface 1.1 works. */
#include "../plugins/layouts.h"
#include "../run_suite.h"
#include "graph_fixture.h"
#include "run/schedule/run.h"

static mf_plan *plan_of(mf_graph *g, mf_store *store)
{
    const bool asked[] = {true, true};
    mf_plan_options options = {0};
    mf_plan *plan;

    ck_assert_uint_eq(mf_graph_node_count(g), 2);
    ok(mf_plan_new(g, store, asked, &options, &plan));
    return plan;
}

static mf_artifact *output(mf_plan *plan, mf_store *store, size_t node, size_t port)
{
    mf_artifact *a;

    ok(mf_store_get(store, mf_plan_at(plan, node)->outputs[port].id, &a));
    return a;
}

static void load_older(void)
{
    char path[400];
    const char *const files[] = {path};

    snprintf(path, sizeof path, "%s/older.so", getenv("TEST_PLUGINS"));
    ok(mf_registry_load(toys, files, 1));
}

/* Two times three in each voxel, by a launch; a type of its own, and its writer. */
START_TEST(it_runs)
{
    mf_run_options options = {.jobs = 1};
    mf_run_result result;
    mf_store *store;
    mf_host *host;
    mf_array *voxels;

    enter_scratch();
    load_older();
    write_file("file", "read by nobody");
    mf_graph *g =
        load_text("massflow: 1\n"
                  "stages:\n"
                  "  make: {use: older.make, with: {size: [4, 5, 6]}}\n"
                  "  scale: {use: older.scale, in: {volume: make}, with: {path: file}}\n");
    ok(mf_store_open("store", MF_STORE_WRITE, &store));
    mf_plan *plan = plan_of(g, store);
    ok(mf_host_new(store, toys, "cpu", &host));
    const mf_executor executor = mf_host_executor(host);
    ok(mf_run(plan, &executor, &options, &result));
    ck_assert_uint_eq(result.counts.done, 2);
    mf_artifact *volume = output(plan, store, 1, 0), *note = output(plan, store, 1, 1);
    ok(mf_artifact_array(volume, "voxels", &voxels));
    ck_assert_int_eq(mf_array_count(voxels), 120);
    for (int i = 0; i < 120; i++)
        ck_assert(((float *)voxels->data)[i] == 6);
    mf_array_unref(voxels);
    ck_assert_str_eq(mf_artifact_text(note, "text"), "times 3");
    const mf_type *writer = mf_registry_writer(toys, "note", "a.note");
    ck_assert_ptr_nonnull(writer);
    ok(writer->write(note, "a.note"));
    mf_artifact_unref(volume);
    mf_artifact_unref(note);
    mf_host_free(host);
    mf_plan_free(plan);
    mf_store_close(store);
    mf_graph_free(g);
    leave_scratch();
}
END_TEST

START_TEST(what_was_appended_since_is_not_there)
{
    enter_scratch();
    load_older();
    const mf_stage *s = mf_registry_stage(toys, "older.scale");
    ck_assert_ptr_nonnull(s);
    ck_assert_ptr_null(s->parts);
    ck_assert_ptr_null(mf_registry_type(toys, "note")->check);
    ck_assert_ptr_null(mf_registry_checker(toys, "note", 0));
    char *text = mf_stage_describe(toys, s);
    ck_assert_ptr_nonnull(strstr(text, "Times this."));
    free(text);
    leave_scratch();
}
END_TEST

/* Structs that plugins allocate stay as they are within a major version. */
START_TEST(layouts_are_those_of_the_first_headers)
{
    size_t i = 0;

    for (; layouts_1_1[i].name; i++) {
        ck_assert_str_eq(layouts_now[i].name, layouts_1_1[i].name);
        ck_assert_msg(layouts_now[i].bytes == layouts_1_1[i].bytes, "%s is %zu, was %zu",
                      layouts_1_1[i].name, layouts_now[i].bytes, layouts_1_1[i].bytes);
    }
    ck_assert_ptr_null(layouts_now[i].name);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("older");
    TCase *c = tcase_create("older");
    tcase_set_timeout(c, 0);
    tcase_add_test(c, layouts_are_those_of_the_first_headers);
    tcase_add_test(c, what_was_appended_since_is_not_there);
    tcase_add_test(c, it_runs);
    suite_add_tcase(suite, c);
    return run_suite_as(suite, CK_NOFORK); /* an OpenCL driver does not survive a fork */
}
