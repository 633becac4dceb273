/* Tests of names of labels: as text, several together, chosen by a parameter; and the files that
 * others write them in. */
#include "../expect.h"
#include "../run_suite.h"
#include "common/nnunet_labels.h"
#include "names/names_file.h"

#include <massflow/names.h>

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "1=liver #dd8265;2=spleen;" */
static const char *shown(const mf_names *names)
{
    static char text[1024];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < names->count; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%lld=%s", (long long)names->v[i].value,
                              names->v[i].name);
        if (names->v[i].colour != MF_NO_COLOUR)
            n +=
                (size_t)snprintf(text + n, sizeof text - n, " #%06x", (unsigned)names->v[i].colour);
        n += (size_t)snprintf(text + n, sizeof text - n, ";");
    }
    return text;
}

static void parsed(const char *text, const char *expected)
{
    mf_names names = {0};
    ok(mf_names_parse(text, &names));
    ck_assert_str_eq(shown(&names), expected);
    mf_names_clear(&names);
}

static void refused(const char *text, const char *expected)
{
    mf_names names = {0};
    fails(mf_names_parse(text, &names), expected);
    mf_names_clear(&names);
}

START_TEST(texts)
{
    parsed("", "");
    parsed("2=spleen, 1=liver", "1=liver;2=spleen;");
    parsed("1 = liver #DD8265; 2=left kidney", "1=liver #dd8265;2=left kidney;");
    parsed("1=aorta, abdominal, 3=vein", "1=aorta, abdominal;3=vein;"); /* a comma in a name */
    parsed("1=a, 2=b\n3=c\n", "1=a, 2=b;3=c;"); /* lines: nothing else parts */
    parsed("0=background\n1=liver", "1=liver;");
    parsed("1=liver, 1=Leber", "1=Leber;"); /* the last counts */
    parsed("7=Milz \xc3\xa4#12", "7=Milz \xc3\xa4#12;");
    refused("liver", "'liver' names no label\n  write VALUE=NAME, as in 1=liver, 2=left kidney");
    refused("1=", "the name of label 1 is to have 1 to 200 bytes");
    refused("3000000000=x", "label 3000000000 ('x') is not from 1 to 2147483647");
    refused("1=a\x1b[31m", "the name of label 1 is not one line of UTF-8");
    refused("1=\xff", "the name of label 1 is not one line of UTF-8");
}
END_TEST

START_TEST(an_artifact_keeps_them)
{
    mf_artifact *a, *b;
    mf_names names = {0}, back;
    ok(mf_artifact_new("labels", &a));
    ok(mf_artifact_set_names(a, &names));
    ck_assert_uint_eq(mf_artifact_attribute_count(a), 0); /* as it was before there were names */
    ok(mf_names_parse("5=liver, 2=x, y #010203", &names));
    ok(mf_artifact_set_names(a, &names));
    ck_assert_str_eq(mf_artifact_text(a, "names"), "2=x, y #010203\n5=liver\n");
    ok(mf_artifact_new("labels", &b));
    ok(mf_artifact_copy_names(b, a));
    ok(mf_artifact_names(b, &back));
    ck_assert_str_eq(shown(&back), "2=x, y #010203;5=liver;");
    mf_names_clear(&back);
    ok(mf_names_only(&names, (const int64_t[]){5, 7}, 2, &back));
    ck_assert_str_eq(shown(&back), "5=liver;");
    mf_names_clear(&back);
    ok(mf_artifact_set_text(b, "names", "liver"));
    fails(mf_artifact_names(b, &back), "the names of an artifact of type labels: 'liver' names no "
                                       "label\n  write VALUE=NAME, as in 1=liver, 2=left kidney");
    ck_assert_uint_eq(back.count, 0);
    mf_names_clear(&names);
    mf_artifact_unref(a);
    mf_artifact_unref(b);
}
END_TEST

