/* test_embed.c - a program that embeds massflow: it is linked with the library, and knows the
 * public headers alone. */
#include "../expect.h"
#include "../run_suite.h"

#include <massflow/embed.h>

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/massflow-embed-XXXXXX";

static int drop(const char *path, const struct stat *about, int kind, struct FTW *walk)
{
    (void)about, (void)kind, (void)walk;
    return remove(path);
}

static void enter(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    setenv("XDG_STATE_HOME", folder, 1);
}

static void leave(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS);
}

static mf_workspace *open_text(const char *text, const mf_workspace_options *options)
{
    mf_workspace *w;
    FILE *file = fopen("g.yaml", "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    ok(mf_workspace_open("g.yaml", options, NULL, &w));
    return w;
}

#define PHANTOMS                                                                                   \
    "massflow: 1\n"                                                                                \
    "params: {seed: 1}\n"                                                                          \
    "cases: {count: 2}\n"                                                                          \
    "stages:\n"                                                                                    \
    "  patient:\n"                                                                                 \
    "    use: phantom.volume\n"                                                                    \
    "    each: case\n"                                                                             \
    "    with: {size: [16, 18, 20], seed: \"${seed}\"}\n"                                          \
    "  crop:\n"                                                                                    \
    "    use: volume.crop\n"                                                                       \
    "    each: case\n"                                                                             \
    "    in: {volume: patient.volume, region: patient.labels}\n"                                   \
    "    with: {margin: [0, 0, 0]}\n"                                                              \
    "export:\n"                                                                                    \
    "  patient.volume: \"out/${case.id}.npy\"\n"

/* ---- graphs ---------------------------------------------------------------------------------- */

START_TEST(a_wrong_graph_is_one_error_with_places)
{
    mf_workspace *w;
    FILE *file = fopen("wrong.yaml", "w");

    fputs("massflow: 1\nstages:\n  a: {use: phantom.volume, with: {organs: 99}}\n"
          "  b: {use: body.mask}\n",
          file);
    fclose(file);
    fails(mf_workspace_open("wrong.yaml", NULL, NULL, &w),
          "wrong.yaml:3:43: error: phantom.volume: 'organs' is 99; it must be 1 to 14\n"
          "    3 |   a: {use: phantom.volume, with: {organs: 99}}\n"
          "      |                                           ^~\n"
          "  organs: Number of organs, in the order of the list above.   (massflow describe "
          "phantom.volume)\n"
          "wrong.yaml:4:3: error: body.mask: nothing is connected to port 'volume'\n"
          "    4 |   b: {use: body.mask}\n"
          "      |   ^\n"
          "  input volume of body.mask is volume: The scan.");
    ck_assert_ptr_null(w);
    fails(mf_workspace_open("nowhere.yaml", NULL, NULL, &w),
          "cannot read nowhere.yaml: No such file or directory");
}
END_TEST

START_TEST(a_graph_says_what_it_has)
{
    mf_workspace *w = open_text(PHANTOMS, NULL);
    mf_workspace_stage stage;
    const char *type;

    ck_assert_uint_eq(mf_workspace_stage_count(w), 2);
    mf_workspace_stage_at(w, 0, &stage);
    ck_assert_str_eq(stage.name, "patient");
    ck_assert_str_eq(stage.use, "phantom.volume");
    ck_assert_uint_eq(stage.count, 2);
    ck_assert_uint_eq(mf_workspace_node_count(w), 4);
    ck_assert_str_eq(mf_workspace_node(w, 1), "patient[case=001]");
    ck_assert_str_eq(mf_workspace_output(w, 1, 0, &type), "volume");
    ck_assert_str_eq(type, "volume");
    ck_assert_ptr_null(mf_workspace_output(w, 1, 9, &type));
    ck_assert_uint_eq(mf_workspace_case_count(w), 2);
    ck_assert_str_eq(mf_workspace_case(w, 1), "001");
    char *json;
    ok(mf_workspace_node_params_json(w, 1, &json));
    ck_assert_ptr_nonnull(strstr(json, "\"seed\":1,\"size\":[16,18,20],"));
    ck_assert_ptr_nonnull(strstr(json, "\"modality\":\"ct\"")); /* that the file leaves out */
    free(json);
    ck_assert_int_ne(access(".massflow", F_OK), 0);
    mf_workspace_close(w);
}
END_TEST

/* ---- plans and runs -------------------------------------------------------------------------- */

static size_t planned(mf_workspace *w, mf_stands stands, const char *why)
{
    mf_forecast *f;
    char *text;

    ok(mf_workspace_plan(w, NULL, &f));
    size_t count = mf_forecast_count(f, stands);
    if (why) {
        ok(mf_forecast_why(f, 0, false, &text));
        ck_assert_str_eq(text, why);
        free(text);
    }
    mf_forecast_free(f);
    return count;
}

/* What was told, each kind once. */
static void note(void *self, const mf_workspace_event *event)
{
    char *kinds = self;

    if (strcmp(event->kind, "tick") && !strstr(kinds, event->kind))
        strcat(strcat(kinds, event->kind), " ");
}

START_TEST(a_graph_is_planned_run_and_read)
{
    mf_workspace *w = open_text(PHANTOMS, NULL);
    char kinds[256] = "";
    mf_workspace_run_options options = {.watch = note, .self = kinds};
    mf_workspace_result result;
    mf_artifact *a;
    mf_array_info info;
    mf_array *array;
    int16_t box[2 * 3 * 4];

    ck_assert_uint_eq(planned(w, MF_STANDS_TO_RUN, "never run"), 2);
    ck_assert_uint_eq(planned(w, MF_STANDS_UNDECIDED, NULL), 2);
    fails(mf_workspace_artifact(w, "patient[case=000].volume", &a),
          "patient[case=000] is not in the cache\n"
          "  run the graph first, or this target alone: 'patient[case=000]'");
    ck_assert_ptr_null(a);
    ok(mf_workspace_run(w, NULL, &options, &result));
    ck_assert_uint_eq(result.counts.done, 4);
    ck_assert_uint_eq(result.exports_failed, 0);
    ck_assert(!result.cancelled);
    ck_assert_str_eq(kinds, "planned started done export ");
    ck_assert_int_eq(access("out/001.npy", F_OK), 0);
    ck_assert_uint_eq(planned(w, MF_STANDS_CACHED, NULL), 4);
    ok(mf_workspace_run(w, NULL, NULL, &result));
    ck_assert_uint_eq(result.counts.cached, 4);

    fails(mf_workspace_artifact(w, "patient", &a),
          "'patient' names 2 nodes; take one of them: 'patient[case=000]', 'patient[case=001]'");
    ok(mf_workspace_artifact(w, "patient[case=001].volume", &a));
    mf_workspace_close(w); /* the artifact stays readable */
    ck_assert_str_eq(mf_artifact_type(a), "volume");
    ck_assert(mf_artifact_find(a, "voxels", &info));
    ck_assert_int_eq(info.dtype, MF_I16);
    ck_assert_int_eq(info.shape[0], 20);
    ck_assert_int_eq(info.shape[2], 16);
    ok(mf_artifact_array(a, "voxels", &array));
    ok(mf_artifact_read_box(a, "voxels", (int64_t[]){1, 2, 3}, (int64_t[]){3, 5, 7}, box));
    const int16_t *voxels = array->data;
    for (int i = 0; i < 24; i++)
        ck_assert_int_eq(box[i], voxels[((1 + i / 12) * 18 + 2 + i / 4 % 3) * 16 + 3 + i % 4]);
    mf_artifact_unref(a);
    ck_assert_int_eq(array->data == voxels, 1);
    mf_array_unref(array);
}
END_TEST

START_TEST(a_changed_parameter_is_the_reason)
{
    mf_workspace *w = open_text(PHANTOMS, NULL);
    const mf_setting seed = {"seed", "2"};
    mf_workspace_result result;
    mf_forecast *f;
    char *text;

    ok(mf_workspace_run(w, NULL, NULL, &result));
    mf_workspace_close(w);
    w = open_text(PHANTOMS, &(mf_workspace_options){.settings = &seed, .setting_count = 1});
    const char *target = "patient[case=001]";
    ok(mf_workspace_plan(w, &(mf_workspace_ask){.targets = &target, .target_count = 1}, &f));
    ck_assert_int_eq(mf_forecast_node(f, 0), MF_STANDS_UNWANTED);
    ck_assert_int_eq(mf_forecast_node(f, 1), MF_STANDS_TO_RUN);
    ok(mf_forecast_why(f, 1, true, &text));
    ck_assert_str_eq(text, "patient[case=001]: to run\n  parameter seed: 1 -> 2\n");
    free(text);
    ck_assert_str_eq(mf_stands_text(MF_STANDS_TO_RUN), "to run");
    mf_forecast_free(f);
    mf_workspace_close(w);
}
END_TEST

/* ---- cancellation ---------------------------------------------------------------------------- */

#define SLEEPS                                                                                     \
    "massflow: 1\n"                                                                                \
    "stages:\n"                                                                                    \
    "  slow: {use: exec.run, with: {command: \"sh -c 'sleep 1000' {out.text}\"}}\n"                \
    "  later: {use: exec.run, in: {text: slow.text}, with: {command: \"cp {text} {out.text}\"}}\n"

static void *cancel(void *w)
{
    mf_workspace_result result;
    char expected[256];

    snprintf(expected, sizeof expected,
             "a run of %s is going on\n  wait for it, or open the graph once more",
             mf_workspace_path(w));
    fails(mf_workspace_run(w, NULL, NULL, &result), expected);
    mf_workspace_cancel(w);
    return NULL;
}

static void cancel_elsewhere(void *self, const mf_workspace_event *event)
{
    pthread_t thread;

    if (strcmp(event->kind, "started") != 0)
        return;
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel, self), 0);
    pthread_join(thread, NULL);
}

START_TEST(a_run_is_cancelled_from_another_thread)
{
    mf_workspace *w = open_text(SLEEPS, NULL);
    mf_workspace_run_options options = {.watch = cancel_elsewhere, .self = w};
    mf_workspace_result result;

    mf_workspace_cancel(w); /* nothing runs: does nothing */
    ok(mf_workspace_run(w, NULL, &options, &result));
    ck_assert(result.cancelled);
    ck_assert_uint_eq(result.counts.wanted, 2);
    ck_assert_uint_eq(result.counts.done + result.counts.failed, 0);
    ck_assert_uint_eq(planned(w, MF_STANDS_TO_RUN, NULL), 1);
    mf_workspace_close(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("embed");
    TCase *tests = tcase_create("embed");

    tcase_add_checked_fixture(tests, enter, leave);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_wrong_graph_is_one_error_with_places);
    tcase_add_test(tests, a_graph_says_what_it_has);
    tcase_add_test(tests, a_graph_is_planned_run_and_read);
    tcase_add_test(tests, a_changed_parameter_is_the_reason);
    tcase_add_test(tests, a_run_is_cancelled_from_another_thread);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
