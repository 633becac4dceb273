/* progress.h - what a run shows while it goes on: live lines on a terminal, elsewhere plain lines
 * and where long stages stand, now and then. Of a stage with many nodes the short ones share a
 * line.
 * */
#ifndef MF_PROGRESS_H
#define MF_PROGRESS_H

#include "batches.h"
#include "rate.h"
#include "run/schedule/run.h"
#include <stdio.h>

typedef struct progress {
    FILE *out;
    bool live;  /* out is a terminal */
    bool quiet; /* only what goes wrong */
    batches batches;
    rates rates;
    const char *told[32]; /* nodes that have had their first line */
    size_t next_told, ticks;
    int drawn; /* live lines that stand there now */
    int width; /* of the terminal */
} progress;

/* Of a plan that is about to be run; its graph is borrowed. */
void progress_open(progress *p, FILE *out, bool quiet, mf_plan *plan);
void progress_event(void *self, const mf_run_event *event); /* an mf_run_watch */
/* A line of something else than a node. */
void progress_say(progress *p, const char *text);
/* Takes the live lines away, and says what is not said yet. */
void progress_close(progress *p);

#endif
