/* label_values.c - see label_values.h. */
#include "label_values.h"

static mf_status too_large(double value)
{
    return mf_hint(mf_fail(MF_INVALID, "label %.0f: labels from 0 to 65535 can be used", value),
                   "select or renumber labels in labels.load");
}

mf_status mf_label_values_check(const int64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] > UINT16_MAX)
            return too_large((double)values[i]);
    return MF_OK;
}

mf_status mf_label_values(const mf_array *map, mf_array **values)
{
    mf_array *wide;
    *values = NULL;
    if (map->dtype == MF_U8 || map->dtype == MF_U16)
        return mf_array_convert(map, MF_U16, values);
    MF_TRY(mf_array_convert(map, MF_F64, &wide)); /* exact for integers of up to 53 bits */
    const double *v = wide->data;
    mf_status status = MF_OK;
    for (int64_t i = 0, n = mf_array_count(wide); i < n && !status; i++)
        if (!(v[i] >= 0 && v[i] <= UINT16_MAX))
            status = too_large(v[i]);
    mf_array_unref(wide);
    return status ? status : mf_array_convert(map, MF_U16, values);
}
