/* probe.h - trains the pooled classifier on feature maps in memory. */
#ifndef MF_MASS_PROBE_H
#define MF_MASS_PROBE_H

#include "head.h"
#include <massflow/compute.h>

typedef struct mf_probe_set {
    float *x;       /* [n, sites, channels] */
    int64_t *truth; /* [n] */
    int64_t n;
} mf_probe_set;

typedef struct mf_probe {
    mf_head head;
    int64_t sites;
    int64_t epochs, batch;
    double rate, last_rate, weight_decay, dropout;
    bool balance; /* classes weigh n / (classes * count), within 0.1 .. 10 */
    uint64_t seed;
    /* After each epoch, may be NULL; its error stops the training. */
    mf_status (*step)(void *user, int64_t epoch, double loss);
    void *user;
} mf_probe;

/* Draws the head's weights, trains them, and gives probabilities [test->n, classes]. */
MF_MUST_USE mf_status mf_probe_run(const mf_probe *o, mf_weights *w, const mf_probe_set *train,
                                   const mf_probe_set *test, double *probability);

#endif
