/* classify_new.c - what mass.classify works with: its cases, ranks, weights, and room for a batch.
 */
#include "classify.h"
#include "classify_private.h"
#include "disjoint.h"
#include "model.h"
#include "prepared.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    MF_TRY(mf_case_set_read(w, "train", &w->train));
    if (mf_in_count(w->task, "val"))
        MF_TRY(mf_case_set_read(w, "val", &w->val));
    MF_TRY(mf_case_set_read(w, "test", &w->test));
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
    mf_classify_drop_kept(w);
    free_ranks(w);
    mf_case_set_clear(&w->train);
    mf_case_set_clear(&w->val);
    mf_case_set_clear(&w->test);
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
