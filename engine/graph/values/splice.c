/* splice.c - the graph's own parameters, and "${x}" in its texts.
 *
 * "${x}" alone puts the parameter itself in place, so that a list stays a list; inside a text its
 * text is spliced in. "${case.x}" is a column of the case, "${axis}" the node's value on an axis.
 * "$${" writes a plain "${". */
#include "graph/values/splice.h"
#include "graph/data/columns.h"
#include "graph/data/combine.h"
#include "graph/data/report.h"
#include "graph/text/names.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- declared parameters -----------------------------------------------------------------------
 */

static bool check_value(mf_graph *g, const yaml *value)
{
    if (value->kind == YAML_MAP)
        return mf__graph_error(g, value, "a parameter is one value or a list of values");
    if (mf_yaml_empty(value))
        return mf__graph_error(g, value, "a value is missing; write \"\" for empty text");
    if (value->kind == YAML_SCALAR) {
        if (strstr(value->text, "${"))
            return mf__graph_error(g, value, "parameters cannot refer to each other");
        return true;
    }
    bool good = true;
    for (size_t i = 0; i < value->count; i++)
        if (value->items[i]->kind != YAML_SCALAR)
            good = mf__graph_error(g, value->items[i], "a list in a list");
        else
            good &= check_value(g, value->items[i]);
    return good;
}

static bool declare_params(mf_graph *g)
{
    yaml *map = mf_yaml_get(g->root, "params", NULL);
    bool good = true;
    if (!map || mf_yaml_empty(map))
        return true;
    if (map->kind != YAML_MAP)
        return mf__graph_error(g, map, "'params' takes names and values");
    g->params = mf_arena_alloc(g->arena, map->count, sizeof *g->params);
    for (size_t i = 0; i < map->count; i++) {
        const yaml *key = map->items[2 * i], *value = map->items[2 * i + 1];
        if (!mf__is_name(key->text) || !strcmp(key->text, "case"))
            good = mf__graph_error(g, key, "'%s' is not a valid name of a parameter", key->text);
        good &= check_value(g, value);
        mf__names_add(&g->param_names, key->text, (uint32_t)g->param_count);
        g->params[g->param_count++] =
            (graph_param){.name = key->text, .value = value, .declared = key};
    }
    return good;
}

/* Puts a --set value in the place of the file's. */
static bool apply_setting(mf_graph *g, const mf_setting *setting)
{
    char *name = mf_arena_print(g->arena, "--set %s=%s", setting->name, setting->value);
    mf_place place = {name, 0, 0, 1, NULL, NULL};
    uint32_t at = mf__names_get(&g->param_names, setting->name);
    if (at == NAME_NONE) {
        const char **all = mf_arena_alloc(g->arena, g->param_count, sizeof *all);
        for (size_t i = 0; i < g->param_count; i++)
            all[i] = g->params[i].name;
        const char *near = mf_nearest(setting->name, all, g->param_count);
        if (near)
            mf_diagnostics_error(g->d, &place, "%s has no parameter '%s'; did you mean '%s'?",
                                 g->path, setting->name, near);
        else
            mf_diagnostics_error(g->d, &place, "%s has no parameter '%s'", g->path, setting->name);
        mf_text list = {0};
        for (size_t i = 0; i < g->param_count; i++)
            mf_text_add(&list, "%s%s", i ? ", " : "", all[i]);
        if (list.data)
            mf_diagnostics_note(g->d, "its parameters: %s", list.data);
        free(list.data);
        return false;
    }
    yaml_source *s = mf_source_of(g->arena, name, g->cwd, mf_arena_copy(g->arena, setting->value));
    if (!mf__source_check(s, g->d))
        return false;
    yaml *value;
    if (s->length >= 2 && s->text[0] == '[' && s->text[s->length - 1] == ']') {
        value = mf_yaml_read(g->arena, s, g->d);
        if (!value || !check_value(g, value))
            return false;
    } else {
        value = mf_arena_alloc(g->arena, 1, sizeof *value);
        *value = (yaml){.kind = YAML_SCALAR,
                        .line = 1,
                        .column = 1,
                        .width = (int)s->length,
                        .quoted = true,
                        .text = s->text,
                        .source = s};
        if (strstr(s->text, "${")) {
            mf_diagnostics_error(g->d, &place, "parameters cannot refer to each other");
            return false;
        }
    }
    g->params[at].value = value;
    g->params[at].set = true;
    return true;
}

