/* gather.h - names for the files of elements that are gathered. */
#ifndef EXEC_GATHER_H
#define EXEC_GATHER_H

#include <massflow/stage.h>

/* Names without a suffix for the elements of a list port, in their order. No two are the same file,
 * also where a file system ignores case, none is longer than a file system takes, and none is
 * hidden. gather_free frees them. */
MF_MUST_USE mf_status gather_names(mf_task *t, const char *port, char ***names);
void gather_free(char **names);
/* Writes a table of the elements: name, case, and a column for each axis that was gathered. */
MF_MUST_USE mf_status gather_index(mf_task *t, const char *port, char *const *names,
                                   const char *path);

#endif
