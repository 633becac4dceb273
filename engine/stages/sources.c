/* sources.c - sources of cases: those of massflow itself, which know no domain, and those that
 * plugins declare. */
#include "stages/registry.h"

#include <stdlib.h>
#include <string.h>

/* ---- built in ----------------------------------------------------------------------------------
 *
 * Read by engine/graph, from the graph file's own values: a list has no kind of parameter. */

typedef struct one_text {
    const char *text, *more;
} one_text;
typedef struct one_glob {
    const char *text, *more;
    bool optional;
} one_glob;
typedef struct one_count {
    int64_t count;
} one_count;

#define ENTRY(name, fallback, help)                                                                \
    {                                                                                              \
        name, MF_PARAM_END, 0, fallback, 0, 0, "", help, NULL, 0                                   \
    }

static const mf_param glob_table[] = {
    {"glob", MF_PARAM_TEXT, 0, NULL, 0, 0, "",
     "A file, a folder of DICOM files, or a pattern with * ? [] and {id}.", NULL, 0},
    ENTRY("exclude", "", "A pattern, or a list of them, of files that are left out."),
    MF_BOOL(one_glob, optional, "false", "A pattern that no file fits is passed over."),
    MF_END};
static const mf_param csv_table[] = {
    {"csv", MF_PARAM_PATH, 0, NULL, 0, 0, "",
     "A table with a header; its columns become those of the cases.", NULL, 0},
    MF_END};
static const mf_param list_table[] = {
    ENTRY("list", NULL, "A list of paths, or of columns in braces."), MF_END};
static const mf_param count_table[] = {
    MF_INT(one_count, count, NULL, 1, MF_MOST_CASES, "", "How many."), MF_END};

static const mf_source_column index_column[] = {{"index", "Its number, from 0."}, MF_END};

static const mf_case_source builtin[] = {
    {"glob", "A case for each file or folder that fits a pattern.", NULL, glob_table,
     sizeof(one_glob), NULL, NULL},
    {"csv", "A case for each row of a table.", NULL, csv_table, sizeof(one_text), NULL, NULL},
    {"list", "Cases written out in the graph file.", NULL, list_table, sizeof(one_text), NULL,
     NULL},
    {"count", "Numbered cases without a file.", NULL, count_table, sizeof(one_count), index_column,
     NULL},
};
#define BUILTIN (sizeof builtin / sizeof *builtin)

/* ---- declaring ---------------------------------------------------------------------------------
 */

static void insert(mf_registry *r, const mf_case_source *source, size_t owner, size_t at)
{
    mf_stage *options = mf_arena_alloc(r->arena, 1, sizeof *options);

    *options = (mf_stage){
        .name = source->name, .params = source->params, .params_size = source->params_size};
    r->sources = mf_grow(r->sources, &r->source_room, r->source_count + 1, sizeof *r->sources);
    memmove(&r->sources[at + 1], &r->sources[at], (r->source_count - at) * sizeof *r->sources);
    r->sources[at] = (struct source_entry){source, options, owner};
    r->source_count++;
}

void mf_registry_builtin_sources(mf_registry *r)
{
    for (size_t i = 0; i < BUILTIN; i++)
        insert(r, &builtin[i], SIZE_MAX, i);
}

static const struct source_entry *find(const mf_registry *r, const char *name)
{
    for (size_t i = 0; i < r->source_count; i++)
        if (!strcmp(r->sources[i].source->name, name))
            return &r->sources[i];
    return NULL;
}

static const char *file_of(const mf_registry *r, size_t owner)
{
    return owner == SIZE_MAX ? "massflow itself" : r->plugins[owner].file;
}

mf_status mf_registry_declare_source(mf_registry *r, const mf_case_source *source, size_t owner)
{
    const char *file = file_of(r, owner);
    const struct source_entry *other;
    size_t at = BUILTIN;

    MF_TRY(mf_within(mf_case_source_check(source), "plugin %s: source of cases '%s'", file,
                     source->name ? source->name : ""));
    other = find(r, source->name);
    if (other)
        return mf_fail(MF_INVALID, "the source of cases '%s' is in both %s and %s", source->name,
                       file_of(r, other->plugin), file);
    while (at < r->source_count && strcmp(r->sources[at].source->name, source->name) < 0)
        at++;
    insert(r, source, owner, at);
    return MF_OK;
}

/* ---- asking ------------------------------------------------------------------------------------
 */

const mf_case_source *mf_registry_source_at(const mf_registry *r, size_t i)
{
    return i < r->source_count ? r->sources[i].source : NULL;
}

const mf_case_source *mf_registry_source(const mf_registry *r, const char *name)
{
    const struct source_entry *e = find(r, name);

    return e ? e->source : NULL;
}

const char *mf_registry_source_near(const mf_registry *r, const char *name)
{
    const char **names = calloc(r->source_count, sizeof *names), *near;

    if (!names)
        return NULL;
    for (size_t i = 0; i < r->source_count; i++)
        names[i] = r->sources[i].source->name;
    near = mf_nearest(name, names, r->source_count);
    free(names);
    return near;
}

const mf_stage *mf_registry_source_options(const mf_registry *r, const mf_case_source *source)
{
    return find(r, source->name)->options;
}

const char *mf_registry_source_file(const mf_registry *r, const mf_case_source *source)
{
    size_t owner = find(r, source->name)->plugin;

    return owner == SIZE_MAX ? NULL : r->plugins[owner].file;
}

const char *mf_registry_source_plugin(const mf_registry *r, const mf_case_source *source)
{
    size_t owner = find(r, source->name)->plugin;

    return owner == SIZE_MAX ? NULL : r->plugins[owner].declared->name;
}

bool mf_case_source_column(const mf_case_source *source, const char *name)
{
    static const char *const of_all[] = {"path", "index"};

    for (size_t i = 0; i < sizeof of_all / sizeof *of_all; i++)
        if (!strcmp(of_all[i], name))
            return true;
    for (const mf_source_column *c = source->columns; c && c->name; c++) {
        size_t length = strlen(c->name);
        bool star = length && c->name[length - 1] == '*';
        if (star ? !strncmp(c->name, name, length - 1) : !strcmp(c->name, name))
            return true;
    }
    return false;
}

char *mf_registry_sources(const mf_registry *r, const char *last)
{
    mf_text t = {0};

    for (size_t i = 0; i < r->source_count; i++)
        mf_text_add(&t, "%s%s",
                    !i                        ? ""
                    : i + 1 < r->source_count ? ", "
                                              : last,
                    r->sources[i].source->name);
    return mf_text_take(&t);
}