/* The value that an include sets, resolved where the include stands, as a tree that says so. */
static const yaml *set_value(mf_graph *g, const yaml *node, const given *v)
{
    yaml_source *s = mf_arena_alloc(g->arena, 1, sizeof *s);
    yaml *value = mf_arena_alloc(g->arena, 1, sizeof *value);
    *s = *node->source;
    s->base = v->base;
    s->name = mf_arena_print(g->arena, "%s:%d", node->source->name, node->line);
    *value = *node;
    value->source = s;
    value->kind = v->list ? YAML_LIST : YAML_SCALAR;
    value->quoted = true;
    value->text = v->text;
    value->count = v->count;
    value->items = mf_arena_alloc(g->arena, v->count, sizeof *value->items);
    for (size_t i = 0; i < v->count; i++) {
        value->items[i] = mf_arena_alloc(g->arena, 1, sizeof **value->items);
        *value->items[i] = *value;
        value->items[i]->kind = YAML_SCALAR;
        value->items[i]->text = v->texts[i];
    }
    return value;
}

static bool set_one(mf_graph *g, const yaml *key, const yaml *node)
{
    given v;
    uint32_t at = mf__names_get(&g->param_names, key->text);
    if (at == NAME_NONE) {
        const char **all = mf_arena_alloc(g->arena, g->param_count, sizeof *all);
        for (size_t i = 0; i < g->param_count; i++)
            all[i] = g->params[i].name;
        char *what = mf_arena_print(g->arena, "%s has no parameter", g->path);
        return mf__graph_unknown(g->parent, key, what, all, g->param_count);
    }
    if (mf_yaml_empty(node))
        return mf__graph_error(g->parent, node, "a value is missing; write \"\" for empty text");
    if (!mf__resolve(g->parent, node, NULL, &v))
        return false;
    g->params[at].value = set_value(g, node, &v);
    g->params[at].set = true;
    g->params[at].from = v.param;
    return true;
}

bool mf__apply_set(mf_graph *g, const yaml *set)
{
    bool good = true;
    if (set && set->kind != YAML_MAP)
        return mf__graph_error(g->parent, set, "'set' takes parameters of %s and their values",
                               g->path);
    for (size_t i = 0; set && i < set->count; i++)
        good &= set_one(g, set->items[2 * i], set->items[2 * i + 1]);
    return good;
}

bool mf__read_params(mf_graph *g, const mf_setting *settings, size_t count)
{
    bool good = declare_params(g);
    for (size_t i = 0; i < count; i++)
        good &= apply_setting(g, &settings[i]);
    return good;
}

/* ---- resolving ---------------------------------------------------------------------------------
 */

/* The axes that "${name}" of `length` bytes names; 0 for a parameter. */
static uint32_t axis_mask(const mf_graph *g, const char *at, size_t length)
{
    if (length > 7 && !strncmp(at, "${case.", 7))
        return CASE;
    for (uint32_t i = 1; i < g->axis_count; i++)
        if (strlen(g->axes[i].name) == length - 3 && !strncmp(g->axes[i].name, at + 2, length - 3))
            return 1u << i;
    return 0;
}

uint32_t mf__mentions_text(const mf_graph *g, const char *text)
{
    uint32_t mask = 0;
    for (const char *c = strstr(text, "${"); c; c = strstr(c + 1, "${")) {
        const char *end = strchr(c, '}');
        if (end && (c == text || c[-1] != '$'))
            mask |= axis_mask(g, c, (size_t)(end + 1 - c));
    }
    return mask;
}

uint32_t mf__mentions(const mf_graph *g, const yaml *node)
{
    uint32_t mask = 0;
    if (node->kind == YAML_SCALAR)
        return mf__mentions_text(g, node->text);
    size_t count = node->kind == YAML_MAP ? 2 * node->count : node->count;
    for (size_t i = 0; i < count; i++)
        mask |= mf__mentions(g, node->items[i]);
    return mask;
}

static bool report(mf_graph *g, const yaml *node, const char *at, size_t length, const char *name,
                   const char *near, const char *message)
{
    const char *in =
        node->text && at >= node->text && at <= node->text + strlen(node->text) ? at : NULL;
    mf_place place =
        in ? mf_yaml_place_in(node, (size_t)(in - node->text), length) : mf_yaml_place(node);
    if (near)
        mf_diagnostics_error(g->d, &place, "%s '%s'; did you mean '%s'?", message, name, near);
    else
        mf_diagnostics_error(g->d, &place, "%s '%s'", message, name);
    return false;
}

