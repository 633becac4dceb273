/* mass_inflate.c - the stage mass.inflate: a ResNet trained on images becomes the encoder of a
 * model. */
#include "../weights/read.h"
#include "inflate.h"
#include "mass_inflate.code.h"
#include "mass_stages.h"
#include "model.h"

#include <string.h>

typedef struct inflate_params {
    const char *path, *inflation;
} inflate_params;

static const mf_param params[] = {
    MF_PATH(inflate_params, path, NULL,
            "Weights of a 2D ResNet with bottlenecks (50, 101, 152) under torchvision's names: "
            ".pth or .pt of PyTorch, or .safetensors."),
    MF_CHOICE(inflate_params, inflation, "center", "center|repeat",
              "center: a filter lies in the middle slice of the inflated one, zeros in the others. "
              "repeat: it lies in each slice, divided by their number."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("model", "model",
            "Model with an I3D of the same sizes, from mass.init with backbone i3d: it gives all "
            "weights but the encoder's."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("model", "model", "The model with the inflated encoder, without averages."), MF_END};

static mf_status make(const mf_iris *iris, const mf_tensors *weights, mf_artifact **model)
{
    MF_TRY(mf_artifact_new("model", model));
    mf_status status = mf_model_describe(iris, *model);
    for (size_t i = 0; i < weights->count && !status; i++)
        status = mf_artifact_add(*model, weights->item[i].name, weights->item[i].array);
    if (status) {
        mf_artifact_unref(*model);
        *model = NULL;
    }
    return status;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const inflate_params *o = p;
    const mf_artifact *from;
    mf_artifact *model = NULL;
    mf_tensors flat = {0}, weights = {0}, inflated = {0};
    mf_iris iris;
    (void)session;
    MF_TRY(mf_in(t, "model", &from));
    MF_TRY(mf_model_iris(from, &iris));
    if (!iris.i3d.width)
        return mf_hint(mf_fail(MF_INVALID,
                               "mass.inflate needs a model with backbone i3d; this one has a "
                               "ResUNet"),
                       "connect a model of mass.init with backbone i3d");
    const mf_inflation how =
        !strcmp(o->inflation, "repeat") ? MF_INFLATE_REPEAT : MF_INFLATE_CENTER;
    mf_status status = mf_tensors_read(o->path, &flat);
    if (!status)
        status = mf_model_read(from, true, &weights);
    if (!status)
        status = mf_within(mf_inflate(&flat, how, &iris.i3d, &weights, &inflated), "%s", o->path);
    if (!status)
        status = make(&iris, &inflated, &model);
    mf_tensors_clear(&flat);
    mf_tensors_clear(&weights);
    mf_tensors_clear(&inflated);
    return status ? status : mf_out(t, "model", model);
}

MF_STAGE(mf_stage_mass_inflate, "mass.inflate", 1,
         "Puts the weights of a ResNet trained on images into the I3D encoder of a model.",
         .help = "Filters are inflated over depth, batch norms are taken as they are with their "
                 "running statistics, and the layer that classifies images (fc) is left out. The "
                 "sizes of the ResNet must be those of the model. mass.train, mass.finetune and "
                 "mass.classify start from the result.",
         .params = params, .params_size = sizeof(inflate_params), .in = inputs, .out = outputs,
         .run = run);
