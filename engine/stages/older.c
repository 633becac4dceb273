/* older.c - tables of plugins that were built for an older minor version of the stage interface,
 * brought to this version's layout: what was appended since is 0. */
#include "stages/registry.h"

#include <string.h>

typedef struct layout {
    int minor;
    size_t stage, param, port, type, source; /* bytes of one entry */
} layout;

/* By minor version. A version that appends a field gets a row; the rows before it say where that
 * field began. */
static const layout layouts[] = {
    {0, offsetof(mf_stage, parts), sizeof(mf_param), sizeof(mf_port), offsetof(mf_type, check), 0},
    {1, offsetof(mf_stage, parts), sizeof(mf_param), sizeof(mf_port), offsetof(mf_type, check), 0},
    {2, offsetof(mf_stage, saves), sizeof(mf_param), sizeof(mf_port), offsetof(mf_type, check), 0},
    {3, offsetof(mf_stage, saves), sizeof(mf_param), sizeof(mf_port), sizeof(mf_type), 0},
    {4, offsetof(mf_stage, saves), sizeof(mf_param), sizeof(mf_port), sizeof(mf_type),
     sizeof(mf_case_source)},
    {5, sizeof(mf_stage), sizeof(mf_param), sizeof(mf_port), sizeof(mf_type),
     sizeof(mf_case_source)},
    {6, sizeof(mf_stage), sizeof(mf_param), sizeof(mf_port), sizeof(mf_type),
     sizeof(mf_case_source)},
    {7, sizeof(mf_stage), sizeof(mf_param), sizeof(mf_port), sizeof(mf_type),
     sizeof(mf_case_source)},
};
_Static_assert(sizeof layouts / sizeof *layouts == MF_ABI_MINOR + 1,
               "each minor version of the stage interface needs its row");

/* The record itself is longer since 1.4. */
static bool may_have_sources(const mf_plugin *p)
{
    return p->abi_minor >= 4;
}

mf_status mf_plugin_check_layout(const mf_plugin *p, const char *file)
{
    const layout *l = &layouts[p->abi_minor];
    const struct {
        const char *name;
        size_t theirs, expected;
    } sizes[] = {{"mf_stage", p->stage_size, l->stage},
                 {"mf_param", p->param_size, l->param},
                 {"mf_port", p->port_size, l->port},
                 {"mf_type", p->type_size, l->type},
                 {"mf_case_source", may_have_sources(p) && p->sources ? p->source_size : l->source,
                  l->source}};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].theirs != sizes[i].expected)
            return mf_hint(mf_fail(MF_INVALID,
                                   "plugin %s was built with another layout of %s: %zu bytes; "
                                   "stage interface %d.%d has %zu",
                                   file, sizes[i].name, sizes[i].theirs, MF_ABI_MAJOR, p->abi_minor,
                                   sizes[i].expected),
                           "build the plugin against the headers of this massflow");
    }
    return MF_OK;
}

/* A table that ends with an entry without a name, its first field; `theirs` and `ours`: bytes of
 * one entry. */
static const void *widen_table(mf_arena *arena, const void *table, size_t theirs, size_t ours)
{
    const char *from = table;
    size_t count = 0;
    char *to;

    if (!table || theirs == ours)
        return table;
    while (*(const char *const *)(const void *)(from + count * theirs))
        count++;
    to = mf_arena_alloc(arena, count + 1, ours);
    for (size_t i = 0; i < count; i++)
        memcpy(to + i * ours, from + i * theirs, theirs);
    return to;
}

static const mf_stage *widen_stage(mf_arena *arena, const mf_plugin *p, const mf_stage *stage)
{
    mf_stage *wide = mf_arena_alloc(arena, 1, sizeof *wide);

    memcpy(wide, stage, p->stage_size);
    wide->params = widen_table(arena, wide->params, p->param_size, sizeof(mf_param));
    wide->in = widen_table(arena, wide->in, p->port_size, sizeof(mf_port));
    wide->out = widen_table(arena, wide->out, p->port_size, sizeof(mf_port));
    return wide;
}

static const mf_case_source *widen_source(mf_arena *arena, const mf_plugin *p,
                                          const mf_case_source *source)
{
    mf_case_source *wide = mf_arena_alloc(arena, 1, sizeof *wide);

    memcpy(wide, source, p->source_size);
    wide->params = widen_table(arena, wide->params, p->param_size, sizeof(mf_param));
    return wide;
}

static size_t count_of(const void *const *list)
{
    size_t count = 0;

    while (list && list[count])
        count++;
    return count;
}

const mf_plugin *mf_plugin_widen(mf_arena *arena, const mf_plugin *p)
{
    size_t stage_count = count_of((const void *const *)p->stages);
    size_t type_count = count_of((const void *const *)p->types);
    size_t source_count = may_have_sources(p) ? count_of((const void *const *)p->sources) : 0;
    const mf_stage **stages;
    const mf_type **types;
    const mf_case_source **sources;
    mf_plugin *wide;

    if (may_have_sources(p) && (!p->sources || p->source_size == sizeof(mf_case_source)) &&
        p->stage_size == sizeof(mf_stage) && p->param_size == sizeof(mf_param) &&
        p->port_size == sizeof(mf_port) && p->type_size == sizeof(mf_type))
        return p;
    wide = mf_arena_alloc(arena, 1, sizeof *wide);
    stages = mf_arena_alloc(arena, stage_count + 1, sizeof *stages);
    types = mf_arena_alloc(arena, type_count + 1, sizeof *types);
    sources = mf_arena_alloc(arena, source_count + 1, sizeof *sources);
    for (size_t i = 0; i < stage_count; i++)
        stages[i] = widen_stage(arena, p, p->stages[i]);
    for (size_t i = 0; i < type_count; i++) {
        mf_type *type = mf_arena_alloc(arena, 1, sizeof *type);
        memcpy(type, p->types[i], p->type_size);
        types[i] = type;
    }
    for (size_t i = 0; i < source_count; i++)
        sources[i] = widen_source(arena, p, p->sources[i]);
    memcpy(wide, p, may_have_sources(p) ? sizeof *p : offsetof(mf_plugin, source_size));
    wide->stages = stages;
    wide->types = types;
    wide->source_size = sizeof(mf_case_source);
    wide->sources = sources;
    return wide;
}
