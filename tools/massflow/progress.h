/* progress.h - what a run shows while it goes on: live lines on a terminal, elsewhere plain lines
 * and where long stages stand, now and then. */
#ifndef MF_PROGRESS_H
#define MF_PROGRESS_H

#include "rate.h"
#include "run/schedule/run.h"
#include <stdio.h>

typedef struct progress {
    FILE *out;
    bool live;  /* out is a terminal */
    bool quiet; /* only what goes wrong */
    rates rates;
    const char *told[32]; /* nodes that have had their first line */
    size_t next_told, ticks;
    int drawn; /* live lines that stand there now */
    int width; /* of the terminal */
} progress;

void progress_open(progress *p, FILE *out, bool quiet);
void progress_event(void *self, const mf_run_event *event); /* an mf_run_watch */
/* A line of something else than a node. */
void progress_say(progress *p, const char *text);
void progress_close(progress *p); /* takes the live lines away */

#endif
