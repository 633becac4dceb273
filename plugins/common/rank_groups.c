/* rank_groups.c - see rank_groups.h. */
#include "rank_groups.h"
#include "rank_threads.h"

#include <stdlib.h>

typedef struct member {
    mf_rank_groups *all;
    int thread;
    mf_transport transport, *between;
} member;

struct mf_rank_groups {
    int threads; /* of each process */
    mf_rank_threads *within;
    member members[]; /* [threads] */
};

/* The transport to a rank, and its number there. */
static mf_status way_to(member *m, int rank, mf_transport **t, int *number)
{
    const int threads = m->all->threads, process = rank / threads, thread = rank % threads;
    if (process == m->between->rank) {
        *t = mf_rank_threads_at(m->all->within, m->thread);
        *number = thread;
        return MF_OK;
    }
    *t = m->between;
    *number = process;
    return thread == m->thread ? MF_OK
                               : mf_fail(MF_INTERNAL, "rank %d is no neighbour of rank %d", rank,
                                         m->transport.rank);
}

static mf_status swap(void *self, int other, const void *out, size_t out_bytes, void *in,
                      size_t in_bytes)
{
    mf_transport *t;
    int number;
    MF_TRY(way_to(self, other, &t, &number));
    return t->swap(t->self, number, out, out_bytes, in, in_bytes);
}

static void abort_all(void *self)
{
    mf_rank_groups *all = ((member *)self)->all;
    mf_transport *within = mf_rank_threads_at(all->within, 0);
    within->abort(within->self);
    for (int i = 0; i < all->threads; i++)
        all->members[i].between->abort(all->members[i].between->self);
}

mf_status mf_rank_groups_new(int threads, mf_transport *const *between, mf_rank_groups **groups)
{
    *groups = NULL;
    mf_rank_groups *all = calloc(1, sizeof *all + (size_t)threads * sizeof *all->members);
    if (!all)
        return mf_no_memory(0, "%d ranks", threads);
    all->threads = threads;
    for (int i = 0; i < threads; i++) {
        member *m = &all->members[i];
        *m = (member){.all = all, .thread = i, .between = between[i]};
        m->transport = (mf_transport){
            m, between[i]->rank * threads + i, between[i]->ranks * threads, swap, abort_all, 0};
    }
    mf_status status = mf_rank_threads_new(threads, &all->within);
    if (status) {
        free(all);
        return status;
    }
    *groups = all;
    return MF_OK;
}

void mf_rank_groups_free(mf_rank_groups *all)
{
    if (!all)
        return;
    mf_rank_threads_free(all->within);
    free(all);
}

mf_transport *mf_rank_groups_at(mf_rank_groups *all, int thread)
{
    return &all->members[thread].transport;
}
