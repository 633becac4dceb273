/* reference.c - "stage", "stage.port", "stage[*]", "stage[set=train, rank<=3]". */
#include "graph/check/reference.h"
#include "graph/data/combine.h"
#include "graph/data/lookup.h"
#include "graph/data/report.h"
#include "graph/values/splice.h"

#include <stdlib.h>
#include <string.h>

static bool number(const char *text, double *value)
{
    char *end;
    if (!*text || text[strspn(text, "0123456789+-.eE")])
        return false;
    *value = strtod(text, &end);
    return !*end;
}

/* "1,5": digits on both sides of one comma, or on one. */
static bool decimal_comma(const char *text)
{
    const char *comma = strchr(text, ',');
    size_t sign = *text == '-' || *text == '+', length = strlen(text);
    if (!comma || strchr(comma + 1, ',') || length - sign < 2)
        return false;
    return strspn(text + sign, "0123456789,") == length - sign;
}

bool mf__check_comparison(mf_graph *g, const yaml *node, const char *column, const char *left,
                          compare op, const char *right)
{
    double unused;
    bool ordered = op != EQUAL && op != DIFFERENT, comma = decimal_comma(left);
    if (!comma && !decimal_comma(right))
        return true;
    if (!ordered && !number(comma ? right : left, &unused))
        return true; /* two texts */
    mf__graph_error(
        g, node,
        "'%s' of column '%s' has a decimal comma: it is not a number; write it with a point",
        comma ? left : right, column);
    return false;
}

/* Numbers compare as numbers, all else as text; what is not a number has no order. Ids are names:
 * 012 is not 12. */
bool mf__compare_values(const char *column, const char *left, compare op, const char *right)
{
    double a = 0, b = 0;
    bool numbers = number(left, &a) && number(right, &b);
    if (!strcmp(column, "id") && (op == EQUAL || op == DIFFERENT))
        numbers = false;
    switch (op) {
    case EQUAL:
        return numbers ? a == b : !strcmp(left, right);
    case DIFFERENT:
        return numbers ? a != b : strcmp(left, right) != 0;
    case BELOW:
        return numbers && a < b;
    case AT_MOST:
        return numbers && a <= b;
    case ABOVE:
        return numbers && a > b;
    default:
        return numbers && a >= b;
    }
}

/* An error in a part of the reference's text. Positions are exact unless parameters are spliced. */
static mf_place part(const yaml *node, const char *text, const char *at, size_t length)
{
    if (strcmp(text, node->text))
        return mf_yaml_place(node);
    return mf_yaml_place_in(node, (size_t)(at - text), length ? length : 1);
}

static bool unknown_label(mf_graph *g, const yaml *node, const char *text, const mf_graph *in,
                          size_t at, size_t length)
{
    char *label = mf_arena_copy_n(g->arena, text + at, length);
    const char *who = in == g ? "the graph" : in->path, *near = mf__near_source(g, in, label);
    mf_place place = part(node, text, text, at + length);
    if (!in->root)
        return false; /* the file could not be read, which is reported there */
    for (size_t i = 0; i < in->include_count; i++)
        if (!strcmp(in->includes[i].key->text, label)) {
            mf_diagnostics_error(g->d, &place,
                                 "'%s' is an included file; name a stage of it, as in %s.model",
                                 label, label);
            return false;
        }
    if (near)
        mf_diagnostics_error(g->d, &place, "%s has no stage '%s'; did you mean '%s'?", who, label,
                             near);
    else
        mf_diagnostics_error(g->d, &place, "%s has no stage '%s'", who, label);
    return false;
}

static bool read_port(mf_graph *g, const yaml *node, const char *text, const char *at,
                      size_t length, reference *ref)
{
    const mf_stage *stage = ref->source->stage;
    char *name = mf_arena_copy_n(g->arena, at, length);
    if (!stage)
        return false; /* reported where it is used */
    int port = mf_port_find(stage->out, name);
    ref->port = (uint32_t)port;
    if (port >= 0)
        return true;
    const char *all[64];
    size_t count = 0;
    mf_text list = {0};
    for (const mf_port *p = stage->out; p && p->name && count < 64; p++) {
        mf_text_add(&list, "%s%s: %s", count ? ", " : "", p->name, p->type);
        all[count++] = p->name;
    }
    const char *near = mf_nearest(name, all, count);
    mf_place place = part(node, text, at, length);
    if (near)
        mf_diagnostics_error(g->d, &place, "%s has no output '%s'; did you mean '%s'?", stage->name,
                             name, near);
    else
        mf_diagnostics_error(g->d, &place, "%s has no output '%s'", stage->name, name);
    mf_diagnostics_note(g->d, "outputs of %s: %s   (massflow describe %s)", stage->name,
                        list.data ? list.data : "none", stage->name);
    free(list.data);
    return false;
}

static const char *first_axis(const stage_def *def)
{
    for (uint32_t i = 0; i < def->graph->axis_count; i++)
        if (def->axes >> i & 1)
            return def->graph->axes[i].name;
    return "";
}

