/* training.c - see training.h. */
#include "training.h"

static mf_status save(const mf_training *t, int64_t i, bool keep)
{
    mf_artifact *state;
    MF_TRY(mf_artifact_new("training", &state));
    mf_status status = t->fill(t->self, i, state);
    if (!status)
        status = mf_checkpoint_save(t->task, i, state, keep);
    mf_artifact_unref(state);
    return status;
}

static mf_status resume(const mf_training *t, int64_t *i)
{
    mf_artifact *state;
    MF_TRY(mf_checkpoint_load(t->task, t->last, i, &state));
    if (!state)
        return MF_OK;
    mf_status status = t->take(t->self, *i, state);
    mf_artifact_unref(state);
    if (!status)
        mf_log(t->task, "resumes after step %lld of %lld", (long long)*i, (long long)t->last);
    return status;
}

/* The steps done are kept where the run is stopped, and before one that is not finite. */
static mf_status stopped(const mf_training *t, mf_status status, int64_t done, int64_t first)
{
    if (done > first && (*t->diverged || mf_error_code(status) == MF_CANCELLED))
        mf_log_error(t->task, save(t, done, false));
    if (!*t->diverged)
        return status;
    if (done > 0)
        mf_log(t->task, "the weights after step %lld are kept as a checkpoint", (long long)done);
    return mf_hint(mf_within(status, "step %lld", (long long)done + 1),
                   "lower lr, or look for extreme voxels in the samples");
}

mf_status mf_training_run(const mf_training *t)
{
    mf_stream *stream = NULL;
    int64_t i = 0, first;
    MF_TRY(resume(t, &i));
    MF_TRY(mf_ranks_agree(t->ranks, i));
    first = i;
    mf_progress(t->task, i, t->last, NULL);
    if (i < t->last) {
        MF_TRY(mf_in_stream(t->task, t->port, &stream));
        if (t->parts)
            MF_TRY(mf_ranks_stream(t->ranks, stream, t->batch));
        MF_TRY(mf_stream_seek(stream, i * t->batch));
    }
    while (i < t->last) {
        mf_status status = t->learn(t->self, stream, i);
        if (status)
            return stopped(t, status, i, first);
        i++;
        if (i < t->last && mf_checkpoint_due(t->task, t->checkpoint_interval))
            MF_TRY(save(t, i, false));
    }
    return t->last > 0 && t->last < t->steps ? save(t, t->last, true) : MF_OK;
}
