/* clock.c - see clock.h. */
#include "run/process/clock.h"

#include <massflow/seconds.h>

#include <pthread.h>

#define MOST_GAP 0.5

double mf_run_clock(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static double running, last = -1;
    double now, gap, result;

    pthread_mutex_lock(&lock);
    now = mf_seconds();
    gap = last < 0 ? 0 : now - last;
    running += gap > MOST_GAP ? MOST_GAP : gap;
    last = now;
    result = running;
    pthread_mutex_unlock(&lock);
    return result;
}
