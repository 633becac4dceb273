/* connect.c - a stage's input ports: what is connected to them, and whether it fits. */
#include "graph/check/connect.h"
#include "graph/check/reference.h"
#include "graph/check/typed.h"
#include "graph/data/combine.h"
#include "graph/data/report.h"
#include "graph/values/splice.h"

#include <stdlib.h>
#include <string.h>

void mf__note_port(mf_graph *g, const mf_stage *stage, const mf_port *port, bool out)
{
    mf_diagnostics_note(g->d, "%s %s of %s is %s: %s", out ? "output" : "input", port->name,
                        stage->name, port->type, port->help ? port->help : "");
}

static void note_inputs(mf_graph *g, const mf_stage *stage)
{
    mf_text list = {0};
    for (const mf_port *p = stage->in; p && p->name; p++)
        mf_text_add(&list, "%s%s: %s", list.data ? ", " : "", p->name, p->type);
    mf_diagnostics_note(g->d, "inputs of %s: %s   (massflow describe %s)", stage->name,
                        list.data ? list.data : "none", stage->name);
    free(list.data);
}

/* "scan" takes the only output, or the only one of the type that the port wants. */
static bool choose_output(mf_graph *g, const stage_def *def, reference *ref, const mf_port *port,
                          const mf_port_type *wanted)
{
    const mf_stage *source = ref->source->stage;
    size_t count = mf_port_count(source->out), fitting = 0;
    for (size_t i = 0; i < count; i++) {
        mf_port_type type;
        mf_port_type_parse(source->out[i].type, &type);
        if (count > 1 && strcmp(type.name, wanted->name))
            continue;
        ref->port = (uint32_t)i;
        fitting++;
    }
    if (fitting == 1)
        return true;
    mf_text list = {0};
    const char *label = ref->source->label;
    for (size_t i = 0; i < count; i++)
        mf_text_add(&list, "%s%s.%s (%s)", i ? ", " : "", label, source->out[i].name,
                    source->out[i].type);
    if (fitting)
        mf__graph_error(g, ref->node, "'%s' has more than one output of type %s; name one", label,
                        wanted->name);
    else
        mf__graph_error(g, ref->node, "%s: port '%s' takes %s, and '%s' has no output of that type",
                        def->stage->name, port->name, port->type, label);
    mf_diagnostics_note(g->d, "outputs of %s: %s", source->name, list.data);
    free(list.data);
    return false;
}

static bool check_type(mf_graph *g, const stage_def *def, const reference *ref, const mf_port *port,
                       const mf_port_type *wanted)
{
    const stage_def *from = ref->source;
    const mf_port *out = &from->stage->out[ref->port];
    mf_port_type offered;
    mf_port_type_parse(out->type, &offered);
    bool fits = !strcmp(offered.name, wanted->name) &&
                (offered.shape == MF_PORT_STREAM) == (wanted->shape == MF_PORT_STREAM) &&
                (offered.shape != MF_PORT_LIST || wanted->shape == MF_PORT_LIST);
    if (fits)
        return true;
    mf__graph_error(g, ref->node, "%s: port '%s' takes %s, but '%s' gives %s", def->stage->name,
                    port->name, port->type, from->label, out->type);
    mf__note_port(g, def->stage, port, false);
    mf__note_port(g, from->stage, out, true);
    return false;
}

