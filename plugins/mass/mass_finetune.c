/* mass_finetune.c - the stage mass.finetune: a model is adapted to the labels of a few scans. The
 * classes have learned task embeddings, so no example is shown later. The steps are those of the
 * official fine-tuning. */
#include "classes.h"
#include "footprint.h"
#include "mass_finetune.code.h"
#include "mass_stages.h"
#include "model.h"
#include "schedule.h"
#include "session.h"
#include "tuner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const mf_param params[] = {
    MF_CHOICE(mf_finetune_params, mode, "full", "full|probing",
              "full: encoder, decoder, classifier and tokens learn. probing: only the classifier "
              "and the tokens. The task encoder never does."),
    MF_LABELS(mf_finetune_params, labels, "[]", 1, 65535,
              "Labels to learn, by value or name. Empty: all labels of the training cases."),
    MF_CHOICE(mf_finetune_params, absent, "error", "error|draw",
              "A label of `labels` that no training case has. draw: its tokens start as random "
              "numbers, as in the official code."),
    MF_INT(mf_finetune_params, epochs, "50", 1, 1e9, "",
           "Epochs of the whole training. The learning rate is that of the epoch."),
    MF_INT(mf_finetune_params, steps_per_epoch, "100", 1, 1e9, "",
           "Optimizer steps per epoch. 1: the learning rate changes with each step."),
    MF_INT_MARKED(mf_finetune_params, stop_at, "-1", -1, 1e9, "", MF_EXTENDABLE,
                  "Stop after this many steps, without a change of the schedule. If it is raised "
                  "later, the training resumes there. -1: all steps."),
    MF_INT(mf_finetune_params, batch_size, "2", 1, 4096, "", "Crops per step."),
    MF_REAL(mf_finetune_params, lr, "0.0005", 0, 10, "", "Initial learning rate of the model."),
    MF_REAL(mf_finetune_params, token_lr, "0.0005", 0, 10, "",
            "Initial learning rate of the tokens of the classes."),
    MF_REAL(mf_finetune_params, lr_min, "0.000001", 0, 10, "",
            "Learning rate that both approach along half a cosine over the epochs."),
    MF_REAL(mf_finetune_params, weight_decay, "0.001", 0, 10, "",
            "Weight decay of AdamW, of model and tokens."),
    MF_REAL(mf_finetune_params, max_grad_norm, "1", 0, 1e12, "",
            "Maximum norm of the gradient of the model (gradient clipping). The gradient of the "
            "tokens is not clipped. 0: no clipping."),
    MF_REAL(mf_finetune_params, ema_decay, "0.999", 0, 0.999999, "",
            "Decay of the exponential moving average (EMA) of model and tokens. Validation and "
            "later stages use the averages. 0: no averages."),
    MF_INT(mf_finetune_params, val_interval, "100", 1, 1e9, "",
           "Steps between two validations on the cases of `val`. There is one before the first "
           "step and one after the last."),
    MF_REAL(mf_finetune_params, val_overlap, "0.5", 0.5, 0.95, "",
            "Overlap of neighbouring windows in the validation, as a fraction of the window."),
    MF_INT(mf_finetune_params, patience, "0", 0, 1e9, "",
           "Stop after this many validations in a row without a better mean Dice. 0: never."),
    MF_MODEL_PARAMS(mf_finetune_params),
    MF_BACKBONE_PARAMS(mf_finetune_params),
    MF_BATCH_NORM_PARAM(mf_finetune_params),
    MF_INT(mf_finetune_params, seed, "42", 0, 9e15, "",
           "Random seed of the initial weights without `init`, and of drawn tokens."),
    MF_REAL_MARKED(mf_finetune_params, checkpoint_interval, "300", 0, 1e9, "s", MF_NO_CACHE,
                   "Time between two checkpoints. 0: one after each step."),
    MF_FIELD_(MF_PARAM_CHOICE, const char *, mf_finetune_params, recompute, "none", 0, 0, "",
              "none|blocks", MF_NO_CACHE,
              "blocks: the values inside of residual and attention blocks are computed again for "
              "the gradient. It takes less memory and more time, with the same result."),
    MF_RANKS_PARAMS(mf_finetune_params),
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
            "num_block, pos_embed_size and the backbone. Not connected: random weights."),
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