START_TEST(several_must_agree)
{
    mf_names names = {0}, more = {0};
    ok(mf_names_parse("1=liver, 2=spleen #0000ff", &names));
    ok(mf_names_parse("2=Spleen #ff0000, 3=kidney", &more));
    ok(mf_names_join(&names, &more, "a", "b"));
    ck_assert_str_eq(shown(&names), "1=liver;2=spleen #0000ff;3=kidney;");
    mf_names_clear(&more);
    ok(mf_names_parse("1=spleen", &more));
    fails(mf_names_join(&names, &more, "truth[case=1]", "truth[case=2]"),
          "label 1 is 'liver' in truth[case=1] and 'spleen' in truth[case=2]\n  give both the same "
          "names with the parameter `names` of labels.load");
    mf_names_clear(&more);
    ok(mf_names_parse("7=liver", &more));
    fails(mf_names_join(&names, &more, "truth[case=1]", "truth[case=2]"),
          "'liver' is label 1 in truth[case=1] and label 7 in truth[case=2]\n  give both the same "
          "names with the parameter `names` of labels.load");
    mf_names_clear(&more);
    mf_names_clear(&names);
}
END_TEST

START_TEST(labels_are_chosen)
{
    const mf_label chosen[] = {{"spleen", 0}, {NULL, 9}, {"liver", 0}};
    const mf_labels labels = {chosen, 3};
    mf_names names = {0};
    int64_t *values;
    size_t count;
    fails(mf_labels_values(&labels, &names, "labels", &values, &count),
          "labels: 'spleen' is a name, but these labels have no names\n  name them with the "
          "parameter "
          "`names` of labels.load, or give the value");
    ck_assert_ptr_null(values);
    ok(mf_labels_values(&(mf_labels){chosen + 1, 1}, &names, "labels", &values, &count));
    ck_assert(count == 1 && values[0] == 9);
    free(values);
    ok(mf_names_parse("1=liver, 4=spleen", &names));
    ok(mf_labels_values(&labels, &names, "labels", &values, &count));
    ck_assert(count == 3 && values[0] == 4 && values[1] == 9 && values[2] == 1);
    free(values);
    fails(mf_labels_values(&(mf_labels){&(mf_label){"livr", 0}, 1}, &names, "labels", &values,
                           &count),
          "labels: no label is called 'livr'; did you mean 'liver'?\n  the labels are 1 liver, 4 "
          "spleen");
    ok(mf_names_put(&names, 6, "liver", MF_NO_COLOUR));
    fails(mf_labels_values(&(mf_labels){&(mf_label){"liver", 0}, 1}, &names, "labels", &values,
                           &count),
          "labels: labels 1 and 6 are both called 'liver'\n  give the value");
    mf_names_clear(&names);
}
END_TEST

/* ---- files ------------------------------------------------------------------------------------
 */

static char path[64];

static mf_label_sets sets; /* of the file that was read last, where a test looks at them */

static const char *file(const char *suffix, const char *content)
{
    snprintf(path, sizeof path, "names-%d%s", (int)getpid(), suffix);
    FILE *to = fopen(path, "wb");
    ck_assert_ptr_nonnull(to);
    fputs(content, to);
    fclose(to);
    return path;
}

static void read_as(const char *suffix, const char *content, const char *expected)
{
    mf_names names = {0};
    mf_status status = names_file_read(file(suffix, content), &names, &sets);
    unlink(path);
    ok(status);
    ck_assert_str_eq(shown(&names), expected);
    mf_names_clear(&names);
    mf_label_sets_clear(&sets);
}

/* `expected` without the path, which the error begins with. */
static void refused_as(const char *suffix, const char *content, const char *expected)
{
    mf_names names = {0};
    char text[512];
    mf_status status = names_file_read(file(suffix, content), &names, &sets);
    unlink(path);
    snprintf(text, sizeof text, "%s%s", path, expected);
    fails(status, text);
    mf_names_clear(&names);
}

START_TEST(files_of_itk_snap_and_slicer)
{
    static const char snap[] = "# ITK-SnAP Label Description File\n"
                               "    0     0    0    0        0  0  0    \"Clear Label\"\n"
                               "    1   255    0    0        1  1  1    \"left kidney\"\r\n"
                               "    6   255  239  213      0.5  0  1    \"x, \"\n";
    read_as(".txt", snap, "1=left kidney #ff0000;6=x, #ffefd5;");
    read_as(".label", snap, "1=left kidney #ff0000;6=x, #ffefd5;");
    read_as(".ctbl",
            "# Color table file\n# 3 values\n0 background 0 0 0 0\n1 left_kidney 255 0 16 255\n",
            "1=left kidney #ff0010;");
    refused_as(
        ".txt", "1 liver\n",
        ":1: the line is neither of ITK-SNAP's label descriptions nor of a colour table of 3D "
        "Slicer\n  as in 1 255 0 0 1 1 1 \"liver\", or 1 liver 255 0 0 255");
    refused_as(".ctbl", "\n1 a 0 0 300 255\n", ":2: 300 is no part of a colour, 0 to 255");
    refused_as(".ctbl", "1 a 0 0 0 255\n1 b 0 0 0 255\n", ":2: label 1 stands twice");
}
END_TEST

