/* expand.c - stages x cases x axes -> nodes with their edges.
 *
 * The edges of a port are made once for every combination of the axes that they depend on, and
 * shared by the nodes that have it, so that the whole grows with nodes and written edges. */
#include "graph/expand/expand.h"
#include "graph/check/connect.h"
#include "graph/check/reference.h"
#include "graph/data/combine.h"
#include "graph/data/report.h"
#include "graph/values/splice.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct edges {
    mf_edge *list;
    size_t count, room;
} edges;

static void add_edge(edges *e, uint32_t node, uint32_t port, bool gathered)
{
    e->list = mf_grow(e->list, &e->room, e->count + 1, sizeof *e->list);
    e->list[e->count++] = (mf_edge){node, (uint16_t)port, gathered};
}

/* ---- a source's nodes by what is joined --------------------------------------------------------
 */

/* The nodes of a source in groups that agree on the joined axes: those of group c are
 * list[start[c]] to list[start[c + 1] - 1], in order. */
typedef struct groups {
    uint32_t *start, *list;
} groups;

static groups group_nodes(const reference *ref)
{
    const stage_def *from = ref->source;
    size_t space = mf__axes_space(from->graph, ref->joined);
    uint32_t at[MOST_AXES];
    groups g = {calloc(space + 2, sizeof *g.start), calloc(from->count + 1, sizeof *g.list)};
    if (!g.start || !g.list)
        abort();
    for (uint32_t i = 0; i < from->count; i++) {
        mf__def_at(from, i, at);
        g.start[mf__axes_code(from->graph, ref->joined, at) + 2]++;
    }
    for (size_t c = 2; c < space + 2; c++)
        g.start[c] += g.start[c - 1];
    for (uint32_t i = 0; i < from->count; i++) {
        mf__def_at(from, i, at);
        g.list[g.start[mf__axes_code(from->graph, ref->joined, at) + 1]++] = i;
    }
    return g;
}

/* ---- selections --------------------------------------------------------------------------------
 */

static bool matches(mf_graph *g, const reference *ref, uint32_t i, const char *const *values,
                    bool *good)
{
    const stage_def *from = ref->source;
    uint32_t at[MOST_AXES];
    mf__def_at(from, i, at);
    for (size_t k = 0; k < ref->term_count; k++) {
        const term *t = &ref->terms[k];
        const char *text = t->any ? NULL : mf__subject_text(from->graph, &t->of, at);
        const char *name = t->of.column ? t->of.column : from->graph->axes[t->of.axis].name;
        if (text && !mf__check_comparison(g, ref->node, name, text, t->op, values[k])) {
            mf__note_at(from->graph, from->axes, at);
            return *good = false;
        }
        if (!t->any && (!text || !mf__compare_values(name, text, t->op, values[k])))
            return false;
    }
    return true;
}

/* The values of a reference's terms for the consumer's node. */
static bool term_values(mf_graph *g, const reference *ref, const here *h, const char **values)
{
    for (size_t i = 0; i < ref->term_count; i++) {
        values[i] = ref->terms[i].value;
        if (ref->varies && !mf__resolve_text(g, ref->node, values[i], h, &values[i]))
            return false;
    }
    return true;
}

static bool selects_none(mf_graph *g, const reference *ref, uint32_t of, const here *h)
{
    const stage_def *from = ref->source;
    bool cases = from->axes == CASE;
    if (!of)
        mf__graph_error(g, ref->node, "'where' of '%s' leaves nothing to select from", from->label);
    else
        mf__graph_error(g, ref->node, "this selects none of the %u %s%s of '%s'", of,
                        cases ? "case" : "node", of == 1 ? "" : "s", from->label);
    mf__note_at(g, (ref->joined | ref->varies) & h->def->axes, h->at);
    return false;
}

static bool add_selection(mf_graph *g, const reference *ref, const groups *by, uint32_t code,
                          const here *h, edges *e)
{
    const char **values = mf_arena_alloc(g->arena, ref->term_count, sizeof *values);
    size_t before = e->count;
    bool good = true;
    if (!term_values(g, ref, h, values))
        return false;
    for (uint32_t i = by->start[code]; i < by->start[code + 1]; i++)
        if (good && matches(g, ref, by->list[i], values, &good))
            add_edge(e, ref->source->first + by->list[i], ref->port, true);
    if (!good)
        return false;
    return e->count > before || selects_none(g, ref, by->start[code + 1] - by->start[code], h);
}

/* The edges of one reference for the consumer's node. */
static bool add_reference(mf_graph *g, const reference *ref, const groups *by, const here *h,
                          edges *e)
{
    const stage_def *from = ref->source;
    uint32_t code = mf__axes_code(g, ref->joined, h->at);
    if (ref->gather)
        return add_selection(g, ref, by, code, h, e);
    if (by->start[code + 1] > by->start[code]) {
        add_edge(e, from->first + by->list[by->start[code]], ref->port, false);
        return true;
    }
    if (ref->joined == CASE)
        return mf__graph_error(g, ref->node, "'%s' has a case '%s' that 'where' of '%s' leaves out",
                               h->def->key->text, g->axes[0].values[h->at[0]], from->label);
    return mf__graph_error(g, ref->node, "'%s' has a node [%s] that 'where' of '%s' leaves out",
                           h->def->key->text, mf__axes_text(g, ref->joined, h->at), from->label);
}

/* ---- ports -------------------------------------------------------------------------------------
 */

