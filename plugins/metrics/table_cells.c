/* table_cells.c - see table_cells.h. */
#include "table_cells.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool table_next_name(const char **names, char name[TABLE_NAME])
{
    size_t length = strcspn(*names, "\t"), n = length < TABLE_NAME - 1 ? length : TABLE_NAME - 1;
    if (!**names)
        return false;
    memcpy(name, *names, n);
    name[n] = 0;
    *names += length + ((*names)[length] == '\t');
    return true;
}

bool table_is_text(const mf_artifact *table, size_t i)
{
    char array[32];
    mf_array_info info;
    snprintf(array, sizeof array, "column.%zu", i);
    return mf_artifact_find(table, array, &info) && info.ragged;
}

mf_status table_column(const mf_artifact *table, size_t i, mf_array **numbers, int64_t *rows)
{
    char array[32];
    mf_array_info info;
    *numbers = NULL;
    snprintf(array, sizeof array, "column.%zu", i);
    if (!mf_artifact_find(table, array, &info))
        return mf_fail(MF_CORRUPT, "a table has no array '%s'", array);
    if (info.ragged) {
        *rows = info.rows;
        return MF_OK;
    }
    if (info.dtype != MF_F64 || info.rank != 1)
        return mf_fail(MF_CORRUPT, "array '%s' of a table is not f64 [rows]", array);
    *rows = info.shape[0];
    return mf_artifact_array(table, array, numbers);
}

mf_status table_text(const mf_artifact *table, size_t i, int64_t row, char **text)
{
    char array[32];
    uint8_t *bytes = NULL;
    size_t size = 0;
    *text = NULL;
    snprintf(array, sizeof array, "column.%zu", i);
    MF_TRY(mf_artifact_read_row(table, array, row, &bytes, &size));
    *text = strndup(bytes ? (const char *)bytes : "", size);
    free(bytes);
    return *text ? MF_OK : mf_no_memory(0, "a row of a table");
}
