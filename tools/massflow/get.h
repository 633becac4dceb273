/* get.h - what the files of the command get share. */
#ifndef MF_GET_H
#define MF_GET_H

#include "workspace.h"

/* The output of a node that is meant: the one named, the only one, the only one that `file` (or
 * NULL) can hold, or the only one that came out. 0, or an exit code after printing why not. */
int get_port(const workspace *w, const mf_target *target, const mf_plan_node *n, const char *file,
             uint32_t *port);
/* The results of the second operand and all after it as files of `folder`. An exit code. */
int get_many(const args *a, workspace *w, const char *folder);

#endif
