/* events.h - the events of a run for programs: one JSON object a line (run --log json).
 *
 * docs/seeing.md lists them. Fields are added, never changed, without raising the version. */
#ifndef MF_EVENTS_H
#define MF_EVENTS_H

#include "rate.h"
#include "run/schedule/export.h"
#include "run/schedule/run.h"
#include <stdio.h>

#define EVENTS_VERSION 1

typedef struct events {
    FILE *out;
    rates rates;
    double progress; /* when progress was last told: once a second is enough */
} events;

void events_open(events *e, FILE *out);
void events_run(events *e, const mf_run_event *event);
/* What happens to workers and pools. */
void events_workers(events *e, const char *text);
void events_export(events *e, const mf_exported *file);
void events_end(events *e, const mf_run_result *result, double seconds, int exit_code);

#endif
