/* gang.h - the workers that run one node together (`ranks`), as the run sees them.
 *
 * Each worker has the node by a channel of its own, as if it had it alone, and its number. Number 0
 * saves states and hands over outputs. They reach each other directly (rank_links.h, rank_mpi.h),
 * by addresses that they tell the run and a secret that the run draws for this start of the node.
 * Where one ends, fails or is lost, all are told to end (MF_LINK_ABORT). */
#ifndef MASSFLOW_RUN_REMOTE_GANG_H
#define MASSFLOW_RUN_REMOTE_GANG_H

#include "run/remote/workers.h"

/* What one of the workers has there. */
typedef struct mf_gang_seat {
    size_t worker;
    int threads;
    const size_t *devices;
    size_t device_count;
} mf_gang_seat;

typedef struct mf_gang mf_gang;
/* Of the workers at these seats. */
MF_MUST_USE mf_status mf_gang_new(mf_workers *workers, const mf_gang_seat *seats, size_t count,
                                  mf_gang **gang);
void mf_gang_free(mf_gang *gang);         /* NULL is fine; all have left */
bool mf_gang_by_mpi(const mf_gang *gang); /* they reach each other so */
/* What number `rank` is started with. */
void mf_gang_put(const mf_gang *gang, int rank, mf_packet *start);
/* From now on it is told to end where another one does. */
void mf_gang_enter(mf_gang *gang, int rank, mf_channel *channel);
/* It has ended; `well`: it did what it was to do. */
void mf_gang_leave(mf_gang *gang, int rank, bool well);
/* MF_LINK_RANKS: what it tells, then the answer, once all have told theirs. */
MF_MUST_USE mf_status mf_gang_meet(mf_gang *gang, int rank, mf_packet *told, mf_packet *answer);
/* States are read by all of them through one task. */
void mf_gang_lock(mf_gang *gang), mf_gang_unlock(mf_gang *gang);

#endif
