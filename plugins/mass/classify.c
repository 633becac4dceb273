/* classify.c - the work of mass.classify. An epoch sees each training case once, in a drawn order;
 * views, order and dropout are functions of the seed, the epoch and the case alone, so that a state
 * needs no random numbers. */
#include "classify.h"
#include "../common/parallel.h"
#include "disjoint.h"
#include "model.h"
#include "prepared.h"
#include "schedule.h"
#include "state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCH_NUMBERS = sizeof(mf_epoch) / sizeof(double) };

/* ---- cases ----------------------------------------------------------------------------------- */

mf_status mf_classify_classes(mf_task *t, const mf_classify_params *o, mf_targets *c)
{
    mf_status status = o->multi_label /* gaps are met where the truth is read */
                           ? mf_targets_columns(o->target, c)
                           : mf_targets_collect(t, o->target, true, c);
    if (status)
        mf_targets_clear(c);
    return status;
}

mf_status mf_classify_shape(const mf_classify_params *o, const mf_artifact *model, int64_t classes,
                            mf_classifier_shape *shape)
{
    *shape = (mf_classifier_shape){.trainable = !o->freeze, .dropout = true};
    MF_TRY(mf_model_encoder(model, &shape->iris));
    MF_TRY(mf_within(mf_model_check_statistics(model), "the model"));
    shape->head = (mf_head){mf_iris_deepest_channels(&shape->iris), classes,
                            mf_pooling_of(o->pooling), o->multi_label};
    mf_zyx(o->roi_size.v, shape->crop);
    return mf_classifier_check(shape);
}

static void clear_set(mf_case_set *s)
{
    for (int64_t i = 0; s->map && i < s->truth.n; i++)
        free(s->map[i]);
    free(s->map);
    free(s->scan);
    free(s->known);
    free(s->probability);
    mf_truth_clear(&s->truth);
}

static mf_status read_set(mf_classify *w, const char *port, mf_case_set *s)
{
    s->port = port;
    MF_TRY(mf_truth_read(w->task, port, &w->classes, !strcmp(w->o->gaps, "leave-out"), &s->truth));
    const size_t n = (size_t)s->truth.n;
    s->scan = calloc(n, sizeof *s->scan);
    s->known = calloc(n, sizeof *s->known);
    s->map = calloc(n, sizeof *s->map);
    s->probability = calloc(n * (size_t)w->classes.count, sizeof *s->probability);
    if (!s->scan || !s->known || !s->map || !s->probability)
        return mf_no_memory(0, "%zu cases", n);
    for (size_t i = 0; i < n; i++) {
        const size_t at = s->truth.at[i];
        mf_array_info info;
        mf_view_scan *scan = &s->scan[i];
        *scan = (mf_view_scan){.array = "voxels", .scale = 1};
        MF_TRY(mf_in_item(w->task, port, at, &scan->artifact));
        if (!mf_artifact_find(scan->artifact, "voxels", &info) || info.dtype != MF_F32 ||
            info.rank != 3)
            return mf_hint(mf_fail(MF_INVALID, "%s case '%s': its voxels are not 32-bit floats",
                                   port, mf_in_case(w->task, port, at)),
                           "connect volumes of mass.normalize");
        memcpy(scan->shape, info.shape, sizeof scan->shape);
    }
    return MF_OK;
}

/* Mean and deviation of a volume, when it is first used. */
static mf_status know(mf_classify *w, mf_case_set *s, int64_t i)
{
    mf_view_scan *scan = &s->scan[i];
    mf_array *voxels;
    if (s->known[i] || !w->o->normalize)
        return MF_OK;
    MF_TRY(mf_artifact_array(scan->artifact, scan->array, &voxels));
    const float *v = voxels->data;
    const int64_t n = mf_array_count(voxels);
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < n; k++)
        sum += (double)v[k];
    scan->mean = sum / (double)n;
    for (int64_t k = 0; k < n; k++)
        squares += ((double)v[k] - scan->mean) * ((double)v[k] - scan->mean);
    const double deviation = sqrt(squares / (double)n);
    scan->scale = deviation > 0 ? 1 / deviation : 1;
    s->known[i] = true;
    mf_array_unref(voxels);
    return MF_OK;
}

