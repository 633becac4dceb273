/* mass_finetune.c - the stage mass.finetune: a model is adapted to the labels of a few scans. The
 * classes have learned task embeddings, so no example is shown later. The steps are those of the
 * official fine-tuning. */
#include "classes.h"
#include "embedding.h"
#include "examples.h"
#include "footprint.h"
#include "mass_finetune.code.h"
#include "mass_stages.h"
#include "model.h"
#include "schedule.h"
#include "state.h"
#include "tuning.h"
#include "validate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct finetune_params {
    mf_ints channels, num_block, labels;
    int64_t pos_embed_size, epochs, steps_per_epoch, stop_at, batch_size, seed, val_interval,
        patience;
    double lr, token_lr, lr_min, weight_decay, max_grad_norm, ema_decay, val_overlap,
        checkpoint_interval;
    const char *mode, *absent;
} finetune_params;

static const mf_param params[] = {
    MF_CHOICE(finetune_params, mode, "full", "full|probing",
              "full: encoder, decoder, classifier and tokens learn. probing: only the classifier "
              "and the tokens. The task encoder never does."),
    MF_INTS(finetune_params, labels, "[]", 1, 65535, "",
            "Labels to learn. Empty: all labels of the training cases."),
    MF_CHOICE(finetune_params, absent, "error", "error|draw",
              "A label of `labels` that no training case has. draw: its tokens start as random "
              "numbers, as in the official code."),
    MF_INT(finetune_params, epochs, "50", 1, 1e9, "",
           "Epochs of the whole training. The learning rate is that of the epoch."),
    MF_INT(finetune_params, steps_per_epoch, "100", 1, 1e9, "",
           "Optimizer steps per epoch. 1: the learning rate changes with each step."),
    MF_INT_MARKED(finetune_params, stop_at, "-1", -1, 1e9, "", MF_EXTENDABLE,
                  "Stop after this many steps, without a change of the schedule. If it is raised "
                  "later, the training resumes there. -1: all steps."),
    MF_INT(finetune_params, batch_size, "2", 1, 4096, "", "Crops per step."),
    MF_REAL(finetune_params, lr, "0.0005", 0, 10, "", "Initial learning rate of the model."),
    MF_REAL(finetune_params, token_lr, "0.0005", 0, 10, "",
            "Initial learning rate of the tokens of the classes."),
    MF_REAL(finetune_params, lr_min, "0.000001", 0, 10, "",
            "Learning rate that both approach along half a cosine over the epochs."),
    MF_REAL(finetune_params, weight_decay, "0.001", 0, 10, "",
            "Weight decay of AdamW, of model and tokens."),
    MF_REAL(finetune_params, max_grad_norm, "1", 0, 1e12, "",
            "Maximum norm of the gradient of the model (gradient clipping). The gradient of the "
            "tokens is not clipped. 0: no clipping."),
    MF_REAL(finetune_params, ema_decay, "0.999", 0, 0.999999, "",
            "Decay of the exponential moving average (EMA) of model and tokens. Validation and "
            "later stages use the averages. 0: no averages."),
    MF_INT(finetune_params, val_interval, "100", 1, 1e9, "",
           "Steps between two validations on the cases of `val`. There is one before the first "
           "step and one after the last."),
    MF_REAL(finetune_params, val_overlap, "0.5", 0.5, 0.95, "",
            "Overlap of neighbouring windows in the validation, as a fraction of the window."),
    MF_INT(finetune_params, patience, "0", 0, 1e9, "",
           "Stop after this many validations in a row without a better mean Dice. 0: never."),
    MF_MODEL_PARAMS(finetune_params),
    MF_INT(finetune_params, seed, "42", 0, 9e15, "",
           "Random seed of the initial weights without `init`, and of drawn tokens."),
    MF_REAL_MARKED(finetune_params, checkpoint_interval, "300", 0, 1e9, "s", MF_NO_CACHE,
                   "Time between two checkpoints. 0: one after each step."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("crops", "stream<crop>",
            "Augmented crops of the training cases, from augment.crops. Their size is the patch "
            "size."),
    MF_PORT("train", "sample[]", "The training cases, with labels: the tokens start from them."),
    MF_PORT("val", "sample[]?",
            "Cases with labels that choose the best model. Cases of a test must not be here."),
    MF_PORT("init", "model?",
            "Pretrained model, its averaged (EMA) weights if it has them. It determines channels, "
            "num_block and pos_embed_size. Not connected: random weights."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("model", "model",
            "The model with the best mean Dice in the validation; without `val`, the last one."),
    MF_PORT("embedding", "embedding", "The tokens of the classes that belong to `model`."),
    MF_PORT("last", "model", "The model after the last step."),
    MF_PORT("last_embedding", "embedding", "The tokens that belong to `last`."),
    MF_PORT("metrics", "table",
            "One row per step: loss, Dice loss, cross entropy loss, learning rates, gradient norm "
            "of the model."),
    MF_PORT("validation", "table",
            "One row per validation and label, and one for their mean: mean Dice and the number of "
            "cases with the label."),
    MF_END};

enum { COLUMNS = 7 }; /* of the metrics */
enum { SHOWN = 4 };   /* samples that an error about a step names at most */

typedef struct tuner {
    mf_task *task;
    const finetune_params *o;
    mf_iris iris;
    mf_tuning tuning;
    mf_classes classes;
    int64_t examples[MF_CLASSES_MOST];
    mf_weights *weights;
    mf_tensors carried;
    mf_executable *program;
    mf_predictor *predictor;
    int64_t last;            /* steps to do */
    int64_t done;            /* steps done */
    double (*rows)[COLUMNS]; /* [last], of the metrics */
    mf_validation *results;  /* [validations] */
    int64_t *result_steps;   /* [validations] */
    /* Validations done; those since the best; its step. */
    struct {
        int64_t validations, since, best;
    } count;
    mf_artifact *best;        /* what had learned by then; NULL: none */
    const char *shown[SHOWN]; /* samples of this step's crops, the first of them */
    bool diverged;            /* a loss or a gradient is not finite */
} tuner;

static mf_status check(const void *p)
{
    const finetune_params *o = p;
    mf_iris iris;
    if (o->epochs > (int64_t)1e9 / o->steps_per_epoch)
        return mf_fail(MF_INVALID, "epochs x steps_per_epoch is more than 1e9");
    if (o->stop_at > o->epochs * o->steps_per_epoch)
        return mf_fail(MF_INVALID, "stop_at is %lld, but there are %lld steps",
                       (long long)o->stop_at, (long long)(o->epochs * o->steps_per_epoch));
    if (o->lr_min > o->lr || o->lr_min > o->token_lr)
        return mf_fail(MF_INVALID, "lr_min is %g, above lr %g or token_lr %g", o->lr_min, o->lr,
                       o->token_lr);
    return mf_model_configure(o->channels, o->num_block, o->pos_embed_size, &iris);
}

static const mf_memory_words memory_words = {"fine-tuning", "patch_size of the crops",
                                             "lower channels of the model"};

/* How many labels the cases have is known when they are read. */
enum { USUAL_LABELS = 8 };

static mf_memory_of memory_of(const finetune_params *o, const mf_iris *iris, const int64_t crop[3],
                              int64_t k)
{
    return (mf_memory_of){.iris = iris,
                          .crop = {crop[0], crop[1], crop[2]},
                          .masks = k,
                          .averages = o->ema_decay > 0,
                          .batch = o->batch_size,
                          .probing = !strcmp(o->mode, "probing")};
}

static mf_status find_iris(mf_task *t, const finetune_params *o, mf_iris *iris)
{
    const mf_artifact *init;
    MF_TRY(mf_in(t, "init", &init));
    return init ? mf_within(mf_model_iris(init, iris), "the model of `init`")
                : mf_model_configure(o->channels, o->num_block, o->pos_embed_size, iris);
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const finetune_params *o = p;
    double size[3];
    int64_t crop[3];
    mf_iris iris;
    mf_device *device;
    if (!mf_in_stream_param(t, "crops", "patch_size", 3, size))
        return MF_OK;
    for (int i = 0; i < 3; i++)
        crop[i] = (int64_t)size[2 - i];
    MF_TRY(find_iris(t, o, &iris));
    mf_status status = mf_iris_check_crop(crop, iris.positions);
    if (status) { /* the run meets it */
        mf_error_free(status);
        return MF_OK;
    }
    const mf_memory_of of =
        memory_of(o, &iris, crop, o->labels.count ? (int64_t)o->labels.count : USUAL_LABELS);
    MF_TRY(mf_task_counting(t, &device));
    status = mf_memory_check(device, mf_memory_tuning, &of, &memory_words, &n->device_bytes);
    mf_device_unref(device);
    return status;
}

/* ---- the start ------------------------------------------------------------------------------- */

/* Drawn weights, by name. */
static mf_status draw(tuner *t, mf_device *device, mf_tensors *start)
{
    mf_weights *w;
    MF_TRY(mf_weights_new(device, &w));
    mf_status status = mf_model_declare(w, &t->iris);
    if (!status)
        status = mf_model_draw(w, (uint64_t)t->o->seed);
    for (size_t i = 0; i < mf_weights_count(w) && !status; i++) {
        mf_weight_info info;
        mf_array *a;
        mf_weights_info(w, i, &info);
        status = mf_tensors_make(start, info.name, MF_F32, info.rank, info.shape, &a);
        if (!status)
            status = mf_weights_get(w, i, a->data);
    }
    mf_weights_free(w);
    return status;
}

/* All weights of the model, from `init` if it is connected, else drawn. */
static mf_status first_weights(tuner *t, mf_device *device, mf_tensors *start)
{
    const mf_artifact *init;
    MF_TRY(mf_in(t->task, "init", &init));
    MF_TRY(find_iris(t->task, t->o, &t->iris));
    if (init)
        MF_TRY(mf_model_read(init, true, start));
    else
        MF_TRY(draw(t, device, start));
    return mf_model_carry(&t->iris, init ? start : NULL, &t->carried);
}

/* The size of crops is that of the first one. */
static mf_status find_crop(tuner *t, mf_stream *stream)
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
    return mf_hint(mf_iris_check_crop(t->tuning.crop, t->iris.positions),
                   "change patch_size of the crops");
}

static mf_status check_classes(tuner *t)
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
static mf_status check_validation(tuner *t)
{
    mf_classes other;
    const mf_artifact *train, *val;
    mf_grid a, b;
    if (mf_in_count(t->task, "val") == 0) {
        mf_log(t->task, "there are no validation cases: the model is that of the last step");
        return MF_OK;
    }
    MF_TRY(mf_classes_find(t->task, "val", (mf_ints){0}, &other));
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
    return known ? MF_OK : mf_fail(MF_INVALID, "no validation case has a label that is learned");
}

/* A step with all classes must fit the device. */
static mf_status check_memory(tuner *t, mf_device *device)
{
    const mf_memory_of of = memory_of(t->o, &t->iris, t->tuning.crop, t->classes.count);
    size_t bytes;
    return mf_memory_check(device, mf_memory_tuning, &of, &memory_words, &bytes);
}

static mf_status add_tokens(const tuner *t, const mf_priors *priors, mf_tensors *to)
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

static mf_status compile(tuner *t)
{
    mf_iris_training values;
    mf_program *p;
    MF_TRY(mf_program_new(&p));
    mf_tuning_program(p, &t->tuning, &values);
    mf_status status = mf_program_compile(p, t->weights, &t->program);
    mf_program_free(p);
    return status;
}

static mf_status embed_case(tuner *t, size_t i, mf_examples *e)
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
static mf_status embed_cases(tuner *t, mf_examples *e)
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

/* Weights and tokens before the first step; the tokens are zeros where a state will follow. */
static mf_status start_from(tuner *t, mf_device *device, bool resumed, mf_tensors *start)
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
    if (!status)
        status = mf_weights_new(device, &t->weights);
    if (!status)
        status = mf_tuning_declare(t->weights, &t->tuning);
    return status ? status : mf_model_load(t->weights, start);
}

