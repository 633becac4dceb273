/* registry.h - private to engine/stages: what a registry holds. */
#ifndef MF_STAGES_REGISTRY_H
#define MF_STAGES_REGISTRY_H

#include "base/arena.h"
#include "stages/stages.h"

typedef struct plugin {
    char *file;                /* as found; NULL for the engine itself */
    char *real;                /* resolved; NULL for a plugin that is linked in */
    void *handle;              /* of dlopen, or NULL */
    const mf_plugin *declared; /* in the layout of this version */
} plugin;

struct mf_registry {
    mf_arena *arena; /* of tables of older plugins */
    struct kept {
        void *thing;
        void (*end)(void *thing);
    } * kept;
    size_t kept_count, kept_room;
    plugin *plugins;
    size_t plugin_count, plugin_room;
    struct entry {
        const mf_stage *stage;
        size_t plugin;
    } * stages; /* in order of name */
    size_t stage_count, stage_room;
    struct {
        const mf_type *type;
        size_t plugin; /* SIZE_MAX: built in */
    } * types;         /* in order of declaration: the first of a name says what it holds */
    size_t type_count, type_room;
    struct source_entry {
        const mf_case_source *source;
        const mf_stage *options; /* a stage with its parameters alone */
        size_t plugin;           /* SIZE_MAX: built in */
    } * sources;                 /* those that are built in, then in order of name */
    size_t source_count, source_room;
};

const mf_type *mf_builtin_types(size_t *count);
void mf_registry_builtin_sources(mf_registry *registry);
MF_MUST_USE mf_status mf_registry_declare_source(mf_registry *registry,
                                                 const mf_case_source *source, size_t owner);

/* The plugin's record fits this engine: its version, and the sizes of its tables for that version.
 */
MF_MUST_USE mf_status mf_plugin_check_abi(const mf_plugin *plugin, const char *file);
MF_MUST_USE mf_status mf_plugin_check_layout(const mf_plugin *plugin, const char *file);
/* A record that fits, with tables in the layout of this version: itself, or a copy in the arena. */
const mf_plugin *mf_plugin_widen(mf_arena *arena, const mf_plugin *plugin);
/* The stage's descriptor holds together. Errors do not name the file. */
MF_MUST_USE mf_status mf_stage_check(const mf_registry *registry, const mf_stage *stage);
MF_MUST_USE mf_status mf_case_source_check(const mf_case_source *source);

#endif