static const char *name_of(const mf_classify *w, const mf_case_set *s, int64_t i)
{
    return mf_in_case(w->task, s->port, s->truth.at[i]);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* One label: n / (classes * count) of each class; multi-label: negative / positive cases. */
static void weigh_classes(mf_classify *w)
{
    const int64_t n = w->train.truth.n, classes = w->classes.count;
    for (int64_t c = 0; c < classes; c++) {
        double count = 0;
        for (int64_t i = 0; i < n; i++)
            count += w->train.truth.label[i * classes + c];
        double even =
            w->o->multi_label ? ((double)n - count) / count : (double)n / ((double)classes * count);
        w->class_weight[c] =
            !strcmp(w->o->class_weight, "balanced") ? fmin(fmax(even, 0.1), 10) : 1;
    }
}

/* Whether the classes of a set can be told apart at all: for metrics that rank. */
static mf_status check_selection(const mf_classify *w)
{
    const int64_t n = w->val.truth.n, classes = w->classes.count;
    bool ranked = false;
    if (n == 0 || (strcmp(w->o->select, "auc") && strcmp(w->o->select, "balanced_accuracy")))
        return MF_OK;
    for (int64_t c = 0; c < classes; c++) {
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++)
            count += w->val.truth.label[i * classes + c];
        ranked = ranked || (count > 0 && count < n);
    }
    if (!ranked)
        return mf_hint(mf_fail(MF_INVALID,
                               "the %lld validation cases do not differ in '%s': their %s is "
                               "undefined",
                               (long long)n, w->o->target, w->o->select),
                       "add validation cases of another class, or set select to log_loss or last");
    return MF_OK;
}

static mf_status allocate_ranks(mf_classify *w)
{
    for (int r = 0; r < mf_ranks_count(w->ranks); r++) {
        mf_classify_rank *rank = &w->rank[r];
        rank->drop = calloc((size_t)mf_classifier_width(w->classifier), sizeof *rank->drop);
        rank->target = calloc((size_t)w->classes.count * 2, sizeof *rank->target);
        if (!rank->drop || !rank->target)
            return mf_no_memory(0, "a case");
    }
    return MF_OK;
}

static mf_status allocate(mf_classify *w)
{
    const mf_classifier_shape *s = &w->shape;
    const int64_t n = w->train.truth.n, classes = w->classes.count;
    const size_t rows = s->head.multi_label ? (size_t)classes : 1;
    size_t bytes = sizeof(float);
    w->batches = (n + w->batch - 1) / w->batch;
    w->last = w->o->stop_at > 0 ? w->o->stop_at : w->o->epochs;
    for (int i = 0; i < 3; i++)
        if (!mf_size_mul(bytes, (size_t)s->crop[i], &bytes))
            return mf_no_memory(SIZE_MAX, "a view");
    if (!mf_size_mul(bytes, (size_t)w->batch, &bytes))
        return mf_no_memory(SIZE_MAX, "%lld views", (long long)w->batch);
    w->views = malloc(bytes);
    w->losses = calloc((size_t)w->batch, sizeof *w->losses);
    w->weight = calloc(rows, sizeof *w->weight);
    w->logits = calloc((size_t)classes, sizeof *w->logits);
    w->class_weight = calloc((size_t)classes, sizeof *w->class_weight);
    w->order = calloc((size_t)n, sizeof *w->order);
    w->epochs = calloc((size_t)w->last, sizeof *w->epochs);
    if (!w->views || !w->losses || !w->weight || !w->logits || !w->class_weight || !w->order ||
        !w->epochs)
        return mf_no_memory(bytes, "%lld views of a batch", (long long)w->batch);
    for (size_t i = 0; i < rows; i++)
        w->weight[i] = 1;
    return allocate_ranks(w);
}

