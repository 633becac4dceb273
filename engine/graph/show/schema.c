/* schema.c - a JSON Schema (draft 7) of graph files, for editors: what the file format allows, with
 * the ports and parameters of the stages that are registered, so that it knows a user's own too.
 *
 * It is made from the same tables as everything else. It must not refuse what loading accepts: a
 * value may always be "${x}", and numbers may stand in quotes. */
#include "graph/check/typed.h"
#include "graph/data/graph_private.h"
#include "graph/load/load.h"

#include <ctype.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPLICED "\\$\\{"
#define NAME "^[A-Za-z_][A-Za-z0-9_-]*$"

typedef json_object js;

/* ---- building ----------------------------------------------------------------------------------
 */

static js *text(const char *s)
{
    return json_object_new_string(s);
}

/* {key: value}; takes over `value`. */
static js *one(const char *key, js *value)
{
    js *o = json_object_new_object();
    json_object_object_add(o, key, value);
    return o;
}

static js *add(js *o, const char *key, js *value)
{
    json_object_object_add(o, key, value);
    return o;
}

static js *of_type(const char *type)
{
    return one("type", text(type));
}

static js *texts(const char *const *list, size_t count)
{
    js *a = json_object_new_array();
    for (size_t i = 0; i < count; i++)
        json_object_array_add(a, text(list[i]));
    return a;
}

/* {key: [a, b]}; takes over both. */
static js *either(const char *key, js *a, js *b)
{
    js *list = json_object_new_array();
    json_object_array_add(list, a);
    json_object_array_add(list, b);
    return one(key, list);
}

static js *pattern(const char *p)
{
    return add(of_type("string"), "pattern", text(p));
}

/* An object with these properties and no others. */
static js *closed(js *properties)
{
    return add(add(of_type("object"), "properties", properties), "additionalProperties",
               json_object_new_boolean(0));
}

/* An object of any words, each with such a value. */
static js *map_of(js *value)
{
    return add(of_type("object"), "additionalProperties", value);
}

static js *list_of(js *items)
{
    return add(of_type("array"), "items", items);
}

static js *helped(js *o, const char *help)
{
    return add(o, "description", text(help));
}

static js *ref(const char *name)
{
    mf_text t = {0};
    mf_text_add(&t, "#/definitions/%s", name);
    js *o = one("$ref", text(t.data));
    free(t.data);
    return o;
}

/* ---- parameters of stages ----------------------------------------------------------------------
 */

static js *bound(double v)
{
    return v == floor(v) ? json_object_new_int64((int64_t)v) : json_object_new_double(v);
}

/* A number as such, in quotes, or spliced. */
static js *number(const mf_param *p, bool whole)
{
    js *plain = of_type(whole ? "integer" : "number");
    if (isfinite(p->min) && fabs(p->min) < 1e15)
        add(plain, "minimum", bound(p->min));
    if (isfinite(p->max) && fabs(p->max) < 1e15)
        add(plain, "maximum", bound(p->max));
    return either("anyOf", plain, pattern("^[-+.0-9eE]+$|" SPLICED));
}

/* Adds "[Cc][Tt]" for "ct". */
static void add_folded(mf_text *t, const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (isalpha((unsigned char)word[i]))
            mf_text_add(t, "[%c%c]", toupper((unsigned char)word[i]),
                        tolower((unsigned char)word[i]));
        else
            mf_text_add(t, strchr("_-", word[i]) || isalnum((unsigned char)word[i]) ? "%c" : "\\%c",
                        word[i]);
}

/* The words for completion; where other spellings mean the same, these too. The words true and
 * false are also booleans, which YAML takes them for. */
