/* test_run.c - keys compared in words, artifacts checked against their types, files as written. */
#include "../expect.h"
#include "../run_suite.h"
#include "base/artifact_source.h"
#include "run/artifact/check.h"
#include "run/artifact/sheet.h"
#include "run/artifact/write.h"
#include "run/plan/key.h"
#include "run/plan/why.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- keys ------------------------------------------------------------------------------------ */

typedef struct text_params {
    const char *text;
} text_params;

static const mf_param key_params[] = {MF_TEXT(text_params, text, "a \"b\" \\c", "A text."), MF_END};
static const mf_port key_in[] = {MF_PORT_MARKED("b", "text[]", "", MF_KEYED),
                                 MF_PORT("a", "text", ""), MF_END};
static const mf_port key_out[] = {MF_PORT("text", "text", ""), MF_END};
static const mf_stage key_stage = {.name = "key.stage",
                                   .version = 3,
                                   .random = true,
                                   .params = key_params,
                                   .params_size = sizeof(text_params),
                                   .in = key_in,
                                   .out = key_out};

/* A key holds for years: its text, to the letter, also where names are none that anybody expects.
 */
START_TEST(components_to_the_letter)
{
    const mf_axis_value axis = {"fold", "\x01\x1f"};
    mf_element elements[] = {{.id = "11", .case_id = "a\"b\\c\td", .axes = &axis, .axis_count = 1},
                             {.id = "22", .case_id = "\xc3\xa9\n", .axes = &axis, .axis_count = 0}};
    mf_element other = {.id = "33", .case_id = "unseen"};
    mf_feed feeds[] = {{.port = &key_in[0], .list = true, .count = 2, .elements = elements},
                       {.port = &key_in[1], .count = 1, .elements = &other}};
    const char *recipes[2] = {NULL, NULL};
    const mf_key_source source = {.by_version = true};
    mf_work work = {.stage = &key_stage, .case_id = "\"", .feed_count = 2, .feeds = feeds};
    mf_params *params;
    char *json;

    ok(mf_params_new(&key_stage, &params));
    ok(mf_params_finish(params));
    work.params = params;
    ok(mf_key_components(&work, recipes, &source, &json));
    ck_assert_str_eq(json, "{\"case\":\"\\\"\",\"code\":\"version 3\",\"format\":1,\"inputs\":"
                           "{\"a\":\"33\",\"b\":[{\"artifact\":\"11\",\"axes\":{\"fold\":"
                           "\"\\u0001\\u001f\"},\"case\":\"a\\\"b\\\\c\\u0009d\"},"
                           "{\"artifact\":\"22\",\"case\":\"\xc3\xa9\\u000a\"}]},"
                           "\"params\":{\"text\":\"a \\\"b\\\" \\\\c\"},\"stage\":\"key.stage\"}");
    free(json);
    mf_params_unref(params);
}
END_TEST

/* ---- why ------------------------------------------------------------------------------------- */

static void compare(const char *before, const char *after, const char *expected)
{
    mf_changes changes = {0};
    char text[1024] = "";

    ok(mf_changes_between(before, after, &changes));
    for (size_t i = 0; i < changes.count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s: %s -> %s\n",
                 changes.items[i].name, changes.items[i].before ? changes.items[i].before : "none",
                 changes.items[i].after ? changes.items[i].after : "none");
    ck_assert_str_eq(text, expected);
    mf_changes_clear(&changes);
}

START_TEST(parameters_are_named)
{
    compare("{\"stage\":\"a\",\"params\":{\"x\":1,\"y\":[1,2],\"z\":\"k\"}}",
            "{\"stage\":\"a\",\"params\":{\"x\":2.5,\"y\":[1,3],\"w\":true}}",
            "parameter x: 1 -> 2.5\nparameter y: [1,2] -> [1,3]\nparameter w: none -> true\n"
            "parameter z: k -> none\n");
}
END_TEST

START_TEST(nothing_changed)
{
    compare("{\"stage\":\"a\",\"code\":\"c\",\"inputs\":{\"v\":[\"1\"]}}",
            "{\"inputs\":{\"v\":[\"1\"]},\"code\":\"c\",\"stage\":\"a\"}", "");
}
END_TEST

