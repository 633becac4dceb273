/* table_summarize.c - stage table.summarize: means and standard deviations of columns, by the
 * values of others. */
#include "metrics_stages.h"
#include "table_conditions.h"
#include "table_groups.h"
#include "table_summarize.code.h"
#include <massflow/stage.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_MADE = 4 * TABLE_MOST_COLUMNS + 2 }; /* columns of the result */

typedef struct summarize_params {
    const char *by, *of, *names, *where;
} summarize_params;

static const mf_param params[] = {
    MF_TEXT(summarize_params, by, "",
            "Columns, separated by commas: rows with the same values in these are one row of the "
            "result. Empty: all rows are one."),
    MF_TEXT(summarize_params, of, "",
            "Columns of numbers to summarize, separated by commas. Empty: all columns of numbers "
            "that `by` does not name."),
    MF_TEXT(summarize_params, names, "",
            "What the columns of `of` are called in the result, as many and in the same order: so "
            "that tables of different scores can be joined. Empty: as they are."),
    MF_TEXT(summarize_params, where, "",
            "Rows to take: COLUMN=VALUE, several separated by commas, as in `label=mean, shots=3`. "
            "Empty: all rows. No row that fits is an error."),
    MF_END};
static const mf_port inputs[] = {MF_PORT("table", "table", "The table."), MF_END};
static const mf_port outputs[] = {
    MF_PORT("table", "table",
            "The columns of `by`, the number of `rows`, and for each column NAME of `of`: its mean "
            "(NAME), its standard deviation (NAME_sd, with n - 1; empty for one value) and how "
            "many values it has (NAME_n). Empty values are left out."),
    MF_END};

typedef struct work {
    table_columns columns;
    table_conditions where;
    table_groups groups;
    char names[TABLE_MOST_COLUMNS][TABLE_NAME]; /* of the columns of `of` in the result */
} work;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a summary of a table");
}

/* The columns that a parameter names; none that `taken` has. */
static mf_status find_columns(const work *w, const char *parameter, const char *names,
                              const table_choice *taken, table_choice *choice)
{
    const table_columns *c = &w->columns;
    const char *name;
    size_t length;
    while (table_next_item(&names, &name, &length)) {
        const size_t k = table_columns_find(c, name, length);
        if (k == c->count)
            return table_columns_none(c, parameter, name, length);
        if (table_choice_has(taken, k) || table_choice_has(choice, k))
            return mf_fail(MF_INVALID, "%s: the column '%s' is named twice", parameter,
                           c->names[k]);
        choice->list[choice->count++] = k;
    }
    return MF_OK;
}

/* All columns of numbers that `by` does not have. */
static void take_all(const table_columns *c, table_groups *g)
{
    for (size_t k = 0; k < c->count; k++)
        if (c->numbers[k] && !table_choice_has(&g->by, k))
            g->of.list[g->of.count++] = k;
}

static mf_status check_numbers(const table_columns *c, const table_choice *of)
{
    for (size_t i = 0; i < of->count; i++)
        if (!c->numbers[of->list[i]])
            return mf_hint(
                mf_fail(MF_INVALID, "of: the column '%s' holds texts", c->names[of->list[i]]),
                "a mean is one of numbers");
    return MF_OK;
}

static mf_status choose_names(work *w, const summarize_params *o)
{
    const char *names = o->names, *name;
    const table_choice *of = &w->groups.of;
    size_t length, given = 0;
    for (size_t i = 0; i < of->count; i++)
        strcpy(w->names[i], w->columns.names[of->list[i]]);
    for (; table_next_item(&names, &name, &length); given++) {
        if (length >= TABLE_NAME || strcspn(name, "\t\n\r:") < length)
            return mf_fail(MF_INVALID,
                           "names: '%.*s' has a tab, a line end or a colon, or is longer "
                           "than %d letters",
                           (int)length, name, TABLE_NAME - 1);
        if (given < of->count)
            snprintf(w->names[given], TABLE_NAME, "%.*s", (int)length, name);
    }
    return !given || given == of->count
               ? MF_OK
               : mf_fail(MF_INVALID, "names: %zu names for %zu columns of `of`", given, of->count);
}

static mf_status choose(work *w, const summarize_params *o)
{
    table_groups *g = &w->groups;
    MF_TRY(find_columns(w, "by", o->by, &g->of, &g->by));
    MF_TRY(find_columns(w, "of", o->of, &g->by, &g->of));
    MF_TRY(table_conditions_read(&w->columns, o->where, &w->where));
    MF_TRY(check_numbers(&w->columns, &g->of));
    if (g->of.count == 0)
        take_all(&w->columns, g);
    return choose_names(w, o);
}

