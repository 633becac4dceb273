/* pilot_lines.c - log lines of nodes on their way to the run: so many and no more, until the run
 * has taken them. See pilot_private.h.
 *
 * The rule is that of a node of the run's own process (schedule/lines.h): a thread that says more
 * waits, for a moment, and then goes on without the line; what was left out is counted, and a line
 * in its place says so. */
#include "run/remote/pilot_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE_NS 500000000L   /* that a thread waits for room */
#define ROOM (MF_LINK_LINES - 1) /* a line, and the one that says how many were left out */

/* Whose line it is; of a stream: of whichever node reads it. Under the lock. */
static mf_pilot_job *job_of(const mf_pilot *p, const char *node)
{
    for (mf_pilot_job *j = p->jobs; j; j = j->next)
        if (j->frozen && !j->dropped && !strcmp(mf_frozen_work(j->frozen)->node, node))
            return j;
    for (mf_pilot_job *j = p->jobs; j; j = j->next) {
        const mf_work *work = j->frozen && !j->dropped ? mf_frozen_work(j->frozen) : NULL;
        for (size_t i = 0; work && i < work->feed_count; i++)
            if (work->feeds[i].stream && !strcmp(work->feeds[i].stream->node, node))
                return j;
    }
    return NULL;
}

/* Under the lock. */
static bool wait_for_room(mf_pilot_job *j)
{
    struct timespec until;
    int failed = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += PATIENCE_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (j->lines >= ROOM && !j->gone && !j->crowded && !failed)
        failed = pthread_cond_timedwait(&j->arrived, &j->pilot->lock, &until);
    j->crowded |= failed != 0;
    return !j->gone && !j->crowded && j->lines < ROOM;
}

static void send_line(mf_link *link, uint32_t channel, const char *node, const char *line)
{
    mf_packet q = {0};

    mf_packet_text(&q, node);
    mf_packet_text(&q, line);
    mf_error_free(mf_link_send(link, MF_LINK_LOG, channel, &q));
}

static void send_unsaid(mf_link *link, uint32_t channel, const char *node, size_t count)
{
    char line[96];

    snprintf(line, sizeof line, "%zu line%s dropped here: too many per second, or no run was there",
             count, count == 1 ? " is" : "s are");
    send_line(link, channel, node, line);
}

void mf__pilot_line(void *self, const char *node, const char *line)
{
    mf_pilot *p = self;
    mf_link *link = NULL;
    uint32_t channel = 0;
    size_t unsaid = 0;

    pthread_mutex_lock(&p->lock);
    mf_pilot_job *j = job_of(p, node);
    if (j)
        j->refs++;
    if (j && wait_for_room(j) && p->link) {
        link = p->link;
        p->sending++;
        channel = j->channel;
        unsaid = j->unsaid;
        j->unsaid = 0;
        j->lines += 1 + (unsaid > 0);
    } else if (j) {
        j->unsaid++;
    }
    pthread_mutex_unlock(&p->lock);
    if (link && unsaid)
        send_unsaid(link, channel, node, unsaid);
    if (link) {
        char *words = mf__pilot_words(j->files, line);
        send_line(link, channel, node, words ? words : line);
        free(words);
        mf__pilot_give_back(p);
    }
    if (j)
        mf__pilot_unref(j);
}

void mf__pilot_lines_taken(mf_pilot *p, uint32_t channel, int64_t count)
{
    pthread_mutex_lock(&p->lock);
    for (mf_pilot_job *j = p->jobs; j; j = j->next) {
        if (j->channel != channel || count < 0 || count > j->lines)
            continue;
        j->lines -= (int)count;
        if (j->lines <= ROOM / 2)
            j->crowded = false;
        pthread_cond_broadcast(&j->arrived);
    }
    pthread_mutex_unlock(&p->lock);
}

void mf__pilot_tell_unsaid(mf_pilot_job *j)
{
    uint32_t channel;
    mf_link *link;

    pthread_mutex_lock(&j->pilot->lock);
    size_t unsaid = j->unsaid;
    j->unsaid = 0;
    pthread_mutex_unlock(&j->pilot->lock);
    if (!unsaid || !(link = mf__pilot_borrow(j, &channel)))
        return;
    send_unsaid(link, channel, mf_frozen_work(j->frozen)->node, unsaid);
    mf__pilot_give_back(j->pilot);
}
