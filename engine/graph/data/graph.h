/* graph.h - a graph file, read, checked and expanded to nodes: stage x case x axes, ready to be
 * planned.
 *
 * Reading goes in steps, each in its own file: yaml.c (libyaml events -> a tree in which every node
 * keeps its place), cases.c (sources -> cases), axes.c, include.c (other files, read the same way),
 * typed.c (tree -> stages, every rule checked), expand.c (stages x cases x axes -> nodes). All
 * errors of a file are collected; nothing is run. A graph is not changed after loading, so any
 * thread may read it. */
#ifndef MF_GRAPH_H
#define MF_GRAPH_H

#include "graph/text/diagnostics.h"
#include "stages/stages.h"

#include <massflow/embed.h> /* mf_setting */

typedef struct mf_graph mf_graph;

/* Reads, checks and expands. What is wrong with the file, or worth a warning, goes into
 * `diagnostics`; when there are errors among it *graph is NULL and the call still succeeds. A
 * status is returned only when the file cannot be read or memory is short. `registry` must outlive
 * the graph. */
MF_MUST_USE mf_status mf_graph_load(const char *path, const mf_registry *registry,
                                    const mf_setting *settings, size_t count,
                                    mf_diagnostics *diagnostics, mf_graph **graph);
void mf_graph_free(mf_graph *graph); /* NULL is fine */

const char *mf_graph_path(const mf_graph *graph);   /* as given */
const char *mf_graph_folder(const mf_graph *graph); /* absolute, where the file lies */

/* ---- cases ----------------------------------------------------------------------------------- */

/* One scan, or one generated item. Cases are in byte order of their ids. The calls below give those
 * of the file itself; the nodes of an included file point to its own. */
typedef struct mf_case {
    const char *id;
    const char *base;          /* the folder that relative paths in its columns start from */
    const char *const *values; /* by column, NULL where the case has none; see mf_case_column */
    const mf_graph *graph;
} mf_case;

size_t mf_graph_case_count(const mf_graph *graph);
const mf_case *mf_graph_case(const mf_graph *graph, size_t i);
/* All columns of all cases in order of name; "id" is always one, "path" (absolute) is one for
 * cases that come from files. */
size_t mf_graph_column_count(const mf_graph *graph);
const char *mf_graph_column(const mf_graph *graph, size_t i);
const char *mf_case_column(const mf_case *c, const char *column); /* NULL where it has none */

/* Names of the parameters that it declares, in the order of the file. */
size_t mf_graph_param_count(const mf_graph *graph);
const char *mf_graph_param(const mf_graph *graph, size_t i);
/* Texts for free(), as --set takes them (a list in brackets): the value it has, and the one that
 * the file gives; then what the file says behind that in a comment, or NULL. */
char *mf_graph_param_value(const mf_graph *graph, size_t i);
char *mf_graph_param_written(const mf_graph *graph, size_t i);
char *mf_graph_param_comment(const mf_graph *graph, size_t i);
bool mf_graph_param_set(const mf_graph *graph, size_t i); /* by --set */
/* The parameter of a stage that takes the value as it is, also through an included file, and that
 * *stage: the first in the file. NULL where none does. */
const mf_param *mf_graph_param_taker(const mf_graph *graph, size_t i, const mf_stage **stage);

/* ---- nodes ----------------------------------------------------------------------------------- */

/* One edge's source: a node by its index, and the index of its output port in stage->out. */
typedef struct mf_edge {
    uint32_t node;
    uint16_t port;
    bool gathered; /* a selection put it into a list: one of many */
} mf_edge;

/* What goes into one input port. A port that takes one artifact or a stream has one edge, or none
 * when it is optional and not connected. A list port has its edges in the order of the references
 * written in the file, and within one reference in order of case id, then of the other axes; the
 * case id of an element is that of its source node. */
typedef struct mf_input {
    const mf_edge *edges;
    size_t count;
} mf_input;

typedef struct mf_axis_value {
    const char *axis, *value; /* "case" and its id, "shots" and "5" */
} mf_axis_value;

typedef struct mf_node {
    const char *name;  /* "model", "scan[case=012]", "seg[case=012,shots=5]" */
    const char *label; /* the stage's name in the graph: "scan" */
    const mf_stage *stage;
    const mf_case *of_case;    /* NULL for a stage without `each: case` */
    const mf_axis_value *axes; /* `case` first, the others as the file declares them */
    size_t axis_count;
    const mf_params *params; /* often shared by all nodes of a stage */
    const mf_input *inputs;  /* one for each port of stage->in, in its order */
    size_t input_count;
    uint32_t group; /* index of its mf_graph_stage */
} mf_node;

