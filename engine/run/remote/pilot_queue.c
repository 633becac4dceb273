/* pilot_queue.c - nodes that a run has given ahead: they wait here for a slot, so that the worker
 * need not wait for the run between two short nodes. See pilot_private.h.
 *
 * They have no thread and have read nothing. The run may want one back, for another worker is free;
 * with the link, or when the worker leaves, all go. */
#include "run/remote/pilot_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void mf__pilot_wake(mf_pilot *p)
{
    uint64_t one = 1;

    if (write(p->wake, &one, sizeof one) < 0)
        return; /* it can be read already */
}

void mf__pilot_wait(mf_pilot_job *j)
{
    mf_pilot_job **end = &j->pilot->waiting;

    while (*end)
        end = &(*end)->next;
    j->next = NULL;
    *end = j;
}

mf_pilot_job *mf__pilot_next_waiting(mf_pilot *p)
{
    mf_pilot_job **link = &p->waiting, *j;

    while (*link && (*link)->handed_back)
        link = &(*link)->next;
    j = *link;
    if (!j || p->held >= p->hello.slots || atomic_load(&p->leaving) || mf_host_cancelled(p->host))
        return NULL;
    *link = j->next;
    return j;
}

mf_status mf__pilot_hand_back(mf_pilot *p, mf_packet *keys)
{
    while (keys->at < keys->size && !keys->failed) {
        const char *key = mf_packet_get_text(keys);
        if (!key)
            break;
        pthread_mutex_lock(&p->lock);
        for (mf_pilot_job *j = p->waiting; j; j = j->next)
            j->handed_back |= !strcmp(j->key, key);
        pthread_mutex_unlock(&p->lock);
    }
    mf__pilot_wake(p);
    return keys->at < keys->size ? mf__pilot_damaged() : mf_packet_check(keys);
}

void mf__pilot_hand_back_channel(mf_pilot *p, uint32_t channel)
{
    for (mf_pilot_job *j = p->waiting; j; j = j->next)
        j->handed_back |= !channel || j->channel == channel;
}

static mf_pilot_job *take_handed_back(mf_pilot *p)
{
    mf_pilot_job **link = &p->waiting, *j;

    pthread_mutex_lock(&p->lock);
    while (*link && !(*link)->handed_back)
        link = &(*link)->next;
    j = *link;
    if (j)
        *link = j->next;
    pthread_mutex_unlock(&p->lock);
    return j;
}

void mf__pilot_tell_handed_back(mf_pilot *p, mf_link *link)
{
    mf_pilot_job *j;

    while ((j = take_handed_back(p))) {
        mf_packet words = {0};
        mf_packet_text(&words, "it had not begun");
        mf_packet_int(&words, 0);
        mf_packet_int(&words, 1);
        if (link)
            mf_error_free(mf_link_send(link, MF_LINK_RETURNED, j->channel, &words));
        mf_packet_clear(&words);
        mf__pilot_free_job(j);
    }
}
