/* trials.c - see trials.h. */
#include "trials.h"
#include "run/artifact/check.h"
#include "run/artifact/sheet.h"

#include <massflow/memory.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a table with more rows nothing is told, but of a curve its end. */
#define ROWS 12

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a table of runs");
}

static mf_status column_of(trials *t, const char *name, bool metric, size_t *at)
{
    trial_column *grown;

    for (*at = 0; *at < t->column_count; (*at)++)
        if (t->columns[*at].metric == metric && !strcmp(t->columns[*at].name, name))
            return MF_OK;
    grown = mf_list_more(t->columns, t->column_count, sizeof *grown);
    if (!grown)
        return no_memory();
    t->columns = grown;
    grown[*at] = (trial_column){.name = strdup(name), .metric = metric};
    if (!grown[*at].name)
        return no_memory();
    t->column_count++;
    return MF_OK;
}

static bool has_word(const char *list, const char *word)
{
    const size_t length = strlen(word);

    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == '|') && (!at[length] || at[length] == '|'))
            return true;
    return false;
}

/* Values that nodes of one stage do not share, as along an axis, stand beside each other: "1|2". */
static mf_status put(trials *t, trial *row, const char *name, bool metric, const char *value)
{
    size_t at;
    char *joined = NULL;

    MF_TRY(column_of(t, name, metric, &at));
    if (row->room <= at) {
        const size_t room = t->column_count + 32;
        char **grown = realloc(row->cells, room * sizeof *grown);
        if (!grown)
            return no_memory();
        memset(grown + row->room, 0, (room - row->room) * sizeof *grown);
        row->cells = grown;
        row->room = room;
    }
    char **cell = &row->cells[at];
    if (*cell && has_word(*cell, value))
        return MF_OK;
    if (asprintf(&joined, "%s%s%s", *cell ? *cell : "", *cell ? "|" : "", value) < 0)
        return no_memory();
    free(*cell);
    *cell = joined;
    return MF_OK;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static mf_status put_params(trials *t, trial *row, const char *node, const char *json)
{
    json_object *key = json_tokener_parse(json), *params = NULL;
    const int label = (int)strcspn(node, "[");
    mf_status status = MF_OK;

    if (json_object_is_type(key, json_type_object) &&
        json_object_object_get_ex(key, "params", &params) &&
        json_object_is_type(params, json_type_object)) {
        json_object_object_foreach(params, name, value)
        {
            char *column = NULL;
            const char *text = json_object_is_type(value, json_type_string)
                                   ? json_object_get_string(value)
                                   : json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
            if (status)
                continue;
            if (asprintf(&column, "%.*s.%s", label, node, name) < 0) {
                status = no_memory();
                continue;
            }
            status = put(t, row, column, false, text ? text : "");
            free(column);
        }
    }
    json_object_put(key);
    return status;
}

/* ---- metrics --------------------------------------------------------------------------------- */

/* The first column of text names the rows. */
static size_t name_column(const mf_sheet *s)
{
    size_t c = 0;

    while (c < s->count && s->columns[c].numbers)
        c++;
    return c;
}

/* Rows are steps of something that goes on, one after another. */
static bool is_curve(const mf_sheet *s)
{
    for (size_t c = 0; c < s->count; c++)
        if (s->columns[c].numbers &&
            (!strcmp(s->columns[c].name, "step") || !strcmp(s->columns[c].name, "epoch")))
            return true;
    return false;
}

static mf_status put_row(trials *t, trial *row, const char *table, const mf_sheet *s, int64_t r)
{
    const size_t names = name_column(s);
    char *of = names < s->count ? mf_sheet_cell(s, names, r, 0) : NULL;
    const bool named = of && s->rows > 1 && strcmp(of, "mean") != 0 && !is_curve(s);
    mf_status status = MF_OK;

    for (size_t c = 0; c < s->count && !status; c++) {
        char *value = s->columns[c].numbers ? mf_sheet_cell(s, c, r, 6) : NULL, *name = NULL;
        if (value && *value) {
            if (asprintf(&name, "%s.%s%s%s%s", table, s->columns[c].name, named ? "[" : "",
                         named ? of : "", named ? "]" : "") < 0)
                status = no_memory();
            else
                status = put(t, row, name, true, value);
            free(name);
        }
        free(value);
    }
    free(of);
    return status;
}

/* The row that is the mean over all where there is one, the last of a curve, else the rows of a
 * small table, whose rows have names or which has one alone. */
static mf_status put_table(trials *t, trial *row, const char *table, const mf_sheet *s)
{
    const size_t names = name_column(s);

    for (int64_t r = 0; r < s->rows && names < s->count; r++) {
        char *of = mf_sheet_cell(s, names, r, 0);
        const bool mean = of && !strcmp(of, "mean");
        free(of);
        if (mean)
            return put_row(t, row, table, s, r);
    }
    if (is_curve(s))
        return s->rows ? put_row(t, row, table, s, s->rows - 1) : MF_OK;
    for (int64_t r = 0; r < s->rows && (s->rows == 1 || (names < s->count && s->rows <= ROWS)); r++)
        MF_TRY(put_row(t, row, table, s, r));
    return MF_OK;
}

static mf_status put_tables(trials *t, trial *row, mf_store *store, const mf_registry *registry,
                            const char *node, const char *key)
{
    mf_action *action = NULL;
    mf_status status;

    MF_TRY(mf_store_find(store, key, NULL, &action));
    status = MF_OK;
    for (size_t i = 0; action && i < action->output_count && !status; i++) {
        const mf_action_output *o = &action->outputs[i];
        mf_artifact *a = NULL;
        mf_sheet sheet;
        char *name = NULL;
        if (!o->present)
            continue;
        status = mf_open_artifact(store, registry, o->id, &a);
        if (!status && !strcmp(mf_artifact_type(a), "table")) {
            status = mf_sheet_read(a, &sheet);
            if (!status && asprintf(&name, "%s.%s", node, o->port) < 0)
                status = no_memory();
            else if (!status)
                status = put_table(t, row, name, &sheet);
            free(name);
            if (!status)
                mf_sheet_clear(&sheet);
        }
        mf_artifact_unref(a);
    }
    mf_action_free(action);
    return status;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static const char *of_case(const char *node)
{
    const char *at = strstr(node, "case=");

    return at && (at[-1] == '[' || at[-1] == ',') ? at : NULL;
}

/* Whether a node differs from the one before by its case alone, whose parameters are the same. */
static bool same_but_case(const char *node, const char *before)
{
    const char *a = of_case(node), *b = before ? of_case(before) : NULL;

    return a && b && a - node == b - before && !strncmp(node, before, (size_t)(a - node)) &&
           !strcmp(a + strcspn(a, ",]"), b + strcspn(b, ",]"));
}

static mf_status read_node(trials *t, trial *row, mf_store *store, const mf_registry *registry,
                           const mf_run_node *n, const char *before)
{
    char *json = NULL;

    if (!n->key || !*n->key || (n->outcome != MF_NODE_DONE && n->outcome != MF_NODE_CACHED))
        return MF_OK;
    if (!same_but_case(n->node, before)) {
        MF_TRY(mf_store_components(store, n->key, &json));
        mf_status status = json ? put_params(t, row, n->node, json) : MF_OK;
        free(json);
        MF_TRY(status);
    }
    return of_case(n->node) ? MF_OK : put_tables(t, row, store, registry, n->node, n->key);
}

static mf_status read_run(trials *t, trial *row, mf_store *store, const mf_registry *registry)
{
    mf_run_node *nodes;
    size_t count;
    mf_status status;

    MF_TRY(mf_store_list_run_nodes(store, row->run->id, &nodes, &count));
    status = MF_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = read_node(t, row, store, registry, &nodes[i], i ? nodes[i - 1].node : NULL);
    mf_run_node_list_free(nodes, count);
    return status;
}

static void clear_row(trial *row)
{
    for (size_t i = 0; i < row->room; i++)
        free(row->cells[i]);
    free(row->cells);
}

const char *trials_cell(const trials *t, size_t row, size_t column)
{
    const trial *r = &t->rows[row];

    return column < r->room && r->cells[column] ? r->cells[column] : "";
}

static bool same_rows(const trials *t, size_t a, size_t b)
{
    for (size_t c = 0; c < t->column_count; c++)
        if (strcmp(trials_cell(t, a, c), trials_cell(t, b, c)))
            return false;
    return !strcmp(t->rows[a].run->graph, t->rows[b].run->graph);
}

/* Of runs that came to the same the newest stays; those that came to nothing go. */
static void drop_repeats(trials *t)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->count; i++) {
        bool repeated = !t->rows[i].room;
        for (size_t k = i + 1; k < t->count && !repeated; k++)
            repeated = same_rows(t, i, k);
        if (repeated)
            clear_row(&t->rows[i]);
        else
            t->rows[kept++] = t->rows[i];
    }
    t->count = kept;
    for (size_t c = 0; c < t->column_count; c++)
        for (size_t i = 1; i < t->count; i++)
            t->columns[c].differs |= strcmp(trials_cell(t, i, c), trials_cell(t, i - 1, c)) != 0;
}

mf_status trials_read(mf_store *store, const mf_registry *registry, const char *graph, size_t limit,
                      trials *t)
{
    mf_status status = MF_OK;

    *t = (trials){0};
    MF_TRY(mf_store_list_runs(store, graph, limit, &t->runs, &t->run_count));
    t->rows = calloc(t->run_count + 1, sizeof *t->rows);
    if (!t->rows)
        return no_memory();
    t->count = t->run_count;
    for (size_t i = 0; i < t->count; i++)
        t->rows[i].run = &t->runs[t->count - 1 - i];
    for (size_t i = 0; i < t->count && !status; i++)
        status = read_run(t, &t->rows[i], store, registry);
    if (!status)
        drop_repeats(t);
    return status;
}

void trials_clear(trials *t)
{
    for (size_t i = 0; i < t->count; i++)
        clear_row(&t->rows[i]);
    mf_run_list_free(t->runs, t->run_count);
    for (size_t c = 0; c < t->column_count; c++)
        free(t->columns[c].name);
    free(t->columns);
    free(t->rows);
    *t = (trials){0};
}
