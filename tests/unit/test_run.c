/* test_run.c - keys compared in words, artifacts checked against their types, files as written. */
#include "../expect.h"
#include "run/check.h"
#include "run/sheet.h"
#include "run/why.h"
#include "run/write.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
          "writing /nonesuch/x.csv: No such file or directory");
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
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(cases, parameters_are_named);
    tcase_add_test(cases, nothing_changed);
    tcase_add_test(cases, inputs_are_named);
    tcase_add_test(cases, cases_are_named);
    tcase_add_test(cases, streams_are_looked_into);
    tcase_add_test(cases, damaged_components);
    tcase_add_test(cases, types_are_checked);
    tcase_add_test(cases, npy);
    tcase_add_test(cases, safetensors);
    tcase_add_test(cases, csv);
    tcase_add_test(cases, refusals);
    suite_add_tcase(suite, cases);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