/* The classes of an earlier head, joined by tabs, must be these. */
static mf_status check_head(const mf_classify *w, const mf_artifact *head)
{
    const char *at = mf_artifact_text(head, "classes");
    if (!at) { /* of a file: it has as many rows as there are classes, or is refused */
        for (int64_t c = 0; c < w->classes.count; c++)
            mf_log(w->task, "row %lld of the head is taken as class %s: the file does not name it",
                   (long long)c, w->classes.name[c]);
        return MF_OK;
    }
    for (int64_t c = 0; c < w->classes.count; c++) {
        const size_t length = strlen(w->classes.name[c]);
        const bool last = c == w->classes.count - 1;
        if (strncmp(at, w->classes.name[c], length) || at[length] != (last ? 0 : '\t'))
            return mf_hint(mf_fail(MF_INVALID, "the classes of the head are not those of the "
                                               "training cases"),
                           "'massflow show' lists the classes of a head");
        at += length + 1;
    }
    return MF_OK;
}

/* Encoder and head of all ranks. */
static mf_status load_encoders(mf_classify *w)
{
    mf_tensors tensors = {0};
    mf_status status = mf_model_read(w->model, true, &tensors);
    for (int r = 0; r < mf_ranks_count(w->ranks) && !status; r++)
        status = mf_classifier_load_encoder(w->rank[r].classifier, &tensors);
    mf_tensors_clear(&tensors);
    return mf_within(status, "model");
}

static mf_status draw_heads(mf_classify *w)
{
    for (int r = 0; r < mf_ranks_count(w->ranks); r++)
        MF_TRY(mf_classifier_draw_head(w->rank[r].classifier, (uint64_t)w->o->seed));
    return MF_OK;
}

static mf_status load_weights(mf_classify *w)
{
    const mf_artifact *head;
    mf_tensors tensors = {0};
    MF_TRY(load_encoders(w));
    MF_TRY(mf_in(w->task, "head", &head));
    if (!head)
        return draw_heads(w);
    mf_status status = mf_model_read(head, false, &tensors);
    if (!status)
        status = check_head(w, head);
    for (int r = 0; r < mf_ranks_count(w->ranks) && !status; r++)
        status = mf_classifier_load_head(w->rank[r].classifier, &tensors);
    mf_tensors_clear(&tensors);
    return mf_within(status, "head");
}

static mf_status make_ranks(mf_classify *w)
{
    const int64_t n = w->train.truth.n;
    w->batch = w->o->batch_size < n ? w->o->batch_size : n;
    MF_TRY(mf_ranks_new(w->task, w->o->ranks, w->o->devices, w->batch, &w->ranks));
    w->rank = calloc((size_t)mf_ranks_count(w->ranks), sizeof *w->rank);
    if (!w->rank)
        return mf_no_memory(0, "ranks");
    for (int r = 0; r < mf_ranks_count(w->ranks); r++)
        MF_TRY(mf_classifier_new(mf_ranks_device(w->ranks, r), &w->shape, &w->rank[r].classifier));
    w->classifier = w->rank->classifier;
    return MF_OK;
}

static mf_status make(mf_classify *w)
{
    static const char *const lists[] = {"train", "val", "test"};
    MF_TRY(mf_in(w->task, "model", &w->model));
    MF_TRY(mf_prepared_spacing(w->task, lists, 3));
    MF_TRY(mf_prepared_alike(w->task, lists, 3));
    MF_TRY(mf_classify_classes(w->task, w->o, &w->classes));
    MF_TRY(read_set(w, "train", &w->train));
    if (mf_in_count(w->task, "val"))
        MF_TRY(read_set(w, "val", &w->val));
    MF_TRY(read_set(w, "test", &w->test));
    MF_TRY(check_selection(w));
    MF_TRY(mf_disjoint(w->task, "train", "val"));
    MF_TRY(mf_disjoint(w->task, "train", "test"));
    MF_TRY(mf_disjoint(w->task, "val", "test"));
    MF_TRY(mf_classify_shape(w->o, w->model, w->classes.count, &w->shape));
    MF_TRY(make_ranks(w));
    MF_TRY(load_weights(w));
    MF_TRY(allocate(w));
    weigh_classes(w);
    return MF_OK;
}

mf_status mf_classify_new(mf_task *t, const mf_classify_params *o, mf_classify **work)
{
    *work = NULL;
    mf_classify *w = calloc(1, sizeof *w);
    if (!w)
        return mf_no_memory(sizeof *w, "a classifier");
    w->task = t;
    w->o = o;
    w->best = -1;
    mf_status status = make(w);
    if (status) {
        mf_classify_free(w);
        return status;
    }
    *work = w;
    return MF_OK;
}

