/* report.c - see report.h. */
#include "graph/data/report.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool mf__graph_error(mf_graph *g, const yaml *node, const char *format, ...)
{
    va_list args;
    char *message;
    mf_place place = mf_yaml_place(node);
    va_start(args, format);
    if (vasprintf(&message, format, args) < 0)
        abort();
    va_end(args);
    mf_diagnostics_error(g->d, &place, "%s", message);
    free(message);
    return false;
}

bool mf__graph_status(mf_graph *g, const yaml *node, const char *who, mf_status status)
{
    const char *hint = mf_error_hint_text(status);
    char *text = mf_error_text(status); /* with its contexts; the hint is its last line */
    if (text && hint)
        text[strlen(text) - strlen(hint) - strlen("\n  ")] = 0;
    const char *said = text ? text : mf_error_message(status);
    if (who)
        mf__graph_error(g, node, "%s: %s", who, said);
    else
        mf__graph_error(g, node, "%s", said);
    free(text);
    if (hint)
        mf_diagnostics_note(g->d, "%s", hint);
    mf_error_free(status);
    return false;
}

void mf__graph_note_param(mf_graph *g, const graph_param *param)
{
    if (param && param->set)
        mf_diagnostics_note(g->d, "'%s' is given by %s", param->name, param->value->source->name);
    else if (param)
        mf_diagnostics_note(g->d, "'%s' is given in line %d", param->name, param->value->line);
}

bool mf__graph_unknown(mf_graph *g, const yaml *key, const char *what, const char *const *list,
                       size_t count)
{
    const char *near = mf_nearest(key->text, list, count);
    if (near)
        return mf__graph_error(g, key, "%s '%s'; did you mean '%s'?", what, key->text, near);
    return mf__graph_error(g, key, "%s '%s'", what, key->text);
}
