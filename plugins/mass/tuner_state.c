/* tuner_state.c - see tuner.h: the best so far, and checkpoints. */
#include "state.h"
#include "tuner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what has learned, kept ------------------------------------------------------------------ */

/* Values and averages of what learns, as they are now, under "best.". */
static mf_status take(mf_tuner *t, mf_artifact *to)
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

mf_status mf_tuner_keep_best(mf_tuner *t)
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
mf_status mf_tuner_put_best_back(mf_tuner *t)
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

static mf_status put_results(mf_tuner *t, mf_artifact *state)
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
mf_status mf_tuner_more_results(mf_tuner *t, int64_t n)
{
    mf_validation *results = realloc(t->results, (size_t)n * sizeof *results);
    if (results)
        t->results = results;
    int64_t *steps = realloc(t->result_steps, (size_t)n * sizeof *steps);
    if (steps)
        t->result_steps = steps;
    return results && steps ? MF_OK : mf_no_memory(0, "%lld validations", (long long)n);
}

static mf_status get_results(mf_tuner *t, const mf_artifact *state)
{
    int64_t counts[3];
    MF_TRY(mf_state_get(state, "counts", MF_I64, 3, counts));
    int64_t n = counts[0];
    if (n < 0 || n > t->last + 1)
        return mf_fail(MF_CORRUPT, "the saved state has %lld validations", (long long)n);
    MF_TRY(mf_tuner_more_results(t, n + 1));
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

static mf_status fill_state(mf_tuner *t, mf_artifact *state)
{
    MF_TRY(mf_state_put(state, "rows", MF_F64, t->done * MF_TUNER_COLUMNS, t->rows));
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

mf_status mf_tuner_save(mf_tuner *t, bool keep)
{
    mf_artifact *state;
    MF_TRY(mf_artifact_new("training", &state));
    mf_status status = fill_state(t, state);
    if (!status)
        status = mf_checkpoint_save(t->task, t->done, state, keep);
    mf_artifact_unref(state);
    return status;
}

mf_status mf_tuner_read_state(mf_tuner *t, const mf_artifact *state)
{
    MF_TRY(mf_state_get(state, "rows", MF_F64, t->done * MF_TUNER_COLUMNS, t->rows));
    MF_TRY(mf_state_get(state, "examples", MF_I64, t->classes.count, t->examples));
    MF_TRY(get_results(t, state));
    if (t->count.validations) {
        MF_TRY(mf_artifact_new("training", &t->best));
        MF_TRY(copy_arrays(state, "best.", t->best));
    }
    for (size_t i = 0; i < mf_weights_count(t->weights); i++) {
        mf_weight_info info;
        mf_weights_info(t->weights, i, &info);
        for (int r = 0; r < mf_ranks_count(t->ranks) && mf_tuning_learns(&t->tuning, info.name);
             r++)
            MF_TRY(mf_state_get_weight(state, t->rank[r].weights, i, t->o->ema_decay > 0));
    }
    mf_log(t->task, "resumes after step %lld of %lld", (long long)t->done, (long long)t->last);
    return MF_OK;
}