static void drop_kept(mf_classify *w)
{
    for (size_t i = 0; w->kept && i < mf_weights_count(mf_classifier_weights(w->classifier)); i++)
        free(w->kept[i]);
    free(w->kept);
    w->kept = NULL;
}

static void free_ranks(mf_classify *w)
{
    for (int r = 0; w->rank && r < mf_ranks_count(w->ranks); r++) {
        mf_classifier_free(w->rank[r].classifier);
        free(w->rank[r].drop);
        free(w->rank[r].target);
    }
    free(w->rank);
    mf_ranks_free(w->ranks);
}

void mf_classify_free(mf_classify *w)
{
    if (!w)
        return;
    drop_kept(w);
    free_ranks(w);
    clear_set(&w->train);
    clear_set(&w->val);
    clear_set(&w->test);
    mf_targets_clear(&w->classes);
    free(w->class_weight);
    free(w->order);
    free(w->views);
    free(w->losses);
    free(w->weight);
    free(w->logits);
    free(w->epochs);
    free(w);
}

/* ---- judging --------------------------------------------------------------------------------- */

static void probabilities(const mf_classify *w, double *p)
{
    const int64_t classes = w->classes.count;
    double sum = 0, most = -INFINITY;
    for (int64_t c = 0; c < classes; c++)
        most = fmax(most, (double)w->logits[c]);
    for (int64_t c = 0; c < classes; c++)
        sum += p[c] = exp((double)w->logits[c] - most);
    for (int64_t c = 0; c < classes; c++)
        p[c] = w->o->multi_label ? 1 / (1 + exp(-(double)w->logits[c])) : p[c] / sum;
}

/* Logits of case i, from its center. The map of a frozen encoder never changes: it is kept. */
static mf_status judge_case(mf_classify *w, mf_case_set *s, int64_t i)
{
    MF_TRY(mf_cancel_point(w->task));
    if (!s->map[i]) {
        MF_TRY(know(w, s, i));
        MF_TRY(mf_scan_view_center(&s->scan[i], w->shape.crop, w->views));
        if (w->shape.trainable)
            return mf_classifier_predict(w->classifier, w->views, w->logits);
        float *map = malloc((size_t)mf_classifier_map_size(w->classifier) * sizeof *map);
        mf_status status = map ? mf_classifier_encode(w->classifier, w->views, map)
                               : mf_no_memory(0, "a feature map");
        if (status) {
            free(map);
            return status;
        }
        s->map[i] = map;
    }
    return mf_classifier_predict_map(w->classifier, s->map[i], w->logits);
}

mf_status mf_classify_judge(mf_classify *w, mf_case_set *s)
{
    for (int64_t i = 0; i < s->truth.n; i++) {
        MF_TRY(mf_within(judge_case(w, s, i), "%s case '%s'", s->port, name_of(w, s, i)));
        probabilities(w, s->probability + i * w->classes.count);
    }
    return MF_OK;
}

/* ---- the best epoch -------------------------------------------------------------------------- */

/* What is selected by, the more the better. */
static double rank_of(const mf_classify *w, const mf_epoch *e)
{
    const char *by = w->o->select;
    return !strcmp(by, "auc")                 ? e->val_auc
           : !strcmp(by, "accuracy")          ? e->val_accuracy
           : !strcmp(by, "balanced_accuracy") ? e->val_balanced
           : !strcmp(by, "f1")                ? e->val_f1
           : !strcmp(by, "brier")             ? -e->val_brier
           : !strcmp(by, "log_loss")          ? -e->val_loss
                                              : NAN;
}

/* Room for the values of all weights. */
static mf_status make_kept(mf_classify *w)
{
    mf_weights *weights = mf_classifier_weights(w->classifier);
    if (w->kept)
        return MF_OK;
    w->kept = calloc(mf_weights_count(weights), sizeof *w->kept);
    for (size_t i = 0; w->kept && i < mf_weights_count(weights); i++) {
        mf_weight_info info;
        mf_weights_info(weights, i, &info);
        if (!(w->kept[i] = malloc((size_t)info.count * sizeof(float))))
            return mf_no_memory((size_t)info.count * sizeof(float), "the best weights");
    }
    return w->kept ? MF_OK : mf_no_memory(0, "the best weights");
}