static mf_status check(const void *p)
{
    const mf_finetune_params *o = p;
    mf_iris iris;
    if (o->epochs > (int64_t)1e9 / o->steps_per_epoch)
        return mf_fail(MF_INVALID, "epochs x steps_per_epoch is more than 1e9");
    if (o->stop_at > o->epochs * o->steps_per_epoch)
        return mf_fail(MF_INVALID, "stop_at is %lld, but there are %lld steps",
                       (long long)o->stop_at, (long long)(o->epochs * o->steps_per_epoch));
    MF_TRY(mf_ranks_check(o->ranks, o->devices, o->batch_size));
    if (o->lr_min > o->lr || o->lr_min > o->token_lr)
        return mf_fail(MF_INVALID, "lr_min is %g, above lr %g or token_lr %g", o->lr_min, o->lr,
                       o->token_lr);
    return mf_model_configure_backbone(&MF_MODEL_SIZES_OF(o), &iris);
}

static mf_status host_needs(mf_task *t, const mf_finetune_params *o, mf_device *device,
                            const mf_iris *iris, const int64_t crop[3], int64_t k, size_t *bytes)
{
    mf_host_tuning host = {.classes = (double)k};
    host.crop = (double)crop[0] * (double)crop[1] * (double)crop[2];
    MF_TRY(mf_classes_largest(t, "val", "image", &host.val));
    MF_TRY(mf_memory_weights(device, iris, &host.model));
    *bytes = (size_t)mf_host_tuning_bytes(&host);
    *bytes += (size_t)host.crop * 6 * (size_t)mf_ranks_read(o->ranks, o->devices, o->batch_size);
    return MF_OK;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const mf_finetune_params *o = p;
    double size[3];
    int64_t crop[3], k;
    mf_iris iris;
    mf_device *device;
    n->devices = mf_ranks_of(o->ranks, o->devices, o->batch_size);
    if (!mf_in_stream_param(t, "crops", "patch_size", 3, size))
        return MF_OK;
    for (int i = 0; i < 3; i++)
        crop[i] = (int64_t)size[2 - i];
    MF_TRY(mf_tuner_find_iris(t, o, &iris));
    mf_status status = mf_iris_check_crop(crop, iris.positions);
    if (!status)
        status = mf_classes_estimate(t, "train", &o->labels, &k);
    if (status) { /* the run meets it */
        mf_error_free(status);
        return MF_OK;
    }
    if (strcmp(o->mode, "probing") != 0)
        MF_TRY(mf_session_check_crop(NULL, &iris, crop));
    MF_TRY(mf_task_counting(t, &device));
    status = mf_tuner_check_memory(device, o, &iris, crop, k, &n->device_bytes);
    mf_ranks_need(o->ranks, o->devices, o->batch_size, n);
    if (!status)
        status = host_needs(t, o, device, &iris, crop, k, &n->host_bytes);
    mf_device_unref(device);
    return status;
}

/* ---- one step -------------------------------------------------------------------------------- */

