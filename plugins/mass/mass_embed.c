/* mass_embed.c - the stage mass.embed: labelled examples become task embeddings. */
#include "../common/normalize_params.h"
#include "footprint.h"
#include "mass_embed.code.h"
#include "mass_stages.h"
#include "model.h"
#include "references.h"
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct embed_params {
    mf_real3 spacing;
    mf_int3 patch_size;
    mf_labels labels;
    const char *like, *reference_crop, *normalize;
    MF_NORMALIZE_FIELDS;
} embed_params;

static const mf_param params[] = {
    MF_REAL3(embed_params, spacing, "[1.5, 1.5, 1.5]", 0.05, 100, "mm",
             "Target spacing along x, y, z, as in training."),
    MF_INT3(embed_params, patch_size, "[128, 128, 128]", 16, 512, "voxels",
            "Size of the crops along x, y, z: multiples of 16, as in training for best results."),
    MF_LABELS(embed_params, labels, "[]", 1, 65535,
              "Labels to embed, by value or name. Empty: all labels of the references."),
    MF_CHOICE(embed_params, like, "inference", "inference|evaluate|finetune",
              "Official script whose settings the parameters with the value auto take. inference: "
              "inference.py. evaluate: evaluate.py. finetune: start of the fine-tuning."),
    MF_CHOICE(embed_params, reference_crop, "auto", "auto|" MF_EXAMPLE_PLACES,
              "Position of the crop. box: around the center of the label's bounding box, zeros "
              "outside of the scan (inference). middle: around the middle one of its voxels in "
              "scan order, moved into the scan (evaluate). mean: around the mean of its voxels, "
              "moved into the scan (finetune)."),
    MF_CHOICE(embed_params, normalize, "auto", "auto|crop|scan",
              "Region that gives clipping bounds, mean and standard deviation of a reference. "
              "crop: its crop "
              "(inference). scan: the whole scan (evaluate, finetune)."),
    MF_NORMALIZE_PARAMS(embed_params),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("model", "model", "Model. Its averaged (EMA) weights are used if it has them."),
    MF_PORT("references", "volume[]", "Labelled example scans."),
    MF_PORT("labels", "labels[]", "Label maps of the references, in the same order."), MF_END};
static const mf_port outputs[] = {
    MF_PORT("embedding", "embedding",
            "Task embedding of each label, averaged over the references."),
    MF_END};

static mf_status check(const void *p)
{
    const embed_params *o = p;
    int64_t crop[3];
    mf_zyx(o->patch_size.v, crop);
    MF_TRY(mf_iris_check_crop(crop, 512));
    return mf_normalize_check(&MF_NORMALIZE_OF(o));
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    static const mf_memory_words words = {"encoding a reference", "patch_size", NULL};
    mf_iris iris;
    mf_memory_of of = {.iris = &iris, .masks = 1};
    const mf_artifact *model;
    mf_device *device;
    mf_zyx(((const embed_params *)p)->patch_size.v, of.crop);
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(mf_model_iris(model, &iris));
    MF_TRY(mf_task_counting(t, &device));
    mf_status status = mf_memory_check(device, mf_memory_embed, &of, &words, &n->device_bytes);
    mf_device_unref(device);
    return status;
}

static mf_status open(mf_task *t, const void *p, void **session)
{
    int64_t crop[3];
    mf_predictor *predictor;
    mf_zyx(((const embed_params *)p)->patch_size.v, crop);
    mf_status status = mf_session_open(t, crop, &predictor);
    *session = predictor;
    return status;
}

static void close_session(void *session)
{
    mf_predictor_free(session);
}

static mf_references references_of(mf_task *t, const embed_params *o)
{
    bool inference = !strcmp(o->like, "inference"), evaluate = !strcmp(o->like, "evaluate");
    mf_references r = {.task = t,
                       .scans = "references",
                       .labels = "labels",
                       .settings = {.modality = mf_normalize_modality(o->modality),
                                    .normalize = MF_NORMALIZE_OF(o)},
                       .place = inference  ? MF_EXAMPLE_BOX
                                : evaluate ? MF_EXAMPLE_MIDDLE
                                           : MF_EXAMPLE_MEAN,
                       .whole_scan = !inference,
                       .wanted = o->labels};
    memcpy(r.settings.spacing, o->spacing.v, sizeof r.settings.spacing);
    memcpy(r.patch_size, o->patch_size.v, sizeof r.patch_size);
    if (strcmp(o->reference_crop, "auto") != 0)
        r.place = mf_example_place_of(o->reference_crop);
    if (strcmp(o->normalize, "auto") != 0)
        r.whole_scan = !strcmp(o->normalize, "scan");
    return r;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const mf_references r = references_of(t, p);
    mf_embedding e;
    mf_artifact *artifact = NULL;
    MF_TRY(mf_references_embed(&r, session, &e));
    for (int64_t i = 0; i < e.priors.k; i++) {
        const mf_name *name = mf_names_find(&e.names, e.labels[i]);
        mf_log(t, "label %lld%s%s: %lld example%s", (long long)e.labels[i], name ? " " : "",
               name ? name->name : "", (long long)e.examples[i], e.examples[i] == 1 ? "" : "s");
    }
    mf_status status = mf_embedding_write(&e, mf_predictor_iris(session), &artifact);
    mf_embedding_clear(&e);
    return status ? status : mf_out(t, "embedding", artifact);
}

MF_STAGE(mf_stage_mass_embed, "mass.embed", 2,
         "Encodes labels of example scans as task embeddings, for mass.segment.",
         .help = "For each label and reference, a crop around the label is encoded with the model. "
                 "The task embeddings of a label are averaged over the references that show it. "
                 "The result belongs to the weights of the model: mass.segment refuses it for "
                 "other weights, another spacing or other clipping bounds. `like` sets two "
                 "parameters: inference: reference_crop box, normalize crop. evaluate: "
                 "reference_crop middle, normalize scan. finetune: reference_crop mean, normalize "
                 "scan. A value other than auto overrides it. A scan smaller than patch_size is "
                 "padded with zeros.",
         .params = params, .params_size = sizeof(embed_params), .in = inputs, .out = outputs,
         .program = true, .tolerance = 1e-3, .check = check, .needs = needs, .open = open,
         .close = close_session, .run = run);
