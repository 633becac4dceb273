/* mass_train.c - the stage mass.train: the model learns to find in one view what masks mark in
 * another. A batch is its samples one after another. Their gradients are added as a fixed binary
 * tree (mf_weights_begin_batch). */
#include "footprint.h"
#include "mass_stages.h"
#include "mass_train.code.h"
#include "model.h"
#include "pretraining.h"
#include "ranks.h"
#include "session.h"
#include "state.h"
#include "training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct train_params {
    mf_ints channels, num_block;
    int64_t pos_embed_size, steps, stop_at, batch_size, seed, i3d_width, devices, ranks;
    const char *backbone, *batch_norm;
    mf_ints i3d_blocks;
    double lr, weight_decay, max_grad_norm, ema_decay, pct_start, div_factor, final_div_factor,
        checkpoint_interval;
    const char *optimizer, *scheduler, *recompute;
} train_params;

static const mf_param params[] = {
    MF_MODEL_PARAMS(train_params),
    MF_BACKBONE_PARAMS(train_params),
    MF_BATCH_NORM_PARAM(train_params),
    MF_INT(train_params, steps, "100000", 0, 1e9, "",
           "Number of optimizer steps of the whole training."),
    MF_INT_MARKED(train_params, stop_at, "-1", -1, 1e9, "", MF_EXTENDABLE,
                  "Stop after this many steps, without a change of the schedule. If it is raised "
                  "later, the training resumes there. -1: all steps."),
    MF_INT(train_params, batch_size, "4", 1, 4096, "", "Pairs of views per step."),
    MF_REAL(train_params, lr, "0.002", 0, 10, "", "Maximum learning rate."),
    MF_CHOICE(train_params, optimizer, "lamb", "lamb|adamw", "Optimizer of the training."),
    MF_CHOICE(train_params, scheduler, "one-cycle", "one-cycle|cosine|constant",
              "Learning rate schedule. one-cycle is OneCycleLR of PyTorch, with beta1 between 0.95 "
              "and 0.85."),
    MF_REAL(train_params, pct_start, "0.05", 0, 1, "",
            "One-cycle: warm-up fraction, the fraction of the steps in which the learning rate "
            "increases."),
    MF_REAL(train_params, div_factor, "25", 1, 1e12, "",
            "One-cycle: initial learning rate is lr / div_factor."),
    MF_REAL(train_params, final_div_factor, "1000", 1, 1e12, "",
            "One-cycle: final learning rate is initial learning rate / final_div_factor."),
    MF_REAL(train_params, weight_decay, "0.00001", 0, 10, "", "Weight decay of the optimizer."),
    MF_REAL(train_params, max_grad_norm, "1", 0, 1e12, "",
            "Maximum norm of the gradient (gradient clipping). 0: no clipping."),
    MF_REAL(train_params, ema_decay, "0.99", 0, 0.999999, "",
            "Decay of the exponential moving average (EMA) of the weights. Later stages use the "
            "averages. 0: no averages."),
    MF_INT(train_params, seed, "42", 0, 9e15, "", "Random seed of the initial weights."),
    MF_REAL_MARKED(train_params, checkpoint_interval, "300", 0, 1e9, "s", MF_NO_CACHE,
                   "Time between two checkpoints. 0: one after each step."),
    MF_FIELD_(MF_PARAM_CHOICE, const char *, train_params, recompute, "none", 0, 0, "",
              "none|blocks", MF_NO_CACHE,
              "blocks: the values inside of residual and attention blocks are computed again for "
              "the gradient. It takes less memory and more time, with the same result."),
    MF_RANKS_PARAMS(train_params),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("pairs", "stream<pair>", "Pairs of views. Their size is the patch size."),
    MF_PORT("init", "model?",
            "Initial weights instead of random ones. It determines channels, num_block, "
            "pos_embed_size and the backbone."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("model", "model", "Trained weights, and their averages under the prefix ema."),
    MF_PORT("metrics", "table",
            "One row per step: loss, Dice loss, cross entropy loss, learning rate, gradient norm."),
    MF_END};

/* ---- state ----------------------------------------------------------------------------------- */

enum { MOST_MASKS = 256 };
enum { COLUMNS = 6 }; /* of the metrics */
/* Arenas that are kept for other numbers of masks, before all but the newest go. */
static const size_t arena_budget = (size_t)1 << 30;

typedef struct losses {
    double loss, dice, bce;
} losses;

typedef struct pair {
    mf_artifact *item;
    mf_array *reference, *query, *reference_masks, *query_masks;
} pair;

/* What a rank has of its own, on its device. */
typedef struct learner {
    mf_device *device;
    mf_weights *weights;
    mf_executable *programs[MOST_MASKS + 1]; /* by number of masks */
    size_t arenas;
    int64_t checked; /* the most masks that are known to fit the device */
    bool diverged;   /* a loss or gradient was not finite */
    double rate;     /* of the step's update */
    float norm;
} learner;

typedef struct trainer {
    mf_task *task;
    const train_params *o;
    mf_iris iris;
    mf_ranks *ranks;
    learner *learners; /* [ranks] */
    mf_tensors carried;
    int64_t crop[3];         /* z y x; 0 before the first pair */
    int64_t last;            /* steps to do */
    int64_t step;            /* the one that is being done */
    pair *pairs;             /* [batch]; one rank has one of them at a time */
    losses *losses;          /* [batch], as they are */
    bool diverged;           /* a loss or gradient was not finite */
    double (*rows)[COLUMNS]; /* [last], of the metrics */
} trainer;

static bool recomputes(const train_params *o)
{
    return !strcmp(o->recompute, "blocks");
}

static void drop_programs(learner *l)
{
    for (int k = 0; k <= MOST_MASKS; k++) {
        mf_executable_free(l->programs[k]);
        l->programs[k] = NULL;
    }
    l->arenas = 0;
}

static mf_status find_iris(mf_task *t, const train_params *o, mf_iris *iris)
{
    return mf_session_iris(t, &MF_MODEL_SIZES_OF(o), o->batch_norm, false, iris);
}

static mf_status check(const void *p)
{
    const train_params *o = p;
    mf_iris iris;
    if (o->stop_at > o->steps)
        return mf_fail(MF_INVALID, "stop_at is %lld, but there are %lld steps",
                       (long long)o->stop_at, (long long)o->steps);
    MF_TRY(mf_ranks_check(o->ranks, o->devices, o->batch_size));
    return mf_model_configure_backbone(&MF_MODEL_SIZES_OF(o), &iris);
}

/* What to do where a step does not fit, by whether blocks are computed again already. */
static const mf_memory_words memory_words[2] = {
    {"training", "patch_size of the pairs",
     "set recompute: blocks, or lower channels of the model"},
    {"training", "patch_size of the pairs", "lower channels of the model"}};

/* Pairs of augment.views are as large as it says. Those of other stages are met in the run. */
static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const train_params *o = p;
    double size[3], masks;
    mf_iris iris;
    mf_device *device;
    mf_memory_of of = {.iris = &iris,
                       .averages = o->ema_decay > 0,
                       .batch = mf_ranks_items(o->ranks, o->devices, o->batch_size),
                       .recompute = recomputes(o)};
    n->devices = mf_ranks_of(o->ranks, o->devices, o->batch_size);
    if (!mf_in_stream_param(t, "pairs", "patch_size", 3, size) ||
        !mf_in_stream_param(t, "pairs", "masks", 1, &masks))
        return MF_OK;
    for (int i = 0; i < 3; i++)
        of.crop[i] = (int64_t)size[2 - i];
    of.masks = (int64_t)masks;
    n->host_bytes += (size_t)(size[0] * size[1] * size[2] * (8 + 2 * masks)) *
                     (size_t)mf_ranks_read(o->ranks, o->devices, o->batch_size);
    MF_TRY(find_iris(t, o, &iris));
    mf_status status = mf_iris_check_crop(of.crop, iris.positions);
    if (status || o->steps == 0 || o->stop_at == 0) { /* the first pair meets it, or none is read */
        mf_error_free(status);
        return MF_OK;
    }
    MF_TRY(mf_session_check_crop(NULL, &iris, of.crop));
    MF_TRY(mf_task_counting(t, &device));
    status = mf_memory_check(device, mf_memory_training, &of, &memory_words[of.recompute],
                             &n->device_bytes);
    mf_ranks_need(o->ranks, o->devices, o->batch_size, n);
    mf_device_unref(device);
    return status;
}

