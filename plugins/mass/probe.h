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
    int64_t stop; /* ends after this many epochs, on the schedule of all; 0: after all */
    double rate, last_rate, weight_decay, dropout;
    bool balance; /* classes weigh n / (classes * count), within 0.1 .. 10 */
    uint64_t seed;
    /* Before the first epoch of this start, and what is done of one by now, 0 to 1; may be NULL. */
    void (*begin)(void *user, int64_t epoch);
    void (*part)(void *user, double part);
    /* After each epoch, may be NULL; its error stops the training. */
    mf_status (*step)(void *user, int64_t epoch, double loss);
    /* States, may be NULL. `resume`, before the first epoch, gives what was saved after *epoch of
     * them, or NULL; `due`: whether to save after `epoch` of them. One is saved as well when
     * training is cancelled, and, with keep, when `stop` comes before the end. */
    mf_status (*resume)(void *user, int64_t *epoch, mf_artifact **state);
    bool (*due)(void *user);
    mf_status (*save)(void *user, int64_t epoch, const mf_artifact *state, bool keep);
    void *user;
} mf_probe;

/* What its weights, programs and the optimizer take of the memory of a device like `device`: head,
 * sites and batch are read. */
MF_MUST_USE mf_status mf_probe_count(const mf_probe *o, mf_device *device, size_t *bytes);
/* Draws the head's weights, trains them, and gives probabilities [test->n, classes]. */
MF_MUST_USE mf_status mf_probe_run(const mf_probe *o, mf_weights *w, const mf_probe_set *train,
                                   const mf_probe_set *test, double *probability);

#endif
