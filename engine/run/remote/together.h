/* together.h - running a task's stage at several workers at once: see gang.h. */
#ifndef MASSFLOW_RUN_REMOTE_TOGETHER_H
#define MASSFLOW_RUN_REMOTE_TOGETHER_H

#include "run/remote/gang.h"
#include "run/remote/remote.h"

/* As mf_execute_remote, by a thread for each seat; the retries are of all together. *place: of a
 * node that was returned, the number of the worker (in `seats`) that was lost or has ended. */
MF_MUST_USE mf_status mf_execute_together(mf_workers *workers, const mf_gang_seat *seats,
                                          size_t count, mf_task *task, const mf_limits *limits,
                                          const char *key, mf_remote_end *end, size_t *place);

#endif
