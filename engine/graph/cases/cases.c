/* cases.c - the sources of `cases` into a table: one row a scan or generated item.
 *
 * The sources glob, csv, list and count are read here; those that plugins declare, in declared.c.
 * Keys of a source that are no options of it become columns of its cases; in them and in `id`,
 * "{id}" stands for what the source found. Ids are unique over all sources. */
#include "graph/cases/cases.h"
#include "graph/cases/csv.h"
#include "graph/cases/found.h"
#include "graph/data/columns.h"
#include "graph/data/report.h"
#include "graph/text/names.h"
#include "graph/values/splice.h"

#include <ctype.h>
#include <massflow/file.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGEST_CSV ((size_t)256 << 20)

static bool read_glob(mf_graph *g, const yaml *node, const extras *e, rows *r);
static bool read_csv(mf_graph *g, const yaml *node, const extras *e, rows *r);
static bool read_list(mf_graph *g, const yaml *node, const extras *e, rows *r);
static bool read_count(mf_graph *g, const yaml *node, const extras *e, rows *r);

/* Sources that are built in. */
static const struct reader {
    const char *name;
    bool (*read)(mf_graph *g, const yaml *node, const extras *e, rows *r);
} readers[] = {{"glob", read_glob}, {"csv", read_csv}, {"list", read_list}, {"count", read_count}};

/* ---- one case ----------------------------------------------------------------------------------
 */

const char *mf__as_id(mf_arena *arena, const char *text)
{
    char *id = mf_arena_copy(arena, text);
    for (char *c = id; *c; c++)
        if (strchr("/\\[],=<>!\"' \n\r\t", *c))
            *c = '_';
    return id;
}

row *mf__new_row(mf_graph *g, rows *r, const mf_place *place, const char *base, size_t room,
                 const extras *e)
{
    r->list = mf_grow(r->list, &r->room, r->count + 1, sizeof *r->list);
    row *c = &r->list[r->count++];
    *c = (row){.place = *place, .base = base};
    c->names = mf_arena_alloc(g->arena, room + e->count, sizeof *c->names);
    c->values = mf_arena_alloc(g->arena, room + e->count, sizeof *c->values);
    return c;
}

void mf__put(row *c, const char *name, const char *text)
{
    c->names[c->count] = name;
    c->values[c->count++] = text;
}

/* `text` with each "{id}" replaced. */
static const char *with_id(mf_arena *arena, const char *text, const char *id)
{
    mf_text out = {0};
    if (!strstr(text, "{id}"))
        return text;
    for (const char *c = text; *c;) {
        if (strncmp(c, "{id}", 4)) {
            mf_text_add_n(&out, c++, 1);
            continue;
        }
        mf_text_add_n(&out, id, strlen(id));
        c += 4;
    }
    char *copy = mf_arena_copy(arena, out.data);
    free(out.data);
    return copy;
}

/* ---- columns that a source gives all its cases -------------------------------------------------
 */

static const char *const exclude = "exclude", *const optional = "optional";

/* The option that a key may have been meant for, other than the source's own name. */
static const char *near_option(mf_graph *g, const mf_case_source *source, const char *key)
{
    size_t count = 0, room = 0;
    while (source->params[room].name)
        room++;
    const char **options = mf_arena_alloc(g->arena, room, sizeof *options);
    for (const mf_param *p = source->params + 1; p->name; p++)
        options[count++] = p->name;
    return mf_nearest(key, options, count);
}

static bool column_name(mf_graph *g, const mf_case_source *source, const yaml *key)
{
    if (!mf__is_name(key->text))
        return mf__graph_error(g, key, "'%s' is not a valid name of a column", key->text);
    if (mf_case_source_column(source, key->text))
        return mf__graph_error(g, key, "the column '%s' is the source's own", key->text);
    /* A slip there would let label maps in as scans, and a column of no use would be all that
     * shows. */
    const char *near = near_option(g, source, key->text);
    if (near)
        return mf__graph_error(g, key,
                               "'%s' would be a column; did you mean '%s'? A column needs a "
                               "name that is less like it",
                               key->text, near);
    return true;
}

