/* sheet.h - a table artifact, read whole, for those that print or write it. */
#ifndef MASSFLOW_RUN_SHEET_H
#define MASSFLOW_RUN_SHEET_H

#include <massflow/artifact.h>
#include <stdio.h>

typedef struct mf_sheet_column {
    char *name;
    mf_array *numbers;        /* f64 [rows]; NULL for a column of text */
    mf_array *bytes, *starts; /* of text: u8 [n], i64 [rows + 1] */
} mf_sheet_column;

typedef struct mf_sheet {
    mf_sheet_column *columns;
    size_t count;
    int64_t rows;
} mf_sheet;

MF_MUST_USE mf_status mf_sheet_read(const mf_artifact *table, mf_sheet *sheet);
void mf_sheet_clear(mf_sheet *sheet);
/* The significant digits, for %g, with which a number reads back the same; whole numbers below 1e15
 * get as many as keep them free of an exponent. */
int mf_shortest_digits(double value);
/* A cell as text: numbers with `digits` significant digits, 0 for as many as read back the same;
 * NaN, which stands for an undefined value, is empty. The caller frees; NULL when memory is short.
 */
char *mf_sheet_cell(const mf_sheet *sheet, size_t column, int64_t row, int digits);

#endif
