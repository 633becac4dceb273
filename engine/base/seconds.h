/* seconds.h - the clock by which durations are measured. */
#ifndef MASSFLOW_BASE_SECONDS_H
#define MASSFLOW_BASE_SECONDS_H

/* Seconds since an arbitrary moment; never goes back, and goes on while the process is stopped (see
 * run/clock.h for one that does not). */
double mf_seconds(void);

#endif