START_TEST(tables)
{
    read_as(
        ".csv",
        "\xef\xbb\xbfLabelValue,Name,Color_R,Color_G,Color_B,Color_A\n3,liver,221,130,101,255\n",
        "3=liver #dd8265;");
    read_as(".csv", "structure,volume,id\nliver,1.5,7\n", "7=liver;");
    read_as(".csv", "1,liver\n2,\"left, \"\"so\"\" called\"\n", "1=liver;2=left, \"so\" called;");
    read_as(".csv", "1, liver ,1,2,3\n0,background,0,0,0\n", "1=liver #010203;");
    refused_as(".csv", "1,liver\nx,spleen\n", ":2: 'x' is no value of a label");
    refused_as(".csv", "1\n",
               ":1: a value and a name are wanted\n  as in 1,liver or 1,liver,221,130,101");
    refused_as(".csv", "1,\"liver\n", ":1: the line is no CSV");
    refused_as(".csv", "1,a,1,2,999\n", ":1: '999' is no part of a colour, 0 to 255");
}
END_TEST

START_TEST(files_of_nnunet)
{
    read_as(".json", "{\"labels\": {\"background\": 0, \"liver\": 1, \"tumor\": 2}}",
            "1=liver;2=tumor;");
    read_as(".json", "{\"labels\": {\"0\": \"background\", \"1\": \"liver\"}}", "1=liver;");
    /* Regions: a value is called by the smallest region that it lies in, less those inside. */
    read_as(".json",
            "{\"labels\": {\"background\": 0, \"whole tumor\": [1, 2, 3], \"core\": [2, 3], "
            "\"enhancing\": 3}, \"regions_class_order\": [1, 2, 3]}",
            "1=whole tumor without core;2=core without enhancing;3=enhancing;");
    read_as(".json", "{\"labels\": {\"a\": [1, 2], \"b\": [2, 3]}}", "1=a;2=a and b;3=b;");
    read_as(".json", "{\"labels\": {\"all\": [1, 2, 3, 4], \"b\": [2], \"c\": [3]}}",
            "1=all without b and c;2=b;3=c;4=all without b and c;");
    refused_as(".json", "{\"labels\": {\"a\": 1, \"b\": 1}}",
               ": the labels 'a' and 'b' both have the value 1");
    refused_as(".json", "{\"labels\": {\"a\": \"x\"}}", ": the label 'a' has the value 'x'");
    refused_as(".json", "{\"labels\": {\"a\": 1.5}}",
               ": the label 'a' has a value that is no integer");
    refused_as(
        ".json", "{\"label\": 1}",
        ": it has no object 'labels'\n  a .json that names labels is a dataset.json of nnU-Net");
    refused_as(".json", "{\"labels\": ", ": is not JSON: unexpected end of data");
}
END_TEST

START_TEST(segments_of_slicer)
{
    static const char head[] = "NRRD0004\ntype: uchar\n";
    char text[512];
    snprintf(text, sizeof text,
             "%sSegment0_Name:=left kidney\nSegment0_LabelValue:=5\nSegment0_Color:=1 0.5 0\n"
             "Segment0_Layer:=0\nSegment1_Name:=other layer\nSegment1_LabelValue:=1\n"
             "Segment1_Layer:=1\n\n\x01\x02",
             head);
    read_as(".seg.nrrd", text, "5=left kidney #ff8000;");
    snprintf(text, sizeof text, "%s\n", head);
    refused_as(".nrrd", text, ": its header has no segments with names");
    /* Whose name is it? */
    snprintf(text, sizeof text,
             "%sSegment0_Name:=a\nSegment0_LabelValue:=1\nSegment1_Name:=b\n"
             "Segment1_LabelValue:=1\n\n",
             head);
    refused_as(".nrrd", text, ": its header has no segments with names");
    snprintf(text, sizeof text, "%sSegment0_LabelValue:=x\n\n", head);
    refused_as(".nrrd", text, ":3: segment 0 has the label value 'x'");
}
END_TEST

