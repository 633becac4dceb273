/* notices.h - lines that other threads have for users of a run: kept until the thread that shows
 * the run has time for them, so that they do not fall into its live lines. */
#ifndef MF_NOTICES_H
#define MF_NOTICES_H

#include <massflow/error.h>

#include <stdbool.h>

typedef struct notices notices;

notices *notices_new(void); /* NULL where memory is short */
void notices_free(notices *n);

/* From any thread. */
void notices_put(void *notices, const char *text); /* an mf_workers_options.tell */
void notices_warn(void *notices,
                  const char *text); /* an mf_pools_options.say: something is wrong */
/* The oldest one, for free(); NULL: there is none. */
char *notices_take(notices *n, bool *wrong);

#endif
