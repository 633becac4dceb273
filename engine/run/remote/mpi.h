/* mpi.h - workers that an MPI launcher started together, as far as the engine knows of that: a
 * module (tools/mpi) fills this in, so that massflow itself needs no MPI. */
#ifndef MASSFLOW_RUN_REMOTE_MPI_H
#define MASSFLOW_RUN_REMOTE_MPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mf_mpi {
    int rank, ranks; /* of all that were started together */
    int64_t group;   /* drawn by rank 0, the same in all; not 0 */
    /* From any thread: a message to process `other` and one from it, both with the mark, of at most
     * 1 GiB each; none where it has 0 bytes. Asks `stop` while it waits. 0: done; 1: stopped;
     * -1: it failed, or what came is no such message. */
    int (*swap)(uint64_t mark, const void *out, size_t out_bytes, void *in, size_t in_bytes,
                int other, int tag, bool (*stop)(void *self), void *self);
} mf_mpi;

#define MF_MPI_TAGS (1 << 26) /* tags are below that */

/* What the module exports: NULL, or why it can't be used; and the end of it. */
typedef const char *mf_mpi_open(mf_mpi *mpi);
typedef void mf_mpi_close(void);
#define MF_MPI_OPEN "massflow_mpi_open"
#define MF_MPI_CLOSE "massflow_mpi_close"

#endif
