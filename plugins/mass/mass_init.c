/* mass_init.c - the stage mass.init: a model nobody has trained. */
#include "mass_init.code.h"
#include "mass_stages.h"
#include "model.h"

typedef struct init_params {
    mf_ints channels, num_block;
    int64_t pos_embed_size, seed, i3d_width;
    const char *backbone;
    mf_ints i3d_blocks;
} init_params;

static const mf_param params[] = {
    MF_MODEL_PARAMS(init_params), MF_BACKBONE_PARAMS(init_params),
    MF_INT(init_params, seed, "42", 0, 9e15, "", "Random seed of the weights."), MF_END};
static const mf_port inputs[] = {MF_END};
static const mf_port outputs[] = {MF_PORT("model", "model", "Model with random weights."), MF_END};

static mf_status check(const void *p)
{
    const init_params *o = p;
    mf_iris iris;
    return mf_model_configure_backbone(&MF_MODEL_SIZES_OF(o), &iris);
}

static mf_status make(mf_weights *w, const mf_iris *iris, uint64_t seed, mf_artifact **model)
{
    mf_tensors carried = {0};
    MF_TRY(mf_model_declare(w, iris));
    MF_TRY(mf_model_draw(w, seed));
    mf_status status = mf_model_carry(iris, NULL, &carried);
    if (!status)
        status = mf_model_artifact(w, iris, false, &carried, model);
    mf_tensors_clear(&carried);
    return status;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const init_params *o = p;
    mf_iris iris;
    mf_queue *queue;
    mf_weights *w;
    mf_artifact *model;
    (void)session;
    MF_TRY(mf_model_configure_backbone(&MF_MODEL_SIZES_OF(o), &iris));
    MF_TRY(mf_task_queue(t, &queue));
    MF_TRY(mf_weights_new(mf_queue_device(queue), &w));
    mf_status status = make(w, &iris, (uint64_t)o->seed, &model);
    mf_weights_free(w);
    return status ? status : mf_out(t, "model", model);
}

MF_STAGE(mf_stage_mass_init, "mass.init", 2,
         "Initializes a model with random weights: the baseline without pretraining.",
         .help =
             "Weights are drawn as PyTorch and the official code draw them. With the same seed and "
             "model parameters, mass.train starts from this model.",
         .params = params, .params_size = sizeof(init_params), .in = inputs, .out = outputs,
         .program = true, .check = check, .run = run);
