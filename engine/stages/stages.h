/* stages.h - the plugin host: finds and loads plugins, knows their stages and types of artifact,
 * turns text into parameter structs, and describes stages in words.
 *
 * It knows nothing of graph files, the store or running. There are no globals: a registry is made
 * once and handed on. It is not changed after loading, so any thread may read it. */
#ifndef MF_STAGES_H
#define MF_STAGES_H

#include "base/nearest.h"
#include <massflow/cases.h>

/* ---- the registry ---------------------------------------------------------------------------- */

typedef struct mf_registry mf_registry;

/* A registry with the built-in types: volume, labels, slices, masks, sample, pair, model, features,
 * table, image, text, seeds. */
MF_MUST_USE mf_status mf_registry_new(mf_registry **registry);
void mf_registry_free(mf_registry *registry); /* unloads the plugins; NULL is fine */

/* Loads plugins. Stages may use types of any plugin of the same call. Refused, with the file named:
 * no entry symbol, another ABI major, a newer minor, struct sizes that its version does not have, a
 * descriptor that does not hold (a default out of range, an unknown type, ...), a stage name that
 * another file has. Tables of an older minor version are copied into this version's layout.
 * After a failure the registry can only be freed. */
MF_MUST_USE mf_status mf_registry_load(mf_registry *registry, const char *const *files,
                                       size_t count);
/* All NAME.so of: `folder` (may be NULL), the folders of MASSFLOW_PLUGINS (joined by colons), and
 * the build tree's or the installation's plugin folder, found from where the program lies. A
 * plugin found twice by the same real path is loaded once. */
MF_MUST_USE mf_status mf_registry_load_standard(mf_registry *registry, const char *folder);
/* A plugin that is linked in; `file` names it in errors. For tests and embedding programs. */
MF_MUST_USE mf_status mf_registry_add(mf_registry *registry, const mf_plugin *plugin,
                                      const char *file);

/* Something that lives as long as the registry: `end` is called when it is freed. */
void mf_registry_keep(mf_registry *registry, void *thing, void (*end)(void *thing));

size_t mf_registry_count(const mf_registry *registry);                 /* stages */
const mf_stage *mf_registry_at(const mf_registry *registry, size_t i); /* in order of name */
const mf_stage *mf_registry_stage(const mf_registry *registry, const char *name); /* or NULL */
const char *mf_registry_near(const mf_registry *registry, const char *name); /* nearest or NULL */
const char *mf_registry_file(const mf_registry *registry, const mf_stage *stage);
/* The resolved path of the i-th plugin that was loaded; NULL past the last. */
const char *mf_registry_loaded(const mf_registry *registry, size_t i);
const char *mf_registry_plugin(const mf_registry *registry, const mf_stage *stage); /* its name */

/* What an artifact of a type must hold; NULL for an unknown name. */
const mf_type *mf_registry_type(const mf_registry *registry, const char *name);
/* The declaration whose `write` takes this type and this path's suffix; NULL when no plugin has
 * one. Several plugins may bring writers for one type: a plugin adds a writer to a known type by
 * declaring the type again with arrays and attributes NULL. */
const mf_type *mf_registry_writer(const mf_registry *registry, const char *type, const char *path);
/* The declaration whose `read` takes this path: a folder ("/") or a file by its suffix; or NULL. */
const mf_type *mf_registry_reader(const mf_registry *registry, const char *path, bool folder);
/* The declarations of this type that check its artifacts: the i-th; NULL past the last. */
const mf_type *mf_registry_checker(const mf_registry *registry, const char *type, size_t i);
/* The declaration that draws this type; or NULL. */
const mf_type *mf_registry_drawer(const mf_registry *registry, const char *type);
/* How many outputs of a stage can be written as this file; *port is the last of them. */
size_t mf_registry_writable(const mf_registry *registry, const mf_stage *stage, const char *path,
                            uint32_t *port);
/* The suffixes that can be written for a type, joined by ", "; the caller frees. */
char *mf_registry_suffixes(const mf_registry *registry, const char *type);

/* Code identity, part of an action's key: the digest of the stage's own sources where the build
 * made one, else its declared version ("version 3"). */
void mf_stage_code(const mf_stage *stage, char text[80]);

/* ---- sources of cases ------------------------------------------------------------------------ */

