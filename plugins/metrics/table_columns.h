/* table_columns.h - a table that is read: its columns by name, and lists of names in parameters. */
#ifndef METRICS_TABLE_COLUMNS_H
#define METRICS_TABLE_COLUMNS_H

#include "table_cells.h"

enum { TABLE_MOST_COLUMNS = 256 };

typedef struct table_columns {
    const mf_artifact *table; /* borrowed */
    char names[TABLE_MOST_COLUMNS][TABLE_NAME];
    mf_array *numbers[TABLE_MOST_COLUMNS]; /* f64 [rows]; NULL: texts */
    size_t count;
    int64_t rows;
} table_columns; /* starts as {0} */

MF_MUST_USE mf_status table_columns_read(const mf_artifact *table, table_columns *c);
void table_columns_clear(table_columns *c);
/* The number in a cell of a column of numbers; NaN where it is empty. */
double table_columns_number(const table_columns *c, size_t column, int64_t row);
/* A cell as text: the caller frees. Numbers have 17 digits. */
MF_MUST_USE mf_status table_columns_text(const table_columns *c, size_t column, int64_t row,
                                         char **text);
/* The column of this name; `count` where there is none. */
size_t table_columns_find(const table_columns *c, const char *name, size_t length);
/* The error of a name that a parameter has and the table has not. */
mf_status table_columns_none(const table_columns *c, const char *parameter, const char *name,
                             size_t length);
/* The next of the items of a parameter, which are separated by commas, without spaces around it;
 * false past the last. */
bool table_next_item(const char **list, const char **item, size_t *length);

#endif