/* Nodes are in topological order: the sources of a node come before it. The nodes of one stage are
 * neighbours, in order of case id, then of the other axes' values as the file lists them. */
size_t mf_graph_node_count(const mf_graph *graph);
const mf_node *mf_graph_node(const mf_graph *graph, size_t i);

/* How a stage's nodes are run. Never part of a key. */
typedef struct mf_limits {
    bool isolate;   /* in a process of its own */
    double timeout; /* s; 0: none */
    int retries;
    size_t memory; /* bytes that the process may allocate; 0: any */
    const char
        *pool; /* of workers, that run them where the run has any; NULL: any worker, or here */
} mf_limits;

/* A stage as the file writes it, and its nodes; in topological order. */
typedef struct mf_graph_stage {
    const char *label;
    const mf_stage *stage;
    bool each_case;
    uint32_t first, count; /* its nodes */
    int line, column;      /* where the file names it */
    mf_limits limits;
    bool skip_failed; /* goes on with those gathered elements that came through */
} mf_graph_stage;

size_t mf_graph_stage_count(const mf_graph *graph);
const mf_graph_stage *mf_graph_stage_at(const mf_graph *graph, size_t i);

/* From an output of a stage to a stage that reads it, whichever of their nodes do. */
typedef struct mf_graph_link {
    uint32_t from, port; /* index of the stage, of its output */
    uint32_t to;         /* index of the stage */
    bool gathers;        /* many nodes go into one */
} mf_graph_link;
/* In order of `to`; the caller frees *links. */
MF_MUST_USE mf_status mf_graph_links(const mf_graph *graph, mf_graph_link **links, size_t *count);

/* ---- naming parts of a graph ----------------------------------------------------------------- */

#define MF_TARGET_AXES 16

/* "NODE" or "NODE.PORT", where NODE is "stage" (all its nodes), "stage[case=012]" or
 * "stage[shots=5]": the nodes that have these values. An error says what is unknown, with the
 * nearest right name. */
typedef struct mf_target {
    uint32_t first, count;             /* the first node, and how many there are */
    int port;                          /* index in stage->out; -1 when none is named */
    uint32_t group;                    /* index of the stage */
    uint32_t chosen;                   /* axes that are named, as bits, by their place in `axes` */
    const char *value[MF_TARGET_AXES]; /* of those */
} mf_target;
/* Whether node i is one of them. */
bool mf_target_has(const mf_graph *graph, const mf_target *target, size_t i);
MF_MUST_USE mf_status mf_graph_target(const mf_graph *graph, const char *text, mf_target *target);

/* Marks the nodes that a command asks for: wanted[i] for each node, without what they depend on.
 * Without targets that is every node. `cases` (--case) keeps to some cases: targets must then be
 * per case, for a gathering stage would otherwise be run on a part of its cases; without targets
 * it means all stages that are per case. The caller frees *wanted. */
MF_MUST_USE mf_status mf_graph_select(const mf_graph *graph, const char *const *targets,
                                      size_t target_count, const char *const *cases,
                                      size_t case_count, bool **wanted);

/* ---- exports --------------------------------------------------------------------------------- */

/* A file wanted outside the cache. Paths are absolute and no two exports share one. */
typedef struct mf_export {
    uint32_t node, port;
    const char *path;
    int line, column;
} mf_export;
size_t mf_graph_export_count(const mf_graph *graph);
const mf_export *mf_graph_export(const mf_graph *graph, size_t i);
/* An error where a file must not be written because the graph reads it: its own files, what nodes
 * name, what lies in folders that they name (a new file would be read there as well), what they
 * open beside a file, and the same files by other names, which are found out once. */
MF_MUST_USE mf_status mf_graph_check_output(mf_graph *graph, const char *path);

/* ---- pictures of a graph --------------------------------------------------------------------- */

/* The caller frees; NULL when memory is short. */
char *mf_graph_text(const mf_graph *graph); /* one stage a line, with its inputs and parameters */
char *mf_graph_dot(const mf_graph *graph);  /* Graphviz */
/* A JSON Schema of graph files, for editors, with the registered stages. */
char *mf_graph_schema(const mf_registry *registry);

#endif