/* Fails where a name is there twice: which of the two columns would be meant is not known. */
static mf_status check_names(const char *const *columns, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t length = strcspn(columns[i], ":");
        for (size_t k = 0; k < i; k++)
            if (strcspn(columns[k], ":") == length && !strncmp(columns[i], columns[k], length))
                return mf_hint(
                    mf_fail(MF_INVALID, "the result would have the column '%.*s' twice",
                            (int)length, columns[i]),
                    "NAME, NAME_sd and NAME_n of the columns of `of` must not be in use, as "
                    "in a table that is a summary already; choose others in `of`, or "
                    "give them other `names`");
    }
    return MF_OK;
}

static mf_status new_table(const work *w, mf_table **table)
{
    static const char *const after[] = {"", "_sd", "_n"};
    const table_groups *g = &w->groups;
    char(*name)[TABLE_NAME + 8] = calloc(MOST_MADE, sizeof *name);
    const char **columns = calloc(MOST_MADE, sizeof *columns);
    size_t n = 0;
    if (!name || !columns) {
        free(name);
        free(columns);
        return no_memory();
    }
    for (size_t i = 0; i < g->by.count; i++, n++) {
        const size_t k = g->by.list[i];
        snprintf(name[n], sizeof name[n], "%s%s", w->columns.names[k],
                 w->columns.numbers[k] ? "" : ":text");
    }
    strcpy(name[n++], "rows");
    for (size_t i = 0; i < g->of.count; i++)
        for (size_t k = 0; k < 3; k++, n++)
            snprintf(name[n], sizeof name[n], "%s%s", w->names[i], after[k]);
    for (size_t i = 0; i < n; i++)
        columns[i] = name[i];
    mf_status status = check_names(columns, n);
    if (!status)
        status = mf_table_new(columns, table);
    free(name);
    free(columns);
    return status;
}

static mf_status put_group(const work *w, const table_group *g, mf_table *table)
{
    double numbers[MOST_MADE] = {0};
    const char *texts[MOST_MADE] = {0};
    char *copies[TABLE_MOST_COLUMNS] = {0};
    const table_choice *by = &w->groups.by;
    mf_status status = MF_OK;
    size_t n = 0;
    for (size_t i = 0; i < by->count && !status; i++, n++) {
        if (w->columns.numbers[by->list[i]])
            numbers[n] = table_columns_number(&w->columns, by->list[i], g->first);
        else
            status = table_columns_text(&w->columns, by->list[i], g->first, &copies[i]);
        texts[n] = copies[i];
    }
    numbers[n++] = (double)g->rows;
    for (size_t i = 0; i < w->groups.of.count; i++) {
        double values = (double)g->n[i];
        numbers[n++] = g->n[i] ? g->mean[i] : NAN;
        numbers[n++] = g->n[i] > 1 ? sqrt(g->m2[i] / (values - 1)) : NAN;
        numbers[n++] = values;
    }
    if (!status)
        status = mf_table_put(table, numbers, texts);
    for (size_t i = 0; i < by->count; i++)
        free(copies[i]);
    return status;
}

static mf_status add_row(work *w, int64_t row)
{
    bool taken;
    MF_TRY(table_conditions_meet(&w->where, &w->columns, row, &taken));
    return taken ? table_groups_add(&w->groups, &w->columns, row) : MF_OK;
}

static mf_status summarize(work *w, const mf_artifact *in, const summarize_params *o,
                           mf_table **table)
{
    MF_TRY(table_columns_read(in, &w->columns));
    MF_TRY(choose(w, o));
    for (int64_t row = 0; row < w->columns.rows; row++)
        MF_TRY(add_row(w, row));
    if (w->where.count && !w->groups.count)
        return table_conditions_unmet(&w->where, &w->columns);
    MF_TRY(new_table(w, table));
    for (int64_t k = 0; k < w->groups.count; k++)
        MF_TRY(put_group(w, &w->groups.list[k], *table));
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const mf_artifact *in;
    mf_table *table = NULL;
    mf_artifact *result;
    (void)session;
    MF_TRY(mf_in(t, "table", &in));
    work *w = calloc(1, sizeof *w);
    if (!w)
        return no_memory();
    mf_status status = summarize(w, in, p, &table);
    table_columns_clear(&w->columns);
    table_groups_clear(&w->groups);
    free(w);
    if (status) {
        mf_table_free(table);
        return status;
    }
    MF_TRY(mf_table_finish(table, &result));
    return mf_out(t, "table", result);
}

MF_STAGE(table_summarize, "table.summarize", 1,
         "Computes means and standard deviations of columns of a table.",
         .help = "For scores of several seeds, joined by table.join: {use: table.summarize, in: "
                 "{table: scores}, with: {by: \"shots, label\", of: dice}} has a row for each "
                 "number of shots and label, with the mean and the standard deviation over the "
                 "seeds. Rows are in the order in which their values first appear.",
         .params = params, .params_size = sizeof(summarize_params), .in = inputs, .out = outputs,
         .run = run);
