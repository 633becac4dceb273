/* declared.c - sources of cases that plugins declare: reads their options from the graph file, and
 * implements what they may ask for (massflow/cases.h). */
#include "graph/cases/cases.h"
#include "graph/cases/found.h"
#include "graph/data/report.h"
#include "graph/values/splice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct mf_cases {
    mf_graph *g;
    const mf_case_source *source;
    const yaml *map, *value;  /* of the graph file: the whole source, and what its name has */
    const graph_param *param; /* that the value is alone, or NULL */
    const extras *e;
    rows *r;
    /* The case that was added last, until the next one. */
    struct {
        bool open;
        const yaml *at;
        const char *id, *from, *path;
        const char **names, **values;
        size_t count, name_room, value_room;
    } last;
    bool good;
    /* An error that has a place, to be returned by `read`; told: it has been reported. */
    mf_status placed;
    const yaml *placed_at;
    bool told;
};

/* ---- options -----------------------------------------------------------------------------------
 */

static void note_option(mf_graph *g, const mf_case_source *source, const mf_param *p)
{
    mf_diagnostics_note(g->d, "%s: %s   (massflow describe %s)", p->name, p->help, source->name);
}

static bool set_option(mf_cases *c, mf_params *params, const mf_param *p, const yaml *node)
{
    mf_graph *g = c->g;
    given v;
    int at;
    if (!mf__resolve(g, node, NULL, &v))
        return false;
    if (mf_yaml_empty(node))
        return mf__graph_error(g, node, "'%s' has no value; write \"\" for empty text", p->name);
    if (node == c->value)
        c->param = v.param;
    mf_status status = mf_params_set(params, p, v.list, v.list ? v.texts : &v.text,
                                     v.list ? v.count : 1, v.base, &at);
    if (!status)
        return true;
    bool element = node->kind == YAML_LIST && at >= 0;
    mf__graph_status(g, element ? node->items[at] : node, NULL, status);
    mf__graph_note_param(g, v.param);
    note_option(g, c->source, p);
    return false;
}

static bool set_options(mf_cases *c, mf_params *params)
{
    bool good = true;
    for (const mf_param *p = c->source->params; p->name; p++) {
        const yaml *node = mf_yaml_get(c->map, p->name, NULL);
        if (node) {
            good &= set_option(c, params, p, node);
        } else if (mf_params_missing(params, p)) {
            good = mf__graph_error(c->g, c->map, "%s: required option '%s' is missing",
                                   c->source->name, p->name);
            note_option(c->g, c->source, p);
        }
    }
    return good;
}

/* ---- one case ----------------------------------------------------------------------------------
 */

static mf_place place_of(const mf_cases *c, const yaml *at)
{
    return mf_yaml_place(at ? at : c->value);
}

static void error_at(mf_cases *c, const yaml *at, const char *format, ...) MF_PRINTF(3, 4);
static void error_at(mf_cases *c, const yaml *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    mf_cases_report(c, at, mf_vfail(MF_INVALID, format, args));
    va_end(args);
}

/* The case that was added last becomes a row. */
static void close_last(mf_cases *c)
{
    mf_graph *g = c->g;
    const char *id = c->last.id;
    if (!c->last.open)
        return;
    c->last.open = false;
    if (!id && !c->last.path) {
        error_at(c, c->last.at, "the source '%s' adds a case with neither id nor path",
                 c->source->name);
        return;
    }
    mf_place place = place_of(c, c->last.at);
    row *x = mf__new_row(g, c->r, &place, c->value->source->base, c->last.count, c->e);
    for (size_t i = 0; i < c->last.count; i++)
        mf__put(x, c->last.names[i], c->last.values[i]);
    x->in_file = c->last.at && c->last.at->source->file && c->last.at->source != g->source;
    x->from = c->last.from ? c->last.from : c->last.path ? c->last.path : c->source->name;
    mf__finish_row(g, x, c->e, id ? id : mf__stem_of(g->arena, c->last.path));
}

void mf_cases_add(mf_cases *c, const mf_entry *at, const char *id)
{
    close_last(c);
    c->last.open = true;
    c->last.at = at;
    c->last.id = id ? mf_arena_copy(c->g->arena, id) : NULL;
    c->last.from = c->last.path = NULL;
    c->last.count = 0;
}

