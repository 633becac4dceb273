/* tuner_start.c - see tuner.h: everything before the first step. */
#include "../common/port_names.h"
#include "disjoint.h"
#include "examples.h"
#include "footprint.h"
#include "model.h"
#include "prepared.h"
#include "session.h"
#include "tuner.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What to do where a step does not fit, by whether blocks are computed again already. */
static const mf_memory_words memory_words[2] = {
    {"fine-tuning", "patch_size of the crops",
     "set recompute: blocks, or lower channels of the model"},
    {"fine-tuning", "patch_size of the crops", "lower channels of the model"}};

mf_status mf_tuner_check_memory(mf_device *device, const mf_finetune_params *o, const mf_iris *iris,
                                const int64_t crop[3], int64_t k, size_t *bytes)
{
    const mf_memory_of of = {.iris = iris,
                             .crop = {crop[0], crop[1], crop[2]},
                             .masks = k,
                             .averages = o->ema_decay > 0,
                             .batch = mf_ranks_items(o->ranks, o->devices, o->batch_size),
                             .probing = !strcmp(o->mode, "probing"),
                             .recompute = !strcmp(o->recompute, "blocks")};
    return mf_memory_check(device, mf_memory_tuning, &of, &memory_words[of.recompute], bytes);
}

mf_status mf_tuner_find_iris(mf_task *t, const mf_finetune_params *o, mf_iris *iris)
{
    return mf_session_iris(t, &MF_MODEL_SIZES_OF(o), o->batch_norm, !strcmp(o->mode, "probing"),
                           iris);
}

/* Drawn weights, by name. */
static mf_status draw(mf_tuner *t, mf_device *device, mf_tensors *start)
{
    mf_weights *w;
    MF_TRY(mf_weights_new(device, &w));
    mf_status status = mf_model_declare(w, &t->iris);
    if (!status)
        status = mf_model_draw(w, (uint64_t)t->o->seed);
    if (!status)
        status = mf_model_tensors(w, false, start);
    mf_weights_free(w);
    return status;
}

/* All weights of the model, from `init` if it is connected, else drawn. */
static mf_status first_weights(mf_tuner *t, mf_device *device, mf_tensors *start)
{
    const mf_artifact *init;
    MF_TRY(mf_in(t->task, "init", &init));
    MF_TRY(mf_tuner_find_iris(t->task, t->o, &t->iris));
    if (init)
        MF_TRY(mf_model_read(init, true, start));
    else
        MF_TRY(draw(t, device, start));
    return mf_model_carry(&t->iris, init ? start : NULL, &t->carried);
}

/* The size of crops is that of the first one. */
static mf_status find_crop(mf_tuner *t, mf_stream *stream)
{
    mf_artifact *item;
    mf_array_info info;
    MF_TRY(mf_stream_seek(stream, 0));
    MF_TRY(mf_stream_next(stream, &item));
    if (!item)
        return mf_fail(MF_INVALID, "the stream of crops is empty");
    bool found = mf_artifact_find(item, "image", &info) && info.rank == 3;
    mf_artifact_unref(item);
    if (!found)
        return mf_fail(MF_INVALID, "a crop without an image");
    memcpy(t->tuning.crop, info.shape, sizeof t->tuning.crop);
    MF_TRY(mf_hint(mf_iris_check_crop(t->tuning.crop, t->iris.positions),
                   "change patch_size of the crops, or raise pos_embed_size of the model"));
    return strcmp(t->o->mode, "probing") ? mf_session_check_crop(t->task, &t->iris, t->tuning.crop)
                                         : MF_OK;
}

static mf_status check_classes(mf_tuner *t)
{
    const mf_classes *c = &t->classes;
    bool draws = !strcmp(t->o->absent, "draw");
    for (int64_t k = 0; k < c->count; k++) {
        if (!c->cases[k] && !draws)
            return mf_hint(
                mf_fail(MF_INVALID, "no training case has label %lld", (long long)c->label[k]),
                "take it out of `labels`, or set `absent: draw`");
    }
    return MF_OK;
}

/* Validation cases must be prepared alike; what they have of other labels is not looked at. */
static mf_status check_validation(mf_tuner *t)
{
    mf_classes other;
    mf_names names;
    const mf_artifact *train, *val;
    mf_grid a, b;
    if (mf_in_count(t->task, "val") == 0) {
        mf_log(t->task, "there are no validation cases: the model is that of the last step");
        return MF_OK;
    }
    MF_TRY(mf_disjoint(t->task, "train", "val"));
    mf_names_clear(&t->names);
    MF_TRY(mf_port_names(t->task, (const char *const[]){"train", "val", NULL}, &t->names));
    MF_TRY(mf_classes_find(t->task, "val", &(mf_labels){0}, &names, &other));
    mf_names_clear(&names);
    MF_TRY(mf_in_item(t->task, "train", 0, &train));
    MF_TRY(mf_in_item(t->task, "val", 0, &val));
    MF_TRY(mf_artifact_grid(train, &a));
    MF_TRY(mf_artifact_grid(val, &b));
    for (int i = 0; i < 3; i++)
        if (fabs(a.spacing[i] - b.spacing[i]) > 1e-5 * a.spacing[i])
            return mf_hint(mf_fail(MF_INVALID,
                                   "the voxels of `val` have %g x %g x %g mm, those of `train` "
                                   "%g x %g x %g mm",
                                   b.spacing[0], b.spacing[1], b.spacing[2], a.spacing[0],
                                   a.spacing[1], a.spacing[2]),
                           "prepare all samples with one `spacing`");
    int64_t known = 0;
    for (int64_t k = 0; k < other.count; k++) {
        bool one = mf_classes_index(&t->classes, other.label[k]) >= 0;
        known += one;
        if (!one)
            mf_log(t->task, "label %lld of the validation cases is not learned: left out",
                   (long long)other.label[k]);
    }
    return known ? MF_OK
                 : mf_hint(mf_fail(MF_INVALID, "no validation case has a label that is learned"),
                           "choose other cases of `val`, or other `labels`");
}

