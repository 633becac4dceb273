/* yaml.h - strict YAML as a tree in which every node keeps its place. Scalars stay text. */
#ifndef MF_GRAPH_YAML_H
#define MF_GRAPH_YAML_H

#include "base/arena.h"
#include "graph/text/diagnostics.h"

/* A text that nodes come from: a file, or a --set value. */
typedef struct yaml_source {
    const char *name; /* as the user named it */
    const char *base; /* absolute folder that its relative paths start from */
    const char *text;
    size_t length;
    const char *from; /* "included from g.yaml:3", or NULL */
    bool file;
    const char **lines; /* where each begins */
    size_t line_count;
} yaml_source;

typedef enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP } yaml_kind;

/* Sources of cases know it as an mf_entry (massflow/cases.h). */
typedef struct mf_entry {
    yaml_kind kind;
    int line, column, width; /* as in mf_place */
    bool quoted;             /* a scalar in quotes or a block scalar: never "nothing" */
    const char *text;        /* of a scalar */
    struct mf_entry **items; /* LIST: count items; MAP: count keys and values in turn */
    size_t count;
    const yaml_source *source;
} yaml;

/* ---- source.c: texts, as UTF-8 ----------------------------------------------------------------
 */

/* The folder part of `path` as an absolute path, in `arena`. */
char *mf_yaml_folder(mf_arena *arena, const char *path);
/* A file whole, at most `limit` bytes, in `arena`: without its byte order mark, UTF-16 as UTF-8. */
MF_MUST_USE mf_status mf__source_read(mf_arena *arena, const char *path, size_t limit,
                                      yaml_source **s);
/* A text that is there already. */
yaml_source *mf_source_of(mf_arena *arena, const char *name, const char *base, const char *text);

/* The checks that any text from a user needs: UTF-8 without control characters. */
bool mf__source_check(const yaml_source *s, mf_diagnostics *d);

mf_place mf__source_place(const yaml_source *s, int line, int column, int width);

/* ---- yaml.c: trees ----------------------------------------------------------------------------
 */

/* The tree, or NULL after reporting what is wrong. */
yaml *mf_yaml_read(mf_arena *arena, const yaml_source *s, mf_diagnostics *d);
mf_place mf_yaml_place(const yaml *node);
/* A part of a scalar's text: bytes [offset, offset + length). The whole node when the text in the
 * file differs from the text meant (escapes, folded lines). */
mf_place mf_yaml_place_in(const yaml *node, size_t offset, size_t length);
/* The value of a key of a map, or NULL; *key (may be NULL) is the key's own node. */
yaml *mf_yaml_get(const yaml *map, const char *name, yaml **key);
bool mf_yaml_empty(const yaml *node); /* a plain scalar without text: nothing was given */

#endif
