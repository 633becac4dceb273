/* test_yaml.c - the YAML tree: places, quoting, what is refused; and that no damaged text crashes.
 */
#include "../run_suite.h"
#include "graph_fixture.h"

#include "graph/text/yaml.h"

static mf_arena *arena;
static mf_diagnostics *d;

static void setup(void)
{
    arena = mf_arena_new();
    ok(mf_diagnostics_new(&d));
}

static void teardown(void)
{
    mf_arena_free(arena);
    mf_diagnostics_free(d);
}

static yaml *read_text(const char *text)
{
    return mf_yaml_read(arena, mf_source_of(arena, "t.yaml", "/", text), d);
}

static void refused(const char *text, const char *expected)
{
    mf_diagnostics *own = d;
    ok(mf_diagnostics_new(&d));
    ck_assert_ptr_null(read_text(text));
    char *messages = mf_diagnostics_text(d);
    ck_assert_str_eq(messages, expected);
    free(messages);
    mf_diagnostics_free(d);
    d = own;
}

static void is_scalar(const yaml *node, const char *text, bool quoted, int line, int column,
                      int width)
{
    ck_assert_int_eq(node->kind, YAML_SCALAR);
    ck_assert_str_eq(node->text, text);
    ck_assert_int_eq(node->quoted, quoted);
    ck_assert_int_eq(node->line, line);
    ck_assert_int_eq(node->column, column);
    ck_assert_int_eq(node->width, width);
}

START_TEST(every_node_keeps_its_place)
{
    yaml *root = read_text("# first\n"
                           "a: no\n"
                           "b: [1e-4, \"x y\",\n"
                           "    'it''s']\n"
                           "c:\n"
                           "  - {d: 012}\n"
                           "  -\n"
                           "e: |\n"
                           "  two\n"
                           "  lines\n");
    ck_assert_ptr_nonnull(root);
    ck_assert_int_eq(root->kind, YAML_MAP);
    ck_assert_uint_eq(root->count, 4);
    yaml *key;
    is_scalar(mf_yaml_get(root, "a", &key), "no", false, 2, 4, 2);
    is_scalar(key, "a", false, 2, 1, 1);
    yaml *b = mf_yaml_get(root, "b", NULL);
    ck_assert_int_eq(b->kind, YAML_LIST);
    ck_assert_uint_eq(b->count, 3);
    is_scalar(b->items[0], "1e-4", false, 3, 5, 4);
    is_scalar(b->items[1], "x y", true, 3, 11, 5);
    is_scalar(b->items[2], "it's", true, 4, 5, 7);
    yaml *c = mf_yaml_get(root, "c", NULL);
    is_scalar(mf_yaml_get(c->items[0], "d", NULL), "012", false, 6, 9, 3);
    ck_assert(mf_yaml_empty(c->items[1]));
    ck_assert_str_eq(mf_yaml_get(root, "e", NULL)->text, "two\nlines\n");
    ck_assert_ptr_null(mf_yaml_get(root, "f", NULL));
}
END_TEST

START_TEST(columns_count_characters)
{
    yaml *root = read_text("größe: [\"µm\", x]\r\nb: y\r\n");
    ck_assert_ptr_nonnull(root);
    is_scalar(mf_yaml_get(root, "größe", NULL)->items[1], "x", false, 1, 15, 1);
    is_scalar(mf_yaml_get(root, "b", NULL), "y", false, 2, 4, 1);
    mf_place place = mf_yaml_place(mf_yaml_get(root, "größe", NULL)->items[1]);
    mf_diagnostics_error(d, &place, "here");
    char *text = mf_diagnostics_text(d);
    ck_assert_str_eq(text, "t.yaml:1:15: error: here\n"
                           "    1 | größe: [\"µm\", x]\n"
                           "      |               ^\n");
    free(text);
}
END_TEST