static mf_status start(tuner *t, mf_device *device, mf_stream *stream, bool resumed)
{
    mf_tensors weights = {0};
    MF_TRY(mf_classes_find(t->task, "train", t->o->labels, &t->classes));
    MF_TRY(check_classes(t));
    MF_TRY(check_validation(t));
    mf_status status = first_weights(t, device, &weights);
    if (!status)
        status = find_crop(t, stream);
    t->tuning.iris = &t->iris;
    t->tuning.k = t->classes.count;
    t->tuning.probing = !strcmp(t->o->mode, "probing");
    if (!status)
        status = check_memory(t, device);
    if (!status)
        status = start_from(t, device, resumed, &weights);
    mf_tensors_clear(&weights);
    return status;
}

/* ---- what has learned, kept ------------------------------------------------------------------ */

/* Values and averages of what learns, as they are now, under "best.". */
static mf_status take(tuner *t, mf_artifact *to)
{
    for (size_t i = 0; i < mf_weights_count(t->weights); i++) {
        mf_weight_info info;
        mf_weights_info(t->weights, i, &info);
        for (int average = 0; average < 2 && mf_tuning_learns(&t->tuning, info.name); average++) {
            char name[320];
            mf_array *a;
            snprintf(name, sizeof name, "best.%s.%s", average ? "average" : "value", info.name);
            MF_TRY(mf_array_new(MF_F32, info.rank, info.shape, &a));
            mf_status status = average ? mf_weights_get_average(t->weights, i, a->data)
                                       : mf_weights_get(t->weights, i, a->data);
            if (!status)
                status = mf_artifact_add(to, name, a);
            mf_array_unref(a);
            MF_TRY(status);
        }
    }
    return MF_OK;
}

