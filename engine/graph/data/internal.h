/* internal.h - private to engine/graph: a graph while it is read, and after. */
#ifndef MF_GRAPH_INTERNAL_H
#define MF_GRAPH_INTERNAL_H

#include "graph/data/graph.h"
#include "graph/text/names.h"
#include "graph/text/yaml.h"
#include "stages/params.h"

#include <sys/types.h>

#define LARGEST_GRAPH ((size_t)64 << 20) /* bytes of a file */

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
    bool of_node;             /* begins with a column of the case or an axis */
    bool cell;                /* the value is a column of the case alone */
    const graph_param *param; /* the value is this parameter alone */
} given;

/* ---- axes --------------------------------------------------------------------------------------
 *
 * A stage is made once for every combination of values of its axes; axis 0 is `case`. Sets of axes
 * are bits of a mask. A combination is a code: the values' places in their lists as the digits of
 * one number, those of the first axis the highest, so that codes are in order of case id, then of
 * the other axes as the file declares them. */

#define MOST_AXES 16
#define CASE 1u /* the mask of axis 0 */
#define MOST_NODES 20000000u

typedef struct axis {
    const char *name;
    const yaml *key;
    const char **values; /* of `case`: the ids */
    uint32_t count;
} axis;

/* ---- stages as the file writes them ------------------------------------------------------------
 */

typedef enum compare { EQUAL, DIFFERENT, BELOW, AT_MOST, ABOVE, AT_LEAST } compare;

/* What a selection or `where` looks at: an axis, or a column of the case. */
typedef struct subject {
    uint32_t axis;
    const char *column; /* of axis 0; NULL where the axis' own value is meant */
} subject;

/* subject OP value; the value may still hold "${case.x}" and "${axis}" of the consumer. */
typedef struct term {
    subject of;
    compare op;
    const char *value;
    bool any; /* axis=* */
} term;

/* "stage", "stage.port", with "[*]" or "[terms]" behind. */
typedef struct reference {
    const yaml *node;
    const struct stage_def *source;
    uint32_t port;
    bool gather;
    uint32_t varies; /* axes of the consumer that its terms mention */
    uint32_t joined; /* axes on which source and consumer have the same value */
    term *terms;     /* none for [*] */
    size_t term_count;
} reference;

typedef struct port_input {
    const yaml *node; /* the value given, NULL for a port that is not connected */
    reference *refs;
    size_t count;
    uint32_t depends; /* axes of the consumer on which the edges depend */
} port_input;

typedef struct filter { /* where: name: [values] */
    subject of;
    const yaml *node;
    uint32_t varies; /* axes that the values mention */
} filter;

typedef struct stage_def {
    mf_graph *graph;        /* the file that it stands in */
    const char *label;      /* its name in the whole graph */
    const yaml *key, *node; /* its name in the file, and the map below it */
    const yaml *with, *use;
    const mf_stage *stage;
    mf_limits limits;
    uint32_t axes; /* of `each` */
    bool skip_failed;
    filter *filters;
    size_t filter_count;
    port_input *inputs; /* by port */
    size_t input_count;
    uint32_t *codes; /* of its nodes, in order, where `where` leaves some out; NULL: all */
    uint32_t count;  /* nodes */
    uint32_t first;  /* node */
    uint32_t param_axes;
    mf_params **params; /* by code over param_axes; NULL where no node has that */
    size_t param_count;
} stage_def;

/* Where a value stands: whose case and axes "${...}" means. */
typedef struct here {
    const stage_def *def; /* NULL: no stage, so neither case nor axes */
    const uint32_t *at;   /* value of each axis of `def`, by axis; NULL: not known yet */
    bool command;         /* for a parameter marked MF_COMMAND: what is spliced in is one piece */
} here;

typedef struct include {
    const yaml *key;
    mf_graph *graph;
} include;

/* A file that is there, and who reads it. */
typedef struct read_file {
    dev_t device;
    ino_t number;
    uint32_t reader;
} read_file;

/* What is read: see reads.c. */
typedef struct graph_reads {
    bool found, numbered;
    names files;        /* one name of each -> node, or a number of none for the graph's own */
    read_file *numbers; /* those that are there, and what is opened beside them; by number */
    size_t number_count, number_room;
    struct {
        const char *path, *real;
    } last; /* the folder that was resolved last: most files lie where the one before lies */
} graph_reads;

/* One file; those that it includes are graphs of their own below it. What is made of them all
 * together stands in the first one only. */
