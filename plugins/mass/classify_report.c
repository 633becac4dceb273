/* classify_report.c - tables and models of a trained classifier. */
#include "classify_report.h"
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A table that `fill` writes rows of, as an output. */
static mf_status publish_table(mf_classify *w, const char *port, const char *const *columns,
                               mf_status (*fill)(mf_classify *w, mf_table *table))
{
    mf_table *table;
    mf_artifact *a;
    MF_TRY(mf_table_new(columns, &table));
    mf_status status = fill(w, table);
    if (status) {
        mf_table_free(table);
        return status;
    }
    MF_TRY(mf_table_finish(table, &a));
    return mf_out(w->task, port, a);
}

/* ---- metrics --------------------------------------------------------------------------------- */

static mf_status put_quality(mf_table *table, const char *set, const char *class,
                             const mf_class_quality *q, bool all)
{
    const struct {
        const char *metric;
        double value;
    } rows[] = {{all ? "cases" : "positives", (double)q->positives},
                {"accuracy", q->accuracy},
                {"balanced_accuracy", q->balanced_accuracy},
                {"f1", q->f1},
                {"brier", q->brier},
                {"ece", q->ece},
                {"log_loss", q->log_loss}};
    MF_TRY(mf_table_row(table, set, class, "auc", q->auc, q->auc_low, q->auc_high));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        MF_TRY(mf_table_row(table, set, class, rows[i].metric, rows[i].value, (double)NAN,
                            (double)NAN));
    return MF_OK;
}

/* How many cases of a class were taken for another (or itself): "A as B". */
static mf_status put_confusion(const mf_classify *w, mf_table *table, const mf_case_set *s)
{
    const int64_t classes = w->classes.count;
    for (int64_t a = 0; a < classes && !w->o->multi_label; a++)
        for (int64_t b = 0; b < classes; b++) {
            char name[600];
            double count = 0;
            for (int64_t i = 0; i < s->truth.n; i++)
                count += s->truth.label[i * classes + a] &&
                         mf_quality_best(s->probability + i * classes, classes) == b;
            snprintf(name, sizeof name, "%s as %s", w->classes.name[a], w->classes.name[b]);
            MF_TRY(mf_table_row(table, s->port, w->classes.name[a], name, count, (double)NAN,
                                (double)NAN));
        }
    return MF_OK;
}

static void say_quality(const mf_classify *w, const mf_class_quality *q)
{
    char auc[96] = "AUC is undefined: the cases are all of one kind";
    if (!isnan(q->auc_low))
        snprintf(auc, sizeof auc, "AUC %.4f (95%% interval %.4f to %.4f)", q->auc, q->auc_low,
                 q->auc_high);
    else if (!isnan(q->auc))
        snprintf(auc, sizeof auc, "AUC %.4f (without an interval: a class has one case)", q->auc);
    mf_log(w->task, "%lld test cases: accuracy %.4f, balanced accuracy %.4f; %s",
           (long long)q->positives, q->accuracy, q->balanced_accuracy, auc);
}

static mf_status put_set(mf_classify *w, mf_table *table, const mf_case_set *s)
{
    mf_quality q;
    MF_TRY(mf_quality_make(s->probability, s->truth.label, s->truth.n, w->classes.count,
                           w->o->multi_label, &q));
    mf_status status = put_quality(table, s->port, "all", &q.all, true);
    for (int64_t c = 0; c < w->classes.count && !status; c++)
        status = put_quality(table, s->port, w->classes.name[c], &q.of[c], false);
    if (!status)
        status = put_confusion(w, table, s);
    if (!status && s == &w->test)
        say_quality(w, &q.all);
    mf_quality_clear(&q);
    return status;
}

static mf_status fill_metrics(mf_classify *w, mf_table *table)
{
    MF_TRY(put_set(w, table, &w->test));
    return w->val.truth.n ? put_set(w, table, &w->val) : MF_OK;
}

/* ---- epochs and predictions ------------------------------------------------------------------ */

static mf_status fill_epochs(mf_classify *w, mf_table *table)
{
    for (int64_t i = 0; i < w->judged; i++) {
        const mf_epoch *e = &w->epochs[i];
        MF_TRY(mf_table_row(table, (double)(i + 1), e->loss, e->head_rate, e->encoder_rate, e->norm,
                            e->val_loss, e->val_auc, e->val_accuracy, e->val_balanced, e->val_f1,
                            e->val_brier,
                            (double)(w->best < 0 ? i == w->judged - 1 : i == w->best)));
    }
    return MF_OK;
}