/* "give 'x' 'each: case'", and how else a port for one artifact could be served. */
static bool lacks_axes(mf_graph *g, const stage_def *def, const reference *ref, uint32_t lacking,
                       const mf_port *port, const mf_port_type *wanted)
{
    const char *label = ref->source->label, *own = def->key->text;
    char *axes = mf__axis_names(ref->source->graph, lacking);
    bool cases = lacking == CASE;
    if (ref->source->graph != g)
        return mf__graph_error(g, ref->node,
                               "'%s' is made for each %s of %s, whose cases and axes are its own: "
                               "gather it with \"%s[*]\", or choose one with \"[%s]\"",
                               label, axes, ref->source->graph->path, ref->node->text,
                               mf__axes_pattern(ref->source->graph, lacking));
    if (wanted->shape == MF_PORT_LIST && cases)
        return mf__graph_error(g, ref->node,
                               "'%s' is per case and '%s' is not: gather it with \"%s[*]\"", label,
                               own, ref->node->text);
    if (wanted->shape == MF_PORT_LIST)
        return mf__graph_error(g, ref->node,
                               "'%s' is made for each value of %s and '%s' is not: gather it with "
                               "\"%s[*]\"",
                               label, axes, own, ref->node->text);
    const char *choice = wanted->shape != MF_PORT_ONE ? ""
                         : cases                      ? ", or choose one case with \"[case=ID]\""
                                 : mf_arena_print(g->arena, ", or choose one with \"[%s]\"",
                                                  mf__axes_pattern(g, lacking));
    if (cases)
        mf__graph_error(g, ref->node, "'%s' is per case and '%s' is not: give '%s' 'each: case'%s",
                        label, own, own, choice);
    else
        mf__graph_error(
            g, ref->node,
            "'%s' is made for each value of %s and '%s' is not: give '%s' 'each: [%s]'%s", label,
            axes, own, own, mf__axis_names(g, def->axes | lacking), choice);
    mf__note_port(g, def->stage, port, false);
    return false;
}

/* Axes: both ends have them, or the source alone and then it is gathered. */
static bool check_axes(mf_graph *g, const stage_def *def, const reference *ref, const mf_port *port,
                       const mf_port_type *wanted)
{
    uint32_t lacking = ref->source->axes & ~ref->joined;
    if (ref->gather && wanted->shape == MF_PORT_STREAM)
        return mf__graph_error(g, ref->node, "%s: port '%s' takes one stream, not a selection",
                               def->stage->name, port->name);
    if (ref->gather || !lacking)
        return true;
    return lacks_axes(g, def, ref, lacking, port, wanted);
}

static bool connect_one(mf_graph *g, stage_def *def, const mf_port *port,
                        const mf_port_type *wanted, const yaml *node, const char *text,
                        reference *ref)
{
    if (!mf__parse_reference(g, def, node, text, ref))
        return false;
    if (!ref->source->stage)
        return false; /* reported there */
    if (ref->port == NAME_NONE && !choose_output(g, def, ref, port, wanted))
        return false;
    return check_type(g, def, ref, port, wanted) && check_axes(g, def, ref, port, wanted);
}

/* ---- stages that are named by axes: "model_${method}"
 * --------------------------------------------
 */

/* References of a port, as they are found. */
typedef struct found {
    reference *refs;
    size_t count, room;
} found;

static reference *add_found(found *f)
{
    f->refs = mf_grow(f->refs, &f->room, f->count + 1, sizeof *f->refs);
    return &f->refs[f->count++];
}

/* The axes of the stage that occur in combination with others: those of its nodes. */
static bool *combinations(const stage_def *def, uint32_t axes)
{
    uint32_t at[MOST_AXES];
    bool *there = mf_arena_alloc(def->graph->arena, mf__axes_space(def->graph, axes), 1);
    for (uint32_t i = 0; i < def->count; i++) {
        mf__def_at(def, i, at);
        there[mf__axes_code(def->graph, axes, at)] = true;
    }
    return there;
}

/* One reference for each combination of the axes that a node has. `behind`: the selection. */
static bool connect_named(mf_graph *g, stage_def *def, const mf_port *port,
                          const mf_port_type *wanted, const yaml *node, const char *name,
                          const char *behind, uint32_t axes, found *f)
{
    const char *text;
    uint32_t at[MOST_AXES] = {0};
    bool good = true;
    if (axes & CASE)
        return mf__graph_error(g, node,
                               "the name of a stage can be put together from axes, not from "
                               "columns of the case");
    if (!mf__resolve_text(g, node, name, &(here){def, NULL, false}, &text))
        return false; /* an axis that the stage has not */
    const bool *there = combinations(def, axes);
    for (uint32_t code = 0; code < mf__axes_space(g, axes); code++) {
        const size_t errors = mf_diagnostics_errors(g->d);
        if (!there[code])
            continue;
        mf__axes_at(g, axes, code, at);
        if (!mf__resolve_text(g, node, name, &(here){def, at, false}, &text))
            return false;
        reference *ref = add_found(f);
        if (connect_one(g, def, port, wanted, node, mf_arena_print(g->arena, "%s%s", text, behind),
                        ref)) {
            ref->named_by = axes;
            ref->named_at = code;
            continue;
        }
        good = false;
        if (mf_diagnostics_errors(g->d) > errors)
            mf__note_at(g, axes, at);
    }
    return good;
}

