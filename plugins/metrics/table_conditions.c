/* table_conditions.c - see table_conditions.h. */
#include "table_conditions.h"
#include "../common/decimal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mf_status read_item(const table_columns *c, const char *item, size_t length,
                           table_conditions *where)
{
    const char *equals = memchr(item, '=', length);
    char value[256];
    table_condition *next = &where->list[where->count];
    if (!equals || where->count == TABLE_MOST_COLUMNS)
        return mf_hint(mf_fail(MF_INVALID, "where: '%.*s' is not COLUMN=VALUE", (int)length, item),
                       "as in where: \"label=mean, shots=3\"");
    next->column = table_columns_find(c, item, (size_t)(equals - item));
    if (next->column == c->count)
        return table_columns_none(c, "where", item, (size_t)(equals - item));
    next->item = item;
    next->item_length = length;
    next->value = equals + 1;
    next->length = length - (size_t)(equals + 1 - item);
    snprintf(value, sizeof value, "%.*s", (int)next->length, next->value);
    if (c->numbers[next->column] && !decimal_number(value, &next->number))
        return mf_fail(MF_INVALID, "where: the column '%s' holds numbers, and '%s' is none",
                       c->names[next->column], value);
    where->count++;
    return MF_OK;
}

mf_status table_conditions_read(const table_columns *c, const char *text, table_conditions *where)
{
    const char *item;
    size_t length;
    where->text = text;
    while (table_next_item(&text, &item, &length))
        MF_TRY(read_item(c, item, length, where));
    return MF_OK;
}

static mf_status meets(const table_condition *k, const table_columns *c, int64_t row, bool *yes)
{
    char *text;
    if (c->numbers[k->column]) {
        *yes = table_columns_number(c, k->column, row) == k->number;
        return MF_OK;
    }
    MF_TRY(table_columns_text(c, k->column, row, &text));
    *yes = strlen(text) == k->length && !strncmp(text, k->value, k->length);
    free(text);
    return MF_OK;
}

mf_status table_conditions_meet(const table_conditions *where, const table_columns *c, int64_t row,
                                bool *yes)
{
    *yes = true;
    for (size_t i = 0; i < where->count && *yes; i++)
        MF_TRY(meets(&where->list[i], c, row, yes));
    return MF_OK;
}

/* A value of a column as text, cut to `size`. */
static mf_status print_value(const table_columns *c, size_t k, int64_t row, char *to, size_t size)
{
    char *text;
    if (c->numbers[k]) {
        snprintf(to, size, "%.15g", table_columns_number(c, k, row));
        return MF_OK;
    }
    MF_TRY(table_columns_text(c, k, row, &text));
    snprintf(to, size, "%s", text);
    free(text);
    return MF_OK;
}

#define SHOWN 12 /* values in an error message */

/* The different values of a column, in the order of the rows, as far as there is room. */
static mf_status list_values(const table_columns *c, size_t k, char *all, size_t size)
{
    char value[SHOWN][64];
    size_t n = 0, at = 0;
    for (int64_t row = 0; row < c->rows; row++) {
        char next[64];
        size_t i = 0;
        MF_TRY(print_value(c, k, row, next, sizeof next));
        while (i < n && strcmp(value[i], next))
            i++;
        if (i < n)
            continue;
        if (n == SHOWN || at + sizeof next + 8 > size) {
            snprintf(all + at, size - at, ", ...");
            return MF_OK;
        }
        at += (size_t)snprintf(all + at, size - at, "%s%s", n ? ", " : "", next);
        strcpy(value[n++], next);
    }
    return MF_OK;
}

mf_status table_conditions_unmet(const table_conditions *where, const table_columns *c)
{
    char all[1024] = "";
    for (size_t i = 0; i < where->count; i++) {
        const table_condition *k = &where->list[i];
        bool met = false;
        for (int64_t row = 0; row < c->rows && !met; row++)
            MF_TRY(meets(k, c, row, &met));
        if (met)
            continue;
        MF_TRY(list_values(c, k->column, all, sizeof all));
        return mf_hint(mf_fail(MF_INVALID, "where: no row has %.*s", (int)k->item_length, k->item),
                       "values of '%s': %s", c->names[k->column], c->rows ? all : "none, no rows");
    }
    return mf_hint(mf_fail(MF_INVALID, "where: no row has all of %s", where->text),
                   "rows have each of them, but not together");
}