static mf_status learn_arrays(const mf_tuner *t, mf_tuner_rank *rank, const mf_array *image,
                              const mf_array *labels, mf_tuner_crop *crop)
{
    float loss, dice, bce;
    int64_t n = mf_array_count(image);
    if (image->dtype != MF_F32 || image->rank != 3 || labels->dtype != MF_U16 ||
        labels->rank != 3 || memcmp(image->shape, t->tuning.crop, sizeof t->tuning.crop) != 0 ||
        memcmp(labels->shape, t->tuning.crop, sizeof t->tuning.crop) != 0)
        return mf_fail(MF_INVALID, "crops of different sizes");
    uint8_t *masks = malloc((size_t)(n * t->classes.count));
    if (!masks)
        return mf_no_memory((size_t)(n * t->classes.count), "masks");
    mf_classes_masks(&t->classes, labels->data, n, masks);
    mf_status status = mf_executable_set(rank->program, "target", image->data);
    if (!status)
        status = mf_executable_set(rank->program, "target_masks", masks);
    free(masks);
    MF_TRY(status);
    MF_TRY(mf_executable_run(rank->program));
    MF_TRY(mf_executable_get(rank->program, "loss", &loss));
    MF_TRY(mf_executable_get(rank->program, "dice", &dice));
    MF_TRY(mf_executable_get(rank->program, "bce", &bce));
    rank->diverged = !isfinite(loss);
    if (rank->diverged)
        return mf_fail(MF_INVALID, "the loss is %g", (double)loss);
    crop->loss = (double)loss;
    crop->dice = (double)dice;
    crop->bce = (double)bce;
    return MF_OK;
}

static mf_status learn_crop(const mf_tuner *t, mf_tuner_rank *rank, mf_tuner_crop *crop)
{
    mf_array *image, *labels;
    MF_TRY(mf_artifact_array(crop->item, "image", &image));
    mf_status status = mf_artifact_array(crop->item, "labels", &labels);
    if (!status) {
        status = learn_arrays(t, rank, image, labels, crop);
        mf_array_unref(labels);
    }
    mf_array_unref(image);
    return status;
}

/* Crops of augment.crops tell it. */
static const char *sample_of(const mf_tuner_crop *crop)
{
    const char *sample = mf_artifact_text(crop->item, "sample");
    return sample ? sample : "a sample without a name";
}

static void drop_crop(mf_tuner_crop *crop)
{
    mf_artifact_unref(crop->item);
    crop->item = NULL;
}

/* Crop b of the step. */
static mf_status read_next(mf_tuner *t, mf_stream *stream, int64_t b)
{
    MF_TRY(mf_cancel_point(t->task));
    MF_TRY(mf_stream_next(stream, &t->crops[b].item));
    if (!t->crops[b].item)
        return mf_fail(MF_INVALID, "the stream of crops has ended");
    if (b < MF_TUNER_SHOWN)
        snprintf(t->shown[b], sizeof t->shown[b], "%s", sample_of(&t->crops[b]));
    return MF_OK;
}

static mf_status learn_item(const mf_tuner *t, mf_tuner_rank *rank, int64_t b)
{
    mf_tuner_crop *crop = &t->crops[b];
    MF_TRY(mf_cancel_point(t->task));
    MF_TRY(mf_within(learn_crop(t, rank, crop), "a crop of %s", sample_of(crop)));
    return mf_weights_end_item(rank->weights);
}

/* The part of the batch that is a rank's own; then the gradients of all. */
static mf_status learn_part(void *self, int r)
{
    mf_tuner *t = self;
    mf_tuner_rank *rank = &t->rank[r];
    int64_t first, items;
    mf_transport *transport = mf_ranks_transport(t->ranks, r);
    mf_batch_part(t->o->batch_size, transport->ranks, transport->rank, &first, &items);
    MF_TRY(mf_weights_begin_batch(rank->weights, items));
    for (int64_t b = 0; b < items; b++) {
        MF_TRY(learn_item(t, rank, first + b));
        if (r == 0)
            mf_progress_part(t->task, (double)(b + 1) / (double)items);
    }
    return mf_weights_exchange(rank->weights, transport);
}

/* What the crops of other workers gave. */
static mf_status gather_losses(mf_tuner *t)
{
    const int64_t n = t->o->batch_size;
    double(*values)[3] = calloc((size_t)n, sizeof *values);
    if (!values)
        return mf_no_memory(0, "%lld losses", (long long)n);
    for (int64_t b = 0; b < n; b++)
        memcpy(values[b], (double[3]){t->crops[b].loss, t->crops[b].dice, t->crops[b].bce},
               sizeof values[b]);
    mf_status status = mf_ranks_gather(t->ranks, values, n, sizeof *values);
    for (int64_t b = 0; b < n && !status; b++) {
        t->crops[b].loss = values[b][0];
        t->crops[b].dice = values[b][1];
        t->crops[b].bce = values[b][2];
    }
    free(values);
    return status;
}

