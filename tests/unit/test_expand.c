/* test_expand.c - the nodes and edges that a graph is expanded to: axes, joins, included files. */
#include "../run_suite.h"
#include "graph_nodes.h"

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

/* A stage's name may be put together from axes: each node has the source of its own values. */
START_TEST(axes_name_stages)
{
    mf_graph *g = load_text(
        "massflow: 1\n"
        "cases: {list: [{id: a}, {id: b}]}\n"
        "axes: {method: [small, large, none], seed: [1, 2]}\n"
        "stages:\n"
        "  scan: {use: toy.load, each: case, with: {path: scans/a.nii.gz}}\n"
        "  masks: {use: toy.masks, each: case, in: {volume: scan}}\n"
        "  views: {use: toy.views, in: {volumes: \"scan[*]\", masks: \"masks[*]\"}}\n"
        "  small: {use: toy.train, each: seed, in: {views: views}, with: {steps: \"${seed}\"}}\n"
        "  large: {use: toy.train, in: {views: views}, with: {steps: 9}}\n"
        "  seg: {use: toy.segment, each: [case, method, seed], where: {method: [small, large]}, "
        "in: "
        "{volume: scan, model: \"${method}.model\"}}\n"
        "  first: {use: toy.segment, each: [case, method], where: {method: small}, in: "
        "{volume: scan, model: \"${method}[seed=1]\"}}\n"
        "  seg_small: {use: toy.segment, each: case, in: {volume: scan, model: large}}\n"
        "  seg_large: {use: toy.segment, each: [case, seed], in: {volume: scan, model: large}}\n"
        "  dice: {use: toy.dice, each: method, where: {method: [small, large]}, in: {predicted: "
        "[\"seg_${method}[*]\", \"first[method=small]\"], truth: \"seg[seed=2]\"}}\n");
    check_edges(g, "seg[case=b,method=small,seed=2]",
                "volume <- scan[case=b].volume; model <- small[seed=2].model; reference <-");
    check_edges(g, "seg[case=a,method=large,seed=2]",
                "volume <- scan[case=a].volume; model <- large.model; reference <-");
    check_edges(g, "first[case=a,method=small]",
                "volume <- scan[case=a].volume; model <- small[seed=1].model; reference <-");
    check_edges(g, "dice[method=large]",
                "predicted <- seg_large[case=a,seed=1].labels seg_large[case=a,seed=2].labels "
                "seg_large[case=b,seed=1].labels seg_large[case=b,seed=2].labels "
                "first[case=a,method=small].labels first[case=b,method=small].labels; "
                "truth <- seg[case=a,method=large,seed=2].labels "
                "seg[case=b,method=large,seed=2].labels");
    char *text = mf_graph_text(g);
    ck_assert_ptr_nonnull(strstr(text, "    model <- ${method}.model\n"));
    ck_assert_ptr_nonnull(strstr(text, "    predicted <- seg_${method}[*], first[method=small]\n"));
    free(text);
    mf_graph_free(g);
}
END_TEST

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

int main(void)
{
    Suite *suite = suite_create("expand");
    TCase *tests = tcase_create("expand");
    tcase_add_checked_fixture(tests, enter_scratch, leave_scratch);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, nodes_and_edges);
    tcase_add_test(tests, edges_join_on_axes);
    tcase_add_test(tests, axes_share_what_they_do_not_change);
    tcase_add_test(tests, axes_name_stages);
    tcase_add_test(tests, included_files_have_their_own_cases_and_axes);
    tcase_add_test(tests, where_looks_across_axes);
    tcase_add_test(tests, ids_are_no_numbers);
    tcase_add_test(tests, where_relative_paths_begin);
    tcase_add_test(tests, json_is_a_graph_file_too);
    tcase_add_test(tests, pictures);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