static js *choice(const mf_param *p)
{
    js *words = json_object_new_array();
    const char *rest = p->choices;
    mf_text folded = {0};
    mf_choice c;
    while (mf_param_word(p, &rest, &c)) {
        json_object_array_add(words, json_object_new_string_len(c.word, (int)c.length));
        if ((c.length == 4 && !strncmp(c.word, "true", 4)) ||
            (c.length == 5 && !strncmp(c.word, "false", 5)))
            json_object_array_add(words, json_object_new_boolean(c.length == 4));
        mf_text_add(&folded, "%s", folded.length ? "|" : "^(");
        add_folded(&folded, c.word, c.length);
        for (const char *other = c.others; other < c.others + c.others_length;) {
            size_t length = strcspn(other, "=|");
            mf_text_add(&folded, "|");
            add_folded(&folded, other, length);
            other += length + 1;
        }
    }
    mf_text_add(&folded, ")$|" SPLICED);
    js *o = either("anyOf", one("enum", words),
                   pattern(p->marks & MF_ANY_CASE ? folded.data : SPLICED));
    free(folded.data);
    return o;
}

static js *triple(const mf_param *p, bool whole)
{
    js *list = list_of(number(p, whole));
    add(list, "minItems", json_object_new_int(3));
    add(list, "maxItems", json_object_new_int(3));
    return either("anyOf", list, pattern(SPLICED));
}

static js *value_of(const mf_param *p)
{
    switch (p->kind) {
    case MF_PARAM_BOOL:
        return either("anyOf", of_type("boolean"), pattern("^(true|false)$|" SPLICED));
    case MF_PARAM_INT:
        return number(p, true);
    case MF_PARAM_REAL:
        return number(p, false);
    case MF_PARAM_CHOICE:
        return choice(p);
    case MF_PARAM_INT3:
    case MF_PARAM_REAL3:
        return triple(p, p->kind == MF_PARAM_INT3);
    case MF_PARAM_INTS:
    case MF_PARAM_REALS:
        return either("anyOf", list_of(number(p, p->kind == MF_PARAM_INTS)), pattern(SPLICED));
    case MF_PARAM_LABELS:
        return either("anyOf", list_of(ref("scalar")), pattern(SPLICED));
    default:
        return p->marks & MF_MAPPING ? either("anyOf", ref("scalar"), of_type("object"))
                                     : ref("scalar");
    }
}

static js *parameter(const mf_param *p)
{
    mf_text help = {0};
    bool ranged = p->kind != MF_PARAM_BOOL && p->kind != MF_PARAM_TEXT &&
                  p->kind != MF_PARAM_CHOICE && p->kind != MF_PARAM_PATH;
    char *range = ranged ? mf_param_range(p) : NULL;
    mf_text_add(&help, "%s", p->help ? p->help : "");
    if (range && *range)
        mf_text_add(&help, " %s.", range);
    if (p->fallback && *p->fallback)
        mf_text_add(&help, " Default: %s%s%s.", p->fallback, p->unit && *p->unit ? " " : "",
                    p->unit ? p->unit : "");
    js *o = helped(value_of(p), help.data ? help.data : "");
    free(range);
    free(help.data);
    return o;
}

/* ---- stages ------------------------------------------------------------------------------------
 */

/* What must be there, for "required". */
static js *needed_params(const mf_stage *stage)
{
    js *words = json_object_new_array();
    for (const mf_param *p = stage->params; p && p->name; p++)
        if (mf_param_required(p))
            json_object_array_add(words, text(p->name));
    return words;
}

static js *needed_ports(const mf_stage *stage)
{
    js *words = json_object_new_array();
    for (const mf_port *p = stage->in; p && p->name; p++) {
        mf_port_type type;
        mf_port_type_parse(p->type, &type);
        if (!type.optional)
            json_object_array_add(words, text(p->name));
    }
    return words;
}

static js *with_of(const mf_stage *stage)
{
    js *properties = json_object_new_object();
    for (const mf_param *p = stage->params; p && p->name; p++)
        add(properties, p->name, parameter(p));
    return add(closed(properties), "required", needed_params(stage));
}