static bool unknown_param(mf_graph *g, const yaml *node, const char *at, size_t length,
                          const char *name)
{
    const char **all = mf_arena_alloc(g->arena, g->param_count + MOST_AXES, sizeof *all);
    size_t count = 0;
    for (size_t i = 0; i < g->param_count; i++)
        all[count++] = g->params[i].name;
    for (uint32_t i = 1; i < g->axis_count; i++)
        all[count++] = g->axes[i].name;
    report(g, node, at, length, name, mf_nearest(name, all, count), "the graph has no parameter");
    return false;
}

static bool case_column(mf_graph *g, const yaml *node, const char *at, size_t length,
                        const char *column, const here *h, const char **out)
{
    if (!h->def || !(h->def->axes & CASE))
        return report(g, node, at, length, column, NULL,
                      "there is no case here ('each: case') to take a column from:");
    mf_graph *own = h->def->graph; /* another file's for an export of an included stage */
    *out = h->at ? mf_case_column(&own->cases[h->at[0]], column) : "";
    if (*out)
        return true;
    if (mf__has_column(own, column))
        return report(g, node, at, length, column, NULL, "a case has no column");
    report(g, node, at, length, column, mf_nearest(column, own->columns, own->column_count),
           "the cases have no column");
    mf__note_columns(own);
    return false;
}

static bool axis_value(mf_graph *g, const yaml *node, const char *at, size_t length, const axis *a,
                       const here *h, const char **out)
{
    const char *name = a->name;
    size_t index = h->def ? (size_t)(a - h->def->graph->axes) : 0;
    if (h->def && h->def->axes >> index & 1) {
        *out = h->at ? a->values[h->at[index]] : "";
        return true;
    }
    char *message = h->def ? mf_arena_print(g->arena,
                                            "'%s' has no 'each: %s', so there is no value here of "
                                            "the axis",
                                            h->def->key->text, name)
                           : mf_arena_print(g->arena, "there is no stage here that has the axis");
    return report(g, node, at, length, name, NULL, message);
}

/* One "${name}" whose text begins at `at` and has `length` bytes. *param is set for a parameter. */
static bool lookup(mf_graph *g, const yaml *node, const char *at, size_t length, const here *h,
                   graph_param **param, const char **text)
{
    char *name = mf_arena_copy_n(g->arena, at + 2, length - 3);
    const mf_graph *own = h->def ? h->def->graph : g;
    uint32_t index = mf__find_axis(own, name);
    *param = NULL;
    if (!strncmp(name, "case.", 5))
        return case_column(g, node, at, length, name + 5, h, text);
    if (index != NAME_NONE && index)
        return axis_value(g, node, at, length, &own->axes[index], h, text);
    uint32_t i = mf__names_get(&g->param_names, name);
    if (i == NAME_NONE)
        return unknown_param(g, node, at, length, name);
    *param = &g->params[i];
    g->params[i].used = true;
    *text = g->params[i].value->text; /* NULL for a list */
    return true;
}

static bool unterminated(mf_graph *g, const yaml *node, const char *at)
{
    return report(g, node, at, 2, at, NULL, "'${' without '}':");
}

/* The folder that a path starts from which begins with a case's column or an axis. */
static const char *base_at(const yaml *node, const char *at, const here *h)
{
    bool of_case = h->at && !strncmp(at, "${case.", 7);
    return of_case ? h->def->graph->cases[h->at[0]].base : node->source->base;
}

/* A piece of a command that stays one word whatever it holds: see MF_COMMAND. */
static void add_literal(mf_text *out, const char *piece)
{
    if (!piece[strspn(piece, MF_COMMAND_PLAIN)]) {
        mf_text_add_n(out, piece, strlen(piece));
        return;
    }
    mf_text_add(out, "{'");
    for (; *piece; piece++)
        mf_text_add_n(out, *piece == '\'' ? "''" : piece, *piece == '\'' ? 2 : 1);
    mf_text_add(out, "'}");
}

