/* internal.h - private to engine/graph: a graph while it is read, and after. */
#ifndef MF_GRAPH_INTERNAL_H
#define MF_GRAPH_INTERNAL_H

#include "graph/graph.h"
#include "graph/names.h"
#include "graph/yaml.h"
#include "stages/params.h"

/* ---- parameters of the graph and what "${...}" stands for --------------------------------------
 */

typedef struct graph_param {
    const char *name;
    const yaml *value;    /* from the file, or of --set */
    const yaml *declared; /* the key in the file */
    bool set, used;
} graph_param;

/* A value with everything spliced in. */
typedef struct given {
    bool list;
    const char *text;   /* a scalar */
    const char **texts; /* a list */
    size_t count;
    const char *base;         /* folder that a relative path starts from */
    bool of_case;             /* begins with a column of the case, and `base` is the case's */
    const graph_param *param; /* the value is this parameter alone */
} given;

/* ---- stages as the file writes them ------------------------------------------------------------
 */

typedef enum compare { EQUAL, DIFFERENT, BELOW, AT_MOST, ABOVE, AT_LEAST } compare;

/* column OP value; the value may still hold "${case.x}" of the consumer. */
typedef struct term {
    const char *column;
    compare op;
    const char *value;
} term;

/* "stage", "stage.port", with "[*]" or "[terms]" behind. */
typedef struct reference {
    const yaml *node;
    uint32_t source; /* index of the stage in file order */
    uint32_t port;
    bool gather;
    bool varies; /* a term holds "${case.x}" */
    term *terms; /* none for [*] */
    size_t term_count;
} reference;

typedef struct port_input {
    const yaml *node; /* the value given, NULL for a port that is not connected */
    reference *refs;
    size_t count;
} port_input;

typedef struct filter { /* where: column: [values] */
    const char *column;
    const yaml *node;
    const char **values;
    size_t count;
} filter;

typedef struct stage_def {
    const yaml *key, *node; /* the label and the map below it */
    const yaml *with, *use;
    const mf_stage *stage;
    mf_limits limits;
    bool each_case;
    filter *filters;
    size_t filter_count;
    port_input *inputs; /* by port */
    size_t input_count;
    uint32_t *cases; /* those that `where` leaves, as indices; NULL: all */
    uint32_t case_count;
    uint32_t first;     /* node */
    mf_params **params; /* one for all nodes, or one for each */
    size_t param_count;
} stage_def;

struct mf_graph {
    mf_arena *arena;
    const mf_registry *registry;
    mf_diagnostics *d; /* only while loading */
    yaml_source *source;
    const char *cwd;
    const char *path, *folder;
    yaml *root;
    graph_param *params;
    size_t param_count;
    names param_names;
    mf_case *cases;
    size_t case_count;
    bool cases_wrong; /* do not report what follows from it */
    const char **columns;
    size_t column_count;
    stage_def *defs; /* in order of the file */
    size_t def_count;
    names labels;    /* label -> index in defs */
    uint32_t *order; /* defs in topological order */
    mf_graph_stage *stages;
    bool isolate; /* of stages that do not say */
    mf_node *nodes;
    size_t node_count;
    mf_export *exports;
    size_t export_count, export_room;
};

/* ---- reporting ---------------------------------------------------------------------------------
 */

/* An error at a node; always returns false. */
bool graph_error(mf_graph *g, const yaml *node, const char *format, ...) MF_PRINTF(3, 4);
/* The same for a status, which is freed; `who` stands before its message when not NULL. */
bool graph_status(mf_graph *g, const yaml *node, const char *who, mf_status error);
/* "'x' is set in line 3" or "by --set", where a value came from a parameter. */
void graph_note_param(mf_graph *g, const graph_param *param);
/* A key that is not of `names`: the error, with the nearest of them. */
bool graph_unknown(mf_graph *g, const yaml *key, const char *what, const char *const *names,
                   size_t count);

/* ---- splice.c ----------------------------------------------------------------------------------
 */

bool read_params(mf_graph *g, const mf_setting *settings, size_t count);
/* Resolves "${x}" and, where `c` is given, "${case.x}". On failure reports and returns false. */
bool resolve(mf_graph *g, const yaml *node, const mf_case *c, given *v);
/* The same for a bare text; `keep_case` leaves "${case.x}" as it is. */
bool resolve_text(mf_graph *g, const yaml *node, const char *text, const mf_case *c, bool keep_case,
                  const char **out);
bool varies(const yaml *node); /* holds "${case.x}" anywhere */
bool varies_text(const char *text);
bool is_name(const char *text); /* letters, digits, _ and -, not beginning with a digit */

/* ---- cases.c, found.c, csv.c -------------------------------------------------------------------
 */

bool read_cases(mf_graph *g);
bool has_column(const mf_graph *g, const char *column);
/* The note that lists the columns. */
void note_columns(mf_graph *g);

/* Files that a pattern stands for. `id` is what {id} matched, or the name without its suffix. */
typedef struct found {
    const char *path, *id;
} found;
/* A file, a folder of DICOM files, or a glob; relative to `base`. Results in byte order of path. */
MF_MUST_USE mf_status find_scans(mf_arena *arena, const char *base, const char *pattern,
                                 found **list, size_t *count);
const char *stem_of(mf_arena *arena, const char *path);

/* Fields of a CSV file, row by row. */
typedef struct csv_row {
    const char **fields;
    size_t count;
    int line;
} csv_row;
/* False after reporting. Row 0 is the header. */
bool csv_read(mf_graph *g, const yaml_source *s, csv_row **rows, size_t *count);

/* ---- typed.c, reference.c, connect.c, with.c, expand.c, export.c --------------------------------
 */

bool read_isolate(mf_graph *g);                /* of the whole graph */
bool read_limits(mf_graph *g, stage_def *def); /* limits.c: isolate, timeout, retries, memory */
bool read_stages(mf_graph *g); /* labels, stages used, each, where */
bool parse_reference(mf_graph *g, const yaml *node, reference *ref);
/* Ports: references, types, gathering, required ones. */
bool connect_stage(mf_graph *g, stage_def *def);
/* Parameters of a stage, for all its nodes or for each. */
MF_MUST_USE mf_status read_with(mf_graph *g, stage_def *def, bool *good);
bool order_stages(mf_graph *g); /* topological order, or the cycle */
bool expand(mf_graph *g);       /* nodes and their edges; selections are made here */
bool read_exports(mf_graph *g);

/* Whether a column's text stands in this relation to a value. */
bool compare_values(const char *column, const char *left, compare op, const char *right);
/* How many nodes a stage has, and the index of the case of the i-th. */
uint32_t def_cases(const mf_graph *g, const stage_def *def);
uint32_t def_case(const stage_def *def, uint32_t i);
/* The position of a case among a stage's nodes; NAME_NONE where `where` leaves it out. */
uint32_t case_position(const stage_def *def, uint32_t c);
/* "in volume: volume - Scan." for notes. */
void note_port(mf_graph *g, const mf_stage *stage, const mf_port *port, bool out);

#endif