static mf_status start_learner(trainer *t, learner *l, const mf_tensors *from)
{
    MF_TRY(mf_weights_new(l->device, &l->weights));
    MF_TRY(mf_model_declare(l->weights, &t->iris));
    return from ? mf_model_load(l->weights, from) : mf_model_draw(l->weights, (uint64_t)t->o->seed);
}

/* Weights from `init` if it is connected, else drawn. */
static mf_status start(trainer *t)
{
    const mf_artifact *init;
    mf_tensors from = {0};
    MF_TRY(mf_in(t->task, "init", &init));
    mf_status status = find_iris(t->task, t->o, &t->iris);
    if (!status && init)
        status = mf_model_read(init, false, &from);
    for (int i = 0; i < mf_ranks_count(t->ranks) && !status; i++) {
        t->learners[i].device = mf_ranks_device(t->ranks, i);
        status = start_learner(t, &t->learners[i], init ? &from : NULL);
    }
    if (!status)
        status = mf_model_carry(&t->iris, init ? &from : NULL, &t->carried);
    mf_tensors_clear(&from);
    return status;
}

/* ---- one pair -------------------------------------------------------------------------------- */

static void pair_clear(pair *x)
{
    mf_array_unref(x->reference);
    mf_array_unref(x->query);
    mf_array_unref(x->reference_masks);
    mf_array_unref(x->query_masks);
    mf_artifact_unref(x->item);
    *x = (pair){0};
}

