/* pilot_state.c - states of long stages are saved at the run, and come from there. See
 * pilot_private.h. */
#include "run/remote/pilot_private.h"
#include "run/remote/remote.h"

static mf_status send_slice(void *self, const void *bytes, size_t size)
{
    mf_packet none = {0};

    return mf__pilot_send(self, MF_LINK_BYTES, &none, bytes, size);
}

static mf_status save_once(mf_pilot_job *j, int64_t step, const mf_artifact *state, bool keep)
{
    mf_packet head = {0}, q = {0}, answer = {0};
    mf_status status;

    MF_TRY(mf__pilot_begin(j));
    mf_packet_head(&head, state);
    mf_packet_int(&q, step);
    mf_packet_int(&q, keep);
    status = mf__pilot_send(j, MF_LINK_STATE, &head, NULL, 0);
    if (!status)
        status = mf_state_send(state, send_slice, j);
    if (!status)
        status = mf__pilot_call(j, MF_LINK_SAVE, &q, &answer);
    mf_packet_clear(&q);
    mf_packet_clear(&answer);
    return status;
}

mf_status mf__pilot_save_state(void *self, int64_t step, const mf_artifact *state, bool keep)
{
    mf_pilot_job *j = self;
    mf_status status;

    pthread_mutex_lock(&j->calling);
    do
        status = save_once(j, step, state, keep);
    while (mf__pilot_anew(j, &status));
    pthread_mutex_unlock(&j->calling);
    return status;
}

static mf_status take_state(mf_pilot_job *j, mf_packet *head, mf_artifact **state)
{
    mf_state_arrival *arrival;
    mf_status status;

    MF_TRY(mf_state_arrival_new(head, &arrival));
    for (status = MF_OK; !status && !mf_state_arrival_done(arrival);) {
        mf_frame f;
        status = mf__pilot_next(j, &f);
        if (!status)
            status = f.kind == MF_LINK_BYTES ? mf_state_arrival_bytes(arrival, &f.body)
                                             : mf__pilot_damaged();
        mf_packet_clear(&f.body);
    }
    if (!status)
        *state = mf_state_arrival_take(arrival);
    mf_state_arrival_free(arrival);
    return status;
}

static mf_status load_once(mf_pilot_job *j, int64_t most, int64_t *step, mf_artifact **state)
{
    mf_packet q = {0}, answer;
    bool found = false;
    mf_status status;

    MF_TRY(mf__pilot_begin(j));
    mf_packet_int(&q, most);
    status = mf__pilot_call(j, MF_LINK_LOAD, &q, &answer);
    if (!status) {
        *step = mf_packet_get_int(&answer);
        found = mf_packet_get_int(&answer) != 0;
        status = mf_packet_check(&answer);
    }
    if (!status && found)
        status = take_state(j, &answer, state);
    mf_packet_clear(&answer);
    return status;
}

mf_status mf__pilot_load_state(void *self, int64_t most, int64_t *step, mf_artifact **state)
{
    mf_pilot_job *j = self;
    mf_status status;

    *state = NULL;
    pthread_mutex_lock(&j->calling);
    do
        status = load_once(j, most, step, state);
    while (mf__pilot_anew(j, &status));
    pthread_mutex_unlock(&j->calling);
    return status;
}
