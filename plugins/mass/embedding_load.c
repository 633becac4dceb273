/* embedding_load.c - the stage embedding.load: task embeddings that the official code has learned.
 */
#include "../common/normalize_params.h"
#include "../weights/read.h"
#include "embedding.h"
#include "embedding_load.code.h"
#include "mass_stages.h"
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct load_params {
    const char *path, *normalize;
    mf_ints labels;
    mf_real3 spacing;
    mf_int3 patch_size;
    MF_NORMALIZE_FIELDS;
} load_params;

static const mf_param params[] = {
    MF_PATH(load_params, path, NULL,
            "learned_priors.pth or a checkpoint of the official fine-tuning. Averages are taken "
            "where there are any."),
    MF_INTS(load_params, labels, "[]", 1, 65535, "",
            "Label value of each class, ascending. Empty: 1, 2, 3, ..."),
    MF_REAL3(load_params, spacing, "[1.5, 1.5, 1.5]", 0.05, 100, "mm",
             "Spacing along x, y, z of the fine-tuning."),
    MF_INT3(load_params, patch_size, "[128, 128, 128]", 16, 1024, "voxels",
            "Crop along x, y, z of the fine-tuning."),
    MF_CHOICE(load_params, normalize, "scan", "scan|crop",
              "Region that gave mean and standard deviation: the official fine-tuning takes the "
              "whole scan."),
    MF_NORMALIZE_PARAMS(load_params),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("model", "model", "The model of the same fine-tuning, from model.load."), MF_END};
static const mf_port outputs[] = {
    MF_PORT("embedding", "embedding", "The task embedding of each class."), MF_END};

static mf_status check(const void *p)
{
    const load_params *o = p;
    for (size_t i = 1; i < o->labels.count; i++)
        if (o->labels.v[i] <= o->labels.v[i - 1])
            return mf_fail(MF_INVALID, "labels: %lld does not come after %lld",
                           (long long)o->labels.v[i], (long long)o->labels.v[i - 1]);
    return mf_normalize_check(&MF_NORMALIZE_OF(o));
}

/* Of the weights that mass.segment uses: the averages where there are any. */
static mf_status fingerprint(mf_task *t, mf_iris *iris, char text[MF_FINGERPRINT])
{
    const mf_artifact *model;
    mf_tensors weights = {0};
    mf_weights *w;
    mf_queue *queue;
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(mf_model_iris(model, iris));
    MF_TRY(mf_task_queue(t, &queue));
    MF_TRY(mf_weights_new(mf_queue_device(queue), &w));
    mf_status status = mf_model_read(model, true, &weights);
    if (!status)
        status = mf_model_declare(w, iris);
    if (!status)
        status = mf_model_load(w, &weights);
    if (!status)
        status = mf_embedding_fingerprint(w, false, text);
    mf_tensors_clear(&weights);
    mf_weights_free(w);
    return status;
}

/* One level: f32 [K, 11, C], K that of the first. */
static mf_status take_level(const mf_tensors *t, const mf_iris *iris, int level, mf_embedding *e)
{
    char name[16];
    snprintf(name, sizeof name, "priors.%d", level);
    const int64_t channels = iris->channels[4 - level];
    const mf_array *a = mf_tensors_find(t, name);
    if (!a)
        return mf_hint(mf_fail(MF_INVALID, "it has no task embeddings of level %d", level),
                       "a fine-tuned Iris has three levels");
    if (a->rank != 3 || a->shape[0] < 1 || a->shape[0] > 65535 || a->shape[1] != MF_IRIS_TOKENS ||
        a->shape[2] != channels)
        return mf_hint(mf_fail(MF_INVALID,
                               "its task embeddings of level %d are not [classes, %d, %lld] as "
                               "those of the model",
                               level, MF_IRIS_TOKENS, (long long)channels),
                       "connect the model that was fine-tuned with them");
    if (!level)
        MF_TRY(mf_priors_make(iris, a->shape[0], &e->priors));
    if (a->shape[0] != e->priors.k)
        return mf_fail(MF_INVALID, "its levels have %lld and %lld classes", (long long)e->priors.k,
                       (long long)a->shape[0]);
    mf_array *values;
    MF_TRY(mf_array_convert(a, MF_F32, &values));
    for (int64_t i = 0; i < mf_array_count(values); i++)
        if (!isfinite(((const float *)values->data)[i])) {
            mf_array_unref(values);
            return mf_fail(MF_CORRUPT,
                           "its task embeddings of level %d have values that are not finite",
                           level);
        }
    memcpy(e->priors.level[level], values->data, values->bytes);
    mf_array_unref(values);
    return MF_OK;
}

