/* classify.c - the work of mass.classify: epochs, each of which sees each training case once, in a
 * drawn order, and what they are worth. */
#include "classify.h"
#include "classify_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        MF_TRY(mf_case_set_know(w, s, i));
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
        MF_TRY(mf_within(judge_case(w, s, i), "%s case '%s'", s->port, mf_case_set_name(w, s, i)));
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
                    .head_rate = mf_classify_rate(w, w->o->head_lr, w->judged),
                    .encoder_rate =
                        w->o->freeze ? 0 : mf_classify_rate(w, w->o->encoder_lr, w->judged)};
    MF_TRY(judge_validation(w, e));
    const double rank = rank_of(w, e);
    if (!isnan(rank) && (w->best < 0 || rank > rank_of(w, &w->epochs[w->best]))) {
        MF_TRY(mf_classify_keep(w));
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
    MF_TRY(mf_classify_step(w, *i));
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
    MF_TRY(mf_classify_resume(w, &i));
    MF_TRY(mf_ranks_agree(w->ranks, i));
    first = i;
    say_progress(w, i);
    while (w->judged < w->last) {
        mf_status status = go_on(w, &i);
        const mf_code code = status ? mf_error_code(status) : MF_CANCELLED;
        if (status && (code == MF_CANCELLED || code == MF_INVALID) && i > first)
            mf_log_error(w->task,
                         mf_classify_save(w, i, false)); /* what has been learned is kept */
        MF_TRY(status);
        if (w->judged < w->last && mf_checkpoint_due(w->task, w->o->checkpoint_interval))
            MF_TRY(mf_classify_save(w, i, false));
    }
    if (w->last < w->o->epochs)
        MF_TRY(mf_classify_save(w, i, true));
    return restore_best(w);
}
