/* range.h - what values a volume has, from a sample of it: enough to choose a window. */
#ifndef MASSFLOW_DESK_RANGE_H
#define MASSFLOW_DESK_RANGE_H

#include "source.h"

/* Percents of the values. */
#define DESK_PERCENTS(X) X(0.5) X(1) X(2) X(5) X(25) X(50) X(75) X(95) X(98) X(99) X(99.5)
enum {
#define X(percent) +1
    DESK_PERCENT_COUNT = 0 DESK_PERCENTS(X)
#undef X
};

typedef struct desk_range {
    double min, max; /* of the sample */
    double at[DESK_PERCENT_COUNT];
    int64_t values;     /* finite ones in the sample; 0: all else is 0 */
    int64_t not_finite; /* in the sample */
} desk_range;

/* Of a volume. At most 27 boxes spread over it are read; a small volume is read whole. */
MF_MUST_USE mf_status desk_range_of(const desk_source *source, desk_range *range);

#endif
