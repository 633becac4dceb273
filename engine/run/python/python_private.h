/* python_private.h - a Python file and its workers, as the files of this folder share them. */
#ifndef MASSFLOW_RUN_PYTHON_PRIVATE_H
#define MASSFLOW_RUN_PYTHON_PRIVATE_H

#include "base/arena.h"
#include "run/worker/wire.h"

#include <massflow/stage.h>

#include <pthread.h>
#include <sys/types.h>

/* A process; it belongs to one node at a time. */
typedef struct mf_python_worker {
    struct mf_python_worker *next; /* of the idle ones */
    pid_t pid;                     /* leads a group of its own */
    int socket;
} mf_python_worker;

typedef struct mf_python {
    char *file;        /* absolute */
    char *description; /* JSON, as the first worker gave it */
    mf_arena *arena;   /* of the tables of its stages */
    mf_plugin plugin;
    pthread_mutex_t lock; /* of `idle` */
    mf_python_worker *idle;
} mf_python;

/* A stage of such a file. */
typedef struct mf_python_stage {
    mf_stage stage; /* first: the engine knows it by this */
    mf_python *python;
    int cpu;
} mf_python_stage;

/* python_worker.c: one that is idle, or a new one. Given back, or ended where it is of no more use.
 */
MF_MUST_USE mf_status mf__python_acquire(mf_python *python, mf_python_worker **worker);
void mf__python_give_back(mf_python *python, mf_python_worker *worker);
/* Ends it now; how it had ended already, in words for free(), or NULL. */
char *mf__python_end(mf_python_worker *worker);

/* python_run.c: the callbacks of all stages. */
MF_MUST_USE mf_status mf__python_run(mf_task *task, const void *params, void *session);
MF_MUST_USE mf_status mf__python_needs(mf_task *task, const void *params, mf_needs *needs);

#endif
