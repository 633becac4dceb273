/* registry.c - stages and types of all plugins, by name. */
#include "stages/registry.h"

#include <dlfcn.h>
#include <massflow/file.h>
#include <stdlib.h>
#include <string.h>

static const char *file_of(const mf_registry *r, size_t i)
{
    return i == SIZE_MAX ? "massflow itself" : r->plugins[i].file;
}

static void add_type(mf_registry *r, const mf_type *type, size_t owner)
{
    r->types = mf_grow(r->types, &r->type_room, r->type_count + 1, sizeof *r->types);
    r->types[r->type_count].type = type;
    r->types[r->type_count++].plugin = owner;
}

mf_status mf_registry_new(mf_registry **registry)
{
    mf_registry *r = calloc(1, sizeof *r);
    size_t count;
    const mf_type *types = mf_builtin_types(&count);
    *registry = NULL;
    if (!r)
        return mf_no_memory(0, "the registry of stages");
    for (size_t i = 0; i < count; i++)
        add_type(r, &types[i], SIZE_MAX);
    r->arena = mf_arena_new();
    mf_registry_builtin_sources(r);
    *registry = r;
    return MF_OK;
}

void mf_registry_free(mf_registry *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->plugin_count; i++) {
        free(r->plugins[i].file);
        free(r->plugins[i].real);
        if (r->plugins[i].handle)
            dlclose(r->plugins[i].handle);
    }
    for (size_t i = 0; i < r->kept_count; i++)
        r->kept[i].end(r->kept[i].thing);
    free(r->kept);
    free(r->plugins);
    free(r->stages);
    free(r->types);
    free(r->sources);
    mf_arena_free(r->arena);
    free(r);
}

void mf_registry_keep(mf_registry *r, void *thing, void (*end)(void *thing))
{
    r->kept = mf_grow(r->kept, &r->kept_room, r->kept_count + 1, sizeof *r->kept);
    r->kept[r->kept_count++] = (struct kept){thing, end};
}

/* ---- adding ---------------------------------------------------------------------------------- */

/* Declares one type, or a writer for a type that is known. */
static mf_status declare_type(mf_registry *r, const mf_type *type, size_t owner)
{
    const char *file = file_of(r, owner);
    if (!type->name || !*type->name)
        return mf_fail(MF_INVALID, "plugin %s declares a type without a name", file);
    if (!type->write != !type->suffixes)
        return mf_fail(MF_INVALID, "plugin %s: type '%s' has only one of a writer and its suffixes",
                       file, type->name);
    if (!type->read != !type->reads)
        return mf_fail(MF_INVALID, "plugin %s: type '%s' has only one of a reader and its suffixes",
                       file, type->name);
    for (size_t i = 0; i < r->type_count; i++) {
        if (strcmp(r->types[i].type->name, type->name))
            continue;
        if (type->arrays || type->attributes)
            return mf_hint(mf_fail(MF_INVALID, "type '%s' is declared by %s and by %s", type->name,
                                   file_of(r, r->types[i].plugin), file),
                           "a plugin that only adds a writer leaves arrays and attributes NULL");
        add_type(r, type, owner);
        return MF_OK;
    }
    if (!type->arrays || !type->attributes)
        return mf_fail(MF_INVALID,
                       "plugin %s adds a writer to the type '%s', which nobody declares", file,
                       type->name);
    add_type(r, type, owner);
    return MF_OK;
}

