/* experiments.c - the command experiments: parameters and metrics of earlier runs, as one table. */
#include "past.h"
#include "trials.h"

#include <massflow/memory.h>

#include <fnmatch.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers and texts ----------------------------------------------------------------------- */

static bool is_number(const char *text, double *value)
{
    char *end;

    *value = strtod(text, &end);
    return end != text && !*end && isfinite(*value);
}

/* Numbers before texts before nothing; texts by their letters. */
static int compare_texts(const char *a, const char *b)
{
    double x, y;
    const bool p = is_number(a, &x), q = is_number(b, &y);

    if (!*a != !*b)
        return *a ? -1 : 1;
    if (p && q)
        return (x > y) - (x < y);
    return p != q ? (p ? -1 : 1) : strcmp(a, b);
}

/* ---- columns --------------------------------------------------------------------------------- */

/* What is shown: columns by their number in the trials. */
typedef struct view {
    trials t;
    size_t *columns;
    size_t count;
    size_t *rows; /* chosen and sorted */
    size_t row_count;
    bool graphs; /* of several */
} view;

#define FIXED 3 /* run, started, status; and graph, where there are several */

static const char *fixed_name(size_t i)
{
    static const char *const names[] = {"run", "started", "status", "graph"};

    return names[i];
}

/* What a run has in one of the columns that all have; `text` is room for it. */
static const char *fixed_cell(const trial *row, size_t i, char text[32])
{
    if (i == 0)
        snprintf(text, 32, "%" PRId64, row->run->id);
    else if (i == 1)
        words_time(row->run->start, text);
    return i < 2 ? text : i == 2 ? row->run->status : row->run->graph;
}

/* Columns behind those of the trials are the ones that all have. */
static const char *value_of(const trials *t, size_t row, size_t column, char text[32])
{
    return column < t->column_count ? trials_cell(t, row, column)
                                    : fixed_cell(&t->rows[row], column - t->column_count, text);
}

static bool is_chosen(const trials *t, size_t column, const char *patterns)
{
    const trial_column *c = &t->columns[column];
    char *list, *rest = NULL;
    bool chosen = false;

    if (!patterns)
        return t->count < 2 ? c->metric : c->metric || c->differs;
    list = strdup(patterns);
    for (char *p = list ? strtok_r(list, ",", &rest) : NULL; p; p = strtok_r(NULL, ",", &rest))
        chosen |= !strcmp(p, c->name) || fnmatch(p, c->name, 0) == 0;
    free(list);
    return chosen;
}

static int choose_columns(view *v, const char *patterns)
{
    v->columns = calloc(v->t.column_count + 1, sizeof *v->columns);
    if (!v->columns)
        return command_fail(mf_no_memory(0, "a table of runs"), EXIT_FAILED);
    for (int metric = 0; metric < 2; metric++) /* parameters first */
        for (size_t c = 0; c < v->t.column_count; c++)
            if (v->t.columns[c].metric == metric && is_chosen(&v->t, c, patterns))
                v->columns[v->count++] = c;
    if (!v->count && patterns)
        return command_refuse("no column is named '%s'; 'massflow experiments --list' has their "
                              "names",
                              patterns);
    return EXIT_DONE;
}

