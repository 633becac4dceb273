/* expected.h - how long a plan will take, by what its stages took in earlier runs. */
#ifndef MF_EXPECTED_H
#define MF_EXPECTED_H

#include "workspace.h"

/* One for each stage of the graph; the caller frees. */
MF_MUST_USE mf_status expected_read(workspace *w, mf_past_times **past);

typedef struct expected_total {
    double host, device; /* s of what is known: of nodes that want no device, and of others */
    double longest;      /* s of the critical path */
    size_t run, undecided;
    size_t unknown; /* of those, nodes of stages that never ran */
} expected_total;

MF_MUST_USE mf_status expected_all(mf_plan *plan, const mf_past_times *past, expected_total *total);
/* How long that takes, roughly: no less than the critical path, nor than all work over all slots,
 * where what wants a device takes all slots beside it, as it does on a CPU. */
double expected_seconds(const expected_total *total, double slots, double devices);

#endif
