/* table_summarize.c - stage table.summarize: means and standard deviations of columns, by the
 * values of others. */
#include "../common/decimal.h"
#include "metrics_stages.h"
#include "table_cells.h"
#include "table_summarize.code.h"
#include <massflow/stage.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_COLUMNS 256

typedef struct summarize_params {
    const char *by, *of, *where;
} summarize_params;

static const mf_param params[] = {
    MF_TEXT(summarize_params, by, "",
            "Columns, separated by commas: rows with the same values in these are one row of the "
            "result. Empty: all rows are one."),
    MF_TEXT(summarize_params, of, "",
            "Columns of numbers to summarize, separated by commas. Empty: all columns of numbers "
            "that `by` does not name."),
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

/* A column of the input. */
typedef struct column {
    char name[TABLE_NAME];
    mf_array *numbers; /* NULL: texts */
} column;

/* What a column must have in the rows that are taken. */
typedef struct condition {
    size_t column;
    const char *value; /* borrowed from the parameter, `length` letters */
    size_t length;
    const char *item; /* the whole of it, COLUMN=VALUE, `item_length` letters */
    size_t item_length;
    double number; /* the value where the column holds numbers */
} condition;

/* Rows with the same values of `by`: sums of each column of `of`. */
typedef struct group {
    char *key;
    int64_t first, rows; /* first: the row that its values of `by` are taken from */
    double *mean, *m2;   /* Welford 1962: m2 is the sum of squared differences from the mean */
    int64_t *n;
} group;

typedef struct work {
    const mf_artifact *table;
    column columns[MOST_COLUMNS];
    size_t count, by[MOST_COLUMNS], by_count, of[MOST_COLUMNS], of_count;
    condition where[MOST_COLUMNS];
    size_t where_count;
    int64_t rows, group_count, room;
    group *groups;
} work;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a summary of a table");
}

static mf_status read_columns(work *w)
{
    const char *names = mf_artifact_text(w->table, "columns");
    char name[TABLE_NAME];
    if (!names)
        return mf_fail(MF_CORRUPT, "a table without names of columns");
    while (table_next_name(&names, name)) {
        column *c = &w->columns[w->count];
        int64_t rows;
        if (w->count == MOST_COLUMNS)
            return mf_fail(MF_UNSUPPORTED, "more than %d columns", MOST_COLUMNS);
        strcpy(c->name, name);
        MF_TRY(table_column(w->table, w->count, &c->numbers, &rows));
        if (w->count && rows != w->rows)
            return mf_fail(MF_CORRUPT, "the columns of a table differ in length");
        w->rows = rows;
        w->count++;
    }
    return MF_OK;
}

static bool chosen(const size_t *list, size_t count, size_t k)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == k)
            return true;
    return false;
}

static mf_status no_column(const work *w, const char *parameter, const char *name, size_t length)
{
    char all[512] = "";
    size_t at = 0;
    for (size_t i = 0; i < w->count && at < sizeof all - TABLE_NAME - 8; i++)
        at +=
            (size_t)snprintf(all + at, sizeof all - at, "%s%s", i ? ", " : "", w->columns[i].name);
    return mf_hint(
        mf_fail(MF_INVALID, "%s: the table has no column '%.*s'", parameter, (int)length, name),
        "its columns: %s", all);
}

/* The column of this name; the number of columns where there is none. */
static size_t column_of(const work *w, const char *name, size_t length)
{
    size_t k = 0;
    while (k < w->count &&
           (strlen(w->columns[k].name) != length || strncmp(w->columns[k].name, name, length)))
        k++;
    return k;
}

/* The next of the items that are separated by commas, without spaces around it; false past the
 * last.
 */
static bool next_item(const char **list, const char **item, size_t *length)
{
    *list += strspn(*list, ", ");
    *item = *list;
    *length = strcspn(*list, ",");
    *list += *length;
    while (*length && (*item)[*length - 1] == ' ')
        --*length;
    return *length > 0;
}

