/* draw.c - see draw.h. */
#include "draw.h"

#include <massflow/memory.h>

#include <stdlib.h>

int64_t mf_draw_between(mf_random *random, int64_t lo, int64_t hi)
{
    return hi > lo ? lo + mf_random_below(random, hi - lo + 1) : lo;
}

mf_status mf_draw_each(bool shuffle, uint64_t seed, int64_t n, int64_t i, int64_t *sample)
{
    *sample = i % n;
    if (!shuffle || n == 1)
        return MF_OK;
    mf_random random;
    mf_random_seed(&random, seed, "round", (uint64_t)(i / n));
    int64_t *order = calloc((size_t)n, sizeof *order);
    if (!order)
        return mf_no_memory((size_t)n * sizeof *order, "shuffling %lld samples", (long long)n);
    for (int64_t j = 0; j < n; j++) { /* Fisher and Yates, inside out */
        int64_t k = mf_random_below(&random, j + 1);
        order[j] = order[k];
        order[k] = j;
    }
    *sample = order[i % n];
    free(order);
    return MF_OK;
}

int64_t mf_draw_weighted(uint64_t seed, const double *weight, int64_t n, int64_t i)
{
    double sum = 0, at = 0;
    int64_t last = -1;
    mf_random random;
    for (int64_t k = 0; k < n; k++)
        sum += weight[k];
    mf_random_seed(&random, seed, "weighted", (uint64_t)i);
    double drawn = mf_random_uniform(&random, 0, sum);
    for (int64_t k = 0; k < n; k++) {
        if (!(weight[k] > 0))
            continue;
        last = k;
        at += weight[k];
        if (drawn < at)
            return k;
    }
    return last; /* where sums were rounded */
}
