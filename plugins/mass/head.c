/* head.c - the classifier on feature maps, as a tensor program. */
#include "head.h"
#include "../common/layers.h"

#include <string.h>

mf_pooling mf_pooling_of(const char *word)
{
    return !strcmp(word, "attention") ? MF_POOL_ATTENTION
           : !strcmp(word, "mean")    ? MF_POOL_MEAN
           : !strcmp(word, "max")     ? MF_POOL_MAX
                                      : MF_POOL_NONE;
}

int64_t mf_head_width(const mf_head *head, int64_t sites)
{
    return head->pooling == MF_POOL_NONE ? head->channels * sites : head->channels;
}

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

/* x [N,L,C] -> [N,C]: windows of eight sites, until one is left. Sites that come twice, to fill the
 * last window, do not move a maximum. */
static mf_value max_pool(mf_program *p, mf_value x)
{
    int64_t n = mf_dim(p, x, 0), c = mf_dim(p, x, 2), sites = mf_dim(p, x, 1);
    while (sites > 1) {
        for (int64_t rest = (8 - sites % 8) % 8; rest > 0; rest = (8 - sites % 8) % 8) {
            int64_t more = rest < sites ? rest : sites;
            x = mf_concat(p, x, mf_slice(p, x, 1, 0, more), 1);
            sites += more;
        }
        x = mf_max_pool2(p, mf_reshape(p, x, SHAPE(n, sites / 4, 2, 2, c)));
        sites /= 8;
        x = mf_reshape(p, x, SHAPE(n, sites, c));
    }
    return mf_reshape(p, x, SHAPE(n, c));
}

static mf_value pool(mf_program *p, const mf_head *head, mf_value x)
{
    switch (head->pooling) {
    case MF_POOL_ATTENTION:
        return attention_pool(p, x);
    case MF_POOL_MEAN:
        return mf_mean(p, x, 1);
    case MF_POOL_MAX:
        return max_pool(p, x);
    case MF_POOL_NONE:
        break;
    }
    return mf_reshape(p, x, SHAPE(mf_dim(p, x, 0), mf_dim(p, x, 1) * mf_dim(p, x, 2)));
}

mf_value mf_head_apply(mf_program *p, const mf_head *head, mf_value features, mf_value drop)
{
    mf_value x = pool(p, head, features);
    mf_output(p, "pooled", x);
    if (drop.id >= 0)
        x = mf_mul(p, x, drop);
    mf_value w = mf_weight(p, "fc.weight", SHAPE(head->classes, mf_dim(p, x, 1)));
    mf_value b = mf_weight(p, "fc.bias", SHAPE(head->classes));
    mf_value logits = mf_linear(p, x, w, b);
    mf_output(p, "logits", logits);
    return logits;
}

mf_value mf_head_drop(mf_program *p, const mf_head *head, int64_t n, int64_t sites)
{
    return mf_input(p, "drop", MF_F32, SHAPE(n, mf_head_width(head, sites)));
}

mf_value mf_head_loss(mf_program *p, const mf_head *head, mf_value logits)
{
    int64_t rows = mf_dim(p, logits, 0), columns = head->classes;
    if (head->multi_label) { /* against a logit of 0: softmax [0, x] is [1 - sigmoid, sigmoid] */
        rows *= columns;
        columns = 2;
        logits = mf_reshape(p, logits, SHAPE(rows, 1));
        logits = mf_concat(p, mf_scale(p, logits, 0), logits, 1);
    }
    mf_value target = mf_input(p, "target", MF_F32, SHAPE(rows, columns));
    mf_value weight = mf_input(p, "weight", MF_F32, SHAPE(rows));
    mf_value loss = mf_cross_entropy(p, logits, target, weight);
    mf_output(p, "loss", loss);
    return loss;
}

mf_value mf_head_logits(mf_program *p, const mf_head *head, int64_t n, int64_t sites, bool dropout)
{
    mf_value x = mf_input(p, "features", MF_F32, SHAPE(n, sites, head->channels));
    return mf_head_apply(p, head, x, dropout ? mf_head_drop(p, head, n, sites) : MF_NONE);
}

void mf_head_training(mf_program *p, const mf_head *head, int64_t n, int64_t sites, bool dropout)
{
    mf_differentiate(p, mf_head_loss(p, head, mf_head_logits(p, head, n, sites, dropout)));
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
