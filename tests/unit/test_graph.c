/* test_graph.c - graph files: every error text (graph_errors.txt), parameters that are set. */
#include "../run_suite.h"
#include "graph_fixture.h"

/* ---- errors: blocks "== name", a graph, perhaps "-- file NAME" and what is in it, "-- expected",
 * the messages -----------------------------------------------------------------------------------
 */

#define MOST_BLOCKS 200

typedef struct block {
    char *name, *graph, *expected;
} block;

static block blocks[MOST_BLOCKS];
static int block_count;

/* Cuts `text` at the first `mark`; gives what follows it. */
static char *cut(char *text, const char *mark)
{
    char *at = strstr(text, mark);
    if (!at)
        return NULL;
    *at = 0;
    return at + strlen(mark);
}

static void read_blocks(void)
{
    const char *path = getenv("GRAPH_ERRORS");
    FILE *file = path ? fopen(path, "r") : NULL;
    mf_text text = {0};
    char buffer[4096];
    size_t got;
    if (!file) {
        fprintf(stderr, "GRAPH_ERRORS must name graph_errors.txt\n");
        exit(1);
    }
    while ((got = fread(buffer, 1, sizeof buffer, file)) > 0)
        mf_text_add_n(&text, buffer, got);
    fclose(file);
    char *at = cut(mf_text_take(&text), "== "); /* kept to the end of the program */
    while (at && block_count < MOST_BLOCKS) {
        block *b = &blocks[block_count++];
        b->name = at;
        /* The mark of the next block begins a line; its newline stays with the messages. */
        char *next = strstr(at, "\n== ");
        if (next) {
            memmove(next + 2, next + 4, strlen(next + 4) + 1);
            next[1] = 0;
            at = next + 2;
        } else {
            at = NULL;
        }
        b->graph = cut(b->name, "\n");
        b->expected = cut(b->graph, "-- expected\n");
    }
    if (at) {
        fprintf(stderr, "%s has more than %d blocks\n", path, MOST_BLOCKS);
        exit(1);
    }
}

START_TEST(error_texts)
{
    const block *b = &blocks[_i];
    char *messages;
    write_file("bad.csv", "name,set\nx,y\n");
    write_file("short.csv", "id,set\na,train\nb\n");
    write_file("quote.csv", "id,set\na,\"train\n");
    write_file("empty.csv", "");
    write_file("latin.csv", "id;note\na;M\xfcller\n");
    char *more = cut(b->graph, "-- file ");
    write_file("g.yaml", b->graph);
    while (more) {
        char *text = cut(more, "\n"), *next = cut(text, "-- file ");
        write_below(more, text);
        more = next;
    }
    load_sources(b->graph);
    mf_graph *g = load(NULL, 0, &messages);
    ck_assert_msg(!strcmp(messages, b->expected), "%s: got\n%s\nexpected\n%s", b->name, messages,
                  b->expected);
    mf_graph_free(g);
    free(messages);
}
END_TEST

/* ---- --set -------------------------------------------------------------------------------------
 */

static const char with_params[] =
    "massflow: 1\n"
    "params:\n"
    "  data: scans/*.nii.gz\n"
    "  interval: 30\n"
    "  spacing: [1, 1, 2]\n"
    "cases: {glob: \"${data}\"}\n"
    "stages:\n"
    "  scan: {use: toy.load, each: case, with: {path: \"${case.path}\"}}\n"
    "  masks:\n"
    "    use: toy.masks\n"
    "    each: case\n"
    "    in: {volume: scan}\n"
    "    with: {interval: \"${interval}\", spacing: \"${spacing}\",\n"
    "           title: \"$${x} every ${interval}\"}\n";

