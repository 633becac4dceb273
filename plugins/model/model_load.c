/* model_load.c - the stage model.load: weights from a file. */
#include "../weights/read.h"
#include "architecture.h"
#include "model_load.code.h"
#include "model_stages.h"

#include <stdlib.h>
#include <string.h>

typedef struct load_params {
    const char *path, *part;
    int64_t image_size, num_heads, decoder_num_heads;
    mf_ints window_spec, global_att_blocks;
} load_params;

static const mf_param params[] = {
    MF_PATH(load_params, path, NULL,
            "Weights under the official names or those of transformers: .safetensors, or .pt and "
            ".pth of PyTorch."),
    MF_CHOICE(load_params, part, "model", "model|head",
              "model: the weights and their averages; of a classifier's checkpoint, the encoder. "
              "head: the head of a classifier's checkpoint."),
    MF_INT(load_params, image_size, "0", 0, 4096, "px",
           "SAM 2: edge length of the input image. 0: from the file, or as in the official model "
           "of this size."),
    MF_INT(
        load_params, num_heads, "0", 0, 64, "",
        "SAM 2: attention heads of the first trunk stage. 0: from the file or the official model."),
    MF_INT(load_params, decoder_num_heads, "0", 0, 64, "",
           "SAM 2: attention heads of the mask decoder. 0: from the file or the official model, "
           "else 8."),
    MF_INTS(load_params, window_spec, "[]", 2, 64, "tokens",
            "SAM 2: window sizes of the four trunk stages. Empty: from the file or the official "
            "model."),
    MF_INTS(load_params, global_att_blocks, "[]", 0, SAM2_BLOCKS_MOST - 1, "",
            "SAM 2: indices of the trunk blocks with global attention. Empty: from the file or the "
            "official model."),
    MF_END};
static const mf_port inputs[] = {MF_END};
static const mf_port outputs[] = {MF_PORT("model", "model", "Weights, as 32-bit floats."), MF_END};

static mf_status check(const void *p)
{
    const load_params *o = p;
    if (o->window_spec.count != 0 && o->window_spec.count != SAM2_STAGES)
        return mf_fail(MF_INVALID, "window_spec: %zu numbers, where four stages take %d",
                       o->window_spec.count, SAM2_STAGES);
    if (o->global_att_blocks.count > SAM2_GLOBAL_MOST)
        return mf_fail(MF_INVALID, "global_att_blocks: %zu numbers; at most %d are read",
                       o->global_att_blocks.count, SAM2_GLOBAL_MOST);
    return MF_OK;
}

static sam2_config said_of(const load_params *o)
{
    sam2_config said = {
        .image = o->image_size, .heads = o->num_heads, .decoder_heads = o->decoder_num_heads};
    for (size_t i = 0; i < o->window_spec.count; i++)
        said.windows[i] = o->window_spec.v[i];
    for (size_t i = 0; i < o->global_att_blocks.count; i++)
        said.global[i] = o->global_att_blocks.v[i];
    said.global_count = (int64_t)o->global_att_blocks.count;
    return said;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const load_params *o = p;
    const sam2_config said = said_of(o);
    mf_tensors tensors = {0};
    mf_artifact *model = NULL;
    (void)session;
    MF_TRY(mf_tensors_read_part(o->path, strcmp(o->part, "head") ? MF_TORCH_MODEL : MF_TORCH_HEAD,
                                &tensors));
    mf_status status = mf_within(mf_architecture_model(&tensors, &said, &model), "%s", o->path);
    mf_tensors_clear(&tensors);
    return status ? status : mf_out(t, "model", model);
}

/* Whatever tensors the file has, as they are, and why they are no model. */
static mf_status bare(const mf_tensors *t, const char *why, mf_artifact **model)
{
    MF_TRY(mf_artifact_new("model", model));
    mf_status status = mf_artifact_set_text(*model, "architecture", "unknown");
    if (!status)
        status = mf_artifact_set_text(*model, "reason", why);
    for (size_t i = 0; i < t->count && !status; i++)
        status = mf_artifact_add(*model, t->item[i].name, t->item[i].array);
    if (status) {
        mf_artifact_unref(*model);
        *model = NULL;
    }
    return status;
}

mf_status mf_read_model(const char *path, mf_artifact **model)
{
    mf_tensors tensors = {0};
    *model = NULL;
    MF_TRY(mf_tensors_read(path, &tensors));
    mf_status status = MF_OK;
    mf_status unknown = mf_architecture_model(&tensors, &(sam2_config){0}, model);
    if (unknown) {
        char *why = mf_error_text(unknown);
        status = bare(&tensors, why, model);
        free(why);
        mf_error_free(unknown);
    }
    mf_tensors_clear(&tensors);
    return status;
}

MF_STAGE(mf_stage_model_load, "model.load", 3, "Loads a model's weights from a file.",
         .help =
             "Reads files of massflow get -o model.safetensors, checkpoints of the official MASS "
             "code (.pth) with their averages (of pretraining, fine-tuning and classification), "
             "and SAM 2 and 2.1 of any size as .pt or "
             ".safetensors, under the names of the original repository or of transformers. Nothing "
             "in a file is executed. The model size follows from the shapes of the tensors.",
         .params = params, .params_size = sizeof(load_params), .in = inputs, .out = outputs,
         .check = check, .run = run);
