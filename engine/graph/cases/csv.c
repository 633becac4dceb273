/* csv.c - a table of text with a header (RFC 4180): fields may stand in double quotes, and a quote
 * inside is doubled. Rows of another length than the header's are refused.
 *
 * Beyond the RFC, for what spreadsheets write:
 * - Fields are separated by commas, semicolons or tabs: by the one of them that the header line has
 *   outside of quotes. A header with two of them is ambiguous, unless a first line "sep=;" says
 *   which. A header with none is one column.
 * - Rows whose fields are all blank are passed over, as empty lines are.
 * - A column without a name is passed over while all its fields are blank.
 * - Spaces around a field that is not in quotes are no part of it. */
#include "graph/cases/csv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATORS ",;\t"

typedef struct reader {
    mf_graph *g;
    const yaml_source *s;
    const char *at;
    int line, column; /* of `at`, from 1; columns are characters */
    char separator;
} reader;

static bool wrong(const reader *r, int line, int column, const char *format, ...) MF_PRINTF(4, 5);
static bool wrong(const reader *r, int line, int column, const char *format, ...)
{
    va_list args;
    char *message;
    mf_place place = mf__source_place(r->s, line, column, 1);
    va_start(args, format);
    if (vasprintf(&message, format, args) < 0)
        abort();
    va_end(args);
    mf_diagnostics_error(r->g->d, &place, "%s", message);
    free(message);
    return false;
}

/* Moves over `count` bytes. A line ends with \n, \r\n or \r. */
static void move(reader *r, size_t count)
{
    for (; count; count--, r->at++) {
        bool ends = *r->at == '\n' || (*r->at == '\r' && r->at[1] != '\n');
        r->column = ends ? 1 : r->column + ((*r->at & 0xc0) != 0x80);
        r->line += ends;
    }
}

static void skip_line(reader *r)
{
    move(r, strcspn(r->at, "\r\n"));
    move(r, *r->at == '\r' && r->at[1] == '\n' ? 2 : *r->at != 0);
}

static bool blank(const char *text)
{
    return !text[strspn(text, " \t")];
}

/* ---- the separator -----------------------------------------------------------------------------
 */

static const char *name_of(char separator)
{
    return separator == '\t' ? "a tab" : separator == ';' ? "';'" : "','";
}

/* "sep=;" in the first line, as spreadsheets understand it. */
static bool says_separator(reader *r)
{
    bool quoted = *r->at == '"';
    const char *word = r->at + quoted;
    if (strncmp(word, "sep=", 4) || !word[4] || !strchr(SEPARATORS, word[4]) ||
        strcspn(word + 5, "\r\n") != quoted || (quoted && word[5] != '"'))
        return false;
    r->separator = word[4];
    skip_line(r);
    return true;
}

/* Stands at the first line that holds anything, the header, and looks for what separates it. */
static bool find_separator(reader *r)
{
    bool quoted = false;
    if (says_separator(r))
        return true;
    while (*r->at) {
        size_t line = strcspn(r->at, "\r\n");
        if (strspn(r->at, SEPARATORS " \"") < line)
            break;
        skip_line(r);
    }
    r->separator = 0;
    for (const char *c = r->at; *c && (quoted || !strchr("\r\n", *c)); c++) {
        quoted ^= *c == '"';
        if (quoted || !strchr(SEPARATORS, *c) || *c == r->separator)
            continue;
        if (r->separator) {
            wrong(r, r->line, 1, "the header has %s and %s: which of them separates columns?",
                  name_of(r->separator), name_of(*c));
            mf_diagnostics_note(r->g->d, "a first line such as \"sep=;\" says it");
            return false;
        }
        r->separator = *c;
    }
    r->separator = r->separator ? r->separator : ',';
    return true;
}

/* ---- fields and rows ---------------------------------------------------------------------------
 */

static bool quoted_field(reader *r, csv_field *out)
{
    mf_text text = {0};
    move(r, 1);
    while (*r->at && (*r->at != '"' || r->at[1] == '"')) {
        mf_text_add_n(&text, r->at, 1);
        move(r, *r->at == '"' ? 2 : 1);
    }
    out->text = mf_arena_copy_n(r->g->arena, text.data ? text.data : "", text.length);
    free(text.data);
    if (!*r->at)
        return wrong(r, out->line, out->column, "a quote is not closed");
    move(r, 1);
    move(r, strspn(r->at, " "));
    if (*r->at && *r->at != r->separator && !strchr("\r\n", *r->at))
        return wrong(r, r->line, r->column, "text behind a closing quote");
    return true;
}

/* The field that begins here; stands at the separator, line end or end behind it then. */
static bool field(reader *r, csv_field *out)
{
    const char ends[] = {r->separator, '\r', '\n', 0};
    move(r, strspn(r->at, " "));
    *out = (csv_field){.line = r->line, .column = r->column};
    if (*r->at == '"')
        return quoted_field(r, out);
    size_t length = strcspn(r->at, ends), kept = length;
    while (kept && r->at[kept - 1] == ' ')
        kept--;
    out->text = mf_arena_copy_n(r->g->arena, r->at, kept);
    move(r, length);
    return true;
}

/* Fields of a row while it is read. */
typedef struct fields {
    csv_field *list;
    size_t count, room;
} fields;

static bool read_row(reader *r, fields *f)
{
    for (f->count = 0;;) {
        f->list = mf_grow(f->list, &f->room, f->count + 1, sizeof *f->list);
        if (!field(r, &f->list[f->count++]))
            return false;
        if (*r->at != r->separator)
            break;
        move(r, 1);
    }
    skip_line(r); /* only its end is left */
    return true;
}

static bool blank_row(const fields *f)
{
    for (size_t i = 0; i < f->count; i++)
        if (!blank(f->list[i].text))
            return false;
    return true;
}

/* The fields of columns that have a name; `header` is that of the file, nameless columns and all.
 */
static bool keep_row(const reader *r, const fields *header, const fields *f, csv_row *row)
{
    *row = (csv_row){.fields = mf_arena_alloc(r->g->arena, f->count, sizeof *f->list),
                     .line = f->list[0].line};
    if (f->count != header->count)
        return wrong(r, row->line, 1, "%zu field%s, but the header has %zu", f->count,
                     f->count == 1 ? "" : "s", header->count);
    for (size_t i = 0; i < f->count; i++) {
        const csv_field *x = &f->list[i];
        if (!blank(header->list[i].text))
            row->fields[row->count++] = *x;
        else if (!blank(x->text))
            return wrong(r, x->line, x->column, "'%s' stands in column %zu, which has no name",
                         x->text, i + 1);
    }
    return true;
}

bool mf__csv_read(mf_graph *g, const yaml_source *s, csv_row **rows, size_t *count)
{
    reader r = {.g = g, .s = s, .at = s->text, .line = 1, .column = 1};
    fields header = {0}, f = {0};
    size_t room = 0;
    csv_row *list = NULL;
    bool good = find_separator(&r);
    *count = 0;
    while (good && *r.at) {
        fields *into = *count ? &f : &header;
        good = read_row(&r, into);
        if (!good || blank_row(into))
            continue;
        list = mf_grow(list, &room, *count + 1, sizeof *list);
        good = keep_row(&r, &header, into, &list[(*count)++]);
    }
    if (good && !*count)
        good = wrong(&r, 1, 1, "the file is empty; its first line must name the columns");
    *rows = mf_arena_alloc(g->arena, *count, sizeof *list);
    if (*count)
        memcpy(*rows, list, *count * sizeof *list);
    free(header.list);
    free(f.list);
    free(list);
    return good;
}
