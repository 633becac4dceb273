/* contrast.h - what contrastive losses are made of: unit vectors, which rows are compared. */
#ifndef MF_BASELINES_CONTRAST_H
#define MF_BASELINES_CONTRAST_H

#include "method.h"

/* Each row of x [R,C] to length 1 (F.normalize). */
mf_value mf_contrast_unit(mf_program *p, mf_value x);
/* Batch normalization of x [R,C] by the batch's own mean and variance, without gain and bias. */
mf_value mf_contrast_batch_norm(mf_program *p, mf_value x);

/* The same with gain and bias, the weights `name`.weight and `name`.bias [C]. */
mf_value mf_contrast_batch_norm_learned(mf_program *p, const char *name, mf_value x);

/* z = W2 ReLU(W1 x + b1) + b2, the projection head of SimCLR and MoCo v2: [R,C] -> [R,dim], weights
 * head.fc1 and head.fc2. hidden 0: C. */
mf_value mf_contrast_project(mf_program *p, mf_value x, int64_t hidden, int64_t dim);

/* Linear layer without bias, batch norm with gain and bias, ReLU, linear layer without bias: [R,C]
 * -> [R,dim]; the batch norm sees all R rows. Weights of `name`: fc1, norm1, fc2. */
mf_value mf_contrast_batch_mlp(mf_program *p, const char *name, mf_value x, int64_t hidden,
                               int64_t dim);
/* The head of SimCLR's code: such layers, named head, and a batch norm with a gain (head.norm2)
 * after them. hidden 0: C. */
mf_value mf_contrast_project_normed(mf_program *p, mf_value x, int64_t hidden, int64_t dim);

/* What is added to a similarity that takes no part. */
#define MF_CONTRAST_NEVER (-1e9f)
/* Whether both show one scan, which is known. */
bool mf_contrast_same(uint64_t a, uint64_t b);

/* Ends a loss program: cross entropy of logits [rows,columns], with the inputs bias and target of
 * that shape and weight [rows]; outputs logits, loss, and gradient (of `features`). */
void mf_contrast_loss(mf_program *p, mf_value features, mf_value logits, int64_t rows,
                      int64_t columns);

/* Sets the input `target` [rows,columns] of a loss: one-hot rows. */
MF_MUST_USE mf_status mf_contrast_set_targets(mf_executable *e, int64_t rows, int64_t columns,
                                              const int64_t *target);
/* Sets the input `weight` [rows] of a loss: 1 for rows that have a negative, 0 for others. Where no
 * row has one all have 1: the loss is 0. weights NULL: all 1. */
MF_MUST_USE mf_status mf_contrast_set_weights(mf_executable *e, int64_t rows, const float *weights);
/* Each of `rows` rows of logits [columns] that has a weight (all where it is NULL) against the
 * place of the largest; the share that is right. NaN where no row has one. */
double mf_contrast_accuracy(const float *logits, int64_t rows, int64_t columns,
                            const int64_t *target, const float *weights);

/* The parameter that tells whether pairs of one scan are negatives of each other. */
#define MF_CONTRAST_SAME_SCAN(s)                                                                   \
    MF_BOOL(s, same_scan_negatives, "false",                                                       \
            "Whether views of other pairs that show the same scan are negatives, as they are in "  \
            "the paper's loss. It makes a difference where the batch has several pairs of one "    \
            "scan.")

/* Steps whose batches had no negatives. */
typedef struct mf_negatives {
    int64_t steps, without, met; /* counted; of these, without any; with some */
} mf_negatives;
/* Counts step i, of a batch in which `any` row had a negative, once. An error where no batch had:
 * in the first eight steps, or in all of the schedule, however often it is stopped. */
MF_MUST_USE mf_status mf_negatives_count(mf_negatives *n, const mf_baseline *b, int64_t i, bool any,
                                         const mf_baseline_pair *pairs);
MF_MUST_USE mf_status mf_negatives_save(const mf_negatives *n, mf_artifact *state);
MF_MUST_USE mf_status mf_negatives_load(mf_negatives *n, const mf_artifact *state);

#endif
