/* tuner_publish.c - see tuner.h: models, embeddings and tables. */
#include "embedding.h"
#include "model.h"
#include "prepared.h"
#include "tuner.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The predictor becomes the model as later stages see it. */
mf_status mf_tuner_load_predictor(mf_tuner *t)
{
    mf_tensors now = {0};
    mf_status status = mf_model_tensors(t->weights, t->o->ema_decay > 0, &now);
    if (!status)
        status = mf_predictor_load(t->predictor, &now);
    mf_tensors_clear(&now);
    return status;
}

static void describe(const mf_tuner *t, const mf_artifact *sample, mf_embedding_settings *s)
{
    mf_grid grid = {0};
    mf_error_free(mf_artifact_grid(sample, &grid)); /* read before: it is there */
    memcpy(s->spacing, grid.spacing, sizeof s->spacing);
    for (int i = 0; i < 3; i++)
        s->patch_size[i] = t->tuning.crop[2 - i];
    s->whole_scan = true;
    s->modality = mf_artifact_text(sample, "modality");
}

/* The modality of all training cases, or "". */
static mf_status settings_of(mf_tuner *t, mf_embedding_settings *s)
{
    const mf_artifact *sample;
    MF_TRY(mf_in_item(t->task, "train", 0, &sample));
    describe(t, sample, s);
    MF_TRY(mf_prepared_clip(t->task, "train", &s->clip));
    for (size_t i = 1; i < mf_in_count(t->task, "train") && s->modality; i++) {
        MF_TRY(mf_in_item(t->task, "train", i, &sample));
        const char *other = mf_artifact_text(sample, "modality");
        if (!other || strcmp(s->modality, other) != 0)
            s->modality = NULL;
    }
    if (!s->modality)
        s->modality = "";
    return mf_tuner_load_predictor(t);
}

/* Of tokens that no step has changed there are no averages. */
static bool has_averages(const mf_tuner *t)
{
    return t->o->ema_decay > 0 && t->done > 0;
}

static mf_status make_embedding(mf_tuner *t, mf_artifact **artifact)
{
    mf_embedding e = {.labels = t->classes.label,
                      .examples = t->examples,
                      .names = t->names,
                      .settings.ema = has_averages(t)};
    MF_TRY(settings_of(t, &e.settings));
    MF_TRY(mf_embedding_fingerprint(mf_predictor_weights(t->predictor), false, e.settings.model));
    MF_TRY(mf_tuning_get_tokens(t->weights, &t->tuning, t->o->ema_decay > 0, &e.priors));
    mf_status status = mf_embedding_write(&e, &t->iris, artifact);
    mf_priors_clear(&e.priors);
    return status;
}

static mf_status publish_model(mf_tuner *t, const char *model_port, const char *embedding_port)
{
    mf_artifact *model, *embedding;
    MF_TRY(mf_model_artifact(t->weights, &t->iris, has_averages(t), &t->carried, &model));
    MF_TRY(mf_out(t->task, model_port, model));
    MF_TRY(make_embedding(t, &embedding));
    return mf_out(t->task, embedding_port, embedding);
}

static mf_status make_metrics(const mf_tuner *t, mf_artifact **metrics)
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

/* With a column for the name, where the labels have names. */
static mf_status add_row(const mf_tuner *t, mf_table *table, double step, const char *label,
                         const char *name, double dice, double cases)
{
    return t->names.count ? mf_table_row(table, step, label, name, dice, cases)
                          : mf_table_row(table, step, label, dice, cases);
}

static mf_status add_result(const mf_tuner *t, int64_t i, mf_table *table)
{
    const mf_validation *v = &t->results[i];
    double step = (double)t->result_steps[i];
    for (int64_t k = 0; k < t->classes.count; k++) {
        char label[24];
        const mf_name *name = mf_names_find(&t->names, t->classes.label[k]);
        snprintf(label, sizeof label, "%lld", (long long)t->classes.label[k]);
        MF_TRY(add_row(t, table, step, label, name ? name->name : "",
                       v->cases[k] ? v->dice[k] / (double)v->cases[k] : (double)NAN,
                       (double)v->cases[k]));
    }
    return add_row(t, table, step, "mean", "", mf_validation_mean(v, &t->classes),
                   (double)mf_in_count(t->task, "val"));
}

static mf_status make_validation(const mf_tuner *t, mf_artifact **validation)
{
    static const char *const columns[] = {"step", "label:text", "dice", "cases", NULL};
    static const char *const named[] = {"step", "label:text", "name:text", "dice", "cases", NULL};
    mf_table *table;
    MF_TRY(mf_table_new(t->names.count ? named : columns, &table));
    mf_status status = MF_OK;
    for (int64_t i = 0; i < t->count.validations && !status; i++)
        status = add_result(t, i, table);
    if (!status)
        return mf_table_finish(table, validation);
    mf_table_free(table);
    return status;
}

mf_status mf_tuner_publish(mf_tuner *t)
{
    mf_artifact *table;
    MF_TRY(publish_model(t, "last", "last_embedding"));
    if (t->best)
        MF_TRY(mf_tuner_put_best_back(t));
    if (t->best && t->count.best != t->done)
        mf_log(t->task,
               "`model` is that of step %lld, the best of %lld validations; `last` is that of step "
               "%lld",
               (long long)t->count.best, (long long)t->count.validations, (long long)t->done);
    MF_TRY(publish_model(t, "model", "embedding"));
    MF_TRY(make_metrics(t, &table));
    MF_TRY(mf_out(t->task, "metrics", table));
    MF_TRY(make_validation(t, &table));
    return mf_out(t->task, "validation", table);
}