START_TEST(places_inside_a_scalar)
{
    yaml *root = read_text("plain: scan[st=1]\n"
                           "quoted: \"scan[st=1]\"\n"
                           "escaped: \"sc\\x61n\"\n");
    ck_assert_ptr_nonnull(root);
    mf_place plain = mf_yaml_place_in(mf_yaml_get(root, "plain", NULL), 5, 2);
    ck_assert_int_eq(plain.column, 13);
    ck_assert_int_eq(plain.width, 2);
    ck_assert_int_eq(mf_yaml_place_in(mf_yaml_get(root, "quoted", NULL), 5, 2).column, 15);
    ck_assert_int_eq(mf_yaml_place_in(mf_yaml_get(root, "escaped", NULL), 1, 1).column, 10);
}
END_TEST

START_TEST(a_byte_order_mark_is_skipped)
{
    yaml *root = read_text("\xef\xbb\xbf"
                           "a: 1\n");
    ck_assert_ptr_nonnull(root);
    ck_assert_str_eq(mf_yaml_get(root, "a", NULL)->text, "1");
}
END_TEST

START_TEST(a_long_line_is_shown_in_part)
{
    mf_text t = {0};
    mf_text_add(&t, "{a: [");
    for (int i = 0; i < 100; i++)
        mf_text_add(&t, "%d, ", 100 + i);
    mf_text_add(&t, "x], a: 1, b: [");
    for (int i = 0; i < 100; i++)
        mf_text_add(&t, "%d, ", 100 + i);
    mf_text_add(&t, "]}");
    refused(t.data,
            "t.yaml:1:510: error: 'a' is given twice\n"
            "    1 | ... 189, 190, 191, 192, 193, 194, 195, 196, 197, 198, 199, x], a: 1, b: "
            "[100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, "
            "116, 117, ...\n"
            "      |                                                                ^\n"
            "  first in line 1\n");
    free(t.data);
}
END_TEST

START_TEST(refused_texts)
{
    refused("", "t.yaml: error: the file is empty\n");
    refused("a: \xc3(\n", "t.yaml:1:4: error: byte 0xc3 is not UTF-8\n");
    refused("a: \xed\xa0\x80\n", "t.yaml:1:4: error: byte 0xed is not UTF-8\n"); /* a surrogate */
    refused("a: 1\nb: \xff\xfe\n", "t.yaml:2:4: error: byte 0xff is not UTF-8\n");
    refused("a: \x01\n", "t.yaml:1:4: error: control character 0x01\n");
    refused("a: 1\nb: 2\na: 3\nb: 4\n", "t.yaml:3:1: error: 'a' is given twice\n"
                                        "    3 | a: 3\n"
                                        "      | ^\n"
                                        "  first in line 1\n"
                                        "t.yaml:4:1: error: 'b' is given twice\n"
                                        "    4 | b: 4\n"
                                        "      | ^\n"
                                        "  first in line 2\n");
    refused("a: {b: 1, b: 2}\n", "t.yaml:1:11: error: 'b' is given twice\n"
                                 "    1 | a: {b: 1, b: 2}\n"
                                 "      |           ^\n"
                                 "  first in line 1\n");
    refused("? [a]\n: b\n", "t.yaml:1:3: error: a key must be one word\n"
                            "    1 | ? [a]\n"
                            "      |   ^\n");
    refused("a: &x 1\n", "t.yaml:1:4: error: an anchor; graph files have none (text that begins "
                         "with '&' must stand in quotes)\n"
                         "    1 | a: &x 1\n"
                         "      |    ^\n");
    refused("<<: *x\n", "t.yaml:1:5: error: an alias; graph files have none (text that begins "
                        "with '*' must stand in quotes)\n"
                        "    1 | <<: *x\n"
                        "      |     ^\n");
    refused("a: \"\\0\"\n", "t.yaml:1:4: error: a NUL character in text\n"
                            "    1 | a: \"\\0\"\n"
                            "      |    ^~~~\n");
    refused("a: 1\n...\nb: 1\n", "t.yaml:3:1: error: not YAML: did not find expected <document "
                                 "start>\n"
                                 "    3 | b: 1\n"
                                 "      | ^\n");
    refused("%YAML 1.1\n---\na: 1\n---\nb: 1\n",
            "t.yaml:4:1: error: a second document; a graph file is one\n"
            "    4 | ---\n"
            "      | ^\n");
}
END_TEST

