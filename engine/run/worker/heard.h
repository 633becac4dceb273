/* heard.h - what a stage in another process says while it runs: the same from a process of this
 * machine and from a worker of another one. */
#ifndef MASSFLOW_RUN_HEARD_H
#define MASSFLOW_RUN_HEARD_H

#include "run/task/task.h"
#include "run/worker/wire.h"

/* A line of the task's stage or of a stream below it: *node outlives the packet, *line does not. */
MF_MUST_USE mf_status mf_heard_log(const mf_task *task, mf_packet *p, const char **node,
                                   const char **line);
MF_MUST_USE mf_status mf_heard_progress(mf_task *task, mf_packet *p);
/* The other end of that: appends where it has changed since `told`, which it then is; false: it has
 * not. */
bool mf_heard_put_progress(mf_packet *p, mf_task *task, mf_task_state *told);

#endif
