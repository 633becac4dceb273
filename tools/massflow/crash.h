/* crash.h - last words when massflow itself crashes: which nodes were running in it. */
#ifndef MF_CRASH_H
#define MF_CRASH_H

#include "run/run.h"

/* From now on a crash says so on stderr before it ends the program as it would have. Leaves alone
 * what somebody else catches, such as a sanitizer. */
void crash_watch(void);
/* Follows a run; node names must stay where they are. */
void crash_event(const mf_run_event *event);

#endif