START_TEST(inputs_are_named)
{
    compare("{\"format\":1,\"numerics\":\"a\"}", "{\"format\":2,\"numerics\":\"b\"}",
            "numerics: a -> b\nformat: 1 -> 2\n");
    compare("{\"code\":\"version 1\",\"inputs\":{\"v\":\"aa\",\"l\":[\"1\",\"2\"]}}",
            "{\"code\":\"version 2\",\"inputs\":{\"v\":\"bb\",\"l\":[\"1\",\"3\"]}}",
            "code: version 1 -> version 2\ninput v: aa -> bb\ninput l[1]: 2 -> 3\n");
    compare("{\"inputs\":{\"l\":[{\"artifact\":\"1\",\"case\":\"a\"}]}}",
            "{\"inputs\":{\"l\":[{\"artifact\":\"1\",\"case\":\"a\"},"
            "{\"artifact\":\"2\",\"case\":\"b\"}]}}",
            "elements of input l: 1 -> 2\ninput l[case=b]: none -> 2\n");
    compare("{\"inputs\":{\"l\":[\"1\"]}}", "{\"inputs\":{\"l\":[\"1\",\"2\"],\"m\":\"3\"}}",
            "elements of input l: 1 -> 2\ninput m: none -> 3\n");
}
END_TEST

#define AT(artifact, id, columns)                                                                  \
    "{\"artifact\":\"" artifact "\",\"case\":\"" id "\",\"columns\":{" columns "}}"

START_TEST(cases_are_named)
{
    /* One goes, one comes, one is renamed, one has other content, one another column. */
    compare(
        "{\"inputs\":{\"l\":[" AT("1", "a", "") "," AT("2", "b", "") "," AT("3", "c", "") "," AT(
            "4", "d", "\"set\":\"x\",\"age\":\"3\"") "," AT("5", "e", "") "]}}",
        "{\"inputs\":{\"l\":[" AT("1", "a", "") "," AT("9", "c", "") "," AT(
            "4", "d", "\"set\":\"y\"") "," AT("2", "f", "") "," AT("7", "g", "") "]}}",
        "input l[case=c]: 3 -> 9\n"
        "column set of input l[case=d]: x -> y\n"
        "column age of input l[case=d]: 3 -> none\n"
        "case of input l[case=f]: b -> f\n"
        "input l[case=g]: none -> 7\n"
        "input l[case=e]: 5 -> none\n");
    /* The same for a port of one artifact. */
    compare("{\"inputs\":{\"v\":" AT("1", "a", "") "}}",
            "{\"inputs\":{\"v\":" AT("1", "b", "") "}}", "case of input v: a -> b\n");
    /* Several of one case are matched in order. */
    compare("{\"inputs\":{\"l\":[" AT("1", "a", "") "," AT("2", "a", "") "]}}",
            "{\"inputs\":{\"l\":[" AT("1", "a", "") "," AT("3", "a", "") "]}}",
            "input l[case=a]: 2 -> 3\n");
}
END_TEST

START_TEST(streams_are_looked_into)
{
    compare(
        "{\"inputs\":{\"s\":{\"stage\":\"v\",\"params\":{\"p\":0.5},\"inputs\":{\"i\":[\"1\"]}}}}",
        "{\"inputs\":{\"s\":{\"stage\":\"v\",\"params\":{\"p\":0.6},\"inputs\":{\"i\":[\"2\"]}}}}",
        "input s: parameter p: 0.5 -> 0.6\ninput s: input i[0]: 1 -> 2\n");
}
END_TEST

START_TEST(damaged_components)
{
    mf_changes changes = {0};

    fails(mf_changes_between("{", "{}", &changes), "the components of a key are no JSON object");
    mf_changes_clear(&changes);
}
END_TEST

/* ---- what a type asks for -------------------------------------------------------------------- */

static mf_artifact *features(mf_dtype dtype)
{
    static const int64_t shape[4] = {1, 1, 2, 3};
    mf_artifact *a;
    mf_array *values;

    ok(mf_artifact_new("features", &a));
    ok(mf_array_new(dtype, 4, shape, &values));
    if (dtype == MF_F32) {
        for (int i = 0; i < 6; i++)
            ((float *)values->data)[i] = (float)i * 0.5f;
    }
    ok(mf_artifact_add(a, "values", values));
    mf_array_unref(values);
    return a;
}

