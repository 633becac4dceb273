/* checkpoints.h - what a long stage saves of itself, so that it can go on where it was stopped.
 *
 * A checkpoint is named by the key of the stage's state (an action's key without what a longer run
 * may change) and by a step. Its artifact is packed, and its chunks are its own: other than those
 * of results they are never shared, so that the large and short-lived data of a checkpoint goes
 * from the files the moment that a newer one takes its place. */
#ifndef MASSFLOW_STORE_CHECKPOINTS_H
#define MASSFLOW_STORE_CHECKPOINTS_H

#include "store/store.h"

/* `seconds`: how long the stage has worked so far, over all its starts.
 *
 * Saves `state` (dense arrays only; no attribute's name begins with a dot) and returns when it is
 * committed. Of the older ones of that key only the newest stays, for the case that this one turns
 * out damaged. */
MF_MUST_USE mf_status mf_store_checkpoint_save(mf_store *store, const char *key, int64_t step,
                                               double seconds, const mf_artifact *state);
/* The newest of at most step `most`, whole in memory, and its step; *state NULL where there is
 * none. MF_CORRUPT or MF_NOT_FOUND, with *step set, where its data is damaged or gone: an older one
 * may be sound. */
MF_MUST_USE mf_status mf_store_checkpoint_load(mf_store *store, const char *key, int64_t most,
                                               int64_t *step, double *seconds, mf_artifact **state);
/* Drops all of at most step `most` but the one of step `keep` (-1: none is kept). */
MF_MUST_USE mf_status mf_store_checkpoint_drop(mf_store *store, const char *key, int64_t most,
                                               int64_t keep);

#endif