static mf_status keep_best(tuner *t)
{
    mf_artifact *best;
    MF_TRY(mf_artifact_new("training", &best));
    mf_status status = take(t, best);
    if (status) {
        mf_artifact_unref(best);
        return status;
    }
    mf_artifact_unref(t->best);
    t->best = best;
    return MF_OK;
}

/* The weights become those of the best. */
static mf_status put_best_back(tuner *t)
{
    for (size_t i = 0; i < mf_weights_count(t->weights); i++) {
        mf_weight_info info;
        mf_weights_info(t->weights, i, &info);
        for (int average = 0; average < 2 && mf_tuning_learns(&t->tuning, info.name); average++) {
            char name[320];
            mf_array *a;
            if (average && !(t->o->ema_decay > 0))
                continue;
            snprintf(name, sizeof name, "best.%s.%s", average ? "average" : "value", info.name);
            MF_TRY(mf_artifact_array(t->best, name, &a));
            mf_status status = mf_weights_set_part(
                t->weights, i, average ? MF_WEIGHT_AVERAGE : MF_WEIGHT_VALUE, a->data);
            mf_array_unref(a);
            MF_TRY(status);
        }
    }
    return MF_OK;
}

/* ---- its state ------------------------------------------------------------------------------- *
 * After i steps: what learns, with what the optimizer keeps, the rows of both tables, and the best
 * so far. Crops are a function of their place in the stream, rates are one of i. */