static bool connect_node(mf_graph *g, stage_def *def, const mf_port *port,
                         const mf_port_type *wanted, const yaml *node, found *f)
{
    const char *text = node->kind == YAML_SCALAR ? node->text : "";
    const size_t length = strcspn(text, "[");
    const char *name = mf_arena_copy_n(g->arena, text, length);
    const uint32_t axes = mf__mentions_text(g, name);
    return axes ? connect_named(g, def, port, wanted, node, name, text + length, axes, f)
                : connect_one(g, def, port, wanted, node, text, add_found(f));
}

static bool connect_port(mf_graph *g, stage_def *def, const yaml *key, const yaml *node)
{
    const mf_stage *stage = def->stage;
    int index = mf_port_find(stage->in, key->text);
    mf_port_type wanted;
    if (index < 0 && mf__graph_misplaced(g, def, key, "in"))
        return false;
    if (index < 0) {
        const char *all[64];
        size_t count = 0;
        for (const mf_port *p = stage->in; p && p->name && count < 64; p++)
            all[count++] = p->name;
        char *what = mf_arena_print(g->arena, "%s: unknown port", stage->name);
        mf__graph_unknown(g, key, what, all, count);
        note_inputs(g, stage);
        return false;
    }
    const mf_port *port = &stage->in[index];
    port_input *in = &def->inputs[index];
    mf_port_type_parse(port->type, &wanted);
    in->node = node;
    if (node->kind == YAML_LIST && wanted.shape != MF_PORT_LIST) {
        mf__graph_error(g, node, "%s: port '%s' takes one %s, not a list", stage->name, port->name,
                        wanted.name);
        mf__note_port(g, stage, port, false);
        return false;
    }
    size_t count = node->kind == YAML_LIST ? node->count : 1;
    bool good = true;
    if (!count && !wanted.optional)
        return mf__graph_error(g, node, "%s: port '%s' needs at least one %s", stage->name,
                               port->name, wanted.name);
    found f = {0};
    for (size_t i = 0; i < count; i++)
        good &= connect_node(g, def, port, &wanted, node->kind == YAML_LIST ? node->items[i] : node,
                             &f);
    in->count = good ? f.count : 0;
    in->refs = mf_arena_alloc(g->arena, in->count, sizeof *in->refs);
    for (size_t i = 0; i < in->count; i++) {
        in->refs[i] = f.refs[i];
        in->depends |= f.refs[i].joined | f.refs[i].varies | f.refs[i].named_by;
    }
    free(f.refs);
    return good;
}

/* What failed can be left out of a list only. */
static bool check_skip(mf_graph *g, const stage_def *def)
{
    yaml *key;
    bool gathers = false;
    for (size_t i = 0; i < def->input_count; i++) {
        mf_port_type type;
        mf_port_type_parse(def->stage->in[i].type, &type);
        for (size_t k = 0; k < def->inputs[i].count; k++)
            gathers |= type.shape == MF_PORT_LIST && def->inputs[i].refs[k].gather;
    }
    if (gathers || !mf_yaml_get(def->node, "skip_failed", &key) || !def->skip_failed)
        return true;
    return mf__graph_error(
        g, key, "'skip_failed' is for a stage that gathers, as in \"scan[*]\"; '%s' does not",
        def->key->text);
}

