/* test_older.c - a plugin that was built with the headers of stage interface 1.1 works. */
#include "../plugins/layouts.h"
#include "../run_suite.h"
#include "graph_fixture.h"
#include "run/schedule/run.h"

typedef struct plugin_text {
    const char *made;
} plugin_text;

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
    ck_assert_ptr_null(mf_registry_source_at(toys, 4)); /* its record ends before them */
    leave_scratch();
}
END_TEST

static mf_status read_nothing(mf_cases *cases, const void *params)
{
    (void)cases, (void)params;
    return MF_OK;
}

/* A record of 1.3 and one of today whose sources have another layout. */
START_TEST(records_without_sources_are_not_read_past_their_end)
{
    static const mf_param table[] = {MF_TEXT(plugin_text, made, NULL, "Text."), MF_END};
    static const mf_case_source made = {.name = "made",
                                        .summary = "Made.",
                                        .params = table,
                                        .params_size = sizeof(plugin_text),
                                        .read = read_nothing};
    static const mf_case_source *const sources[] = {&made, NULL};
    mf_plugin plugin = {.abi_major = 1,
                        .abi_minor = 3,
                        .stage_size = offsetof(mf_stage, saves),
                        .param_size = sizeof(mf_param),
                        .port_size = sizeof(mf_port),
                        .type_size = sizeof(mf_type),
                        .name = "made",
                        .source_size = 1,
                        .sources = sources};
    char expected[300];

    enter_scratch();
    ok(mf_registry_add(toys, &plugin, "made.so"));
    ck_assert_ptr_null(mf_registry_source(toys, "made"));
    plugin.abi_minor = MF_ABI_MINOR;
    plugin.stage_size = sizeof(mf_stage);
    snprintf(expected, sizeof expected,
             "plugin made.so was built with another layout of mf_case_source: 1 bytes; stage "
             "interface 1.7 has %zu\n  build the plugin against the headers of this massflow",
             sizeof(mf_case_source));
    fails(mf_registry_add(toys, &plugin, "made.so"), expected);
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
    tcase_add_test(c, records_without_sources_are_not_read_past_their_end);
    tcase_add_test(c, it_runs);
    suite_add_tcase(suite, c);
    return run_suite_as(suite, CK_NOFORK); /* an OpenCL driver does not survive a fork */
}