#define MF_MOST_CASES 1000000

/* The i-th: those of massflow itself (`read` is NULL, for they are read by engine/graph), then
 * those of plugins in order of name. NULL past the last. */
const mf_case_source *mf_registry_source_at(const mf_registry *registry, size_t i);
const mf_case_source *mf_registry_source(const mf_registry *registry,
                                         const char *name);                         /* or NULL */
const char *mf_registry_source_near(const mf_registry *registry, const char *name); /* or NULL */
/* Its options as the parameters of a stage, for mf_params_new. */
const mf_stage *mf_registry_source_options(const mf_registry *registry,
                                           const mf_case_source *source);
/* Where it comes from; NULL for massflow itself. */
const char *mf_registry_source_file(const mf_registry *registry, const mf_case_source *source);
const char *mf_registry_source_plugin(const mf_registry *registry, const mf_case_source *source);
/* Whether a column is the source's own. */
bool mf_case_source_column(const mf_case_source *source, const char *name);
/* Their names with ", " between them, `last` before the last one; the caller frees. */
char *mf_registry_sources(const mf_registry *registry, const char *last);

/* ---- ports ----------------------------------------------------------------------------------- */

typedef enum mf_port_shape { MF_PORT_ONE, MF_PORT_LIST, MF_PORT_STREAM } mf_port_shape;

/* "volume", "volume?", "volume[]", "volume[]?", "stream<pair>", "stream<pair>?" */
typedef struct mf_port_type {
    char name[64]; /* of the artifact type */
    mf_port_shape shape;
    bool optional;
} mf_port_type;

bool mf_port_type_parse(const char *text, mf_port_type *type);
/* Index in a port table (stage->in or stage->out), or -1. Tables end with a NULL name. */
int mf_port_find(const mf_port *ports, const char *name);
size_t mf_port_count(const mf_port *ports); /* 0 for NULL */

/* ---- parameters ------------------------------------------------------------------------------ */

/* A stage's parameters: the filled struct, and what of it enters a key. Counted references; nothing
 * changes after mf_params_finish, so many nodes and threads share one. */
typedef struct mf_params mf_params;

/* All defaults set. */
MF_MUST_USE mf_status mf_params_new(const mf_stage *stage, mf_params **params);
/* Sets one parameter from text, as a user wrote it: one scalar (list false, count 1) or the
 * elements of a list. Relative paths are taken from the folder `base`, and must exist. On failure
 * *at (may be NULL) is the element that is wrong, or -1 for the whole. */
MF_MUST_USE mf_status mf_params_set(mf_params *params, const mf_param *param, bool list,
                                    const char *const *texts, size_t count, const char *base,
                                    int *at);
/* Whether a parameter still has to be set: it has no default and was not set. */
bool mf_params_missing(const mf_params *params, const mf_param *param);
/* Closes: every parameter must be there, and the stage's own check must pass. */
MF_MUST_USE mf_status mf_params_finish(mf_params *params);
mf_params *mf_params_ref(const mf_params *params);
void mf_params_unref(const mf_params *params); /* NULL is fine */

const void *mf_params_struct(const mf_params *params); /* what stage callbacks get */
/* Canonical JSON of what enters the key: all parameters sorted by name, defaults filled in, reals
 * in the shortest form that reads back the same; without MF_NO_CACHE ones and without paths. */
const char *mf_params_json(const mf_params *params);
/* The same without MF_EXTENDABLE ones: what checkpoints are named by. */
const char *mf_params_base_json(const mf_params *params);
/* Paths that are set and enter the key by their content's digest, in order of name. */
size_t mf_params_path_count(const mf_params *params);
const char *mf_params_path(const mf_params *params, size_t i, const char **name);

const mf_param *mf_param_find(const mf_stage *stage, const char *name); /* or NULL */
/* Parameters that have no default are required. */
bool mf_param_required(const mf_param *param);

/* ---- words ----------------------------------------------------------------------------------- */

/* Texts that the caller frees; NULL when memory is short. */
char *mf_stage_describe(const mf_registry *registry, const mf_stage *stage);
char *mf_case_source_describe(const mf_registry *registry, const mf_case_source *source);
char *mf_registry_list(const mf_registry *registry); /* all stages and sources, one a line */

#endif
