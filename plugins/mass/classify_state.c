/* classify_state.c - the saved state of mass.classify: weights with their moments, what the epochs
 * gave, and the weights of the best of them. */
#include "classify_private.h"
#include "state.h"

#include <stdio.h>
#include <stdlib.h>

enum { EPOCH_NUMBERS = sizeof(mf_epoch) / sizeof(double) };

/* ---- the best weights ------------------------------------------------------------------------ */

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

mf_status mf_classify_keep(mf_classify *w)
{
    mf_weights *weights = mf_classifier_weights(w->classifier);
    MF_TRY(make_kept(w));
    for (size_t i = 0; i < mf_weights_count(weights); i++)
        MF_TRY(mf_weights_get(weights, i, w->kept[i]));
    return MF_OK;
}

void mf_classify_drop_kept(mf_classify *w)
{
    for (size_t i = 0; w->kept && i < mf_weights_count(mf_classifier_weights(w->classifier)); i++)
        free(w->kept[i]);
    free(w->kept);
    w->kept = NULL;
}

/* ---- the state ------------------------------------------------------------------------------- */

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

mf_status mf_classify_save(mf_classify *w, int64_t i, bool keep_it)
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

mf_status mf_classify_resume(mf_classify *w, int64_t *i)
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
