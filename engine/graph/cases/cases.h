/* cases.h - a case while the sources are read: private to the files of `cases`. */
#ifndef MF_GRAPH_CASES_H
#define MF_GRAPH_CASES_H

#include "graph/data/graph_private.h"

/* Its columns as a list. */
typedef struct row {
    const char *id, *base;
    const char **names, **values;
    size_t count;
    mf_place place;   /* where it was given */
    bool in_file;     /* which is a line of a table that the graph names */
    const char *from; /* path or source, for the error of a clash */
} row;

typedef struct rows {
    row *list;
    size_t count, room;
} rows;

/* Columns that a source gives all its cases. */
typedef struct extras {
    const char **names, **values;
    size_t count;
    const char *id;      /* template, or NULL */
    const yaml *exclude; /* of glob, or NULL */
    bool optional;       /* of glob: it need not find a file */
} extras;

/* A case with room for that many columns besides those that all have. */
row *mf__new_row(mf_graph *g, rows *r, const mf_place *place, const char *base, size_t room,
                 const extras *e);
void mf__put(row *c, const char *name, const char *text);
/* Gives it its id and the columns that all have. */
void mf__finish_row(mf_graph *g, row *c, const extras *e, const char *id);
/* `text` as an id: what an id cannot hold becomes '_'. */
const char *mf__as_id(mf_arena *arena, const char *text);
/* What a source passed over, a line in `arena`, for who looks at the graph. */
void mf__add_passed(mf_graph *g, const char *text);
/* A file, absolute, that says which cases there are: it is not to be written to. */
void mf__add_table(mf_graph *g, const char *path);

/* declared.c: a source that a plugin brings; `map` is the whole source in the graph file, `value`
 * what its name has. */
bool mf__read_declared(mf_graph *g, const mf_case_source *source, const yaml *map,
                       const yaml *value, const extras *e, rows *r);

/* The cases of a file. */
bool mf__read_cases(mf_graph *g);

#endif
