/* pilot_ask.c - a running node asks the run. See pilot_private.h. */
#include "run/remote/pilot_private.h"

#include <stdlib.h>

mf_status mf__pilot_gone(void)
{
    return mf_fail(MF_IO, "the run is not there any more");
}

mf_status mf__pilot_send(mf_pilot_job *j, mf_link_kind kind, mf_packet *body, const void *bytes,
                         size_t size)
{
    mf_status status = mf_link_send_bytes(j->pilot->link, kind, j->channel, body, bytes, size);

    if (!status || mf_error_code(status) != MF_IO)
        return status;
    mf_error_free(status);
    return mf__pilot_gone();
}

mf_status mf__pilot_next(mf_pilot_job *j, mf_frame *f)
{
    mf_pilot_frame *h;

    pthread_mutex_lock(&j->pilot->lock);
    while (!j->first && !j->gone)
        pthread_cond_wait(&j->arrived, &j->pilot->lock);
    h = j->first;
    if (h) {
        j->first = h->next;
        if (!j->first)
            j->last = &j->first;
    }
    pthread_mutex_unlock(&j->pilot->lock);
    *f = h ? h->frame : (mf_frame){0};
    free(h);
    return h ? MF_OK : mf__pilot_gone();
}

mf_status mf__pilot_damaged(void)
{
    return mf_fail(MF_CORRUPT, "a message of the run is damaged");
}

/* The answer to a question; the caller clears it. */
static mf_status take_reply(mf_pilot_job *j, mf_packet *answer)
{
    mf_frame f;

    MF_TRY(mf__pilot_next(j, &f));
    *answer = f.body;
    return f.kind == MF_LINK_REPLY ? mf_packet_get_status(answer) : mf__pilot_damaged();
}

mf_status mf__pilot_take_owed(mf_pilot_job *j)
{
    while (j->owed) {
        mf_packet answer = {0};
        mf_status status = take_reply(j, &answer);
        mf_packet_clear(&answer);
        j->owed--;
        MF_TRY(status);
    }
    return MF_OK;
}

mf_status mf__pilot_call(mf_pilot_job *j, mf_link_kind kind, mf_packet *question, mf_packet *answer)
{
    *answer = (mf_packet){0};
    MF_TRY(mf__pilot_take_owed(j));
    MF_TRY(mf__pilot_send(j, kind, question, NULL, 0));
    return take_reply(j, answer);
}
