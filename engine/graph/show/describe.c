/* describe.c - a loaded graph as text and as Graphviz, by stage: nodes of one stage differ only in
 * their case and axes. */
#include "graph/data/graph_private.h"
#include "graph/values/splice.h"

#include <stdlib.h>
#include <string.h>

static void show_refs(mf_text *t, const stage_def *def, size_t port)
{
    const port_input *in = &def->inputs[port];
    if (!in->count)
        return;
    mf_text_add(t, "    %s <- ", def->stage->in[port].name);
    for (size_t i = 0; i < in->count; i++)
        if (!i || in->refs[i].node != in->refs[i - 1].node) /* one for each value of an axis */
            mf_text_add(t, "%s%s", i ? ", " : "", in->refs[i].node->text);
    mf_text_add(t, "\n");
}

static void show_value(mf_text *t, const yaml *node)
{
    if (node->kind == YAML_SCALAR) {
        mf_text_add(t, "%s", node->text);
        return;
    }
    mf_text_add(t, "[");
    for (size_t i = 0; i < node->count; i++)
        mf_text_add(t, "%s%s", i ? ", " : "", node->items[i]->text);
    mf_text_add(t, "]");
}

/* What the file gives, and what it comes to where that is one value for all nodes. */
static void show_with(mf_text *t, const stage_def *def, const mf_params *params)
{
    for (size_t i = 0; def->with && i < def->with->count; i++) {
        const yaml *key = def->with->items[2 * i], *node = def->with->items[2 * i + 1];
        const mf_param *p = mf_param_find(def->stage, key->text);
        mf_text_add(t, "    %s: ", key->text);
        if (mf__mentions(def->graph, node) & def->axes) {
            show_value(t, node);
        } else {
            char *value = mf_param_show(params, p);
            mf_text_add(t, "%s", value);
            free(value);
        }
        if (p->unit && *p->unit)
            mf_text_add(t, " %s", p->unit);
        mf_text_add(t, "\n");
    }
}

/* How often it is made: "x 3 cases", "x 12 (case, shots)". */
static void show_size(mf_text *t, const stage_def *def)
{
    const mf_graph *g = def->graph;
    if (def->axes == CASE) {
        mf_text_add(t, "  x %u case%s", def->count, def->count == 1 ? "" : "s");
        return;
    }
    for (uint32_t i = 0, shown = 0; i < g->axis_count; i++)
        if (def->axes >> i & 1) {
            if (!shown++)
                mf_text_add(t, "  x %u (%s", def->count, g->axes[i].name);
            else
                mf_text_add(t, ", %s", g->axes[i].name);
        }
    mf_text_add(t, "%s", def->axes ? ")" : "");
}

/* What sources of cases passed over, in this file and those that it includes. */
static void show_passed(mf_text *t, const mf_graph *g)
{
    for (size_t i = 0; i < g->passed_count; i++)
        mf_text_add(t, "%s%s\n", g->prefix, g->passed[i]);
    for (size_t i = 0; i < g->include_count; i++)
        show_passed(t, g->includes[i].graph);
}

char *mf_graph_text(const mf_graph *g)
{
    mf_text t = {0};
    mf_text_add(&t, "%s: %zu stages, %zu cases, %zu nodes\n", g->path, g->all_count, g->case_count,
                g->node_count);
    show_passed(&t, g);
    for (size_t i = 0; i < g->all_count; i++) {
        const stage_def *def = g->all[i];
        mf_text_add(&t, "\n%s  %s", def->label, def->stage->name);
        show_size(&t, def);
        mf_text_add(&t, "\n");
        for (size_t p = 0; p < def->input_count; p++)
            show_refs(&t, def, p);
        show_with(&t, def, g->nodes[def->first].params);
        for (const mf_port *p = def->stage->out; p->name; p++)
            mf_text_add(&t, "    -> %s: %s\n", p->name, p->type);
    }
    for (size_t i = 0; i < g->export_count; i++)
        mf_text_add(&t, "%s%s => %s\n", i ? "" : "\n", g->nodes[g->exports[i].node].name,
                    g->exports[i].path);
    return mf_text_take(&t);
}

char *mf_graph_dot(const mf_graph *g)
{
    mf_text t = {0};
    mf_text_add(&t, "digraph massflow {\n  node [shape=box, fontname=\"sans-serif\"];\n");
    for (size_t i = 0; i < g->all_count; i++) {
        const stage_def *def = g->all[i];
        mf_text_add(&t, "  \"%s\" [label=\"%s\\n%s", def->label, def->label, def->stage->name);
        if (def->axes)
            mf_text_add(&t, "\\nx %u", def->count);
        mf_text_add(&t, "\"%s];\n", def->axes ? ", peripheries=2" : "");
    }
    for (size_t i = 0; i < g->all_count; i++) {
        const stage_def *def = g->all[i];
        for (size_t p = 0; p < def->input_count; p++)
            for (size_t k = 0; k < def->inputs[p].count; k++) {
                const reference *ref = &def->inputs[p].refs[k];
                mf_text_add(&t, "  \"%s\" -> \"%s\" [label=\"%s\"%s];\n", ref->source->label,
                            def->label, def->stage->in[p].name, ref->gather ? ", style=bold" : "");
            }
    }
    mf_text_add(&t, "}\n");
    return mf_text_take(&t);
}
