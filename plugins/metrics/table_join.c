/* table_join.c - stage table.join: the tables of many nodes as one, with what tells them apart. */
#include "../common/decimal.h"
#include "metrics_stages.h"
#include "table_cells.h"
#include "table_join.code.h"
#include <massflow/stage.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_COLUMNS 256

typedef struct join_params {
    const char *column, *value;
} join_params;

static const mf_param params[] = {
    MF_TEXT(join_params, column, "",
            "Name of a column that is put before all others and has the same `value` in all rows: "
            "what tells these tables from others that they are joined with later."),
    MF_TEXT(join_params, value, "", "Value of that column."), MF_END};
static const mf_port inputs[] = {
    MF_PORT_MARKED("tables", "table[]", "Tables with the same columns.", MF_KEYED), MF_END};
static const mf_port outputs[] = {
    MF_PORT("table", "table",
            "Rows of all tables, preceded by columns for the case and for each axis of the graph."),
    MF_END};

/* A column of the result: one of those before the tables' own says of which table a row is. */
typedef struct column {
    char name[80];
    bool text;
    bool of_case;
    const char *value; /* the same in all rows; NULL: not */
} column;

typedef struct join {
    mf_task *task;
    column columns[MOST_COLUMNS];
    size_t count, own; /* the tables' own begin at `own` */
    mf_table *table;
} join;

static mf_status add_column(join *j, const char *name, bool text, bool of_case)
{
    column *c = &j->columns[j->count];
    c->value = NULL;
    if (j->count == MOST_COLUMNS)
        return mf_fail(MF_UNSUPPORTED, "more than %d columns", MOST_COLUMNS);
    if (strlen(name) >= sizeof c->name)
        return mf_fail(MF_UNSUPPORTED, "a column's name of more than %zu letters: %s",
                       sizeof c->name - 1, name);
    for (size_t i = 0; i < j->count; i++)
        if (!strcmp(j->columns[i].name, name))
            return mf_fail(MF_INVALID, "the tables have a column '%s' twice", name);
    strcpy(c->name, name);
    c->text = text;
    c->of_case = of_case;
    j->count++;
    return MF_OK;
}

/* Whether all values of an axis are numbers. */
static bool numeric_axis(mf_task *t, size_t axis)
{
    const char *value;
    double number;
    for (size_t i = 0; i < mf_in_count(t, "tables"); i++)
        if (!mf_in_axis(t, "tables", i, axis, &value) || !decimal_number(value, &number))
            return false;
    return true;
}

/* Whether a column is one of text in any of the tables: case ids 007 and 101, each in a table of
 * its own, are texts and numbers. */
static mf_status is_text_in_any(const join *j, size_t number, bool *text)
{
    *text = false;
    for (size_t i = 0; i < mf_in_count(j->task, "tables") && !*text; i++) {
        const mf_artifact *a;
        MF_TRY(mf_in_item(j->task, "tables", i, &a));
        *text = table_is_text(a, number);
    }
    return MF_OK;
}

static bool has_name(const char *names, const char *wanted)
{
    char name[80];
    while (table_next_name(&names, name))
        if (!strcmp(name, wanted))
            return true;
    return false;
}

/* An axis by its name, or as "axis.NAME" where the tables have such a column themselves: what was
 * computed for each value is not lost for a name. */
static mf_status add_axis(join *j, const char *axis, size_t k, const char *names)
{
    char name[80];
    int n = snprintf(name, sizeof name, "%s", axis);
    while (n < (int)sizeof name && has_name(names, name)) {
        char longer[80];
        n = snprintf(longer, sizeof longer, "axis.%s", name);
        memcpy(name, longer, sizeof name);
    }
    if (n >= (int)sizeof name)
        return mf_fail(MF_UNSUPPORTED, "the name of an axis is too long for a column: %s", axis);
    return add_column(j, name, !numeric_axis(j->task, k), false);
}

/* A name that the user gives: without what separates names. */
static mf_status add_constant(join *j, const join_params *o)
{
    double number;
    if (!*o->column)
        return *o->value ? mf_fail(MF_INVALID, "value: without `column` it has no place") : MF_OK;
    if (strpbrk(o->column, "\t\n\r:,"))
        return mf_fail(MF_INVALID, "column: '%s' has a tab, a line end, a colon or a comma",
                       o->column);
    MF_TRY(add_column(j, o->column, !decimal_number(o->value, &number), false));
    j->columns[j->count - 1].value = o->value;
    return MF_OK;
}

/* The constant one, the case, the axes, then the columns of the first table. */
static mf_status choose_columns(join *j, const join_params *o)
{
    const mf_artifact *first;
    const char *axis, *value, *names;
    char name[80];
    bool cases = false;
    MF_TRY(mf_in_item(j->task, "tables", 0, &first));
    names = mf_artifact_text(first, "columns");
    if (!names)
        return mf_fail(MF_CORRUPT, "a table without names of columns");
    MF_TRY(add_constant(j, o));
    for (size_t i = 0; i < mf_in_count(j->task, "tables"); i++)
        cases |= *mf_in_case(j->task, "tables", i) != 0;
    if (cases && !has_name(names, "case"))
        MF_TRY(add_column(j, "case", true, true));
    for (size_t k = 0; (axis = mf_in_axis(j->task, "tables", 0, k, &value)); k++)
        MF_TRY(add_axis(j, axis, k, names));
    j->own = j->count;
    for (size_t i = 0; table_next_name(&names, name); i++) {
        bool text;
        MF_TRY(is_text_in_any(j, i, &text));
        MF_TRY(add_column(j, name, text, false));
    }
    return MF_OK;
}