/* The columns that a parameter names. */
static mf_status find_columns(const work *w, const char *parameter, const char *names, size_t *list,
                              size_t *count)
{
    const char *name;
    size_t length;
    while (next_item(&names, &name, &length)) {
        size_t k = column_of(w, name, length);
        if (k == w->count)
            return no_column(w, parameter, name, length);
        if (chosen(w->by, w->by_count, k) || chosen(list, *count, k))
            return mf_fail(MF_INVALID, "%s: the column '%s' is named twice", parameter,
                           w->columns[k].name);
        list[(*count)++] = k;
    }
    return MF_OK;
}

/* What the parameter `where` asks of rows. */
static mf_status find_conditions(work *w, const char *conditions)
{
    const char *item;
    size_t length;
    while (next_item(&conditions, &item, &length)) {
        const char *equals = memchr(item, '=', length);
        char value[256];
        condition *c = &w->where[w->where_count];
        if (!equals || w->where_count == MOST_COLUMNS)
            return mf_hint(
                mf_fail(MF_INVALID, "where: '%.*s' is not COLUMN=VALUE", (int)length, item),
                "as in where: \"label=mean, shots=3\"");
        c->column = column_of(w, item, (size_t)(equals - item));
        if (c->column == w->count)
            return no_column(w, "where", item, (size_t)(equals - item));
        c->item = item;
        c->item_length = length;
        c->value = equals + 1;
        c->length = length - (size_t)(equals + 1 - item);
        snprintf(value, sizeof value, "%.*s", (int)c->length, c->value);
        if (w->columns[c->column].numbers && !decimal_number(value, &c->number))
            return mf_fail(MF_INVALID, "where: the column '%s' holds numbers, and '%s' is none",
                           w->columns[c->column].name, value);
        w->where_count++;
    }
    return MF_OK;
}

static mf_status meets(const work *w, const condition *c, int64_t row, bool *yes)
{
    const mf_array *numbers = w->columns[c->column].numbers;
    char *text;
    if (numbers) {
        *yes = ((const double *)numbers->data)[row] == c->number;
        return MF_OK;
    }
    MF_TRY(table_text(w->table, c->column, row, &text));
    *yes = strlen(text) == c->length && !strncmp(text, c->value, c->length);
    free(text);
    return MF_OK;
}

/* Whether a row has what `where` asks for. */
static mf_status fits(const work *w, int64_t row, bool *yes)
{
    *yes = true;
    for (size_t i = 0; i < w->where_count && *yes; i++)
        MF_TRY(meets(w, &w->where[i], row, yes));
    return MF_OK;
}

/* A value of a column as text, cut to `size`. */
static mf_status print_value(const work *w, size_t k, int64_t row, char *to, size_t size)
{
    const mf_array *numbers = w->columns[k].numbers;
    char *text;
    if (numbers) {
        snprintf(to, size, "%.15g", ((const double *)numbers->data)[row]);
        return MF_OK;
    }
    MF_TRY(table_text(w->table, k, row, &text));
    snprintf(to, size, "%s", text);
    free(text);
    return MF_OK;
}

#define SHOWN 12 /* values in an error message */

/* The different values of a column, in the order of the rows, as far as there is room. */
static mf_status list_values(const work *w, size_t k, char *all, size_t size)
{
    char value[SHOWN][64];
    size_t n = 0, at = 0;
    for (int64_t row = 0; row < w->rows; row++) {
        char next[64];
        size_t i = 0;
        MF_TRY(print_value(w, k, row, next, sizeof next));
        while (i < n && strcmp(value[i], next))
            i++;
        if (i < n)
            continue;
        if (n == SHOWN || at + sizeof next + 8 > size) {
            snprintf(all + at, size - at, ", ...");
            return MF_OK;
        }
        at += (size_t)snprintf(all + at, size - at, "%s%s", n ? ", " : "", next);
        strcpy(value[n++], next);
    }
    return MF_OK;
}

/* The error where no row has what `where` asks for: a name that is spelled wrong, most likely. */
static mf_status no_row(const work *w, const char *where)
{
    char all[1024] = "";
    for (size_t i = 0; i < w->where_count; i++) {
        const condition *c = &w->where[i];
        bool met = false;
        for (int64_t row = 0; row < w->rows && !met; row++)
            MF_TRY(meets(w, c, row, &met));
        if (met)
            continue;
        MF_TRY(list_values(w, c->column, all, sizeof all));
        return mf_hint(mf_fail(MF_INVALID, "where: no row has %.*s", (int)c->item_length, c->item),
                       "values of '%s': %s", w->columns[c->column].name,
                       w->rows ? all : "none, no rows");
    }
    return mf_hint(mf_fail(MF_INVALID, "where: no row has all of %s", where),
                   "rows have each of them, but not together");
}

