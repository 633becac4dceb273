/* columns.c - see columns.h. */
#include "graph/data/columns.h"
#include "base/path.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Ids name nodes ("scan[case=ID]") and files. */
bool mf__good_id(const char *id)
{
    if (!strcmp(id, ".") || !strcmp(id, ".."))
        return false;
    if (!*id || isspace((unsigned char)*id) || isspace((unsigned char)id[strlen(id) - 1]))
        return false;
    return mf_path_plain(id) && !strpbrk(id, "/[],=<>!\\\"'");
}

const char *mf_case_column(const mf_case *c, const char *column)
{
    const char **at = c->graph->column_count
                          ? bsearch(&column, c->graph->columns, c->graph->column_count,
                                    sizeof *c->graph->columns, by_text)
                          : NULL;
    return at ? c->values[at - c->graph->columns] : NULL;
}

bool mf__has_column(const mf_graph *g, const char *column)
{
    return g->column_count &&
           bsearch(&column, g->columns, g->column_count, sizeof *g->columns, by_text);
}

void mf__note_columns(mf_graph *g)
{
    mf_text list = {0};
    for (size_t i = 0; i < g->column_count; i++)
        mf_text_add(&list, "%s%s", i ? ", " : "", g->columns[i]);
    if (list.data)
        mf_diagnostics_note(g->d, "columns of the cases: %s", list.data);
    free(list.data);
}
