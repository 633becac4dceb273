/* stages_json.c - what stages there are, for programs that write graphs. */
#include "embed/opened.h"
#include "embed/params_json.h"

#include <massflow/embed.h>

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static void add(json_object *o, const char *name, const char *value)
{
    if (value)
        json_object_object_add(o, name, json_object_new_string(value));
}

static json_object *ports(const mf_port *port)
{
    json_object *list = json_object_new_array();

    for (; port && port->name; port++) {
        json_object *o = json_object_new_object();
        add(o, "name", port->name);
        add(o, "type", port->type);
        add(o, "help", port->help);
        json_object_array_add(list, o);
    }
    return list;
}

static json_object *params(const mf_param *p)
{
    json_object *list = json_object_new_array();

    for (; p && p->name; p++)
        json_object_array_add(list, mf_param_json(p));
    return list;
}

static json_object *stage_of(const mf_stage *stage)
{
    json_object *o = json_object_new_object();

    add(o, "name", stage->name);
    add(o, "summary", stage->summary);
    add(o, "help", stage->help);
    json_object_object_add(o, "in", ports(stage->in));
    json_object_object_add(o, "out", ports(stage->out));
    json_object_object_add(o, "params", params(stage->params));
    return o;
}

mf_status mf_stages_json(const char *plugins, char **json)
{
    mf_registry *registry;

    *json = NULL;
    MF_TRY(mf_opened_registry(plugins, &registry));
    json_object *list = json_object_new_array();
    for (size_t i = 0; i < mf_registry_count(registry); i++)
        json_object_array_add(list, stage_of(mf_registry_at(registry, i)));
    *json = strdup(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(list);
    mf_registry_free(registry);
    return *json ? MF_OK : mf_no_memory(0, "the stages");
}
