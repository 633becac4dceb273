/* test_cases.c - what the cases of a graph come from: patterns, lists, DICOM, nnU-Net. */
#include "../run_suite.h"
#include "graph_fixture.h"

#define SCAN "stages:\n  scan: {use: toy.load, each: case, with: {path: scans/a.nii.gz}}\n"

static void enter(void)
{
    enter_scratch();
    load_sources("dicom: nnunet: lines: ");
}

static void check_case(const mf_graph *g, size_t i, const char *id, const char *column,
                       const char *expected)
{
    const mf_case *c = mf_graph_case(g, i);
    const char *text = mf_case_column(c, column);
    char *shown = without_folder(strdup(text ? text : "(none)"));
    ck_assert_str_eq(c->id, id);
    ck_assert_str_eq(shown, expected);
    free(shown);
}

START_TEST(sources_add_up)
{
    ck_assert_int_eq(mkdir("lists", 0700), 0);
    write_file("lists/lab.csv", "\xef\xbb\xbfid,path,note\r\n"
                                "z9,../scans/b.nii.gz,\"says \"\"hi\"\", twice\"\r\n"
                                "\r\n"
                                "y,,\r\n");
    mf_graph *g = load_text("massflow: 1\n"
                            "cases:\n"
                            "  - {glob: \"more/{id}/t?.nii.gz\", set: pre, twin: \"{id}-twin\"}\n"
                            "  - {glob: \"scans/[ab].nii.gz\", id: \"s-{id}\"}\n"
                            "  - {csv: lists/lab.csv, set: lab}\n"
                            "  - {list: [scans/b.nii.gz, {id: q, fold: 3}]}\n"
                            "  - {count: 2, id: \"n{id}\", set: made}\n" SCAN);
    ck_assert_uint_eq(mf_graph_case_count(g), 9);
    check_case(g, 0, "a", "twin", "a-twin");
    check_case(g, 1, "b", "path", "DIR/scans/b.nii.gz");
    check_case(g, 1, "b", "set", "(none)");
    check_case(g, 2, "n000", "index", "0");
    check_case(g, 3, "n001", "set", "made");
    check_case(g, 4, "q", "fold", "3");
    check_case(g, 5, "s-a", "path", "DIR/scans/a.nii.gz");
    check_case(g, 6, "s-b", "id", "s-b");
    check_case(g, 7, "y", "path", "(none)");
    check_case(g, 7, "y", "set", "lab");
    check_case(g, 8, "z9", "path", "DIR/lists/../scans/b.nii.gz");
    check_case(g, 8, "z9", "note", "says \"hi\", twice");
    mf_graph_free(g);
}
END_TEST

/* A DICOM file as far as it must be known here: 128 bytes and "DICM". */
static void write_dicom(const char *path)
{
    char text[133];
    memset(text, 'x', 128);
    memcpy(text + 128, "DICM", 5);
    write_file(path, text);
}

START_TEST(a_folder_of_dicom_files_is_a_case)
{
    ck_assert_int_eq(mkdir("series", 0700), 0);
    ck_assert_int_eq(mkdir("series/1.2.840.1", 0700), 0);
    ck_assert_int_eq(mkdir("series/1.2.840.2", 0700), 0);
    write_dicom("series/1.2.840.1/IM0");
    write_file("series/1.2.840.1/notes.txt", "no scan");
    write_file("series/1.2.840.2/old.DCM", "no preamble");
    mf_graph *g = load_text("massflow: 1\ncases: {glob: series/1.2.840.1/}\n" SCAN);
    ck_assert_uint_eq(mf_graph_case_count(g), 1);
    check_case(g, 0, "1.2.840.1", "path", "DIR/series/1.2.840.1");
    mf_graph_free(g);
    g = load_text("massflow: 1\ncases: {glob: series/*}\n" SCAN);
    ck_assert_uint_eq(mf_graph_case_count(g), 2);
    check_case(g, 1, "1.2.840.2", "path", "DIR/series/1.2.840.2");
    mf_graph_free(g);
    g = load_text("massflow: 1\ncases: {glob: scans/a.nii.gz}\n" SCAN);
    check_case(g, 0, "a", "path", "DIR/scans/a.nii.gz");
    mf_graph_free(g);
}
END_TEST

