/* graph_private.h - private to engine/graph: a graph while it is read, and after. */
#ifndef MF_GRAPH_PRIVATE_H
#define MF_GRAPH_PRIVATE_H

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
    struct graph_param *from; /* of the including file, whose value it is; or NULL */
    const mf_stage *stage;    /* that takes its value alone, the first in the file, */
    const mf_param *taker;    /* as this parameter; NULL where none does */
} graph_param;

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
    /* Axes of the consumer that the stage's name mentions, and the values that this reference is
     * for: the others have references of their own. */
    uint32_t named_by, named_at;
    term *terms; /* none for [*] */
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

#endif
