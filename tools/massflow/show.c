/* show.c - the command show: an artifact in words. */
#include "draw.h"
#include "origin.h"
#include "run/artifact/check.h"
#include "run/artifact/sheet.h"
#include "run/artifact/write.h"
#include "run/output/partial.h"
#include "workspace.h"
#include <inttypes.h>
#include <massflow/names.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- one artifact ---------------------------------------------------------------------------- */

#define UNDER_NAMES "\n                   "

/* Sets of labels that have a name, one a line. */
static void print_sets(const mf_artifact *a, bool first)
{
    mf_label_sets sets;
    mf_status status = mf_artifact_label_sets(a, &sets);

    for (size_t i = 0; !status && i < sets.count; i++) {
        printf("%s", first && !i ? "" : UNDER_NAMES);
        for (size_t k = 0; k < sets.v[i].count; k++)
            printf("%s%" PRId64, k ? "+" : "", sets.v[i].values[k]);
        printf(" %s", sets.v[i].name);
    }
    printf("\n");
    mf_label_sets_clear(&sets);
    mf_error_free(status);
}

/* The names of labels, one a line. False where they are none. */
static bool print_names(const mf_artifact *a)
{
    mf_names names;
    mf_status status = mf_artifact_names(a, &names);

    if (status) {
        mf_error_free(status);
        return false;
    }
    for (size_t i = 0; i < names.count; i++) {
        printf("%s%" PRId64 " %s", i ? UNDER_NAMES : "", names.v[i].value, names.v[i].name);
        if (names.v[i].colour != MF_NO_COLOUR)
            printf(" #%06x", (unsigned)names.v[i].colour);
    }
    print_sets(a, names.count == 0);
    mf_names_clear(&names);
    return true;
}

static void print_attributes(const mf_artifact *a)
{
    mf_attribute_kind kind;

    for (size_t i = 0; i < mf_artifact_attribute_count(a); i++) {
        const char *name = mf_artifact_attribute(a, i, &kind);
        int64_t number;
        size_t count = 0;
        if (!strcmp(name, "columns") && !strcmp(mf_artifact_type(a), "table"))
            continue;
        printf("  %-16s ", name);
        if (!strcmp(name, "names") && print_names(a)) {
            continue;
        } else if (kind == MF_ATTRIBUTE_TEXT) {
            printf("%s\n", mf_artifact_text(a, name));
        } else if (kind == MF_ATTRIBUTE_INT && mf_artifact_int(a, name, &number)) {
            printf("%" PRId64 "\n", number);
        } else {
            const double *reals = mf_artifact_reals(a, name, &count);
            for (size_t k = 0; reals && k < count; k++)
                printf("%s%.6g", k ? " " : "", reals[k]);
            printf("\n");
        }
    }
}

typedef struct statistics {
    double min, max, mean;
    int64_t count, bad; /* values; NaN and infinite ones, which are not counted in */
} statistics;

static void add_value(statistics *s, double value)
{
    if (!isfinite(value)) {
        s->bad++;
        return;
    }
    if (!s->count || value < s->min)
        s->min = value;
    if (!s->count || value > s->max)
        s->max = value;
    s->count++;
    s->mean += (value - s->mean) / (double)s->count;
}

static double value_at(const mf_array *x, int64_t i)
{
    switch (x->dtype) {
    case MF_U8:
        return ((const uint8_t *)x->data)[i];
    case MF_I8:
        return ((const int8_t *)x->data)[i];
    case MF_U16:
        return ((const uint16_t *)x->data)[i];
    case MF_I16:
        return ((const int16_t *)x->data)[i];
    case MF_U32:
        return ((const uint32_t *)x->data)[i];
    case MF_I32:
        return ((const int32_t *)x->data)[i];
    case MF_I64:
        return (double)((const int64_t *)x->data)[i];
    case MF_F64:
        return ((const double *)x->data)[i];
    default:
        return ((const float *)x->data)[i];
    }
}