static mf_status copy_arrays(const mf_artifact *from, const char *prefix, mf_artifact *to)
{
    for (size_t i = 0; i < mf_artifact_array_count(from); i++) {
        mf_array_info info;
        mf_array *a;
        mf_artifact_array_info(from, i, &info);
        if (strncmp(info.name, prefix, strlen(prefix)) != 0)
            continue;
        MF_TRY(mf_artifact_array(from, info.name, &a));
        mf_status status = mf_artifact_add(to, info.name, a);
        mf_array_unref(a);
        MF_TRY(status);
    }
    return MF_OK;
}

enum { RESULT = 2 * MF_CLASSES_MOST };

static mf_status put_results(tuner *t, mf_artifact *state)
{
    int64_t n = t->count.validations;
    const int64_t counts[3] = {n, t->count.since, t->count.best};
    double *flat = calloc((size_t)(n * RESULT) + 1, sizeof *flat);
    if (!flat)
        return mf_no_memory(0, "validations");
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < MF_CLASSES_MOST; k++) {
            flat[i * RESULT + k] = t->results[i].dice[k];
            flat[i * RESULT + MF_CLASSES_MOST + k] = (double)t->results[i].cases[k];
        }
    mf_status status = mf_state_put(state, "counts", MF_I64, 3, counts);
    if (!status)
        status = mf_state_put(state, "results", MF_F64, n * RESULT, flat);
    if (!status)
        status = mf_state_put(state, "result_steps", MF_I64, n, t->result_steps);
    free(flat);
    return status;
}

/* Room for one more validation. */
static mf_status more_results(tuner *t, int64_t n)
{
    mf_validation *results = realloc(t->results, (size_t)n * sizeof *results);
    if (results)
        t->results = results;
    int64_t *steps = realloc(t->result_steps, (size_t)n * sizeof *steps);
    if (steps)
        t->result_steps = steps;
    return results && steps ? MF_OK : mf_no_memory(0, "%lld validations", (long long)n);
}

static mf_status get_results(tuner *t, const mf_artifact *state)
{
    int64_t counts[3];
    MF_TRY(mf_state_get(state, "counts", MF_I64, 3, counts));
    int64_t n = counts[0];
    if (n < 0 || n > t->last + 1)
        return mf_fail(MF_CORRUPT, "the saved state has %lld validations", (long long)n);
    MF_TRY(more_results(t, n + 1));
    double *flat = calloc((size_t)(n * RESULT) + 1, sizeof *flat);
    if (!flat)
        return mf_no_memory(0, "validations");
    mf_status status = mf_state_get(state, "results", MF_F64, n * RESULT, flat);
    if (!status)
        status = mf_state_get(state, "result_steps", MF_I64, n, t->result_steps);
    for (int64_t i = 0; i < n && !status; i++)
        for (int64_t k = 0; k < MF_CLASSES_MOST; k++) {
            t->results[i].dice[k] = flat[i * RESULT + k];
            t->results[i].cases[k] = (int64_t)flat[i * RESULT + MF_CLASSES_MOST + k];
        }
    free(flat);
    t->count.validations = n;
    t->count.since = counts[1];
    t->count.best = counts[2];
    return status;
}

static mf_status fill_state(tuner *t, mf_artifact *state)
{
    MF_TRY(mf_state_put(state, "rows", MF_F64, t->done * COLUMNS, t->rows));
    MF_TRY(mf_state_put(state, "examples", MF_I64, t->classes.count, t->examples));
    MF_TRY(put_results(t, state));
    if (t->best)
        MF_TRY(copy_arrays(t->best, "best.", state));
    for (size_t i = 0; i < mf_weights_count(t->weights); i++) {
        mf_weight_info info;
        mf_weights_info(t->weights, i, &info);
        if (mf_tuning_learns(&t->tuning, info.name))
            MF_TRY(mf_state_put_weight(state, t->weights, i, t->o->ema_decay > 0));
    }
    return MF_OK;
}