static mf_status pair_read(trainer *t, pair *x)
{
    const mf_artifact *item = x->item;
    MF_TRY(mf_artifact_array(item, "reference", &x->reference));
    MF_TRY(mf_artifact_array(item, "query", &x->query));
    MF_TRY(mf_artifact_array(item, "reference_masks", &x->reference_masks));
    MF_TRY(mf_artifact_array(item, "query_masks", &x->query_masks));
    const mf_array *r = x->reference, *m = x->reference_masks;
    if (r->dtype != MF_F32 || r->rank != 3 || m->dtype != MF_U8 || m->rank != 4 ||
        x->query->dtype != MF_F32 || x->query_masks->dtype != MF_U8 ||
        x->query->bytes != r->bytes || x->query_masks->bytes != m->bytes ||
        memcmp(m->shape + 1, r->shape, sizeof t->crop))
        return mf_fail(MF_INVALID, "a pair's views and masks differ in size");
    if (!t->crop[0]) {
        MF_TRY(mf_hint(mf_iris_check_crop(r->shape, t->iris.positions),
                       "change patch_size of the views, or raise pos_embed_size of the model"));
        MF_TRY(mf_session_check_crop(t->task, &t->iris, r->shape));
        memcpy(t->crop, r->shape, sizeof t->crop);
    }
    if (memcmp(t->crop, r->shape, sizeof t->crop))
        return mf_fail(MF_INVALID, "pairs of different sizes");
    if (m->shape[0] < 1 || m->shape[0] > MOST_MASKS)
        return mf_fail(MF_INVALID, "a pair with %lld masks; 1 to %d can be trained on",
                       (long long)m->shape[0], MOST_MASKS);
    return MF_OK;
}

/* Whether a step with k masks fits the device, where that was not known before the first pair. */
static mf_status check_memory(const trainer *t, learner *l, int64_t k)
{
    const mf_memory_of of = {.iris = &t->iris,
                             .crop = {t->crop[0], t->crop[1], t->crop[2]},
                             .masks = k,
                             .averages = t->o->ema_decay > 0,
                             .batch = mf_ranks_items(t->o->ranks, t->o->devices, t->o->batch_size),
                             .recompute = recomputes(t->o)};
    size_t bytes;
    if (k <= l->checked)
        return MF_OK;
    MF_TRY(
        mf_memory_check(l->device, mf_memory_training, &of, &memory_words[of.recompute], &bytes));
    l->checked = k;
    return MF_OK;
}

/* The program for k masks, made when it is first wanted. Those for other numbers go where the
 * device has no room for both. */