static mf_status choose_columns(work *w, const summarize_params *o)
{
    MF_TRY(find_columns(w, "by", o->by, w->by, &w->by_count));
    MF_TRY(find_columns(w, "of", o->of, w->of, &w->of_count));
    MF_TRY(find_conditions(w, o->where));
    for (size_t i = 0; i < w->of_count; i++)
        if (!w->columns[w->of[i]].numbers)
            return mf_hint(
                mf_fail(MF_INVALID, "of: the column '%s' holds texts", w->columns[w->of[i]].name),
                "a mean is one of numbers");
    const bool all = w->of_count == 0;
    for (size_t k = 0; k < w->count && all; k++)
        if (w->columns[k].numbers && !chosen(w->by, w->by_count, k))
            w->of[w->of_count++] = k;
    return MF_OK;
}

/* The values of `by` in a row, joined; the caller frees. */
static mf_status key_of(const work *w, int64_t row, char **key)
{
    size_t size = 1;
    *key = calloc(1, 1);
    for (size_t i = 0; i < w->by_count && *key; i++) {
        const column *c = &w->columns[w->by[i]];
        char number[40], *text = NULL;
        mf_status status = MF_OK;
        if (c->numbers)
            snprintf(number, sizeof number, "%.17g", ((const double *)c->numbers->data)[row]);
        else
            status = table_text(w->table, w->by[i], row, &text);
        if (status) {
            free(*key);
            return status;
        }
        const char *value = text ? text : number;
        char *grown = realloc(*key, size + strlen(value) + 1);
        if (grown) {
            sprintf(grown + size - 1, "%s\t", value);
            size += strlen(value) + 1;
        } else {
            free(*key);
        }
        *key = grown;
        free(text);
    }
    return *key ? MF_OK : no_memory();
}

static mf_status new_group(work *w, char *key, int64_t row)
{
    if (w->group_count == w->room) {
        int64_t room = w->room ? 2 * w->room : 16;
        group *grown = realloc(w->groups, (size_t)room * sizeof *grown);
        if (!grown)
            return no_memory();
        w->groups = grown;
        w->room = room;
    }
    group *g = &w->groups[w->group_count];
    *g = (group){.first = row};
    g->mean = calloc(w->of_count + 1, sizeof *g->mean);
    g->m2 = calloc(w->of_count + 1, sizeof *g->m2);
    g->n = calloc(w->of_count + 1, sizeof *g->n);
    w->group_count++; /* what it has is freed, also where the rest is not there */
    if (!g->mean || !g->m2 || !g->n)
        return no_memory();
    g->key = strdup(key);
    return g->key ? MF_OK : no_memory();
}

static mf_status find_group(work *w, int64_t row, group **found)
{
    char *key;
    int64_t k = 0;
    MF_TRY(key_of(w, row, &key));
    while (k < w->group_count && strcmp(w->groups[k].key, key))
        k++;
    mf_status status = k == w->group_count ? new_group(w, key, row) : MF_OK;
    free(key);
    MF_TRY(status);
    *found = &w->groups[k];
    return MF_OK;
}

static mf_status add_row(work *w, int64_t row)
{
    group *g;
    bool taken;
    MF_TRY(fits(w, row, &taken));
    if (!taken)
        return MF_OK;
    MF_TRY(find_group(w, row, &g));
    g->rows++;
    for (size_t i = 0; i < w->of_count; i++) {
        double v = ((const double *)w->columns[w->of[i]].numbers->data)[row];
        if (isnan(v))
            continue;
        double away = v - g->mean[i];
        g->n[i]++;
        g->mean[i] += away / (double)g->n[i];
        g->m2[i] += away * (v - g->mean[i]);
    }
    return MF_OK;
}

