/* yaml.c - libyaml's events into a tree. Refused with a place: tags, anchors and aliases, repeated
 * keys, tabs in indentation, several documents, deep nesting, bytes that are no UTF-8. */
#include "graph/text/yaml.h"

#include "graph/text/names.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEEPEST 32

mf_place mf_yaml_place(const yaml *node)
{
    return mf__source_place(node->source, node->line, node->column, node->width);
}

mf_place mf_yaml_place_in(const yaml *node, size_t offset, size_t length)
{
    size_t bytes = strlen(node->text);
    size_t shift = node->quoted ? 1 : 0;
    for (const char *c = node->text; *c; c++)
        if ((unsigned char)*c >= 128)
            return mf_yaml_place(node);
    if (bytes + 2 * shift != (size_t)node->width)
        return mf_yaml_place(node);
    return mf__source_place(node->source, node->line, node->column + (int)(offset + shift),
                            (int)length);
}

/* Tabs may not indent. JSON, which begins with a brace, has no indentation that means anything. */
static bool check_tabs(const yaml_source *s, mf_diagnostics *d)
{
    if (s->text[strspn(s->text, " \t\r\n")] == '{')
        return true;
    for (size_t i = 0; i < s->line_count; i++) {
        size_t spaces = strspn(s->lines[i], " ");
        if (s->lines[i][spaces] != '\t')
            continue;
        mf_place place = mf__source_place(s, (int)i + 1, (int)spaces + 1, 1);
        mf_diagnostics_error(d, &place, "a tab in the indentation; use spaces");
        return false;
    }
    return true;
}

/* ---- events ---------------------------------------------------------------------------------- */

typedef struct reader {
    mf_arena *arena;
    const yaml_source *source;
    mf_diagnostics *d;
    yaml_parser_t parser;
    struct frame {
        yaml *node;
        yaml **items;
        size_t count, room;
        names seen; /* keys of a map */
    } stack[DEEPEST];
    int depth;
    yaml *root;
    bool done;
} reader;

static mf_place mark_place(const reader *r, const yaml_mark_t *mark)
{
    return mf__source_place(r->source, (int)mark->line + 1, (int)mark->column + 1, 1);
}

static bool syntax_error(reader *r)
{
    const yaml_parser_t *p = &r->parser;
    mf_place place = mark_place(r, &p->problem_mark);
    const char *problem = p->problem ? p->problem : "unreadable";
    char at = 0;
    if (p->problem_mark.index < r->source->length)
        at = r->source->text[p->problem_mark.index];
    if (p->context && (strstr(p->context, "alias") || strstr(p->context, "anchor"))) {
        place = mark_place(r, &p->context_mark);
        mf_diagnostics_error(r->d, &place, "text that begins with '*' or '&' must stand in quotes");
    } else if (p->context && strstr(problem, "unexpected end of stream")) {
        place = mark_place(r, &p->context_mark);
        mf_diagnostics_error(r->d, &place, "not YAML: this is not closed before the file ends");
    } else if (strstr(problem, "cannot start any token")) {
        mf_diagnostics_error(r->d, &place, "text that begins with '%c' must stand in quotes", at);
    } else {
        mf_diagnostics_error(r->d, &place, "not YAML: %s", problem);
        if (p->context)
            mf_diagnostics_note(r->d, "%s that begins in line %d", p->context,
                                (int)p->context_mark.line + 1);
        if (at == '[' || at == '{')
            mf_diagnostics_note(r->d, "text with brackets must stand in quotes here, as in "
                                      "\"scan[*]\"");
    }
    return false;
}

static yaml *make(reader *r, yaml_kind kind, const yaml_event_t *e)
{
    yaml *node = mf_arena_alloc(r->arena, 1, sizeof *node);
    int width = 1;
    if (e->end_mark.line == e->start_mark.line)
        width = (int)(e->end_mark.column - e->start_mark.column);
    *node = (yaml){.kind = kind,
                   .line = (int)e->start_mark.line + 1,
                   .column = (int)e->start_mark.column + 1,
                   .width = width < 1 ? 1 : width,
                   .source = r->source};
    return node;
}

/* Hangs a finished node below the container that is open. */
static bool attach(reader *r, yaml *node)
{
    if (!r->depth) {
        r->root = node;
        return true;
    }
    struct frame *f = &r->stack[r->depth - 1];
    if (f->node->kind == YAML_MAP && f->count % 2 == 0) {
        mf_place place = mf_yaml_place(node);
        if (node->kind != YAML_SCALAR) {
            mf_diagnostics_error(r->d, &place, "a key must be one word");
            return false;
        }
        uint32_t first = mf__names_add(&f->seen, node->text, (uint32_t)f->count);
        if (first != NAME_NONE) {
            mf_diagnostics_error(r->d, &place, "'%s' is given twice", node->text);
            mf_diagnostics_note(r->d, "first in line %d", f->items[first]->line);
        }
    }
    f->items = mf_grow(f->items, &f->room, f->count + 1, sizeof *f->items);
    f->items[f->count++] = node;
    return true;
}