static js *port(const mf_port *p)
{
    mf_port_type type;
    mf_text help = {0};
    mf_port_type_parse(p->type, &type);
    mf_text_add(&help, "%s: %s", p->type, p->help ? p->help : "");
    js *source = type.shape == MF_PORT_LIST
                     ? either("anyOf", ref("reference"), list_of(ref("reference")))
                     : ref("reference");
    /* Words beside a $ref are ignored in draft 7. */
    js *o = helped(one("allOf", json_object_new_array()), help.data);
    json_object_array_add(json_object_object_get(o, "allOf"), source);
    free(help.data);
    return o;
}

static js *in_of(const mf_stage *stage)
{
    js *properties = json_object_new_object();
    for (const mf_port *p = stage->in; p && p->name; p++)
        add(properties, p->name, port(p));
    return add(closed(properties), "required", needed_ports(stage));
}

/* Where `use` words this stage: its ports and parameters. */
static js *rules_of(const mf_stage *stage)
{
    static const char *const use[] = {"use"}, *const or_nothing[] = {"object", "null"};
    js *ports = needed_ports(stage), *params = needed_params(stage), *needed = texts(use, 1);
    bool some_params = json_object_array_length(params) > 0;
    if (json_object_array_length(ports))
        json_object_array_add(needed, text("in"));
    if (some_params)
        json_object_array_add(needed, text("with"));
    json_object_put(ports);
    json_object_put(params);
    js *with = with_of(stage);
    if (!some_params)
        add(with, "type", texts(or_nothing, 2));
    js *properties = add(one("in", in_of(stage)), "with", with);
    js *named = one("properties", one("use", one("const", text(stage->name))));
    return add(one("if", add(named, "required", texts(use, 1))), "then",
               add(one("properties", properties), "required", needed));
}

static js *stage_keys(void)
{
    js *keys = json_object_new_object();
    add(keys, "use", helped(of_type("string"), "The stage: massflow stages lists them."));
    add(keys, "each",
        helped(either("anyOf", of_type("string"), list_of(of_type("string"))),
               "Made once for each value of these axes; 'case' is one."));
    add(keys, "where",
        helped(map_of(ref("value")), "Only where columns or axes have one of these values."));
    add(keys, "in", helped(of_type("object"), "Ports, and what goes into them."));
    add(keys, "with", helped(json_object_new_object(), "Parameters."));
    add(keys, "skip_failed",
        helped(ref("flag"), "Continue with the gathered elements that succeeded."));
    add(keys, "isolate", helped(ref("flag"), "Runs in a process of its own."));
    add(keys, "timeout", helped(ref("scalar"), "Seconds for each try."));
    add(keys, "retries", helped(ref("scalar"), "Tries after the first one that failed."));
    add(keys, "memory",
        helped(ref("scalar"), "What the process may allocate, such as 4 GB; needs isolate."));
    add(keys, "pool",
        helped(ref("scalar"), "The pool of workers that runs it, in a run that has workers."));
    return keys;
}

/* A word that the tables have and this file says nothing of may hold anything. */
static js *complete(js *properties, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!json_object_object_get_ex(properties, words[i], NULL))
            add(properties, words[i], json_object_new_object());
    return properties;
}

static js *stage_of(const mf_registry *registry)
{
    static const char *const needed[] = {"use"};
    size_t count;
    const char *const *words = mf__graph_stage_keys(&count);
    js *properties = complete(stage_keys(), words, count), *all = json_object_new_array(),
       *uses = json_object_new_array();
    for (size_t i = 0; i < mf_registry_count(registry); i++) {
        const mf_stage *stage = mf_registry_at(registry, i);
        json_object_array_add(uses, text(stage->name));
        json_object_array_add(all, rules_of(stage));
    }
    add(json_object_object_get(properties, "use"), "enum", uses);
    return add(add(closed(properties), "required", texts(needed, 1)), "allOf", all);
}

