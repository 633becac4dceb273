/* architecture.c - see architecture.h. */
#include "architecture.h"

#include <math.h>
#include <string.h>

static mf_status check_numbers(const char *name, const mf_array *values)
{
    const bool variance = mf_model_name_ends(name, "running_var");
    const float *v = values->data;
    for (int64_t i = 0; i < mf_array_count(values); i++) {
        if (!isfinite(v[i]))
            return mf_fail(MF_CORRUPT, "tensor %s: number %lld is %g", name, (long long)i,
                           (double)v[i]);
        if (variance && v[i] < 0)
            return mf_fail(MF_CORRUPT, "tensor %s: number %lld is %g, below 0", name, (long long)i,
                           (double)v[i]);
    }
    return MF_OK;
}

static mf_status fill(mf_artifact *model, const mf_tensors *t)
{
    for (size_t i = 0; i < t->count; i++) {
        mf_array *values;
        MF_TRY(mf_array_convert(t->item[i].array, MF_F32, &values));
        mf_status status = check_numbers(t->item[i].name, values);
        if (!status)
            status = mf_artifact_add(model, t->item[i].name, values);
        mf_array_unref(values);
        MF_TRY(status);
    }
    return MF_OK;
}

/* What the user says goes before what the file says. */
static mf_status sam2_said(const mf_tensors *t, const sam2_config *said, sam2_config *all)
{
    const char *note = mf_tensors_note(t, SAM2_CONFIG_KEY);
    *all = (sam2_config){0};
    if (note)
        MF_TRY(sam2_config_said(note, all));
    sam2_config_override(all, said);
    return MF_OK;
}

/* The file says neither the names of its classes nor, of a head without attention, its pooling. */
static mf_status describe_head(const mf_tensors *t, mf_artifact *model)
{
    const mf_array *linear = mf_tensors_find(t, "fc.weight");
    if (linear->rank != 2 || linear->shape[0] < 2 || linear->shape[0] > 500)
        return mf_fail(MF_INVALID,
                       "not the head of a classifier: fc.weight is not a matrix of 2 to "
                       "500 classes");
    MF_TRY(mf_artifact_set_text(model, "architecture", "head"));
    return mf_tensors_find(t, "pool.attention.0.weight")
               ? mf_artifact_set_text(model, "pooling", "attention")
               : MF_OK;
}

/* Of an Iris, ResUNet or I3D. */
static bool has_encoder(const mf_tensors *t)
{
    return mf_tensors_find(t, "encoder.inc.conv1.weight") ||
           mf_tensors_find(t, "encoder.conv1.weight");
}

static mf_status describe(const mf_tensors *t, const sam2_config *said, mf_artifact *model)
{
    mf_iris iris;
    if (mf_tensors_find(t, "conv1.weight") && mf_tensors_find(t, "layer1.0.conv1.weight"))
        return mf_hint(mf_fail(MF_INVALID, "a ResNet by itself, no model of MASS"),
                       "mass.inflate puts a ResNet of images into the I3D encoder of a model");
    if (mf_tensors_find(t, "fc.weight") && mf_tensors_find(t, "fc.bias"))
        return describe_head(t, model);
    if (has_encoder(t) && mf_model_is_encoder(t)) {
        MF_TRY(mf_iris_encoder_from_shapes(mf_tensors_shape, t, &iris));
        return mf_model_describe(&iris, model);
    }
    if (has_encoder(t)) {
        MF_TRY(mf_iris_from_shapes(mf_tensors_shape, t, &iris));
        return mf_model_describe(&iris, model);
    }
    if (!sam2_recognize(t))
        return mf_hint(
            mf_fail(MF_INVALID,
                    "no model that massflow knows: it has no tensor "
                    "encoder.inc.conv1.weight (Iris of MASS), encoder.conv1.weight (Iris "
                    "with an I3D) or image_encoder.trunk.patch_embed.proj.weight (SAM 2)"),
            "'massflow show FILE' lists its tensors");
    sam2_config all, config;
    MF_TRY(sam2_said(t, said, &all));
    MF_TRY(sam2_config_from(t, &all, &config));
    return sam2_config_describe(&config, model);
}

mf_status mf_architecture_model(mf_tensors *t, const sam2_config *said, mf_artifact **model)
{
    *model = NULL;
    if (sam2_names_foreign(t))
        MF_TRY(sam2_names_original(t));
    MF_TRY(mf_artifact_new("model", model));
    mf_status status = describe(t, said, *model);
    if (!status)
        status = fill(*model, t);
    if (status) {
        mf_artifact_unref(*model);
        *model = NULL;
    }
    return status;
}
