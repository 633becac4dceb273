/* table.c - building artifacts of type `table`, row by row. */
#include <massflow/artifact.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct column {
    char *name;
    bool text;
    double *numbers;  /* [rows], of a column of numbers */
    int64_t *offsets; /* [rows + 1], of a column of text */
    char *bytes;
    size_t size, room;
} column;

struct mf_table {
    column *columns;
    size_t count;
    int64_t rows, capacity;
};

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a table");
}

void mf_table_free(mf_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++) {
        free(t->columns[i].name);
        free(t->columns[i].numbers);
        free(t->columns[i].offsets);
        free(t->columns[i].bytes);
    }
    free(t->columns);
    free(t);
}

mf_status mf_table_new(const char *const *columns, mf_table **table)
{
    size_t count = 0;
    *table = NULL;
    while (columns[count])
        count++;
    mf_table *t = calloc(1, sizeof *t);
    if (t)
        t->columns = calloc(count ? count : 1, sizeof *t->columns);
    if (!t || !t->columns) {
        free(t);
        return no_memory();
    }
    t->count = count;
    for (size_t i = 0; i < count; i++) {
        const char *mark = strchr(columns[i], ':');
        t->columns[i].text = mark && !strcmp(mark, ":text");
        t->columns[i].name =
            mark ? strndup(columns[i], (size_t)(mark - columns[i])) : strdup(columns[i]);
        if (!t->columns[i].name) {
            mf_table_free(t);
            return no_memory();
        }
    }
    *table = t;
    return MF_OK;
}

static mf_status reserve(mf_table *t)
{
    if (t->rows < t->capacity)
        return MF_OK;
    int64_t capacity = t->capacity ? 2 * t->capacity : 32;
    for (size_t i = 0; i < t->count; i++) {
        column *c = &t->columns[i];
        void **slot = c->text ? (void **)&c->offsets : (void **)&c->numbers;
        void *grown = realloc(*slot, ((size_t)capacity + 1) * sizeof(int64_t));
        if (!grown)
            return no_memory();
        *slot = grown;
        if (c->text && t->rows == 0)
            c->offsets[0] = 0;
    }
    t->capacity = capacity;
    return MF_OK;
}

static mf_status append_text(column *c, int64_t row, const char *text)
{
    size_t length = strlen(text);
    if (!c->bytes || c->room - c->size < length) {
        size_t room = 2 * c->room + length + 64;
        char *grown = realloc(c->bytes, room);
        if (!grown)
            return no_memory();
        c->bytes = grown;
        c->room = room;
    }
    memcpy(c->bytes + c->size, text, length);
    c->size += length;
    c->offsets[row + 1] = (int64_t)c->size;
    return MF_OK;
}

mf_status mf_table_row(mf_table *t, ...)
{
    va_list args;
    MF_TRY(reserve(t));
    mf_status status = MF_OK;
    va_start(args, t);
    for (size_t i = 0; i < t->count && !status; i++) {
        if (t->columns[i].text)
            status = append_text(&t->columns[i], t->rows, va_arg(args, const char *));
        else
            t->columns[i].numbers[t->rows] = va_arg(args, double);
    }
    va_end(args);
    if (!status)
        t->rows++;
    return status;
}

mf_status mf_table_put(mf_table *t, const double *numbers, const char *const *texts)
{
    MF_TRY(reserve(t));
    for (size_t i = 0; i < t->count; i++) {
        if (t->columns[i].text)
            MF_TRY(append_text(&t->columns[i], t->rows, texts[i]));
        else
            t->columns[i].numbers[t->rows] = numbers[i];
    }
    t->rows++;
    return MF_OK;
}

static mf_status finish_column(const column *c, size_t i, int64_t rows, mf_artifact *artifact)
{
    char name[32];
    mf_array *array = NULL, *offsets = NULL;
    snprintf(name, sizeof name, "column.%zu", i);
    mf_status status;
    if (c->text) {
        int64_t size = (int64_t)c->size, ends = rows + 1;
        status = mf_array_new(MF_U8, 1, &size, &array);
        if (!status)
            status = mf_array_new(MF_I64, 1, &ends, &offsets);
        if (!status) {
            if (size)
                memcpy(array->data, c->bytes, c->size);
            if (rows)
                memcpy(offsets->data, c->offsets, offsets->bytes);
            status = mf_artifact_add_rows(artifact, name, array, offsets);
        }
    } else {
        status = mf_array_new(MF_F64, 1, &rows, &array);
        if (!status) {
            if (rows)
                memcpy(array->data, c->numbers, array->bytes);
            status = mf_artifact_add(artifact, name, array);
        }
    }
    mf_array_unref(array);
    mf_array_unref(offsets);
    return status;
}

mf_status mf_table_finish(mf_table *t, mf_artifact **artifact)
{
    char *names = NULL;
    size_t size = 0;
    *artifact = NULL;
    FILE *out = open_memstream(&names, &size);
    mf_status status = out ? mf_artifact_new("table", artifact) : no_memory();
    for (size_t i = 0; i < t->count && !status; i++) {
        fprintf(out, "%s%s", i ? "\t" : "", t->columns[i].name);
        status = finish_column(&t->columns[i], i, t->rows, *artifact);
    }
    if (out && fclose(out) != 0 && !status)
        status = no_memory();
    if (!status)
        status = mf_artifact_set_text(*artifact, "columns", names);
    if (status) {
        mf_artifact_unref(*artifact);
        *artifact = NULL;
    }
    free(names);
    mf_table_free(t);
    return status;
}
