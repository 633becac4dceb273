/* clock.h - seconds that this process has been running: a clock that stands still while it is
 * stopped (Ctrl-Z, SIGSTOP), so that time-outs do not count that. */
#ifndef MASSFLOW_RUN_CLOCK_H
#define MASSFLOW_RUN_CLOCK_H

/* From any thread; of no beginning. A process that is stopped reads no clock: between two readings,
 * whichever thread they are in, it goes on by half a second at most. So something has to read it
 * more often than that: the scheduler's loop, and a worker's second thread, do. */
double mf_run_clock(void);

#endif