static mf_status save(tuner *t, bool keep)
{
    mf_artifact *state;
    MF_TRY(mf_artifact_new("training", &state));
    mf_status status = fill_state(t, state);
    if (!status)
        status = mf_checkpoint_save(t->task, t->done, state, keep);
    mf_artifact_unref(state);
    return status;
}

static mf_status read_state(tuner *t, const mf_artifact *state)
{
    MF_TRY(mf_state_get(state, "rows", MF_F64, t->done * COLUMNS, t->rows));
    MF_TRY(mf_state_get(state, "examples", MF_I64, t->classes.count, t->examples));
    MF_TRY(get_results(t, state));
    if (t->count.validations) {
        MF_TRY(mf_artifact_new("training", &t->best));
        MF_TRY(copy_arrays(state, "best.", t->best));
    }
    for (size_t i = 0; i < mf_weights_count(t->weights); i++) {
        mf_weight_info info;
        mf_weights_info(t->weights, i, &info);
        if (mf_tuning_learns(&t->tuning, info.name))
            MF_TRY(mf_state_get_weight(state, t->weights, i, t->o->ema_decay > 0));
    }
    mf_log(t->task, "resumes after step %lld of %lld", (long long)t->done, (long long)t->last);
    return MF_OK;
}

/* ---- one step -------------------------------------------------------------------------------- */

typedef struct losses {
    double loss, dice, bce; /* means over a batch */
} losses;

/* What to call the sample that a crop was cut from. */
static const char *name_of(tuner *t, const mf_artifact *crop)
{
    const char *id = mf_artifact_text(crop, "sample");
    for (size_t i = 0; id && i < mf_in_count(t->task, "train"); i++) {
        const mf_artifact *sample;
        mf_status status = mf_in_item(t->task, "train", i, &sample);
        const char *other = status ? NULL : mf_artifact_id(sample);
        mf_error_free(status);
        if (other && !strcmp(id, other))
            return mf_in_name(t->task, "train", i);
    }
    return "a sample that `train` does not have";
}

static mf_status learn_arrays(tuner *t, const mf_array *image, const mf_array *labels, losses *mean)
{
    float loss, dice, bce;
    int64_t n = mf_array_count(image);
    double batch = (double)t->o->batch_size;
    if (image->dtype != MF_F32 || image->rank != 3 || labels->dtype != MF_U16 ||
        labels->rank != 3 || memcmp(image->shape, t->tuning.crop, sizeof t->tuning.crop) != 0 ||
        memcmp(labels->shape, t->tuning.crop, sizeof t->tuning.crop) != 0)
        return mf_fail(MF_INVALID, "crops of different sizes");
    uint8_t *masks = malloc((size_t)(n * t->classes.count));
    if (!masks)
        return mf_no_memory((size_t)(n * t->classes.count), "masks");
    mf_classes_masks(&t->classes, labels->data, n, masks);
    mf_status status = mf_executable_set(t->program, "target", image->data);
    if (!status)
        status = mf_executable_set(t->program, "target_masks", masks);
    free(masks);
    MF_TRY(status);
    MF_TRY(mf_executable_run(t->program));
    MF_TRY(mf_executable_get(t->program, "loss", &loss));
    MF_TRY(mf_executable_get(t->program, "dice", &dice));
    MF_TRY(mf_executable_get(t->program, "bce", &bce));
    t->diverged = !isfinite(loss);
    if (t->diverged)
        return mf_fail(MF_INVALID, "the loss is %g", (double)loss);
    mean->loss += (double)loss / batch;
    mean->dice += (double)dice / batch;
    mean->bce += (double)bce / batch;
    return MF_OK;
}

static mf_status learn_crop(tuner *t, const mf_artifact *item, losses *mean)
{
    mf_array *image, *labels;
    MF_TRY(mf_artifact_array(item, "image", &image));
    mf_status status = mf_artifact_array(item, "labels", &labels);
    if (!status) {
        status = learn_arrays(t, image, labels, mean);
        mf_array_unref(labels);
    }
    mf_array_unref(image);
    return status;
}

static mf_status learn_next(tuner *t, mf_stream *stream, int64_t b, losses *mean)
{
    mf_artifact *item;
    MF_TRY(mf_cancel_point(t->task));
    MF_TRY(mf_stream_next(stream, &item));
    if (!item)
        return mf_fail(MF_INVALID, "the stream of crops has ended");
    const char *name = name_of(t, item);
    if (b < SHOWN)
        t->shown[b] = name;
    mf_status status = mf_within(learn_crop(t, item, mean), "a crop of %s", name);
    mf_artifact_unref(item);
    return status ? status : mf_weights_end_item(t->weights);
}

