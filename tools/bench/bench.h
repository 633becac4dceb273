/* bench.h - what every benchmark does: stops at an error, and reads the clock. */
#ifndef MF_BENCH_H
#define MF_BENCH_H

#include <massflow/error.h>
#include <massflow/seconds.h>

#include <stdio.h>
#include <stdlib.h>

static inline void check(mf_status status)
{
    if (!status)
        return;
    char *text = mf_error_text(status);
    fprintf(stderr, "benchmark: %s\n", text ? text : "out of memory");
    exit(1);
}

#endif
