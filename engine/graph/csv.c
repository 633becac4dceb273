/* csv.c - comma-separated values with a header (RFC 4180): fields may stand in double quotes, and a
 * quote inside is doubled. Rows of another length than the header's are refused. */
#include "graph/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool wrong(mf_graph *g, const yaml_source *s, int line, const char *format, ...)
    MF_PRINTF(4, 5);
static bool wrong(mf_graph *g, const yaml_source *s, int line, const char *format, ...)
{
    va_list args;
    char *message;
    mf_place place = source_place(s, line, 1, 1);
    va_start(args, format);
    if (vasprintf(&message, format, args) < 0)
        abort();
    va_end(args);
    mf_diagnostics_error(g->d, &place, "%s", message);
    free(message);
    return false;
}

/* One field from *at on; moves *at to the comma, line end or end behind it. */
static bool field(mf_graph *g, const yaml_source *s, const char **at, int *line, const char **out)
{
    mf_text text = {0};
    const char *c = *at;
    int first = *line;
    if (*c != '"') {
        size_t length = strcspn(c, ",\r\n");
        *out = mf_arena_copy_n(g->arena, c, length);
        *at = c + length;
        return true;
    }
    for (c++; *c && (*c != '"' || c[1] == '"'); c++) {
        *line += *c == '\n';
        c += *c == '"';
        mf_text_add_n(&text, c, 1);
    }
    *out = mf_arena_copy_n(g->arena, text.data ? text.data : "", text.length);
    free(text.data);
    if (!*c)
        return wrong(g, s, first, "a quote is not closed");
    *at = c + 1;
    if (**at && !strchr(",\r\n", **at))
        return wrong(g, s, *line, "text behind a closing quote");
    return true;
}

bool csv_read(mf_graph *g, const yaml_source *s, csv_row **rows, size_t *count)
{
    const char **fields = NULL;
    size_t room = 0, row_room = 0;
    const char *at = s->text;
    int line = 1;
    bool good = true;
    csv_row *list = NULL;
    *count = 0;
    if (!strncmp(at, "\xef\xbb\xbf", 3))
        at += 3;
    while (good && *at) {
        csv_row row = {.line = line};
        bool more = true;
        while (good && more) {
            fields = mf_grow(fields, &room, row.count + 1, sizeof *fields);
            good = field(g, s, &at, &line, &fields[row.count++]);
            more = *at == ',';
            at += more;
        }
        at += *at == '\r';
        line += *at == '\n';
        at += *at == '\n';
        if (!good || (row.count == 1 && !*fields[0]))
            continue; /* an empty line */
        row.fields = mf_arena_alloc(g->arena, row.count, sizeof *fields);
        memcpy(row.fields, fields, row.count * sizeof *fields);
        if (*count && row.count != list[0].count)
            good = wrong(g, s, row.line, "%zu field%s, but the header has %zu", row.count,
                         row.count == 1 ? "" : "s", list[0].count);
        list = mf_grow(list, &row_room, *count + 1, sizeof *list);
        list[(*count)++] = row;
    }
    if (good && !*count)
        good = wrong(g, s, 1, "the file is empty; its first line must name the columns");
    *rows = mf_arena_alloc(g->arena, *count, sizeof *list);
    if (*count)
        memcpy(*rows, list, *count * sizeof *list);
    free(fields);
    free(list);
    return good;
}