START_TEST(types_are_checked)
{
    mf_registry *registry;
    mf_artifact *a;

    ok(mf_registry_new(&registry));
    a = features(MF_F32);
    ok(mf_check_artifact(registry, a));
    mf_artifact_unref(a);
    a = features(MF_F64);
    fails(mf_check_artifact(registry, a), "array 'values' of a features is f64, not f32");
    mf_artifact_unref(a);
    ok(mf_artifact_new("model", &a));
    fails(mf_check_artifact(registry, a), "a model needs an attribute 'architecture'");
    mf_artifact_unref(a);
    ok(mf_artifact_new("nonesuch", &a));
    fails(mf_check_artifact(registry, a), "no plugin declares the type 'nonesuch'");
    mf_artifact_unref(a);
    mf_registry_free(registry);
}
END_TEST

/* An artifact of a grid of 4 x 3 x 2 voxels. */
static mf_artifact *on_grid(const char *type)
{
    mf_grid grid;
    mf_artifact *a;

    mf_grid_identity(&grid, (int64_t[3]){4, 3, 2}, (double[3]){1, 1, 2});
    ok(mf_artifact_new(type, &a));
    ok(mf_artifact_set_grid(a, &grid));
    return a;
}

static void add(mf_artifact *a, const char *name, mf_dtype dtype, int rank, const int64_t *shape,
                const int32_t *values)
{
    mf_array *array;

    ok(mf_array_new(dtype, rank, shape, &array));
    if (values)
        memcpy(array->data, values, array->bytes);
    ok(mf_artifact_add(a, name, array));
    mf_array_unref(array);
}

static mf_artifact *volume(void)
{
    mf_artifact *a = on_grid("volume");

    add(a, "voxels", MF_I16, 3, (int64_t[]){2, 3, 4}, NULL);
    return a;
}

static void refused(mf_registry *registry, mf_artifact *a, const char *text)
{
    fails(mf_check_artifact(registry, a), text);
    mf_artifact_unref(a);
}

START_TEST(shapes_are_checked_against_the_grid)
{
    mf_registry *registry;
    mf_artifact *a;

    ok(mf_registry_new(&registry));
    a = volume();
    ok(mf_check_artifact(registry, a));
    mf_artifact_unref(a);
    a = on_grid("volume");
    add(a, "voxels", MF_I16, 3, (int64_t[]){4, 3, 2}, NULL);
    refused(registry, a,
            "array 'voxels' of a volume has the shape [4, 3, 2], not [z = 2, y = 3, x = 4]");
    a = on_grid("labels");
    add(a, "voxels", MF_I16, 1, (int64_t[]){24}, NULL);
    refused(registry, a,
            "array 'voxels' of a labels has the shape [24], not [z = 2, y = 3, x = 4]");
    a = on_grid("sample");
    add(a, "image", MF_F32, 3, (int64_t[]){1, 1, 1}, NULL);
    refused(registry, a,
            "array 'image' of a sample has the shape [1, 1, 1], not [z = 2, y = 3, x = 4]");
    ok(mf_artifact_new("image", &a));
    add(a, "rgb", MF_U8, 3, (int64_t[]){5, 5, 4}, NULL);
    refused(registry, a, "array 'rgb' of a image has the shape [5, 5, 4], not [h = 5, w = 5, 3]");
    mf_registry_free(registry);
}
END_TEST

