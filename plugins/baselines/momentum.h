/* momentum.h - a second network, whose weights are the averages (EMA) of those that learn: the key
 * encoder of MoCo, the teacher of DINO. */
#ifndef MF_BASELINES_MOMENTUM_H
#define MF_BASELINES_MOMENTUM_H

#include "encode.h"

/* The head above features [R,C]: the outputs it marks are read from mf_momentum.head. */
typedef void (*mf_momentum_head)(mf_program *p, const mf_baseline *b, mf_value features);

typedef struct mf_momentum {
    mf_weights *weights; /* encoder and head, by the names of those that learn */
    mf_encoder encoder;
    mf_executable *head; /* input features [rows,C], and what `declare` asks for */
    float *features;     /* [rows,C] */
    float *room;         /* for the largest weight */
} mf_momentum;           /* starts as {0} */

/* For `views` of each pair of a batch; b->crop is set. */
MF_MUST_USE mf_status mf_momentum_open(const mf_baseline *b, int views, mf_momentum_head declare,
                                       mf_momentum *m);
void mf_momentum_close(mf_momentum *m);
/* Takes over the averages as they are, encodes the views, and leaves the features in the head's
 * input: its other inputs are the caller's. */
MF_MUST_USE mf_status mf_momentum_encode(mf_baseline *b, mf_momentum *m,
                                         const mf_baseline_pair *pairs, const mf_which_view *view,
                                         int views);

#endif
