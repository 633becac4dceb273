/* expected.h - how long a plan will take, by what its stages took in earlier runs. */
#ifndef MF_EXPECTED_H
#define MF_EXPECTED_H

#include "workspace.h"

typedef struct past_times {
    double median; /* seconds a node */
    size_t count;  /* nodes in earlier runs that it is the median of; 0: not known */
    bool imported; /* not of runs here, but of imported results of the stage */
} past_times;

/* One for each stage of the graph; the caller frees. */
mf_status expected_read(workspace *w, past_times **past);

typedef struct expected_total {
    double seconds; /* of what is known */
    size_t run, undecided;
    size_t unknown; /* of those, nodes of stages that never ran */
} expected_total;

/* Roughly: no less than the longest way down, nor than all work over all slots, where what wants a
 * device takes all of them, as it does on a CPU. */
mf_status expected_all(mf_plan *plan, const past_times *past, int slots, expected_total *total);

#endif
