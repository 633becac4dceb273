/* measure.c - tables as columns of numbers and texts, and pictures as PNG. */
#include "parts.h"
#include "run/artifact/sheet.h"
#include "run/artifact/write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CELLS 2000000

static mf_status of_type(const mf_artifact *a, const char *type)
{
    if (!strcmp(mf_artifact_type(a), type))
        return MF_OK;
    return mf_fail(MF_INVALID, "it is of type %s, not %s", mf_artifact_type(a), type);
}

/* A number as it reads back the same; null for an undefined one. */
static mf_status cell(const mf_sheet *sheet, size_t column, int64_t row, json_object **o)
{
    const mf_array *numbers = sheet->columns[column].numbers;
    char *text = mf_sheet_cell(sheet, column, row, 0);

    *o = NULL;
    if (!text)
        return mf_no_memory(0, "a table");
    if (!numbers)
        *o = desk_text(text);
    else if (isfinite(((const double *)numbers->data)[row]))
        *o = json_object_new_double_s(((const double *)numbers->data)[row], text);
    free(text);
    return MF_OK;
}

static mf_status column_of(const mf_sheet *sheet, size_t c, int64_t rows, json_object **o)
{
    json_object *values = json_object_new_array();

    *o = json_object_new_object();
    desk_put(*o, "name", sheet->columns[c].name);
    json_object_object_add(*o, "number",
                           json_object_new_boolean(sheet->columns[c].numbers != NULL));
    json_object_object_add(*o, "values", values);
    for (int64_t i = 0; i < rows; i++) {
        json_object *value;
        mf_status status = cell(sheet, c, i, &value);
        if (status) {
            json_object_put(*o);
            *o = NULL;
            return status;
        }
        json_object_array_add(values, value);
    }
    return MF_OK;
}

static mf_status table_of(const mf_sheet *sheet, json_object **o)
{
    json_object *columns = json_object_new_array();
    int64_t most = sheet->count ? MOST_CELLS / (int64_t)sheet->count : 0;
    int64_t rows = sheet->rows < most ? sheet->rows : most;

    *o = json_object_new_object();
    json_object_object_add(*o, "columns", columns);
    json_object_object_add(*o, "rows", json_object_new_int64(sheet->rows));
    json_object_object_add(*o, "given", json_object_new_int64(rows));
    for (size_t c = 0; c < sheet->count; c++) {
        json_object *column;
        mf_status status = column_of(sheet, c, rows, &column);
        if (status) {
            json_object_put(*o);
            *o = NULL;
            return status;
        }
        json_object_array_add(columns, column);
    }
    return MF_OK;
}

static mf_status answer_table(desk_request *q, desk_reply *r)
{
    mf_artifact *a;
    mf_sheet sheet = {0};
    json_object *o = NULL;

    MF_TRY(desk_artifact(q, &a));
    mf_status status = of_type(a, "table");
    if (!status)
        status = mf_sheet_read(a, &sheet);
    mf_artifact_unref(a);
    if (!status) {
        status = table_of(&sheet, &o);
        mf_sheet_clear(&sheet);
    }
    MF_TRY(status);
    desk_reply_json(r, o);
    if (desk_query(q, "id"))
        desk_reply_lasting(r);
    return MF_OK;
}

static mf_status encode(const mf_artifact *a, char **bytes, size_t *size)
{
    mf_array *rgb;
    FILE *file;

    *bytes = NULL;
    MF_TRY(of_type(a, "image"));
    MF_TRY(mf_artifact_array(a, "rgb", &rgb));
    file = open_memstream(bytes, size);
    mf_status status = file ? mf_encode_png(file, rgb) : mf_no_memory(0, "a picture");
    if (file && fclose(file) && !status)
        status = mf_no_memory(0, "a picture");
    mf_array_unref(rgb);
    if (status) {
        free(*bytes);
        *bytes = NULL;
    }
    return status;
}

static mf_status answer_picture(desk_request *q, desk_reply *r)
{
    mf_artifact *a;
    char *bytes;
    size_t size;

    MF_TRY(desk_artifact(q, &a));
    mf_status status = encode(a, &bytes, &size);
    mf_artifact_unref(a);
    MF_TRY(status);
    desk_reply_bytes(r, "image/png", bytes, size);
    if (desk_query(q, "id"))
        desk_reply_lasting(r);
    return MF_OK;
}

const desk_route desk_measure_routes[] = {{"GET", "/api/table", answer_table},
                                          {"GET", "/api/picture", answer_picture},
                                          {NULL, NULL, NULL}};