static mf_status program_for(const trainer *t, learner *l, int64_t k, mf_executable **e)
{
    if (!l->programs[k]) {
        MF_TRY(check_memory(t, l, k));
        if (l->arenas > arena_budget)
            drop_programs(l);
        mf_status status = mf_pretraining_compile(l->weights, &t->iris, t->crop, k,
                                                  recomputes(t->o), &l->programs[k]);
        if (status && mf_error_code(status) == MF_NO_MEMORY && l->arenas) {
            mf_error_free(status);
            drop_programs(l);
            status = mf_pretraining_compile(l->weights, &t->iris, t->crop, k, recomputes(t->o),
                                            &l->programs[k]);
        }
        MF_TRY(status);
        l->arenas += mf_executable_arena_bytes(l->programs[k]);
    }
    *e = l->programs[k];
    return MF_OK;
}

/* Names the pair with that place in the stream. */
static mf_status within_pair(const pair *x, int64_t index, mf_status status)
{
    const char *sample =
        x->item ? mf_artifact_text(x->item, "sample") : NULL; /* pairs of augment.views tell it */
    return sample ? mf_within(status, "pair %lld, of %s", (long long)index, sample)
                  : mf_within(status, "pair %lld", (long long)index);
}

static mf_status learn_pair(const trainer *t, learner *l, const pair *x, losses *made)
{
    mf_executable *e;
    mf_pretraining_losses values;
    const mf_pretraining_pair arrays = {x->query->data, x->query_masks->data, x->reference->data,
                                        x->reference_masks->data};
    MF_TRY(program_for(t, l, x->query_masks->shape[0], &e));
    MF_TRY(mf_pretraining_run(e, &arrays, &values));
    l->diverged = !isfinite(values.loss);
    if (l->diverged)
        return mf_fail(MF_INVALID, "the loss is %g", (double)values.loss);
    *made = (losses){(double)values.loss, (double)values.dice, (double)values.bce};
    return mf_weights_end_item(l->weights);
}

/* Pair b of the step. */
static mf_status read_next(trainer *t, mf_stream *stream, int64_t b)
{
    pair *x = &t->pairs[b];
    MF_TRY(mf_cancel_point(t->task));
    MF_TRY(mf_stream_next(stream, &x->item));
    if (!x->item)
        return mf_fail(MF_INVALID, "the stream of pairs has ended");
    return within_pair(x, t->step * t->o->batch_size + b, pair_read(t, x));
}

static mf_status learn_item(trainer *t, learner *l, int64_t b)
{
    MF_TRY(mf_cancel_point(t->task));
    return within_pair(&t->pairs[b], t->step * t->o->batch_size + b,
                       learn_pair(t, l, &t->pairs[b], &t->losses[b]));
}

/* The part of the batch that is a rank's own; then the gradients of all. */
static mf_status learn_part(void *self, int rank)
{
    trainer *t = self;
    learner *l = &t->learners[rank];
    int64_t first, items;
    mf_transport *transport = mf_ranks_transport(t->ranks, rank);
    mf_batch_part(t->o->batch_size, transport->ranks, transport->rank, &first, &items);
    MF_TRY(mf_weights_begin_batch(l->weights, items));
    for (int64_t b = 0; b < items; b++) {
        MF_TRY(learn_item(t, l, first + b));
        if (rank == 0)
            mf_progress_part(t->task, (double)(b + 1) / (double)items);
    }
    return mf_weights_exchange(l->weights, transport);
}

static void drop_pairs(trainer *t)
{
    for (int64_t b = 0; b < t->o->batch_size && t->pairs; b++)
        pair_clear(&t->pairs[b]);
}

/* The pairs come from the stream in their order, and only this thread reads it. */
static mf_status learn_ranks(trainer *t, mf_stream *stream)
{
    int64_t first, items;
    int failed;
    mf_ranks_part(t->ranks, t->o->batch_size, &first, &items);
    for (int64_t b = first; b < first + items; b++)
        MF_TRY(read_next(t, stream, b));
    mf_status status = mf_ranks_run(t->ranks, learn_part, t, &failed);
    t->diverged = status && failed >= 0 && t->learners[failed].diverged;
    return status ? status
                  : mf_ranks_gather(t->ranks, t->losses, t->o->batch_size, sizeof *t->losses);
}