/* ---- the rest of a file ------------------------------------------------------------------------
 */

/* An option; those without a kind are of massflow itself. */
static js *option(const mf_param *p)
{
    if (p->kind != MF_PARAM_END)
        return parameter(p);
    return helped(strcmp(p->name, "list") ? either("anyOf", ref("scalar"), list_of(ref("scalar")))
                                          : of_type("array"),
                  p->help);
}

/* A source with its options; other keys are columns. */
static js *one_source(const mf_case_source *source)
{
    js *properties = json_object_new_object(), *needed = json_object_new_array();
    for (const mf_param *p = source->params; p->name; p++) {
        add(properties, p->name, option(p));
        if (mf_param_required(p))
            json_object_array_add(needed, text(p->name));
    }
    js *o = helped(add(of_type("object"), "properties", properties), source->summary);
    add(o, "required", needed);
    return add(o, "additionalProperties", ref("scalar"));
}

/* Exactly one of the sources. */
static js *source_of_cases(const mf_registry *registry)
{
    js *sources = json_object_new_array();
    const mf_case_source *source;
    for (size_t i = 0; (source = mf_registry_source_at(registry, i)); i++)
        json_object_array_add(sources, one_source(source));
    return one("oneOf", sources);
}

static js *definitions(const mf_registry *registry)
{
    static const char *const scalar[] = {"string", "number", "boolean"};
    static const char *const file[] = {"file"};
    js *d = json_object_new_object();
    add(d, "scalar", one("type", texts(scalar, 3)));
    add(d, "value", either("anyOf", ref("scalar"), list_of(ref("scalar"))));
    add(d, "flag", either("anyOf", of_type("boolean"), pattern("^(true|false)$|" SPLICED)));
    add(d, "reference",
        helped(pattern("^[A-Za-z_$]"),
               "stage, stage.port, or with [*] or [column=value, axis=value] behind."));
    add(d, "source", source_of_cases(registry));
    add(d, "include",
        add(closed(add(one("file", of_type("string")), "set", map_of(ref("value")))), "required",
            texts(file, 1)));
    return add(d, "stage", stage_of(registry));
}

static js *named(js *map)
{
    return add(map, "propertyNames", pattern(NAME));
}

static js *root_keys(void)
{
    js *keys = json_object_new_object(), *version = json_object_new_array();
    json_object_array_add(version, json_object_new_int(1));
    json_object_array_add(version, text("1"));
    add(keys, "massflow", helped(one("enum", version), "The version of the format."));
    add(keys, "params",
        helped(named(map_of(ref("value"))), "What can be set from outside: --set name=value."));
    add(keys, "cases",
        helped(either("anyOf", ref("source"), list_of(ref("source"))), "One source, or several."));
    add(keys, "axes", helped(named(map_of(ref("value"))), "Lists of values beside the cases."));
    add(keys, "include",
        helped(named(map_of(ref("include"))), "Other graph files, as a prefix of their stages."));
    add(keys, "stages", named(map_of(ref("stage"))));
    add(keys, "export", helped(map_of(of_type("string")), "Files wanted outside the cache."));
    add(keys, "isolate",
        helped(ref("flag"),
               "Stages run in processes of their own, where they do not say otherwise."));
    return keys;
}

char *mf_graph_schema(const mf_registry *registry)
{
    static const char *const needed[] = {"massflow", "stages"};
    size_t count;
    const char *const *known = mf__graph_root_keys(&count);
    js *o = add(closed(complete(root_keys(), known, count)), "required", texts(needed, 2));
    add(o, "$schema", text("http://json-schema.org/draft-07/schema#"));
    add(o, "title", text("massflow graph"));
    add(o, "definitions", definitions(registry));
    const char *json =
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
    char *copy = NULL;
    if (json && asprintf(&copy, "%s\n", json) < 0)
        copy = NULL;
    json_object_put(o);
    return copy;
}
