/* table_cells.h - what a table says: names of columns, and texts. */
#ifndef METRICS_TABLE_CELLS_H
#define METRICS_TABLE_CELLS_H

#include <massflow/artifact.h>

#define TABLE_NAME 80 /* room for the name of a column */

/* The next of the names of columns, which are joined by tabs; false past the last. A name is cut to
 * TABLE_NAME - 1 letters. */
bool table_next_name(const char **names, char name[TABLE_NAME]);
/* Whether column i holds texts. */
bool table_is_text(const mf_artifact *table, size_t i);
/* The numbers of column i, f64 [rows], for the caller to unref; or NULL where it holds texts.
 * *rows: how many. Fails where the column is neither. */
MF_MUST_USE mf_status table_column(const mf_artifact *table, size_t i, mf_array **numbers,
                                   int64_t *rows);
/* A text of column i as a string; the caller frees. */
MF_MUST_USE mf_status table_text(const mf_artifact *table, size_t i, int64_t row, char **text);

#endif
