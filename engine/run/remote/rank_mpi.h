/* rank_mpi.h - the workers that run one node together reach each other by MPI: as rank_links.h,
 * where one launcher started them all. A message goes in slices, each with a mark of this start of
 * the node, so that nothing of an earlier one is taken for it. */
#ifndef MASSFLOW_RUN_REMOTE_RANK_MPI_H
#define MASSFLOW_RUN_REMOTE_RANK_MPI_H

#include "run/remote/mpi.h"
#include "run/remote/rank_links.h"

typedef struct mf_rank_mpi mf_rank_mpi;

/* peers [ranks]: which of the launcher's processes each worker is; copied. The module is
 * borrowed. */
MF_MUST_USE mf_status mf_rank_mpi_new(const mf_mpi *mpi, const mf_rank_links_options *options,
                                      const int *peers, mf_rank_mpi **made);
void mf_rank_mpi_free(mf_rank_mpi *m);                             /* NULL is fine */
mf_transport *const *mf_rank_mpi_transports(const mf_rank_mpi *m); /* [devices], borrowed */
/* Whoever waits here fails as MF_CANCELLED. From any thread. */
void mf_rank_mpi_abort(mf_rank_mpi *m);

#endif
