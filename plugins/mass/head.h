/* head.h - the pooled classifier on frozen feature maps: attention pooling (or none: the mean and
 * the maximum are taken once, on the host), dropout, a linear layer, cross entropy.
 *
 * Weight names are those of the official code: pool.attention.0 and .2 (1x1x1 convolutions, C to
 * C/4 to 1), fc. */
#ifndef MF_MASS_HEAD_H
#define MF_MASS_HEAD_H

#include <massflow/program.h>

typedef struct mf_head {
    int64_t channels, classes;
    bool attention; /* pool by learned attention; else features have one site */
} mf_head;

/* Inputs features f32 [N,L,C] and, where dropout is asked for, drop f32 [N,C] (0, or 1 / (1 - p));
 * outputs pooled [N,C], logits [N,classes]. */
mf_value mf_head_logits(mf_program *p, const mf_head *head, int64_t n, int64_t sites, bool dropout);
/* The same with inputs target f32 [N,classes] and weight f32 [N]; output loss, differentiated. */
void mf_head_training(mf_program *p, const mf_head *head, int64_t n, int64_t sites, bool dropout);

/* values [C,L] (a feature map) -> pooled [C] by mean or maximum. */
void mf_head_pool(const float *values, int64_t channels, int64_t sites, bool maximum,
                  float *pooled);

#endif