static mf_status keep(mf_classify *w)
{
    mf_weights *weights = mf_classifier_weights(w->classifier);
    MF_TRY(make_kept(w));
    for (size_t i = 0; i < mf_weights_count(weights); i++)
        MF_TRY(mf_weights_get(weights, i, w->kept[i]));
    return MF_OK;
}

static mf_status judge_validation(mf_classify *w, mf_epoch *e)
{
    mf_quality q;
    e->val_loss = e->val_auc = e->val_accuracy = e->val_balanced = e->val_f1 = e->val_brier = NAN;
    if (w->val.truth.n == 0)
        return MF_OK;
    MF_TRY(mf_classify_judge(w, &w->val));
    MF_TRY(mf_quality_make(w->val.probability, w->val.truth.label, w->val.truth.n, w->classes.count,
                           w->o->multi_label, &q));
    e->val_loss = q.all.log_loss;
    e->val_auc = q.all.auc;
    e->val_accuracy = q.all.accuracy;
    e->val_balanced = q.all.balanced_accuracy;
    e->val_f1 = q.all.f1;
    e->val_brier = q.all.brier;
    mf_quality_clear(&q);
    return MF_OK;
}

/* ---- its state: weights with their moments, what epochs gave, the best weights ------------------
 */

static mf_status fill_state(mf_classify *w, mf_artifact *state)
{
    mf_weights *weights = mf_classifier_weights(w->classifier);
    const double sums[2] = {w->sums.loss, w->sums.norm};
    MF_TRY(mf_artifact_set_int(state, "judged", w->judged));
    MF_TRY(mf_artifact_set_int(state, "best", w->best));
    MF_TRY(mf_state_put(state, "epochs", MF_F64, w->judged * EPOCH_NUMBERS, w->epochs));
    MF_TRY(mf_state_put(state, "sums", MF_F64, 2, sums));
    MF_TRY(mf_state_put_weights(state, weights, false));
    for (size_t i = 0; w->best >= 0 && i < mf_weights_count(weights); i++) {
        mf_weight_info info;
        char name[320];
        mf_weights_info(weights, i, &info);
        snprintf(name, sizeof name, "best.%s", info.name);
        MF_TRY(mf_state_put(state, name, MF_F32, info.count, w->kept[i]));
    }
    return MF_OK;
}

static mf_status save(mf_classify *w, int64_t i, bool keep_it)
{
    mf_artifact *state;
    MF_TRY(mf_artifact_new("training", &state));
    mf_status status = fill_state(w, state);
    if (!status)
        status = mf_checkpoint_save(w->task, i, state, keep_it);
    mf_artifact_unref(state);
    return status;
}

static mf_status take_state(mf_classify *w, const mf_artifact *state)
{
    mf_weights *weights = mf_classifier_weights(w->classifier);
    double sums[2];
    if (!mf_artifact_int(state, "judged", &w->judged) || w->judged < 0 || w->judged > w->last ||
        !mf_artifact_int(state, "best", &w->best) || w->best < -1 || w->best >= w->judged)
        return mf_fail(MF_CORRUPT, "the saved state has no 'judged' or 'best' epoch of %lld",
                       (long long)w->last);
    MF_TRY(mf_state_get(state, "epochs", MF_F64, w->judged * EPOCH_NUMBERS, w->epochs));
    MF_TRY(mf_state_get(state, "sums", MF_F64, 2, sums));
    w->sums.loss = sums[0];
    w->sums.norm = sums[1];
    for (int r = 0; r < mf_ranks_count(w->ranks); r++)
        MF_TRY(mf_state_get_weights(state, mf_classifier_weights(w->rank[r].classifier), false));
    if (w->best >= 0)
        MF_TRY(make_kept(w));
    for (size_t i = 0; w->best >= 0 && i < mf_weights_count(weights); i++) {
        mf_weight_info info;
        char name[320];
        mf_weights_info(weights, i, &info);
        snprintf(name, sizeof name, "best.%s", info.name);
        MF_TRY(mf_state_get(state, name, MF_F32, info.count, w->kept[i]));
    }
    return MF_OK;
}

