/* table_groups.h - rows of a table with the same values in some columns, and the sums of others. */
#ifndef METRICS_TABLE_GROUPS_H
#define METRICS_TABLE_GROUPS_H

#include "table_columns.h"

/* Columns of a table, by number. */
typedef struct table_choice {
    size_t list[TABLE_MOST_COLUMNS], count;
} table_choice;

/* Rows with the same values of `by`; mean, m2 and n are [of.count]. */
typedef struct table_group {
    char *key;
    int64_t first, rows; /* first: the row that its values of `by` are taken from */
    double *mean, *m2;   /* Welford 1962: m2 is the sum of squared differences from the mean */
    int64_t *n;
} table_group;

typedef struct table_groups {
    table_choice by, of; /* `of` are columns of numbers */
    table_group *list;
    int64_t count, room;
} table_groups; /* starts as {0} */

bool table_choice_has(const table_choice *choice, size_t column);
/* Puts a row into the group of its values, which may be a new one. Empty numbers are left out. */
MF_MUST_USE mf_status table_groups_add(table_groups *g, const table_columns *c, int64_t row);
void table_groups_clear(table_groups *g);

#endif
