/* moco_parts.h - what both versions of MoCo are made of; moco_v2.c and moco_v3.c alone include it.
 * Rows of v2 are the query views of a batch; rows of v3 are both views, references first. */
#ifndef MF_BASELINES_MOCO_PARTS_H
#define MF_BASELINES_MOCO_PARTS_H

#include "contrast.h"
#include "moco_params.h"
#include "momentum.h"

/* The first field of a version's own state. */
typedef struct mf_moco {
    mf_encoder encoder;
    mf_momentum slow;
    mf_executable *loss;
    float *features, *gradient; /* [rows,C] */
    float *keys;                /* [rows,dim] */
    float *logits, *bias;       /* v2: [B,1+bank]; v3: [B,B], of one direction */
    int64_t *target;            /* [B] */
    float *weight;              /* [B]: 1 where a row has a negative, else 0 */
    mf_negatives negatives;
} mf_moco;

const mf_moco_params *mf_moco_params_of(const mf_baseline *b);
int64_t mf_moco_channels(const mf_baseline *b); /* of the features */

/* q, k [B,D] and [N,D] -> cosine similarities by the temperature, [B,N] */
mf_value mf_moco_similarities(mf_program *p, const mf_moco_params *o, mf_value q, mf_value k);

/* Room for `rows` images and [B,columns] logits. */
MF_MUST_USE mf_status mf_moco_allocate(mf_baseline *b, int64_t rows, int64_t columns);
/* Programs of the query encoder and of the keys of `views` of each pair, and the loss. */
MF_MUST_USE mf_status mf_moco_open(mf_baseline *b, int views, mf_momentum_head keys,
                                   mf_encoded_loss loss);
void mf_moco_close(mf_baseline *b);

/* The keys of these views, by the slow encoder. */
MF_MUST_USE mf_status mf_moco_encode_keys(mf_baseline *b, const mf_baseline_pair *pairs,
                                          const mf_which_view *view, int views);
/* The loss of the features that are there, then its gradient through the encoder. */
MF_MUST_USE mf_status mf_moco_learn_rows(mf_baseline *b, const mf_baseline_pair *pairs,
                                         const mf_which_view *view, int views, int64_t columns,
                                         double *values);

MF_MUST_USE mf_status mf_moco_save_negatives(mf_baseline *b, mf_artifact *state);
MF_MUST_USE mf_status mf_moco_load_negatives(mf_baseline *b, const mf_artifact *state);

/* Of `views` images of each pair and [B,columns] logits: features of both encoders, gradients,
 * keys; logits, biases and, for a moment, targets. */
size_t mf_moco_host_bytes(const mf_baseline_params *o, const mf_iris *iris, size_t views,
                          size_t columns);

extern const char *const mf_moco_columns[];

#endif
