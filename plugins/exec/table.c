/* table.c - see table.h: first all fields, then the columns. */
#include "table.h"
#include "../common/decimal.h"

#include <massflow/file.h>
#include <massflow/memory.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A field takes some 20 bytes here, and one in the file at the least. */

typedef struct fields {
    char **at; /* row-major; the texts lie in the file's own bytes */
    size_t count, columns;
} fields;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a table");
}

static mf_status add(fields *f, char *text)
{
    char **grown = mf_list_more(f->at, f->count, sizeof *grown);
    if (!grown)
        return no_memory();
    f->at = grown;
    f->at[f->count++] = text;
    return MF_OK;
}

/* Commas separate fields, unless the first line has none outside of quotes and has semicolons or
 * tabs: so R's write.csv2 and spreadsheets write where the comma is a decimal point. */
static char find_separator(const char *text)
{
    bool quoted = false, semicolon = false, tab = false;

    for (; *text && (quoted || !strchr("\r\n", *text)); text++) {
        if (*text == '"')
            quoted = !quoted;
        if (*text == ',' && !quoted)
            return ',';
        semicolon |= *text == ';' && !quoted;
        tab |= *text == '\t' && !quoted;
    }
    return semicolon ? ';' : tab ? '\t' : ',';
}

/* Ends the field at *from with a NUL, in place; *from then stands at what parted it from the next.
 * The character there is returned. *open: a quote is not closed. */
static char take_field(char **from, char separator, char **text, bool *open)
{
    const char ends[] = {separator, '\r', '\n', '\0'};
    char *in = *from, *out = in, part;
    bool quoted = *in == '"';

    *text = in;
    in += quoted;
    while (*in && (quoted || !strchr(ends, *in))) {
        if (quoted && *in == '"' && *++in != '"') {
            quoted = false; /* the closing one */
            continue;
        }
        *out++ = *in++;
    }
    part = *in;
    *from = in;
    *out = '\0';
    *open = quoted;
    return part;
}

static mf_status split(const char *path, char *bytes, fields *f)
{
    size_t line = 1, first = 0;
    char separator;

    bytes += !strncmp(bytes, "\xef\xbb\xbf", 3) ? 3 : 0; /* a byte order mark */
    separator = find_separator(bytes);
    for (char *at = bytes; *at; line++) {
        char part, *text;
        bool open;
        do {
            part = take_field(&at, separator, &text, &open);
            if (open)
                return mf_fail(MF_CORRUPT, "%s:%zu: a quote is not closed", path, line);
            MF_TRY(add(f, text));
            at += part != '\0'; /* where the NUL is now */
        } while (part == separator);
        at += part == '\r' && *at == '\n';
        if (line == 1)
            f->columns = f->count;
        else if (f->count - first != f->columns)
            return mf_fail(MF_CORRUPT, "%s:%zu: has %zu fields, the first line %zu", path, line,
                           f->count - first, f->columns);
        first = f->count;
    }
    return f->columns ? MF_OK : mf_fail(MF_CORRUPT, "%s: is empty", path);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names part columns: no two alike, and no tab in them, which parts them in the artifact. */
static mf_status check_names(const char *path, const fields *f)
{
    char **sorted = malloc(f->columns * sizeof *sorted);
    mf_status status = MF_OK;

    if (!sorted)
        return no_memory();
    memcpy(sorted, f->at, f->columns * sizeof *sorted);
    qsort(sorted, f->columns, sizeof *sorted, by_text);
    for (size_t c = 0; c < f->columns && !status; c++)
        for (const char *at = f->at[c]; *at && !status; at++)
            if ((unsigned char)*at < ' ' || *at == 127)
                status = mf_fail(MF_CORRUPT, "%s: the name of column %zu has a control character",
                                 path, c + 1);
    for (size_t c = 1; c < f->columns && !status; c++)
        if (!strcmp(sorted[c - 1], sorted[c]))
            status = mf_hint(
                mf_fail(MF_CORRUPT, "%s: two of its columns are called '%s'", path, sorted[c]),
                "give every column a name of its own");
    free(sorted);
    return status;
}

static bool number(const char *text, double *value)
{
    *value = NAN;
    return !*text || decimal_number(text, value);
}

static mf_status add_numbers(mf_artifact *a, const char *name, const fields *f, size_t c)
{
    int64_t rows = (int64_t)(f->count / f->columns) - 1;
    mf_array *array;
    mf_status status;

    MF_TRY(mf_array_new(MF_F64, 1, &rows, &array));
    for (int64_t r = 0; r < rows; r++)
        number(f->at[(size_t)(r + 1) * f->columns + c], (double *)array->data + r);
    status = mf_artifact_add(a, name, array);
    mf_array_unref(array);
    return status;
}

static mf_status add_texts(mf_artifact *a, const char *name, const fields *f, size_t c)
{
    int64_t rows = (int64_t)(f->count / f->columns) - 1, ends = rows + 1, size = 0;
    mf_array *bytes = NULL, *offsets = NULL;
    mf_status status;

    for (int64_t r = 1; r <= rows; r++)
        size += (int64_t)strlen(f->at[(size_t)r * f->columns + c]);
    status = mf_array_new(MF_U8, 1, &size, &bytes);
    if (!status)
        status = mf_array_new(MF_I64, 1, &ends, &offsets);
    for (int64_t r = 0; r < rows && !status; r++) {
        const char *text = f->at[(size_t)(r + 1) * f->columns + c];
        int64_t *at = (int64_t *)offsets->data + r;
        memcpy((char *)bytes->data + at[0], text, strlen(text));
        at[1] = at[0] + (int64_t)strlen(text);
    }
    if (!status)
        status = mf_artifact_add_rows(a, name, bytes, offsets);
    mf_array_unref(bytes);
    mf_array_unref(offsets);
    return status;
}

static mf_status add_column(mf_artifact *a, const fields *f, size_t c)
{
    bool numbers = true;
    char name[32];
    double value;

    for (size_t i = f->columns + c; i < f->count; i += f->columns)
        numbers &= number(f->at[i], &value);
    snprintf(name, sizeof name, "column.%zu", c);
    return numbers ? add_numbers(a, name, f, c) : add_texts(a, name, f, c);
}

static mf_status make(const fields *f, mf_artifact **table)
{
    char *names = NULL;
    size_t size;
    FILE *out = open_memstream(&names, &size);
    mf_status status = MF_OK;

    for (size_t c = 0; out && c < f->columns; c++)
        fprintf(out, "%s%s", c ? "\t" : "", f->at[c]);
    if (!out || fclose(out) != 0)
        return no_memory();
    status = mf_artifact_new("table", table);
    if (!status)
        status = mf_artifact_set_text(*table, "columns", names);
    free(names);
    for (size_t c = 0; c < f->columns && !status; c++)
        status = add_column(*table, f, c);
    if (status) {
        mf_artifact_unref(*table);
        *table = NULL;
    }
    return status;
}

mf_status table_read(const char *path, mf_artifact **table)
{
    char *bytes = NULL;
    size_t size = 0;
    fields f = {0};
    mf_status status = mf_file_read(path, MOST_TABLE_BYTES, &bytes, &size);

    *table = NULL;
    if (!status && memchr(bytes, 0, size))
        status = mf_fail(MF_CORRUPT, "%s: is not text", path);
    if (!status)
        status = split(path, bytes, &f);
    if (!status)
        status = check_names(path, &f);
    if (!status)
        status = make(&f, table);
    free(f.at);
    free(bytes);
    return status;
}
