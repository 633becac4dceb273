/* groups.h - process groups that were started here: stopped with this process (Ctrl-Z, SIGTSTP),
 * and continued with it. They are groups of their own so that they can be ended as a whole; a
 * terminal does not reach them. */
#ifndef MASSFLOW_RUN_GROUPS_H
#define MASSFLOW_RUN_GROUPS_H

#include <stdbool.h>

/* `worker`: it does the same for what it started, and is asked to; others are just stopped. From
 * any thread; more groups than there is room for run on. */
void mf_group_add(int group, bool worker);
void mf_group_remove(int group);
/* From now on what stops and continues this process reaches the groups. A signal that was ignored
 * when the process was started still is. */
void mf_groups_watch(void);

#endif
