/* csv.h - tables of text. */
#ifndef MF_GRAPH_CSV_H
#define MF_GRAPH_CSV_H

#include "graph/data/graph_private.h"

/* Fields of a CSV file, row by row. */
typedef struct csv_field {
    const char *text;
    int line, column; /* where it begins */
} csv_field;
typedef struct csv_row {
    csv_field *fields;
    size_t count;
    int line;
} csv_row;
/* False after reporting. Row 0 is the header. */
bool mf__csv_read(mf_graph *g, const yaml_source *s, csv_row **rows, size_t *count);

#endif