static mf_status add_tokens(const mf_tuner *t, const mf_priors *priors, mf_tensors *to)
{
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        const int64_t shape[3] = {t->classes.count, MF_IRIS_TOKENS, t->iris.channels[4 - i]};
        char name[16];
        mf_array *a;
        snprintf(name, sizeof name, "tokens.%d", i);
        MF_TRY(mf_tensors_make(to, name, MF_F32, 3, shape, &a));
        memcpy(a->data, priors->level[i], a->bytes);
    }
    return MF_OK;
}

static mf_status embed_case(mf_tuner *t, size_t i, mf_examples *e)
{
    const mf_artifact *sample;
    mf_labelled s;
    MF_TRY(mf_in_item(t->task, "train", i, &sample));
    MF_TRY(mf_labelled_read(sample, &s));
    mf_status status =
        mf_examples_add(e, s.image->data, s.labels->data, s.size, MF_MODALITY_CT); /* not used */
    mf_labelled_clear(&s);
    return status;
}

static mf_status cancel_point(void *task)
{
    return mf_cancel_point(task);
}

/* The tokens before the first step: the means of the task embeddings over the training cases that
 * hold a class, whose volumes are normalized already; where no case shows it, random numbers. */
static mf_status embed_cases(mf_tuner *t, mf_examples *e)
{
    MF_TRY(mf_examples_begin(e));
    for (size_t i = 0; i < mf_in_count(t->task, "train"); i++)
        MF_TRY(mf_within(embed_case(t, i, e), "sample %zu of `train` (%s)", i,
                         mf_in_name(t->task, "train", i)));
    mf_examples_mean(e);
    for (int64_t k = 0; k < t->classes.count; k++) {
        mf_random random;
        t->examples[k] = e->examples[k];
        if (e->examples[k])
            continue;
        mf_log(t->task, "no training case shows label %lld in one crop: its tokens are drawn",
               (long long)t->classes.label[k]);
        mf_random_seed(&random, (uint64_t)t->o->seed, "tokens", (uint64_t)t->classes.label[k]);
        mf_examples_draw(e, k, &random);
    }
    return MF_OK;
}

static mf_status start_rank(mf_tuner *t, int r, const mf_tensors *start)
{
    mf_weights **w = &t->rank[r].weights;
    MF_TRY(mf_weights_new(mf_ranks_device(t->ranks, r), w));
    MF_TRY(mf_tuning_declare(*w, &t->tuning));
    return mf_model_load(*w, start);
}

/* Weights and tokens before the first step; the tokens are zeros where a state will follow. */
static mf_status start_from(mf_tuner *t, mf_device *device, bool resumed, mf_tensors *start)
{
    const int64_t *crop = t->tuning.crop;
    MF_TRY(mf_predictor_new(device, start, crop, &t->predictor));
    mf_examples e = {.predictor = t->predictor,
                     .crop = {crop[0], crop[1], crop[2]},
                     .place = MF_EXAMPLE_MEAN,
                     .labels = t->classes.label,
                     .k = t->classes.count,
                     .step = cancel_point,
                     .user = t->task};
    mf_status status = resumed ? mf_examples_begin(&e) : embed_cases(t, &e);
    if (!status)
        status = add_tokens(t, &e.sums, start);
    mf_examples_clear(&e);
    for (int r = 0; r < mf_ranks_count(t->ranks) && !status; r++)
        status = start_rank(t, r, start);
    t->weights = t->rank->weights;
    return status;
}

mf_status mf_tuner_start(mf_tuner *t, mf_stream *stream, bool resumed)
{
    static const char *const lists[] = {"train", "val"};
    mf_device *device = mf_ranks_device(t->ranks, 0);
    mf_tensors weights = {0};
    size_t bytes;
    MF_TRY(mf_classes_find(t->task, "train", &t->o->labels, &t->names, &t->classes));
    MF_TRY(check_classes(t));
    MF_TRY(check_validation(t));
    MF_TRY(mf_prepared_alike(t->task, lists, 2));
    mf_status status = first_weights(t, device, &weights);
    if (!status)
        status = find_crop(t, stream);
    t->tuning.iris = &t->iris;
    t->tuning.k = t->classes.count;
    t->tuning.probing = !strcmp(t->o->mode, "probing");
    t->tuning.recompute = !strcmp(t->o->recompute, "blocks");
    if (!status)
        status =
            mf_tuner_check_memory(device, t->o, &t->iris, t->tuning.crop, t->classes.count, &bytes);
    if (!status)
        status = start_from(t, device, resumed, &weights);
    mf_tensors_clear(&weights);
    return status;
}