/* Fails where a name is there twice: which of the two columns would be meant is not known. */
static mf_status check_names(const char *const *columns, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t length = strcspn(columns[i], ":");
        for (size_t k = 0; k < i; k++)
            if (strcspn(columns[k], ":") == length && !strncmp(columns[i], columns[k], length))
                return mf_hint(mf_fail(MF_INVALID, "the result would have the column '%.*s' twice",
                                       (int)length, columns[i]),
                               "the table is a summary already; name in `of` only columns of which "
                               "NAME, NAME_sd and NAME_n are not in use");
    }
    return MF_OK;
}

static mf_status new_table(const work *w, mf_table **table)
{
    static const char *const after[] = {"", "_sd", "_n"};
    const size_t most = 4 * MOST_COLUMNS + 2;
    char(*name)[TABLE_NAME + 8] = calloc(most, sizeof *name);
    const char **columns = calloc(most, sizeof *columns);
    size_t n = 0;
    if (!name || !columns) {
        free(name);
        free(columns);
        return no_memory();
    }
    for (size_t i = 0; i < w->by_count; i++, n++) {
        const column *c = &w->columns[w->by[i]];
        snprintf(name[n], sizeof name[n], "%s%s", c->name, c->numbers ? "" : ":text");
    }
    strcpy(name[n++], "rows");
    for (size_t i = 0; i < w->of_count; i++)
        for (size_t k = 0; k < 3; k++, n++)
            snprintf(name[n], sizeof name[n], "%s%s", w->columns[w->of[i]].name, after[k]);
    for (size_t i = 0; i < n; i++)
        columns[i] = name[i];
    mf_status status = check_names(columns, n);
    if (!status)
        status = mf_table_new(columns, table);
    free(name);
    free(columns);
    return status;
}

static mf_status put_group(const work *w, const group *g, mf_table *table)
{
    double numbers[4 * MOST_COLUMNS + 2] = {0};
    const char *texts[4 * MOST_COLUMNS + 2] = {0};
    char *copies[MOST_COLUMNS] = {0};
    mf_status status = MF_OK;
    size_t n = 0;
    for (size_t i = 0; i < w->by_count && !status; i++, n++) {
        const column *c = &w->columns[w->by[i]];
        if (c->numbers)
            numbers[n] = ((const double *)c->numbers->data)[g->first];
        else
            status = table_text(w->table, w->by[i], g->first, &copies[i]);
        texts[n] = copies[i];
    }
    numbers[n++] = (double)g->rows;
    for (size_t i = 0; i < w->of_count; i++) {
        double values = (double)g->n[i];
        numbers[n++] = g->n[i] ? g->mean[i] : NAN;
        numbers[n++] = g->n[i] > 1 ? sqrt(g->m2[i] / (values - 1)) : NAN;
        numbers[n++] = values;
    }
    if (!status)
        status = mf_table_put(table, numbers, texts);
    for (size_t i = 0; i < w->by_count; i++)
        free(copies[i]);
    return status;
}

static mf_status summarize(work *w, const summarize_params *o, mf_table **table)
{
    MF_TRY(read_columns(w));
    MF_TRY(choose_columns(w, o));
    for (int64_t row = 0; row < w->rows; row++)
        MF_TRY(add_row(w, row));
    if (w->where_count && !w->group_count)
        return no_row(w, o->where);
    MF_TRY(new_table(w, table));
    for (int64_t k = 0; k < w->group_count; k++)
        MF_TRY(put_group(w, &w->groups[k], *table));
    return MF_OK;
}

static void work_free(work *w)
{
    for (size_t i = 0; i < w->count; i++)
        mf_array_unref(w->columns[i].numbers);
    for (int64_t k = 0; k < w->group_count; k++) {
        free(w->groups[k].key);
        free(w->groups[k].mean);
        free(w->groups[k].m2);
        free(w->groups[k].n);
    }
    free(w->groups);
    free(w);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    work *w = calloc(1, sizeof *w);
    mf_table *table = NULL;
    mf_artifact *result;
    (void)session;
    if (!w)
        return no_memory();
    mf_status status = mf_in(t, "table", &w->table);
    if (!status)
        status = summarize(w, p, &table);
    work_free(w);
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
