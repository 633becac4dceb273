/* parameter.c - the parameters of a graph for those who show or ask for them: value, what the file
 * says of it, and which parameter of a stage takes it. */
#include "graph/data/graph_private.h"

#include <stdlib.h>
#include <string.h>

/* An element of a list, in quotes where it would be read as something else. */
static void add_element(mf_text *out, const char *text)
{
    if (*text && !strpbrk(text, ",[]{}\"'#:&*!|>%@` \t\n\\")) {
        mf_text_add(out, "%s", text);
        return;
    }
    mf_text_add(out, "\"");
    for (; *text; text++)
        if (*text == '\n')
            mf_text_add(out, "\\n");
        else if (*text == '\t')
            mf_text_add(out, "\\t");
        else
            mf_text_add(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    mf_text_add(out, "\"");
}

static char *show(const yaml *value)
{
    mf_text out = {0};

    if (value->kind == YAML_SCALAR)
        return strdup(value->text);
    mf_text_add(&out, "[");
    for (size_t i = 0; i < value->count; i++) {
        mf_text_add(&out, "%s", i ? ", " : "");
        add_element(&out, value->items[i]->text);
    }
    mf_text_add(&out, "]");
    return mf_text_take(&out);
}

/* What the file has, also where --set gave another value. */
static const yaml *written(const mf_graph *g, size_t i)
{
    const yaml *map = mf_yaml_get(g->root, "params", NULL);

    return mf_yaml_get(map, g->params[i].name, NULL);
}

char *mf_graph_param_value(const mf_graph *g, size_t i)
{
    return show(g->params[i].value);
}

char *mf_graph_param_written(const mf_graph *g, size_t i)
{
    return show(written(g, i));
}

bool mf_graph_param_set(const mf_graph *g, size_t i)
{
    return g->params[i].set;
}

/* Where a comment begins in a line: a # behind white space and outside of quotes (YAML 1.2, 6.6).
 */
static const char *find_comment(const char *line, const char *end)
{
    char quote = 0;

    for (const char *c = line; c < end; c++) {
        if (quote == '"' && *c == '\\')
            c++;
        else if (quote)
            quote = *c == quote ? 0 : quote;
        else if ((*c == '"' || *c == '\'') && c > line && strchr(" \t[,", c[-1]))
            quote = *c;
        else if (*c == '#' && c > line && (c[-1] == ' ' || c[-1] == '\t'))
            return c + 1;
    }
    return NULL;
}

char *mf_graph_param_comment(const mf_graph *g, size_t i)
{
    const yaml *key = g->params[i].declared;
    const yaml_source *s = key->source;

    if (!s->lines || key->line < 1 || (size_t)key->line > s->line_count)
        return NULL;
    const char *line = s->lines[key->line - 1], *end = line + strcspn(line, "\r\n");
    const char *comment = find_comment(line, end);
    while (comment && comment < end && (*comment == ' ' || *comment == '#'))
        comment++;
    return comment && comment < end ? strndup(comment, (size_t)(end - comment)) : NULL;
}

const mf_param *mf_graph_param_taker(const mf_graph *g, size_t i, const mf_stage **stage)
{
    *stage = g->params[i].stage;
    return g->params[i].taker;
}
