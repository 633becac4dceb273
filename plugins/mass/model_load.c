/* model_load.c - the stage model.load: weights from a file. */
#include "../weights/read.h"
#include "mass_stages.h"
#include "model.h"
#include "model_load.code.h"
#include <math.h>
#include <stddef.h>

typedef struct load_params {
    const char *path;
} load_params;

static const mf_param params[] = {
    MF_PATH(load_params, path, NULL,
            "Weights under the official names: .safetensors, or .pt and .pth of PyTorch."),
    MF_PARAMS_END};
static const mf_port inputs[] = {{0}};
static const mf_port outputs[] = {{"model", "model", "The weights, as f32.", 0}, {0}};

static mf_status check_finite(const char *name, const mf_array *values)
{
    const float *v = values->data;
    for (int64_t i = 0; i < mf_array_count(values); i++)
        if (!isfinite(v[i]))
            return mf_fail(MF_CORRUPT, "tensor %s: number %lld is %g", name, (long long)i,
                           (double)v[i]);
    return MF_OK;
}

static mf_status fill(mf_artifact *model, const mf_iris *iris, const mf_tensors *t)
{
    MF_TRY(mf_model_describe(iris, model));
    for (size_t i = 0; i < t->count; i++) {
        mf_array *values;
        MF_TRY(mf_array_convert(t->item[i].array, MF_F32, &values));
        mf_status failed = check_finite(t->item[i].name, values);
        if (!failed)
            failed = mf_artifact_add(model, t->item[i].name, values);
        mf_array_unref(values);
        MF_TRY(failed);
    }
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const load_params *o = p;
    mf_tensors tensors = {0};
    mf_artifact *model = NULL;
    mf_iris iris;
    (void)session;
    mf_status failed = mf_tensors_read(o->path, &tensors);
    if (!failed)
        failed = mf_within(mf_iris_from_shapes(mf_tensors_shape, &tensors, &iris), "%s", o->path);
    if (!failed)
        failed = mf_artifact_new("model", &model);
    if (!failed)
        failed = mf_within(fill(model, &iris, &tensors), "%s", o->path);
    mf_tensors_clear(&tensors);
    if (failed) {
        mf_artifact_unref(model);
        return failed;
    }
    return mf_out(t, "model", model);
}

/* Whatever tensors the file has, as they are. */
static mf_status fill_bare(mf_artifact *model, const mf_tensors *t)
{
    MF_TRY(mf_artifact_set_text(model, "architecture", "unknown"));
    for (size_t i = 0; i < t->count; i++)
        MF_TRY(mf_artifact_add(model, t->item[i].name, t->item[i].array));
    return MF_OK;
}

mf_status mf_read_model(const char *path, mf_artifact **model)
{
    mf_tensors tensors = {0};
    mf_iris iris;

    MF_TRY(mf_tensors_read(path, &tensors));
    mf_status failed = mf_artifact_new("model", model);
    if (!failed) {
        mf_status other = mf_iris_from_shapes(mf_tensors_shape, &tensors, &iris);
        failed = other ? fill_bare(*model, &tensors) : fill(*model, &iris, &tensors);
        mf_error_free(other);
        if (failed)
            mf_artifact_unref(*model);
    }
    mf_tensors_clear(&tensors);
    return failed;
}

const mf_stage mf_stage_model_load = {
    .name = "model.load",
    .version = 1,
    .summary = "An encoder's weights from a file.",
    .help =
        "Reads what massflow get -o model.safetensors wrote, and checkpoints of the official MASS "
        "code (.pth) with their averages; nothing in a file is executed. The channels are read "
        "from "
        "the tensors' shapes.",
    .params = params,
    .params_size = sizeof(load_params),
    .in = inputs,
    .out = outputs,
    .code = MF_CODE,
    .run = run};