static mf_status learn_ranks(mf_tuner *t, mf_stream *stream)
{
    int64_t first, items;
    int failed;
    mf_ranks_part(t->ranks, t->o->batch_size, &first, &items);
    for (int64_t b = first; b < first + items; b++)
        MF_TRY(read_next(t, stream, b));
    mf_status status = mf_ranks_run(t->ranks, learn_part, t, &failed);
    t->diverged = status && failed >= 0 && t->rank[failed].diverged;
    return status ? status : gather_losses(t);
}

/* One rank needs no more than one crop at a time. */
static mf_status learn_alone(mf_tuner *t, mf_stream *stream)
{
    MF_TRY(mf_weights_begin_batch(t->weights, t->o->batch_size));
    for (int64_t b = 0; b < t->o->batch_size; b++) {
        MF_TRY(read_next(t, stream, b));
        mf_status status = learn_item(t, t->rank, b);
        t->diverged = t->rank->diverged;
        MF_TRY(status);
        drop_crop(&t->crops[b]);
        mf_progress_part(t->task, (double)(b + 1) / (double)t->o->batch_size);
    }
    return MF_OK;
}

static void drop_crops(mf_tuner *t)
{
    for (int64_t b = 0; b < t->o->batch_size && t->crops; b++)
        drop_crop(&t->crops[b]);
}

static double rate_at(const mf_tuner *t, double first)
{
    const mf_schedule schedule = {
        .kind = MF_SCHEDULE_COSINE, .rate = first, .steps = t->o->epochs, .floor = t->o->lr_min};
    double rate, beta1;
    mf_schedule_at(&schedule, t->done / t->o->steps_per_epoch, &rate, &beta1);
    return rate;
}

/* "crops of sample[case=a], sample[case=b]", of a step whose gradient is not finite */
static mf_status name_crops(const mf_tuner *t, mf_status status)
{
    char text[1024] = "";
    size_t n = 0;
    for (int b = 0; b < MF_TUNER_SHOWN && b < t->o->batch_size && n < sizeof text; b++)
        if (*t->shown[b]) /* else one of another worker */
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", b ? ", " : "", t->shown[b]);
    return mf_within(status, "crops of %s%s", text,
                     t->o->batch_size > MF_TUNER_SHOWN ? ", ..." : "");
}

static mf_tuning_step step_of(const mf_tuner *t)
{
    return (mf_tuning_step){.rate = rate_at(t, t->o->lr),
                            .token_rate = rate_at(t, t->o->token_lr),
                            .weight_decay = t->o->weight_decay,
                            .max_norm = t->o->max_grad_norm,
                            .ema_decay = t->o->ema_decay,
                            .batch = t->o->batch_size,
                            .step = t->done + 1};
}

/* Of one rank: the gradients are the same in all. */
static mf_status update(void *self, int r)
{
    mf_tuner *t = self;
    mf_tuner_rank *rank = &t->rank[r];
    const mf_tuning_step step = step_of(t);
    mf_status status = mf_tuning_update(rank->weights, &step, &rank->norm);
    rank->diverged = status && mf_error_code(status) == MF_INVALID;
    return status;
}

static void end_step(mf_tuner *t)
{
    const mf_tuning_step step = step_of(t);
    const double n = (double)t->o->batch_size;
    double loss = 0, dice = 0, bce = 0;
    char words[64];
    for (int64_t b = 0; b < t->o->batch_size; b++) {
        loss += t->crops[b].loss / n;
        dice += t->crops[b].dice / n;
        bce += t->crops[b].bce / n;
    }
    snprintf(words, sizeof words, "loss %.4f", loss);
    const double row[MF_TUNER_COLUMNS] = {
        (double)(t->done + 1), loss, dice, bce, step.rate, step.token_rate, (double)t->rank->norm};
    memcpy(t->rows[t->done++], row, sizeof row);
    mf_progress(t->task, t->done, t->last, words);
}