static const char *trim(mf_arena *arena, const char *from, const char *to)
{
    while (from < to && *from == ' ')
        from++;
    while (to > from && to[-1] == ' ')
        to--;
    return mf_arena_copy_n(arena, from, (size_t)(to - from));
}

static bool no_term(mf_graph *g, const mf_place *place, const char *message)
{
    mf_diagnostics_error(g->d, place, "%s", message);
    return false;
}

/* "name OP value" in [at, end). */
static bool read_term(mf_graph *g, const reference *ref, const char *text, const char *at,
                      const char *end, term *t)
{
    size_t length = (size_t)(end - at);
    mf_place place = part(ref->node, text, at, length);
    const char *op = at;
    while (op < end && !strchr("=!<>", *op))
        op++;
    size_t width = op + 1 < end && op[1] == '=' ? 2 : 1;
    if (op == end || op == at || (*op == '!' && width == 1))
        return no_term(g, &place,
                       "a selection is '*', or terms such as set=train, rank<=3, fold!=0");
    t->op = *op == '='   ? EQUAL
            : *op == '!' ? DIFFERENT
            : *op == '<' ? (width == 2 ? AT_MOST : BELOW)
                         : (width == 2 ? AT_LEAST : ABOVE);
    t->value = trim(g->arena, op + width, end);
    t->any = !strcmp(t->value, "*");
    if (!*t->value)
        return no_term(g, &place, "a value is missing in the selection");
    if (!mf__find_subject(ref->source, trim(g->arena, at, op), &place, &t->of))
        return false;
    if (!t->any || (t->op == EQUAL && (!t->of.column || !strcmp(t->of.column, "id"))))
        return true;
    return no_term(g, &place, "'*' stands for all values of an axis: fold=*, case=*");
}

static bool read_terms(mf_graph *g, const char *text, const char *at, reference *ref)
{
    const char *end = text + strlen(text) - 1;
    size_t room = 1;
    for (const char *c = at; c < end; c++)
        room += *c == ',';
    ref->terms = mf_arena_alloc(g->arena, room, sizeof *ref->terms);
    while (at <= end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        while (at < stop && *at == ' ')
            at++;
        term *t = &ref->terms[ref->term_count++];
        if (!read_term(g, ref, text, at, stop, t))
            return false;
        ref->varies |= mf__mentions_text(g, t->value);
        at = stop + 1;
    }
    return true;
}

/* What the brackets do not choose is joined, on the axes that both ends have. "[*]" gathers the
 * axes that the consumer lacks; where it lacks none, all cases of the source. */
static bool read_selection(mf_graph *g, const stage_def *def, const char *text, const char *at,
                           reference *ref)
{
    uint32_t axes = ref->source->axes;
    bool all = !strcmp(trim(g->arena, at, text + strlen(text) - 1), "*");
    ref->gather = true;
    if (!axes)
        return mf__graph_error(g, ref->node,
                               "'%s' has no 'each: case', so there is nothing to select from",
                               ref->source->label);
    if (!all && !read_terms(g, text, at, ref))
        return false;
    for (size_t i = 0; i < ref->term_count; i++)
        ref->joined &= ~(1u << ref->terms[i].of.axis);
    if (!all || !def || ref->joined != axes)
        return true;
    if (!(axes & CASE))
        return mf__graph_error(
            g, ref->node,
            "'%s' has all axes of '%s' (%s), so \"[*]\" leaves nothing to gather; "
            "name an axis, as in \"[%s=*]\"",
            def->label, ref->source->label, mf__axis_names(ref->source->graph, axes),
            first_axis(ref->source));
    ref->joined &= ~CASE;
    return true;
}

bool mf__parse_reference(mf_graph *g, const stage_def *def, const yaml *node, const char *text,
                         reference *ref)
{
    const here h = {def, NULL, false};
    *ref = (reference){.node = node, .port = NAME_NONE};
    if (node->kind != YAML_SCALAR || !*text)
        return mf__graph_error(g, node,
                               "a port takes the name of a stage, as in scan, scan.volume or "
                               "\"scan[*]\"");
    if (!mf__resolve_text(g, node, text, &h, &text))
        return false;
    if (!strcmp(text, node->text))
        text = node->text; /* so that places can be told */
    size_t length, total = strlen(text), within;
    mf_graph *in;
    ref->source = mf__find_source(g, text, &length, &in, &within);
    if (!ref->source)
        return unknown_label(g, node, text, in, within, length - within);
    if (def && def->graph == ref->source->graph)
        ref->joined = def->axes & ref->source->axes;
    const char *at = text + length;
    if (*at == '.') {
        size_t port = strcspn(at + 1, "[");
        if (!read_port(g, node, text, at + 1, port, ref))
            return false;
        at += 1 + port;
    }
    if (!*at)
        return true;
    if (text[total - 1] != ']') {
        mf_place place = part(node, text, at, total - (size_t)(at - text));
        mf_diagnostics_error(g->d, &place, "'[' without ']' at the end");
        return false;
    }
    return read_selection(g, def, text, at + 1, ref);
}