static bool read_optional(mf_graph *g, const mf_case_source *kind, const yaml *key,
                          const yaml *node, extras *e)
{
    given v;
    if (strcmp(kind->name, "glob") != 0)
        return mf__graph_error(g, key, "'optional' is for a glob that may find no file, not '%s'",
                               kind->name);
    if (!mf__resolve(g, node, NULL, &v))
        return false;
    e->optional = !v.list && !strcmp(v.text, "true");
    if (v.list || (!e->optional && strcmp(v.text, "false") != 0))
        return mf__graph_error(g, node, "'optional' is true or false");
    return true;
}

static bool read_extras(mf_graph *g, const mf_case_source *kind, const yaml *source, extras *e)
{
    bool good = true;
    *e = (extras){.names = mf_arena_alloc(g->arena, source->count, sizeof(char *)),
                  .values = mf_arena_alloc(g->arena, source->count, sizeof(char *))};
    for (size_t i = 0; i < source->count; i++) {
        const yaml *key = source->items[2 * i], *node = source->items[2 * i + 1];
        given v;
        if (mf_registry_source(g->registry, key->text))
            continue;
        if (!strcmp(key->text, exclude)) {
            e->exclude = node;
            if (strcmp(kind->name, "glob"))
                good = mf__graph_error(
                    g, key, "'exclude' leaves out files of a glob; '%s' has none", kind->name);
            continue;
        }
        if (!strcmp(key->text, optional)) {
            good &= read_optional(g, kind, key, node, e);
            continue;
        }
        if (mf_param_find(mf_registry_source_options(g->registry, kind), key->text))
            continue;
        if (!column_name(g, kind, key) || !mf__resolve(g, node, NULL, &v)) {
            good = false;
        } else if (v.list) {
            good = mf__graph_error(g, node, "a column has one value for all cases of its source");
        } else if (!strcmp(key->text, "id")) {
            e->id = v.text;
        } else {
            e->names[e->count] = key->text;
            e->values[e->count++] = v.text;
        }
    }
    return good;
}

void mf__finish_row(mf_graph *g, row *c, const extras *e, const char *id)
{
    c->id = e->id ? with_id(g->arena, e->id, id) : id;
    for (size_t i = 0; i < e->count; i++)
        mf__put(c, e->names[i], with_id(g->arena, e->values[i], id));
}

/* ---- sources -----------------------------------------------------------------------------------
 */

/* One pattern or a list of them. */
static bool read_exclude(mf_graph *g, const yaml *node, scan_search *s)
{
    given v;
    if (!node)
        return true;
    if (!mf__resolve(g, node, NULL, &v))
        return false;
    s->exclude = v.texts;
    s->exclude_count = v.count;
    s->exclude_base = v.base;
    if (!v.list) {
        const char **one = mf_arena_alloc(g->arena, 1, sizeof *one);
        *one = v.text;
        s->exclude = one;
        s->exclude_count = 1;
    }
    for (size_t i = 0; i < s->exclude_count; i++)
        if (!*s->exclude[i])
            return mf__graph_error(g, node, "an empty pattern in 'exclude'");
    return true;
}

void mf__add_passed(mf_graph *g, const char *text)
{
    g->passed = mf_grow(g->passed, &g->passed_room, g->passed_count + 1, sizeof *g->passed);
    g->passed[g->passed_count++] = text;
}

void mf__add_table(mf_graph *g, const char *path)
{
    g->tables = mf_grow(g->tables, &g->table_room, g->table_count + 1, sizeof *g->tables);
    g->tables[g->table_count++] = path;
}

