/* trainer.c - how a method becomes a stage. A batch is held on the host as a whole: a contrastive
 * loss compares each of its images with each other. */
#include "trainer.h"
#include "../mass/footprint.h"
#include "../mass/session.h"
#include "../mass/state.h"
#include "../mass/training.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const mf_port mf_baseline_inputs[] = {
    MF_PORT("pairs", "stream<pair>", "Pairs of views. Their size is the patch size."),
    MF_PORT("init", "model?",
            "Initial weights instead of random ones. It determines channels, num_block, "
            "pos_embed_size and the backbone."),
    MF_END};
const mf_port mf_baseline_outputs[] = {
    MF_PORT("model", "model",
            "Whole MASS model with the trained encoder. Averages, if there are any, have the "
            "prefix ema."),
    MF_PORT("metrics", "table",
            "One row per step: loss, what else the method measures, learning rate, gradient norm."),
    MF_END};

typedef struct trainer {
    mf_task *task;
    const mf_method *method;
    const mf_baseline_params *o;
    mf_iris iris;
    mf_device *device; /* of rank 0 */
    mf_ranks *ranks;
    mf_baseline **all; /* [ranks] */
    mf_baseline *b;    /* that of rank 0, whose results count; borrowed */
    double *made;      /* [ranks, columns]: the row of each in this step; all are equal */
    int64_t step;      /* the one that is being done */
    bool diverged;     /* a loss or gradient was not finite */
    mf_tensors first;  /* the whole model as it was before the first step */
    mf_tensors carried;
    int64_t crop[3]; /* z y x; 0 before the first pair */
    int64_t last;    /* steps to do */
    int columns;
    double *rows; /* [last, columns], of the metrics */
    mf_artifact **items;
    mf_array **arrays; /* reference and query of each pair */
    mf_baseline_pair *pairs;
} trainer;

/* What the stream has, by its name and one at a time. */
static const char *port_of(const mf_method *method)
{
    return method->labelled ? "crops" : "pairs";
}

static const char *item_of(const mf_method *method)
{
    return method->labelled ? "crop" : "pair";
}

/* ---- rules ----------------------------------------------------------------------------------- */

mf_status mf_trainer_check(const mf_method *method, const mf_baseline_params *o)
{
    mf_iris iris;
    if (o->stop_at > o->steps)
        return mf_fail(MF_INVALID, "stop_at is %lld, but there are %lld steps",
                       (long long)o->stop_at, (long long)o->steps);
    if (o->batch_size < method->least_batch)
        return mf_fail(MF_INVALID, "batch_size is %lld; %s %s, which has at least %lld",
                       (long long)o->batch_size, method->name, method->least_why,
                       (long long)method->least_batch);
    MF_TRY(mf_ranks_check(o->ranks, o->devices, o->batch_size));
    return mf_model_configure_backbone(&MF_MODEL_SIZES_OF(o), &iris);
}

