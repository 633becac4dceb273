/* tool.h - programs of the batch system: started with words, not through a shell, each in a process
 * group of its own, so that Ctrl-C does not reach it. */
#ifndef MASSFLOW_RUN_TOOL_H
#define MASSFLOW_RUN_TOOL_H

#include <massflow/error.h>

#include <stdbool.h>
#include <sys/types.h>

/* Runs a program until it ends, for `seconds` at most; then its group is killed. `words` end with
 * NULL; the first is found by PATH. `extra` ("NAME=VALUE", ends with NULL; or NULL) is added to the
 * environment, from which the variables of a job of Slurm are taken: a coordinator may be one. An
 * exit status that is not 0 is an error with what was written to standard error. *output: standard
 * output, at most 16 MiB; the caller frees. */
MF_MUST_USE mf_status mf_tool_run(const char *const *words, const char *const *extra,
                                  double seconds, char **output);
/* Starts one, and goes on. What it writes is appended to `log`. */
MF_MUST_USE mf_status mf_tool_start(const char *const *words, const char *const *extra,
                                    const char *log, pid_t *pid);
/* Whether it has ended, and with which exit status (128 + a signal's number); once. */
bool mf_tool_ended(pid_t pid, int *code);
/* Ends it and its group: SIGTERM, and SIGKILL after `seconds`. Not of one that has ended. */
void mf_tool_end(pid_t pid, double seconds);

#endif