/* What a glob passed over. */
static void note_passed(mf_graph *g, const char *pattern, const scan_search *s)
{
    mf_text t = {0};
    if (!s->exclude_count && !s->hidden)
        return;
    mf_text_add(&t, "glob %s: %zu case%s", pattern, s->count, s->count == 1 ? "" : "s");
    for (size_t i = 0; i < s->exclude_count; i++)
        mf_text_add(&t, "; %zu excluded by %s", s->excluded[i], s->exclude[i]);
    if (s->hidden)
        mf_text_add(&t, "; %zu hidden file%s passed over, such as %s", s->hidden,
                    s->hidden == 1 ? "" : "s", s->a_hidden);
    mf__add_passed(g, mf_arena_copy(g->arena, t.data));
    free(t.data);
}

static bool read_glob(mf_graph *g, const yaml *node, const extras *e, rows *r)
{
    given v;
    scan_search s = {0};
    mf_place place = mf_yaml_place(node);
    if (!mf__resolve(g, node, NULL, &v))
        return false;
    if (v.list || !*v.text)
        return mf__graph_error(g, node, "'glob' takes one pattern");
    s.base = v.base;
    s.pattern = v.text;
    if (!read_exclude(g, e->exclude, &s))
        return false;
    mf_status status = mf__find_scans(g->arena, &s);
    if (status && e->optional && mf_error_code(status) == MF_NOT_FOUND) {
        mf_error_free(status);
        mf__add_passed(g, mf_arena_print(g->arena, "glob %s: no case (optional)", v.text));
        return true;
    }
    if (status) {
        mf__graph_status(g, node, NULL, status);
        mf__graph_note_param(g, v.param);
        return false;
    }
    for (size_t i = 0; i < s.count; i++) {
        row *c = mf__new_row(g, r, &place, node->source->base, 1, e);
        mf__put(c, "path", s.list[i].path);
        c->from = s.list[i].path;
        mf__finish_row(g, c, e, s.list[i].id);
    }
    note_passed(g, v.text, &s);
    return true;
}

static bool read_count(mf_graph *g, const yaml *node, const extras *e, rows *r)
{
    const mf_stage *options =
        mf_registry_source_options(g->registry, mf_registry_source(g->registry, "count"));
    given v;
    mf_params *parsed;
    mf_place place = mf_yaml_place(node);
    if (!mf__resolve(g, node, NULL, &v))
        return false;
    mf_status status = mf_params_new(options, &parsed);
    if (!status) {
        status = mf_params_set(parsed, options->params, v.list, v.list ? v.texts : &v.text,
                               v.list ? v.count : 1, NULL, NULL);
        int64_t count = status ? 0 : *(const int64_t *)mf_params_struct(parsed);
        for (int64_t i = 0; i < count; i++) {
            row *c = mf__new_row(g, r, &place, node->source->base, 1, e);
            mf__put(c, "index", mf_arena_print(g->arena, "%lld", (long long)i));
            c->from = "count";
            /* Three digits at least, so that the order of ids is the order of numbers. */
            mf__finish_row(g, c, e, mf_arena_print(g->arena, "%03lld", (long long)i));
        }
        mf_params_unref(parsed);
    }
    if (status) {
        mf__graph_status(g, node, NULL, status);
        mf__graph_note_param(g, v.param);
        return false;
    }
    return true;
}

/* Puts a path column: absolute, and there. */
static bool put_path(mf_graph *g, row *c, const char *base, const char *text, mf_place place)
{
    char *path = *text == '/' ? mf_arena_copy(g->arena, text)
                              : mf_arena_print(g->arena, "%s/%s", base, text);
    mf__put(c, "path", path);
    c->from = path;
    if (!access(path, F_OK))
        return true;
    mf_diagnostics_error(g->d, &place, "no file or folder '%s'", path);
    return false;
}

