/* head.h - the classifier on feature maps: pooling, dropout, a linear layer, and its loss.
 *
 * Weight names are those of the official code: pool.attention.0 and .2 (1x1x1 convolutions, C to
 * C/4 to 1), fc. */
#ifndef MF_MASS_HEAD_H
#define MF_MASS_HEAD_H

#include <massflow/program.h>

typedef enum mf_pooling {
    MF_POOL_NONE, /* fc sees all sites: [L,C] as one row, channels last */
    MF_POOL_ATTENTION,
    MF_POOL_MEAN,
    MF_POOL_MAX
} mf_pooling;

typedef struct mf_head {
    int64_t channels, classes;
    mf_pooling pooling;
    bool multi_label; /* classes are independent of each other; else each case has one */
} mf_head;

/* The words of parameters and attributes. */
#define MF_POOLINGS "attention|mean|max|none"
mf_pooling mf_pooling_of(const char *word); /* MF_POOL_NONE for any other */

/* Numbers per case that dropout and fc see, of maps of `sites`. */
int64_t mf_head_width(const mf_head *head, int64_t sites);
/* features [N,L,C] and drop [N,width] (0, or 1 / (1 - p)) or MF_NONE -> logits [N,classes]; output
 * pooled [N,width], logits. */
mf_value mf_head_apply(mf_program *p, const mf_head *head, mf_value features, mf_value drop);
/* Input drop f32 [N,width], for mf_head_apply. */
mf_value mf_head_drop(mf_program *p, const mf_head *head, int64_t n, int64_t sites);
/* Inputs target and weight, output loss [1], the weighted mean of the rows' losses. One label:
 * target f32 [N,classes], one-hot, weight f32 [N]. Multi-label: a row for each case and class,
 * target f32 [N*classes,2]: 1 - y, and y times the weight of positives (BCEWithLogitsLoss and its
 * pos_weight); weight f32 [N*classes]. */
mf_value mf_head_loss(mf_program *p, const mf_head *head, mf_value logits);

/* Inputs features f32 [N,L,C] and, where dropout is asked for, drop; outputs pooled, logits. */
mf_value mf_head_logits(mf_program *p, const mf_head *head, int64_t n, int64_t sites, bool dropout);
/* The same with the loss, differentiated. */
void mf_head_training(mf_program *p, const mf_head *head, int64_t n, int64_t sites, bool dropout);

/* values [C,L] (a feature map) -> pooled [C] by mean or maximum. */
void mf_head_pool(const float *values, int64_t channels, int64_t sites, bool maximum,
                  float *pooled);

#endif
