/* settings.c - the exact versions and parameters: what one needs to make the same again. */
#include "markup.h"
#include "report.h"
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static json_object *member(json_object *o, const char *name)
{
    json_object *value = NULL;

    if (json_object_is_type(o, json_type_object))
        json_object_object_get_ex(o, name, &value);
    return value;
}

static void put_value(report *r, json_object *value)
{
    if (json_object_is_type(value, json_type_string))
        put_text(r->out, json_object_get_string(value));
    else
        put_text(r->out, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* Whether all nodes of a stage have this value. */
static bool is_shared(json_object *const *all, size_t count, const char *name)
{
    for (size_t i = 1; i < count; i++) {
        if (!json_object_equal(member(all[0], name), member(all[i], name)))
            return false;
    }
    return true;
}

static void put_params(report *r, const mf_graph_stage *stage, json_object *const *all)
{
    bool first = true;

    json_object_object_foreach(all[0], name, value)
    {
        const mf_param *p = mf_param_find(stage->stage, name);
        fputs(first ? "" : "; ", r->out);
        first = false;
        fputs("<span style=\"white-space:nowrap\"><span class=\"sub\">", r->out);
        put_text(r->out, name);
        fputs("</span> ", r->out);
        if (is_shared(all, stage->count, name))
            put_value(r, value);
        else
            fputs("<i>differs by node</i>", r->out);
        if (p && p->unit && *p->unit) {
            fputc(' ', r->out);
            put_text(r->out, p->unit);
        }
        fputs("</span>", r->out);
    }
}

/* "slic.masks, version 2, code 3fa85f...", and the plugin's name. */
static void put_version(report *r, const mf_graph_stage *stage)
{
    char code[80];

    mf_stage_code(stage->stage, code);
    put_text(r->out, stage->stage->name);
    fprintf(r->out, "<br><span class=\"sub\">version %d", stage->stage->version);
    if (strncmp(code, "version", 7))
        fprintf(r->out, ", code <span class=\"id\">%.12s</span>", code);
    fputs("</span>", r->out);
}

static mf_status put_stage(report *r, const mf_graph_stage *stage)
{
    json_object **all = calloc(stage->count + 1, sizeof *all);

    if (!all)
        return mf_no_memory((size_t)(stage->count + 1) * sizeof *all, "a report");
    for (size_t i = 0; i < stage->count; i++)
        all[i] = json_tokener_parse(
            mf_params_json(mf_graph_node(r->w->graph, stage->first + i)->params));
    fputs("<tr><td>", r->out);
    put_text(r->out, stage->label);
    fputs("</td><td>", r->out);
    put_version(r, stage);
    fputs("</td><td class=\"w\">", r->out);
    if (stage->count && all[0])
        put_params(r, stage, all);
    fputs("</td></tr>\n", r->out);
    for (size_t i = 0; i < stage->count; i++)
        json_object_put(all[i]);
    free(all);
    return MF_OK;
}

mf_status report_settings(report *r)
{
    fprintf(r->out,
            "<h2 id=\"settings\">Stages and parameters</h2>\n<p>massflow %s, stage interface "
            "%d.%d. The code of a stage is the digest of its own sources; with the parameters, "
            "defaults filled in, and the content of its inputs it decides what it makes.</p>\n"
            "<table><tr><th>stage</th><th>uses</th><th>parameters</th></tr>\n",
            MF_VERSION, MF_ABI_MAJOR, MF_ABI_MINOR);
    for (size_t i = 0; i < mf_graph_stage_count(r->w->graph); i++)
        MF_TRY(put_stage(r, mf_graph_stage_at(r->w->graph, i)));
    fputs("</table>\n", r->out);
    return MF_OK;
}
