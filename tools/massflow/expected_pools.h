/* expected_pools.h - how long a plan will take with workers of pools, for 'massflow plan --pool'.
 */
#ifndef MF_EXPECTED_POOLS_H
#define MF_EXPECTED_POOLS_H

#include "expected.h"

/* Prints a table for each pool of --pool: 1, 2, 4, ... workers beside `slots` here, up to the most
 * that it may have. 0, or an exit code after printing why not. */
int expected_with_pools(const args *a, mf_plan *plan, const mf_past_times *past, int slots,
                        const expected_total *total);

#endif
