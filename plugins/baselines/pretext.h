/* pretext.h - what a crop becomes before it is restored: the inputs of a program of restoration.h.
 */
#ifndef MF_BASELINES_PRETEXT_H
#define MF_BASELINES_PRETEXT_H

#include "genesis.h"
#include "masking.h"
#include "restoration.h"

#include <stdbool.h>

typedef struct mf_pretext {
    mf_restoration_kind kind;
    int64_t crop[3];    /* z y x */
    mf_masking masking; /* of masked reconstruction; its crop is the same */
    bool normalize;     /* the target, patch by patch */
    mf_genesis genesis; /* of Models Genesis */
    uint64_t seed;      /* of masks and distortions */
    double share;       /* of the crop in the loss of its batch */
} mf_pretext;

/* The rules of the kind. */
MF_MUST_USE mf_status mf_pretext_check(const mf_pretext *t);
/* Sets the inputs of a program of mf_restoration_loss for the item-th crop of a stream, f32 [crop].
 */
MF_MUST_USE mf_status mf_pretext_set(const mf_pretext *t, int64_t item, const float *crop,
                                     mf_executable *program);

#endif
