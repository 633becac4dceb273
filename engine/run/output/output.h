/* output.h - a file that massflow writes for the user, outside of the cache.
 *
 * It is written in a folder of its own beside its place (partial.h) and moved there when it is
 * whole. What is there already is replaced only where massflow has written it and nobody has
 * changed it since; `force` replaces any other file as well. What the graph reads, and what lies in
 * the cache, is never replaced. A link is not followed: what massflow makes is a file of its own.
 */
#ifndef MASSFLOW_RUN_OUTPUT_H
#define MASSFLOW_RUN_OUTPUT_H

#include "graph/data/graph.h"
#include "run/output/written.h"

#include <stdbool.h>

typedef struct mf_output_rule {
    bool force;
    const char *option; /* by which a user says so, for messages; NULL: --force */
    bool late;         /* quick to make: whether it can be written is looked at once it is made, and
                        * one of the same content as what is there is left as it is */
    mf_graph *graph;   /* what it reads is kept; may be NULL */
    const char *cache; /* the cache's folder; may be NULL */
    const char *source; /* a file or folder that is read; may be NULL */
    mf_written *written;
} mf_output_rule;

/* `known`: a digest with which massflow has written it, besides what is in `written`; or NULL.
 * Without `late` an error where it can't be replaced; with it only where it never could. */
MF_MUST_USE mf_status mf_output_check(const char *path, const mf_output_rule *rule,
                                      const char *known);

typedef struct mf_output mf_output;

/* The path and what the rule names stay the caller's and must stay. */
MF_MUST_USE mf_status mf_output_begin(const char *path, const mf_output_rule *rule,
                                      const char *known, mf_output **output);
const char *
mf_output_file(const mf_output *output); /* where to write; its suffix is that of the path */
/* Moves it to its place and remembers it. `digest` (may be NULL) is of its content. Frees. */
MF_MUST_USE mf_status mf_output_end(mf_output *output, char digest[MF_HEX_SIZE]);
/* Without it being there. NULL is fine. */
void mf_output_drop(mf_output *output);

#endif