static mf_status print_statistics(const mf_artifact *a, const mf_array_info *info)
{
    statistics s = {0};
    mf_array *array, *plain;
    mf_status status;

    MF_TRY(mf_artifact_array(a, info->name, &array));
    status = mf_array_convert(array, info->dtype == MF_F16 ? MF_F32 : info->dtype, &plain);
    mf_array_unref(array);
    MF_TRY(status);
    for (int64_t i = 0; i < mf_array_count(plain); i++)
        add_value(&s, value_at(plain, i));
    mf_array_unref(plain);
    if (s.count)
        printf("  min %.6g  max %.6g  mean %.6g", s.min, s.max, s.mean);
    if (s.bad)
        printf("  %" PRId64 " not finite", s.bad);
    return MF_OK;
}

static mf_status print_arrays(const mf_artifact *a)
{
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        mf_artifact_array_info(a, i, &info);
        printf("  %-16s %s ", info.name, mf_dtype_text(info.dtype));
        if (info.ragged) {
            printf("%" PRId64 " rows, %" PRId64 " bytes\n", info.rows, info.shape[0]);
            continue;
        }
        printf("[");
        for (int d = 0; d < info.rank; d++)
            printf("%s%" PRId64, d ? ", " : "", info.shape[d]);
        printf("]");
        if (strcmp(mf_artifact_type(a), "file") != 0)
            MF_TRY(print_statistics(a, &info));
        printf("\n");
    }
    return MF_OK;
}

static size_t cell_width(const mf_sheet *sheet, size_t column)
{
    size_t width = strlen(sheet->columns[column].name);

    for (int64_t r = 0; r < sheet->rows; r++) {
        char *cell = mf_sheet_cell(sheet, column, r, 6);
        size_t length = cell ? strlen(cell) : 0;
        width = length > width ? length : width;
        free(cell);
    }
    return width;
}

static mf_status print_table(const mf_artifact *a)
{
    mf_sheet sheet;
    size_t *widths;

    MF_TRY(mf_sheet_read(a, &sheet));
    widths = calloc(sheet.count ? sheet.count : 1, sizeof *widths);
    if (!widths) {
        mf_sheet_clear(&sheet);
        return mf_no_memory(0, "a table");
    }
    for (size_t c = 0; c < sheet.count; c++) {
        widths[c] = cell_width(&sheet, c);
        printf("%s%*s", c ? "  " : "", sheet.columns[c].numbers ? (int)widths[c] : -(int)widths[c],
               sheet.columns[c].name);
    }
    printf("\n");
    for (int64_t r = 0; r < sheet.rows; r++) {
        for (size_t c = 0; c < sheet.count; c++) {
            char *cell = mf_sheet_cell(&sheet, c, r, 6);
            printf("%s%*s", c ? "  " : "",
                   sheet.columns[c].numbers ? (int)widths[c] : -(int)widths[c], cell ? cell : "");
            free(cell);
        }
        printf("\n");
    }
    free(widths);
    mf_sheet_clear(&sheet);
    return MF_OK;
}

/* Where a stored artifact is from: the action of its node, else the first that names it. */
static mf_status print_origin(const workspace *w, const located *f)
{
    const mf_plan_node *n = f->at.plan ? mf_plan_at(f->at.plan, f->at.node) : NULL;
    mf_action **actions = NULL, *made = NULL;
    size_t count = 0;
    mf_status status;

    if (n) {
        MF_TRY(mf_store_find(w->store, n->key, NULL, &made));
        status = made ? origin_print(w->store, made, n->node->name) : MF_OK;
        mf_action_free(made);
        return status;
    }
    if (!w->store || !mf_artifact_id(f->artifact))
        return MF_OK;
    MF_TRY(mf_store_artifact_actions(w->store, mf_artifact_id(f->artifact), 1, &actions, &count));
    status = count ? origin_print(w->store, actions[0], NULL) : MF_OK;
    mf_action_list_free(actions, count);
    return status;
}

static mf_status print_artifact(const workspace *w, const located *f)
{
    const mf_artifact *a = f->artifact;
    const char *text = mf_artifact_text(a, "text");

    printf("%s%s%.12s\n", mf_artifact_type(a), mf_artifact_id(a) ? " " : "",
           mf_artifact_id(a) ? mf_artifact_id(a) : "");
    MF_TRY(print_origin(w, f));
    if (!strcmp(mf_artifact_type(a), "text") && text) {
        printf("%s\n", text);
        return MF_OK;
    }
    print_attributes(a);
    if (!strcmp(mf_artifact_type(a), "table"))
        return print_table(a);
    return print_arrays(a);
}

/* ---- a picture ------------------------------------------------------------------------------- */

