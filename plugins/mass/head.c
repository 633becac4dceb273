/* head.c - the pooled classifier as a tensor program. */
#include "head.h"
#include "../common/layers.h"

/* A 1x1x1 convolution is a linear layer whose weight has three more axes. */
static mf_value pointwise(mf_program *p, const char *name, mf_value x, int64_t channels)
{
    mf_scope(p, "%s", name);
    int64_t c = mf_dim(p, x, -1);
    mf_value w = mf_weight(p, "weight", SHAPE(channels, c, 1, 1, 1));
    mf_value b = mf_weight(p, "bias", SHAPE(channels));
    x = mf_linear(p, x, mf_reshape(p, w, SHAPE(channels, c)), b);
    mf_scope_end(p);
    return x;
}

/* x [N,L,C] -> [N,C], sites weighted by a softmax over what a small network says of each. */
static mf_value attention_pool(mf_program *p, mf_value x)
{
    int64_t n = mf_dim(p, x, 0), sites = mf_dim(p, x, 1), c = mf_dim(p, x, 2);
    mf_scope(p, "pool.attention");
    mf_value a = pointwise(p, "2", mf_relu(p, pointwise(p, "0", x, c / 4)), 1);
    a = mf_softmax(p, mf_reshape(p, a, SHAPE(n, sites)));
    x = mf_matmul_nn(p, mf_reshape(p, a, SHAPE(n, 1, sites)), x);
    mf_scope_end(p);
    return mf_reshape(p, x, SHAPE(n, c));
}

mf_value mf_head_logits(mf_program *p, const mf_head *head, int64_t n, int64_t sites, bool dropout)
{
    int64_t c = head->channels;
    mf_value x = mf_input(p, "features", MF_F32, SHAPE(n, sites, c));
    x = head->attention ? attention_pool(p, x) : mf_reshape(p, x, SHAPE(n, c));
    mf_output(p, "pooled", x);
    if (dropout)
        x = mf_mul(p, x, mf_input(p, "drop", MF_F32, SHAPE(n, c)));
    mf_value w = mf_weight(p, "fc.weight", SHAPE(head->classes, c));
    mf_value b = mf_weight(p, "fc.bias", SHAPE(head->classes));
    mf_value logits = mf_linear(p, x, w, b);
    mf_output(p, "logits", logits);
    return logits;
}

void mf_head_training(mf_program *p, const mf_head *head, int64_t n, int64_t sites, bool dropout)
{
    mf_value logits = mf_head_logits(p, head, n, sites, dropout);
    mf_value target = mf_input(p, "target", MF_F32, SHAPE(n, head->classes));
    mf_value weight = mf_input(p, "weight", MF_F32, SHAPE(n));
    mf_value loss = mf_cross_entropy(p, logits, target, weight);
    mf_output(p, "loss", loss);
    mf_differentiate(p, loss);
}

void mf_head_pool(const float *values, int64_t channels, int64_t sites, bool maximum, float *pooled)
{
    for (int64_t c = 0; c < channels; c++) {
        const float *v = values + c * sites;
        double sum = 0;
        float most = v[0];
        for (int64_t i = 0; i < sites; i++) {
            sum += (double)v[i];
            most = v[i] > most ? v[i] : most;
        }
        pooled[c] = maximum ? most : (float)(sum / (double)sites);
    }
}
