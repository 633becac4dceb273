/* state.c - weights in the middle of training, as part of a saved state. */
#include "state.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    mf_weight_part part;
} parts[] = {{"value", MF_WEIGHT_VALUE},
             {"first", MF_WEIGHT_FIRST_MOMENT},
             {"second", MF_WEIGHT_SECOND_MOMENT},
             {"average", MF_WEIGHT_AVERAGE}};
enum { PARTS = sizeof parts / sizeof *parts };

static void name_of(char name[320], size_t part, const mf_weight_info *info)
{
    snprintf(name, 320, "%s.%s", parts[part].name, info->name);
}

/* ---- weights --------------------------------------------------------------------------------- */

static mf_status put_part(mf_artifact *state, mf_weights *w, size_t i, size_t part)
{
    char name[320];
    mf_weight_info info;
    mf_array *array;
    mf_weights_info(w, i, &info);
    name_of(name, part, &info);
    MF_TRY(mf_array_new(MF_F32, info.rank, info.shape, &array));
    mf_status status = mf_weights_get_part(w, i, parts[part].part, array->data);
    if (!status)
        status = mf_artifact_add(state, name, array);
    mf_array_unref(array);
    return status;
}

mf_status mf_state_put_weight(mf_artifact *state, mf_weights *w, size_t i, bool averages)
{
    for (size_t part = 0; part < (averages ? PARTS : PARTS - 1u); part++)
        MF_TRY(put_part(state, w, i, part));
    return MF_OK;
}

mf_status mf_state_put_weights(mf_artifact *state, mf_weights *w, bool averages)
{
    for (size_t i = 0; i < mf_weights_count(w); i++)
        MF_TRY(mf_state_put_weight(state, w, i, averages));
    return MF_OK;
}

/* The array of that name, dtype and number of elements; the caller unrefs. */
static mf_status get(const mf_artifact *state, const char *name, mf_dtype dtype, int64_t count,
                     mf_array **array)
{
    MF_TRY(mf_artifact_array(state, name, array));
    if ((*array)->dtype == dtype && mf_array_count(*array) == count)
        return MF_OK;
    mf_array_unref(*array);
    *array = NULL;
    return mf_fail(MF_CORRUPT, "the saved state has another '%s'", name);
}

static mf_status get_part(const mf_artifact *state, mf_weights *w, size_t i, size_t part)
{
    char name[320];
    mf_weight_info info;
    mf_array *array;
    mf_weights_info(w, i, &info);
    name_of(name, part, &info);
    MF_TRY(get(state, name, MF_F32, info.count, &array));
    mf_status status = mf_weights_set_part(w, i, parts[part].part, array->data);
    mf_array_unref(array);
    return status;
}

mf_status mf_state_get_weight(const mf_artifact *state, mf_weights *w, size_t i, bool averages)
{
    for (size_t part = 0; part < (averages ? PARTS : PARTS - 1u); part++)
        MF_TRY(get_part(state, w, i, part));
    return MF_OK;
}

mf_status mf_state_get_weights(const mf_artifact *state, mf_weights *w, bool averages)
{
    for (size_t i = 0; i < mf_weights_count(w); i++)
        MF_TRY(mf_state_get_weight(state, w, i, averages));
    return MF_OK;
}

/* ---- other values ---------------------------------------------------------------------------- */

mf_status mf_state_put(mf_artifact *state, const char *name, mf_dtype dtype, int64_t count,
                       const void *values)
{
    mf_array *array;
    MF_TRY(mf_array_new(dtype, 1, &count, &array));
    if (count)
        memcpy(array->data, values, array->bytes);
    mf_status status = mf_artifact_add(state, name, array);
    mf_array_unref(array);
    return status;
}

mf_status mf_state_get(const mf_artifact *state, const char *name, mf_dtype dtype, int64_t count,
                       void *values)
{
    mf_array *array;
    MF_TRY(get(state, name, dtype, count, &array));
    if (count)
        memcpy(values, array->data, array->bytes);
    mf_array_unref(array);
    return MF_OK;
}