void mf_cases_from(mf_cases *c, const char *text)
{
    c->last.from = mf_arena_copy(c->g->arena, text);
}

static const char *absolute(const mf_cases *c, const yaml *at, const char *path)
{
    mf_arena *arena = c->g->arena;
    return *path == '/' ? mf_arena_copy(arena, path)
                        : mf_arena_print(arena, "%s/%s", (at ? at : c->value)->source->base, path);
}

void mf_cases_set(mf_cases *c, const char *column, const char *text)
{
    size_t i = c->last.count;
    if (!c->last.open || (strcmp(column, "path") && !mf_case_source_column(c->source, column))) {
        error_at(c, c->last.at,
                 c->last.open ? "the source '%s' sets the column '%s', which it does not declare"
                              : "the source '%s' sets the column '%s' of no case",
                 c->source->name, column);
        return;
    }
    c->last.names = mf_grow(c->last.names, &c->last.name_room, i + 1, sizeof *c->last.names);
    c->last.values = mf_grow(c->last.values, &c->last.value_room, i + 1, sizeof *c->last.values);
    c->last.names[i] = mf_arena_copy(c->g->arena, column);
    c->last.values[i] =
        !strcmp(column, "path") ? absolute(c, c->last.at, text) : mf_arena_copy(c->g->arena, text);
    c->last.count++;
    if (strcmp(column, "path"))
        return;
    c->last.path = c->last.values[i];
    if (access(c->last.path, F_OK))
        error_at(c, c->last.at, "no file or folder '%s'", c->last.path);
}

const char *mf_cases_id(mf_cases *c, const char *text)
{
    return mf__as_id(c->g->arena, text);
}

/* ---- what is wrong -----------------------------------------------------------------------------
 */

mf_status mf_cases_at(mf_cases *c, const mf_entry *at, mf_status status)
{
    c->placed = status;
    c->placed_at = at;
    c->told = false;
    return status;
}

void mf_cases_report(mf_cases *c, const mf_entry *at, mf_status status)
{
    if (!status)
        return;
    c->good = mf__graph_status(c->g, at ? at : c->value, NULL, status);
    if (!at || at == c->value)
        mf__graph_note_param(c->g, c->param);
}

static const char *print(mf_cases *c, const char *format, va_list args)
{
    char *text, *copy;
    if (vasprintf(&text, format, args) < 0)
        abort();
    copy = mf_arena_copy(c->g->arena, text);
    free(text);
    return copy;
}

void mf_cases_warn(mf_cases *c, const mf_entry *at, const char *format, ...)
{
    va_list args;
    mf_place place = place_of(c, at);
    va_start(args, format);
    mf_diagnostics_warning(c->g->d, &place, "%s", print(c, format, args));
    va_end(args);
}

void mf_cases_note(mf_cases *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    mf__add_passed(c->g, print(c, format, args));
    va_end(args);
}

const char *mf_cases_text(mf_cases *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = print(c, format, args);
    va_end(args);
    return text;
}

/* What is wrong with a file has been reported at its places. */
static mf_status told(mf_cases *c, const char *path)
{
    mf_status status = mf_cases_at(c, NULL, mf_fail(MF_INVALID, "%s cannot be read", path));
    c->told = true;
    c->good = false;
    return status;
}

/* ---- where things stand, and files -------------------------------------------------------------
 */

const mf_entry *mf_cases_option(const mf_cases *c, const char *name)
{
    const yaml *node = mf_yaml_get(c->map, name, NULL);
    return node ? node : c->value;
}

const char *mf_cases_folder(const mf_cases *c)
{
    return c->g->folder;
}

void mf_cases_uses(mf_cases *c, const char *path)
{
    mf__add_table(c->g, absolute(c, NULL, path));
}

static mf_status read_text(mf_cases *c, const char *path, size_t limit, yaml_source **s)
{
    const char *full = absolute(c, NULL, path);
    MF_TRY(mf__source_read(c->g->arena, full, limit, s));
    (*s)->from = c->g->source->from;
    mf__add_table(c->g, full);
    return MF_OK;
}