START_TEST(settings_replace_parameters)
{
    const mf_setting settings[] = {
        {"data", "../more/*/t1.nii.gz"}, {"interval", "7"}, {"spacing", "[2, 2.5, 1e0]"}};
    char *messages;
    ck_assert_int_eq(mkdir("graphs", 0700), 0);
    ck_assert_int_eq(chdir("graphs"), 0); /* --set is relative to here, the file to itself */
    write_file("g.yaml", with_params);
    mf_graph *g = load(settings, 3, &messages);
    ck_assert_str_eq(messages, "");
    ck_assert_uint_eq(mf_graph_case_count(g), 1);
    ck_assert_str_eq(mf_graph_case(g, 0)->id, "t1");
    ck_assert_str_eq(mf_params_json(mf_graph_node(g, 1)->params),
                     "{\"fast\":false,\"grid\":[8,8,8],\"interval\":7,\"sigma\":0.0001,"
                     "\"sizes\":[200,800],\"spacing\":[2,2.5,1],\"title\":\"${x} every 7\","
                     "\"weights\":[]}");
    free(messages);
    mf_graph_free(g);
}
END_TEST

static void check_setting(const char *name, const char *value, const char *expected)
{
    const mf_setting setting = {name, value};
    char *messages;
    write_file("g.yaml", with_params);
    mf_graph *g = load(&setting, 1, &messages);
    ck_assert_ptr_null(g);
    ck_assert_str_eq(messages, expected);
    free(messages);
}

START_TEST(settings_that_are_wrong)
{
    check_setting("intervall", "7",
                  "--set intervall=7: error: g.yaml has no parameter 'intervall'; did you mean "
                  "'interval'?\n"
                  "  its parameters: data, interval, spacing\n");
    check_setting("interval", "seven",
                  "g.yaml:13:22: error: toy.masks: 'interval' is 'seven', which is not an integer\n"
                  "   13 |     with: {interval: \"${interval}\", spacing: \"${spacing}\",\n"
                  "      |                      ^~~~~~~~~~~~~\n"
                  "  'interval' is given by --set interval=seven\n"
                  "  interval: Slices between seeds.   (massflow describe toy.masks)\n");
    check_setting("spacing", "[1, {a: 2}]",
                  "--set spacing=[1, {a: 2}]:1:5: error: a list in a list\n"
                  "    1 | [1, {a: 2}]\n"
                  "      |     ^\n");
    check_setting("interval", "${data}",
                  "--set interval=${data}: error: parameters cannot refer to each other\n");
    check_setting("interval", "\xff", "--set interval=\xff:1:1: error: byte 0xff is not UTF-8\n");
    check_setting("data", "none/*.nii.gz",
                  "g.yaml:6:15: error: no file matches 'DIR/none/*.nii.gz'\n"
                  "    6 | cases: {glob: \"${data}\"}\n"
                  "      |               ^~~~~~~~~\n"
                  "  'data' is given by --set data=none/*.nii.gz\n");
}
END_TEST

START_TEST(a_file_that_can_not_be_read_is_a_status)
{
    mf_diagnostics *d;
    mf_graph *g;
    ok(mf_diagnostics_new(&d));
    fails(mf_graph_load("none.yaml", toys, NULL, 0, d, &g),
          "cannot read none.yaml: No such file or directory");
    fails(mf_graph_load("scans", toys, NULL, 0, d, &g),
          "cannot read scans: is a folder, not a file");
    write_file("large.yaml", "massflow: 1\n");
    ck_assert_int_eq(truncate("large.yaml", (64 << 20) + 1), 0);
    fails(mf_graph_load("large.yaml", toys, NULL, 0, d, &g), "large.yaml is larger than 64 MiB");
    ck_assert_ptr_null(g);
    mf_diagnostics_free(d);
}
END_TEST

int main(void)
{
    read_blocks();
    Suite *suite = suite_create("graph");
    TCase *tests = tcase_create("graph");
    tcase_add_checked_fixture(tests, enter_scratch, leave_scratch);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, error_texts, 0, block_count);
    tcase_add_test(tests, settings_replace_parameters);
    tcase_add_test(tests, settings_that_are_wrong);
    tcase_add_test(tests, a_file_that_can_not_be_read_is_a_status);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