/* An item of `list`: a path, or a map of columns. */
static bool read_item(mf_graph *g, const yaml *item, const extras *e, rows *r)
{
    mf_place place = mf_yaml_place(item);
    given v;
    const char *id = NULL, *path = NULL;
    bool good = true;
    if (item->kind == YAML_LIST)
        return mf__graph_error(g, item, "a case is a path, or columns in braces");
    row *c = mf__new_row(g, r, &place, item->source->base, item->count + 1, e);
    if (item->kind == YAML_SCALAR) {
        if (!mf__resolve(g, item, NULL, &v) || v.list)
            return v.list ? mf__graph_error(g, item, "a case is one path") : false;
        path = v.text;
        good = put_path(g, c, v.base, path, place);
    }
    for (size_t i = 0; item->kind == YAML_MAP && i < item->count; i++) {
        const yaml *key = item->items[2 * i], *node = item->items[2 * i + 1];
        if (!mf__is_name(key->text)) {
            good = mf__graph_error(g, key, "'%s' is not a valid name of a column", key->text);
        } else if (!mf__resolve(g, node, NULL, &v)) {
            good = false;
        } else if (v.list) {
            good = mf__graph_error(g, node, "a column of a case has one value");
        } else if (!strcmp(key->text, "id")) {
            id = v.text;
        } else if (!strcmp(key->text, "path")) {
            path = v.text;
            good &= put_path(g, c, v.base, path, mf_yaml_place(node));
        } else {
            mf__put(c, key->text, v.text);
        }
    }
    if (!id && path)
        id = mf__stem_of(g->arena, path);
    if (!id)
        return good ? mf__graph_error(g, item, "a case needs an id or a path") : false;
    if (!c->from)
        c->from = "list";
    mf__finish_row(g, c, e, id);
    return good;
}

static bool read_list(mf_graph *g, const yaml *node, const extras *e, rows *r)
{
    bool good = true;
    if (node->kind != YAML_LIST)
        return mf__graph_error(g, node, "'list' takes a list of cases");
    for (size_t i = 0; i < node->count; i++)
        good &= read_item(g, node->items[i], e, r);
    return good;
}

static int field_named(const csv_row *header, const char *name)
{
    for (size_t i = 0; i < header->count; i++)
        if (!strcmp(header->fields[i].text, name))
            return (int)i;
    return -1;
}

static mf_place field_place(const yaml_source *s, const csv_field *f)
{
    return mf__source_place(s, f->line, f->column, 1);
}

static bool check_header(mf_graph *g, const yaml_source *s, const csv_row *header)
{
    for (size_t i = 0; i < header->count; i++) {
        const char *name = header->fields[i].text;
        mf_place place = field_place(s, &header->fields[i]);
        if (!mf__is_name(name)) {
            mf_diagnostics_error(g->d, &place, "'%s' is not a valid name of a column", name);
            return false;
        }
        if (field_named(header, name) != (int)i) {
            mf_diagnostics_error(g->d, &place, "the column '%s' is there twice", name);
            return false;
        }
    }
    if (field_named(header, "id") >= 0 || field_named(header, "path") >= 0)
        return true;
    mf_place place = mf__source_place(s, header->line, 1, 1);
    mf_diagnostics_error(g->d, &place, "a column 'id' or 'path' is needed");
    return false;
}

static bool read_csv_row(mf_graph *g, const yaml_source *s, const csv_row *header,
                         const csv_row *fields, const extras *e, rows *r)
{
    int id = field_named(header, "id"), path = field_named(header, "path");
    const csv_field *named = &fields->fields[id >= 0 ? id : path];
    mf_place place = field_place(s, named);
    row *c = mf__new_row(g, r, &place, s->base, header->count, e);
    bool good = true;
    c->from = s->name;
    c->in_file = true;
    for (size_t i = 0; i < header->count; i++) {
        const csv_field *f = &fields->fields[i];
        if ((int)i == path && *f->text)
            good &= put_path(g, c, s->base, f->text, field_place(s, f));
        else if ((int)i != id && (int)i != path)
            mf__put(c, header->fields[i].text, f->text);
    }
    mf__finish_row(g, c, e, id >= 0 ? named->text : mf__stem_of(g->arena, named->text));
    return good;
}

