/* task_checkpoint.c - what a task saves of itself and gets back: see stage.h. */
#include "run/task/task_private.h"
#include "store/checkpoints.h"

#include <massflow/seconds.h>

#include <stdio.h>
#include <string.h>

void mf_task_begin_checkpoints(mf_task *t)
{
    t->saves = false;
    t->begun = t->saved = mf_seconds();
    t->earlier = 0;
    t->most_step = INT64_MAX;
    t->kept_step = -1;
}

/* Who keeps its states, if not the store of this process. */
static const mf_supply *supply_of(const mf_task *t)
{
    return t->supply ? t->supply : mf_host_supply(t->host);
}

/* What states of this task are named by. Another kind of device rounds differently: a run that
 * changed over in the middle would end as neither does. */
static mf_status state_key(mf_task *t, char key[MF_HEX_SIZE])
{
    const mf_stage *stage = t->work->stage;
    char kind[160] = "", text[512];

    if (!t->work->state_key || !*t->work->state_key)
        return mf_fail(MF_INTERNAL, "%s has no key and cannot save checkpoints", t->work->node);
    if ((stage->kernels || stage->program) && t->device_name) {
        snprintf(kind, sizeof kind, "%s", t->device_name);
    } else if (stage->kernels || stage->program) {
        mf_device *device;
        MF_TRY(mf_host_device(t->host, t->device, &device));
        /* A part has fewer compute units, by whose number kernels divide sums. */
        const mf_device_info *info = mf_device_get_info(device);
        const bool part = strchr(mf_device_text(device), '/') != NULL;
        snprintf(kind, sizeof kind, part ? "%s, %d compute units" : "%s", info->name,
                 info->compute_units);
    }
    snprintf(text, sizeof text, "%s %s", t->work->state_key, kind);
    mf_digest_hex(text, strlen(text), key);
    return MF_OK;
}

mf_status mf_checkpoint_load(mf_task *t, int64_t most, int64_t *step, mf_artifact **state)
{
    char key[MF_HEX_SIZE];

    *step = 0;
    *state = NULL;
    if (supply_of(t))
        return supply_of(t)->load_state(supply_of(t)->self, most, step, state);
    MF_TRY(state_key(t, key));
    t->saves = true;
    t->most_step = most;
    if (t->work->anew && !t->cleared) {
        MF_TRY(mf_store_checkpoint_drop(mf_host_store(t->host), key, most, -1));
        t->cleared = true;
    }
    while (most >= 0) {
        mf_status status =
            mf_store_checkpoint_load(mf_host_store(t->host), key, most, step, &t->earlier, state);
        if (!status ||
            (mf_error_code(status) != MF_CORRUPT && mf_error_code(status) != MF_NOT_FOUND))
            return status;
        mf_log(t, "the checkpoint of step %lld cannot be used and is skipped: %s", (long long)*step,
               mf_error_message(status));
        mf_error_free(status);
        most = *step - 1;
    }
    *step = 0;
    return MF_OK;
}

mf_status mf_checkpoint_save(mf_task *t, int64_t step, const mf_artifact *state, bool keep)
{
    char key[MF_HEX_SIZE];

    if (t->rank > 0) /* number 0 saves the same */
        return MF_OK;
    if (supply_of(t)) {
        MF_TRY(supply_of(t)->save_state(supply_of(t)->self, step, state, keep));
        t->saved = mf_seconds();
        return MF_OK;
    }
    /* A state holds what was read, as a result does. */
    if (t->files)
        MF_TRY(mf_file_watch_end(t->files));
    MF_TRY(state_key(t, key));
    MF_TRY(mf_store_checkpoint_save(mf_host_store(t->host), key, step,
                                    t->earlier + mf_seconds() - t->begun, state));
    t->saves = true;
    t->saved = mf_seconds();
    if (keep)
        t->kept_step = step;
    return MF_OK;
}

bool mf_checkpoint_due(mf_task *t, double seconds)
{
    return t->rank == 0 && mf_seconds() - t->saved >= seconds;
}

double mf_task_earlier(const mf_task *t)
{
    return t->earlier;
}

mf_status mf_task_end_checkpoints(mf_task *t)
{
    char key[MF_HEX_SIZE];

    if (!t->saves)
        return MF_OK;
    MF_TRY(state_key(t, key));
    return mf_store_checkpoint_drop(mf_host_store(t->host), key, t->most_step, t->kept_step);
}