/* The column of a name; its number, or a refusal. */
static int find_column(const trials *t, const char *name, size_t length, size_t *column)
{
    const char **names = calloc(t->column_count + 1, sizeof *names);
    char *text = strndup(name, length);
    const char *near = NULL;

    for (*column = 0; *column < t->column_count; (*column)++) {
        if (text && !strcmp(t->columns[*column].name, text))
            break;
        if (names)
            names[*column] = t->columns[*column].name;
    }
    int code = EXIT_DONE;
    for (size_t i = 0; text && i < FIXED && *column == t->column_count + i; i++)
        *column += strcmp(fixed_name(i), text) != 0;
    if (*column == t->column_count + FIXED) {
        near = names && text ? mf_nearest(text, names, t->column_count) : NULL;
        code = near ? command_refuse("there is no column '%.*s'; did you mean '%s'?", (int)length,
                                     name, near)
                    : command_refuse("there is no column '%.*s'; 'massflow experiments --list' has "
                                     "their names",
                                     (int)length, name);
    }
    free(names);
    free(text);
    return code;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static const char *const operators[] = {"<=", ">=", "!=", "=", "<", ">"};

/* "encoder.steps>=600": where the operator is, and which; false where there is none. */
static bool split(const char *text, size_t *at, size_t *which)
{
    *at = strcspn(text, "<>=!");
    for (*which = 0; *which < sizeof operators / sizeof *operators; (*which)++)
        if (*at && !strncmp(text + *at, operators[*which], strlen(operators[*which])))
            return true;
    return false;
}

static bool holds(const char *cell, size_t which, const char *value)
{
    const int order = compare_texts(cell, value);

    if (!*cell)
        return which == 2 && *value;
    switch (which) {
    case 0:
        return order <= 0;
    case 1:
        return order >= 0;
    case 2:
        return order != 0;
    case 3:
        return order == 0;
    case 4:
        return order < 0;
    default:
        return order > 0;
    }
}

static int filter(view *v, const char *text)
{
    size_t at, which, column, kept = 0;
    char own[32];
    int code;

    if (!split(text, &at, &which))
        return command_refuse("--where takes COLUMN=VALUE, or one of != < > <= >=, not '%s'", text);
    code = find_column(&v->t, text, at, &column);
    for (size_t i = 0; !code && i < v->row_count; i++)
        if (holds(value_of(&v->t, v->rows[i], column, own), which,
                  text + at + strlen(operators[which])))
            v->rows[kept++] = v->rows[i];
    v->row_count = kept;
    return code;
}

typedef struct order {
    const trials *t;
    size_t column;
    bool falling;
} order;

static int by_cell(const void *a, const void *b, void *self)
{
    const order *o = self;
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    char own[2][32];
    const char *p = value_of(o->t, x, o->column, own[0]), *q = value_of(o->t, y, o->column, own[1]);
    int sign = compare_texts(p, q);

    if (o->falling && *p && *q) /* what has no value stays last */
        sign = -sign;
    return sign ? sign : (x > y) - (x < y);
}

static int choose_rows(const args *a, view *v)
{
    const char *by = args_value(a, "sort");
    order o = {.t = &v->t, .falling = by && *by == '-'};
    int code = EXIT_DONE;

    v->rows = calloc(v->t.count + 1, sizeof *v->rows);
    if (!v->rows)
        return command_fail(mf_no_memory(0, "a table of runs"), EXIT_FAILED);
    for (v->row_count = 0; v->row_count < v->t.count; v->row_count++)
        v->rows[v->row_count] = v->row_count;
    for (size_t i = 0; !code && i < args_value_count(a, "where"); i++)
        code = filter(v, args_value_at(a, "where", i));
    if (!code && by) {
        by += o.falling;
        code = find_column(&v->t, by, strlen(by), &o.column);
        if (!code && v->row_count)
            qsort_r(v->rows, v->row_count, sizeof *v->rows, by_cell, &o);
    }
    for (size_t i = 1; i < v->t.count; i++)
        v->graphs |= strcmp(v->t.rows[i].run->graph, v->t.rows[0].run->graph) != 0;
    return code;
}

/* ---- shown ----------------------------------------------------------------------------------- */

static const char *head(const view *v, size_t i)
{
    const size_t fixed = FIXED + v->graphs;

    return i < fixed ? fixed_name(i) : v->t.columns[v->columns[i - fixed]].name;
}

static const char *cell(const view *v, size_t row, size_t i, char text[32])
{
    const size_t fixed = FIXED + v->graphs;

    return i < fixed ? fixed_cell(&v->t.rows[v->rows[row]], i, text)
                     : trials_cell(&v->t, v->rows[row], v->columns[i - fixed]);
}

static size_t width_of(const view *v, size_t i, bool *numbers)
{
    size_t width = strlen(head(v, i));
    char text[32];
    double value;

    *numbers = true;
    for (size_t r = 0; r < v->row_count; r++) {
        const char *c = cell(v, r, i, text);
        width = strlen(c) > width ? strlen(c) : width;
        *numbers &= !*c || is_number(c, &value);
    }
    return width;
}

/* So many are shown where none are chosen: a line is to be read. */
#define SHOWN 10

static void print_text(const view *v, bool chosen)
{
    const size_t shown = chosen || v->count <= SHOWN ? v->count : SHOWN;
    const size_t columns = FIXED + v->graphs + shown;
    char text[32];

    for (size_t line = 0; line <= v->row_count; line++)
        for (size_t i = 0; i < columns; i++) {
            bool numbers;
            const int width = (int)width_of(v, i, &numbers);
            const char *c = line ? cell(v, line - 1, i, text) : head(v, i);
            if (i + 1 == columns && !numbers)
                printf("%s", c);
            else
                printf("%*s", numbers ? width : -width, c);
            printf("%s", i + 1 == columns ? "\n" : "  ");
        }
    if (shown < v->count)
        printf("and %zu columns more: --list has their names, --columns chooses some\n",
               v->count - shown);
}

static void print_csv_cell(const char *c)
{
    if (!strpbrk(c, "\",\r\n")) {
        fputs(c, stdout);
        return;
    }
    putchar('"');
    for (; *c; c++)
        printf(*c == '"' ? "\"\"" : "%c", *c);
    putchar('"');
}

static void print_csv(const view *v)
{
    const size_t columns = FIXED + v->graphs + v->count;
    char text[32];

    for (size_t line = 0; line <= v->row_count; line++)
        for (size_t i = 0; i < columns; i++) {
            print_csv_cell(line ? cell(v, line - 1, i, text) : head(v, i));
            putchar(i + 1 == columns ? '\n' : ',');
        }
}

/* An object a run; numbers as numbers, what a run does not have is left out. */
static void print_json(const view *v)
{
    const size_t columns = FIXED + v->graphs + v->count;
    json_object *list = json_object_new_array();
    char text[32];
    double value;

    for (size_t r = 0; r < v->row_count; r++) {
        json_object *o = json_object_new_object();
        for (size_t i = 0; i < columns; i++) {
            const char *c = cell(v, r, i, text);
            if (*c)
                json_object_object_add(o, head(v, i),
                                       is_number(c, &value) ? json_object_new_double_s(value, c)
                                                            : json_object_new_string(c));
        }
        json_object_array_add(list, o);
    }
    printf("%s\n", json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY));
    json_object_put(list);
}

