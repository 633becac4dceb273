/* rank_mpi.c - see rank_mpi.h. */
#include "run/remote/rank_mpi.h"

#include <stdlib.h>
#include <string.h>

#define SLICE ((size_t)16 << 20)

/* Of a device. */
typedef struct lane {
    mf_rank_mpi *all;
    mf_transport transport;
    int tag;
} lane;

struct mf_rank_mpi {
    const mf_mpi *mpi;
    mf_rank_links_options options;
    int peers[MF_RANK_LINKS_MOST];
    uint64_t mark;
    bool aborted; /* atomic */
    lane *lanes;
    mf_transport **transports;
};

static bool stopped(void *self)
{
    const lane *l = self;

    return __atomic_load_n(&l->all->aborted, __ATOMIC_RELAXED);
}

static size_t slice_at(size_t bytes, size_t at)
{
    const size_t left = at < bytes ? bytes - at : 0;

    return left < SLICE ? left : SLICE;
}

static mf_status swap(void *self, int other, const void *out, size_t out_bytes, void *in,
                      size_t in_bytes)
{
    lane *l = self;
    const size_t most = out_bytes > in_bytes ? out_bytes : in_bytes;
    int how = 0;

    for (size_t at = 0; at < most && !how; at += SLICE)
        how = l->all->mpi->swap(l->all->mark, (const char *)out + at, slice_at(out_bytes, at),
                                (char *)in + at, slice_at(in_bytes, at), l->all->peers[other],
                                l->tag, stopped, l);
    return how == 0 ? MF_OK
                    : mf_fail(MF_CANCELLED, "worker %d of the training has failed or ended", other);
}

void mf_rank_mpi_abort(mf_rank_mpi *m)
{
    __atomic_store_n(&m->aborted, true, __ATOMIC_RELAXED);
}

static void abort_all(void *self)
{
    mf_rank_mpi_abort(((lane *)self)->all);
}

/* Tags tell starts of nodes apart that run at the same time; what is left of one that was ended is
 * known by its mark. */
static void name_lanes(mf_rank_mpi *m)
{
    const mf_rank_links_options *o = &m->options;
    uint64_t number;

    memcpy(&m->mark, o->secret.key, sizeof m->mark);
    memcpy(&number, o->secret.key + sizeof m->mark, sizeof number);
    for (int i = 0; i < o->devices; i++) {
        lane *l = &m->lanes[i];
        l->all = m;
        l->tag = (int)(number % (MF_MPI_TAGS / MF_RANK_LINKS_MOST)) * MF_RANK_LINKS_MOST + i;
        l->transport = (mf_transport){l, o->rank, o->ranks, swap, abort_all, 0};
        m->transports[i] = &l->transport;
    }
}

mf_status mf_rank_mpi_new(const mf_mpi *mpi, const mf_rank_links_options *options, const int *peers,
                          mf_rank_mpi **made)
{
    mf_rank_mpi *m = calloc(1, sizeof *m);

    *made = NULL;
    if (m) {
        m->lanes = calloc((size_t)options->devices, sizeof *m->lanes);
        m->transports = calloc((size_t)options->devices, sizeof(mf_transport *));
    }
    if (!m || !m->lanes || !m->transports) {
        mf_rank_mpi_free(m);
        return mf_no_memory(0, "connections of %d devices", options->devices);
    }
    m->mpi = mpi;
    m->options = *options;
    memcpy(m->peers, peers, (size_t)options->ranks * sizeof *peers);
    name_lanes(m);
    *made = m;
    return MF_OK;
}

void mf_rank_mpi_free(mf_rank_mpi *m)
{
    if (!m)
        return;
    free(m->lanes);
    free(m->transports);
    free(m);
}

mf_transport *const *mf_rank_mpi_transports(const mf_rank_mpi *m)
{
    return m->transports;
}
