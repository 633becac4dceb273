/* expected.h - how long a plan will take, by what its stages took in earlier runs. */
#ifndef MF_EXPECTED_H
#define MF_EXPECTED_H

#include "workspace.h"

/* One for each stage of the graph; the caller frees. */
MF_MUST_USE mf_status expected_read(workspace *w, mf_past_times **past);

typedef struct expected_total {
    double seconds; /* of what is known */
    size_t run, undecided;
    size_t unknown; /* of those, nodes of stages that never ran */
} expected_total;

/* Roughly: no less than the longest way down, nor than all work over all slots, where what wants a
 * device takes all of them, as it does on a CPU. */
MF_MUST_USE mf_status expected_all(mf_plan *plan, const mf_past_times *past, int slots,
                                   expected_total *total);

#endif