static mf_status draw(const args *a, const workspace *w, const located *f,
                      const mf_output_rule *rule)
{
    const char *file = args_value(a, "output"), *slice = args_value(a, "slice");
    mf_artifact *image = NULL;
    mf_array *rgb;
    mf_view view;
    mf_status status;

    MF_TRY(draw_parse(slice ? slice : "z", &view));
    MF_TRY(draw_artifact(w->registry, f->at.plan, f->at.node, f->artifact, &view, &rgb));
    status = mf_artifact_new("image", &image);
    if (!status)
        status = mf_artifact_add(image, "rgb", rgb);
    mf_partials_sweep(file);
    if (!status)
        status = mf_write_output(w->registry, image, file, NULL, rule, NULL, NULL);
    mf_array_unref(rgb);
    mf_artifact_unref(image);
    if (!status)
        printf("%s\n", file);
    return status;
}

/* ---- finding it ------------------------------------------------------------------------------ */

static mf_status read_file(const workspace *w, const char *path, bool folder, located *f)
{
    const mf_type *type = mf_registry_reader(w->registry, path, folder);

    if (!type)
        return mf_hint(mf_fail(MF_UNSUPPORTED, "no plugin reads %s %s by its name",
                               folder ? "the folder" : "the file", path),
                       "scans and .safetensors files can be shown; parts of a result are named "
                       "with their graph: massflow show GRAPH NODE");
    mf_status status = type->read(path, &f->artifact);
    if (status)
        f->artifact = NULL; /* of what a plugin left there after an error nothing is known */
    return status;
}

/* One operand: a file, a folder, or the first digits of an id. */
static int find_bare(const args *a, workspace *w, located *f)
{
    const char *text = args_at(a, 0);
    char id[MF_HEX_SIZE];
    struct stat about;
    mf_status status;
    int code;

    if (stat(text, &about) == 0) {
        memset(w, 0, sizeof *w);
        code = open_registry(a, &w->registry);
        if (code)
            return code;
        status = read_file(w, text, S_ISDIR(about.st_mode), f);
        return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
    }
    code = workspace_open_cache(a, w);
    if (code)
        return code;
    code = open_registry(a, &w->registry);
    if (code)
        return code;
    status = mf_store_resolve(w->store, text, id);
    if (!status)
        status = mf_open_artifact(w->store, w->registry, id, &f->artifact);
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

static int show(const args *a)
{
    bool picture = args_has(a, "output");
    workspace w = {0};
    located f = {0};
    mf_output_rule rule = {0};
    mf_status status = MF_OK;
    int code;

    if (args_has(a, "slice") && !picture)
        return command_refuse("a picture needs a file to go to: --slice %s -o FILE.png",
                              args_value(a, "slice"));
    if (args_count(a) == 2) {
        code = workspace_open(a, MF_STORE_READ, &w);
        if (!code)
            code = workspace_artifact(a, &w, args_at(a, 1), NULL, &f);
    } else {
        code = find_bare(a, &w, &f);
    }
    if (!code && picture)
        code = workspace_rule(a, &w, true, &rule);
    if (picture && args_count(a) == 1)
        rule.source = args_at(a, 0);
    if (!code)
        status = picture ? draw(a, &w, &f, &rule) : print_artifact(&w, &f);
    if (status)
        code = command_fail(status, EXIT_FAILED);
    located_clear(&f);
    workspace_close(&w);
    return code;
}

static const option show_options[] = {
    {0, "slice", "AXIS[=K]", "with -o: draw slices across z, y or x, or slice K only"},
    {'o', "output", "FILE.png", "output image"},
    OPTION_FORCE,
    OPTION_SET,
    OPTION_CACHE,
    OPTION_CODE,
    OPTION_PLUGINS,
    OPTION_END};

const command command_show_artifact = {
    "show",
    "GRAPH NODE[.PORT] | FILE | ARTIFACT",
    "show a result or a file: attributes, shapes, statistics, tables, images",
    "FILE: a scan, a folder of DICOM files, or weights (.safetensors). ARTIFACT: the first digits\n"
    "of an artifact id ('massflow cache ls'), in the cache of --cache or in .massflow in the\n"
    "current folder. Labels and masks are drawn over their scan if it is in the cache.",
    show_options,
    1,
    2,
    show};
