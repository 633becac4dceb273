/* contrast.c - what contrastive losses are made of. */
#include "contrast.h"
#include "../common/layers.h"

#include <math.h>

/* x and -x have the mean 0 and the variance |x|^2 / C, so what their norm leaves of x is x / |x|,
 * times the root of C. */
mf_value mf_contrast_unit(mf_program *p, mf_value x)
{
    const int64_t rows = mf_dim(p, x, 0), c = mf_dim(p, x, 1);
    mf_value both = mf_concat(p, x, mf_scale(p, x, -1), 1);
    both = mf_instance_norm(p, mf_reshape(p, both, SHAPE(rows, 2 * c, 1)), 1e-24f);
    both = mf_slice(p, mf_reshape(p, both, SHAPE(rows, 2 * c)), 1, 0, c);
    return mf_scale(p, both, (float)(1 / sqrt((double)c)));
}

mf_value mf_contrast_batch_norm(mf_program *p, mf_value x)
{
    const int64_t rows = mf_dim(p, x, 0), c = mf_dim(p, x, 1);
    x = mf_instance_norm(p, mf_reshape(p, x, SHAPE(1, rows, c)), 1e-5f);
    return mf_reshape(p, x, SHAPE(rows, c));
}

mf_value mf_contrast_project(mf_program *p, mf_value x, int64_t hidden, int64_t dim)
{
    mf_scope(p, "head");
    x = mf_relu(p, mf_layer_linear(p, "fc1", x, hidden ? hidden : mf_dim(p, x, -1)));
    x = mf_layer_linear(p, "fc2", x, dim);
    mf_scope_end(p);
    return x;
}

bool mf_contrast_same(uint64_t a, uint64_t b)
{
    return a && a == b;
}

double mf_contrast_accuracy(const float *logits, int64_t rows, int64_t columns,
                            const int64_t *target)
{
    int64_t right = 0;
    for (int64_t i = 0; i < rows; i++) {
        int64_t best = 0;
        for (int64_t k = 1; k < columns; k++)
            if (logits[i * columns + k] > logits[i * columns + best])
                best = k;
        right += best == target[i];
    }
    return (double)right / (double)rows;
}

mf_status mf_negatives_count(mf_negatives *n, const mf_baseline *b, int64_t i, bool any,
                             const mf_baseline_pair *pairs)
{
    enum { ENOUGH = 8 };
    const int64_t last = b->params->stop_at >= 0 ? b->params->stop_at : b->params->steps;
    n->met |= any;
    n->without += !any;
    if (n->met || b->counting || (n->without < ENOUGH && i + 1 < last))
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID,
                           "all pairs of the first %lld steps show one scan, %s: there is nothing "
                           "to contrast it with",
                           (long long)n->without, pairs->sample),
                   "more scans; or same_scan_negatives: true, and views of other places are "
                   "negatives");
}
