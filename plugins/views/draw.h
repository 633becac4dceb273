/* draw.h - which sample an item of the stream shows. */
#ifndef MF_VIEWS_DRAW_H
#define MF_VIEWS_DRAW_H

#include <massflow/error.h>
#include <massflow/random.h>

#include <stdbool.h>

/* lo..hi, both included; lo where hi is less. */
int64_t mf_draw_between(mf_random *random, int64_t lo, int64_t hi);
/* Each of n samples once a round: the i-th. `shuffle`: in an order that only seed and round decide.
 */
MF_MUST_USE mf_status mf_draw_each(bool shuffle, uint64_t seed, int64_t n, int64_t i,
                                   int64_t *sample);
/* With replacement: sample k with probability weight[k] / (sum of all), for item i. Weights are
 * finite, none is negative; -1 where all are 0. (PyTorch: WeightedRandomSampler.) */
int64_t mf_draw_weighted(uint64_t seed, const double *weight, int64_t n, int64_t i);

#endif
