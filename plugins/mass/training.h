/* training.h - a training step by step: it resumes from its last checkpoint, saves others, and
 * keeps what was learned where it is stopped or a step is not finite. */
#ifndef MF_MASS_TRAINING_H
#define MF_MASS_TRAINING_H

#include "ranks.h"

typedef struct mf_training {
    mf_task *task;
    mf_ranks *ranks;
    bool parts;                 /* a process reads its own part of a batch alone; else all of it */
    const char *port;           /* of the stream of items */
    int64_t batch;              /* items of a step */
    int64_t steps, last;        /* of the whole schedule; to do now */
    double checkpoint_interval; /* seconds */
    void *self;                 /* what the functions below are called with */
    /* Adds what there is after i steps to a state; and takes it out of one. Items are a function of
     * their place in the stream, and all else of i. */
    mf_status (*fill)(void *self, int64_t i, mf_artifact *state);
    mf_status (*take)(void *self, int64_t i, const mf_artifact *state);
    /* Step i, from 0, with the next items. */
    mf_status (*learn)(void *self, mf_stream *stream, int64_t i);
    const bool *diverged; /* set by `learn` where it fails with numbers that are not finite */
} mf_training;

/* The steps from the last checkpoint to `last`. */
MF_MUST_USE mf_status mf_training_run(const mf_training *t);

#endif
