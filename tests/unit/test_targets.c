/* test_targets.c - targets and selections; that large graphs take time in proportion. */
#include "../run_suite.h"
#include "graph_nodes.h"

#include <sys/resource.h>
#include <time.h>

static void check_target(const mf_graph *g, const char *text, uint32_t first, uint32_t count,
                         int port)
{
    mf_target t;
    ok(mf_graph_target(g, text, &t));
    ck_assert_uint_eq(t.first, first);
    ck_assert_uint_eq(t.count, count);
    ck_assert_int_eq(t.port, port);
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
    no_target(g, "scan.volum",
              "toy.load has no output 'volum'; did you mean 'volume'?\n"
              "  outputs of toy.load: volume, labels");
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
    g = load_text("massflow: 1\ncases: {count: 1, id: t001}\n"
                  "stages: {scan: {use: toy.load, with: {path: scans/a.nii.gz}}}\n");
    fails(mf_graph_select(g, NULL, 0, cases, 1, &wanted),
          "no stage of g.yaml has the cases of --case");
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
    Suite *suite = suite_create("targets");
    TCase *tests = tcase_create("targets");
    tcase_add_checked_fixture(tests, enter_scratch, leave_scratch);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, targets_by_name);
    tcase_add_test(tests, targets_on_axes);
    tcase_add_test(tests, selections_of_a_command);
    tcase_add_test(tests, ten_thousand_nodes);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
