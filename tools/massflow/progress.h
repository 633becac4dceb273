/* progress.h - what a run shows while it goes on: live lines on a terminal, elsewhere plain lines
 * and where long stages stand, now and then.
 */
#ifndef MF_PROGRESS_H
#define MF_PROGRESS_H

#include "run/run.h"
#include <stdio.h>

/* Where a node stood when it was first seen: one that goes on from a saved state begins late. */
typedef struct progress_start {
    const char *node;
    double seconds;
    int64_t done;
} progress_start;

typedef struct progress {
    FILE *out;
    bool live; /* out is a terminal */
    progress_start starts[32];
    size_t next_start; /* the entry that is given away next */
    int drawn; /* live lines that stand there now */
    int width; /* of the terminal */
} progress;

void progress_open(progress *p, FILE *out);
void progress_event(void *self, const mf_run_event *event); /* an mf_run_watch */
void progress_close(progress *p);                           /* takes the live lines away */

#endif