static mf_status fill_predictions(mf_classify *w, mf_table *table)
{
    const mf_case_set *s = &w->test;
    const int64_t classes = w->classes.count;
    for (int64_t i = 0; i < s->truth.n; i++) {
        const double *p = s->probability + i * classes;
        const int64_t best = mf_quality_best(p, classes);
        for (int64_t c = 0; c < classes; c++)
            MF_TRY(mf_table_row(table, mf_in_case(w->task, s->port, s->truth.at[i]),
                                w->classes.name[c], (double)s->truth.label[i * classes + c],
                                (double)(w->o->multi_label ? p[c] > 0.5 : c == best), p[c]));
    }
    return MF_OK;
}

/* ---- models ---------------------------------------------------------------------------------- */

static mf_status add_weight(mf_weights *weights, size_t i, mf_artifact *a)
{
    mf_weight_info info;
    mf_array *array;
    mf_weights_info(weights, i, &info);
    MF_TRY(mf_array_new(MF_F32, info.rank, info.shape, &array));
    mf_status status = mf_weights_get(weights, i, array->data);
    if (!status)
        status = mf_artifact_add(a, info.name, array);
    mf_array_unref(array);
    return status;
}

static bool of_encoder(const char *name)
{
    return !strncmp(name, "encoder.", 8);
}

/* The weights learned that are the encoder's, or that are not. */
static mf_status add_learned(mf_classify *w, bool encoder, mf_artifact *a)
{
    mf_weights *weights = mf_classifier_weights(w->classifier);
    for (size_t i = 0; i < mf_weights_count(weights); i++) {
        mf_weight_info info;
        mf_weights_info(weights, i, &info);
        if (of_encoder(info.name) == encoder)
            MF_TRY(add_weight(weights, i, a));
    }
    return MF_OK;
}

static mf_status fill_head(mf_classify *w, mf_artifact *a)
{
    char names[MF_TARGETS_MOST * 256] = "";
    size_t n = 0;
    for (int64_t i = 0; i < w->classes.count; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%.250s", i ? "\t" : "",
                              w->classes.name[i]);
    MF_TRY(mf_artifact_set_text(a, "architecture", "head"));
    MF_TRY(mf_artifact_set_text(a, "pooling", w->o->pooling));
    MF_TRY(mf_artifact_set_text(a, "classes", names));
    MF_TRY(mf_artifact_set_int(a, "multi_label", w->o->multi_label));
    return add_learned(w, false, a);
}

/* The model that was given, its encoder replaced by the trained one. */
static mf_status fill_model(mf_classify *w, mf_artifact *a)
{
    mf_tensors tensors = {0};
    MF_TRY(mf_model_describe(&w->shape.iris, a));
    mf_status status = mf_model_read(w->model, true, &tensors);
    for (size_t i = 0; i < tensors.count && !status; i++)
        if (!of_encoder(tensors.item[i].name))
            status = mf_artifact_add(a, tensors.item[i].name, tensors.item[i].array);
    mf_tensors_clear(&tensors);
    return status ? status : add_learned(w, true, a);
}

static mf_status publish_model(mf_classify *w, const char *port,
                               mf_status (*fill)(mf_classify *w, mf_artifact *a))
{
    mf_artifact *a;
    MF_TRY(mf_artifact_new("model", &a));
    mf_status status = fill(w, a);
    if (status) {
        mf_artifact_unref(a);
        return status;
    }
    return mf_out(w->task, port, a);
}

static void say_selection(const mf_classify *w)
{
    if (w->best >= 0)
        mf_log(w->task, "epoch %lld of %lld was selected by the %s of %lld validation cases",
               (long long)w->best + 1, (long long)w->judged, w->o->select,
               (long long)w->val.truth.n);
    else
        mf_log(w->task, "epoch %lld, the last, is kept: %s", (long long)w->judged,
               !strcmp(w->o->select, "last") ? "select is last"
               : w->val.truth.n              ? "the metric was undefined in all epochs"
                                             : "there are no validation cases");
}

mf_status mf_classify_publish(mf_classify *w)
{
    static const char *const metrics[] = {"set:text", "class:text", "metric:text", "value",
                                          "low",      "high",       NULL};
    static const char *const epochs[] = {"epoch",      "loss",         "head_lr",
                                         "encoder_lr", "grad_norm",    "val_loss",
                                         "val_auc",    "val_accuracy", "val_balanced_accuracy",
                                         "val_f1",     "val_brier",    "best",
                                         NULL};
    static const char *const predictions[] = {"case:text", "class:text",  "truth",
                                              "predicted", "probability", NULL};
    say_selection(w);
    MF_TRY(mf_classify_judge(w, &w->test));
    if (w->val.truth.n) /* by the weights that are kept */
        MF_TRY(mf_classify_judge(w, &w->val));
    MF_TRY(publish_table(w, "metrics", metrics, fill_metrics));
    MF_TRY(publish_table(w, "epochs", epochs, fill_epochs));
    MF_TRY(publish_table(w, "predictions", predictions, fill_predictions));
    MF_TRY(publish_model(w, "head", fill_head));
    return w->shape.trainable ? publish_model(w, "model", fill_model) : MF_OK;
}