/* One rank needs no more than one pair at a time. */
static mf_status learn_alone(trainer *t, mf_stream *stream)
{
    learner *l = t->learners;
    MF_TRY(mf_weights_begin_batch(l->weights, t->o->batch_size));
    for (int64_t b = 0; b < t->o->batch_size; b++) {
        MF_TRY(read_next(t, stream, b));
        mf_status status = learn_item(t, l, b);
        t->diverged = l->diverged;
        MF_TRY(status);
        pair_clear(&t->pairs[b]);
        mf_progress_part(t->task, (double)(b + 1) / (double)t->o->batch_size);
    }
    return MF_OK;
}

/* ---- its state ------------------------------------------------------------------------------- *
 * After i steps: the weights with what the optimizer keeps, and the rows of the metrics. Pairs are
 * a function of their place in the stream, the rate is one of i: nothing else enters. */

static mf_status fill_state(void *self, int64_t i, mf_artifact *state)
{
    trainer *t = self;
    MF_TRY(mf_state_put(state, "rows", MF_F64, i * COLUMNS, t->rows));
    return mf_state_put_weights(state, t->learners->weights, t->o->ema_decay > 0);
}

static mf_status take_state(void *self, int64_t i, const mf_artifact *state)
{
    trainer *t = self;
    MF_TRY(mf_state_get(state, "rows", MF_F64, i * COLUMNS, t->rows));
    for (int r = 0; r < mf_ranks_count(t->ranks); r++)
        MF_TRY(mf_state_get_weights(state, t->learners[r].weights, t->o->ema_decay > 0));
    return MF_OK;
}

/* ---- the run --------------------------------------------------------------------------------- */

static mf_pretraining pretraining_of(const train_params *o)
{
    mf_schedule_kind kind = !strcmp(o->scheduler, "one-cycle") ? MF_SCHEDULE_ONE_CYCLE
                            : !strcmp(o->scheduler, "cosine")  ? MF_SCHEDULE_COSINE
                                                               : MF_SCHEDULE_CONSTANT;
    return (mf_pretraining){.schedule = {kind, o->lr, o->steps, o->pct_start, o->div_factor,
                                         o->final_div_factor, 0.9, 0},
                            .lamb = !strcmp(o->optimizer, "lamb"),
                            .weight_decay = o->weight_decay,
                            .max_norm = o->max_grad_norm,
                            .ema_decay = o->ema_decay,
                            .batch = o->batch_size};
}

/* Of one rank. The gradients are the same in all, and so is what becomes of them. */
static mf_status update(void *self, int rank)
{
    trainer *t = self;
    learner *l = &t->learners[rank];
    const mf_pretraining how = pretraining_of(t->o);
    mf_status status = mf_pretraining_update(l->weights, &how, t->step, &l->rate, &l->norm);
    l->diverged = status && mf_error_code(status) == MF_INVALID;
    return status;
}

static losses mean_losses(const trainer *t)
{
    const double n = (double)t->o->batch_size;
    losses mean = {0};
    for (int64_t b = 0; b < t->o->batch_size; b++) {
        mean.loss += t->losses[b].loss / n;
        mean.dice += t->losses[b].dice / n;
        mean.bce += t->losses[b].bce / n;
    }
    return mean;
}

static mf_status update_all(trainer *t)
{
    const int64_t i = t->step, n = t->o->batch_size;
    const learner *first = t->learners;
    char words[64];
    int failed;
    mf_status status = mf_ranks_run(t->ranks, update, t, &failed);
    t->diverged = status && failed >= 0 && t->learners[failed].diverged;
    if (t->diverged)
        return mf_within(status, "pairs %lld to %lld", (long long)(i * n),
                         (long long)((i + 1) * n - 1));
    MF_TRY(status);
    const losses l = mean_losses(t);
    snprintf(words, sizeof words, "loss %.4f", l.loss);
    mf_progress(t->task, i + 1, t->last, words);
    const double row[COLUMNS] = {(double)(i + 1), l.loss,      l.dice,
                                 l.bce,           first->rate, (double)first->norm};
    memcpy(t->rows[i], row, sizeof row);
    return MF_OK;
}

static mf_status learn_step(void *self, mf_stream *stream, int64_t i)
{
    trainer *t = self;
    t->step = i;
    mf_status status = mf_ranks_alone(t->ranks) ? learn_alone(t, stream) : learn_ranks(t, stream);
    drop_pairs(t);
    return status ? status : update_all(t);
}

