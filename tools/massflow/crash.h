/* crash.h - last words when massflow itself crashes: which nodes were running in it. */
#ifndef MF_CRASH_H
#define MF_CRASH_H

#include "run/schedule/run.h"

/* From now on a crash (run/signals.h) says so on stderr. */
void crash_watch(void);
/* Follows a run; node names must stay where they are. */
void crash_event(const mf_run_event *event);

#endif
