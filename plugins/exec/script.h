/* script.h - what a command that failed may have meant: a script that is not where it runs. */
#ifndef EXEC_SCRIPT_H
#define EXEC_SCRIPT_H

#include <massflow/error.h>

/* Adds to the failure of a command a word on a script that it names and that is not there. `files`:
 * the parameter, or NULL. `folder`: where the command ran. */
MF_MUST_USE mf_status script_hint(mf_status failure, const char *command, const char *files,
                                  const char *folder);

#endif