struct mf_graph {
    mf_graph *parent;   /* that includes it */
    const char *prefix; /* of its stages' names: "pre.", "" for the first file */
    include *includes;
    size_t include_count;
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
    axis axes[MOST_AXES];
    uint32_t axis_count;
    bool axes_wrong; /* do not report what follows from it */
    mf_case *cases;
    size_t case_count;
    bool cases_wrong;    /* the same */
    const char **tables; /* files that cases were read from, absolute */
    size_t table_count, table_room;
    const char **passed; /* files that sources of cases passed over, a line each */
    size_t passed_count, passed_room;
    const mf_place **case_places; /* by case: its line in a table, or NULL */
    const char **columns;
    size_t column_count;
    stage_def *defs; /* in order of the file */
    size_t def_count;
    names labels;    /* label in the file -> index in defs */
    uint32_t *order; /* defs in topological order */
    /* Of the first file only. */
    size_t file_count; /* that are included, directly or not */
    stage_def **all;   /* of all files, in topological order */
    size_t all_count, all_room;
    mf_graph_stage *stages;
    bool isolate; /* of stages that do not say */
    mf_node *nodes;
    size_t node_count;
    mf_export *exports;
    size_t export_count, export_room;
    graph_reads reads;
};

/* ---- reporting ---------------------------------------------------------------------------------
 */

/* An error at a node; always returns false. */
bool mf__graph_error(mf_graph *g, const yaml *node, const char *format, ...) MF_PRINTF(3, 4);
/* The same for a status, which is freed; `who` stands before its message when not NULL. */
bool mf__graph_status(mf_graph *g, const yaml *node, const char *who, mf_status error);
/* "'x' is set in line 3" or "by --set", where a value came from a parameter. */
void mf__graph_note_param(mf_graph *g, const graph_param *param);
/* A key that is not of `names`: the error, with the nearest of them. */
bool mf__graph_unknown(mf_graph *g, const yaml *key, const char *what, const char *const *names,
                       size_t count);

/* ---- include.c ---------------------------------------------------------------------------------
 */

/* Reads the included files whole, and theirs. */
MF_MUST_USE mf_status mf__read_includes(mf_graph *g, bool *good);
/* Takes over the values of `set` in an include. */
bool mf__apply_set(mf_graph *g, const yaml *set);
/* All stages of a file and of those below it, sources first, into root->all. */
void mf__collect_stages(mf_graph *g, mf_graph *root);
/* The stage that a text begins with, as in "scan", "pre.scan", and the length of its name; NULL
 * for none. *in is the file that was looked in last, *at where in the text its part begins. */
stage_def *mf__find_source(mf_graph *g, const char *text, size_t *length, mf_graph **in,
                           size_t *at);
/* The name nearest to one that `in` does not have, as it would be written in `g`; NULL for none. */
const char *mf__near_source(const mf_graph *g, const mf_graph *in, const char *label);

/* ---- graph.c -----------------------------------------------------------------------------------
 */

/* Reads a file that is opened as far as errors leave sense in it. `set` (may be NULL) is that of an
 * include. */
MF_MUST_USE mf_status mf__read_graph(mf_graph *g, const mf_setting *settings, size_t count,
                                     const yaml *set, bool *good);

/* ---- splice.c ----------------------------------------------------------------------------------
 */

bool mf__read_params(mf_graph *g, const mf_setting *settings, size_t count);
/* Resolves "${x}": a parameter, an axis of the stage, "${case.x}"; without `h` only parameters. On
 * failure reports and returns false. */
bool mf__resolve(mf_graph *g, const yaml *node, const here *h, given *v);
/* Makes a list of the text "[1, 2]" that a column holds; true and no change for another text. */
bool mf__list_in_cell(mf_graph *g, const yaml *node, given *v);
/* The same as resolve for a bare text. Without h->at what depends on the node stays as it is. */
bool mf__resolve_text(mf_graph *g, const yaml *node, const char *text, const here *h,
                      const char **out);
/* The axes that a value mentions: of "${case.x}" that is `case`. */
uint32_t mf__mentions(const mf_graph *g, const yaml *node);
uint32_t mf__mentions_text(const mf_graph *g, const char *text);
bool mf__is_name(const char *text); /* letters, digits, _ and -, not beginning with a digit */

/* The words that a file, a stage, and `cases` may have, for the schema. */
const char *const *mf__graph_root_keys(size_t *count);
const char *const *mf__graph_stage_keys(size_t *count);
const char *mf__graph_source(size_t i); /* NULL past the last */

/* ---- cases.c, found.c, csv.c -------------------------------------------------------------------
 */

bool mf__read_cases(mf_graph *g);
bool mf__good_id(const char *id); /* can name a node: "scan[case=ID]" */
bool mf__has_column(const mf_graph *g, const char *column);
/* The note that lists the columns. */
void mf__note_columns(mf_graph *g);