static bool read_csv(mf_graph *g, const yaml *node, const extras *e, rows *r)
{
    given v;
    yaml_source *s;
    csv_row *list;
    size_t count;
    if (!mf__resolve(g, node, NULL, &v))
        return false;
    if (v.list || !*v.text)
        return mf__graph_error(g, node, "'csv' takes one file");
    char *path = *v.text == '/' ? mf_arena_copy(g->arena, v.text)
                                : mf_arena_print(g->arena, "%s/%s", v.base, v.text);
    mf_status status = mf__source_read(g->arena, path, LARGEST_CSV, &s);
    if (status) {
        mf__graph_status(g, node, NULL, status);
        mf__graph_note_param(g, v.param);
        return false;
    }
    mf__add_table(g, path);
    s->name = mf_arena_copy(g->arena, v.text);
    s->from = g->source->from;
    if (!mf__source_check(s, g->d) || !mf__csv_read(g, s, &list, &count) ||
        !check_header(g, s, &list[0]))
        return false;
    if (count < 2)
        return mf__graph_error(g, node, "%s has no rows", v.text);
    bool good = true;
    for (size_t i = 0; i < e->count; i++)
        if (field_named(&list[0], e->names[i]) >= 0)
            good = mf__graph_error(g, node, "the column '%s' is given here and in %s", e->names[i],
                                   v.text);
    for (size_t i = 1; good && i < count; i++)
        good = read_csv_row(g, s, &list[0], &list[i], e, r);
    return good;
}

/* ---- all of them -------------------------------------------------------------------------------
 */

/* No key chooses a source. */
static bool no_source(mf_graph *g, const yaml *node)
{
    char *known = mf_registry_sources(g->registry, " or ");
    const char *near = NULL;
    for (size_t i = 0; !near && i < node->count; i++) {
        const yaml *key = node->items[2 * i];
        near = mf_registry_source_near(g->registry, key->text);
        if (near)
            mf__graph_error(g, key, "no source of cases '%s'; did you mean '%s'?", key->text, near);
    }
    if (near)
        mf_diagnostics_note(g->d, "sources of cases: %s   (massflow describe %s)", known, near);
    else
        mf__graph_error(g, node, "no source of cases here: %s", known);
    free(known);
    return false;
}

static bool read_source(mf_graph *g, const yaml *node, rows *r)
{
    extras e;
    const yaml *chosen = NULL;
    const mf_case_source *kind = NULL, *s;
    if (node->kind != YAML_MAP) {
        char *known = mf_registry_sources(g->registry, ", ");
        mf__graph_error(g, node, "a source of cases is one of %s, as in {glob: \"scans/*.nii.gz\"}",
                        known);
        free(known);
        return false;
    }
    for (size_t i = 0; (s = mf_registry_source_at(g->registry, i)); i++) {
        yaml *k, *v = mf_yaml_get(node, s->name, &k);
        if (v && chosen)
            return mf__graph_error(g, k, "one source has '%s' or '%s', not both", kind->name,
                                   s->name);
        if (v) {
            chosen = v;
            kind = s;
        }
    }
    if (!chosen)
        return no_source(g, node);
    if (!read_extras(g, kind, node, &e))
        return false;
    for (size_t i = 0; !kind->read && i < sizeof readers / sizeof *readers; i++)
        if (!strcmp(readers[i].name, kind->name))
            return readers[i].read(g, chosen, &e, r);
    return mf__read_declared(g, kind, node, chosen, &e, r);
}

/* ---- the table ---------------------------------------------------------------------------------
 */

static int by_id(const void *a, const void *b)
{
    return strcmp(((const row *)a)->id, ((const row *)b)->id);
}