static mf_status check_columns(const join *j, size_t i, const mf_artifact *a)
{
    const char *names = mf_artifact_text(a, "columns");
    char name[80];
    size_t k = j->own;
    while (names && table_next_name(&names, name)) {
        if (k == j->count || strcmp(j->columns[k].name, name))
            break;
        k++;
    }
    if (names && !*names && k == j->count)
        return MF_OK;
    return mf_fail(MF_INVALID, "the table of %s has other columns than that of %s",
                   mf_in_name(j->task, "tables", i), mf_in_name(j->task, "tables", 0));
}

/* The numbers of a table's own columns, by column; NULL for one of text. */
static mf_status read_numbers(const join *j, const mf_artifact *a, mf_array **numbers,
                              int64_t *rows)
{
    for (size_t k = j->own; k < j->count; k++) {
        int64_t here;
        MF_TRY(table_column(a, k - j->own, &numbers[k], &here));
        if (k > j->own && here != *rows)
            return mf_fail(MF_CORRUPT, "the columns of a table differ in length");
        *rows = here;
    }
    return MF_OK;
}

/* What tells the table: its case and axes. */
static void label_row(const join *j, size_t i, double *cells, const char **texts)
{
    for (size_t k = 0, axis = 0; k < j->own; k++) {
        const char *value = NULL;
        if (j->columns[k].value)
            value = j->columns[k].value;
        else if (j->columns[k].of_case)
            value = mf_in_case(j->task, "tables", i);
        else
            (void)mf_in_axis(j->task, "tables", i, axis++, &value);
        texts[k] = value ? value : "";
        cells[k] = j->columns[k].text ? 0 : strtod(texts[k], NULL);
    }
}

/* A number among texts, as it was written; the caller frees. Of a real that is not known: 1.10 is
 * 1.1 by now. */
static mf_status number_cell(const join *j, size_t k, size_t table, double value, char **text)
{
    if (!isnan(value) && (value != floor(value) || fabs(value) >= DECIMAL_EXACT))
        return mf_fail(
            MF_INVALID,
            "the column '%s' holds texts in some tables, and in that of %s the number %g",
            j->columns[k].name, mf_in_name(j->task, "tables", table), value);
    if ((isnan(value) ? asprintf(text, "%s", "") : asprintf(text, "%.0f", value)) >= 0)
        return MF_OK;
    *text = NULL;
    return mf_no_memory(0, "a row of a table");
}

static mf_status put_row(join *j, size_t i, const mf_artifact *a, mf_array *const *numbers,
                         int64_t row)
{
    double cells[MOST_COLUMNS];
    const char *texts[MOST_COLUMNS] = {0};
    char *copies[MOST_COLUMNS] = {0};
    mf_status status = MF_OK;
    label_row(j, i, cells, texts);
    for (size_t k = j->own; k < j->count && !status; k++) {
        if (numbers[k])
            cells[k] = ((const double *)numbers[k]->data)[row];
        if (numbers[k] && j->columns[k].text)
            status = number_cell(j, k, i, cells[k], &copies[k]);
        else if (!numbers[k])
            status = table_text(a, k - j->own, row, &copies[k]);
        texts[k] = copies[k];
    }
    if (!status)
        status = mf_table_put(j->table, cells, texts);
    for (size_t k = j->own; k < j->count; k++)
        free(copies[k]);
    return status;
}

static mf_status add_table(join *j, size_t i)
{
    mf_array *numbers[MOST_COLUMNS] = {0};
    const mf_artifact *a;
    int64_t rows = 0;
    MF_TRY(mf_in_item(j->task, "tables", i, &a));
    MF_TRY(check_columns(j, i, a));
    mf_status status = read_numbers(j, a, numbers, &rows);
    for (int64_t row = 0; row < rows && !status; row++)
        status = put_row(j, i, a, numbers, row);
    for (size_t k = j->own; k < j->count; k++)
        mf_array_unref(numbers[k]);
    return status;
}

static mf_status new_table(join *j)
{
    char declared[MOST_COLUMNS][88];
    const char *columns[MOST_COLUMNS + 1] = {0};
    for (size_t k = 0; k < j->count; k++) {
        snprintf(declared[k], sizeof declared[k], "%s%s", j->columns[k].name,
                 j->columns[k].text ? ":text" : "");
        columns[k] = declared[k];
    }
    return mf_table_new(columns, &j->table);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    join *j = calloc(1, sizeof *j);
    mf_artifact *table = NULL;
    (void)session;
    if (!j)
        return mf_no_memory(0, "a table");
    j->task = t;
    mf_status status = choose_columns(j, p);
    if (!status)
        status = new_table(j);
    for (size_t i = 0; i < mf_in_count(t, "tables") && !status; i++)
        status = add_table(j, i);
    if (status)
        mf_table_free(j->table);
    else
        status = mf_table_finish(j->table, &table);
    free(j);
    return status ? status : mf_out(t, "table", table);
}

MF_STAGE(
    table_join, "table.join", 2, "Concatenates the tables of many nodes.",
    .help = "For experiments over axes: with scores for each value of `shots` and `seed`, {use: "
            "table.join, in: {tables: \"scores[*]\"}} is one table with the columns shots and seed "
            "in front. An axis whose values are all numbers is a column of numbers. All tables "
            "must have the same columns. A column that is text in some tables is text; it may hold "
            "integers in the others. If an axis has the name of a column, its column is axis.NAME. "
            "Tables of "
            "several stages are told apart by `column` and `value`: {use: table.join, in: {tables: "
            "\"scores[*]\"}, with: {column: method, value: scratch}}.",
    .params = params, .params_size = sizeof(join_params), .in = inputs, .out = outputs, .run = run);
