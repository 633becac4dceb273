/* rank_threads.c - see rank_threads.h. What is sent is copied into a queue from one rank to
 * another; one lock for all: there are few ranks, and what they send is large. */
#include "rank_threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct message {
    struct message *next;
    size_t bytes;
    char data[];
} message;

typedef struct member {
    mf_rank_threads *all;
    mf_transport transport;
    message **queue; /* [ranks]: what came from each, the oldest first */
} member;

struct mf_rank_threads {
    int ranks;
    pthread_mutex_t lock; /* of the queues and what follows */
    pthread_cond_t changed;
    int waiting; /* at the barrier */
    uint64_t barriers;
    bool aborted;
    member members[]; /* [ranks] */
};

static mf_status gone(void)
{
    return mf_fail(MF_CANCELLED, "another device of the training has failed");
}

static mf_status send(void *self, int to, const void *data, size_t bytes)
{
    member *m = self;
    mf_rank_threads *all = m->all;
    message *made = malloc(sizeof *made + bytes);
    if (!made)
        return mf_no_memory(bytes, "gradients for another device");
    made->next = NULL;
    made->bytes = bytes;
    memcpy(made->data, data, bytes);
    pthread_mutex_lock(&all->lock);
    message **end = &all->members[to].queue[m->transport.rank];
    while (*end)
        end = &(*end)->next;
    *end = made;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
    return MF_OK;
}

static mf_status receive(void *self, int from, void *data, size_t bytes)
{
    member *m = self;
    mf_rank_threads *all = m->all;
    pthread_mutex_lock(&all->lock);
    while (!m->queue[from] && !all->aborted)
        pthread_cond_wait(&all->changed, &all->lock);
    message *first = m->queue[from];
    if (first)
        m->queue[from] = first->next;
    pthread_mutex_unlock(&all->lock);
    if (!first)
        return gone();
    mf_status status = MF_OK;
    if (first->bytes == bytes)
        memcpy(data, first->data, bytes);
    else
        status = mf_fail(MF_INTERNAL, "%zu bytes of another device, not %zu", first->bytes, bytes);
    free(first);
    return status;
}

static mf_status barrier(void *self)
{
    mf_rank_threads *all = ((member *)self)->all;
    pthread_mutex_lock(&all->lock);
    const uint64_t now = all->barriers;
    if (++all->waiting == all->ranks) {
        all->waiting = 0;
        all->barriers++;
        pthread_cond_broadcast(&all->changed);
    }
    while (all->barriers == now && !all->aborted)
        pthread_cond_wait(&all->changed, &all->lock);
    const bool passed = all->barriers != now;
    pthread_mutex_unlock(&all->lock);
    return passed ? MF_OK : gone();
}

static void abort_all(void *self)
{
    mf_rank_threads *all = ((member *)self)->all;
    pthread_mutex_lock(&all->lock);
    all->aborted = true;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
}

mf_status mf_rank_threads_new(int ranks, mf_rank_threads **threads)
{
    *threads = NULL;
    mf_rank_threads *all = calloc(1, sizeof *all + (size_t)ranks * sizeof *all->members);
    if (!all)
        return mf_no_memory(0, "%d ranks", ranks);
    all->ranks = ranks;
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->changed, NULL);
    bool made = true;
    for (int i = 0; i < ranks; i++) {
        member *m = &all->members[i];
        m->all = all;
        m->transport = (mf_transport){m, i, ranks, send, receive, barrier, abort_all, 0};
        m->queue = calloc((size_t)ranks, sizeof(message *));
        made = made && m->queue;
    }
    if (!made) {
        mf_rank_threads_free(all);
        return mf_no_memory(0, "%d ranks", ranks);
    }
    *threads = all;
    return MF_OK;
}

void mf_rank_threads_free(mf_rank_threads *all)
{
    if (!all)
        return;
    for (int i = 0; i < all->ranks; i++) {
        for (int k = 0; k < all->ranks && all->members[i].queue; k++)
            for (message *m = all->members[i].queue[k], *next; m; m = next) {
                next = m->next;
                free(m);
            }
        free(all->members[i].queue);
    }
    pthread_mutex_destroy(&all->lock);
    pthread_cond_destroy(&all->changed);
    free(all);
}

mf_transport *mf_rank_threads_at(mf_rank_threads *all, int rank)
{
    return &all->members[rank].transport;
}
