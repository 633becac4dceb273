/* table_columns.c - see table_columns.h. */
#include "table_columns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mf_status table_columns_read(const mf_artifact *table, table_columns *c)
{
    const char *names = mf_artifact_text(table, "columns");
    char name[TABLE_NAME];
    c->table = table;
    if (!names)
        return mf_fail(MF_CORRUPT, "a table without names of columns");
    while (table_next_name(&names, name)) {
        int64_t rows;
        if (c->count == TABLE_MOST_COLUMNS)
            return mf_fail(MF_UNSUPPORTED, "more than %d columns", TABLE_MOST_COLUMNS);
        strcpy(c->names[c->count], name);
        MF_TRY(table_column(table, c->count, &c->numbers[c->count], &rows));
        if (c->count && rows != c->rows)
            return mf_fail(MF_CORRUPT, "the columns of a table differ in length");
        c->rows = rows;
        c->count++;
    }
    return MF_OK;
}

void table_columns_clear(table_columns *c)
{
    for (size_t i = 0; i < TABLE_MOST_COLUMNS; i++) /* one more than `count` after an error */
        mf_array_unref(c->numbers[i]);
    *c = (table_columns){0};
}

double table_columns_number(const table_columns *c, size_t column, int64_t row)
{
    return ((const double *)c->numbers[column]->data)[row];
}

mf_status table_columns_text(const table_columns *c, size_t column, int64_t row, char **text)
{
    char number[40];
    if (!c->numbers[column])
        return table_text(c->table, column, row, text);
    snprintf(number, sizeof number, "%.17g", table_columns_number(c, column, row));
    *text = strdup(number);
    return *text ? MF_OK : mf_no_memory(sizeof number, "a cell of a table");
}

size_t table_columns_find(const table_columns *c, const char *name, size_t length)
{
    size_t k = 0;
    while (k < c->count && (strlen(c->names[k]) != length || strncmp(c->names[k], name, length)))
        k++;
    return k;
}

mf_status table_columns_none(const table_columns *c, const char *parameter, const char *name,
                             size_t length)
{
    char all[512] = "";
    size_t at = 0;
    for (size_t i = 0; i < c->count && at < sizeof all - TABLE_NAME - 8; i++)
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i ? ", " : "", c->names[i]);
    return mf_hint(
        mf_fail(MF_INVALID, "%s: the table has no column '%.*s'", parameter, (int)length, name),
        "its columns: %s", all);
}

bool table_next_item(const char **list, const char **item, size_t *length)
{
    *list += strspn(*list, ", ");
    *item = *list;
    *length = strcspn(*list, ",");
    *list += *length;
    while (*length && (*item)[*length - 1] == ' ')
        --*length;
    return *length > 0;
}
