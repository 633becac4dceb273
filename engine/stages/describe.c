/* describe.c - stages in words, all from their descriptors. */
#include "base/arena.h"
#include "stages/params.h"
#include "stages/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mf_stage_code(const mf_stage *stage, char text[80])
{
    if (stage->code)
        snprintf(text, 80, "%s", stage->code);
    else
        snprintf(text, 80, "version %d", stage->version);
}

#define WIDE 96 /* columns of a line of prose */

/* Prose, broken between words; lines after the first begin with `indent` spaces. */
static void add_prose(mf_text *t, const char *prose, int indent)
{
    int column = indent;
    while (*prose) {
        size_t word = strcspn(prose, " \n");
        if (column > indent && column + 1 + (int)word > WIDE) {
            mf_text_add(t, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            mf_text_add(t, " ");
            column++;
        }
        mf_text_add_n(t, prose, word);
        column += (int)word;
        prose += word;
        if (*prose == '\n') {
            mf_text_add(t, "\n%*s", indent, "");
            column = indent;
            /* Spaces that begin a line stand; the next word brings the last of them. */
            for (prose++; *prose == ' '; prose++, column++)
                if (column > indent)
                    mf_text_add(t, " ");
            continue;
        }
        prose += *prose != 0;
    }
    mf_text_add(t, "\n");
}

static void show_ports(mf_text *t, const char *title, const mf_port *ports)
{
    int name = 0, type = 0;
    for (const mf_port *p = ports; p && p->name; p++) {
        name = (int)strlen(p->name) > name ? (int)strlen(p->name) : name;
        type = (int)strlen(p->type) > type ? (int)strlen(p->type) : type;
    }
    if (!name)
        return;
    mf_text_add(t, "\n%s\n", title);
    for (const mf_port *p = ports; p->name; p++) {
        mf_text_add(t, "  %-*s  %-*s  ", name, p->name, type, p->type);
        add_prose(t, p->help ? p->help : "", name + type + 6);
    }
}

static const char *kind_word(mf_param_kind kind)
{
    switch (kind) {
    case MF_PARAM_BOOL:
        return "true or false";
    case MF_PARAM_INT:
        return "integer";
    case MF_PARAM_REAL:
        return "number";
    case MF_PARAM_TEXT:
        return "text";
    case MF_PARAM_CHOICE:
        return "choice";
    case MF_PARAM_PATH:
        return "file or folder";
    case MF_PARAM_INT3:
        return "3 integers x, y, z";
    case MF_PARAM_REAL3:
        return "3 numbers x, y, z";
    case MF_PARAM_INTS:
        return "list of integers";
    case MF_PARAM_REALS:
        return "list of numbers";
    case MF_PARAM_LABELS:
        return "list of labels, by value or name";
    case MF_PARAM_END:
        break;
    }
    return "";
}

static bool numeric(mf_param_kind kind)
{
    return kind == MF_PARAM_INT || kind == MF_PARAM_REAL || mf_param_list(kind);
}

/* "choice: auto, ct, mr (or mri); in any case" */
static void show_choices(mf_text *t, const mf_param *p)
{
    const char *rest = p->choices;
    mf_choice c;
    for (size_t i = 0; mf_param_word(p, &rest, &c); i++) {
        mf_text_add(t, "%s", i ? ", " : ": ");
        mf_text_add_n(t, c.word, c.length);
        if (!c.others_length)
            continue;
        mf_text_add(t, " (or ");
        for (size_t k = 0; k < c.others_length; k++)
            mf_text_add(t, c.others[k] == '=' ? " or " : "%c", c.others[k]);
        mf_text_add(t, ")");
    }
    mf_text_add(t, "%s", p->marks & MF_ANY_CASE ? "; in upper or lower case" : "");
}

static void show_param(mf_text *t, const mf_param *p, int width)
{
    const char *kind = kind_word(p->kind), *comma = *kind ? "; " : "";
    mf_text_add(t, "  %-*s  ", width, p->name);
    add_prose(t, p->help, width + 4);
    mf_text_add(t, "  %-*s  %s", width, "", kind);
    if (p->kind == MF_PARAM_CHOICE) {
        show_choices(t, p);
    } else if (numeric(p->kind)) {
        char *range = mf_param_range(p);
        mf_text_add(t, ", %s", range);
        free(range);
    }
    if (mf_param_required(p))
        mf_text_add(t, "%srequired", comma);
    else if (*p->fallback)
        mf_text_add(t, "%sdefault %s", comma, p->fallback);
    else
        mf_text_add(t, "%sdefault: none", comma);
    if (p->marks & MF_NO_CACHE)
        mf_text_add(t, "; does not change the result");
    if (p->marks & MF_EXTENDABLE)
        mf_text_add(t, "; a longer run resumes from a shorter one");
    mf_text_add(t, "\n");
}

static void show_params(mf_text *t, const char *title, const mf_param *params)
{
    int width = 0;
    for (const mf_param *p = params; p && p->name; p++)
        width = (int)strlen(p->name) > width ? (int)strlen(p->name) : width;
    if (width)
        mf_text_add(t, "\n%s\n", title);
    for (const mf_param *p = params; p && p->name; p++)
        show_param(t, p, width);
}

char *mf_stage_describe(const mf_registry *r, const mf_stage *s)
{
    mf_text t = {0};
    mf_text_add(&t, "%s - %s\n", s->name, s->summary);
    if (s->help) {
        mf_text_add(&t, "\n");
        add_prose(&t, s->help, 0);
    }
    show_ports(&t, "in", s->in);
    show_ports(&t, "out", s->out);
    show_params(&t, "with", s->params);
    mf_text_add(&t, "\nplugin %s (%s), version %d\n", mf_registry_plugin(r, s),
                mf_registry_file(r, s), s->version);
    if ((s->kernels || s->program) && s->tolerance > 0)
        mf_text_add(&t, "Computes on a device; results of two devices agree to %g.\n",
                    s->tolerance);
    else if (s->kernels || s->program)
        mf_text_add(&t, "Computes on a device; its results are the same on each.\n");
    if (s->random)
        mf_text_add(&t, "Random: seed and case id are part of the cache key.\n");
    return mf_text_take(&t);
}

char *mf_case_source_describe(const mf_registry *r, const mf_case_source *s)
{
    mf_text t = {0};
    int width = 0;
    mf_text_add(&t, "%s - %s\nA source of cases, as in cases: {%s: ...}.\n", s->name, s->summary,
                s->name);
    if (s->help) {
        mf_text_add(&t, "\n");
        add_prose(&t, s->help, 0);
    }
    show_params(&t, "options", s->params);
    for (const mf_source_column *c = s->columns; c && c->name; c++)
        width = (int)strlen(c->name) > width ? (int)strlen(c->name) : width;
    if (width)
        mf_text_add(&t, "\ncolumns of its cases\n");
    for (const mf_source_column *c = s->columns; c && c->name; c++) {
        mf_text_add(&t, "  %-*s  ", width, c->name);
        add_prose(&t, c->help, width + 4);
    }
    if (mf_registry_source_file(r, s))
        mf_text_add(&t, "\nplugin %s (%s)\n", mf_registry_source_plugin(r, s),
                    mf_registry_source_file(r, s));
    else
        mf_text_add(&t, "\nbuilt into massflow\n");
    return mf_text_take(&t);
}

char *mf_registry_list(const mf_registry *r)
{
    mf_text t = {0};
    int width = 0;
    for (size_t i = 0; i < r->stage_count; i++) {
        int length = (int)strlen(r->stages[i].stage->name);
        width = length > width ? length : width;
    }
    for (size_t i = 0; i < r->stage_count; i++)
        mf_text_add(&t, "%-*s  %s\n", width, r->stages[i].stage->name, r->stages[i].stage->summary);
    if (!r->stage_count)
        mf_text_add(
            &t, "no stages: there is no plugin folder beside the program; set MASSFLOW_PLUGINS or "
                "--plugins\n");
    width = 0;
    for (size_t i = 0; i < r->source_count; i++) {
        int length = (int)strlen(r->sources[i].source->name);
        width = length > width ? length : width;
    }
    mf_text_add(&t, "\nsources of cases, as in cases: {glob: ...}\n");
    for (size_t i = 0; i < r->source_count; i++)
        mf_text_add(&t, "  %-*s  %s\n", width, r->sources[i].source->name,
                    r->sources[i].source->summary);
    return mf_text_take(&t);
}
