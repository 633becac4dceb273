/* seconds.h - the one clock by which durations are measured. */
#ifndef MASSFLOW_SECONDS_H
#define MASSFLOW_SECONDS_H

#include <massflow/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Seconds since an arbitrary moment. It never goes back, and goes on while the process is stopped.
 */
MF_API double mf_seconds(void);

#ifdef __cplusplus
}
#endif
#endif