/* One element in explicit little-endian form, its text filled up with a blank. */
static void put_element(FILE *file, unsigned group, unsigned number, const char *type,
                        const char *text)
{
    unsigned length = (unsigned)strlen(text), even = (length + 1) & ~1u;
    unsigned head[8] = {group & 255, group >> 8, number & 255, number >> 8,
                        type[0],     type[1],    even & 255,   even >> 8};
    for (size_t i = 0; i < 8; i++)
        fputc((int)head[i], file);
    fprintf(file, "%-*s", (int)even, text);
}

static void write_slice(const char *path, const char *series, const char *number)
{
    static const unsigned char sequence[] = {
        8,    0, 0x40, 0x11, 'S', 'Q',  0,   0,    255,  255, 255,  255, 0xfe,
        255,  0, 0xe0, 255,  255, 255,  255, /* an item */
        8,    0, 0x60, 0,    'C', 'S',  2,   0,    'X',  'X', 0xfe, 255, 0x0d,
        0xe0, 0, 0,    0,    0,   0xfe, 255, 0xdd, 0xe0, 0,   0,    0,   0};
    /* UN of undefined length: implicit VR inside, nested too (PS3.5 6.2.2) */
    static const unsigned char hidden[] = {
        9,    0,   1,    0x10, 'U',  'N', 0,    0,    255,  255, 255,  255,
        0xfe, 255, 0,    0xe0, 255,  255, 255,  255, /* an item */
        8,    0,   0,    1,    4,    0,   0,    0,    'A',  'B', 'C',  'D',
        8,    0,   0x40, 0x11, 255,  255, 255,  255,             /* a sequence in it */
        0xfe, 255, 0,    0xe0, 10,   0,   0,    0,               /* and its item */
        8,    0,   0,    1,    2,    0,   0,    0,    'E',  'F', /* whose length is given */
        0xfe, 255, 0xdd, 0xe0, 0,    0,   0,    0,    0xfe, 255, 0x0d, 0xe0,
        0,    0,   0,    0,    0xfe, 255, 0xdd, 0xe0, 0,    0,   0,    0};
    write_below(path, "");
    FILE *file = fopen(path, "w");
    fprintf(file, "%128s", "DICM");
    fseek(file, 128, SEEK_SET);
    fputs("DICM", file);
    put_element(file, 2, 0x10, "UI", "1.2.840.10008.1.2.1");
    put_element(file, 8, 0x60, "CS", "MR");
    put_element(file, 8, 0x103e, "LO", "T1 axial");
    fwrite(sequence, 1, sizeof sequence, file); /* its modality is another's */
    fwrite(hidden, 1, sizeof hidden, file);
    put_element(file, 0x10, 0x20, "LO", "P7");
    put_element(file, 0x20, 0x0e, "UI", series);
    put_element(file, 0x20, 0x11, "IS", number);
    put_element(file, 0x28, 0x10, "US", "ab");
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(every_series_below_a_folder_is_a_case)
{
    write_slice("study/p1/t1/a", "1.2.3", "4");
    write_slice("study/p1/t1/b", "1.2.3", "4");
    write_slice("study/p2, old/a", "1.2.4", "5");
    write_slice("study/p2, old/b", "1.2.5", "6");
    write_slice("study/p2, old/c", "1.2.4", "5");
    write_file("study/notes.txt", "no scan");
    ck_assert_int_eq(symlink("..", "study/p1/up"), 0); /* leads back */
    mf_graph *g = load_text("massflow: 1\ncases: {dicom: study/, hospital: X}\n" SCAN);
    ck_assert_uint_eq(mf_graph_case_count(g), 3);
    check_case(g, 0, "p1_t1", "path", "DIR/study/p1/t1");
    check_case(g, 0, "p1_t1", "series", "1.2.3");
    check_case(g, 0, "p1_t1", "modality", "MR");
    check_case(g, 0, "p1_t1", "description", "T1 axial");
    check_case(g, 0, "p1_t1", "patient", "P7");
    check_case(g, 1, "p2__old-5", "series", "1.2.4");
    check_case(g, 2, "p2__old-6", "number", "6");
    check_case(g, 2, "p2__old-6", "hospital", "X");
    mf_graph_free(g);
    g = load_text("massflow: 1\ncases: {dicom: study/p1/t1}\n" SCAN);
    check_case(g, 0, "t1", "series", "1.2.3");
    mf_graph_free(g);
    /* A damaged file would leave its series with a slice missing. */
    ck_assert_int_eq(truncate("study/p1/t1/b", 200), 0);
    char *messages;
    write_file("g.yaml", "massflow: 1\ncases: {dicom: study/p1}\n" SCAN);
    ck_assert_ptr_null(load(NULL, 0, &messages));
    ck_assert_str_eq(
        messages,
        "g.yaml:2:16: error: DIR/study/p1/t1/b: damaged DICOM: it ends inside an element\n"
        "    2 | cases: {dicom: study/p1}\n"
        "      |                ^~~~~~~~\n");
    free(messages);
    write_slice("study/p1/t1/b", "", "4");
    ck_assert_ptr_null(load(NULL, 0, &messages));
    ck_assert_str_eq(
        messages, "g.yaml:2:16: error: DIR/study/p1/t1/b does not say to which series it belongs\n"
                  "    2 | cases: {dicom: study/p1}\n"
                  "      |                ^~~~~~~~\n");
    free(messages);
}
END_TEST

START_TEST(a_data_set_of_nnunet)
{
    write_below("D1/dataset.json", "{\"channel_names\": {\"0\": \"T1\", \"1\": \"T2\"},\n"
                                   "\t\"labels\": {\"background\": 0, \"organ\": 1},\n"
                                   "\t\"numTraining\": 2, \"file_ending\": \".nii.gz\"}\n");
    static const char *const files[] = {"imagesTr/a_0000",   "imagesTr/a_0001", "imagesTr/b_1_0000",
                                        "imagesTr/b_1_0001", "labelsTr/a",      "labelsTr/b_1",
                                        "imagesTs/t_0000",   "imagesTs/t_0001"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[64];
        snprintf(path, sizeof path, "D1/%s.nii.gz", files[i]);
        write_below(path, "");
    }
    write_below(
        "D2/dataset.json",
        "{\"channel_names\": {\"0\": \"CT\"}, \"file_ending\": \".nii.gz\", \"dataset\":"
        " {\"q\": {\"images\": [\"../scans/a.nii.gz\"], \"label\": \"../D1/labelsTr/a.nii.gz\"}}}");
    mf_graph *g = load_text("massflow: 1\ncases:\n  - {nnunet: D1, id: \"x-{id}\", site: here}\n"
                            "  - {nnunet: D2}\n" SCAN);
    ck_assert_uint_eq(mf_graph_case_count(g), 4);
    check_case(g, 0, "q", "path", "DIR/D2/../scans/a.nii.gz");
    check_case(g, 1, "x-a", "path", "DIR/D1/imagesTr/a_0000.nii.gz");
    check_case(g, 1, "x-a", "channel1", "DIR/D1/imagesTr/a_0001.nii.gz");
    check_case(g, 1, "x-a", "label", "DIR/D1/labelsTr/a.nii.gz");
    check_case(g, 1, "x-a", "set", "train");
    check_case(g, 2, "x-b_1", "channel0", "DIR/D1/imagesTr/b_1_0000.nii.gz");
    check_case(g, 3, "x-t", "set", "test");
    check_case(g, 3, "x-t", "label", "(none)");
    check_case(g, 3, "x-t", "site", "here");
    mf_graph_free(g);
}
END_TEST

START_TEST(a_source_of_a_plugin)
{
    write_below("lists/scans.txt", "\xef\xbb\xbf../scans/a.nii.gz\r\n"
                                   "\r\n"
                                   "second scan/../../scans/b.nii.gz\r\n");
    ck_assert_int_eq(mkdir("lists/scan", 0700), 0);
    write_file("marks.yaml", "{a: [1]}");
    mf_graph *g =
        load_text("massflow: 1\n"
                  "params: {list: lists/scans.txt}\n"
                  "cases: {lines: \"${list}\", marks: marks.yaml, site: \"{id}-x\"}\n"
                  "stages:\n"
                  "  scan: {use: toy.load, each: case, with: {path: \"${case.path}\"}}\n");
    ck_assert_uint_eq(mf_graph_case_count(g), 2);
    check_case(g, 0, "a", "path", "DIR/lists/../scans/a.nii.gz");
    check_case(g, 0, "a", "line", "1");
    check_case(g, 0, "a", "site", "a-x");
    check_case(g, 1, "second_scan_.._.._scans_b.nii.gz", "path",
               "DIR/lists/scan/../../scans/b.nii.gz");
    check_case(g, 1, "second_scan_.._.._scans_b.nii.gz", "line", "3");
    check_case(g, 1, "second_scan_.._.._scans_b.nii.gz", "word1",
               "second scan/../../scans/b.nii.gz");
    char *text = mf_graph_text(g);
    ck_assert_ptr_nonnull(strstr(text, "g.yaml: 1 stages, 2 cases, 2 nodes\nlines: 1 empty\n"));
    free(text);
    /* What it was read from is not overwritten. */
    static const char *const read[] = {"lists/scans.txt", "marks.yaml", "used.txt"};
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", scratch, read[i]);
        mf_status status = mf_graph_check_output(g, path);
        ck_assert_msg(status != MF_OK, "%s would be overwritten", read[i]);
        mf_error_free(status);
    }
    mf_graph_free(g);
    const mf_setting setting = {"list", "../lists/scans.txt"};
    char *messages;
    ck_assert_int_eq(mkdir("below", 0700), 0);
    ck_assert_int_eq(chdir("below"), 0); /* --set is relative to here */
    write_file("g.yaml", "massflow: 1\nparams: {list: none}\ncases: {lines: \"${list}\", skip: 2}\n"
                         "stages: {scan: {use: toy.load, with: {path: ../scans/a.nii.gz}}}\n");
    g = load(&setting, 1, &messages);
    ck_assert_str_eq(messages, "");
    ck_assert_uint_eq(mf_graph_case_count(g), 1);
    free(messages);
    mf_graph_free(g);
}
END_TEST

