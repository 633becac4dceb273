/* mpi.c - the module by which workers that mpirun or srun started together reach each other: see
 * run/remote/mpi.h. It alone is linked with MPI; `massflow worker --mpi` loads it.
 *
 * Whoever waits asks again and again whether it is to stop: a call of MPI that blocks could not be
 * ended where the other end is gone. */
#include "run/remote/mpi.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT mf_mpi_open massflow_mpi_open;
EXPORT mf_mpi_close massflow_mpi_close;

enum { SPINS = 1000 }; /* without a pause */

/* 0: it is done; 1: stopped before; -1: it failed. */
static int wait_for(MPI_Request *request, MPI_Status *status, bool (*stop)(void *self), void *self)
{
    for (int tried = 0;; tried += tried < SPINS) {
        int done = 0;
        if (MPI_Test(request, &done, status) != MPI_SUCCESS)
            return -1;
        if (done)
            return 0;
        if (stop(self))
            return 1;
        if (tried >= SPINS)
            nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
}

static int begin_sending(uint64_t mark, char *copy, const void *data, size_t bytes, int to, int tag,
                         MPI_Request *request)
{
    memcpy(copy, &mark, sizeof mark);
    memcpy(copy + sizeof mark, data, bytes);
    return MPI_Isend(copy, (int)(sizeof mark + bytes), MPI_BYTE, to, tag, MPI_COMM_WORLD,
                     request) == MPI_SUCCESS
               ? 0
               : -1;
}

static void withdraw(MPI_Request *request)
{
    MPI_Cancel(request);
    MPI_Wait(request, MPI_STATUS_IGNORE);
}

static int receive_one(uint64_t mark, char *came, void *data, size_t bytes, int from, int tag,
                       bool (*stop)(void *self), void *self)
{
    MPI_Request request;
    MPI_Status status;
    int how, count = 0;

    if (MPI_Irecv(came, (int)(sizeof mark + bytes), MPI_BYTE, from, tag, MPI_COMM_WORLD,
                  &request) != MPI_SUCCESS)
        return -1;
    how = wait_for(&request, &status, stop, self);
    if (how == 1)
        withdraw(&request);
    if (how == 0 && (MPI_Get_count(&status, MPI_BYTE, &count) != MPI_SUCCESS ||
                     (size_t)count != sizeof mark + bytes || memcmp(came, &mark, sizeof mark)))
        how = -1;
    if (how == 0)
        memcpy(data, came + sizeof mark, bytes);
    return how;
}

/* What is sent is on its way while the other message is awaited. */
static int swap(uint64_t mark, const void *out, size_t out_bytes, void *in, size_t in_bytes,
                int other, int tag, bool (*stop)(void *self), void *self)
{
    char *copy = malloc(sizeof mark + out_bytes), *came = malloc(sizeof mark + in_bytes);
    MPI_Request request;
    bool sending = false;
    int how = copy && came ? 0 : -1;

    if (!how && out_bytes) {
        how = begin_sending(mark, copy, out, out_bytes, other, tag, &request);
        sending = !how;
    }
    if (!how && in_bytes)
        how = receive_one(mark, came, in, in_bytes, other, tag, stop, self);
    if (!how && sending) {
        how = wait_for(&request, MPI_STATUS_IGNORE, stop, self);
        sending = how != 0;
    }
    if (!sending)
        free(copy); /* else MPI may still read it, for as long as the process lives */
    free(came);
    return how;
}

/* Rank 0 draws it. */
static const char *draw_group(mf_mpi *m)
{
    while (m->rank == 0 && m->group == 0)
        if (getrandom(&m->group, sizeof m->group, 0) != sizeof m->group)
            return "the system gives no random numbers";
    return MPI_Bcast(&m->group, sizeof m->group, MPI_BYTE, 0, MPI_COMM_WORLD) == MPI_SUCCESS
               ? NULL
               : "its processes do not reach each other";
}

const char *massflow_mpi_open(mf_mpi *m)
{
    int given, known = 0, *most;

    *m = (mf_mpi){.swap = swap};
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &given) != MPI_SUCCESS)
        return "it could not be started";
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &m->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &m->ranks);
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &most, &known);
    if (given < MPI_THREAD_MULTIPLE)
        return "it was built for one thread (MPI_THREAD_MULTIPLE is needed)";
    if (!known || *most < MF_MPI_TAGS - 1)
        return "it has too few tags";
    return draw_group(m);
}

void massflow_mpi_close(void)
{
    MPI_Finalize();
}
