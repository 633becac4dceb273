/* inflate.c - see inflate.h. */
#include "inflate.h"
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Whether `flat` is `want` without the axis of depth, or all of it where it has none. */
static bool fits(const mf_array *flat, const mf_array *want)
{
    int from = 0;
    if (flat->rank != (want->rank == 5 ? 4 : want->rank))
        return false;
    for (int k = 0; k < want->rank; k++)
        if (!(want->rank == 5 && k == 2) && flat->shape[from++] != want->shape[k])
            return false;
    return true;
}

/* flat [O,I,h,w] -> out [O,I,d,h,w], or a copy. least: of its numbers. */
static mf_status spread(const float *flat, double least, mf_inflation how, mf_array *out)
{
    const bool filter = out->rank == 5;
    const int64_t depth = filter ? out->shape[2] : 1;
    const int64_t plane = filter ? out->shape[3] * out->shape[4] : 1;
    float *to = out->data;
    for (int64_t e = 0; e < mf_array_count(out); e++) {
        const int64_t slice = e / plane % depth, from = e / (plane * depth) * plane + e % plane;
        if (!isfinite(flat[from]))
            return mf_fail(MF_CORRUPT, "number %lld is %g", (long long)from, (double)flat[from]);
        if ((double)flat[from] < least)
            return mf_fail(MF_CORRUPT, "number %lld is %g, below %g", (long long)from,
                           (double)flat[from], least);
        to[e] = how == MF_INFLATE_REPEAT ? flat[from] / (float)depth
                : slice == depth / 2     ? flat[from]
                                         : 0;
    }
    return MF_OK;
}

static mf_status inflate_one(const mf_tensors *flat, mf_inflation how, const mf_tensor *want,
                             mf_tensors *out)
{
    const char *name = want->name + strlen("encoder.");
    const mf_array *from = mf_tensors_find(flat, name);
    mf_array *values, *to;
    char has[96], needs[96];
    if (!from)
        return mf_hint(mf_fail(MF_INVALID, "it has no tensor %s", name),
                       "give the weights of a ResNet with bottlenecks (50, 101, 152) under "
                       "torchvision's names, and a model with as many (i3d_blocks)");
    if (!fits(from, want->array))
        return mf_hint(mf_fail(MF_INVALID, "tensor %s is %s, which does not inflate to %s", name,
                               mf_model_shape_text(from->rank, from->shape, has),
                               mf_model_shape_text(want->array->rank, want->array->shape, needs)),
                       "i3d_width of the model is the number of filters of conv1 (64)");
    MF_TRY(mf_array_convert(from, MF_F32, &values));
    mf_status status =
        mf_tensors_make(out, want->name, MF_F32, want->array->rank, want->array->shape, &to);
    if (!status)
        status = mf_within(
            spread(values->data, mf_model_name_ends(name, "running_var") ? 0 : -INFINITY, how, to),
            "tensor %s", name);
    mf_array_unref(values);
    return status;
}

/* Bottlenecks of the file that the model lacks. */
static mf_status check_blocks(const mf_tensors *flat, const mf_i3d *i3d)
{
    for (int k = 0; k < MF_I3D_STAGES; k++) {
        char name[64];
        snprintf(name, sizeof name, "layer%d.%lld.conv1.weight", k + 1, (long long)i3d->blocks[k]);
        if (mf_tensors_find(flat, name))
            return mf_hint(mf_fail(MF_INVALID,
                                   "it has a tensor %s, but layer%d of the model has "
                                   "%lld bottlenecks",
                                   name, k + 1, (long long)i3d->blocks[k]),
                           "i3d_blocks of ResNet-50 are 3 4 6 3, of ResNet-101 3 4 23 3, of "
                           "ResNet-152 3 8 36 3");
    }
    return MF_OK;
}

/* Of a net that computes something else, as one with squeeze and excitation, the model would have
 * a part only. */
static mf_status check_all_used(const mf_tensors *flat, const mf_tensors *out)
{
    for (size_t i = 0; i < flat->count; i++) {
        const char *name = flat->item[i].name;
        char whole[256];
        if (!strncmp(name, "fc.", 3) || mf_model_name_ends(name, "num_batches_tracked"))
            continue;
        snprintf(whole, sizeof whole, "encoder.%s", name);
        if (!mf_tensors_find(out, whole))
            return mf_hint(
                mf_fail(MF_INVALID, "it has a tensor %s, which the I3D of the model lacks", name),
                "give the weights of a ResNet as torchvision's: with other layers it "
                "computes something else");
    }
    return MF_OK;
}

mf_status mf_inflate(const mf_tensors *flat, mf_inflation how, const mf_i3d *i3d,
                     const mf_tensors *model, mf_tensors *out)
{
    MF_TRY(check_blocks(flat, i3d));
    for (size_t i = 0; i < model->count; i++) {
        const mf_tensor *t = &model->item[i];
        if (strncmp(t->name, "encoder.", 8) != 0)
            MF_TRY(mf_tensors_add(out, t->name, mf_array_ref(t->array)));
        else if (!strstr(t->name, "num_batches_tracked"))
            MF_TRY(inflate_one(flat, how, t, out));
    }
    return check_all_used(flat, out);
}