START_TEST(grids_are_checked)
{
    static const struct {
        const char *name;
        double v[3];
        const char *text;
    } wrong[] = {
        {"size",
         {512, 512, 512},
         "array 'voxels' of a volume has the shape [2, 3, 4], not [z = 512, y = 512, x = 512]"},
        {"size",
         {2048, 2048, 1024},
         "a volume of 2048 x 2048 x 1024 voxels, which are more than 2^31"},
        {"size",
         {2147483647, 2147483647, 2147483647},
         "a volume of 2.14748e+09 x 2.14748e+09 x 2.14748e+09 voxels, which are more than 2^31"},
        {"size", {NAN, 3, 2}, "attribute 'size' of a volume is not finite"},
        {"size", {1e300, 3, 2}, "a volume of 1e+300 x 3 x 2 voxels"},
        {"size", {4.5, 3, 2}, "a volume of 4.5 x 3 x 2 voxels"},
        {"size", {4, -3, 2}, "a volume of 4 x -3 x 2 voxels"},
        {"size", {0, 3, 2}, "a volume of 0 x 3 x 2 voxels"},
        {"spacing", {0, 0, 0}, "a volume with a spacing of 0 x 0 x 0 mm"},
        {"spacing", {1, -1, 1}, "a volume with a spacing of 1 x -1 x 1 mm"},
        {"spacing", {INFINITY, 1, 1}, "attribute 'spacing' of a volume is not finite"},
        {"origin", {NAN, 0, 0}, "attribute 'origin' of a volume is not finite"},
        {"direction", {1, 0, 0}, "attribute 'direction' of a volume has not 9 numbers"},
    };
    mf_registry *registry;
    mf_artifact *a;

    ok(mf_registry_new(&registry));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        a = volume();
        ok(mf_artifact_set_reals(a, wrong[i].name, wrong[i].v, 3));
        refused(registry, a, wrong[i].text);
    }
    a = volume();
    ok(mf_artifact_set_reals(a, "direction", (double[]){1, 0, 0, 1, 0, 0, 0, 0, 1}, 9));
    refused(registry, a, "a volume whose directions are no axes (determinant 0)");
    a = volume();
    ok(mf_artifact_set_reals(a, "scan.size", (double[]){4, 3, 2}, 3));
    refused(registry, a, "attribute 'scan.spacing' of a volume has not 3 numbers");
    a = volume();
    ok(mf_artifact_set_text(a, "size", "4 3 2"));
    refused(registry, a, "attribute 'size' of a volume is text, not reals");
    mf_registry_free(registry);
}
END_TEST

/* Masks with one box, `scores` scores and rows of one byte. */
static mf_artifact *masks_of(const int32_t box[6], int64_t scores, int64_t rows)
{
    mf_artifact *a = on_grid("masks");
    mf_array *bytes, *offsets;

    add(a, "box", MF_I32, 2, (int64_t[]){1, 6}, box);
    add(a, "score", MF_F32, 1, &scores, NULL);
    add(a, "seed", MF_I32, 2, (int64_t[]){1, 2}, NULL);
    ok(mf_array_new(MF_U8, 1, (int64_t[]){rows}, &bytes));
    ok(mf_array_new(MF_I64, 1, (int64_t[]){rows + 1}, &offsets));
    for (int64_t i = 0; i <= rows; i++)
        ((int64_t *)offsets->data)[i] = i;
    ok(mf_artifact_add_rows(a, "bits", bytes, offsets));
    mf_array_unref(bytes);
    mf_array_unref(offsets);
    return a;
}

START_TEST(masks_and_tables_are_checked)
{
    static const int32_t inside[6] = {0, 0, 0, 2, 2, 2}, outside[6] = {0, 0, 0, 2, 2, 5},
                         far[6] = {0, 0, 100000, 1, 1, 100001}, empty[6] = {0, 1, 0, 2, 1, 2},
                         below[6] = {-1, 0, 0, 1, 1, 1}, huge[6] = {0, 0, 0, 1 << 30, 1 << 30, 16};
    const int32_t *const wrong[] = {outside, far, empty, below, huge};
    mf_registry *registry;
    mf_artifact *a;

    ok(mf_registry_new(&registry));
    a = masks_of(inside, 1, 1);
    ok(mf_check_artifact(registry, a));
    mf_artifact_unref(a);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused(registry, masks_of(wrong[i], 1, 1), "mask 0 of a masks has a box outside its grid");
    refused(registry, masks_of(inside, 2, 1),
            "array 'score' of a masks has the shape [2], not [k = 1]");
    refused(registry, masks_of(inside, 1, 2), "array 'bits' of a masks has 2 rows, not [k = 1]");
    ok(mf_artifact_new("table", &a));
    ok(mf_artifact_set_text(a, "columns", "one\ttwo"));
    add(a, "column.0", MF_F64, 1, (int64_t[]){3}, NULL);
    refused(registry, a, "a table names 2 columns; 'column.1' is missing");
    ok(mf_artifact_new("table", &a));
    ok(mf_artifact_set_text(a, "columns", "one\ttwo"));
    add(a, "column.0", MF_F64, 1, (int64_t[]){3}, NULL);
    add(a, "column.1", MF_F64, 1, (int64_t[]){2}, NULL);
    refused(registry, a, "columns of a table have 3 and 2 rows");
    ok(mf_artifact_new("table", &a));
    ok(mf_artifact_set_text(a, "columns", "one"));
    add(a, "column.0", MF_F32, 1, (int64_t[]){3}, NULL);
    refused(registry, a, "'column.0' of a table is not a column");
    mf_registry_free(registry);
}
END_TEST