static bool make_input(mf_graph *g, const here *h, size_t port, const groups *by, edges *scratch,
                       mf_input *input)
{
    const stage_def *def = h->def;
    const port_input *in = &def->inputs[port];
    mf_port_type type;
    scratch->count = 0;
    for (size_t i = 0; i < in->count; i++)
        if (in->refs[i].named_at == mf__axes_code(g, in->refs[i].named_by, h->at) &&
            !add_reference(g, &in->refs[i], &by[i], h, scratch))
            return false;
    mf_port_type_parse(def->stage->in[port].type, &type);
    if (type.shape != MF_PORT_LIST && scratch->count > 1) {
        mf__graph_error(g, in->node, "%s: port '%s' takes one %s, but this selects %zu",
                        def->stage->name, def->stage->in[port].name, type.name, scratch->count);
        mf__note_at(g, in->depends & def->axes, h->at);
        mf__note_port(g, def->stage, &def->stage->in[port], false);
        return false;
    }
    mf_edge *copy = mf_arena_alloc(g->arena, scratch->count, sizeof *copy);
    if (scratch->count)
        memcpy(copy, scratch->list, scratch->count * sizeof *copy);
    for (size_t i = 0; i < scratch->count; i++)
        copy[i].gathered &= type.shape == MF_PORT_LIST;
    *input = (mf_input){copy, scratch->count};
    return true;
}

/* Fills one port of all nodes of a stage. */
static bool make_port(mf_graph *g, const stage_def *def, size_t port, mf_input *const *inputs,
                      edges *scratch)
{
    const port_input *in = &def->inputs[port];
    uint32_t depends = in->depends & def->axes, at[MOST_AXES] = {0};
    uint32_t *made = calloc(mf__axes_space(g, depends), sizeof *made); /* a node + 1, by code */
    groups *by = calloc(in->count + 1, sizeof *by);
    bool good = true;
    if (!made || !by)
        abort();
    for (size_t i = 0; i < in->count; i++)
        by[i] = group_nodes(&in->refs[i]);
    for (uint32_t i = 0; i < def->count && good; i++) {
        mf__def_at(def, i, at);
        uint32_t *first = &made[mf__axes_code(g, depends, at)];
        if (*first)
            inputs[i][port] = inputs[*first - 1][port];
        else
            good = make_input(g, &(here){def, at, false}, port, by, scratch, &inputs[i][port]);
        *first = *first ? *first : i + 1;
    }
    for (size_t i = 0; i < in->count; i++) {
        free(by[i].start);
        free(by[i].list);
    }
    free(by);
    free(made);
    return good;
}

/* ---- nodes -------------------------------------------------------------------------------------
 */

static void name_node(const stage_def *def, mf_node *n, const uint32_t *at)
{
    mf_graph *g = def->graph;
    size_t label = strlen(def->label);
    mf_axis_value *axes =
        mf_arena_alloc(g->arena, (size_t)__builtin_popcount(def->axes), sizeof *axes);
    for (uint32_t i = 0; i < g->axis_count; i++)
        if (def->axes >> i & 1)
            axes[n->axis_count++] = (mf_axis_value){g->axes[i].name, g->axes[i].values[at[i]]};
    n->axes = axes;
    if (def->axes & CASE)
        n->of_case = &g->cases[at[0]];
    char *values = mf__axes_text(g, def->axes, at), *name;
    name = mf_arena_alloc(g->arena, label + strlen(values) + 3, 1);
    stpcpy(stpcpy(stpcpy(stpcpy(name, def->label), "["), values), "]");
    n->name = name;
}

static bool make_nodes(mf_graph *g, const stage_def *def, mf_node *nodes, uint32_t group,
                       edges *scratch)
{
    mf_input **inputs = calloc(def->count + 1, sizeof *inputs);
    uint32_t at[MOST_AXES];
    bool good = true;
    if (!inputs)
        abort();
    for (uint32_t i = 0; i < def->count; i++) {
        mf_node *n = &nodes[i];
        mf__def_at(def, i, at);
        inputs[i] = mf_arena_alloc(g->arena, def->input_count, sizeof **inputs);
        *n = (mf_node){.name = def->label,
                       .label = def->label,
                       .stage = def->stage,
                       .params = def->params[mf__axes_code(g, def->param_axes, at)],
                       .inputs = inputs[i],
                       .input_count = def->input_count,
                       .group = group};
        if (def->axes)
            name_node(def, n, at);
    }
    for (size_t p = 0; p < def->input_count; p++)
        good &= make_port(g, def, p, inputs, scratch);
    free(inputs);
    return good;
}

bool mf__expand(mf_graph *g)
{
    uint64_t total = 0;
    edges scratch = {0};
    bool good = true;
    g->stages = mf_arena_alloc(g->arena, g->all_count, sizeof *g->stages);
    for (size_t i = 0; i < g->all_count; i++) {
        stage_def *def = g->all[i];
        def->first = (uint32_t)total;
        g->stages[i] = (mf_graph_stage){.label = def->label,
                                        .stage = def->stage,
                                        .each_case = (def->axes & CASE) != 0,
                                        .first = def->first,
                                        .count = def->count,
                                        .line = def->key->line,
                                        .column = def->key->column,
                                        .limits = def->limits,
                                        .skip_failed = def->skip_failed};
        total += def->count;
        if (total > MOST_NODES)
            return mf__graph_error(def->graph, def->key, "the graph has more than %u nodes",
                                   MOST_NODES);
    }
    g->node_count = (size_t)total;
    g->nodes = mf_arena_alloc(g->arena, g->node_count, sizeof *g->nodes);
    for (size_t i = 0; i < g->all_count; i++) {
        const stage_def *def = g->all[i];
        assert(def->first + def->count <= g->node_count);
        good &= make_nodes(def->graph, def, &g->nodes[def->first], (uint32_t)i, &scratch);
    }
    free(scratch.list);
    return good;
}