/* Files that a pattern stands for. `id` is what {id} matched, or the name without its suffix. */
typedef struct found {
    const char *path, *id;
} found;
typedef struct scan_search {
    const char *base, *pattern; /* a file, a folder of DICOM files, or a glob; relative to `base` */
    const char *exclude_base;
    const char *const *exclude; /* patterns of names, or of whole paths where they hold a slash */
    size_t exclude_count;
    found *list; /* what was found, in byte order of path */
    size_t count;
    size_t *excluded; /* how many each pattern left out; the first that fits counts */
    size_t hidden;    /* files that the glob would name if their names did not begin with a dot */
    const char *a_hidden;
} scan_search;
MF_MUST_USE mf_status mf__find_scans(mf_arena *arena, scan_search *search);
const char *mf__stem_of(mf_arena *arena, const char *path);

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

/* ---- axes.c ------------------------------------------------------------------------------------
 */

bool mf__read_axes(mf_graph *g);
uint32_t mf__find_axis(const mf_graph *g, const char *name); /* NAME_NONE */
char *mf__axis_names(const mf_graph *g, uint32_t mask);      /* "case, shots" */
char *mf__axes_pattern(const mf_graph *g, uint32_t mask);    /* "case=ID, shots=VALUE" */
/* How many combinations of values there are; at most MOST_NODES + 1. */
uint64_t mf__axes_space(const mf_graph *g, uint32_t mask);
uint32_t mf__axes_code(const mf_graph *g, uint32_t mask, const uint32_t *at);
void mf__axes_at(const mf_graph *g, uint32_t mask, uint32_t code, uint32_t *at);
/* The combination of a stage's i-th node. */
uint32_t mf__def_code(const stage_def *def, uint32_t i);
void mf__def_at(const stage_def *def, uint32_t i, uint32_t at[MOST_AXES]);
/* The position of a combination among a stage's nodes; NAME_NONE where `where` leaves it out. */
uint32_t mf__code_position(const stage_def *def, uint32_t code);
/* "case=012,shots=5" */
char *mf__axes_text(const mf_graph *g, uint32_t mask, const uint32_t *at);
/* "for case '012'" or "for case=012,shots=5", as a note. */
void mf__note_at(mf_graph *g, uint32_t mask, const uint32_t *at);
/* What a name in brackets or in `where` means at a stage: an axis of it, or a column. */
bool mf__find_subject(const stage_def *def, const char *name, const mf_place *place, subject *s);
/* The text that is compared; NULL where the case has no such column. */
const char *mf__subject_text(const mf_graph *g, const subject *s, const uint32_t *at);

/* ---- typed.c, reference.c, connect.c, with.c, expand.c, export.c --------------------------------
 */

bool mf__read_isolate(mf_graph *g);                /* of the whole graph */
bool mf__read_limits(mf_graph *g, stage_def *def); /* limits.c: isolate, timeout, retries, memory */
/* Reports a key that is right at another place: true. `where` is "use" (beside it), "with" or "in".
 */
bool mf__graph_misplaced(mf_graph *g, const stage_def *def, const yaml *key, const char *where);
bool mf__read_stages(mf_graph *g); /* labels, stages used, each, where */
/* `def` is the consumer, NULL for an export. */
bool mf__parse_reference(mf_graph *g, const stage_def *def, const yaml *node, reference *ref);
/* Ports: references, types, gathering, required ones. */
bool mf__connect_stage(mf_graph *g, stage_def *def);
/* Parameters of a stage, for all its nodes or for each. */
MF_MUST_USE mf_status mf__read_with(mf_graph *g, stage_def *def, bool *good);
bool mf__order_stages(mf_graph *g); /* topological order, or the cycle */
bool mf__expand(mf_graph *g);       /* nodes and their edges; selections are made here */
bool mf__read_exports(mf_graph *g);

/* ---- reads.c -----------------------------------------------------------------------------------
 */

/* The file that `path`, absolute, names: links and detours on the way resolved as far as folders
 * are there, so that one file has one name. A link in its last part is replaced, not followed. */
char *mf__one_name(mf_graph *g, const char *path);
/* The node that reads the file of that name, "" where it is a file of the graph, or NULL. */
const char *mf__reader_of(mf_graph *g, const char *name);
/* Of a folder that holds it, at any depth: there a new file is read, too. */
const char *mf__reader_of_folder(mf_graph *g, const char *name);

/* Whether a column's text stands in this relation to a value. */
bool mf__compare_values(const char *column, const char *left, compare op, const char *right);
/* False after reporting a number with a decimal comma, which would compare as text. */
bool mf__check_comparison(mf_graph *g, const yaml *node, const char *column, const char *left,
                          compare op, const char *right);
/* "in volume: volume - Scan." for notes. */
void mf__note_port(mf_graph *g, const mf_stage *stage, const mf_port *port, bool out);

#endif