static void print_list(const trials *t)
{
    for (size_t c = 0; c < t->column_count; c++)
        printf("%s%s\n", t->columns[c].name,
               t->columns[c].metric    ? "  (metric)"
               : t->columns[c].differs ? "  (differs)"
                                       : "");
}

static int show(const args *a, view *v)
{
    const char *format = args_value(a, "format") ? args_value(a, "format") : "text";
    int code;

    if (strcmp(format, "text") && strcmp(format, "csv") && strcmp(format, "json"))
        return command_refuse("--format is 'text', 'csv' or 'json', not '%s'", format);
    if (args_has(a, "list")) {
        print_list(&v->t);
        return EXIT_DONE;
    }
    code = choose_columns(v, args_value(a, "columns"));
    if (!code)
        code = choose_rows(a, v);
    if (code)
        return code;
    if (!strcmp(format, "csv"))
        print_csv(v);
    else if (!strcmp(format, "json"))
        print_json(v);
    else
        print_text(v, args_has(a, "columns"));
    return EXIT_DONE;
}

static int experiments(const args *a)
{
    mf_registry *registry;
    view v = {0};
    past p;
    int code = open_registry(a, &registry);

    if (code)
        return code;
    code = past_open(a, &p);
    if (!code && (p.run || p.node))
        code = command_refuse("experiments takes a graph file, not '%s'", args_at(a, 0));
    if (!code) {
        mf_status status = trials_read(p.store, registry, p.graph, 0, &v.t);
        code = status ? command_fail(status, EXIT_FAILED) : show(a, &v);
        trials_clear(&v.t);
        free(v.columns);
        free(v.rows);
    }
    past_close(&p);
    mf_registry_free(registry);
    return code;
}

static const option experiments_options[] = {
    {0, "columns", "NAME,NAME", "these columns; * stands for anything: 'encoder.*,dice*'"},
    {0, "where", "COLUMN=VALUE", "only such runs; also != < > <= >=; may be repeated"},
    {0, "sort", "COLUMN", "in this order; -COLUMN: the greatest first"},
    {0, "format", "text|csv|json", "how it is printed; default: text"},
    {0, "list", NULL, "list the names of all columns"},
    OPTION_CACHE,
    OPTION_PLUGINS,
    OPTION_END};

const command command_experiments = {
    "experiments",
    "[GRAPH]",
    "show parameters and metrics of earlier runs as a table",
    "A row is a run; of runs that came to the same the newest is "
    "shown. Columns are the parameters\n"
    "that differ between them, and the numbers of tables that are "
    "not of one case: the row 'mean',\n"
    "the rows of a small table, or the last row of a curve (a column 'step' or 'epoch').",
    experiments_options,
    0,
    1,
    experiments};