static bool open_node(reader *r, yaml_kind kind, const yaml_event_t *e)
{
    yaml *node = make(r, kind, e);
    if (r->depth == DEEPEST) {
        mf_place place = mf_yaml_place(node);
        mf_diagnostics_error(r->d, &place, "nested deeper than %d levels", DEEPEST);
        return false;
    }
    if (!attach(r, node))
        return false;
    r->stack[r->depth++] = (struct frame){.node = node};
    return true;
}

static void close_node(reader *r)
{
    struct frame *f = &r->stack[--r->depth];
    f->node->count = f->node->kind == YAML_MAP ? f->count / 2 : f->count;
    f->node->items = mf_arena_alloc(r->arena, f->count, sizeof *f->items);
    if (f->count)
        memcpy(f->node->items, f->items, f->count * sizeof *f->items);
    free(f->items);
    mf__names_free(&f->seen);
}

/* Tags and anchors, on any node. */
static bool refuse_marks(reader *r, const yaml_event_t *e, const yaml_char_t *anchor,
                         const yaml_char_t *tag)
{
    mf_place place = mark_place(r, &e->start_mark);
    if (tag)
        mf_diagnostics_error(r->d, &place,
                             "a tag; graph files have none (text that begins with '!' must stand "
                             "in quotes)");
    else if (anchor)
        mf_diagnostics_error(r->d, &place,
                             "an anchor; graph files have none (text that begins with '&' must "
                             "stand in quotes)");
    return !tag && !anchor;
}

static bool scalar(reader *r, const yaml_event_t *e)
{
    yaml *node = make(r, YAML_SCALAR, e);
    if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length) {
        mf_place place = mf_yaml_place(node);
        mf_diagnostics_error(r->d, &place, "a NUL character in text");
        return false;
    }
    node->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = mf_arena_copy(r->arena, (const char *)e->data.scalar.value);
    return attach(r, node);
}

static bool event(reader *r, const yaml_event_t *e)
{
    mf_place place = mark_place(r, &e->start_mark);
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (r->root)
            mf_diagnostics_error(r->d, &place, "a second document; a graph file is one");
        return !r->root;
    case YAML_ALIAS_EVENT:
        mf_diagnostics_error(r->d, &place,
                             "an alias; graph files have none (text that begins with '*' must "
                             "stand in quotes)");
        return false;
    case YAML_SCALAR_EVENT:
        return refuse_marks(r, e, e->data.scalar.anchor, e->data.scalar.tag) && scalar(r, e);
    case YAML_SEQUENCE_START_EVENT:
        return refuse_marks(r, e, e->data.sequence_start.anchor, e->data.sequence_start.tag) &&
               open_node(r, YAML_LIST, e);
    case YAML_MAPPING_START_EVENT:
        return refuse_marks(r, e, e->data.mapping_start.anchor, e->data.mapping_start.tag) &&
               open_node(r, YAML_MAP, e);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        close_node(r);
        return true;
    case YAML_STREAM_END_EVENT:
        r->done = true;
        return true;
    default:
        return true;
    }
}

yaml *mf_yaml_read(mf_arena *arena, const yaml_source *s, mf_diagnostics *d)
{
    size_t before = mf_diagnostics_errors(d);
    if (!mf__source_check(s, d) || !check_tabs(s, d))
        return NULL;
    reader *r = mf_arena_alloc(arena, 1, sizeof *r);
    *r = (reader){.arena = arena, .source = s, .d = d};
    if (!yaml_parser_initialize(&r->parser))
        abort();
    yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r->parser, (const unsigned char *)s->text, s->length);
    bool good = true;
    while (good && !r->done) {
        yaml_event_t e;
        good = yaml_parser_parse(&r->parser, &e) || syntax_error(r);
        if (good) {
            good = event(r, &e);
            yaml_event_delete(&e);
        }
    }
    while (r->depth)
        close_node(r);
    yaml_parser_delete(&r->parser);
    if (good && !r->root) {
        mf_place place = {s->name, 0, 0, 1, NULL, s->from};
        mf_diagnostics_error(d, &place, "the file is empty");
    }
    return mf_diagnostics_errors(d) > before ? NULL : r->root;
}

/* ---- asking ---------------------------------------------------------------------------------- */

yaml *mf_yaml_get(const yaml *map, const char *name, yaml **key)
{
    for (size_t i = 0; i < map->count; i++)
        if (!strcmp(map->items[2 * i]->text, name)) {
            if (key)
                *key = map->items[2 * i];
            return map->items[2 * i + 1];
        }
    return NULL;
}

bool mf_yaml_empty(const yaml *node)
{
    return node->kind == YAML_SCALAR && !node->quoted && !*node->text;
}