/* Whether the file's names of all classes are values of labels, ascending: those of an embedding
 * that was written here. */
static bool labels_of_names(const mf_tensors *t, int64_t k, int64_t *labels)
{
    for (int64_t i = 0; i < k; i++) {
        char key[40], *end;
        snprintf(key, sizeof key, "class_names.%lld", (long long)i);
        const char *name = mf_tensors_note(t, key);
        if (!name || *name < '1' || *name > '9')
            return false;
        labels[i] = strtol(name, &end, 10);
        if (*end || labels[i] > 65535 || (i && labels[i] <= labels[i - 1]))
            return false;
    }
    return true;
}

static mf_status number_labels(const load_params *o, const mf_tensors *t, mf_embedding *e)
{
    size_t k = (size_t)e->priors.k;
    if (o->labels.count && o->labels.count != k)
        return mf_fail(MF_INVALID, "labels: %zu values, where %s has %zu classes", o->labels.count,
                       o->path, k);
    e->labels = malloc(k * sizeof *e->labels);
    e->examples = calloc(k, sizeof *e->examples);
    if (!e->labels || !e->examples)
        return mf_no_memory(0, "labels");
    if (!o->labels.count && labels_of_names(t, e->priors.k, e->labels))
        return MF_OK;
    for (size_t i = 0; i < k; i++)
        e->labels[i] = o->labels.count ? o->labels.v[i] : (int64_t)i + 1;
    return MF_OK;
}

static mf_status fill(const load_params *o, const mf_tensors *t, const mf_iris *iris,
                      mf_embedding *e)
{
    for (int i = 0; i < MF_IRIS_LEVELS; i++)
        MF_TRY(mf_within(take_level(t, iris, i, e), "%s", o->path));
    MF_TRY(number_labels(o, t, e));
    mf_embedding_settings *s = &e->settings;
    const char *modality = mf_normalize_modality(o->modality), *ema = mf_tensors_note(t, "is_ema");
    mf_modality known;
    s->ema = ema && !strcmp(ema, "true");
    memcpy(s->spacing, o->spacing.v, sizeof s->spacing);
    memcpy(s->patch_size, o->patch_size.v, sizeof s->patch_size);
    s->whole_scan = !strcmp(o->normalize, "scan");
    s->modality = modality && mf_modality_parse(modality, &known) ? mf_modality_text(known) : "";
    s->clip = MF_NORMALIZE_OF(o);
    return MF_OK;
}

/* A text of a file as one line of a log. */
static const char *plain(const char *from, char text[200])
{
    snprintf(text, 200, "%s", from);
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    return text;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const load_params *o = p;
    mf_embedding e = {0};
    mf_tensors tensors = {0};
    mf_artifact *made;
    mf_iris iris;
    char text[200];
    (void)session;
    MF_TRY(fingerprint(t, &iris, e.settings.model));
    MF_TRY(mf_tensors_read_part(o->path, MF_TORCH_PRIORS, &tensors));
    mf_status status = fill(o, &tensors, &iris, &e);
    for (size_t i = 0; i < tensors.notes && !status; i++)
        mf_log(t, "%s: %s", tensors.note[i].key, plain(tensors.note[i].text, text));
    for (int64_t i = 0; i < e.priors.k && !status; i++)
        mf_log(t, "class %lld is label %lld", (long long)i, (long long)e.labels[i]);
    mf_tensors_clear(&tensors);
    if (!status)
        status = mf_embedding_write(&e, &iris, &made);
    mf_embedding_clear(&e);
    return status ? status : mf_out(t, "embedding", made);
}

MF_STAGE(mf_stage_embedding_load, "embedding.load", 2,
         "Loads task embeddings that the official MASS code has learned by fine-tuning.",
         .help = "With the model of the same checkpoint, mass.segment segments a raw scan by them. "
                 "The file states neither spacing nor normalization of the fine-tuning: the "
                 "defaults are those of the official example. `massflow get ... -o "
                 "learned_priors.pth` writes such a file.",
         .params = params, .params_size = sizeof(load_params), .in = inputs, .out = outputs,
         .program = true, .check = check, .run = run);
