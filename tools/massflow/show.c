/* show.c - the command show: an artifact in words. */
#include "run/sheet.h"
#include "workspace.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one artifact ---------------------------------------------------------------------------- */

static void print_attributes(const mf_artifact *a)
{
    mf_attribute_kind kind;

    for (size_t i = 0; i < mf_artifact_attribute_count(a); i++) {
        const char *name = mf_artifact_attribute(a, i, &kind);
        int64_t number;
        size_t count = 0;
        if (strcmp(name, "columns") == 0 && strcmp(mf_artifact_type(a), "table") == 0)
            continue;
        printf("  %-16s ", name);
        if (kind == MF_ATTRIBUTE_TEXT) {
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
        return mf_fail(MF_NO_MEMORY, "no memory for a table");
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

static mf_status print_artifact(const mf_artifact *a)
{
    const char *text = mf_artifact_text(a, "text");

    printf("%s %.12s\n", mf_artifact_type(a), mf_artifact_id(a) ? mf_artifact_id(a) : "");
    if (strcmp(mf_artifact_type(a), "text") == 0 && text) {
        printf("%s\n", text);
        return MF_OK;
    }
    print_attributes(a);
    if (strcmp(mf_artifact_type(a), "table") == 0)
        return print_table(a);
    return print_arrays(a);
}

static int show(const args *a)
{
    workspace w;
    mf_artifact *artifact = NULL;
    char id[MF_HEX_SIZE];
    mf_status error = MF_OK;
    int code;

    if (args_count(a) == 2) {
        code = workspace_open(a, MF_STORE_READ, &w);
        if (code)
            return code;
        code = workspace_artifact(a, &w, args_at(a, 1), NULL, &artifact);
    } else {
        code = workspace_open_cache(a, &w);
        if (code)
            return code;
        error = mf_store_resolve(w.store, args_at(a, 0), id);
        if (!error)
            error = mf_store_get(w.store, id, &artifact);
        if (error)
            code = command_fail(error, EXIT_REQUEST);
    }
    if (!code) {
        error = print_artifact(artifact);
        if (error)
            code = command_fail(error, EXIT_FAILED);
    }
    mf_artifact_unref(artifact);
    workspace_close(&w);
    return code;
}

static const option show_options[] = {OPTION_SET, OPTION_CACHE, OPTION_CODE, OPTION_PLUGINS,
                                      OPTION_END};

const command command_show_artifact = {
    "show",
    "GRAPH NODE[.PORT] | ARTIFACT",
    "an artifact: attributes, shapes, statistics; tables as a table",
    "An ARTIFACT is the first digits of its id ('massflow cache ls'), in the cache given with\n"
    "--cache or in .massflow of the current folder.",
    show_options,
    1,
    2,
    show};