static mf_status resume(mf_classify *w, int64_t *i)
{
    mf_artifact *state;
    MF_TRY(mf_checkpoint_load(w->task, w->last * w->batches, i, &state));
    if (!state)
        return MF_OK;
    mf_status status = take_state(w, state);
    mf_artifact_unref(state);
    if (!status)
        mf_log(w->task, "resumes after step %lld of %lld", (long long)*i,
               (long long)(w->last * w->batches));
    return status;
}

/* ---- a step ---------------------------------------------------------------------------------- */

/* One step: cases order[first .. first + n) of an epoch. */
typedef struct step {
    mf_classify *w;
    int64_t i, epoch, first, n;
    int64_t own; /* first case of the batch that this process learns from */
} step;

static void seed_case(const step *s, const char *what, int64_t of, mf_random *random)
{
    mf_random_seed(random, (uint64_t)s->w->o->seed, what,
                   (uint64_t)(s->epoch * s->w->train.truth.n + of));
}

/* A new order each epoch, which only seed and epoch decide. */
static void draw_order(const step *s)
{
    int64_t *order = s->w->order;
    mf_random random;
    mf_random_seed(&random, (uint64_t)s->w->o->seed, "order", (uint64_t)s->epoch);
    for (int64_t j = 0; j < s->w->train.truth.n; j++) { /* Fisher and Yates, inside out */
        int64_t k = mf_random_below(&random, j + 1);
        order[j] = order[k];
        order[k] = j;
    }
}

static mf_view_settings view_settings(const mf_classify_params *o)
{
    return (mf_view_settings){.affine_prob = o->affine_prob,
                              .scale = o->scale,
                              .translate = o->translate,
                              .shear = o->shear,
                              .rotate = o->rotate,
                              .brightness_prob = o->aug_prob,
                              .brightness_additive_prob = o->aug_prob,
                              .gamma_prob = o->aug_prob,
                              .contrast_prob = o->aug_prob,
                              .blur_prob = o->aug_prob,
                              .gaussian_noise_prob = o->aug_prob,
                              .brightness_range = o->brightness_range,
                              .gamma_range = o->gamma_range,
                              .contrast_range = o->contrast_range,
                              .blur_range = o->blur_range,
                              .brightness_additive_std = o->brightness_additive_std,
                              .gaussian_noise_std = o->gaussian_noise_std};
}

static int64_t view_size(const mf_classify *w)
{
    return w->shape.crop[0] * w->shape.crop[1] * w->shape.crop[2];
}

/* View `at` of those of the step that this process learns from; for mf_parallel. */
static mf_status make_view(void *user, int worker, int64_t at)
{
    const step *s = user;
    const int64_t k = s->own + at;
    mf_classify *w = s->w;
    const int64_t of = w->order[s->first + k];
    float *view = w->views + k * view_size(w);
    const mf_view_settings settings = view_settings(w->o);
    mf_random random;
    (void)worker;
    seed_case(s, "view", of, &random);
    mf_status status = know(w, &w->train, of);
    if (!status)
        status = w->o->augment ? mf_scan_view_draw(&w->train.scan[of], &settings, w->shape.crop,
                                                   w->o->margin, &random, view)
                               : mf_scan_view_center(&w->train.scan[of], w->shape.crop, view);
    return mf_within(status, "train case '%s'", name_of(w, &w->train, of));
}

static int64_t class_of(const mf_classify *w, int64_t of)
{
    const uint8_t *label = w->train.truth.label + of * w->classes.count;
    int64_t c = 0;
    while (!label[c])
        c++;
    return c;
}

/* The part of the loss of the batch that is the case's: PyTorch's means, by weight of its class, or
 * of all cases alike. */
static double share_of(const step *s, int64_t of)
{
    const mf_classify *w = s->w;
    double all = 0;
    if (w->o->multi_label)
        return 1 / (double)s->n;
    for (int64_t k = 0; k < s->n; k++)
        all += w->class_weight[class_of(w, w->order[s->first + k])];
    return w->class_weight[class_of(w, of)] / all;
}

