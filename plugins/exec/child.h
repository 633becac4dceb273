/* child.h - running a program: its output line by line to the log, its end as a status. */
#ifndef EXEC_CHILD_H
#define EXEC_CHILD_H

#include <massflow/stage.h>

/* Called now and then while the command runs: an error ends it at once, with all that it started.
 * And once more when it has ended well. */
typedef mf_status (*child_look)(void *self);

/* Runs words[0], found in PATH, in `folder`, and waits. When the task is cancelled or its time is
 * over the program is asked to end (SIGTERM), and killed two seconds later. What it started and
 * left running is killed when it has ended, and when this process is gone. */
MF_MUST_USE mf_status child_run(mf_task *t, char *const *words, const char *folder, child_look look,
                                void *self);

#endif
