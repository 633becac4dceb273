/* python.c - from what a worker says of a Python file to stages of a registry. */
#include "run/python/python.h"
#include "run/python/python_private.h"
#include "stages/params.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

bool mf_python_is(const char *file)
{
    size_t length = file ? strlen(file) : 0;

    return length > 3 && !strcmp(file + length - 3, ".py");
}

static const char *text(mf_python *python, json_object *o, const char *name)
{
    json_object *value;

    if (!json_object_object_get_ex(o, name, &value) ||
        !json_object_is_type(value, json_type_string))
        return NULL;
    return mf_arena_copy(python->arena, json_object_get_string(value));
}

static double number(json_object *o, const char *name)
{
    json_object *value;

    return json_object_object_get_ex(o, name, &value) ? json_object_get_double(value) : 0;
}

/* The list of that name; *count 0 where there is none. */
static json_object *list(json_object *o, const char *name, size_t *count)
{
    json_object *value = NULL;

    *count = 0;
    if (!json_object_object_get_ex(o, name, &value) || !json_object_is_type(value, json_type_array))
        return NULL;
    *count = json_object_array_length(value);
    return value;
}

static const mf_port *read_ports(mf_python *python, json_object *o, const char *name)
{
    size_t count;
    json_object *ports = list(o, name, &count);
    mf_port *table = mf_arena_alloc(python->arena, count + 1, sizeof *table);

    for (size_t i = 0; i < count; i++) {
        json_object *port = json_object_array_get_idx(ports, i), *keyed = NULL;
        json_object_object_get_ex(port, "keyed", &keyed);
        table[i] = (mf_port){.name = text(python, port, "name"),
                             .type = text(python, port, "type"),
                             .help = text(python, port, "help"),
                             .marks = json_object_get_boolean(keyed) ? MF_KEYED : 0};
    }
    return table;
}

static mf_param_kind kind_of(const char *word)
{
    static const struct {
        const char *word;
        mf_param_kind kind;
    } kinds[] = {{"bool", MF_PARAM_BOOL},  {"int", MF_PARAM_INT},       {"real", MF_PARAM_REAL},
                 {"text", MF_PARAM_TEXT},  {"choice", MF_PARAM_CHOICE}, {"path", MF_PARAM_PATH},
                 {"int3", MF_PARAM_INT3},  {"real3", MF_PARAM_REAL3},   {"ints", MF_PARAM_INTS},
                 {"reals", MF_PARAM_REALS}};

    for (size_t i = 0; word && i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].word, word))
            return kinds[i].kind;
    return MF_PARAM_END;
}

static const mf_param *read_params(mf_python *python, json_object *o, size_t *size)
{
    size_t count;
    json_object *params = list(o, "params", &count);
    mf_param *table = mf_arena_alloc(python->arena, count + 1, sizeof *table);

    *size = 0;
    for (size_t i = 0; i < count; i++) {
        json_object *p = json_object_array_get_idx(params, i);
        table[i] = (mf_param){.name = text(python, p, "name"),
                              .kind = kind_of(text(python, p, "kind")),
                              .offset = *size,
                              .fallback = text(python, p, "fallback"),
                              .min = number(p, "min"),
                              .max = number(p, "max"),
                              .unit = text(python, p, "unit"),
                              .help = text(python, p, "help"),
                              .choices = text(python, p, "choices")};
        *size += (mf_param_field_size(table[i].kind) + 7) / 8 * 8;
    }
    return count ? table : NULL;
}

static const mf_stage *read_stage(mf_python *python, json_object *o)
{
    mf_python_stage *s = mf_arena_alloc(python->arena, 1, sizeof *s);

    s->python = python;
    s->cpu = (int)number(o, "cpu");
    s->stage = (mf_stage){.name = text(python, o, "name"),
                          .version = (int)number(o, "version"),
                          .summary = text(python, o, "summary"),
                          .help = text(python, o, "help"),
                          .code = text(python, o, "code"),
                          .in = read_ports(python, o, "in"),
                          .out = read_ports(python, o, "out"),
                          .run = mf__python_run,
                          .needs = mf__python_needs};
    s->stage.params = read_params(python, o, &s->stage.params_size);
    return &s->stage;
}

static mf_status read_description(mf_python *python)
{
    json_object *o = json_tokener_parse(python->description);
    size_t count;
    json_object *stages = list(o, "stages", &count);
    const mf_stage **table = mf_arena_alloc(python->arena, count + 1, sizeof *table);
    const char *slash = strrchr(python->file, '/');

    for (size_t i = 0; i < count; i++)
        table[i] = read_stage(python, json_object_array_get_idx(stages, i));
    json_object_put(o);
    python->plugin = (mf_plugin){.abi_major = MF_ABI_MAJOR,
                                 .abi_minor = MF_ABI_MINOR,
                                 .stage_size = sizeof(mf_stage),
                                 .param_size = sizeof(mf_param),
                                 .port_size = sizeof(mf_port),
                                 .type_size = sizeof(mf_type),
                                 .name = slash ? slash + 1 : python->file,
                                 .stages = table};
    return count ? MF_OK : mf_fail(MF_INTERNAL, "%s: no stage is described", python->file);
}

static void end(void *self)
{
    mf_python *python = self;

    for (mf_python_worker *w = python->idle, *next; w; w = next) {
        next = w->next;
        free(mf__python_end(w));
    }
    pthread_mutex_destroy(&python->lock);
    mf_arena_free(python->arena);
    free(python->description);
    free(python->file);
    free(python);
}

mf_status mf_python_load(mf_registry *registry, const char *file)
{
    mf_python *python = calloc(1, sizeof *python);
    mf_python_worker *worker;

    if (!python)
        return mf_no_memory(sizeof *python, "a plugin");
    pthread_mutex_init(&python->lock, NULL);
    python->arena = mf_arena_new();
    mf_registry_keep(registry, python, end);
    python->file = realpath(file, NULL);
    if (!python->file)
        return mf_hint(mf_fail(MF_NOT_FOUND, "there is no Python file %s", file),
                       "--plugins takes a folder of plugins, or a file NAME.py");
    MF_TRY(mf__python_acquire(python, &worker));
    mf__python_give_back(python, worker);
    MF_TRY(read_description(python));
    return mf_registry_add(registry, &python->plugin, python->file);
}