/* Of `init` or of the parameters. */
static mf_status find_iris(mf_task *task, const mf_baseline_params *o, mf_iris *iris)
{
    return mf_session_iris(task, &MF_MODEL_SIZES_OF(o), "batch", false, iris);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* The whole model, once: its initial values. */
static mf_status declare_whole(mf_device *device, const mf_iris *iris)
{
    mf_weights *w;
    MF_TRY(mf_weights_new(device, &w));
    mf_status status = mf_model_declare(w, iris);
    mf_weights_free(w);
    return status;
}

static mf_status count_step(mf_baseline *b, const int64_t crop[3])
{
    double row[MF_BASELINE_COLUMNS + 3];
    const int64_t n = b->params->batch_size;
    float *image = calloc((size_t)(crop[0] * crop[1] * crop[2]), sizeof *image);
    mf_baseline_pair *pairs = calloc((size_t)n, sizeof *pairs);
    mf_status status =
        image && pairs ? mf_baseline_open(b, crop) : mf_no_memory(0, "counting a step");
    for (int64_t i = 0; i < n && !status; i++)
        pairs[i] = (mf_baseline_pair){.reference = image, .query = image, .scan = (uint64_t)i + 1};
    if (!status)
        status = mf_baseline_learn(b, 0, pairs, row);
    if (!status)
        status = mf_baseline_update(b, 0, row);
    free(image);
    free(pairs);
    return status;
}

/* of->other: a trainer, of which method and parameters are read. */
static mf_status count(mf_device *device, const mf_memory_of *of, size_t *bytes)
{
    const trainer *t = of->other;
    mf_device *counting;
    mf_baseline *b = NULL;
    *bytes = 0;
    MF_TRY(mf_device_counting(device, &counting));
    mf_status status = declare_whole(counting, of->iris);
    if (!status)
        status = mf_baseline_new(counting, t->method, t->o, of->iris, &b);
    if (!status) {
        b->counting = true;
        status = count_step(b, of->crop);
    }
    *bytes = mf_device_most_used(counting);
    mf_baseline_close(b);
    mf_device_unref(counting);
    return status;
}

static mf_status check_memory(const trainer *t, mf_device *device, const mf_iris *iris,
                              const int64_t crop[3], size_t *bytes)
{
    const bool recompute = !strcmp(t->o->recompute, "blocks");
    const mf_memory_words words = {
        "training", t->method->labelled ? "patch_size of the crops" : "patch_size of the pairs",
        recompute ? "lower channels of the model"
                  : "set recompute: blocks, or lower channels of the "
                    "model"};
    const mf_memory_of of = {
        .iris = iris, .crop = {crop[0], crop[1], crop[2]}, .batch = t->o->batch_size, .other = t};
    return mf_memory_check(device, count, &of, &words, bytes);
}

/* The items of a batch: two images of f32 and their masks, a byte a voxel. */
static size_t pairs_bytes(mf_task *task, const char *port, const double size[3], int64_t batch)
{
    double masks = 0;
    if (!mf_in_stream_param(task, port, "masks", 1, &masks))
        masks = 0;
    return (size_t)(size[0] * size[1] * size[2] * (8 + 2 * masks)) * (size_t)batch;
}

/* Pairs of augment.views are as large as it says. Those of other stages are met in the run. */
mf_status mf_trainer_needs(mf_task *task, const mf_method *method, const mf_baseline_params *o,
                           mf_needs *n)
{
    const trainer t = {.method = method, .o = o};
    int64_t crop[3];
    double size[3];
    mf_iris iris;
    mf_device *device;
    n->devices = mf_ranks_of(o->ranks, o->devices, o->batch_size);
    if (!mf_in_stream_param(task, port_of(method), "patch_size", 3, size))
        return MF_OK;
    for (int i = 0; i < 3; i++)
        crop[i] = (int64_t)size[2 - i];
    MF_TRY(find_iris(task, o, &iris));
    mf_status status = mf_iris_check_crop(crop, iris.positions);
    if (status || o->steps == 0 || o->stop_at == 0) { /* the first pair meets it, or none is read */
        mf_error_free(status);
        return MF_OK;
    }
    MF_TRY(mf_session_check_crop(NULL, &iris, crop));
    n->host_bytes += pairs_bytes(task, port_of(method), size, o->batch_size);
    if (method->host_bytes)
        n->host_bytes += (size_t)n->devices * method->host_bytes(o, &iris);
    MF_TRY(mf_task_counting(task, &device));
    status = check_memory(&t, device, &iris, crop, &n->device_bytes);
    mf_ranks_need(o->ranks, o->devices, o->batch_size, n);
    mf_device_unref(device);
    return status;
}

/* ---- the first weights ----------------------------------------------------------------------- */

static mf_status draw_whole(trainer *t)
{
    mf_weights *w;
    MF_TRY(mf_weights_new(t->device, &w));
    mf_status status = mf_model_declare(w, &t->iris);
    if (!status)
        status = mf_model_draw(w, (uint64_t)t->o->seed);
    if (!status)
        status = mf_model_tensors(w, false, &t->first);
    mf_weights_free(w);
    return status;
}

/* From the model where it has that name, else drawn: as the method says, or as PyTorch does. */
static mf_status set_first(const trainer *t, mf_baseline *b, size_t i)
{
    bool drawn = false;
    mf_weight_info info;
    mf_weights_info(b->weights, i, &info);
    if (mf_tensors_find(&t->first, info.name))
        return mf_model_load_weight(b->weights, i, &t->first);
    if (t->method->draw)
        MF_TRY(t->method->draw(b, i, &drawn));
    return drawn ? MF_OK : mf_model_draw_weight(b->weights, i, (uint64_t)t->o->seed);
}

static mf_status start_rank(trainer *t, int rank)
{
    mf_baseline **b = &t->all[rank];
    MF_TRY(mf_baseline_new(mf_ranks_device(t->ranks, rank), t->method, t->o, &t->iris, b));
    (*b)->task = t->task;
    (*b)->progress = rank == 0 ? mf_progress_part : NULL;
    (*b)->ranks = mf_ranks_alone(t->ranks) ? NULL : mf_ranks_transport(t->ranks, rank);
    for (size_t i = 0; i < mf_weights_count((*b)->weights); i++)
        MF_TRY(set_first(t, *b, i));
    return MF_OK;
}

static mf_status start(trainer *t)
{
    const mf_artifact *init;
    MF_TRY(mf_in(t->task, "init", &init));
    MF_TRY(find_iris(t->task, t->o, &t->iris));
    MF_TRY(init ? mf_model_read(init, false, &t->first) : draw_whole(t));
    MF_TRY(mf_model_carry(&t->iris, init ? &t->first : NULL, &t->carried));
    for (int rank = 0; rank < mf_ranks_count(t->ranks); rank++)
        MF_TRY(start_rank(t, rank));
    t->b = t->all[0];
    return MF_OK;
}

/* ---- batches --------------------------------------------------------------------------------- */

static void drop_batch(trainer *t)
{
    for (int64_t i = 0; i < t->o->batch_size && t->items; i++) {
        mf_artifact_unref(t->items[i]);
        t->items[i] = NULL;
    }
    for (int64_t i = 0; i < 2 * t->o->batch_size && t->arrays; i++) {
        mf_array_unref(t->arrays[i]);
        t->arrays[i] = NULL;
    }
}

/* FNV-1a; never 0. */
static uint64_t number_of(const char *text)
{
    uint64_t h = 14695981039346656037u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h ? h : 1;
}

/* The first pair says how large all are. */
static mf_status take_crop(trainer *t, const mf_array *a)
{
    size_t bytes;
    if (t->crop[0])
        return memcmp(t->crop, a->shape, sizeof t->crop)
                   ? mf_fail(MF_INVALID, "%s of different sizes", port_of(t->method))
                   : MF_OK;
    MF_TRY(mf_hint(mf_iris_check_crop(a->shape, t->iris.positions),
                   "change patch_size of the %s, or raise pos_embed_size of the model",
                   t->method->labelled ? "crops" : "views"));
    MF_TRY(mf_session_check_crop(t->task, &t->iris, a->shape));
    MF_TRY(check_memory(t, t->device, &t->iris, a->shape, &bytes));
    memcpy(t->crop, a->shape, sizeof t->crop);
    for (int rank = 0; rank < mf_ranks_count(t->ranks); rank++)
        MF_TRY(mf_baseline_open(t->all[rank], t->crop));
    return MF_OK;
}

static mf_status read_crop(trainer *t, int64_t slot)
{
    mf_array **two = t->arrays + 2 * slot;
    const mf_artifact *item = t->items[slot];
    MF_TRY(mf_artifact_array(item, "image", &two[0]));
    MF_TRY(mf_artifact_array(item, "labels", &two[1]));
    if (two[0]->dtype != MF_F32 || two[0]->rank != 3 || two[1]->dtype != MF_U16 ||
        two[1]->rank != 3)
        return mf_fail(MF_INVALID, "a crop without an image and labels of three axes");
    if (memcmp(two[0]->shape, two[1]->shape, sizeof t->crop))
        return mf_fail(MF_INVALID, "a crop's image and labels differ in size");
    return take_crop(t, two[0]);
}

static mf_status read_pair(trainer *t, int64_t slot)
{
    mf_array **two = t->arrays + 2 * slot;
    const mf_artifact *item = t->items[slot];
    MF_TRY(mf_artifact_array(item, "reference", &two[0]));
    MF_TRY(mf_artifact_array(item, "query", &two[1]));
    for (int i = 0; i < 2; i++)
        if (two[i]->dtype != MF_F32 || two[i]->rank != 3)
            return mf_fail(MF_INVALID, "a pair without two images of three axes");
    if (memcmp(two[0]->shape, two[1]->shape, sizeof t->crop))
        return mf_fail(MF_INVALID, "a pair's views differ in size");
    return take_crop(t, two[0]);
}

static mf_status next_pair(trainer *t, mf_stream *stream, int64_t slot, int64_t index)
{
    MF_TRY(mf_cancel_point(t->task));
    MF_TRY(mf_stream_next(stream, &t->items[slot]));
    if (!t->items[slot])
        return mf_fail(MF_INVALID, "the stream of %s has ended", port_of(t->method));
    /* augment.views tells both: the name for messages, the scan by its content. */
    const char *sample = mf_artifact_text(t->items[slot], "sample");
    const char *scan = mf_artifact_text(t->items[slot], "scan");
    mf_status status = t->method->labelled ? read_crop(t, slot) : read_pair(t, slot);
    MF_TRY(sample
               ? mf_within(status, "%s %lld, of %s", item_of(t->method), (long long)index, sample)
               : mf_within(status, "%s %lld", item_of(t->method), (long long)index));
    mf_array **two = t->arrays + 2 * slot;
    t->pairs[slot] = (mf_baseline_pair){.reference = two[0]->data,
                                        .query = t->method->labelled ? NULL : two[1]->data,
                                        .labels = t->method->labelled ? two[1]->data : NULL,
                                        .index = index,
                                        .scan = scan ? number_of(scan) : 0,
                                        .sample = sample,
                                        .artifact = t->items[slot]};
    return MF_OK;
}

static mf_status read_batch(trainer *t, mf_stream *stream, int64_t i)
{
    drop_batch(t);
    for (int64_t k = 0; k < t->o->batch_size; k++)
        MF_TRY(next_pair(t, stream, k, i * t->o->batch_size + k));
    return MF_OK;
}

/* ---- its state ------------------------------------------------------------------------------- *
 * After i steps: the weights with what the optimizer keeps, what else the method keeps, and the
 * rows of the metrics. Pairs are a function of their place in the stream, the rate is one of i. */

static mf_status fill_state(void *self, int64_t i, mf_artifact *state)
{
    trainer *t = self;
    MF_TRY(mf_state_put(state, "rows", MF_F64, i * t->columns, t->rows));
    MF_TRY(mf_state_put_weights(state, t->b->weights, mf_baseline_averages(t->b)));
    return t->method->save ? t->method->save(t->b, state) : MF_OK;
}

static mf_status take_state(void *self, int64_t i, const mf_artifact *state)
{
    trainer *t = self;
    MF_TRY(mf_state_get(state, "rows", MF_F64, i * t->columns, t->rows));
    for (int rank = 0; rank < mf_ranks_count(t->ranks); rank++) {
        mf_baseline *b = t->all[rank];
        MF_TRY(mf_state_get_weights(state, b->weights, mf_baseline_averages(b)));
        MF_TRY(t->method->load ? t->method->load(b, state) : MF_OK);
    }
    return MF_OK;
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Which pairs a batch had, and of which scans: the first three names. */
static mf_status within_batch(const trainer *t, mf_status status, int64_t i)
{
    char names[256] = "";
    size_t n = 0;
    const int64_t count = t->o->batch_size;
    for (int64_t k = 0; k < count && k < 3 && t->pairs[k].sample && n < sizeof names; k++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", k ? ", " : ", of ",
                              t->pairs[k].sample);
    return mf_within(status, "%s %lld to %lld%s%s", port_of(t->method), (long long)(i * count),
                     (long long)((i + 1) * count - 1), names,
                     count > 3 && *names ? " and others" : "");
}

static mf_status learn(void *self, int rank)
{
    trainer *t = self;
    return mf_baseline_learn(t->all[rank], t->step, t->pairs, t->made + rank * t->columns);
}

static mf_status update(void *self, int rank)
{
    trainer *t = self;
    return mf_baseline_update(t->all[rank], t->step, t->made + rank * t->columns);
}

static mf_status learn_step(void *self, mf_stream *stream, int64_t i)
{
    trainer *t = self;
    char words[64];
    double *row = t->rows + i * t->columns;
    int failed = -1;
    t->step = i;
    MF_TRY(read_batch(t, stream, i));
    mf_status status = mf_ranks_run(t->ranks, learn, t, &failed);
    if (!status)
        status = mf_ranks_run(t->ranks, update, t, &failed);
    t->diverged = status && failed >= 0 && t->all[failed]->diverged;
    if (status)
        return t->diverged ? within_batch(t, status, i) : status;
    memcpy(row, t->made, (size_t)t->columns * sizeof *row);
    snprintf(words, sizeof words, "loss %.4f", row[0]);
    mf_progress(t->task, i + 1, t->last, words);
    return MF_OK;
}

static mf_status train(trainer *t)
{
    const mf_training training = {.task = t->task,
                                  .ranks = t->ranks,
                                  .port = port_of(t->method),
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

/* ---- what is published ----------------------------------------------------------------------- */

static mf_status make_metrics(const trainer *t, mf_artifact **metrics)
{
    const char *columns[MF_BASELINE_COLUMNS + 5] = {"step", "loss"};
    const int own = t->columns - 3;
    mf_table *table;
    for (int k = 0; k < own; k++)
        columns[2 + k] = t->method->columns[k];
    columns[2 + own] = "lr";
    columns[3 + own] = "grad_norm";
    MF_TRY(mf_table_new(columns, &table));
    mf_status status = MF_OK;
    for (int64_t i = 0; i < t->last && !status; i++) {
        double row[MF_BASELINE_COLUMNS + 4] = {(double)(i + 1)};
        memcpy(row + 1, t->rows + i * t->columns, (size_t)t->columns * sizeof *row);
        status = mf_table_put(table, row, NULL);
    }
    if (!status)
        return mf_table_finish(table, metrics);
    mf_table_free(table);
    return status;
}

/* Weight `name` of the model as it is now: learned, or as it was first. */
static mf_status add_weight(const trainer *t, const mf_tensor *first, bool average,
                            mf_artifact *model)
{
    char name[320];
    mf_array *array;
    const int w = mf_weights_find(t->b->weights, first->name);
    snprintf(name, sizeof name, "%s%s", average ? "ema." : "", first->name);
    if (w < 0)
        return mf_artifact_add(model, name, first->array);
    MF_TRY(mf_array_new(MF_F32, first->array->rank, first->array->shape, &array));
    mf_status status = average ? mf_weights_get_average(t->b->weights, (size_t)w, array->data)
                               : mf_weights_get(t->b->weights, (size_t)w, array->data);
    if (!status)
        status = mf_artifact_add(model, name, array);
    mf_array_unref(array);
    return status;
}

static mf_status fill_model(const trainer *t, mf_artifact *model)
{
    const bool averages = t->last > 0 && (t->method->result_is_average || t->o->ema_decay > 0);
    MF_TRY(mf_model_describe(&t->iris, model));
    for (int average = 0; average <= averages; average++)
        for (size_t i = 0; i < t->first.count; i++)
            if (strncmp(t->first.item[i].name, "task_prior_", 11) != 0)
                MF_TRY(add_weight(t, &t->first.item[i], average, model));
    for (size_t i = 0; i < t->carried.count; i++)
        MF_TRY(mf_artifact_add(model, t->carried.item[i].name, t->carried.item[i].array));
    return MF_OK;
}

static mf_status publish(trainer *t)
{
    mf_artifact *model, *metrics;
    MF_TRY(mf_artifact_new("model", &model));
    mf_status status = fill_model(t, model);
    if (status) {
        mf_artifact_unref(model);
        return status;
    }
    MF_TRY(mf_out(t->task, "model", model));
    MF_TRY(make_metrics(t, &metrics));
    return mf_out(t->task, "metrics", metrics);
}

static mf_status allocate(trainer *t)
{
    const size_t n = (size_t)t->o->batch_size;
    MF_TRY(mf_ranks_new(t->task, t->o->ranks, t->o->devices, t->o->batch_size, &t->ranks));
    const size_t ranks = (size_t)mf_ranks_count(t->ranks);
    t->device = mf_ranks_device(t->ranks, 0);
    t->all = calloc(ranks, sizeof(mf_baseline *));
    t->made = calloc(ranks * (size_t)t->columns, sizeof *t->made);
    t->rows = calloc(((size_t)t->last + 1) * (size_t)t->columns, sizeof *t->rows);
    t->items = calloc(n, sizeof *t->items);
    t->arrays = calloc(2 * n, sizeof *t->arrays);
    t->pairs = calloc(n, sizeof *t->pairs);
    return t->all && t->made && t->rows && t->items && t->arrays && t->pairs
               ? MF_OK
               : mf_no_memory(0, "%lld steps of %zu pairs", (long long)t->last, n);
}

static void clear(trainer *t)
{
    drop_batch(t);
    for (int rank = 0; t->all && rank < mf_ranks_count(t->ranks); rank++)
        mf_baseline_close(t->all[rank]);
    mf_ranks_free(t->ranks);
    mf_tensors_clear(&t->first);
    mf_tensors_clear(&t->carried);
    free(t->all);
    free(t->made);
    free(t->rows);
    free(t->items);
    free(t->arrays);
    free(t->pairs);
}

mf_status mf_trainer_run(mf_task *task, const mf_method *method, const mf_baseline_params *o)
{
    trainer t = {.task = task,
                 .method = method,
                 .o = o,
                 .last = o->stop_at >= 0 ? o->stop_at : o->steps,
                 .columns = mf_baseline_columns(method)};
    mf_status status = allocate(&t);
    if (!status)
        status = start(&t);
    if (!status)
        status = train(&t);
    if (!status)
        status = publish(&t);
    clear(&t);
    return status;
}
