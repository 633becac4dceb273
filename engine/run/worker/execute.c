/* execute.c - running a task in this thread, and trying again. */
#include "run/worker/execute.h"

#include <massflow/seconds.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mf_status execute_here(mf_task *task, const mf_limits *limits, mf_spent *spent)
{
    mf_status status;

    *spent = (mf_spent){0};
    mf_task_set_timeout(task, limits->timeout);
    status = mf_task_execute(task);
    mf_task_set_timeout(task, 0);
    return status;
}

void mf_retry_tell(mf_task *task, const mf_error *error, int tried, int tries)
{
    char *text = mf_error_text(error), line[512];

    snprintf(line, sizeof line, "attempt %d of %d failed, retrying: %.*s", tried, tries,
             (int)strcspn(text ? text : "", "\n"), text ? text : "");
    mf_host_log(mf_task_host(task), mf_task_work(task)->node, line);
    free(text);
}

mf_status mf_execute(mf_task *task, const mf_limits *limits, mf_spent *spent, double *seconds)
{
    for (int tried = 1;; tried++) {
        double start = mf_seconds();
        mf_status status = limits->isolate ? mf_execute_isolated(task, limits, spent)
                                           : execute_here(task, limits, spent);
        *seconds = mf_seconds() - start;
        if (!status || tried > limits->retries || mf_task_cancelled(task))
            return status;
        mf_retry_tell(task, status, tried, limits->retries + 1);
        mf_error_free(status);
        mf_task_drop(task);
    }
}
