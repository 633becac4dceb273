/* test_graph.c - graph files: every error text (graph_errors.txt), cases, expansion, targets. */
#include "graph_fixture.h"

#include <sys/resource.h>
#include <time.h>

/* ---- errors: blocks "== name", a graph, perhaps "-- file NAME" and what is in it, "-- expected",
 * the messages -----------------------------------------------------------------------------------
 */

typedef struct block {
    char *name, *graph, *expected;
} block;

static block blocks[128];
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

/* A file and the folders on the way to it. */
static void write_below(const char *path, const char *text)
{
    char folder[256];
    for (const char *c = strchr(path, '/'); c; c = strchr(c + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", (int)(c - path), path);
        if (access(folder, F_OK))
            ck_assert_int_eq(mkdir(folder, 0700), 0);
    }
    write_file(path, text);
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
    while (at && block_count < 128) {
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
}

START_TEST(error_texts)
{
    const block *b = &blocks[_i];
    char *messages;
    write_file("bad.csv", "name,set\nx,y\n");
    write_file("short.csv", "id,set\na,train\nb\n");
    write_file("quote.csv", "id,set\na,\"train\n");
    write_file("empty.csv", "");
    char *more = cut(b->graph, "-- file ");
    write_file("g.yaml", b->graph);
    while (more) {
        char *text = cut(more, "\n"), *next = cut(text, "-- file ");
        write_below(more, text);
        more = next;
    }
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

START_TEST(a_missing_file_is_a_status)
{
    mf_diagnostics *d;
    mf_graph *g;
    ok(mf_diagnostics_new(&d));
    fails(mf_graph_load("none.yaml", toys, NULL, 0, d, &g),
          "cannot read none.yaml: No such file or directory");
    fails(mf_graph_load("scans", toys, NULL, 0, d, &g), "cannot read scans: Is a directory");
    ck_assert_ptr_null(g);
    mf_diagnostics_free(d);
}
END_TEST

/* ---- cases -------------------------------------------------------------------------------------
 */

#define SCAN "stages:\n  scan: {use: toy.load, each: case, with: {path: scans/a.nii.gz}}\n"

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
    write_below(path, "");
    FILE *file = fopen(path, "w");
    fprintf(file, "%128s", "DICM");
    fseek(file, 128, SEEK_SET);
    fputs("DICM", file);
    put_element(file, 2, 0x10, "UI", "1.2.840.10008.1.2.1");
    put_element(file, 8, 0x60, "CS", "MR");
    put_element(file, 8, 0x103e, "LO", "T1 axial");
    fwrite(sequence, 1, sizeof sequence, file); /* its modality is another's */
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

/* ---- expansion ---------------------------------------------------------------------------------
 */

static const char whole[] =
    "massflow: 1\n"
    "cases:\n"
    "  - {count: 3, id: \"t{id}\", set: train}\n"
    "  - {count: 1, id: \"h{id}\", set: test, fold: 2}\n"
    "stages:\n" /* not in the order of use */
    "  dice: {use: toy.dice, in: {predicted: [\"seg[*]\", \"seg[case=h000]\"], truth: "
    "\"seg[set=test]\"}}\n"
    "  seg:\n"
    "    use: toy.segment\n"
    "    each: case\n"
    "    in: {volume: scan, model: model, reference: \"scan[id=t001]\"}\n"
    "  model: {use: toy.train, in: {views: views}, with: {steps: 10}}\n"
    "  views: {use: toy.views, in: {volumes: \"scan[set=train]\", masks: \"masks[*]\"}}\n"
    "  masks: {use: toy.masks, each: case, where: {set: [train, other]}, in: {volume: "
    "scan.volume}}\n"
    "  scan: {use: toy.load, each: [case], with: {path: scans/a.nii.gz}}\n"
    "export:\n"
    "  model: \"out/m.safetensors\"\n"
    "  model.metrics: out/metrics.csv\n"
    "  masks: \"out/${case.set}/${case.id}.nii.gz\"\n";

/* "port <- node.output node.output; ..." of a node. */
static char *edges_of(const mf_graph *g, const mf_node *n)
{
    mf_text t = {0};
    for (size_t p = 0; p < n->input_count; p++) {
        mf_text_add(&t, "%s%s <-", p ? "; " : "", n->stage->in[p].name);
        for (size_t k = 0; k < n->inputs[p].count; k++) {
            const mf_node *from = mf_graph_node(g, n->inputs[p].edges[k].node);
            ck_assert(from < n); /* topological */
            mf_text_add(&t, " %s.%s", from->name,
                        from->stage->out[n->inputs[p].edges[k].port].name);
        }
    }
    return mf_text_take(&t);
}

START_TEST(nodes_and_edges)
{
    static const char *const expected[][2] = {
        {"scan[case=h000]", ""},
        {"scan[case=t000]", ""},
        {"scan[case=t001]", ""},
        {"scan[case=t002]", ""},
        {"masks[case=t000]", "volume <- scan[case=t000].volume; labels <-"},
        {"masks[case=t001]", "volume <- scan[case=t001].volume; labels <-"},
        {"masks[case=t002]", "volume <- scan[case=t002].volume; labels <-"},
        {"views",
         "volumes <- scan[case=t000].volume scan[case=t001].volume scan[case=t002].volume; "
         "masks <- masks[case=t000].masks masks[case=t001].masks masks[case=t002].masks"},
        {"model", "views <- views.views"},
        {"seg[case=h000]", "volume <- scan[case=h000].volume; model <- model.model; reference <- "
                           "scan[case=t001].volume"},
        {"seg[case=t000]", "volume <- scan[case=t000].volume; model <- model.model; reference <- "
                           "scan[case=t001].volume"},
        {"seg[case=t001]", "volume <- scan[case=t001].volume; model <- model.model; reference <- "
                           "scan[case=t001].volume"},
        {"seg[case=t002]", "volume <- scan[case=t002].volume; model <- model.model; reference <- "
                           "scan[case=t001].volume"},
        {"dice", "predicted <- seg[case=h000].labels seg[case=t000].labels seg[case=t001].labels "
                 "seg[case=t002].labels seg[case=h000].labels; truth <- seg[case=h000].labels"},
    };
    mf_graph *g = load_text(whole);
    ck_assert_uint_eq(mf_graph_node_count(g), sizeof expected / sizeof *expected);
    for (size_t i = 0; i < mf_graph_node_count(g); i++) {
        char *edges = edges_of(g, mf_graph_node(g, i));
        ck_assert_str_eq(mf_graph_node(g, i)->name, expected[i][0]);
        ck_assert_str_eq(edges, expected[i][1]);
        free(edges);
    }
    const mf_node *masks = mf_graph_node(g, 5);
    ck_assert_str_eq(masks->label, "masks");
    ck_assert_str_eq(masks->of_case->id, "t001");
    ck_assert_uint_eq(masks->axis_count, 1);
    ck_assert_str_eq(masks->axes[0].axis, "case");
    ck_assert_str_eq(masks->axes[0].value, "t001");
    ck_assert_ptr_eq(masks->params, mf_graph_node(g, 6)->params); /* shared */
    ck_assert_str_eq(mf_graph_stage_at(g, masks->group)->label, "masks");
    ck_assert_uint_eq(mf_graph_stage_at(g, masks->group)->first, 4);
    ck_assert_uint_eq(mf_graph_stage_at(g, masks->group)->count, 3);
    ck_assert_uint_eq(mf_graph_export_count(g), 5);
    const mf_export *e = mf_graph_export(g, 0);
    ck_assert_str_eq(mf_graph_node(g, e->node)->stage->out[e->port].name, "model");
    char *path = without_folder(strdup(mf_graph_export(g, 3)->path));
    ck_assert_str_eq(path, "DIR/out/train/t001.nii.gz");
    free(path);
    mf_graph_free(g);
}
END_TEST

/* ---- axes --------------------------------------------------------------------------------------
 */

static const char sweep[] =
    "massflow: 1\n"
    "params: {seeds: [1, 2]}\n"
    "cases:\n"
    "  - {list: [{id: a, rank: 1}, {id: b, rank: 2}], set: train}\n"
    "  - {list: [{id: q}, {id: r}], set: test}\n"
    "axes: {shots: [5, 1], seed: \"${seeds}\"}\n"
    "stages:\n"
    "  scan: {use: toy.load, each: case, with: {path: scans/a.nii.gz}}\n"
    "  masks: {use: toy.masks, each: [seed, case], where: {set: train}, in: {volume: scan}, "
    "with: {title: \"of ${case.id}\"}}\n"
    "  views: {use: toy.views, each: [shots, seed], in: {volumes: \"scan[set=train, "
    "rank<=${shots}]\", masks: \"masks[rank<=${shots}]\"}}\n"
    "  model: {use: toy.train, each: [shots, seed], in: {views: views}, with: {steps: "
    "\"${shots}\"}}\n"
    "  seg: {use: toy.segment, each: [case, shots, seed], where: {set: test}, in: {volume: scan, "
    "model: model}}\n"
    "  best: {use: toy.segment, each: case, where: {set: test}, in: {volume: scan, model: "
    "\"model[shots=5, seed=2]\"}}\n"
    "  dice: {use: toy.dice, each: [shots, seed], in: {predicted: \"seg[*]\", truth: "
    "\"best[*]\"}}\n"
    "  vote: {use: toy.dice, each: case, where: {set: test}, in: {predicted: \"seg[*]\", truth: "
    "\"seg[case=*, shots=1]\"}}\n"
    "export:\n"
    "  model: \"out/${shots}/${seed}.safetensors\"\n";

/* The inputs of one node by its name. */
static void check_edges(const mf_graph *g, const char *node, const char *expected)
{
    mf_target t;
    ok(mf_graph_target(g, node, &t));
    ck_assert_uint_eq(t.count, 1);
    ck_assert_str_eq(mf_graph_node(g, t.first)->name, node);
    char *edges = edges_of(g, mf_graph_node(g, t.first));
    ck_assert_str_eq(edges, expected);
    free(edges);
}

START_TEST(edges_join_on_axes)
{
    mf_graph *g = load_text(sweep);
    ck_assert_uint_eq(mf_graph_node_count(g), 4 + 4 + 4 + 4 + 8 + 2 + 4 + 2);
    check_edges(g, "masks[case=b,seed=2]", "volume <- scan[case=b].volume; labels <-");
    check_edges(g, "views[shots=1,seed=2]",
                "volumes <- scan[case=a].volume; "
                "masks <- masks[case=a,seed=2].masks");
    check_edges(g, "views[shots=5,seed=1]",
                "volumes <- scan[case=a].volume scan[case=b].volume; "
                "masks <- masks[case=a,seed=1].masks masks[case=b,seed=1].masks");
    check_edges(g, "model[shots=5,seed=1]", "views <- views[shots=5,seed=1].views");
    check_edges(g, "seg[case=r,shots=1,seed=2]",
                "volume <- scan[case=r].volume; model <- model[shots=1,seed=2].model; "
                "reference <-");
    check_edges(g, "best[case=q]",
                "volume <- scan[case=q].volume; "
                "model <- model[shots=5,seed=2].model; reference <-");
    check_edges(g, "dice[shots=5,seed=2]",
                "predicted <- seg[case=q,shots=5,seed=2].labels seg[case=r,shots=5,seed=2].labels; "
                "truth <- best[case=q].labels best[case=r].labels");
    /* Of the same case only, and of all cases. */
    check_edges(g, "vote[case=r]",
                "predicted <- seg[case=r,shots=5,seed=1].labels seg[case=r,shots=5,seed=2].labels "
                "seg[case=r,shots=1,seed=1].labels seg[case=r,shots=1,seed=2].labels; "
                "truth <- seg[case=q,shots=1,seed=1].labels seg[case=q,shots=1,seed=2].labels "
                "seg[case=r,shots=1,seed=1].labels seg[case=r,shots=1,seed=2].labels");
    mf_graph_free(g);
}
END_TEST

/* What does not depend on an axis is shared by the nodes that differ only in it. */
START_TEST(axes_share_what_they_do_not_change)
{
    mf_graph *g = load_text(sweep);
    mf_target a, b, c;
    ok(mf_graph_target(g, "masks[case=a,seed=1]", &a));
    ok(mf_graph_target(g, "masks[case=a,seed=2]", &b));
    ok(mf_graph_target(g, "masks[case=b,seed=2]", &c));
    ck_assert_ptr_eq(mf_graph_node(g, a.first)->params, mf_graph_node(g, b.first)->params);
    ck_assert_ptr_ne(mf_graph_node(g, b.first)->params, mf_graph_node(g, c.first)->params);
    ok(mf_graph_target(g, "seg[case=q,shots=5,seed=1]", &a));
    ok(mf_graph_target(g, "seg[case=r,shots=5,seed=1]", &b));
    ck_assert_ptr_eq(mf_graph_node(g, a.first)->inputs[1].edges,
                     mf_graph_node(g, b.first)->inputs[1].edges);
    const mf_node *n = mf_graph_node(g, b.first);
    ck_assert_uint_eq(n->axis_count, 3);
    ck_assert_str_eq(n->axes[0].axis, "case");
    ck_assert_str_eq(n->axes[1].axis, "shots");
    ck_assert_str_eq(n->axes[1].value, "5");
    ck_assert_str_eq(n->of_case->id, "r");
    ok(mf_graph_target(g, "model[seed=2,shots=1]", &a));
    ck_assert_str_eq(mf_params_json(mf_graph_node(g, a.first)->params),
                     "{\"steps\":1,\"stop_at\":0}");
    ck_assert_uint_eq(mf_graph_export_count(g), 4);
    char *path = without_folder(strdup(mf_graph_export(g, 3)->path));
    ck_assert_str_eq(path, "DIR/out/1/2.safetensors");
    free(path);
    char *text = mf_graph_text(g);
    ck_assert_ptr_nonnull(strstr(text, "\nmodel  toy.train  x 4 (shots, seed)\n"));
    free(text);
    mf_graph_free(g);
}
END_TEST

static void no_target(const mf_graph *g, const char *text, const char *expected);
static char *wanted_of(const mf_graph *g, const char *const *targets, size_t target_count,
                       const char *const *cases, size_t case_count);

/* ---- included files ----------------------------------------------------------------------------
 */

static const char included[] =
    "massflow: 1\n"
    "params: {steps: 7, data: scans/*.nii.gz, seeds: [1]}\n"
    "cases: {glob: \"${data}\"}\n"
    "axes: {seed: \"${seeds}\"}\n"
    "stages:\n"
    "  scan: {use: toy.load, each: case, with: {path: \"${case.path}\"}}\n"
    "  masks: {use: toy.masks, each: case, in: {volume: scan}}\n"
    "  views: {use: toy.views, in: {volumes: \"scan[*]\", masks: \"masks[*]\"}}\n"
    "  model: {use: toy.train, each: seed, in: {views: views}, with: {steps: \"${steps}\"}}\n"
    "  unused: {use: toy.masks, each: case, in: {volume: scan}}\n"
    "export: {model: \"m${seed}.safetensors\"}\n";

static const char including[] =
    "massflow: 1\n"
    "params: {steps: 30, where: more/*/t1.nii.gz}\n"
    "cases: {glob: \"scans/*.nii.gz\"}\n"
    "axes: {seed: [1, 3]}\n"
    "include:\n"
    "  pre: {file: sub/pre.yaml, set: {steps: \"${steps}\", data: \"${where}\", seeds: [1, 2]}}\n"
    "  own: {file: sub/pre.yaml, set: {data: scans/a.nii.gz}}\n"
    "stages:\n"
    "  scan: {use: toy.load, each: case, with: {path: \"${case.path}\"}}\n"
    "  seg: {use: toy.segment, each: case, in: {volume: scan, model: \"pre.model[seed=2]\", "
    "reference: \"own.scan[case=a]\"}}\n"
    "  all: {use: toy.views, each: seed, in: {volumes: [\"scan[*]\", \"pre.scan[*]\"], masks: "
    "\"own.masks[*]\"}}\n"
    "export: {own.masks: \"out/${steps}-${case.id}.nii.gz\"}\n";

START_TEST(included_files_have_their_own_cases_and_axes)
{
    static const char *const cases[] = {"t1"};
    mf_target t;
    ck_assert_int_eq(mkdir("sub", 0700), 0);
    write_file("sub/pre.yaml", included);
    mf_graph *g = load_text(including);
    ck_assert_uint_eq(mf_graph_case_count(g), 2);
    check_edges(g, "seg[case=b]",
                "volume <- scan[case=b].volume; model <- pre.model[seed=2].model; "
                "reference <- own.scan[case=a].volume");
    check_edges(g, "all[seed=3]",
                "volumes <- scan[case=a].volume scan[case=b].volume "
                "pre.scan[case=t1].volume; masks <- own.masks[case=a].masks");
    check_edges(g, "pre.model[seed=1]", "views <- pre.views.views");
    ok(mf_graph_target(g, "pre.model[seed=1].metrics", &t));
    ck_assert_int_eq(t.port, 1);
    ck_assert_str_eq(mf_params_json(mf_graph_node(g, t.first)->params),
                     "{\"steps\":30,\"stop_at\":0}");
    ok(mf_graph_target(g, "own.model", &t));
    ck_assert_uint_eq(t.count, 1);
    ck_assert_str_eq(mf_params_json(mf_graph_node(g, t.first)->params),
                     "{\"steps\":7,\"stop_at\":0}");
    no_target(g, "pre.modle", "sub/pre.yaml has no stage 'modle'; did you mean 'pre.model'?");
    no_target(g, "model", "g.yaml has no stage 'model'; did you mean 'pre.model'?");
    no_target(g, "pre.scan[case=a]", "sub/pre.yaml has no case 'a'");
    /* Without a target: the file's own, and what it exports of the others. */
    char *names = wanted_of(g, NULL, 0, NULL, 0);
    ck_assert_str_eq(names, "own.masks[case=a] scan[case=a] scan[case=b] seg[case=a] seg[case=b] "
                            "all[seed=1] all[seed=3] ");
    free(names);
    const char *targets[] = {"pre.masks"};
    names = wanted_of(g, targets, 1, cases, 1);
    ck_assert_str_eq(names, "pre.masks[case=t1] ");
    free(names);
    /* Exports of the included file are not written; a path is meant from the file that says so. */
    ck_assert_uint_eq(mf_graph_export_count(g), 1);
    char *path = without_folder(strdup(mf_graph_export(g, 0)->path));
    ck_assert_str_eq(path, "DIR/out/30-a.nii.gz");
    free(path);
    mf_graph_free(g);
}
END_TEST

/* An axis and a column of one name: at a stage that has the axis the axis is meant. */
START_TEST(where_looks_across_axes)
{
    mf_graph *g = load_text(
        "massflow: 1\n"
        "cases: {list: [{id: a, fold: 0}, {id: b, fold: 1}, {id: c, fold: 0}]}\n"
        "axes: {fold: [0, 1]}\n"
        "stages:\n"
        "  scan: {use: toy.load, each: case, with: {path: scans/a.nii.gz}}\n"
        "  masks: {use: toy.masks, each: case, in: {volume: scan}}\n"
        "  views: {use: toy.views, each: fold, in: {volumes: \"scan[fold!=${fold}]\", masks: "
        "\"masks[fold!=${fold}]\"}}\n"
        "  model: {use: toy.train, each: fold, in: {views: views}, with: {steps: 3}}\n"
        "  seg: {use: toy.segment, each: [case, fold], where: {fold: \"${case.fold}\"}, in: "
        "{volume: scan, model: model}}\n"
        "  dice: {use: toy.dice, in: {predicted: \"seg[*]\", truth: \"seg[case.fold=0]\"}}\n"
        "  one: {use: toy.dice, each: fold, in: {predicted: \"seg[*]\", truth: "
        "\"seg[fold!=${fold}]\"}}\n");
    check_edges(g, "views[fold=1]",
                "volumes <- scan[case=a].volume scan[case=c].volume; "
                "masks <- masks[case=a].masks masks[case=c].masks");
    check_edges(g, "dice",
                "predicted <- seg[case=a,fold=0].labels seg[case=b,fold=1].labels "
                "seg[case=c,fold=0].labels; truth <- seg[case=a,fold=0].labels "
                "seg[case=c,fold=0].labels");
    check_edges(g, "one[fold=1]",
                "predicted <- seg[case=b,fold=1].labels; "
                "truth <- seg[case=a,fold=0].labels seg[case=c,fold=0].labels");
    mf_graph_free(g);
}
END_TEST

/* Ids are names: "012" is not "12", though as numbers they are equal. */
START_TEST(ids_are_no_numbers)
{
    mf_graph *g = load_text("massflow: 1\n"
                            "cases: {list: [{id: 12, fold: 01}, {id: 012, fold: 2}]}\n"
                            "stages:\n"
                            "  scan: {use: toy.load, each: case, with: {path: scans/a.nii.gz}}\n"
                            "  one: {use: toy.masks, in: {volume: \"scan[case=12]\"}}\n"
                            "  fold: {use: toy.masks, in: {volume: \"scan[fold=1]\"}}\n");
    char *edges = edges_of(g, mf_graph_node(g, 2));
    ck_assert_str_eq(edges, "volume <- scan[case=12].volume; labels <-");
    free(edges);
    edges = edges_of(g, mf_graph_node(g, 3));
    ck_assert_str_eq(edges, "volume <- scan[case=12].volume; labels <-");
    free(edges);
    mf_graph_free(g);
}
END_TEST

/* In the file from the file's folder, in --set from the current one, in a csv from the csv's. */
START_TEST(where_relative_paths_begin)
{
    const mf_setting settings[] = {{"data", "scans/a.nii.gz"}, {"out", "made"}};
    char *messages;
    ck_assert_int_eq(mkdir("graphs", 0700), 0);
    write_file("graphs/labels-a.nii.gz", "");
    write_file("graphs/g.yaml",
               "massflow: 1\n"
               "params: {data: none, out: here}\n"
               "cases: {glob: \"${data}\", labels: \"labels-{id}.nii.gz\"}\n"
               "stages:\n"
               "  scan: {use: toy.load, each: case, with: {path: \"${case.path}\", "
               "labels: \"${case.labels}\"}}\n"
               "  masks: {use: toy.masks, each: case, in: {volume: scan}}\n"
               "export: {masks: \"${out}/${case.id}.nii.gz\"}\n");
    mf_diagnostics *d;
    mf_graph *g;
    ok(mf_diagnostics_new(&d));
    ok(mf_graph_load("graphs/g.yaml", toys, settings, 2, d, &g));
    messages = mf_diagnostics_text(d);
    ck_assert_str_eq(messages, "");
    free(messages);
    mf_diagnostics_free(d);
    const mf_params *p = mf_graph_node(g, 0)->params;
    char *labels = without_folder(strdup(mf_params_path(p, 0, NULL)));
    char *path = without_folder(strdup(mf_params_path(p, 1, NULL)));
    char *out = without_folder(strdup(mf_graph_export(g, 0)->path));
    ck_assert_str_eq(labels, "DIR/graphs/labels-a.nii.gz");
    ck_assert_str_eq(path, "DIR/scans/a.nii.gz");
    ck_assert_str_eq(out, "DIR/made/a.nii.gz");
    free(labels);
    free(path);
    free(out);
    mf_graph_free(g);
}
END_TEST

START_TEST(json_is_a_graph_file_too)
{
    mf_graph *g = load_text("{\n\t\"massflow\": 1,\n\t\"cases\": {\"count\": 2},\n"
                            "\t\"stages\": {\"scan\": {\"use\": \"toy.load\", \"each\": \"case\",\n"
                            "\t\t\"with\": {\"path\": \"scans/a.nii.gz\"}}}\n}\n");
    ck_assert_uint_eq(mf_graph_node_count(g), 2);
    mf_graph_free(g);
}
END_TEST

START_TEST(pictures)
{
    mf_graph *g = load_text("massflow: 1\ncases: {count: 2}\nstages:\n"
                            "  scan: {use: toy.load, each: case, with: {path: scans/a.nii.gz}}\n"
                            "  masks: {use: toy.masks, each: case, in: {volume: scan}, "
                            "with: {sigma: 0.50, title: \"of ${case.id}\"}}\n"
                            "  views: {use: toy.views, in: {volumes: \"scan[*]\", "
                            "masks: \"masks[*]\"}}\n");
    char *text = without_folder(mf_graph_text(g));
    ck_assert_str_eq(text, "g.yaml: 3 stages, 2 cases, 5 nodes\n"
                           "\n"
                           "scan  toy.load  x 2 cases\n"
                           "    path: \"DIR/scans/a.nii.gz\"\n"
                           "    -> volume: volume\n"
                           "    -> labels: labels?\n"
                           "\n"
                           "masks  toy.masks  x 2 cases\n"
                           "    volume <- scan\n"
                           "    sigma: 0.5 mm\n"
                           "    title: of ${case.id}\n"
                           "    -> masks: masks\n"
                           "\n"
                           "views  toy.views\n"
                           "    volumes <- scan[*]\n"
                           "    masks <- masks[*]\n"
                           "    -> views: stream<pair>\n");
    free(text);
    text = mf_graph_dot(g);
    ck_assert_str_eq(text, "digraph massflow {\n"
                           "  node [shape=box, fontname=\"sans-serif\"];\n"
                           "  \"scan\" [label=\"scan\\ntoy.load\\nx 2\", peripheries=2];\n"
                           "  \"masks\" [label=\"masks\\ntoy.masks\\nx 2\", peripheries=2];\n"
                           "  \"views\" [label=\"views\\ntoy.views\"];\n"
                           "  \"scan\" -> \"masks\" [label=\"volume\"];\n"
                           "  \"scan\" -> \"views\" [label=\"volumes\", style=bold];\n"
                           "  \"masks\" -> \"views\" [label=\"masks\", style=bold];\n"
                           "}\n");
    free(text);
    mf_graph_free(g);
}
END_TEST

/* ---- targets -----------------------------------------------------------------------------------
 */

static void check_target(const mf_graph *g, const char *text, uint32_t first, uint32_t count,
                         int port)
{
    mf_target t;
    ok(mf_graph_target(g, text, &t));
    ck_assert_uint_eq(t.first, first);
    ck_assert_uint_eq(t.count, count);
    ck_assert_int_eq(t.port, port);
}

static void no_target(const mf_graph *g, const char *text, const char *expected)
{
    mf_target t;
    fails(mf_graph_target(g, text, &t), expected);
}

START_TEST(targets_by_name)
{
    mf_graph *g = load_text(whole);
    check_target(g, "masks", 4, 3, -1);
    check_target(g, "masks[case=t001]", 5, 1, -1);
    check_target(g, "scan[case=t000].labels", 1, 1, 1);
    check_target(g, "scan.labels[case=t000]", 1, 1, 1);
    check_target(g, "model.metrics", 8, 1, 1);
    no_target(g, "mask", "g.yaml has no stage 'mask'; did you mean 'masks'?");
    no_target(g, "scan[case=t0001]", "g.yaml has no case 't0001'; did you mean 't000'?");
    no_target(g, "masks[case=h000]", "'where' of 'masks' leaves out case 'h000'");
    no_target(g, "model[case=h000]", "'model' is not per case");
    no_target(g, "scan[shots=1]", "'scan' has no axis 'shots'; a node of it is 'scan[case=ID]'");
    no_target(g, "scan[case=t000",
              "a node is named as in 'scan[case=ID]' or "
              "'scan[case=ID].volume'");
    no_target(g, "scan.volum", "toy.load has no output 'volum'; did you mean 'volume'?");
    mf_graph_free(g);
}
END_TEST

START_TEST(targets_on_axes)
{
    mf_graph *g = load_text(sweep);
    mf_target t;
    check_target(g, "model", 12, 4, -1);
    check_target(g, "model[seed=2]", 13, 2, -1);
    check_target(g, "model[shots=1, seed=2].metrics", 15, 1, 1);
    check_target(g, "seg.labels[shots=1]", 18, 4, 0);
    ok(mf_graph_target(g, "seg[seed=1,shots=1]", &t));
    for (size_t i = 0; i < mf_graph_node_count(g); i++)
        ck_assert_int_eq(mf_target_has(g, &t, i),
                         strstr(mf_graph_node(g, i)->name, "seg[case=") &&
                             strstr(mf_graph_node(g, i)->name, ",shots=1,seed=1]"));
    no_target(g, "model[case=a]", "'model' is not per case");
    no_target(g, "model[shots=200]", "axis 'shots' has no value '200'; it has 5, 1");
    no_target(g, "model[shot=5]", "'model' has no axis 'shot'; did you mean 'shots'?");
    no_target(g, "model[rotation=5]",
              "'model' has no axis 'rotation'; a node of it is 'model[shots=VALUE,seed=VALUE]'");
    no_target(g, "model[seed=1,seed=2]", "the axis 'seed' is there twice");
    no_target(g, "model[1]",
              "a node is named as in 'model[shots=VALUE,seed=VALUE]', not 'model[1]'");
    no_target(g, "seg[case=a,shots=1]", "'where' of 'seg' leaves out [case=a,shots=1]");
    mf_graph_free(g);
    g = load_text(whole);
    no_target(g, "model[shots=1]", "'model' is one node; it has no axes");
    mf_graph_free(g);
}
END_TEST

/* The names of the nodes that are wanted. */
static char *wanted_of(const mf_graph *g, const char *const *targets, size_t target_count,
                       const char *const *cases, size_t case_count)
{
    bool *wanted;
    mf_text t = {0};
    ok(mf_graph_select(g, targets, target_count, cases, case_count, &wanted));
    for (size_t i = 0; i < mf_graph_node_count(g); i++)
        if (wanted[i])
            mf_text_add(&t, "%s ", mf_graph_node(g, i)->name);
    free(wanted);
    return mf_text_take(&t);
}

START_TEST(selections_of_a_command)
{
    static const char *const targets[] = {"masks", "seg[case=h000]"}, *const model[] = {"model"};
    static const char *const cases[] = {"t001"}, *const none[] = {"t1"};
    bool *wanted;
    mf_graph *g = load_text(whole);
    char *names = wanted_of(g, targets, 2, NULL, 0);
    ck_assert_str_eq(names, "masks[case=t000] masks[case=t001] masks[case=t002] seg[case=h000] ");
    free(names);
    names = wanted_of(g, NULL, 0, cases, 1);
    ck_assert_str_eq(names, "scan[case=t001] masks[case=t001] seg[case=t001] ");
    free(names);
    names = wanted_of(g, targets, 1, cases, 1);
    ck_assert_str_eq(names, "masks[case=t001] ");
    free(names);
    fails(mf_graph_select(g, model, 1, cases, 1, &wanted),
          "--case cannot be used with 'model', which is not per case\n"
          "  it would be made from a part of its cases; leave --case out, or choose cases in the "
          "graph with 'where' or a selection");
    fails(mf_graph_select(g, targets, 2, cases, 1, &wanted),
          "'seg[case=h000]' has none of the cases of --case");
    fails(mf_graph_select(g, NULL, 0, none, 1, &wanted), "g.yaml has no case 't1'");
    ck_assert_ptr_null(wanted);
    mf_graph_free(g);
}
END_TEST

/* ---- size --------------------------------------------------------------------------------------
 */

/* Loads g.yaml and says how long it took, in seconds of processor time. */
static double timed(size_t nodes)
{
    struct rusage before, after;
    char *messages;
    clock_t start = clock();
    getrusage(RUSAGE_SELF, &before);
    mf_graph *g = load(NULL, 0, &messages);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    getrusage(RUSAGE_SELF, &after);
    ck_assert_str_eq(messages, "");
    ck_assert_uint_eq(mf_graph_node_count(g), nodes);
#if !defined(__SANITIZE_ADDRESS__)
    ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 100 * 1024); /* KiB */
#endif
    mf_graph_free(g);
    free(messages);
    return seconds;
}

/* 2500 cases through four stages, one of them with parameters of the case, and two gathers. */
static double many_cases(int cases)
{
    mf_text t = {0};
    mf_text_add(&t,
                "massflow: 1\ncases: {count: %d}\nstages:\n"
                "  scan: {use: toy.load, each: case, with: {path: scans/a.nii.gz}}\n"
                "  masks: {use: toy.masks, each: case, in: {volume: scan}, "
                "with: {title: \"of ${case.id}\"}}\n"
                "  more: {use: toy.masks, each: case, in: {volume: scan}}\n"
                "  seg: {use: toy.segment, each: case, in: {volume: scan, model: model}}\n"
                "  views: {use: toy.views, in: {volumes: \"scan[*]\", masks: \"masks[*]\"}}\n"
                "  model: {use: toy.train, in: {views: views}, with: {steps: 1}}\n",
                cases);
    write_file("g.yaml", t.data);
    free(t.data);
    return timed((size_t)cases * 4 + 2);
}

/* Cases x two axes, joined and gathered. */
static double many_axes(int cases)
{
    mf_text t = {0};
    mf_text_add(
        &t,
        "massflow: 1\ncases: {count: %d}\naxes: {shots: [1, 5], seed: [1, 2]}\nstages:\n"
        "  scan: {use: toy.load, each: case, with: {path: scans/a.nii.gz}}\n"
        "  masks: {use: toy.masks, each: [case, shots], in: {volume: scan}, "
        "with: {interval: \"${shots}\"}}\n"
        "  views: {use: toy.views, each: [shots, seed], in: {volumes: \"scan[*]\", "
        "masks: \"masks[*]\"}}\n"
        "  model: {use: toy.train, each: [shots, seed], in: {views: views}, with: {steps: 1}}\n"
        "  seg: {use: toy.segment, each: [case, shots, seed], in: {volume: scan, model: "
        "model}}\n"
        "  dice: {use: toy.dice, each: [shots, seed], in: {predicted: \"seg[*]\", truth: "
        "\"seg[*]\"}}\n",
        cases);
    write_file("g.yaml", t.data);
    free(t.data);
    return timed((size_t)cases * 7 + 12);
}

/* Stages without cases, each with a line of its own in the file. */
static double many_stages(int stages)
{
    mf_text t = {0};
    mf_text_add(&t,
                "massflow: 1\nstages:\n"
                "  scan: {use: toy.load, with: {path: scans/a.nii.gz}}\n"
                "  views: {use: toy.views, in: {volumes: [scan], masks: [s%d]}}\n"
                "  model: {use: toy.train, in: {views: views}, with: {steps: 1}}\n",
                stages - 4);
    for (int i = stages - 4; i >= 0; i--)
        mf_text_add(&t, "  s%d: {use: toy.masks, in: {volume: scan}}\n", i);
    write_file("g.yaml", t.data);
    free(t.data);
    return timed((size_t)stages);
}

/* Ten times the nodes take about ten times as long: far from the hundred of a loop in a loop. The
 * smallest of three runs of each, for the machine is not ours alone. */
static void check_growth(double (*make)(int), int small)
{
    double least[2] = {1e9, 1e9};
    for (int run = 0; run < 3; run++)
        for (int large = 0; large < 2; large++) {
            double seconds = make(large ? small * 10 : small);
            least[large] = seconds < least[large] ? seconds : least[large];
        }
    ck_assert_double_lt(least[1], 40 * least[0]);
}

START_TEST(ten_thousand_nodes)
{
    check_growth(many_cases, 250);
    check_growth(many_axes, 150);
    check_growth(many_stages, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph");
    TCase *errors = tcase_create("errors"), *rest = tcase_create("rest");
    read_blocks();
    tcase_add_checked_fixture(errors, enter_scratch, leave_scratch);
    tcase_add_checked_fixture(rest, enter_scratch, leave_scratch);
    tcase_set_timeout(rest, 120);
    tcase_add_loop_test(errors, error_texts, 0, block_count);
    tcase_add_test(rest, settings_replace_parameters);
    tcase_add_test(rest, settings_that_are_wrong);
    tcase_add_test(rest, a_missing_file_is_a_status);
    tcase_add_test(rest, sources_add_up);
    tcase_add_test(rest, a_folder_of_dicom_files_is_a_case);
    tcase_add_test(rest, every_series_below_a_folder_is_a_case);
    tcase_add_test(rest, a_data_set_of_nnunet);
    tcase_add_test(rest, a_folder_may_have_wildcards_in_its_name);
    tcase_add_test(rest, nodes_and_edges);
    tcase_add_test(rest, edges_join_on_axes);
    tcase_add_test(rest, axes_share_what_they_do_not_change);
    tcase_add_test(rest, where_looks_across_axes);
    tcase_add_test(rest, included_files_have_their_own_cases_and_axes);
    tcase_add_test(rest, targets_on_axes);
    tcase_add_test(rest, ids_are_no_numbers);
    tcase_add_test(rest, where_relative_paths_begin);
    tcase_add_test(rest, json_is_a_graph_file_too);
    tcase_add_test(rest, pictures);
    tcase_add_test(rest, targets_by_name);
    tcase_add_test(rest, selections_of_a_command);
    tcase_add_test(rest, ten_thousand_nodes);
    suite_add_tcase(suite, errors);
    suite_add_tcase(suite, rest);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
