/* write_json.c - an artifact in words: attributes, shapes, a table's rows. */
#include "base/utf8.h"
#include "run/artifact/sheet.h"
#include "run/artifact/write.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_object *real(double value)
{
    char text[40];

    if (!isfinite(value))
        return NULL; /* JSON has no such numbers: null */
    snprintf(text, sizeof text, "%.*g", mf_shortest_digits(value), value);
    return json_object_new_double_s(value, text);
}

static json_object *attributes(const mf_artifact *a)
{
    json_object *all = json_object_new_object();
    mf_attribute_kind kind;

    for (size_t i = 0; i < mf_artifact_attribute_count(a); i++) {
        const char *name = mf_artifact_attribute(a, i, &kind);
        json_object *value = NULL;
        int64_t number;
        size_t count = 0;
        if (kind == MF_ATTRIBUTE_TEXT) {
            value = json_object_new_string(mf_artifact_text(a, name));
        } else if (kind == MF_ATTRIBUTE_INT && mf_artifact_int(a, name, &number)) {
            value = json_object_new_int64(number);
        } else {
            const double *reals = mf_artifact_reals(a, name, &count);
            value = json_object_new_array();
            for (size_t k = 0; reals && k < count; k++)
                json_object_array_add(value, real(reals[k]));
        }
        json_object_object_add(all, name, value);
    }
    return all;
}

static json_object *arrays(const mf_artifact *a)
{
    json_object *all = json_object_new_object();

    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        json_object *one = json_object_new_object();
        json_object *shape = json_object_new_array();
        mf_array_info info;
        mf_artifact_array_info(a, i, &info);
        json_object_object_add(one, "dtype", json_object_new_string(mf_dtype_text(info.dtype)));
        for (int d = 0; d < info.rank; d++)
            json_object_array_add(shape, json_object_new_int64(info.shape[d]));
        json_object_object_add(one, "shape", shape);
        if (info.ragged)
            json_object_object_add(one, "rows", json_object_new_int64(info.rows));
        json_object_object_add(all, info.name, one);
    }
    return all;
}

static mf_status rows(const mf_artifact *a, json_object **all)
{
    mf_sheet sheet;

    MF_TRY(mf_sheet_read(a, &sheet));
    *all = json_object_new_array();
    for (int64_t r = 0; r < sheet.rows; r++) {
        json_object *row = json_object_new_object();
        for (size_t c = 0; c < sheet.count; c++) {
            const mf_sheet_column *column = &sheet.columns[c];
            json_object *value = NULL;
            if (column->numbers) {
                value = real(((const double *)column->numbers->data)[r]);
            } else {
                char *cell = mf_sheet_cell(&sheet, c, r, 0);
                value = cell ? json_object_new_string(cell) : NULL;
                free(cell);
            }
            json_object_object_add(row, column->name, value);
        }
        json_object_array_add(*all, row);
    }
    mf_sheet_clear(&sheet);
    return MF_OK;
}

/* Texts may come from anywhere; JSON is UTF-8. */
static mf_status put_file(const char *path, const char *json)
{
    char *clean = mf_utf8_clean(json);
    FILE *file = clean ? fopen(path, "we") : NULL;
    mf_status status = MF_OK;

    if (!clean)
        return mf_no_memory(0, "a file of JSON");
    bool good = file && fputs(clean, file) >= 0;
    int failed = errno;
    if (file && fclose(file) != 0) {
        good = false;
        failed = errno;
    }
    if (!good)
        status = mf_fail(MF_IO, "%s", strerror(failed));
    free(clean);
    return status;
}

mf_status mf_write_json(const mf_artifact *a, const char *path)
{
    json_object *top = json_object_new_object(), *table = NULL;
    mf_status status = MF_OK;

    json_object_object_add(top, "type", json_object_new_string(mf_artifact_type(a)));
    if (mf_artifact_id(a))
        json_object_object_add(top, "id", json_object_new_string(mf_artifact_id(a)));
    json_object_object_add(top, "attributes", attributes(a));
    json_object_object_add(top, "arrays", arrays(a));
    if (!strcmp(mf_artifact_type(a), "table"))
        status = rows(a, &table);
    if (table)
        json_object_object_add(top, "rows", table);
    if (!status)
        status = put_file(path, json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY));
    json_object_put(top);
    return status;
}
