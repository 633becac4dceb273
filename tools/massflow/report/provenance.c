/* provenance.c - where each result comes from: its content's id, inputs, key, and who made it; and
 * the graph file as it is. */
#include "../past.h"
#include "markup.h"
#include "report.h"
#include <inttypes.h>
#include <json-c/json.h>
#include <massflow/file.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_ROWS 12 /* stages with more nodes are folded */

static void put_outputs(report *r, const mf_plan_node *n)
{
    for (size_t p = 0; p < n->work.out_count; p++) {
        fputs(p ? "<br>" : "", r->out);
        if (n->work.out_count > 1) {
            put_text(r->out, n->work.stage->out[p].name);
            fputc(' ', r->out);
        }
        fprintf(r->out, "<span class=\"id\">%.12s</span>%s", n->outputs[p].id,
                n->outputs[p].present ? "" : " (data deleted)");
    }
}

/* The content of a file that a parameter names, by the key's components. */
static void put_file(report *r, const mf_plan_node *n, const char *name, const char *path)
{
    json_object *all = n->components ? json_tokener_parse(n->components) : NULL, *paths, *digest;
    const char *slash = strrchr(path, '/');

    put_text(r->out, name);
    fputs(" \xe2\x86\x90 ", r->out);
    put_text(r->out, slash ? slash + 1 : path);
    if (json_object_object_get_ex(all, "paths", &paths) &&
        json_object_object_get_ex(paths, name, &digest))
        fprintf(r->out, " <span class=\"id\">%.12s</span>", json_object_get_string(digest));
    json_object_put(all);
}

static void put_inputs(report *r, const mf_plan_node *n)
{
    bool first = true;

    for (size_t i = 0; i < mf_params_path_count(n->node->params); i++) {
        const char *name, *path = mf_params_path(n->node->params, i, &name);
        fputs(first ? "" : "<br>", r->out);
        first = false;
        put_file(r, n, name, path);
    }
    for (size_t p = 0; p < n->node->input_count; p++) {
        const mf_input *in = &n->node->inputs[p];
        if (!in->count)
            continue;
        fputs(first ? "" : "<br>", r->out);
        first = false;
        put_text(r->out, n->work.stage->in[p].name);
        fputs(" \xe2\x86\x90 ", r->out);
        if (in->count > 1)
            fprintf(r->out, "%zu \xc3\x97 ", in->count);
        put_text(r->out, in->count > 1 ? mf_plan_at(r->plan, in->edges[0].node)->node->label
                                       : mf_plan_at(r->plan, in->edges[0].node)->node->name);
    }
}

static mf_status put_made(report *r, const mf_plan_node *n)
{
    mf_action *action;
    char when[32], took[32];

    MF_TRY(mf_store_find(r->w->store, n->key, NULL, &action));
    if (!action) {
        fputs("<td></td>", r->out);
        return MF_OK;
    }
    words_time(action->created, when);
    words_seconds(action->seconds, took);
    if (action->import) {
        fprintf(r->out, "<td>imported; made %s%s", when, *action->host ? " on host " : "");
        put_text(r->out, action->host);
        fprintf(r->out, ", %s", took);
    } else {
        fprintf(r->out, "<td>%s, run %" PRId64 ", %s", when, action->run, took);
    }
    if (*action->device) {
        fputs("<br>on ", r->out);
        put_text(r->out, action->device);
    }
    fputs("</td>", r->out);
    mf_action_free(action);
    return MF_OK;
}

static const char *why_not(mf_plan_state state)
{
    return state == MF_PLAN_FAILED || state == MF_PLAN_BLOCKED ? "can't run"
           : state == MF_PLAN_TO_RUN                           ? "to be run"
           : state == MF_PLAN_RECIPE                           ? "a stream: made while it is read"
                                                               : "undecided";
}

static mf_status put_node(report *r, size_t i)
{
    const mf_plan_node *n = mf_plan_at(r->plan, i);

    fputs("<tr><td>", r->out);
    put_text(r->out, n->node->name);
    fputs("</td><td>", r->out);
    put_inputs(r, n);
    if (n->state == MF_PLAN_CACHED) {
        fputs("</td><td>", r->out);
        put_outputs(r, n);
        fprintf(r->out, "</td><td class=\"id\">%.12s</td>", n->key);
        MF_TRY(put_made(r, n));
    } else {
        fprintf(r->out, "</td><td colspan=\"3\" class=\"sub\">%s</td>", why_not(n->state));
    }
    fputs("</tr>\n", r->out);
    return MF_OK;
}

static mf_status put_stage(report *r, const mf_graph_stage *stage)
{
    bool folded = stage->count > OPEN_ROWS;

    fputs("<h3>", r->out);
    put_text(r->out, stage->label);
    fputs("</h3>\n", r->out);
    if (folded)
        fprintf(r->out, "<details><summary>%u nodes</summary>\n", stage->count);
    fputs("<table><tr><th>node</th><th>inputs</th><th>content</th><th>key</th><th>made</th></tr>\n",
          r->out);
    for (size_t i = stage->first; i < (size_t)stage->first + stage->count; i++) {
        if (mf_plan_at(r->plan, i)->state != MF_PLAN_UNWANTED)
            MF_TRY(put_node(r, i));
    }
    fprintf(r->out, "</table>%s\n", folded ? "</details>" : "");
    return MF_OK;
}

static mf_status put_stages(report *r)
{
    for (size_t i = 0; i < mf_graph_stage_count(r->w->graph); i++)
        MF_TRY(put_stage(r, mf_graph_stage_at(r->w->graph, i)));
    return MF_OK;
}

mf_status report_provenance(report *r)
{
    mf_status status;

    if (!r->w->store)
        return MF_OK;
    fputs(
        "<h2 id=\"provenance\">Provenance</h2>\n<p>Content: the first digits of the SHA-256 of "
        "what was made; equal content has an equal id. Key: of all that decides it - stage, code, "
        "parameters, inputs. Stages of many nodes are folded.</p>\n",
        r->out);
    MF_TRY(mf_store_hold(r->w->store));
    status = put_stages(r);
    mf_store_release(r->w->store);
    return status;
}

mf_status report_source(report *r)
{
    const char *path = mf_graph_path(r->w->graph);
    char line[4096];
    int64_t size;
    FILE *file;

    MF_TRY(mf_file_open(path, &file, &size));
    fputs("<h2 id=\"source\">Graph file</h2>\n", r->out);
    if (args_value_count(r->a, "set")) {
        fputs("<p>With", r->out);
        for (size_t i = 0; i < args_value_count(r->a, "set"); i++) {
            fputs(" <code>--set ", r->out);
            put_text(r->out, args_value_at(r->a, "set", i));
            fputs("</code>", r->out);
        }
        fputs(":</p>\n", r->out);
    }
    fputs("<pre>", r->out);
    while (fgets(line, sizeof line, file))
        put_text(r->out, line);
    fclose(file);
    fputs("</pre>\n", r->out);
    return MF_OK;
}
