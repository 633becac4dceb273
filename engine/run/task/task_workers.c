/* task_workers.c - a task that several workers run together: which of them this one is. */
#include "run/task/task_private.h"

void mf_task_set_rank(mf_task *t, int rank, int ranks, mf_transport *const *transports)
{
    t->rank = rank;
    t->ranks = ranks;
    t->transports = transports;
}

int mf_task_rank(const mf_task *t, int *ranks)
{
    if (ranks)
        *ranks = t->ranks;
    return t->rank;
}

mf_transport *mf_task_transport(const mf_task *t, int device)
{
    return t->transports && device >= 0 && device < mf_task_devices((mf_task *)t)
               ? t->transports[device]
               : NULL;
}