static double rate_at(const tuner *t, double first)
{
    const mf_schedule schedule = {
        .kind = MF_SCHEDULE_COSINE, .rate = first, .steps = t->o->epochs, .floor = t->o->lr_min};
    double rate, beta1;
    mf_schedule_at(&schedule, t->done / t->o->steps_per_epoch, &rate, &beta1);
    return rate;
}

/* "crops of sample[case=a], sample[case=b]", of a step whose gradient is not finite */
static mf_status name_crops(const tuner *t, mf_status status)
{
    char text[1024] = "";
    size_t n = 0;
    for (int b = 0; b < SHOWN && b < t->o->batch_size && n < sizeof text; b++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", b ? ", " : "", t->shown[b]);
    return mf_within(status, "crops of %s%s", text, t->o->batch_size > SHOWN ? ", ..." : "");
}

static mf_status learn_step(tuner *t, mf_stream *stream)
{
    losses mean = {0};
    mf_tuning_step step = {.rate = rate_at(t, t->o->lr),
                           .token_rate = rate_at(t, t->o->token_lr),
                           .weight_decay = t->o->weight_decay,
                           .max_norm = t->o->max_grad_norm,
                           .ema_decay = t->o->ema_decay,
                           .batch = t->o->batch_size,
                           .step = t->done + 1};
    float norm;
    char words[64];
    MF_TRY(mf_weights_begin_batch(t->weights, t->o->batch_size));
    for (int64_t b = 0; b < t->o->batch_size; b++) {
        MF_TRY(learn_next(t, stream, b, &mean));
        mf_progress_part(t->task, (double)(b + 1) / (double)t->o->batch_size);
    }
    mf_status status = mf_tuning_update(t->weights, &step, &norm);
    t->diverged = status && mf_error_code(status) == MF_INVALID;
    if (status)
        return t->diverged ? name_crops(t, status) : status;
    snprintf(words, sizeof words, "loss %.4f", mean.loss);
    const double row[COLUMNS] = {(double)(t->done + 1), mean.loss,   mean.dice, mean.bce, step.rate,
                                 step.token_rate,       (double)norm};
    memcpy(t->rows[t->done++], row, sizeof row);
    mf_progress(t->task, t->done, t->last, words);
    return MF_OK;
}

/* ---- validation ------------------------------------------------------------------------------ */

/* The predictor becomes the model as later stages see it. */
static mf_status load_predictor(tuner *t)
{
    mf_tensors now = {0};
    bool averages = t->o->ema_decay > 0;
    mf_status status = MF_OK;
    for (size_t i = 0; i < mf_weights_count(t->weights) && !status; i++) {
        mf_weight_info info;
        mf_array *a;
        mf_weights_info(t->weights, i, &info);
        status = mf_tensors_make(&now, info.name, MF_F32, info.rank, info.shape, &a);
        if (!status)
            status = averages ? mf_weights_get_average(t->weights, i, a->data)
                              : mf_weights_get(t->weights, i, a->data);
    }
    if (!status)
        status = mf_predictor_load(t->predictor, &now);
    mf_tensors_clear(&now);
    return status;
}

static mf_status validate_all(tuner *t, mf_validation *v)
{
    mf_priors priors;
    MF_TRY(load_predictor(t));
    MF_TRY(mf_tuning_get_tokens(t->weights, &t->tuning, t->o->ema_decay > 0, &priors));
    mf_status status = MF_OK;
    for (size_t i = 0; i < mf_in_count(t->task, "val") && !status; i++) {
        const mf_artifact *sample;
        status = mf_in_item(t->task, "val", i, &sample);
        if (!status)
            status = mf_validate_sample(t->task, t->predictor, &priors, &t->classes,
                                        t->o->val_overlap, sample, v);
        status = mf_within(status, "sample %zu of `val` (%s)", i, mf_in_name(t->task, "val", i));
    }
    mf_priors_clear(&priors);
    return status;
}

static mf_status validate(tuner *t)
{
    int64_t n = t->count.validations;
    MF_TRY(more_results(t, n + 1));
    t->results[n] = (mf_validation){0};
    t->result_steps[n] = t->done;
    MF_TRY(validate_all(t, &t->results[n]));
    double dice = mf_validation_mean(&t->results[n], &t->classes), best = -1;
    for (int64_t i = 0; i < n; i++)
        best = fmax(best, mf_validation_mean(&t->results[i], &t->classes));
    if (dice > best) {
        MF_TRY(keep_best(t));
        t->count.best = t->done;
    }
    t->count.since = dice > best ? 0 : t->count.since + 1;
    t->count.validations++;
    mf_log(t->task, "step %lld: mean Dice %.4f in the validation%s", (long long)t->done, dice,
           dice > best ? ", the best so far" : "");
    return MF_OK;
}

/* At the end of all steps, not where `stop_at` ends: a longer training has none there. */
static bool validation_due(const tuner *t)
{
    bool due = t->done % t->o->val_interval == 0 || t->done == t->o->epochs * t->o->steps_per_epoch;
    int64_t n = t->count.validations;
    return due && mf_in_count(t->task, "val") > 0 && (n == 0 || t->result_steps[n - 1] != t->done);
}

static bool enough(const tuner *t)
{
    return t->done == t->last || (t->o->patience > 0 && t->count.since >= t->o->patience);
}

/* ---- the run --------------------------------------------------------------------------------- */

/* The steps done are kept where the run is stopped, and before one that is not finite. */
static mf_status stopped(tuner *t, mf_status status, int64_t first)
{
    bool cancelled = mf_error_code(status) == MF_CANCELLED;
    if (t->done > first && (cancelled || t->diverged))
        mf_log_error(t->task, save(t, false));
    if (!t->diverged)
        return status;
    status = mf_within(status, "step %lld", (long long)t->done + 1);
    if (t->done > 0)
        mf_log(t->task, "the weights after step %lld are kept as a checkpoint", (long long)t->done);
    return mf_hint(status, "lower lr and token_lr, or look for extreme voxels in these cases");
}

static mf_status train(tuner *t, mf_stream *stream)
{
    int64_t first = t->done;
    MF_TRY(compile(t));
    MF_TRY(mf_stream_seek(stream, t->done * t->o->batch_size));
    mf_progress(t->task, t->done, t->last, NULL);
    for (;;) {
        mf_status status = validation_due(t) ? validate(t) : MF_OK;
        if (!status && enough(t))
            break;
        if (!status && t->done > first && mf_checkpoint_due(t->task, t->o->checkpoint_interval))
            status = save(t, false);
        if (!status)
            status = learn_step(t, stream);
        if (status)
            return stopped(t, status, first);
    }
    if (t->done < t->last)
        mf_log(t->task, "stopped after step %lld: %lld validations without a better mean Dice",
               (long long)t->done, (long long)t->count.since);
    return t->done > 0 && t->last < t->o->epochs * t->o->steps_per_epoch ? save(t, true) : MF_OK;
}

/* ---- results --------------------------------------------------------------------------------- */

static void describe(const tuner *t, const mf_artifact *sample, mf_embedding_settings *s)
{
    mf_grid grid = {0};
    size_t n;
    mf_error_free(mf_artifact_grid(sample, &grid)); /* read before: it is there */
    memcpy(s->spacing, grid.spacing, sizeof s->spacing);
    for (int i = 0; i < 3; i++)
        s->patch_size[i] = t->tuning.crop[2 - i];
    s->whole_scan = true;
    s->modality = mf_artifact_text(sample, "modality");
    const double *window = mf_artifact_reals(sample, "window", &n);
    if (window && n == 2)
        memcpy(s->clip.window, window, sizeof s->clip.window);
    const double *percentiles = mf_artifact_reals(sample, "percentiles", &n);
    if (percentiles && n == 2)
        memcpy(s->clip.percentiles, percentiles, sizeof s->clip.percentiles);
}

/* The modality of all training cases, or "". */
static mf_status settings_of(tuner *t, mf_embedding_settings *s)
{
    const mf_artifact *sample;
    MF_TRY(mf_in_item(t->task, "train", 0, &sample));
    describe(t, sample, s);
    for (size_t i = 1; i < mf_in_count(t->task, "train") && s->modality; i++) {
        MF_TRY(mf_in_item(t->task, "train", i, &sample));
        const char *other = mf_artifact_text(sample, "modality");
        if (!other || strcmp(s->modality, other) != 0)
            s->modality = NULL;
    }
    if (!s->modality)
        s->modality = "";
    return load_predictor(t);
}

static mf_status make_embedding(tuner *t, mf_artifact **artifact)
{
    mf_embedding e = {.labels = t->classes.label, .examples = t->examples};
    MF_TRY(settings_of(t, &e.settings));
    MF_TRY(mf_embedding_fingerprint(mf_predictor_weights(t->predictor), false, e.settings.model));
    MF_TRY(mf_tuning_get_tokens(t->weights, &t->tuning, t->o->ema_decay > 0, &e.priors));
    mf_status status = mf_embedding_write(&e, &t->iris, artifact);
    mf_priors_clear(&e.priors);
    return status;
}

static mf_status publish_model(tuner *t, const char *model_port, const char *embedding_port)
{
    mf_artifact *model, *embedding;
    bool averages = t->o->ema_decay > 0 && t->done > 0;
    MF_TRY(mf_model_artifact(t->weights, &t->iris, averages, &t->carried, &model));
    MF_TRY(mf_out(t->task, model_port, model));
    MF_TRY(make_embedding(t, &embedding));
    return mf_out(t->task, embedding_port, embedding);
}

static mf_status make_metrics(const tuner *t, mf_artifact **metrics)
{
    static const char *const columns[] = {"step", "loss",     "dice",      "bce",
                                          "lr",   "token_lr", "grad_norm", NULL};
    mf_table *table;
    MF_TRY(mf_table_new(columns, &table));
    mf_status status = MF_OK;
    for (int64_t i = 0; i < t->done && !status; i++) {
        const double *r = t->rows[i];
        status = mf_table_row(table, r[0], r[1], r[2], r[3], r[4], r[5], r[6]);
    }
    if (!status)
        return mf_table_finish(table, metrics);
    mf_table_free(table);
    return status;
}

static mf_status add_result(const tuner *t, int64_t i, mf_table *table)
{
    const mf_validation *v = &t->results[i];
    double step = (double)t->result_steps[i];
    for (int64_t k = 0; k < t->classes.count; k++) {
        char label[24];
        snprintf(label, sizeof label, "%lld", (long long)t->classes.label[k]);
        MF_TRY(mf_table_row(table, step, label,
                            v->cases[k] ? v->dice[k] / (double)v->cases[k] : (double)NAN,
                            (double)v->cases[k]));
    }
    return mf_table_row(table, step, "mean", mf_validation_mean(v, &t->classes),
                        (double)mf_in_count(t->task, "val"));
}

static mf_status make_validation(const tuner *t, mf_artifact **validation)
{
    static const char *const columns[] = {"step", "label:text", "dice", "cases", NULL};
    mf_table *table;
    MF_TRY(mf_table_new(columns, &table));
    mf_status status = MF_OK;
    for (int64_t i = 0; i < t->count.validations && !status; i++)
        status = add_result(t, i, table);
    if (!status)
        return mf_table_finish(table, validation);
    mf_table_free(table);
    return status;
}

static mf_status publish(tuner *t)
{
    mf_artifact *table;
    MF_TRY(publish_model(t, "last", "last_embedding"));
    if (t->best)
        MF_TRY(put_best_back(t));
    MF_TRY(publish_model(t, "model", "embedding"));
    MF_TRY(make_metrics(t, &table));
    MF_TRY(mf_out(t->task, "metrics", table));
    MF_TRY(make_validation(t, &table));
    return mf_out(t->task, "validation", table);
}

static mf_status work(tuner *t)
{
    mf_queue *queue;
    mf_stream *stream;
    mf_artifact *state;
    MF_TRY(mf_task_queue(t->task, &queue));
    MF_TRY(mf_in_stream(t->task, "crops", &stream));
    MF_TRY(mf_checkpoint_load(t->task, t->last, &t->done, &state));
    mf_status status = start(t, mf_queue_device(queue), stream, state != NULL);
    if (!status && state)
        status = read_state(t, state);
    mf_artifact_unref(state);
    if (!status)
        status = train(t, stream);
    return status ? status : publish(t);
}

static mf_status run(mf_task *task, const void *p, void *session)
{
    (void)session;
    tuner *t = calloc(1, sizeof *t);
    if (!t)
        return mf_no_memory(sizeof *t, "a trainer");
    t->task = task;
    t->o = p;
    t->last = t->o->stop_at >= 0 ? t->o->stop_at : t->o->epochs * t->o->steps_per_epoch;
    t->rows = calloc((size_t)t->last + 1, sizeof *t->rows);
    mf_status status = t->rows ? work(t) : mf_no_memory(0, "%lld steps", (long long)t->last);
    mf_executable_free(t->program);
    mf_predictor_free(t->predictor);
    mf_weights_free(t->weights);
    mf_tensors_clear(&t->carried);
    mf_artifact_unref(t->best);
    free(t->rows);
    free(t->results);
    free(t->result_steps);
    free(t);
    return status;
}

MF_STAGE(
    mf_stage_mass_finetune, "mass.finetune", 1,
    "Fine-tunes a model on the labels of a few scans, with learned tokens for each label.",
    .help =
        "Each label has tokens that take the place of a reference: they start as the mean of the "
        "task embeddings of the training cases, and learn with the model. The loss is adaptive "
        "Dice plus binary cross entropy, per label. Validation processes the cases of `val` in "
        "overlapping windows with equal weights. The output `model` is the best of the "
        "validations; cases of a test have no part in it. mass.segment segments scans with "
        "`model` and `embedding`. The training saves checkpoints. After an interruption it "
        "resumes from the last checkpoint and gives the same result, bit for bit.",
    .params = params, .params_size = sizeof(finetune_params), .in = inputs, .out = outputs,
    .program = true,
    .tolerance =
        0.1, /* AdamW takes full steps where a gradient is next to rounding, in either way */
    .check = check, .needs = needs, .run = run);
