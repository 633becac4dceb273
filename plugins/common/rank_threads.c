/* rank_threads.c - see rank_threads.h. A rank shows the other what it has, and each copies what it
 * is shown. One lock for all: there are few ranks, and what they send is large. */
#include "rank_threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* What a rank has for another one. */
typedef struct offer {
    enum { NONE, SHOWN, BEING_COPIED } state;
    const void *data;
    size_t bytes;
} offer;

typedef struct member {
    mf_rank_threads *all;
    mf_transport transport;
    offer *offers; /* [ranks] */
} member;

struct mf_rank_threads {
    int ranks;
    pthread_mutex_t lock; /* of the offers and what follows */
    pthread_cond_t changed;
    bool aborted;
    member members[]; /* [ranks] */
};

static mf_status gone(void)
{
    return mf_fail(MF_CANCELLED, "another device of the training has failed");
}

/* Copies what the other one shows; under the lock, which is given up meanwhile. */
static mf_status take(mf_rank_threads *all, offer *theirs, void *in, size_t in_bytes)
{
    while (theirs->state != SHOWN && !all->aborted)
        pthread_cond_wait(&all->changed, &all->lock);
    if (theirs->state != SHOWN)
        return gone();
    theirs->state = BEING_COPIED;
    pthread_mutex_unlock(&all->lock);
    mf_status status = MF_OK;
    if (theirs->bytes == in_bytes)
        memcpy(in, theirs->data, in_bytes);
    else
        status =
            mf_fail(MF_INTERNAL, "%zu bytes of another device, not %zu", theirs->bytes, in_bytes);
    pthread_mutex_lock(&all->lock);
    theirs->state = NONE;
    pthread_cond_broadcast(&all->changed);
    return status;
}

/* Until it is copied, or nobody will. */
static void wait_for_copy(mf_rank_threads *all, offer *own)
{
    while (own->state == BEING_COPIED || (own->state == SHOWN && !all->aborted))
        pthread_cond_wait(&all->changed, &all->lock);
}

static mf_status swap(void *self, int other, const void *out, size_t out_bytes, void *in,
                      size_t in_bytes)
{
    member *m = self;
    mf_rank_threads *all = m->all;
    offer *own = &m->offers[other], *theirs = &all->members[other].offers[m->transport.rank];
    pthread_mutex_lock(&all->lock);
    if (out_bytes)
        *own = (offer){SHOWN, out, out_bytes};
    pthread_cond_broadcast(&all->changed);
    mf_status status = in_bytes ? take(all, theirs, in, in_bytes) : MF_OK;
    wait_for_copy(all, own);
    if (!status && own->state == SHOWN)
        status = gone();
    own->state = NONE;
    pthread_mutex_unlock(&all->lock);
    return status;
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
        m->transport = (mf_transport){m, i, ranks, swap, abort_all, 0};
        m->offers = calloc((size_t)ranks, sizeof *m->offers);
        made = made && m->offers;
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
    for (int i = 0; i < all->ranks; i++)
        free(all->members[i].offers);
    pthread_mutex_destroy(&all->lock);
    pthread_cond_destroy(&all->changed);
    free(all);
}

mf_transport *mf_rank_threads_at(mf_rank_threads *all, int rank)
{
    return &all->members[rank].transport;
}
