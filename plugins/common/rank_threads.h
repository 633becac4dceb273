/* rank_threads.h - transports between ranks that are threads of one process (<massflow/program.h>).
 */
#ifndef MF_COMMON_RANK_THREADS_H
#define MF_COMMON_RANK_THREADS_H

#include <massflow/program.h>

typedef struct mf_rank_threads mf_rank_threads;
/* For `ranks` threads. */
MF_MUST_USE mf_status mf_rank_threads_new(int ranks, mf_rank_threads **threads);
void mf_rank_threads_free(mf_rank_threads *threads); /* NULL is fine; after all threads */
/* That of one rank; borrowed. */
mf_transport *mf_rank_threads_at(mf_rank_threads *threads, int rank);

#endif
