/* stop.h - whether the work that a thread does is to stop: programs ask between their launches.
 *
 * A thread works for one task at a time; who starts it there says whom to ask. */
#ifndef MF_COMPUTE_STOP_H
#define MF_COMPUTE_STOP_H

#include <massflow/error.h>

typedef struct mf_stop {
    mf_status (*ask)(void *self); /* MF_OK to go on; NULL: there is nobody to ask */
    void *self;
} mf_stop;

/* From now on the calling thread asks `stop`; returns whom it asked before, to be set again. */
mf_stop mf_stop_set(mf_stop stop);
/* What the calling thread is told. */
MF_MUST_USE mf_status mf_stop_ask(void);

#endif
