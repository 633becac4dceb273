/* written.h - what massflow has written for this user outside of caches: which files, and with what
 * content. A file that is as it was written can be replaced; any other is somebody's own.
 *
 * The record lies in a folder of the user's: massflow/written in XDG_STATE_HOME, or else in
 * ~/.local/state. A line for each time a file was written: its digest, then its path with newlines
 * and backslashes escaped. The line comes before the file has its name, so that a process can be
 * killed in between: what any line of a path says may be there. It is only a memory: without it
 * nothing is replaced. */
#ifndef MASSFLOW_RUN_WRITTEN_H
#define MASSFLOW_RUN_WRITTEN_H

#include "store/digest.h"
#include <massflow/error.h>

#include <stdbool.h>

typedef struct mf_written mf_written;

/* NULL only where memory is short. A record that cannot be read or written is empty. */
mf_written *mf_written_open(void);
void mf_written_free(mf_written *written); /* NULL is fine */
/* Why nothing can be remembered; NULL where it can. */
const char *mf_written_why_not(const mf_written *written);

/* Whether massflow has written the file with this digest, in this process or another one. */
bool mf_written_knows(mf_written *written, const char *path, const char *digest);
void mf_written_add(mf_written *written, const char *path, const char *digest);

#endif
