/* clock.c - see clock.h. */
#include "run/clock.h"

#include <pthread.h>
#include <time.h>

#define MOST_GAP 0.5

double mf_run_clock(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static double running, last = -1;
    struct timespec t;
    double now, gap, result;

    pthread_mutex_lock(&lock);
    clock_gettime(CLOCK_MONOTONIC, &t);
    now = (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    gap = last < 0 ? 0 : now - last;
    running += gap > MOST_GAP ? MOST_GAP : gap;
    last = now;
    result = running;
    pthread_mutex_unlock(&lock);
    return result;
}
