/* by_mpi.h - the module for workers that mpirun or srun started together. */
#ifndef MF_BY_MPI_H
#define MF_BY_MPI_H

#include "run/remote/mpi.h"
#include <massflow/error.h>

/* Loads it and starts MPI: once a process, before any thread. */
MF_MUST_USE mf_status by_mpi_open(mf_mpi *mpi);
void by_mpi_close(void); /* waits for the others to end as well */

#endif