bool mf__connect_stage(mf_graph *g, stage_def *def)
{
    const mf_stage *stage = def->stage;
    const yaml *map = mf_yaml_get(def->node, "in", NULL);
    bool good = true;
    def->input_count = mf_port_count(stage->in);
    def->inputs = mf_arena_alloc(g->arena, def->input_count, sizeof *def->inputs);
    if (map && map->kind != YAML_MAP)
        return mf__graph_error(g, map,
                               "'in' takes ports and what goes into them, as in "
                               "{volume: scan}");
    for (size_t i = 0; map && i < map->count; i++)
        good &= connect_port(g, def, map->items[2 * i], map->items[2 * i + 1]);
    for (size_t i = 0; i < def->input_count; i++) {
        mf_port_type type;
        mf_port_type_parse(stage->in[i].type, &type);
        if (def->inputs[i].node || type.optional)
            continue;
        good = mf__graph_error(g, def->key, "%s: nothing is connected to port '%s'", stage->name,
                               stage->in[i].name);
        mf__note_port(g, stage, &stage->in[i], false);
    }
    return good && check_skip(g, def);
}

/* ---- order -------------------------------------------------------------------------------------
 */

/* Whether a source is a stage of the same file that has no place in the order yet. */
static bool waits_for(const mf_graph *g, const reference *ref, const bool *done)
{
    return ref->source->graph == g && !done[ref->source - g->defs];
}

/* Walks back along stages that are not ordered until one comes twice: that is the cycle. */
static bool report_cycle(mf_graph *g, const bool *done)
{
    uint32_t *path = mf_arena_alloc(g->arena, g->def_count + 1, sizeof *path);
    size_t *seen = mf_arena_alloc(g->arena, g->def_count, sizeof *seen);
    size_t length = 0;
    uint32_t at = 0;
    while (done[at])
        at++;
    while (!seen[at]) {
        path[length++] = at;
        seen[at] = length;
        const stage_def *def = &g->defs[at];
        for (size_t i = 0; i < def->input_count; i++)
            for (size_t k = 0; k < def->inputs[i].count; k++)
                if (waits_for(g, &def->inputs[i].refs[k], done)) {
                    at = (uint32_t)(def->inputs[i].refs[k].source - g->defs);
                    goto next;
                }
    next:;
    }
    mf_text text = {0};
    mf_text_add(&text, "%s", g->defs[at].key->text);
    for (size_t i = length; i-- > seen[at] - 1;)
        mf_text_add(&text, " -> %s", g->defs[path[i]].key->text);
    mf__graph_error(g, g->defs[at].key, "stages form a cycle: %s", text.data);
    free(text.data);
    return false;
}

/* Kahn's algorithm; stages that could come next come in the file's order. */
bool mf__order_stages(mf_graph *g)
{
    struct use { /* one edge, in the list of its source */
        uint32_t user;
        struct use *next;
    } **uses = mf_arena_alloc(g->arena, g->def_count, sizeof *uses);
    uint32_t *waits = mf_arena_alloc(g->arena, g->def_count, sizeof *waits);
    bool *done = mf_arena_alloc(g->arena, g->def_count, sizeof *done);
    size_t count = 0;
    g->order = mf_arena_alloc(g->arena, g->def_count, sizeof *g->order);
    for (size_t i = g->def_count; i-- > 0;)
        for (size_t p = 0; p < g->defs[i].input_count; p++)
            for (size_t k = 0; k < g->defs[i].inputs[p].count; k++) {
                const stage_def *from = g->defs[i].inputs[p].refs[k].source;
                uint32_t source = (uint32_t)(from - g->defs);
                if (from->graph != g)
                    continue; /* included files come first as a whole */
                struct use *use = mf_arena_alloc(g->arena, 1, sizeof *use);
                *use = (struct use){(uint32_t)i, uses[source]};
                uses[source] = use;
                waits[i]++;
            }
    for (size_t i = 0; i < g->def_count; i++)
        if (!waits[i])
            g->order[count++] = (uint32_t)i;
    for (size_t next = 0; next < count; next++) {
        done[g->order[next]] = true;
        for (struct use *use = uses[g->order[next]]; use; use = use->next)
            if (!--waits[use->user])
                g->order[count++] = use->user;
    }
    return count == g->def_count || report_cycle(g, done);
}