/* Thirty-two levels are read, thirty-three are not, and a million neither take time nor stack. */
START_TEST(deep_nesting)
{
    char *text = malloc(2000001);
    for (int depth = 32; depth <= 33; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = 0;
        ck_assert_int_eq(read_text(text) != NULL, depth == 32);
    }
    memset(text, '[', 2000000);
    text[2000000] = 0;
    ck_assert_ptr_null(read_text(text));
    memset(text, '{', 2000000);
    ck_assert_ptr_null(read_text(text));
    for (int i = 0; i < 1000000; i++)
        memcpy(text + 2 * i, "- ", 2);
    ck_assert_ptr_null(read_text(text));
    ck_assert_uint_eq(mf_diagnostics_errors(d), 4);
    free(text);
}
END_TEST

/* ---- damaged graphs: each is refused in words or loaded, never more ----------------------------
 */

static const char graph[] =
    "massflow: 1\n"
    "params: {n: 3, s: [1, 1, 1]}\n"
    "cases:\n"
    "  - {glob: \"scans/{id}.nii.gz\", set: x}\n"
    "  - {count: 2}\n"
    "stages:\n"
    "  scan: {use: toy.load, each: case, where: {set: x}, with: {path: \"${case.path}\"}}\n"
    "  m: {use: toy.masks, each: case, where: {set: x}, in: {volume: scan}, with: {interval: "
    "\"${n}\"}}\n"
    "  v: {use: toy.views, in: {volumes: [\"scan[set=x]\"], masks: \"m[*]\"}}\n"
    "  t: {use: toy.train, in: {views: v.views}, with: {steps: 1}}\n"
    "export: {t.metrics: \"o.csv\"}\n";

static void try_graph(const char *text)
{
    char *messages;
    write_file("g.yaml", text);
    mf_graph *g = load(NULL, 0, &messages);
    if (!g)
        ck_assert_ptr_nonnull(strstr(messages, "error: "));
    free(messages);
    if (!g)
        return;
    free(mf_graph_text(g));
    mf_graph_free(g);
}

START_TEST(damaged_graphs)
{
    static const char marks[] = "{}[]:,\"'$&*!|#-\t\n \xff=.1";
    char text[sizeof graph + 1];
    size_t length = sizeof graph - 1;
    try_graph(graph);
    for (size_t i = 0; i < length; i++) {
        memcpy(text, graph, sizeof graph);
        text[i] = 0; /* cut off here */
        try_graph(text);
        text[i] = marks[i % (sizeof marks - 1)]; /* another character */
        try_graph(text);
        memmove(text + i, graph + i + 1, length - i); /* one character missing */
        try_graph(text);
        memcpy(text, graph, i); /* one more */
        text[i] = marks[(i * 7) % (sizeof marks - 1)];
        memcpy(text + i + 1, graph + i, length - i + 1);
        try_graph(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("yaml");
    TCase *tree = tcase_create("tree"), *damaged = tcase_create("damaged");
    tcase_add_checked_fixture(tree, setup, teardown);
    tcase_add_test(tree, every_node_keeps_its_place);
    tcase_add_test(tree, columns_count_characters);
    tcase_add_test(tree, places_inside_a_scalar);
    tcase_add_test(tree, a_byte_order_mark_is_skipped);
    tcase_add_test(tree, a_long_line_is_shown_in_part);
    tcase_add_test(tree, refused_texts);
    tcase_add_test(tree, deep_nesting);
    tcase_add_checked_fixture(damaged, enter_scratch, leave_scratch);
    tcase_set_timeout(damaged, 300);
    tcase_add_test(damaged, damaged_graphs);
    suite_add_tcase(suite, tree);
    suite_add_tcase(suite, damaged);
    return run_suite(suite);
}
