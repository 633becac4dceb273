/* parity_tensors.c - see parity_tensors.h. */
#include "parity_tensors.h"

#include <stdio.h>

mf_status mf_parity_input(const mf_tensors *in, const char *name, mf_dtype dtype, int rank,
                          mf_array **array, const int64_t **shape)
{
    const mf_array *a = mf_tensors_find(in, name);
    if (!a)
        return mf_fail(MF_INVALID, "the inputs have no tensor %s", name);
    int extra = a->rank - rank;
    if (extra < 0 || extra > 1 || (extra == 1 && a->shape[0] != 1))
        return mf_fail(MF_INVALID, "input %s has %d axes, not %d", name, a->rank, rank);
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] < 1)
            return mf_fail(MF_INVALID, "input %s is empty", name);
    MF_TRY(mf_array_convert(a, dtype, array));
    *shape = (*array)->shape + extra;
    return MF_OK;
}

void mf_parity_channels_first(const float *from, int64_t n, int64_t c, int64_t sites, float *to)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t v = 0; v < sites; v++)
            for (int64_t k = 0; k < c; k++)
                to[(i * c + k) * sites + v] = from[(i * sites + v) * c + k];
}

mf_status mf_parity_output(mf_executable *e, const mf_parity_wanted *w, mf_tensors *out)
{
    mf_array *a, *raw;
    MF_TRY(mf_tensors_make(out, w->name, MF_F32, w->rank, w->shape, &a));
    if (!w->last)
        return mf_executable_get(e, w->name, a->data);
    MF_TRY(mf_array_new(MF_F32, w->rank, w->shape, &raw));
    mf_status status = mf_executable_get(e, w->name, raw->data);
    if (!status)
        mf_parity_channels_first(raw->data, w->shape[0], w->shape[1],
                                 mf_array_count(a) / (w->shape[0] * w->shape[1]), a->data);
    mf_array_unref(raw);
    return status;
}

mf_status mf_parity_weights(mf_weights *w, const char *prefix, bool gradient, mf_tensors *out)
{
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        char name[256];
        mf_array *a;
        mf_weights_info(w, i, &info);
        snprintf(name, sizeof name, "%s%s", prefix, info.name);
        MF_TRY(mf_tensors_make(out, name, MF_F32, info.rank, info.shape, &a));
        MF_TRY(gradient ? mf_weights_get_gradient(w, i, a->data) : mf_weights_get(w, i, a->data));
    }
    return MF_OK;
}

mf_status mf_parity_number(mf_tensors *out, const char *name, double value)
{
    mf_array *a;
    MF_TRY(mf_tensors_make(out, name, MF_F32, 0, NULL, &a));
    *(float *)a->data = (float)value;
    return MF_OK;
}

mf_status mf_parity_step(mf_weights *w, const mf_optimizer_step *step, mf_tensors *out)
{
    float norm;
    MF_TRY(mf_parity_weights(w, "grad.", true, out));
    MF_TRY(mf_weights_step(w, step, &norm));
    MF_TRY(mf_parity_number(out, "norm", (double)norm));
    return mf_parity_weights(w, "after.", false, out);
}

mf_status mf_parity_lamb(mf_weights *w, const mf_parity *o, mf_tensors *out)
{
    const mf_optimizer_step step = {.kind = MF_LAMB,
                                    .rate = o->rate,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .eps = 1e-6,
                                    .weight_decay = o->weight_decay,
                                    .max_norm = 1,
                                    .grad_scale = 1,
                                    .step = 1};
    return mf_parity_step(w, &step, out);
}
