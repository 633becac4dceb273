/* table.h - reads a table from a .csv file. */
#ifndef EXEC_TABLE_H
#define EXEC_TABLE_H

#include <massflow/artifact.h>

#define MOST_TABLE_BYTES ((int64_t)256 << 20) /* of the file */

/* The first line names the columns. A column whose every field is a number is one of numbers (an
 * empty field, or NaN, is not a number there); any other is one of texts. Fields may be in double
 * quotes, with "" for a quote, as in RFC 4180. */
MF_MUST_USE mf_status table_read(const char *path, mf_artifact **table);

#endif