/* The i-th line as a text, without what ends it. */
static yaml *line_of(mf_arena *arena, const yaml_source *s, size_t i)
{
    const char *text = s->lines[i];
    size_t length = strcspn(text, "\r\n");
    yaml *line = mf_arena_alloc(arena, 1, sizeof *line);
    *line = (yaml){.kind = YAML_SCALAR,
                   .line = (int)i + 1,
                   .column = 1,
                   .quoted = true,
                   .text = mf_arena_copy_n(arena, text, length),
                   .source = s};
    for (size_t k = 0; k < length; k++)
        line->width += (text[k] & 0xc0) != 0x80;
    line->width += !line->width;
    return line;
}

mf_status mf_cases_lines(mf_cases *c, const char *path, size_t limit, const mf_entry **lines)
{
    mf_arena *arena = c->g->arena;
    yaml_source *s;
    *lines = NULL;
    MF_TRY(read_text(c, path, limit, &s));
    if (!mf__source_check(s, c->g->d))
        return told(c, path);
    yaml *list = mf_arena_alloc(arena, 1, sizeof *list);
    *list = (yaml){.kind = YAML_LIST, .line = 1, .column = 1, .width = 1, .source = s};
    list->count = s->line_count - !*s->lines[s->line_count - 1]; /* an end of line ends the file */
    list->items = mf_arena_alloc(arena, list->count, sizeof *list->items);
    for (size_t i = 0; i < list->count; i++)
        list->items[i] = line_of(arena, s, i);
    *lines = list;
    return MF_OK;
}

mf_status mf_cases_tree(mf_cases *c, const char *path, size_t limit, const mf_entry **root)
{
    yaml_source *s;
    *root = NULL;
    MF_TRY(read_text(c, path, limit, &s));
    *root = mf_yaml_read(c->g->arena, s, c->g->d);
    return *root ? MF_OK : told(c, path);
}

/* ---- entries -----------------------------------------------------------------------------------
 */

mf_entry_kind mf_entry_is(const mf_entry *entry)
{
    return entry->kind == YAML_SCALAR ? MF_ENTRY_TEXT
           : entry->kind == YAML_LIST ? MF_ENTRY_LIST
                                      : MF_ENTRY_MAP;
}

const char *mf_entry_text(const mf_entry *entry)
{
    return entry->kind == YAML_SCALAR ? entry->text : NULL;
}

size_t mf_entry_count(const mf_entry *entry)
{
    return entry->kind == YAML_SCALAR ? 0 : entry->count;
}

const mf_entry *mf_entry_at(const mf_entry *entry, size_t i)
{
    if (i >= mf_entry_count(entry))
        return NULL;
    return entry->kind == YAML_LIST ? entry->items[i] : entry->items[2 * i + 1];
}

const mf_entry *mf_entry_key(const mf_entry *entry, size_t i)
{
    return entry->kind == YAML_MAP && i < entry->count ? entry->items[2 * i] : NULL;
}

const mf_entry *mf_entry_get(const mf_entry *entry, const char *key)
{
    return entry->kind == YAML_MAP ? mf_yaml_get(entry, key, NULL) : NULL;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static void run(mf_cases *c, const mf_params *params)
{
    mf_status status = c->source->read(c, mf_params_struct(params));
    if (!status) {
        close_last(c);
        return;
    }
    if (status != c->placed)
        c->placed_at = NULL;
    if (status == c->placed && c->told)
        mf_error_free(status);
    else
        mf_cases_report(c, c->placed_at, status);
}

bool mf__read_declared(mf_graph *g, const mf_case_source *source, const yaml *map,
                       const yaml *value, const extras *e, rows *r)
{
    mf_cases c = {
        .g = g, .source = source, .map = map, .value = value, .e = e, .r = r, .good = true};
    mf_params *params;
    mf_status status = mf_params_new(mf_registry_source_options(g->registry, source), &params);
    if (status)
        return mf__graph_status(g, value, NULL, status);
    c.good = set_options(&c, params);
    if (c.good)
        run(&c, params);
    mf_params_unref(params);
    free(c.last.names);
    free(c.last.values);
    return c.good;
}