static void fill_target(const mf_classify *w, mf_classify_rank *rank, int64_t of)
{
    const uint8_t *label = w->train.truth.label + of * w->classes.count;
    for (int64_t c = 0; c < w->classes.count; c++) {
        if (w->o->multi_label) {
            rank->target[2 * c] = label[c] ? 0 : 1;
            rank->target[2 * c + 1] = label[c] ? (float)w->class_weight[c] : 0;
        } else {
            rank->target[c] = label[c];
        }
    }
}

static void fill_drop(const step *s, mf_classify_rank *rank, int64_t of)
{
    const double p = s->w->o->dropout;
    mf_random random;
    seed_case(s, "drop", of, &random);
    for (int64_t i = 0; i < mf_classifier_width(rank->classifier); i++)
        rank->drop[i] = mf_random_uniform(&random, 0, 1) < p ? 0 : (float)(1 / (1 - p));
}

static mf_status no_number(mf_status status)
{
    return mf_hint(status, "lower head_lr or encoder_lr, or look for extreme voxels in the scans; "
                           "the state before this step is kept");
}

static mf_status learn_case(const step *s, mf_classify_rank *rank, int64_t k)
{
    const mf_classify *w = s->w;
    const int64_t of = w->order[s->first + k];
    float value;
    const mf_classifier_case one = {.image = w->views + k * view_size(w),
                                    .drop = rank->drop,
                                    .target = rank->target,
                                    .weight = w->weight,
                                    .share = (float)share_of(s, of)};
    MF_TRY(mf_cancel_point(w->task));
    fill_target(w, rank, of);
    fill_drop(s, rank, of);
    MF_TRY(mf_classifier_learn(rank->classifier, &one, &value, NULL));
    if (!isfinite(value))
        return no_number(mf_fail(MF_INVALID, "step %lld (epoch %lld), case '%s': the loss is %g",
                                 (long long)s->i + 1, (long long)s->epoch + 1,
                                 name_of(w, &w->train, of), (double)value));
    w->losses[k] = (double)value;
    return MF_OK;
}

/* The part of the batch that is a rank's own; then the gradients of all. The last batch of an epoch
 * may be smaller than there are ranks. */
static mf_status learn_part(void *self, int r)
{
    const step *s = self;
    mf_classify *w = s->w;
    mf_weights *weights = mf_classifier_weights(w->rank[r].classifier);
    int64_t first, items;
    mf_transport *transport = mf_ranks_transport(w->ranks, r);
    mf_batch_part(s->n, transport->ranks, transport->rank, &first, &items);
    MF_TRY(items ? mf_weights_begin_batch(weights, items) : mf_weights_clear_gradients(weights));
    for (int64_t k = 0; k < items; k++) {
        MF_TRY(learn_case(s, &w->rank[r], first + k));
        if (r == 0)
            mf_progress_part(w->task, (double)(k + 1) / (double)items);
    }
    return mf_weights_exchange(weights, transport);
}

static double rate_at(const mf_classify *w, double rate, int64_t epoch)
{
    const mf_schedule schedule = {.kind = MF_SCHEDULE_COSINE,
                                  .rate = rate,
                                  .steps = w->o->epochs,
                                  .beta1 = 0.9,
                                  .floor = w->o->eta_min};
    double at, beta1;
    mf_schedule_at(&schedule, epoch, &at, &beta1);
    return at;
}

/* Of one rank: the gradients are the same in all. */
static mf_status update(void *self, int r)
{
    const step *s = self;
    const mf_classify *w = s->w;
    const mf_classifier_step by = {.head_rate = rate_at(w, w->o->head_lr, s->epoch),
                                   .encoder_rate = rate_at(w, w->o->encoder_lr, s->epoch),
                                   .weight_decay = w->o->weight_decay,
                                   .max_norm = w->o->max_grad_norm,
                                   .step = s->i + 1};
    mf_status status = mf_classifier_update(w->rank[r].classifier, &by, &w->rank[r].norm);
    if (!status || mf_error_code(status) != MF_INVALID)
        return status;
    return no_number(mf_within(status, "step %lld (epoch %lld), cases '%s' to '%s' of the batch",
                               (long long)s->i + 1, (long long)s->epoch + 1,
                               name_of(w, &w->train, w->order[s->first]),
                               name_of(w, &w->train, w->order[s->first + s->n - 1])));
}

