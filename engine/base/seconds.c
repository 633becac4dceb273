/* seconds.c - the clock by which durations are measured. */
#include <massflow/seconds.h>

#include <time.h>

double mf_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
