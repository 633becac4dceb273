/* task_private.h - the inside of a task, shared by task.c, task_device.c and stream.c. */
#ifndef MASSFLOW_RUN_TASK_PRIVATE_H
#define MASSFLOW_RUN_TASK_PRIVATE_H

#include "run/task/task.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct held_volume {
    struct held_volume *next;
    const char *port;
    mf_dtype dtype;
    mf_volume volume;
} held_volume;

/* An array that a launch reads or writes, on the device. */
typedef struct moved_array {
    struct moved_array *next;
    const mf_array *array;
    mf_buffer *buffer;
    bool written; /* the device's copy is newer */
} moved_array;

typedef struct held_buffer {
    struct held_buffer *next;
    mf_buffer *buffer;
} held_buffer;

struct mf_task {
    mf_host *host;
    const mf_work *work;
    int64_t item; /* of a stream stage; else 0 */
    int threads;
    size_t device;                   /* index among the host's */
    size_t devices[MF_TASK_DEVICES]; /* all of them, the first is `device` */
    size_t device_count;             /* 0: that one alone */
    int rank, ranks;                 /* of the workers that run it together; 0 and 1 of one alone */
    mf_transport *const *transports; /* by device; NULL: it is alone */
    const mf_supply *supply;         /* NULL: the host's, if it has one */
    const char *device_name;         /* of one elsewhere; or NULL */
    const mf_file_watch *files; /* held against what they were before a state is saved; or NULL */
    double timeout, deadline;   /* s; by mf_run_clock; 0: none. Others read them under the lock */
    atomic_bool cancelled;
    const atomic_bool *ends; /* that flag of the task whose result it is for: its own, or that of
                              * the stream's reader */
    struct {
        mf_artifact **opened; /* by element; NULL until asked for */
        mf_stream *stream;
    } * inputs;            /* by input port */
    char *folder;          /* for files of this try, or NULL */
    bool folder_kept;      /* after an error */
    mf_artifact **outputs; /* by output port */
    bool *inherits;        /* by output port: takes over the scan's own grid */
    held_volume *volumes;
    mf_queue *queue;
    const mf_module *built; /* the last one that was asked for */
    moved_array *moved;
    held_buffer *buffers;
    pthread_mutex_t lock; /* of state, and of the deadline for other threads */
    mf_task_state state;
    /* Checkpoints: see task_checkpoint.c. */
    bool saves;          /* it has asked for one, or saved one */
    double begun, saved; /* seconds; the task's begin, and its last save */
    double earlier;      /* seconds that earlier starts worked for the state it went on from */
    int64_t most_step, kept_step;
    bool cleared; /* of work that is to be done anew: what was saved before is gone */
};

void mf_task_free_device(mf_task *task);  /* buffers, then the queue */
void mf_task_free_buffers(mf_task *task); /* after a drain */

#endif