/* Where a name stands, or would stand, in the sorted table. */
static size_t position(const mf_registry *r, const char *name, bool *found)
{
    size_t low = 0, high = r->stage_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(r->stages[middle].stage->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < r->stage_count && !strcmp(r->stages[low].stage->name, name);
    return low;
}

static mf_status declare_stage(mf_registry *r, const mf_stage *stage, size_t owner)
{
    bool found;
    MF_TRY(mf_within(mf_stage_check(r, stage), "plugin %s: stage '%s'", file_of(r, owner),
                     stage->name ? stage->name : ""));
    size_t at = position(r, stage->name, &found);
    if (found)
        return mf_fail(MF_INVALID, "stage '%s' is in both %s and %s", stage->name,
                       file_of(r, r->stages[at].plugin), file_of(r, owner));
    r->stages = mf_grow(r->stages, &r->stage_room, r->stage_count + 1, sizeof *r->stages);
    memmove(&r->stages[at + 1], &r->stages[at], (r->stage_count - at) * sizeof *r->stages);
    r->stages[at] = (struct entry){stage, owner};
    r->stage_count++;
    return MF_OK;
}

/* Types first, then the writers that plugins add to types of others, whatever the files' order. */
static mf_status declare_types(mf_registry *r, size_t first)
{
    for (int writers = 0; writers < 2; writers++)
        for (size_t i = first; i < r->plugin_count; i++) {
            const mf_type *const *types = r->plugins[i].declared->types;
            for (size_t k = 0; types && types[k]; k++)
                if (writers == (!types[k]->arrays && !types[k]->attributes))
                    MF_TRY(declare_type(r, types[k], i));
        }
    return MF_OK;
}

static mf_status declare_stages(mf_registry *r, size_t owner)
{
    const mf_stage *const *stages = r->plugins[owner].declared->stages;
    for (size_t i = 0; stages && stages[i]; i++)
        MF_TRY(declare_stage(r, stages[i], owner));
    return MF_OK;
}

static mf_status declare_sources(mf_registry *r, size_t owner)
{
    const mf_case_source *const *sources = r->plugins[owner].declared->sources;
    for (size_t i = 0; sources && sources[i]; i++)
        MF_TRY(mf_registry_declare_source(r, sources[i], owner));
    return MF_OK;
}

static plugin *append(mf_registry *r, const char *file)
{
    r->plugins = mf_grow(r->plugins, &r->plugin_room, r->plugin_count + 1, sizeof *r->plugins);
    plugin *p = &r->plugins[r->plugin_count];
    *p = (plugin){.file = strdup(file)};
    if (!p->file)
        abort();
    r->plugin_count++;
    return p;
}

mf_status mf_registry_add(mf_registry *r, const mf_plugin *declared, const char *file)
{
    MF_TRY(mf_plugin_check_abi(declared, file));
    append(r, file)->declared = mf_plugin_widen(r->arena, declared);
    MF_TRY(declare_types(r, r->plugin_count - 1));
    MF_TRY(declare_stages(r, r->plugin_count - 1));
    return declare_sources(r, r->plugin_count - 1);
}

static bool loaded(const mf_registry *r, const char *real)
{
    for (size_t i = 0; i < r->plugin_count; i++)
        if (r->plugins[i].real && !strcmp(r->plugins[i].real, real))
            return true;
    return false;
}

/* Why the dynamic linker refused a plugin. Where that is a function that is not there, it is named
 * with what to do. */
static mf_status not_loaded(const char *file, const char *reason)
{
    static const char missing[] = "undefined symbol: ";
    const char *name = strstr(reason, missing);
    if (strstr(reason, "version `MASSFLOW_PRIVATE' not found"))
        return mf_hint(
            mf_fail(MF_INVALID,
                    "cannot load plugin %s: it calls functions that are private to massflow", file),
            "link it again with this massflow and -Wl,--no-undefined: the linker names "
            "them; a plugin may call what massflow's public headers declare");
    if (!name)
        return mf_fail(MF_INVALID, "cannot load plugin %s: %s", file, reason);
    name += strlen(missing);
    int length = (int)strcspn(name, ", (");
    if (!strncmp(name, "mf_", 3))
        return mf_hint(
            mf_fail(MF_INVALID,
                    "cannot load plugin %s: it calls %.*s, which is not a public function "
                    "of this massflow",
                    file, length, name),
            "a plugin may call what the public headers of the massflow that loads it "
            "declare; with -Wl,--no-undefined the linker says what else it calls");
    return mf_hint(mf_fail(MF_INVALID, "cannot load plugin %s: it uses %.*s, which nothing defines",
                           file, length, name),
                   "link the plugin with the library that defines it; with -Wl,--no-undefined the "
                   "linker says what is missing");
}

static mf_status open_plugin(mf_registry *r, const char *file)
{
    char *real = realpath(file, NULL);
    if (!real)
        return mf_fail(MF_NOT_FOUND, "no plugin file %s", file);
    if (loaded(r, real)) {
        free(real);
        return MF_OK;
    }
    mf_status no_file = mf_file_check(real);
    if (no_file) {
        free(real);
        return no_file;
    }
    plugin *p = append(r, file);
    p->real = real;
    /* NODELETE: libraries that a plugin brings may have threads that outlive the registry. */
    p->handle = dlopen(real, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!p->handle)
        return not_loaded(file, dlerror());
    const mf_plugin *(*entry)(void);
    *(void **)&entry = dlsym(p->handle, "massflow_plugin");
    if (!entry)
        return mf_hint(
            mf_fail(MF_INVALID, "%s is not a plugin: it has no symbol massflow_plugin", file),
            "one source of a plugin ends with MF_PLUGIN(\"name\", stages...)");
    p->declared = entry();
    MF_TRY(mf_plugin_check_abi(p->declared, file));
    p->declared = mf_plugin_widen(r->arena, p->declared);
    return MF_OK;
}

mf_status mf_registry_load(mf_registry *r, const char *const *files, size_t count)
{
    size_t first = r->plugin_count;
    for (size_t i = 0; i < count; i++)
        MF_TRY(open_plugin(r, files[i]));
    MF_TRY(declare_types(r, first));
    for (size_t i = first; i < r->plugin_count; i++)
        MF_TRY(declare_stages(r, i));
    for (size_t i = first; i < r->plugin_count; i++)
        MF_TRY(declare_sources(r, i));
    return MF_OK;
}

/* ---- asking ---------------------------------------------------------------------------------- */

size_t mf_registry_count(const mf_registry *r)
{
    return r->stage_count;
}

const mf_stage *mf_registry_at(const mf_registry *r, size_t i)
{
    return r->stages[i].stage;
}

const mf_stage *mf_registry_stage(const mf_registry *r, const char *name)
{
    bool found;
    size_t at = position(r, name, &found);
    return found ? r->stages[at].stage : NULL;
}

const char *mf_registry_near(const mf_registry *r, const char *name)
{
    const char **names = calloc(r->stage_count + 1, sizeof *names);
    if (!names)
        return NULL;
    for (size_t i = 0; i < r->stage_count; i++)
        names[i] = r->stages[i].stage->name;
    const char *near = mf_nearest(name, names, r->stage_count);
    free(names);
    return near;
}

static const plugin *owner_of(const mf_registry *r, const mf_stage *stage)
{
    bool found;
    return &r->plugins[r->stages[position(r, stage->name, &found)].plugin];
}

const char *mf_registry_file(const mf_registry *r, const mf_stage *stage)
{
    return owner_of(r, stage)->file;
}

const char *mf_registry_loaded(const mf_registry *r, size_t i)
{
    for (size_t k = 0; k < r->plugin_count; k++)
        if (r->plugins[k].handle && i-- == 0)
            return r->plugins[k].real;
    return NULL;
}

const char *mf_registry_plugin(const mf_registry *r, const mf_stage *stage)
{
    return owner_of(r, stage)->declared->name;
}

const mf_type *mf_registry_type(const mf_registry *r, const char *name)
{
    for (size_t i = 0; i < r->type_count; i++)
        if (!strcmp(r->types[i].type->name, name))
            return r->types[i].type;
    return NULL;
}

/* Whether one of the suffixes, joined by spaces, ends the path; * is any. */
static bool ends_in(const char *path, const char *suffixes)
{
    size_t length = strlen(path);
    while (*suffixes) {
        size_t n = strcspn(suffixes, " ");
        if (n == 1 && *suffixes == '*')
            return true;
        if (n && n < length && !strncmp(path + length - n, suffixes, n))
            return true;
        suffixes += n + (suffixes[n] == ' ');
    }
    return false;
}

const mf_type *mf_registry_writer(const mf_registry *r, const char *type, const char *path)
{
    for (size_t i = 0; i < r->type_count; i++) {
        const mf_type *t = r->types[i].type;
        if (t->write && !strcmp(t->name, type) && ends_in(path, t->suffixes))
            return t;
    }
    return NULL;
}

const mf_type *mf_registry_reader(const mf_registry *r, const char *path, bool folder)
{
    for (size_t i = 0; i < r->type_count; i++) {
        const mf_type *t = r->types[i].type;
        if (t->read && (folder ? strchr(t->reads, '/') != NULL : ends_in(path, t->reads)))
            return t;
    }
    return NULL;
}

const mf_type *mf_registry_checker(const mf_registry *r, const char *type, size_t i)
{
    for (size_t k = 0; k < r->type_count; k++) {
        const mf_type *t = r->types[k].type;
        if (t->check && !strcmp(t->name, type) && i-- == 0)
            return t;
    }
    return NULL;
}

const mf_type *mf_registry_drawer(const mf_registry *r, const char *type)
{
    for (size_t i = 0; i < r->type_count; i++) {
        if (r->types[i].type->draw && !strcmp(r->types[i].type->name, type))
            return r->types[i].type;
    }
    return NULL;
}

/* Counts the outputs that are written by this suffix; `any`: by writers that take any suffix. */
static size_t count_writable(const mf_registry *r, const mf_stage *stage, const char *path,
                             bool any, uint32_t *port)
{
    size_t count = 0;
    for (uint32_t i = 0; i < mf_port_count(stage->out); i++) {
        mf_port_type type;
        mf_port_type_parse(stage->out[i].type, &type);
        const mf_type *writer =
            type.shape == MF_PORT_ONE ? mf_registry_writer(r, type.name, path) : NULL;
        if (!writer || !strcmp(writer->suffixes, "*") != any)
            continue;
        *port = i;
        count++;
    }
    return count;
}

size_t mf_registry_writable(const mf_registry *r, const mf_stage *stage, const char *path,
                            uint32_t *port)
{
    const size_t count = count_writable(r, stage, path, false, port);
    return count ? count : count_writable(r, stage, path, true, port);
}

char *mf_registry_suffixes(const mf_registry *r, const char *type)
{
    mf_text text = {0};
    for (size_t i = 0; i < r->type_count; i++) {
        const mf_type *t = r->types[i].type;
        if (!t->write || strcmp(t->name, type))
            continue;
        for (const char *s = t->suffixes; *s;) {
            size_t n = strcspn(s, " ");
            if (n)
                mf_text_add(&text, "%s%.*s", text.length ? ", " : "", (int)n, s);
            s += n + (s[n] == ' ');
        }
    }
    return mf_text_take(&text);
}
