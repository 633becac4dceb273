/* host.h - what all tasks of a process share: the store, devices, sessions, the wish to stop.
 *
 * Safe to use from any thread. Devices are opened when first asked for, so a run that finds
 * everything cached never touches OpenCL. Which task has which device is the scheduler's business.
 */
#ifndef MASSFLOW_RUN_HOST_H
#define MASSFLOW_RUN_HOST_H

#include "run/plan/work.h"
#include "stages/stages.h"
#include "store/store.h"

typedef struct mf_host mf_host;

/* Receives a line that a stage logged; called from worker threads. */
typedef void (*mf_log_sink)(void *self, const char *node, const char *line);

/* `devices`: as in mf_devices_open; copied. The store and the registry are borrowed. */
MF_MUST_USE mf_status mf_host_new(mf_store *store, const mf_registry *registry, const char *devices,
                                  mf_host **host);
void mf_host_free(mf_host *host); /* closes sessions and devices */
void mf_host_set_log(mf_host *host, mf_log_sink sink, void *self);
void mf_host_log(mf_host *host, const char *node, const char *line);

/* Where artifacts come from, if not from the store: a worker process gets them from the one that
 * started it. */
typedef struct mf_supply {
    void *self;
    mf_status (*get)(void *self, const char *id, mf_artifact **artifact);
    /* As mf_checkpoint_load and mf_checkpoint_save, of the one task that the process runs. */
    mf_status (*load_state)(void *self, int64_t most, int64_t *step, mf_artifact **state);
    mf_status (*save_state)(void *self, int64_t step, const mf_artifact *state, bool keep);
} mf_supply;
void mf_host_set_supply(mf_host *host, const mf_supply *supply); /* borrowed; before any task */
const mf_supply *mf_host_supply(const mf_host *host);            /* NULL: the store */
MF_MUST_USE mf_status mf_host_get(const mf_host *host, const char *id, mf_artifact **artifact);

mf_store *mf_host_store(const mf_host *host); /* NULL in a worker process */
const mf_registry *mf_host_registry(const mf_host *host);
/* The devices of this run, at least one, borrowed until the host is freed. */
MF_MUST_USE mf_status mf_host_devices(mf_host *host, mf_device *const **devices, size_t *count);
/* One of them. */
MF_MUST_USE mf_status mf_host_device(mf_host *host, size_t index, mf_device **device);
/* As mf_device_compiling, without opening the device; 0 also while devices are opened. */
int mf_host_compiling(mf_host *host, size_t index);
/* Has a device use the kernels for CPUs, or those for GPUs, whatever it is. Before any task. */
MF_MUST_USE mf_status mf_host_set_form(mf_host *host, size_t index, bool plain);
/* As it was set: 1 for CPUs, 0 for GPUs; -1: the device's own. */
int mf_host_form(const mf_host *host, size_t index);
const char *mf_host_device_words(const mf_host *host); /* as given */

/* The program whose command `worker` runs isolated nodes; copied. Without one none can be. */
MF_MUST_USE mf_status mf_host_set_program(mf_host *host, const char *path);
const char *mf_host_program(const mf_host *host); /* or NULL */

/* The workers of this run on other machines (run/remote/workers.h), borrowed; NULL: there are none.
 * Before any task. */
struct mf_workers;
void mf_host_set_workers(mf_host *host, struct mf_workers *workers);
struct mf_workers *mf_host_workers(const mf_host *host);

void mf_host_cancel(mf_host *host);
/* The same for a signal that reached this process alone; may be called in its handler. */
void mf_host_interrupt(mf_host *host, int number);
int mf_host_signal(const mf_host *host); /* that one; 0: none */
bool mf_host_cancelled(const mf_host *host);
int mf_host_cancel_event(const mf_host *host); /* can be read, by poll, once cancelled; or -1 */

/* A session of the task's stage that nobody else uses until it is given back. NULL for a stage
 * that has none. */
typedef struct mf_session mf_session;
MF_MUST_USE mf_status mf_session_acquire(mf_host *host, mf_task *task, const mf_work *work,
                                         mf_session **session);
void mf_session_release(mf_host *host, mf_session *session); /* NULL is fine */
void *mf_session_value(const mf_session *session);           /* NULL for NULL */

#endif