static mf_status never_array(void *self, size_t index, mf_array **array)
{
    (void)self, (void)index, (void)array;
    return mf_fail(MF_INTERNAL, "an array was read");
}

static mf_status never_offsets(void *self, size_t index, mf_array **offsets)
{
    return never_array(self, index, offsets);
}

static void nothing(void *self)
{
    (void)self;
}

/* A table with these arrays, of which none can be read. */
static mf_artifact *unread(const char *columns, const mf_array_info *infos, size_t count)
{
    static const mf_artifact_source source = {
        .array = never_array, .offsets = never_offsets, .free = nothing};
    mf_artifact *a;
    ok(mf_artifact_lazy("table", "", &source, NULL, &a));
    ok(mf_artifact_set_text(a, "columns", columns));
    for (size_t i = 0; i < count; i++)
        ok(mf_artifact_declare(a, &infos[i]));
    return a;
}

START_TEST(what_is_read_unasked_has_a_limit)
{
    enum { MILLION = 1 << 20 };
    const mf_array_info numbers = {"column.0", MF_F64, 1, {17 * MILLION}, false, 0},
                        words = {"column.0", MF_U8, 1, {129 * MILLION}, true, 5},
                        halves[2] = {{"column.0", MF_U8, 1, {65 * MILLION}, true, 5},
                                     {"column.1", MF_U8, 1, {65 * MILLION}, true, 5}},
                        rows[2] = {{"column.0", MF_U8, 1, {0}, true, 8 * MILLION},
                                   {"other", MF_U8, 1, {0}, true, 9 * MILLION}},
                        few[2] = {{"column.0", MF_U8, 1, {0}, true, 8 * MILLION},
                                  {"other", MF_U8, 1, {0}, true, 8 * MILLION}};
    mf_registry *registry;

    ok(mf_registry_new(&registry));
    refused(registry, unread("a", &numbers, 1),
            "a table of 17825792 rows and 1 columns, more than 16777216 cells");
    refused(registry, unread("a", &words, 1), "a table of more than 134217728 bytes of text");
    refused(registry, unread("a\tb", halves, 2), "a table of more than 134217728 bytes of text");
    refused(registry, unread("a", rows, 2), "arrays of a table have more than 16777216 rows");
    refused(registry, unread("a", few, 2), "an array was read");
    mf_registry_free(registry);
}
END_TEST

/* ---- files ----------------------------------------------------------------------------------- */

/* Writes `a` under a name that ends in `suffix` and gives the bytes, NUL-terminated. */
static char *written(const mf_artifact *a, const char *suffix, const char *array, size_t *size)
{
    char folder[] = "/tmp/massflow-test-XXXXXX", path[64];
    char *bytes = calloc(1, 4096);
    mf_registry *registry;
    FILE *file;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    ok(mf_registry_new(&registry));
    ok(mf_write_register(registry));
    snprintf(path, sizeof path, "%s/x%s", folder, suffix);
    ok(mf_write_artifact(registry, a, path, array));
    file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    *size = fread(bytes, 1, 4095, file);
    fclose(file);
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing else was left there */
    mf_registry_free(registry);
    return bytes;
}

