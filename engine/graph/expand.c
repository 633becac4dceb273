/* expand.c - stages x cases -> nodes with their edges.
 *
 * Edges that do not depend on the consumer's case (a gathered list, a stage without cases) are made
 * once a stage and shared by its nodes, so that the whole grows with nodes and written edges. */
#include "graph/internal.h"

#include <stdlib.h>
#include <string.h>

#define MOST_NODES 20000000u

/* ---- selections --------------------------------------------------------------------------------
 */

static bool matches(const mf_case *c, const term *terms, const char *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = mf_case_column(c, terms[i].column);
        if (!text || !compare_values(terms[i].column, text, terms[i].op, values[i]))
            return false;
    }
    return true;
}

/* The values of a reference's terms for the consumer's case. */
static bool term_values(mf_graph *g, const reference *ref, const mf_case *c, const char **values)
{
    for (size_t i = 0; i < ref->term_count; i++) {
        values[i] = ref->terms[i].value;
        if (ref->varies && !resolve_text(g, ref->node, values[i], c, false, &values[i]))
            return false;
    }
    return true;
}

typedef struct edges {
    mf_edge *list;
    size_t count, room;
} edges;

static void add_edge(edges *e, uint32_t node, uint32_t port)
{
    e->list = mf_grow(e->list, &e->room, e->count + 1, sizeof *e->list);
    e->list[e->count++] = (mf_edge){node, port};
}

static bool add_selection(mf_graph *g, const reference *ref, const mf_case *c, edges *e)
{
    const stage_def *from = &g->defs[ref->source];
    const char **values = mf_arena_alloc(g->arena, ref->term_count, sizeof *values);
    size_t before = e->count;
    if (!term_values(g, ref, c, values))
        return false;
    for (uint32_t i = 0; i < def_cases(g, from); i++)
        if (matches(&g->cases[def_case(from, i)], ref->terms, values, ref->term_count))
            add_edge(e, from->first + i, ref->port);
    if (e->count > before)
        return true;
    graph_error(g, ref->node, "this selects none of the %u case%s of '%s'", def_cases(g, from),
                def_cases(g, from) == 1 ? "" : "s", from->key->text);
    if (c)
        mf_diagnostics_note(g->d, "for case '%s'", c->id);
    return false;
}

/* The edges of one reference for a consumer of case index `at` (NAME_NONE: of no case). */
static bool add_reference(mf_graph *g, const stage_def *def, const reference *ref, uint32_t at,
                          edges *e)
{
    const stage_def *from = &g->defs[ref->source];
    const mf_case *c = at == NAME_NONE ? NULL : &g->cases[at];
    if (ref->gather)
        return add_selection(g, ref, c, e);
    if (!from->each_case) {
        add_edge(e, from->first, ref->port);
        return true;
    }
    uint32_t position = case_position(from, at);
    if (position == NAME_NONE) {
        graph_error(g, ref->node, "'%s' has a case '%s' that 'where' of '%s' leaves out",
                    def->key->text, c->id, from->key->text);
        return false;
    }
    add_edge(e, from->first + position, ref->port);
    return true;
}

/* Whether all nodes of the consumer get the same edges through this port. */
static bool shared(const mf_graph *g, const port_input *in)
{
    for (size_t i = 0; i < in->count; i++)
        if (in->refs[i].varies || (!in->refs[i].gather && g->defs[in->refs[i].source].each_case))
            return false;
    return true;
}

static bool make_input(mf_graph *g, const stage_def *def, size_t port, uint32_t at, edges *scratch,
                       mf_input *input)
{
    const port_input *in = &def->inputs[port];
    mf_port_type type;
    scratch->count = 0;
    for (size_t i = 0; i < in->count; i++)
        if (!add_reference(g, def, &in->refs[i], at, scratch))
            return false;
    mf_port_type_parse(def->stage->in[port].type, &type);
    if (type.shape != MF_PORT_LIST && scratch->count > 1) {
        graph_error(g, in->node, "%s: port '%s' takes one %s, but this selects %zu",
                    def->stage->name, def->stage->in[port].name, type.name, scratch->count);
        note_port(g, def->stage, &def->stage->in[port], false);
        return false;
    }
    mf_edge *copy = mf_arena_alloc(g->arena, scratch->count, sizeof *copy);
    if (scratch->count)
        memcpy(copy, scratch->list, scratch->count * sizeof *copy);
    *input = (mf_input){copy, scratch->count};
    return true;
}

/* ---- nodes -------------------------------------------------------------------------------------
 */

static bool make_nodes(mf_graph *g, const stage_def *def, uint32_t group, edges *scratch)
{
    uint32_t count = def_cases(g, def);
    mf_input *common = mf_arena_alloc(g->arena, def->input_count, sizeof *common);
    bool *is_common = mf_arena_alloc(g->arena, def->input_count, sizeof *is_common);
    bool all_common = true, good = true;
    for (size_t p = 0; p < def->input_count; p++) {
        is_common[p] = shared(g, &def->inputs[p]);
        all_common &= is_common[p];
        if (is_common[p])
            good &= make_input(g, def, p, NAME_NONE, scratch, &common[p]);
    }
    for (uint32_t i = 0; i < count && good; i++) {
        uint32_t at = def->each_case ? def_case(def, i) : NAME_NONE;
        mf_node *n = &g->nodes[def->first + i];
        mf_input *inputs = common;
        if (!all_common) {
            inputs = mf_arena_alloc(g->arena, def->input_count, sizeof *inputs);
            for (size_t p = 0; p < def->input_count; p++) {
                inputs[p] = common[p];
                if (!is_common[p] && !make_input(g, def, p, at, scratch, &inputs[p]))
                    return false;
            }
        }
        *n = (mf_node){.name = def->key->text,
                       .label = def->key->text,
                       .stage = def->stage,
                       .params = def->params[def->param_count > 1 ? i : 0],
                       .inputs = inputs,
                       .input_count = def->input_count,
                       .group = group};
        if (!def->each_case)
            continue;
        mf_axis_value *axis = mf_arena_alloc(g->arena, 1, sizeof *axis);
        *axis = (mf_axis_value){"case", g->cases[at].id};
        n->of_case = &g->cases[at];
        n->axes = axis;
        n->axis_count = 1;
        n->name = mf_arena_print(g->arena, "%s[case=%s]", n->label, n->of_case->id);
    }
    return good;
}

bool expand(mf_graph *g)
{
    uint64_t total = 0;
    edges scratch = {0};
    bool good = true;
    g->stages = mf_arena_alloc(g->arena, g->def_count, sizeof *g->stages);
    for (size_t i = 0; i < g->def_count; i++) {
        stage_def *def = &g->defs[g->order[i]];
        def->first = (uint32_t)total;
        g->stages[i] =
            (mf_graph_stage){def->key->text,    def->stage,     def->each_case,   def->first,
                             def_cases(g, def), def->key->line, def->key->column, def->limits};
        total += def_cases(g, def);
        if (total > MOST_NODES)
            return graph_error(g, def->key, "the graph has more than %u nodes", MOST_NODES);
    }
    g->node_count = (size_t)total;
    g->nodes = mf_arena_alloc(g->arena, g->node_count, sizeof *g->nodes);
    for (size_t i = 0; i < g->def_count; i++)
        good &= make_nodes(g, &g->defs[g->order[i]], (uint32_t)i, &scratch);
    free(scratch.list);
    return good;
}
