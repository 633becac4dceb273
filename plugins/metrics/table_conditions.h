/* table_conditions.h - which rows of a table are meant: COLUMN=VALUE, several separated by commas.
 */
#ifndef METRICS_TABLE_CONDITIONS_H
#define METRICS_TABLE_CONDITIONS_H

#include "table_columns.h"

typedef struct table_condition {
    size_t column;
    const char *value; /* borrowed from the text, `length` letters */
    size_t length;
    const char *item; /* the whole of it, COLUMN=VALUE, `item_length` letters */
    size_t item_length;
    double number; /* the value where the column holds numbers */
} table_condition;

typedef struct table_conditions {
    const char *text; /* borrowed */
    table_condition list[TABLE_MOST_COLUMNS];
    size_t count;
} table_conditions;

/* The conditions of the parameter `where`, whose text must stay. */
MF_MUST_USE mf_status table_conditions_read(const table_columns *c, const char *text,
                                            table_conditions *where);
/* Whether a row has all of them. */
MF_MUST_USE mf_status table_conditions_meet(const table_conditions *where, const table_columns *c,
                                            int64_t row, bool *yes);
/* The error where no row has all of them: a name that is spelled wrong, most likely. */
mf_status table_conditions_unmet(const table_conditions *where, const table_columns *c);

#endif