static mf_status train(trainer *t)
{
    const mf_training training = {.task = t->task,
                                  .ranks = t->ranks,
                                  .parts = true,
                                  .port = "pairs",
                                  .batch = t->o->batch_size,
                                  .steps = t->o->steps,
                                  .last = t->last,
                                  .checkpoint_interval = t->o->checkpoint_interval,
                                  .self = t,
                                  .fill = fill_state,
                                  .take = take_state,
                                  .learn = learn_step,
                                  .diverged = &t->diverged};
    return mf_training_run(&training);
}

static mf_status make_metrics(const trainer *t, mf_artifact **metrics)
{
    static const char *const columns[] = {"step", "loss", "dice", "bce", "lr", "grad_norm", NULL};
    mf_table *table;
    MF_TRY(mf_table_new(columns, &table));
    mf_status status = MF_OK;
    for (int64_t i = 0; i < t->last && !status; i++) {
        const double *r = t->rows[i];
        status = mf_table_row(table, r[0], r[1], r[2], r[3], r[4], r[5]);
    }
    if (!status)
        return mf_table_finish(table, metrics);
    mf_table_free(table);
    return status;
}

static mf_status publish(trainer *t)
{
    mf_artifact *model, *metrics;
    bool averages = t->o->ema_decay > 0 && t->last > 0;
    MF_TRY(mf_model_artifact(t->learners->weights, &t->iris, averages, &t->carried, &model));
    MF_TRY(mf_out(t->task, "model", model));
    MF_TRY(make_metrics(t, &metrics));
    return mf_out(t->task, "metrics", metrics);
}

static mf_status allocate(trainer *t)
{
    const size_t n = (size_t)t->o->batch_size;
    MF_TRY(mf_ranks_new(t->task, t->o->ranks, t->o->devices, t->o->batch_size, &t->ranks));
    t->learners = calloc((size_t)mf_ranks_count(t->ranks), sizeof *t->learners);
    t->pairs = calloc(n, sizeof *t->pairs);
    t->losses = calloc(n, sizeof *t->losses);
    t->rows = calloc((size_t)t->last + 1, sizeof *t->rows);
    return t->learners && t->pairs && t->losses && t->rows
               ? MF_OK
               : mf_no_memory(0, "%lld steps", (long long)t->last);
}

static void free_trainer(trainer *t)
{
    drop_pairs(t);
    for (int i = 0; t->learners && i < mf_ranks_count(t->ranks); i++) {
        drop_programs(&t->learners[i]);
        mf_weights_free(t->learners[i].weights);
    }
    mf_ranks_free(t->ranks);
    mf_tensors_clear(&t->carried);
    free(t->learners);
    free(t->pairs);
    free(t->losses);
    free(t->rows);
    free(t);
}

static mf_status run(mf_task *task, const void *p, void *session)
{
    (void)session;
    trainer *t = calloc(1, sizeof *t);
    if (!t)
        return mf_no_memory(sizeof *t, "a trainer");
    t->task = task;
    t->o = p;
    t->last = t->o->stop_at >= 0 ? t->o->stop_at : t->o->steps;
    mf_status status = allocate(t);
    if (!status)
        status = start(t);
    if (!status)
        status = train(t);
    if (!status)
        status = publish(t);
    free_trainer(t);
    return status;
}

MF_STAGE(
    mf_stage_mass_train, "mass.train", 3, "Pretrains the MASS model on pairs of views with masks.",
    .help =
        "The reference view and its masks are encoded as task embeddings. With them the model "
        "segments the same regions in the query view. The loss is adaptive Dice plus binary cross "
        "entropy, per mask. The output holds the trained weights under their PyTorch names and, if "
        "ema_decay is above 0, their averages under the prefix `ema.`. With steps 0 it is the "
        "initial model. The training saves checkpoints. After an interruption it resumes from the "
        "last checkpoint and gives the same result, bit for bit.",
    .params = params, .params_size = sizeof(train_params), .in = inputs, .out = outputs,
    .program = true, .tolerance = 1e-2, /* between devices: updates amplify rounding */
    .check = check, .needs = needs, .run = run, .saves = true);