static mf_status learn_step(mf_classify *w, int64_t i)
{
    step s = {.w = w, .i = i, .epoch = i / w->batches, .first = i % w->batches * w->batch};
    const int64_t left = w->train.truth.n - s.first;
    int64_t items;
    double loss = 0;
    s.n = left < w->batch ? left : w->batch;
    draw_order(&s);
    mf_ranks_part(w->ranks, s.n, &s.own, &items);
    MF_TRY(mf_parallel(mf_task_threads(w->task), items, make_view, &s));
    MF_TRY(mf_ranks_run(w->ranks, learn_part, &s, NULL));
    MF_TRY(mf_ranks_gather(w->ranks, w->losses, s.n, sizeof *w->losses));
    MF_TRY(mf_ranks_run(w->ranks, update, &s, NULL));
    for (int64_t k = 0; k < s.n; k++)
        loss += w->losses[k];
    w->sums.loss += loss / (double)w->batches;
    w->sums.norm += (double)w->rank->norm / (double)w->batches;
    return MF_OK;
}

/* ---- epochs ---------------------------------------------------------------------------------- */

static void say_progress(const mf_classify *w, int64_t i)
{
    char words[96] = "";
    if (w->judged > 0) {
        const mf_epoch *e = &w->epochs[w->judged - 1];
        int n =
            snprintf(words, sizeof words, "epoch %lld: loss %.4f", (long long)w->judged, e->loss);
        if (w->val.truth.n)
            snprintf(words + n, sizeof words - (size_t)n, ", val loss %.4f, AUC %.4f", e->val_loss,
                     e->val_auc);
    }
    mf_progress(w->task, i, w->last * w->batches, words[0] ? words : NULL);
}

/* What the validation cases say of the weights after epoch `judged`. */
static mf_status end_epoch(mf_classify *w)
{
    mf_epoch *e = &w->epochs[w->judged];
    *e = (mf_epoch){.loss = w->sums.loss,
                    .norm = w->sums.norm,
                    .head_rate = rate_at(w, w->o->head_lr, w->judged),
                    .encoder_rate = w->o->freeze ? 0 : rate_at(w, w->o->encoder_lr, w->judged)};
    MF_TRY(judge_validation(w, e));
    const double rank = rank_of(w, e);
    if (!isnan(rank) && (w->best < 0 || rank > rank_of(w, &w->epochs[w->best]))) {
        MF_TRY(keep(w));
        w->best = w->judged;
        e->best = 1;
    }
    w->sums = (mf_epoch){0};
    w->judged++;
    return MF_OK;
}

/* One more step, or what ends an epoch before the next one begins. *i: steps done. */
static mf_status go_on(mf_classify *w, int64_t *i)
{
    if (*i / w->batches > w->judged) {
        MF_TRY(end_epoch(w));
        say_progress(w, *i);
        return MF_OK;
    }
    MF_TRY(learn_step(w, *i));
    ++*i;
    say_progress(w, *i);
    return MF_OK;
}

static mf_status restore_best(mf_classify *w)
{
    mf_weights *weights = mf_classifier_weights(w->classifier);
    for (size_t i = 0; w->best >= 0 && i < mf_weights_count(weights); i++)
        MF_TRY(mf_weights_set(weights, i, w->kept[i]));
    return MF_OK;
}

mf_status mf_classify_train(mf_classify *w)
{
    int64_t i = 0, first;
    MF_TRY(resume(w, &i));
    MF_TRY(mf_ranks_agree(w->ranks, i));
    first = i;
    say_progress(w, i);
    while (w->judged < w->last) {
        mf_status status = go_on(w, &i);
        const mf_code code = status ? mf_error_code(status) : MF_CANCELLED;
        if (status && (code == MF_CANCELLED || code == MF_INVALID) && i > first)
            mf_log_error(w->task, save(w, i, false)); /* what has been learned is kept */
        MF_TRY(status);
        if (w->judged < w->last && mf_checkpoint_due(w->task, w->o->checkpoint_interval))
            MF_TRY(save(w, i, false));
    }
    if (w->last < w->o->epochs)
        MF_TRY(save(w, i, true));
    return restore_best(w);
}
