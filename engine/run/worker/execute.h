/* execute.h - running a task's stage: in this thread, or in a process of its own.
 *
 * Takes a task that is ready and leaves the checked outputs in it; the caller alone publishes them.
 * Blocks; called in a thread of the node's own. */
#ifndef MASSFLOW_RUN_EXECUTE_H
#define MASSFLOW_RUN_EXECUTE_H

#include "run/task/task.h"

/* What a task took, where that is known. */
typedef struct mf_spent {
    int64_t peak_bytes; /* of its process's memory; 0: not known */
} mf_spent;

/* Runs the task with its limits, where they say so in a process of its own, and again where they
 * say so. */
MF_MUST_USE mf_status mf_execute(mf_task *task, const mf_limits *limits, mf_spent *spent,
                                 double *seconds);
/* The line about a try that failed. */
void mf_retry_tell(mf_task *task, const mf_error *error, int tried, int tries);
/* In a spawned `massflow worker`, once. After an error the task can be run again. isolate.c */
MF_MUST_USE mf_status mf_execute_isolated(mf_task *task, const mf_limits *limits, mf_spent *spent);

/* The other end: serves one task over the socket and ends the process. worker.c */
_Noreturn void mf_worker_serve(int socket);
/* The first signal of a kind stops the host's tasks, as in a run that is stopped: they save their
 * states. A second one of that kind ends the process. Until mf_signals_listen(NULL). interrupt.c */
void mf_worker_mind_signals(mf_host *host);
#define MF_WORKER_SOCKET 3 /* where a worker finds it */

#endif
