/* host.h - what all tasks of a process share: the store, the device, sessions, the wish to stop.
 *
 * Safe to use from any thread. The device is opened when the first task asks for it, so a run that
 * finds everything cached never touches OpenCL. */
#ifndef MASSFLOW_RUN_HOST_H
#define MASSFLOW_RUN_HOST_H

#include "run/work.h"
#include "stages/stages.h"
#include "store/store.h"

typedef struct mf_host mf_host;

/* Receives a line that a stage logged; called from worker threads. */
typedef void (*mf_log_sink)(void *self, const char *node, const char *line);

/* `device`: as in mf_device_open; copied. The store and the registry are borrowed. */
mf_status mf_host_new(mf_store *store, const mf_registry *registry, const char *device,
                      mf_host **host);
void mf_host_free(mf_host *host); /* closes sessions and the device */
void mf_host_set_log(mf_host *host, mf_log_sink sink, void *self);
void mf_host_log(mf_host *host, const char *node, const char *line);

mf_store *mf_host_store(const mf_host *host);
const mf_registry *mf_host_registry(const mf_host *host);
mf_status mf_host_device(mf_host *host, mf_device **device); /* borrowed */
/* The open device's name and kind in words, or "host" when none was needed. */
const char *mf_host_device_name(mf_host *host);

void mf_host_cancel(mf_host *host);
bool mf_host_cancelled(const mf_host *host);

/* A session of the task's stage that nobody else uses until it is given back. NULL for a stage
 * that has none. */
typedef struct mf_session mf_session;
mf_status mf_session_acquire(mf_host *host, mf_task *task, const mf_work *work,
                             mf_session **session);
void mf_session_release(mf_host *host, mf_session *session); /* NULL is fine */
void *mf_session_value(const mf_session *session);           /* NULL for NULL */

#endif