static bool splice(mf_graph *g, const yaml *node, const char *text, const here *h, mf_text *out,
                   given *v)
{
    for (const char *at = text; *at;) {
        const char *dollar = strstr(at, "${");
        if (!dollar) {
            mf_text_add_n(out, at, strlen(at));
            break;
        }
        if (dollar > at && dollar[-1] == '$') {
            mf_text_add_n(out, at, (size_t)(dollar - 1 - at));
            mf_text_add_n(out, "${", 2);
            at = dollar + 2;
            continue;
        }
        const char *end = strchr(dollar, '}'), *piece;
        graph_param *param;
        if (!end)
            return unterminated(g, node, dollar);
        size_t length = (size_t)(end + 1 - dollar);
        mf_text_add_n(out, at, (size_t)(dollar - at));
        at = end + 1;
        if (!lookup(g, node, dollar, length, h, &param, &piece))
            return false;
        if (!param && !h->at) {
            mf_text_add_n(out, dollar, length);
            continue;
        }
        if (!piece)
            return report(g, node, dollar, length, param->name, NULL,
                          "a list cannot be spliced into text:");
        if (dollar == text && v) {
            v->of_node = !param;
            v->base = param ? param->value->source->base : base_at(node, dollar, h);
        }
        if (h->command && !param)
            add_literal(out, piece);
        else
            mf_text_add_n(out, piece, strlen(piece));
    }
    return true;
}

bool mf__resolve_text(mf_graph *g, const yaml *node, const char *text, const here *h,
                      const char **out)
{
    mf_text spliced = {0};
    bool good = splice(g, node, text, h, &spliced, NULL);
    *out =
        good ? mf_arena_copy_n(g->arena, spliced.data ? spliced.data : "", spliced.length) : NULL;
    free(spliced.data);
    return good;
}

static bool resolve_scalar(mf_graph *g, const yaml *node, const here *h, given *v)
{
    const char *text = node->text;
    size_t length = strlen(text);
    *v = (given){.text = text, .base = node->source->base};
    if (!strstr(text, "${"))
        return true;
    if (!strncmp(text, "${", 2) && strchr(text, '}') == text + length - 1) {
        graph_param *param;
        if (!lookup(g, node, text, length, h, &param, &v->text))
            return false;
        v->param = param;
        v->of_node = !param;
        v->cell = !strncmp(text, "${case.", 7);
        v->base = param ? param->value->source->base : base_at(node, text, h);
        if (param && param->value->kind == YAML_LIST) {
            v->list = true;
            v->count = param->value->count;
            v->texts = mf_arena_alloc(g->arena, v->count, sizeof *v->texts);
            for (size_t i = 0; i < v->count; i++)
                v->texts[i] = param->value->items[i]->text;
        }
        return true;
    }
    mf_text spliced = {0};
    bool good = splice(g, node, text, h, &spliced, v);
    if (good)
        v->text = mf_arena_copy_n(g->arena, spliced.data ? spliced.data : "", spliced.length);
    free(spliced.data);
    return good;
}

bool mf__list_in_cell(mf_graph *g, const yaml *node, given *v)
{
    size_t length = strlen(v->text);
    if (length < 2 || v->text[0] != '[' || v->text[length - 1] != ']')
        return true;
    yaml_source *s = mf_source_of(g->arena, node->text, v->base, v->text);
    const yaml *list = mf__source_check(s, g->d) ? mf_yaml_read(g->arena, s, g->d) : NULL;
    if (!list)
        return false;
    if (list->kind != YAML_LIST)
        return true;
    const char **texts = mf_arena_alloc(g->arena, list->count, sizeof *texts);
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->kind != YAML_SCALAR)
            return mf__graph_error(g, list->items[i], "a list in a list");
        texts[i] = list->items[i]->text;
    }
    v->list = true;
    v->texts = texts;
    v->count = list->count;
    return true;
}

bool mf__resolve(mf_graph *g, const yaml *node, const here *h, given *v)
{
    static const here nowhere;
    if (!h)
        h = &nowhere;
    if (node->kind == YAML_SCALAR)
        return resolve_scalar(g, node, h, v);
    if (node->kind == YAML_MAP)
        return mf__graph_error(g, node, "one value or a list of values is wanted here");
    *v = (given){.list = true, .base = node->source->base, .count = node->count};
    v->texts = mf_arena_alloc(g->arena, node->count, sizeof *v->texts);
    for (size_t i = 0; i < node->count; i++) {
        given element;
        if (node->items[i]->kind != YAML_SCALAR)
            return mf__graph_error(g, node->items[i], "a list in a list");
        if (!resolve_scalar(g, node->items[i], h, &element))
            return false;
        if (element.list)
            return mf__graph_error(g, node->items[i], "'%s' is a list, and stands in a list",
                                   element.param->name);
        v->texts[i] = element.text;
    }
    return true;
}
