/* task.h - a running stage: its inputs, outputs, device objects and progress.
 *
 * A task belongs to one worker thread; only its progress is read from elsewhere. stage.h declares
 * what the stage itself may call on it. */
#ifndef MASSFLOW_RUN_TASK_H
#define MASSFLOW_RUN_TASK_H

#include "run/plan/files.h"
#include "run/plan/work.h"
#include "run/task/host.h"

/* `threads`: what mf_task_threads answers, and how many workers its streams get. */
MF_MUST_USE mf_status mf_task_new(mf_host *host, const mf_work *work, int threads, mf_task **task);
void mf_task_free(mf_task *task);
void mf_task_set_threads(mf_task *task, int threads); /* before it runs */
/* The index of its device among the host's; 0 until it is set, before it runs. */
void mf_task_set_device(mf_task *task, size_t device);
size_t mf_task_device(const mf_task *task);
enum { MF_TASK_DEVICES = 64 }; /* of one task at most: no host has more */
/* All of them, of a task that asked for several: the first is the one above. Copied. */
void mf_task_set_devices(mf_task *task, const size_t *devices, size_t count);
size_t mf_task_device_list(const mf_task *task, const size_t **devices);
/* Its input files: no state is saved once one of them was written. Borrowed; before it runs. */
void mf_task_set_files(mf_task *task, const mf_file_watch *files);
const mf_file_watch *mf_task_files(const mf_task *task); /* NULL: it has none */
/* Where its artifacts and states come from, if not from the host's supply or store; borrowed.
 * Before it runs. */
void mf_task_set_supply(mf_task *task, const mf_supply *supply);
MF_MUST_USE mf_status mf_task_get(const mf_task *task, const char *id, mf_artifact **artifact);
/* The name of the device that it runs on elsewhere, by which its states are named; borrowed. NULL:
 * it runs here. */
void mf_task_set_device_name(mf_task *task, const char *name);
/* From now on; the stage meets it at its next cancel point. 0: none. */
void mf_task_set_timeout(mf_task *task, double seconds);
/* Seconds since its time was over, from any thread; below 0: it is not. */
double mf_task_overtime(mf_task *task);
/* That task alone ends at its next cancel point, with its streams. From any thread. */
void mf_task_cancel(mf_task *task);
bool mf_task_cancelled(const mf_task *task); /* so, or with its host */

/* Of a task that runs at several workers: its own number, how many they are, and a transport to the
 * others for each of its devices; borrowed. Before it runs. */
void mf_task_set_rank(mf_task *task, int rank, int ranks, mf_transport *const *transports);

/* Runs the stage: session, callback, drained queue, checked outputs. The outputs stay in the task,
 * by output port. Nothing is published here. */
MF_MUST_USE mf_status mf_task_execute(mf_task *task);
MF_MUST_USE mf_status mf_task_check_outputs(mf_task *task); /* all there and as their types say */
void mf_task_drop(mf_task *task); /* outputs and streams, so that it can run again */
mf_artifact *mf_task_output(const mf_task *task, size_t port); /* borrowed */

/* Computes item i of a stream stage, checked; the caller unrefs. NULL past a finite stream's end.
 */
MF_MUST_USE mf_status mf_task_item(mf_task *task, void *session, int64_t i, mf_artifact **item);

/* A stream of the recipe `work`, computed ahead by `threads` workers for the task that reads it,
 * on that task's device. */
MF_MUST_USE mf_status mf_stream_new(const mf_task *reader, const mf_work *work, int threads,
                                    mf_stream **stream);
void mf_stream_free(mf_stream *stream); /* NULL is fine */

/* Corrects `needs`, which holds the defaults, by what the stage says. */
MF_MUST_USE mf_status mf_task_needs(mf_task *task, mf_needs *needs);

/* Waits for the task's launches and moves what they wrote back to the host. */
MF_MUST_USE mf_status mf_task_drain(mf_task *task);

/* Element i of a port that is told the cases (MF_KEYED); NULL of any other. */
const mf_element *mf_task_keyed_element(mf_task *task, const char *port, size_t i);
void mf_task_begin_checkpoints(mf_task *task); /* it begins to run: nothing is saved yet */
/* Seconds of work before this start that its result rests on: 0 unless it went on from a state. */
double mf_task_earlier(const mf_task *task);
/* The task's outputs are recorded: drops the checkpoints that nobody needs any more. */
MF_MUST_USE mf_status mf_task_end_checkpoints(mf_task *task);

typedef struct mf_task_state {
    int64_t done, total;
    double part; /* of the next one */
    char words[96];
} mf_task_state;
void mf_task_progress(mf_task *task, mf_task_state *state); /* from any thread */
/* The same of a task that launches kernels: while they are compiled, its words say so. */
void mf_task_device_progress(mf_task *task, mf_task_state *state);

const mf_work *mf_task_work(const mf_task *task);
mf_host *mf_task_host(const mf_task *task);

#endif
