/* graph_nodes.h - the nodes and edges of a graph as text, to compare with. */
#ifndef GRAPH_NODES_H
#define GRAPH_NODES_H

#include "graph_fixture.h"

/* Graphs that several tests take: one level of cases; axes and joins. */
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

/* "port <- node.output node.output; ..." of a node. */
static inline char *edges_of(const mf_graph *g, const mf_node *n)
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

/* The inputs of one node by its name. */
static inline void check_edges(const mf_graph *g, const char *node, const char *expected)
{
    mf_target t;
    ok(mf_graph_target(g, node, &t));
    ck_assert_uint_eq(t.count, 1);
    ck_assert_str_eq(mf_graph_node(g, t.first)->name, node);
    char *edges = edges_of(g, mf_graph_node(g, t.first));
    ck_assert_str_eq(edges, expected);
    free(edges);
}

static inline void no_target(const mf_graph *g, const char *text, const char *expected)
{
    mf_target t;
    fails(mf_graph_target(g, text, &t), expected);
}

/* The names of the nodes that are wanted. */
static inline char *wanted_of(const mf_graph *g, const char *const *targets, size_t target_count,
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

#endif
