/* pilot_ask.c - a running node asks the run. See pilot_private.h. */
#include "run/remote/pilot_private.h"

#include <stdlib.h>
#include <time.h>

mf_status mf__pilot_gone(void)
{
    return mf_fail(MF_IO, "the run is not there any more");
}

mf_link *mf__pilot_borrow(mf_pilot_job *j, uint32_t *channel)
{
    mf_pilot *p = j->pilot;

    pthread_mutex_lock(&p->lock);
    mf_link *link = j->gone || j->turn != j->asks ? NULL : p->link;
    *channel = j->channel;
    p->sending += link != NULL;
    pthread_mutex_unlock(&p->lock);
    return link;
}

void mf__pilot_give_back(mf_pilot *p)
{
    pthread_mutex_lock(&p->lock);
    if (--p->sending == 0)
        pthread_cond_broadcast(&p->calm);
    pthread_mutex_unlock(&p->lock);
}

/* Whoever asks the host to end wakes nobody here. */
static void wait_a_little(mf_pilot_job *j)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 200000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&j->arrived, &j->pilot->lock, &until);
}

mf_status mf__pilot_begin(mf_pilot_job *j)
{
    mf_pilot *p = j->pilot;
    bool gone;

    pthread_mutex_lock(&p->lock);
    while (j->gone && !j->dropped && !mf_host_cancelled(p->host))
        wait_a_little(j);
    gone = j->gone;
    if (j->asks != j->turn)
        j->owed = 0; /* by a run that is gone */
    j->asks = j->turn;
    pthread_mutex_unlock(&p->lock);
    return gone ? mf__pilot_gone() : MF_OK;
}

bool mf__pilot_anew(mf_pilot_job *j, mf_status *status)
{
    mf_pilot *p = j->pilot;

    if (!*status)
        return false;
    pthread_mutex_lock(&p->lock);
    bool anew = (j->gone || j->asks != j->turn) && !j->dropped && !mf_host_cancelled(p->host);
    pthread_mutex_unlock(&p->lock);
    if (anew) {
        mf_error_free(*status);
        *status = MF_OK;
    }
    return anew;
}

mf_status mf__pilot_send(mf_pilot_job *j, mf_link_kind kind, mf_packet *body, const void *bytes,
                         size_t size)
{
    uint32_t channel;
    mf_link *link = mf__pilot_borrow(j, &channel);
    mf_status status;

    if (!link) {
        mf_packet_clear(body);
        return mf__pilot_gone();
    }
    status = mf_link_send_bytes(link, kind, channel, body, bytes, size);
    mf__pilot_give_back(j->pilot);
    if (!status || mf_error_code(status) != MF_IO)
        return status;
    mf_error_free(status);
    return mf__pilot_gone();
}

mf_status mf__pilot_next(mf_pilot_job *j, mf_frame *f)
{
    mf_pilot_frame *h;

    pthread_mutex_lock(&j->pilot->lock);
    while (!j->first && !j->gone && j->asks == j->turn)
        pthread_cond_wait(&j->arrived, &j->pilot->lock);
    h = j->asks == j->turn ? j->first : NULL;
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