START_TEST(a_folder_may_have_wildcards_in_its_name)
{
    ck_assert_int_eq(mkdir("old [1]", 0700), 0);
    ck_assert_int_eq(chdir("old [1]"), 0);
    write_file("x.nii", "");
    write_file("g.yaml", "massflow: 1\ncases: {glob: \"{id}.nii\"}\n"
                         "stages: {scan: {use: toy.load, each: case, with: {path: x.nii}}}\n");
    char *messages;
    mf_graph *g = load(NULL, 0, &messages);
    ck_assert_str_eq(messages, "");
    check_case(g, 0, "x", "path", "DIR/old [1]/x.nii");
    free(messages);
    mf_graph_free(g);
}
END_TEST

/* ---- tables as spreadsheets write them ---------------------------------------------------------
 */

static mf_graph *load_table(const char *text)
{
    write_file("lab.csv", text);
    return load_text("massflow: 1\ncases: {csv: lab.csv}\n" SCAN);
}

START_TEST(separators_are_read_off_the_header)
{
    /* UTF-8 with a mark, semicolons, CRLF, a field of two lines, decimal commas, blank rows. */
    mf_graph *g = load_table("\xef\xbb\xbfid;note;age\r\n"
                             "p1;\"a;b\r\nc\";63,5\r\n"
                             ";;\r\n"
                             " \t; ;\r\n"
                             "\r\n"
                             "p2; x y ;\" z \"\r\n"
                             ";\r\n");
    ck_assert_uint_eq(mf_graph_case_count(g), 2);
    check_case(g, 0, "p1", "note", "a;b\r\nc");
    check_case(g, 0, "p1", "age", "63,5");
    check_case(g, 1, "p2", "note", "x y");
    check_case(g, 1, "p2", "age", " z ");
    mf_graph_free(g);
    g = load_table("id\tset\np1\ttrain, a\np2\t\n");
    check_case(g, 0, "p1", "set", "train, a");
    check_case(g, 1, "p2", "set", "");
    mf_graph_free(g);
    g = load_table("\"sep=;\"\r\nid;set\r\np1;a,b\r\n");
    check_case(g, 0, "p1", "set", "a,b");
    mf_graph_free(g);
    g = load_table("sep=,\nid,set\np1,a;b\n");
    check_case(g, 0, "p1", "set", "a;b");
    mf_graph_free(g);
    g = load_table("id,set\rp1,train\rp2,test"); /* as old Macs end lines */
    ck_assert_uint_eq(mf_graph_case_count(g), 2);
    check_case(g, 1, "p2", "set", "test");
    mf_graph_free(g);
    g = load_table(",,\nid,set,,\np1,train,, \n"); /* columns that were emptied */
    check_case(g, 0, "p1", "set", "train");
    mf_graph_free(g);
    g = load_table("id\np1;x\n"); /* one column */
    check_case(g, 0, "p1;x", "id", "p1;x");
    mf_graph_free(g);
}
END_TEST

