/* marked.h - the processes that a worker has started, and those that these have: told by a mark in
 * their environment, whatever groups and sessions they have made for themselves. */
#ifndef MASSFLOW_RUN_MARKED_H
#define MASSFLOW_RUN_MARKED_H

#define MF_MARK_SIZE 96

/* "MASSFLOW_WORKER=...": one that no other process has. */
void mf_mark_new(char mark[MF_MARK_SIZE]);
/* Kills every process of this user that has the mark in its environment, but not this one. Those
 * that they start meanwhile as well. */
void mf_mark_end(const char *mark);

#endif