static mf_status learn_step(mf_tuner *t, mf_stream *stream)
{
    int failed;
    mf_status status = mf_ranks_alone(t->ranks) ? learn_alone(t, stream) : learn_ranks(t, stream);
    drop_crops(t);
    MF_TRY(status);
    status = mf_ranks_run(t->ranks, update, t, &failed);
    t->diverged = status && failed >= 0 && t->rank[failed].diverged;
    if (status)
        return t->diverged ? name_crops(t, status) : status;
    end_step(t);
    return MF_OK;
}

/* ---- validation ------------------------------------------------------------------------------ */

static mf_status validate_all(mf_tuner *t, mf_validation *v)
{
    mf_priors priors;
    MF_TRY(mf_tuner_load_predictor(t));
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

static mf_status validate(mf_tuner *t)
{
    int64_t n = t->count.validations;
    MF_TRY(mf_tuner_more_results(t, n + 1));
    t->results[n] = (mf_validation){0};
    t->result_steps[n] = t->done;
    MF_TRY(validate_all(t, &t->results[n]));
    double dice = mf_validation_mean(&t->results[n], &t->classes), best = -1;
    for (int64_t i = 0; i < n; i++)
        best = fmax(best, mf_validation_mean(&t->results[i], &t->classes));
    if (dice > best) {
        MF_TRY(mf_tuner_keep_best(t));
        t->count.best = t->done;
    }
    t->count.since = dice > best ? 0 : t->count.since + 1;
    t->count.validations++;
    mf_log(t->task, "step %lld: mean Dice %.4f in the validation%s", (long long)t->done, dice,
           dice > best ? ", the best so far" : "");
    return MF_OK;
}

/* At the end of all steps, not where `stop_at` ends: a longer training has none there. */
static bool validation_due(const mf_tuner *t)
{
    bool due = t->done % t->o->val_interval == 0 || t->done == t->o->epochs * t->o->steps_per_epoch;
    int64_t n = t->count.validations;
    return due && mf_in_count(t->task, "val") > 0 && (n == 0 || t->result_steps[n - 1] != t->done);
}

static bool enough(const mf_tuner *t)
{
    return t->done == t->last || (t->o->patience > 0 && t->count.since >= t->o->patience);
}

/* ---- the run --------------------------------------------------------------------------------- */

/* The steps done are kept where the run is stopped, and before one that is not finite. */
static mf_status stopped(mf_tuner *t, mf_status status, int64_t first)
{
    bool cancelled = mf_error_code(status) == MF_CANCELLED;
    if (t->done > first && (cancelled || t->diverged))
        mf_log_error(t->task, mf_tuner_save(t, false));
    if (!t->diverged)
        return status;
    status = mf_within(status, "step %lld", (long long)t->done + 1);
    if (t->done > 0)
        mf_log(t->task, "the weights after step %lld are kept as a checkpoint", (long long)t->done);
    return mf_hint(status, "lower lr and token_lr, or look for extreme voxels in these cases");
}

static mf_status compile(mf_tuner *t, mf_tuner_rank *rank)
{
    mf_iris_training values;
    mf_program *p;
    MF_TRY(mf_program_new(&p));
    mf_tuning_program(p, &t->tuning, &values);
    mf_status status = mf_program_compile(p, rank->weights, &rank->program);
    mf_program_free(p);
    return status;
}

static mf_status train(mf_tuner *t, mf_stream *stream)
{
    int64_t first = t->done;
    for (int i = 0; i < mf_ranks_count(t->ranks); i++)
        MF_TRY(compile(t, &t->rank[i]));
    MF_TRY(mf_ranks_agree(t->ranks, t->done));
    MF_TRY(mf_stream_seek(stream, t->done * t->o->batch_size));
    mf_progress(t->task, t->done, t->last, NULL);
    for (;;) {
        mf_status status = validation_due(t) ? validate(t) : MF_OK;
        if (!status && enough(t))
            break;
        if (!status && t->done > first && mf_checkpoint_due(t->task, t->o->checkpoint_interval))
            status = mf_tuner_save(t, false);
        if (!status)
            status = learn_step(t, stream);
        if (status)
            return stopped(t, status, first);
    }
    if (t->done < t->last)
        mf_log(t->task, "stopped after step %lld: %lld validations without a better mean Dice",
               (long long)t->done, (long long)t->count.since);
    return t->done > 0 && t->last < t->o->epochs * t->o->steps_per_epoch ? mf_tuner_save(t, true)
                                                                         : MF_OK;
}

static mf_status allocate(mf_tuner *t)
{
    const size_t n = (size_t)t->o->batch_size;
    MF_TRY(mf_ranks_new(t->task, t->o->ranks, t->o->devices, t->o->batch_size, &t->ranks));
    t->rank = calloc((size_t)mf_ranks_count(t->ranks), sizeof *t->rank);
    t->crops = calloc(n, sizeof *t->crops);
    t->rows = calloc((size_t)t->last + 1, sizeof *t->rows);
    return t->rank && t->crops && t->rows ? MF_OK
                                          : mf_no_memory(0, "%lld steps", (long long)t->last);
}

static mf_status work(mf_tuner *t)
{
    mf_stream *stream;
    mf_artifact *state;
    MF_TRY(allocate(t));
    MF_TRY(mf_in_stream(t->task, "crops", &stream));
    MF_TRY(mf_ranks_stream(t->ranks, stream, t->o->batch_size));
    MF_TRY(mf_checkpoint_load(t->task, t->last, &t->done, &state));
    mf_status status = mf_tuner_start(t, stream, state != NULL);
    if (!status && state)
        status = mf_tuner_read_state(t, state);
    mf_artifact_unref(state);
    if (!status)
        status = train(t, stream);
    return status ? status : mf_tuner_publish(t);
}

static void free_ranks(mf_tuner *t)
{
    for (int i = 0; t->rank && i < mf_ranks_count(t->ranks); i++) {
        mf_executable_free(t->rank[i].program);
        mf_weights_free(t->rank[i].weights);
    }
    free(t->rank);
    mf_ranks_free(t->ranks);
}

static mf_status run(mf_task *task, const void *p, void *session)
{
    (void)session;
    mf_tuner *t = calloc(1, sizeof *t);
    if (!t)
        return mf_no_memory(sizeof *t, "a trainer");
    t->task = task;
    t->o = p;
    t->last = t->o->stop_at >= 0 ? t->o->stop_at : t->o->epochs * t->o->steps_per_epoch;
    mf_status status = work(t);
    drop_crops(t);
    mf_predictor_free(t->predictor);
    free_ranks(t);
    mf_tensors_clear(&t->carried);
    mf_names_clear(&t->names);
    mf_artifact_unref(t->best);
    free(t->crops);
    free(t->rows);
    free(t->results);
    free(t->result_steps);
    free(t);
    return status;
}

MF_STAGE(
    mf_stage_mass_finetune, "mass.finetune", 2,
    "Fine-tunes a model on the labels of a few scans, with learned tokens for each label.",
    .help =
        "Each label has tokens that take the place of a reference: they start as the mean of the "
        "task embeddings of the training cases, and learn with the model. The loss is adaptive "
        "Dice plus binary cross entropy, per label. Validation processes the cases of `val` in "
        "overlapping windows with equal weights. The output `model` is the best of the "
        "validations; cases of a test have no part in it. mass.segment segments scans with "
        "`model` and `embedding`. The training saves checkpoints. After an interruption it "
        "resumes from the last checkpoint and gives the same result, bit for bit.",
    .params = params, .params_size = sizeof(mf_finetune_params), .in = inputs, .out = outputs,
    .program = true,
    .tolerance =
        0.1, /* AdamW takes full steps where a gradient is next to rounding, in either way */
    .check = check, .needs = needs, .run = run, .saves = true);