/* The text in UTF-16 behind a mark; only characters below 0x80 and "\xf0\x9f\xa7\xa0" (a brain). */
static void write_utf16(const char *path, const char *text, bool big)
{
    FILE *file = fopen(path, "w");
    fwrite(big ? "\xfe\xff" : "\xff\xfe", 1, 2, file);
    while (*text) {
        static const unsigned pair[] = {0xd83e, 0xdde0};
        bool wide = (unsigned char)*text >= 0x80;
        for (int i = 0; i < (wide ? 2 : 1); i++) {
            unsigned unit = wide ? pair[i] : (unsigned char)*text;
            fputc((int)(big ? unit >> 8 : unit & 255), file);
            fputc((int)(big ? unit & 255 : unit >> 8), file);
        }
        text += wide ? 4 : 1;
    }
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(byte_order_marks_and_utf16_are_read)
{
    static const char brain[] = "p\xf0\x9f\xa7\xa0";
    for (int big = 0; big < 2; big++) {
        char text[400];
        snprintf(text, sizeof text, "id\tset\r\n%s\ttrain\r\n", brain);
        write_utf16("lab.csv", text, big);
        write_utf16("g.yaml", "massflow: 1\r\ncases: {csv: lab.csv}\r\n" SCAN, big);
        char *messages;
        mf_graph *g = load(NULL, 0, &messages);
        ck_assert_str_eq(messages, "");
        check_case(g, 0, brain, "set", "train");
        free(messages);
        mf_graph_free(g);
    }
    /* A graph, what it includes, and its table, each with a mark. */
    write_file("lab.csv", "\xef\xbb\xbfid\nq\n");
    write_file("in.yaml", "\xef\xbb\xbfmassflow: 1\r\ncases: {csv: lab.csv}\r\n" SCAN);
    mf_graph *g = load_text("\xef\xbb\xbfmassflow: 1\ninclude: {in: {file: in.yaml}}\n"
                            "stages: {all: {use: toy.load, with: {path: scans/a.nii.gz}}}\n");
    ck_assert_str_eq(mf_graph_node(g, 0)->name, "in.scan[case=q]");
    mf_graph_free(g);
}
END_TEST

static void refused_bytes(const char *bytes, size_t count, const char *expected)
{
    mf_diagnostics *d;
    mf_graph *g;
    FILE *file = fopen("g.yaml", "w");
    fwrite(bytes, 1, count, file);
    ck_assert_int_eq(fclose(file), 0);
    ok(mf_diagnostics_new(&d));
    fails(mf_graph_load("g.yaml", toys, NULL, 0, d, &g), expected);
    mf_diagnostics_free(d);
}

START_TEST(other_encodings_are_refused_in_words)
{
    refused_bytes("\xff\xfe\0\0m\0\0\0", 8,
                  "g.yaml is UTF-32 text, which is not read\n  save it as UTF-8");
    refused_bytes("\xff\xfem\0a", 5,
                  "g.yaml begins as UTF-16 text and is none\n  save it as UTF-8");
    refused_bytes("\xff\xfe\0\xdc", 4, /* half of a pair */
                  "g.yaml begins as UTF-16 text and is none\n  save it as UTF-8");
    refused_bytes("m\0a\0", 4,
                  "g.yaml is UTF-16 text without a byte order mark, or no text at all\n"
                  "  save it as UTF-8");
}
END_TEST

START_TEST(a_cell_may_hold_a_list)
{
    write_file("lab.csv", "id;window;note\na;[40, 400];[x]\nb;\"[8]\";y\n");
    mf_graph *g = load_text("massflow: 1\ncases: {csv: lab.csv}\nstages:\n"
                            "  scan: {use: toy.load, each: case, with: {path: scans/a.nii.gz}}\n"
                            "  m: {use: toy.masks, each: case, in: {volume: scan}, with: {sizes: "
                            "\"${case.window}\", title: \"${case.note}\"}}\n");
    static const char *const expected[] = {"\"sizes\":[40,400]", "\"sizes\":[8]"};
    for (size_t i = 0; i < 2; i++) {
        const mf_node *n = mf_graph_node(g, 2 + i);
        ck_assert_str_eq(n->label, "m");
        ck_assert_ptr_nonnull(strstr(mf_params_json(n->params), expected[i]));
        ck_assert_ptr_nonnull(strstr(mf_params_json(n->params), i ? "\"y\"" : "\"title\":\"[x]\""));
    }
    mf_graph_free(g);
}
END_TEST

/* ---- what a glob passes over -------------------------------------------------------------------
 */

START_TEST(a_glob_leaves_out_what_exclude_names)
{
    write_file("scans/a_labels.nii.gz", "");
    write_file("scans/b_seg.nii.gz", "");
    write_file("scans/._a.nii.gz", "");
    write_file("scans/.hidden.nii.gz", "");
    mf_graph *g = load_text("massflow: 1\nparams: {skip: [\"*_labels.nii.gz\", \"*_seg*\"]}\n"
                            "cases: {glob: \"scans/*.nii.gz\", exclude: \"${skip}\"}\n" SCAN);
    ck_assert_uint_eq(mf_graph_case_count(g), 2);
    check_case(g, 1, "b", "path", "DIR/scans/b.nii.gz");
    char *text = mf_graph_text(g);
    ck_assert_ptr_nonnull(strstr(text,
                                 "g.yaml: 1 stages, 2 cases, 2 nodes\n"
                                 "glob scans/*.nii.gz: 2 cases; 1 excluded by *_labels.nii.gz; "
                                 "1 excluded by *_seg*; 2 hidden files passed over, such as "
                                 "._a.nii.gz\n"));
    free(text);
    mf_graph_free(g);
    /* By {id}, and by a path. */
    g = load_text("massflow: 1\ncases: {glob: \"scans/{id}.nii.gz\", exclude: [scans/a*, "
                  "\"b_*\"]}\n" SCAN);
    ck_assert_uint_eq(mf_graph_case_count(g), 1);
    check_case(g, 0, "b", "id", "b");
    mf_graph_free(g);
    /* A dot that is written is meant. */
    g = load_text("massflow: 1\ncases: {glob: \"scans/.h*.nii.gz\", exclude: []}\n" SCAN);
    check_case(g, 0, ".hidden", "path", "DIR/scans/.hidden.nii.gz");
    mf_graph_free(g);
    g = load_text("massflow: 1\ncases: {glob: \"*/{id}/t?.nii.gz\"}\n" SCAN);
    ck_assert_uint_eq(mf_graph_case_count(g), 1);
    mf_graph_free(g);
}
END_TEST

static void check_refused(const char *text, const char *expected)
{
    char *messages;
    write_file("g.yaml", text);
    ck_assert_ptr_null(load(NULL, 0, &messages));
    ck_assert_str_eq(messages, expected);
    free(messages);
}

/* A data set may lack a part, not all of them; without the word it may lack none. */
START_TEST(an_optional_glob_may_find_nothing)
{
    mf_graph *g = load_text("massflow: 1\nparams: {lacking: true}\ncases:\n"
                            "  - {glob: \"none/{id}.nii.gz\", optional: \"${lacking}\"}\n"
                            "  - {glob: scans/none.nii.gz, optional: true}\n"
                            "  - {glob: \"scans/*.nii.gz\", exclude: \"*\", optional: true}\n"
                            "  - {glob: \"scans/a*.nii.gz\", optional: true}\n" SCAN);
    ck_assert_uint_eq(mf_graph_case_count(g), 1);
    char *text = mf_graph_text(g);
    ck_assert_ptr_nonnull(strstr(text, "\nglob none/{id}.nii.gz: no case (optional)\n"
                                       "glob scans/none.nii.gz: no case (optional)\n"
                                       "glob scans/*.nii.gz: no case (optional)\n"));
    free(text);
    mf_graph_free(g);
    check_refused("massflow: 1\ncases:\n"
                  "  - {glob: \"none/{id}.nii.gz\", optional: true}\n"
                  "  - {glob: \"x*\", optional: true}\n" SCAN,
                  "g.yaml:3:3: error: no cases\n"
                  "    3 |   - {glob: \"none/{id}.nii.gz\", optional: true}\n"
                  "      |   ^\n"
                  "  glob none/{id}.nii.gz: no case (optional)\n"
                  "  glob x*: no case (optional)\n");
    check_refused("massflow: 1\ncases: {glob: \"x*\", optional: false}\n" SCAN,
                  "g.yaml:2:15: error: no file matches 'DIR/x*'\n"
                  "    2 | cases: {glob: \"x*\", optional: false}\n"
                  "      |               ^~~~\n");
    check_refused("massflow: 1\ncases: {glob: \"scans/*\", optional: maybe}\n" SCAN,
                  "g.yaml:2:36: error: 'optional' is true or false\n"
                  "    2 | cases: {glob: \"scans/*\", optional: maybe}\n"
                  "      |                                    ^~~~~\n");
    check_refused(
        "massflow: 1\ncases: {count: 2, optional: true}\n" SCAN,
        "g.yaml:2:19: error: 'optional' is for a glob that may find no file, not 'count'\n"
        "    2 | cases: {count: 2, optional: true}\n"
        "      |                   ^~~~~~~~\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cases");
    TCase *tests = tcase_create("cases");
    tcase_add_checked_fixture(tests, enter, leave_scratch);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, sources_add_up);
    tcase_add_test(tests, a_folder_of_dicom_files_is_a_case);
    tcase_add_test(tests, every_series_below_a_folder_is_a_case);
    tcase_add_test(tests, a_data_set_of_nnunet);
    tcase_add_test(tests, a_source_of_a_plugin);
    tcase_add_test(tests, a_folder_may_have_wildcards_in_its_name);
    tcase_add_test(tests, separators_are_read_off_the_header);
    tcase_add_test(tests, byte_order_marks_and_utf16_are_read);
    tcase_add_test(tests, other_encodings_are_refused_in_words);
    tcase_add_test(tests, a_cell_may_hold_a_list);
    tcase_add_test(tests, a_glob_leaves_out_what_exclude_names);
    tcase_add_test(tests, an_optional_glob_may_find_nothing);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
