/* crash.h - last words when massflow itself crashes: which nodes were running in it. */
#ifndef MF_CRASH_H
#define MF_CRASH_H

#include "run/run.h"

/* From now on a crash says so on stderr, then goes to who caught it before (a sanitizer), else ends
 * the program as it would have. Called before drivers are loaded. */
void crash_watch(void);
/* Follows a run; node names must stay where they are. */
void crash_event(const mf_run_event *event);

#endif
