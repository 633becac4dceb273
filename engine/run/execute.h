/* executor.h - where a task runs: in a thread of this process, or in a process of its own.
 *
 * Both take a task that is ready, run its stage and leave the checked outputs in the task; the
 * caller alone publishes them. `execute` blocks, and is called in a thread of the node's own. */
#ifndef MASSFLOW_RUN_EXECUTOR_H
#define MASSFLOW_RUN_EXECUTOR_H

#include "run/task.h"

/* What a task took, where that is known. */
typedef struct mf_spent {
    int64_t peak_bytes; /* of its process's memory; 0: not known */
} mf_spent;

typedef struct mf_executor {
    const char *name;
    /* After an error the task can be run again. */
    mf_status (*execute)(mf_task *task, const mf_limits *limits, mf_spent *spent);
} mf_executor;

extern const mf_executor mf_executor_local;  /* this thread; local.c */
extern const mf_executor mf_executor_worker; /* a spawned `massflow worker`; isolate.c */

/* Runs the task with its limits, and again where they say so. */
mf_status mf_execute(mf_task *task, const mf_limits *limits, mf_spent *spent, double *seconds);

/* The other end: serves one task over the socket and ends the process. worker.c */
_Noreturn void mf_worker_serve(int socket);
#define MF_WORKER_SOCKET 3 /* where a worker finds it */

#endif