START_TEST(npy)
{
    static const float values[6] = {0, 0.5f, 1, 1.5f, 2, 2.5f};
    mf_artifact *a = features(MF_F32);
    size_t size;
    char *bytes = written(a, ".npy", NULL, &size);

    ck_assert_uint_eq(size, 128 + sizeof values);
    ck_assert_mem_eq(bytes, "\x93NUMPY\x01\x00\x76\x00", 10);
    ck_assert_mem_eq(bytes + 10,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 2, 3,), }", 66);
    ck_assert_int_eq(bytes[127], '\n');
    ck_assert_mem_eq(bytes + 128, values, sizeof values);
    free(bytes);
    mf_artifact_unref(a);
}
END_TEST

START_TEST(safetensors)
{
    static const char header[] =
        "{\"__metadata__\":{\"type\":\"features\",\"channels\":\"16 32\",\"name\":\"a \\\"b\\\"\"},"
        "\"values\":{\"dtype\":\"F32\",\"shape\":[1,1,2,3],\"data_offsets\":[0,24]}}";
    static const double channels[2] = {16, 32};
    mf_artifact *a = features(MF_F32);
    uint64_t length;
    size_t size;
    char *bytes;

    ok(mf_artifact_set_reals(a, "channels", channels, 2));
    ok(mf_artifact_set_text(a, "name", "a \"b\""));
    bytes = written(a, ".safetensors", NULL, &size);
    memcpy(&length, bytes, 8);
    ck_assert_uint_eq(length % 8, 0);
    ck_assert_uint_eq(size, 8 + length + 24);
    ck_assert_mem_eq(bytes + 8, header, sizeof header - 1);
    ck_assert_float_eq(((float *)(void *)(bytes + 8 + length))[3], 1.5f);
    free(bytes);
    mf_artifact_unref(a);
}
END_TEST

static mf_artifact *table(void)
{
    static const char *const columns[] = {"case:text", "dice", NULL};
    mf_artifact *a;
    mf_table *t;

    ok(mf_table_new(columns, &t));
    ok(mf_table_row(t, "a,\"b\"", 0.1));
    ok(mf_table_row(t, "plain", 1.0 / 3));
    ok(mf_table_finish(t, &a));
    return a;
}

START_TEST(csv)
{
    mf_artifact *a = table();
    size_t size;
    char *bytes = written(a, ".csv", NULL, &size);

    ck_assert_str_eq(bytes, "case,dice\n\"a,\"\"b\"\"\",0.1\nplain,0.3333333333333333\n");
    free(bytes);
    mf_artifact_unref(a);
}
END_TEST

START_TEST(refusals)
{
    mf_registry *registry;
    mf_artifact *a = table();

    ok(mf_registry_new(&registry));
    ok(mf_write_register(registry));
    fails(mf_write_artifact(registry, a, "/nonesuch/x.csv", NULL),
          "/nonesuch/x.csv: No such file or directory");
    fails(mf_write_artifact(registry, a, "/tmp/x.png", NULL),
          "writing /tmp/x.png: no writer takes a table by this suffix\n"
          "  suffixes for table: .csv, .json");
    fails(mf_write_artifact(registry, a, "/tmp/x.npy", "nonesuch"),
          "writing /tmp/x.npy: the table has no array 'nonesuch'");
    fails(mf_write_artifact(registry, a, "/tmp/x.csv", "column.1"),
          "writing /tmp/x.csv: one array alone is written as .npy");
    mf_artifact_unref(a);
    mf_registry_free(registry);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run");
    TCase *cases = tcase_create("run");

    tcase_add_test(cases, components_to_the_letter);
    tcase_add_test(cases, parameters_are_named);
    tcase_add_test(cases, nothing_changed);
    tcase_add_test(cases, inputs_are_named);
    tcase_add_test(cases, cases_are_named);
    tcase_add_test(cases, streams_are_looked_into);
    tcase_add_test(cases, damaged_components);
    tcase_add_test(cases, types_are_checked);
    tcase_add_test(cases, shapes_are_checked_against_the_grid);
    tcase_add_test(cases, grids_are_checked);
    tcase_add_test(cases, masks_and_tables_are_checked);
    tcase_add_test(cases, what_is_read_unasked_has_a_limit);
    tcase_add_test(cases, npy);
    tcase_add_test(cases, safetensors);
    tcase_add_test(cases, csv);
    tcase_add_test(cases, refusals);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
