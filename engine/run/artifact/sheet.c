/* sheet.c - reading tables back. */
#include "run/artifact/sheet.h"
#include "base/artifact_source.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void mf_sheet_clear(mf_sheet *sheet)
{
    for (size_t i = 0; i < sheet->count; i++) {
        free(sheet->columns[i].name);
        mf_array_unref(sheet->columns[i].numbers);
        mf_array_unref(sheet->columns[i].bytes);
        mf_array_unref(sheet->columns[i].starts);
    }
    free(sheet->columns);
    memset(sheet, 0, sizeof *sheet);
}

static mf_status read_column(const mf_artifact *table, size_t i, mf_sheet_column *c, int64_t *rows)
{
    char name[32];
    mf_array_info info;

    snprintf(name, sizeof name, "column.%zu", i);
    if (!mf_artifact_find(table, name, &info))
        return mf_fail(MF_CORRUPT, "the table has no array '%s'", name);
    if (info.ragged) {
        *rows = info.rows;
        return mf_artifact_rows(table, name, &c->bytes, &c->starts);
    }
    if (info.dtype != MF_F64 || info.rank != 1)
        return mf_fail(MF_CORRUPT, "array '%s' of a table is not f64 [rows]", name);
    *rows = info.shape[0];
    return mf_artifact_array(table, name, &c->numbers);
}

static mf_status read_all(const mf_artifact *table, mf_sheet *sheet)
{
    const char *names = mf_artifact_text(table, "columns");
    size_t room = 1;

    if (!names)
        return mf_fail(MF_CORRUPT, "the table has no attribute 'columns'");
    for (const char *c = names; *c; c++)
        room += *c == '\t';
    sheet->columns = calloc(room, sizeof *sheet->columns);
    if (!sheet->columns)
        return mf_no_memory((size_t)room * sizeof *sheet->columns, "a table");
    while (*names) {
        size_t length = strcspn(names, "\t");
        size_t i = sheet->count++;
        int64_t rows = 0;
        sheet->columns[i].name = strndup(names, length);
        if (!sheet->columns[i].name)
            return mf_no_memory(0, "a table");
        MF_TRY(read_column(table, i, &sheet->columns[i], &rows));
        if (i && rows != sheet->rows)
            return mf_fail(MF_CORRUPT, "the columns of the table differ in length");
        sheet->rows = rows;
        names += length + (names[length] == '\t');
    }
    return MF_OK;
}

mf_status mf_sheet_read(const mf_artifact *table, mf_sheet *sheet)
{
    mf_status status;

    memset(sheet, 0, sizeof *sheet);
    status = read_all(table, sheet);
    if (status)
        mf_sheet_clear(sheet);
    return status;
}

int mf_shortest_digits(double value)
{
    int digits = 1, whole = 1;

    for (; digits < 17; digits++) {
        char tried[40];
        snprintf(tried, sizeof tried, "%.*g", digits, value);
        if (strtod(tried, NULL) == value || isnan(value))
            break;
    }
    if (fabs(value) < 9007199254740992.0) /* 2^53: integers stay as they are written */
        for (double left = fabs(value); left >= 10; left /= 10)
            whole++;
    return digits < whole ? whole : digits;
}

char *mf_sheet_cell(const mf_sheet *sheet, size_t column, int64_t row, int digits)
{
    const mf_sheet_column *c = &sheet->columns[column];
    char *text = NULL;
    double value;

    if (!c->numbers) {
        const int64_t *starts = c->starts->data;
        return strndup((const char *)c->bytes->data + starts[row],
                       (size_t)(starts[row + 1] - starts[row]));
    }
    value = ((const double *)c->numbers->data)[row];
    if (isnan(value))
        return strdup(""); /* printf would make it "nan" or "-nan" */
    if (digits == 0)
        digits = mf_shortest_digits(value);
    return asprintf(&text, "%.*g", digits, value) < 0 ? NULL : text;
}