static const char *shown_sets(const mf_label_sets *s)
{
    static char text[512];
    size_t used = 0;
    *text = '\0';
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->v[i].count; k++)
            used += (size_t)snprintf(text + used, sizeof text - used, "+%lld",
                                     (long long)s->v[i].values[k]);
        used += (size_t)snprintf(text + used, sizeof text - used, "=%s;", s->v[i].name);
    }
    return text;
}

START_TEST(sets_of_labels)
{
    mf_label_sets s = {0}, kept;
    mf_names names = {0};
    int64_t *values;
    size_t count;
    mf_artifact *a;
    ok(mf_label_sets_parse("1=a, 3+1+1=both, +2=b; 2 = c", &s));
    ok(mf_names_parse("1=a, 3+1+1=both, +2=b; 2 = c", &names));
    ck_assert_str_eq(shown_sets(&s), "+1+3=both;+2=b;");
    ck_assert_str_eq(shown(&names), "1=a;2=c;");
    ok(mf_artifact_new("labels", &a));
    ok(mf_artifact_set_named(a, &names, &s));
    ck_assert_str_eq(mf_artifact_text(a, "names"), "1=a\n2=c\n+1+3=both\n+2=b\n");
    mf_label_sets_clear(&s);
    ok(mf_artifact_label_sets(a, &s));
    ck_assert_str_eq(shown_sets(&s), "+1+3=both;+2=b;");
    mf_artifact_unref(a);
    ok(mf_label_sets_only(&s, (const int64_t[]){3, 2}, 2, &kept));
    ck_assert_str_eq(shown_sets(&kept), "+2=b;");
    mf_label_sets_clear(&kept);
    const mf_label wanted[] = {{"both", 0}, {NULL, 3}, {"c", 0}};
    ok(mf_labels_values_of(&(mf_labels){wanted, 3}, &names, &s, "labels", &values, &count));
    ck_assert_uint_eq(count, 3); /* 3 is there once */
    ck_assert_int_eq(values[0] * 100 + values[1] * 10 + values[2], 132);
    free(values);
    fails(mf_label_sets_parse("1+2=both", &s), "two sets of labels are called 'both'");
    ok(mf_label_sets_parse("3+1=both", &s)); /* the same */
    fails(mf_label_sets_parse("1++2=x", &s),
          "'1++2=x' names no set of labels\n  write VALUE+VALUE=NAME, as in 1+2+3=whole tumor");
    fails(mf_label_sets_parse("0+1=x", &s), "the set of labels 'x' has 0, which is background");
    fails(mf_label_sets_parse("1+9999999999=x", &s),
          "label 9999999999 ('x') is not from 1 to 2147483647");
    ok(mf_names_parse("7=both", &names));
    fails(mf_labels_values_of(&(mf_labels){wanted, 1}, &names, &s, "labels", &values, &count),
          "labels: 'both' is the name of label 7 and of a set of labels\n  give the values");
    ck_assert_ptr_null(values);
    mf_label_sets_clear(&s);
    mf_names_clear(&names);
}
END_TEST

START_TEST(what_is_written_is_read)
{
    static const char *const suffixes[] = {".txt", ".ctbl"};
    for (int i = 0; i < 2; i++) {
        mf_names names = {0}, back = {0};
        ok(mf_names_parse("1=left kidney #102030, 300=liver #ffffff", &names));
        ok(names_file_write(file(suffixes[i], ""), &names));
        mf_status status = names_file_read(path, &back, &sets);
        unlink(path);
        ok(status);
        ck_assert_str_eq(shown(&back), "1=left kidney #102030;300=liver #ffffff;");
        mf_names_clear(&names);
        mf_names_clear(&back);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("names");
    TCase *cases = tcase_create("names");
    tcase_add_test(cases, texts);
    tcase_add_test(cases, sets_of_labels);
    tcase_add_test(cases, an_artifact_keeps_them);
    tcase_add_test(cases, several_must_agree);
    tcase_add_test(cases, labels_are_chosen);
    tcase_add_test(cases, files_of_itk_snap_and_slicer);
    tcase_add_test(cases, tables);
    tcase_add_test(cases, files_of_nnunet);
    tcase_add_test(cases, segments_of_slicer);
    tcase_add_test(cases, what_is_written_is_read);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
