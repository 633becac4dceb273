/* combine.c - see combine.h. */
#include "graph/data/combine.h"
#include "graph/data/columns.h"
#include <stdlib.h>
#include <string.h>

/* ---- combinations ------------------------------------------------------------------------------
 */

uint32_t mf__find_axis(const mf_graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->axis_count; i++)
        if (!strcmp(g->axes[i].name, name))
            return i;
    return NAME_NONE;
}

char *mf__axis_names(const mf_graph *g, uint32_t mask)
{
    mf_text t = {0};
    for (uint32_t i = 0; i < g->axis_count; i++)
        if (mask >> i & 1)
            mf_text_add(&t, "%s%s", t.length ? ", " : "", g->axes[i].name);
    char *text = mf_arena_copy(g->arena, t.data ? t.data : "");
    free(t.data);
    return text;
}

char *mf__axes_pattern(const mf_graph *g, uint32_t mask)
{
    mf_text t = {0};
    for (uint32_t i = 0; i < g->axis_count; i++)
        if (mask >> i & 1)
            mf_text_add(&t, "%s%s=%s", t.length ? ", " : "", g->axes[i].name, i ? "VALUE" : "ID");
    char *text = mf_arena_copy(g->arena, t.data ? t.data : "");
    free(t.data);
    return text;
}

uint64_t mf__axes_space(const mf_graph *g, uint32_t mask)
{
    uint64_t space = 1;
    for (uint32_t i = 0; i < g->axis_count; i++)
        if (mask >> i & 1) {
            space *= g->axes[i].count;
            if (space > MOST_NODES)
                return MOST_NODES + 1;
        }
    return space;
}

uint32_t mf__axes_code(const mf_graph *g, uint32_t mask, const uint32_t *at)
{
    uint32_t code = 0;
    for (uint32_t i = 0; i < g->axis_count; i++)
        if (mask >> i & 1)
            code = code * g->axes[i].count + at[i];
    return code;
}

void mf__axes_at(const mf_graph *g, uint32_t mask, uint32_t code, uint32_t *at)
{
    for (uint32_t i = g->axis_count; i-- > 0;)
        if (mask >> i & 1) {
            at[i] = code % g->axes[i].count;
            code /= g->axes[i].count;
        }
}

uint32_t mf__def_code(const stage_def *def, uint32_t i)
{
    return def->codes ? def->codes[i] : i;
}

void mf__def_at(const stage_def *def, uint32_t i, uint32_t at[MOST_AXES])
{
    mf__axes_at(def->graph, def->axes, mf__def_code(def, i), at);
}

uint32_t mf__code_position(const stage_def *def, uint32_t code)
{
    if (!def->codes)
        return code;
    uint32_t low = 0, high = def->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (def->codes[middle] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < def->count && def->codes[low] == code ? low : NAME_NONE;
}

/* ---- texts -------------------------------------------------------------------------------------
 */

char *mf__axes_text(const mf_graph *g, uint32_t mask, const uint32_t *at)
{
    size_t room = 1;
    for (uint32_t i = 0; i < g->axis_count; i++)
        if (mask >> i & 1)
            room += strlen(g->axes[i].name) + strlen(g->axes[i].values[at[i]]) + 2;
    char *text = mf_arena_alloc(g->arena, room, 1), *end = text;
    for (uint32_t i = 0; i < g->axis_count; i++)
        if (mask >> i & 1) {
            if (end > text)
                *end++ = ',';
            end = stpcpy(stpcpy(stpcpy(end, g->axes[i].name), "="), g->axes[i].values[at[i]]);
        }
    return text;
}

void mf__note_at(mf_graph *g, uint32_t mask, const uint32_t *at)
{
    const mf_place *line = mask & CASE && g->case_places ? g->case_places[at[0]] : NULL;
    if (mask == CASE && line)
        mf_diagnostics_note(g->d, "for case '%s' (%s:%d:%d)", g->axes[0].values[at[0]], line->file,
                            line->line, line->column);
    else if (mask == CASE)
        mf_diagnostics_note(g->d, "for case '%s'", g->axes[0].values[at[0]]);
    else if (mask)
        mf_diagnostics_note(g->d, "for %s", mf__axes_text(g, mask, at));
}

/* ---- what a selection looks at -----------------------------------------------------------------
 */

static bool unknown_subject(const stage_def *def, const char *name, const mf_place *place)
{
    mf_graph *g = def->graph;
    const char **all = mf_arena_alloc(g->arena, g->column_count + MOST_AXES, sizeof *all);
    size_t count = 0;
    for (size_t i = 0; def->axes & CASE && i < g->column_count; i++)
        all[count++] = g->columns[i];
    for (uint32_t i = 1; i < g->axis_count; i++)
        if (def->axes >> i & 1)
            all[count++] = g->axes[i].name;
    const char *what = def->axes == CASE  ? "the cases have no column"
                       : def->axes & CASE ? "there is no such axis or column:"
                                          : "there is no such axis:";
    const char *near = mf_nearest(name, all, count);
    if (near)
        mf_diagnostics_error(g->d, place, "%s '%s'; did you mean '%s'?", what, name, near);
    else
        mf_diagnostics_error(g->d, place, "%s '%s'", what, name);
    if (def->axes != CASE)
        mf_diagnostics_note(g->d, "axes of '%s': %s", def->key->text, mf__axis_names(g, def->axes));
    if (def->axes & CASE)
        mf__note_columns(g);
    return false;
}

bool mf__find_subject(const stage_def *def, const char *name, const mf_place *place, subject *s)
{
    mf_graph *g = def->graph;
    uint32_t index = mf__find_axis(g, name);
    *s = (subject){0, NULL};
    if (index != NAME_NONE && def->axes >> index & 1) {
        s->axis = index;
        s->column = index ? NULL : "id";
        return true;
    }
    const char *column = strncmp(name, "case.", 5) ? name : name + 5;
    s->column = column;
    if (def->axes & CASE && (g->cases_wrong || mf__has_column(g, column)))
        return true;
    if (g->axes_wrong)
        return false;
    if (column != name && !(def->axes & CASE)) {
        mf_diagnostics_error(g->d, place, "'%s' has no 'each: case', so it has no columns",
                             def->key->text);
        return false;
    }
    if (index != NAME_NONE) {
        mf_diagnostics_error(g->d, place, "'%s' has no 'each: %s' to choose by", def->key->text,
                             name);
        return false;
    }
    return unknown_subject(def, column, place);
}

const char *mf__subject_text(const mf_graph *g, const subject *s, const uint32_t *at)
{
    if (!s->column)
        return g->axes[s->axis].values[at[s->axis]];
    return mf_case_column(&g->cases[at[0]], s->column);
}
