/* diagnostics.c - see diagnostics.h. */
#include "graph/text/diagnostics.h"

#include "base/arena.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 100 /* printed in full */
#define WIDE 160  /* characters of a source line that are shown */

typedef struct entry {
    int line, column;
    size_t file, order; /* files in the order in which they are first named */
    bool warning;
    const char *text; /* all lines of it */
    mf_text notes;
} entry;

struct mf_diagnostics {
    mf_arena *arena;
    entry *entries;
    size_t count, room, errors;
    const char **files;
    size_t file_count, file_room;
    bool muted; /* the last one said what the one before it says */
};

mf_status mf_diagnostics_new(mf_diagnostics **diagnostics)
{
    mf_diagnostics *d = calloc(1, sizeof *d);
    *diagnostics = NULL;
    if (!d)
        return mf_no_memory(0, "error messages");
    d->arena = mf_arena_new();
    *diagnostics = d;
    return MF_OK;
}

void mf_diagnostics_free(mf_diagnostics *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->count; i++)
        free(d->entries[i].notes.data);
    free(d->entries);
    free(d->files);
    mf_arena_free(d->arena);
    free(d);
}

/* Bytes of the character that starts at `text`. */
static size_t step(const char *text)
{
    size_t n = 1;
    while (((unsigned char)text[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* The source line and the caret below it. Of a long line only the part around the place is shown,
 * tabs and other control characters as spaces. */
static void show_line(mf_text *out, const mf_place *place)
{
    const char *c = place->text;
    int first = place->column > WIDE - 40 ? place->column - 60 : 1, column = 1;
    mf_text_add(out, "%5d | %s", place->line, first > 1 ? "..." : "");
    for (; *c && *c != '\n' && *c != '\r' && column < first + WIDE; c += step(c), column++)
        if (column >= first)
            mf_text_add_n(out, (unsigned char)*c < 32 ? " " : c, step(c));
    bool cut = *c && *c != '\n' && *c != '\r';
    mf_text_add(out, "%s\n      | %*s", cut ? "..." : "",
                (first > 1 ? 3 : 0) + place->column - first, "");
    mf_text_add(out, "^");
    for (int i = 1; i < place->width && place->column + i < column; i++)
        mf_text_add(out, "~");
    mf_text_add(out, "\n");
}

static size_t file_index(mf_diagnostics *d, const char *file)
{
    for (size_t i = 0; i < d->file_count; i++)
        if (!strcmp(d->files[i], file))
            return i;
    d->files = mf_grow(d->files, &d->file_room, d->file_count + 1, sizeof *d->files);
    d->files[d->file_count] = mf_arena_copy(d->arena, file);
    return d->file_count++;
}

static void add(mf_diagnostics *d, const mf_place *place, bool warning, const char *format,
                va_list args)
{
    mf_text text = {0};
    char *message;
    if (vasprintf(&message, format, args) < 0)
        abort();
    if (place->line > 0)
        mf_text_add(&text, "%s:%d:%d: ", place->file, place->line, place->column);
    else
        mf_text_add(&text, "%s: ", place->file);
    mf_text_add(&text, "%s: %s\n", warning ? "warning" : "error", message);
    free(message);
    if (place->line > 0 && place->text)
        show_line(&text, place);
    if (place->from)
        mf_text_add(&text, "  %s\n", place->from);
    d->muted = d->count && !strcmp(d->entries[d->count - 1].text, text.data);
    if (d->muted) {
        free(text.data);
        return;
    }
    d->entries = mf_grow(d->entries, &d->room, d->count + 1, sizeof *d->entries);
    d->entries[d->count] = (entry){.line = place->line,
                                   .column = place->column,
                                   .file = file_index(d, place->file),
                                   .order = d->count,
                                   .warning = warning,
                                   .text = mf_arena_copy(d->arena, text.data)};
    d->count++;
    d->errors += !warning;
    free(text.data);
}

void mf_diagnostics_error(mf_diagnostics *d, const mf_place *place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(d, place, false, format, args);
    va_end(args);
}

void mf_diagnostics_warning(mf_diagnostics *d, const mf_place *place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(d, place, true, format, args);
    va_end(args);
}

void mf_diagnostics_note(mf_diagnostics *d, const char *format, ...)
{
    va_list args;
    char *note;
    if (!d->count || d->muted)
        return;
    va_start(args, format);
    if (vasprintf(&note, format, args) < 0)
        abort();
    va_end(args);
    mf_text_add(&d->entries[d->count - 1].notes, "  %s\n", note);
    free(note);
}

size_t mf_diagnostics_errors(const mf_diagnostics *d)
{
    return d->errors;
}

size_t mf_diagnostics_warnings(const mf_diagnostics *d)
{
    return d->count - d->errors;
}

static int by_place(const void *a, const void *b)
{
    const entry *x = *(const entry *const *)a, *y = *(const entry *const *)b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

char *mf_diagnostics_text(const mf_diagnostics *d)
{
    const entry **sorted = calloc(d->count + 1, sizeof *sorted);
    mf_text text = {0};
    if (!sorted)
        return NULL;
    for (size_t i = 0; i < d->count; i++)
        sorted[i] = &d->entries[i];
    qsort(sorted, d->count, sizeof *sorted, by_place);
    for (size_t i = 0; i < d->count && i < SHOWN; i++) {
        mf_text_add_n(&text, sorted[i]->text, strlen(sorted[i]->text));
        mf_text_add_n(&text, sorted[i]->notes.data ? sorted[i]->notes.data : "",
                      sorted[i]->notes.length);
    }
    if (d->count > SHOWN)
        mf_text_add(&text, "... and %zu more\n", d->count - SHOWN);
    free(sorted);
    return mf_text_take(&text);
}