static bool check_ids(mf_graph *g, rows *r)
{
    bool good = true;
    for (size_t i = 0; i < r->count; i++)
        if (!mf__good_id(r->list[i].id)) {
            mf_diagnostics_error(g->d, &r->list[i].place,
                                 "'%s' is not a valid case id: no spaces at its ends, none of / \\ "
                                 "[ ] , = < > ! or quotes, no control characters",
                                 r->list[i].id);
            good = false;
        }
    qsort(r->list, r->count, sizeof *r->list, by_id);
    for (size_t i = 1; i < r->count; i++) {
        const row *a = &r->list[i - 1], *b = &r->list[i];
        if (strcmp(a->id, b->id))
            continue;
        mf_diagnostics_error(g->d, &b->place, "two cases have the id '%s'", b->id);
        mf_diagnostics_note(g->d, "%s (%s:%d)", a->from, a->place.file, a->place.line);
        mf_diagnostics_note(g->d, "%s (%s:%d)", b->from, b->place.file, b->place.line);
        good = false;
    }
    return good;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const mf_place *place_copy(mf_arena *arena, const mf_place *place)
{
    mf_place *copy = mf_arena_alloc(arena, 1, sizeof *copy);
    *copy = *place;
    return copy;
}

static void fill_table(mf_graph *g, const rows *r)
{
    names seen = {0};
    size_t room = 0;
    const char **columns = NULL;
    mf__names_add(&seen, "id", 0);
    columns = mf_grow(columns, &room, 1, sizeof *columns);
    columns[g->column_count++] = "id";
    for (size_t i = 0; i < r->count; i++)
        for (size_t k = 0; k < r->list[i].count; k++)
            if (mf__names_add(&seen, r->list[i].names[k], 0) == NAME_NONE) {
                columns = mf_grow(columns, &room, g->column_count + 1, sizeof *columns);
                columns[g->column_count++] = r->list[i].names[k];
            }
    mf__names_free(&seen);
    qsort(columns, g->column_count, sizeof *columns, by_text);
    g->columns = mf_arena_alloc(g->arena, g->column_count, sizeof *columns);
    memcpy(g->columns, columns, g->column_count * sizeof *columns);
    free(columns);
    for (size_t i = 0; i < g->column_count; i++)
        mf__names_add(&seen, g->columns[i], (uint32_t)i);
    g->case_count = r->count;
    g->cases = mf_arena_alloc(g->arena, r->count, sizeof *g->cases);
    g->case_places = mf_arena_alloc(g->arena, r->count, sizeof(mf_place *));
    for (size_t i = 0; i < r->count; i++) {
        const row *c = &r->list[i];
        const char **values = mf_arena_alloc(g->arena, g->column_count, sizeof *values);
        values[mf__names_get(&seen, "id")] = c->id;
        for (size_t k = 0; k < c->count; k++)
            values[mf__names_get(&seen, c->names[k])] = c->values[k];
        g->cases[i] = (mf_case){.id = c->id, .base = c->base, .values = values, .graph = g};
        if (c->in_file)
            g->case_places[i] = place_copy(g->arena, &c->place);
    }
    mf__names_free(&seen);
}

bool mf__read_cases(mf_graph *g)
{
    const yaml *node = mf_yaml_get(g->root, "cases", NULL);
    rows r = {0};
    bool good = true;
    if (!node)
        return true;
    if (node->kind == YAML_LIST)
        for (size_t i = 0; i < node->count; i++)
            good &= read_source(g, node->items[i], &r);
    else
        good = read_source(g, node, &r);
    if (good && !r.count) {
        good = mf__graph_error(g, node, "no cases");
        for (size_t i = 0; i < g->passed_count; i++)
            mf_diagnostics_note(g->d, "%s", g->passed[i]);
    }
    if (good)
        good = check_ids(g, &r);
    if (good)
        fill_table(g, &r);
    free(r.list);
    return good;
}
