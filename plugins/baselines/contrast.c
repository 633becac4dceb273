/* contrast.c - what contrastive losses are made of. */
#include "contrast.h"
#include "../common/layers.h"
#include "../mass/state.h"

#include <math.h>
#include <stdlib.h>

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

mf_value mf_contrast_batch_norm_learned(mf_program *p, const char *name, mf_value x)
{
    const int64_t c = mf_dim(p, x, 1);
    mf_scope(p, "%s", name);
    x = mf_mul_rows(p, mf_contrast_batch_norm(p, x), mf_weight(p, "weight", SHAPE(c)));
    x = mf_add_rows(p, x, mf_weight(p, "bias", SHAPE(c)));
    mf_scope_end(p);
    return x;
}

mf_value mf_contrast_project(mf_program *p, mf_value x, int64_t hidden, int64_t dim)
{
    mf_scope(p, "head");
    x = mf_relu(p, mf_layer_linear(p, "fc1", x, hidden ? hidden : mf_dim(p, x, -1)));
    x = mf_layer_linear(p, "fc2", x, dim);
    mf_scope_end(p);
    return x;
}

static mf_value normed_mlp(mf_program *p, mf_value x, int64_t hidden, int64_t dim)
{
    x = mf_linear(p, x, mf_weight(p, "fc1.weight", SHAPE(hidden, mf_dim(p, x, 1))), MF_NONE);
    x = mf_relu(p, mf_contrast_batch_norm_learned(p, "norm1", x));
    return mf_linear(p, x, mf_weight(p, "fc2.weight", SHAPE(dim, hidden)), MF_NONE);
}

mf_value mf_contrast_batch_mlp(mf_program *p, const char *name, mf_value x, int64_t hidden,
                               int64_t dim)
{
    mf_scope(p, "%s", name);
    x = normed_mlp(p, x, hidden, dim);
    mf_scope_end(p);
    return x;
}

mf_value mf_contrast_project_normed(mf_program *p, mf_value x, int64_t hidden, int64_t dim)
{
    mf_scope(p, "head");
    x = mf_contrast_batch_norm(p, normed_mlp(p, x, hidden ? hidden : mf_dim(p, x, -1), dim));
    x = mf_mul_rows(p, x, mf_weight(p, "norm2.weight", SHAPE(dim)));
    mf_scope_end(p);
    return x;
}

bool mf_contrast_same(uint64_t a, uint64_t b)
{
    return a && a == b;
}

void mf_contrast_loss(mf_program *p, mf_value features, mf_value logits, int64_t rows,
                      int64_t columns)
{
    const mf_value compared = mf_add(p, logits, mf_input(p, "bias", MF_F32, SHAPE(rows, columns)));
    const mf_value loss =
        mf_cross_entropy(p, compared, mf_input(p, "target", MF_F32, SHAPE(rows, columns)),
                         mf_input(p, "weight", MF_F32, SHAPE(rows)));
    mf_output(p, "logits", compared);
    mf_output(p, "loss", loss);
    mf_differentiate(p, loss);
    mf_output(p, "gradient", mf_gradient(p, features));
}

mf_status mf_contrast_set_targets(mf_executable *e, int64_t rows, int64_t columns,
                                  const int64_t *target)
{
    float *one_hot = calloc((size_t)(rows * columns), sizeof *one_hot);
    if (!one_hot)
        return mf_no_memory((size_t)(rows * columns) * sizeof *one_hot, "targets");
    for (int64_t i = 0; i < rows; i++)
        one_hot[i * columns + target[i]] = 1;
    mf_status status = mf_executable_set(e, "target", one_hot);
    free(one_hot);
    return status;
}

mf_status mf_contrast_set_weights(mf_executable *e, int64_t rows, const float *weights)
{
    bool any = false;
    float *ones = malloc((size_t)rows * sizeof *ones);
    if (!ones)
        return mf_no_memory((size_t)rows * sizeof *ones, "weights of rows");
    for (int64_t i = 0; i < rows; i++) {
        ones[i] = 1;
        any |= weights && weights[i] > 0;
    }
    mf_status status = mf_executable_set(e, "weight", any ? weights : ones);
    free(ones);
    return status;
}

double mf_contrast_accuracy(const float *logits, int64_t rows, int64_t columns,
                            const int64_t *target, const float *weights)
{
    int64_t right = 0, all = 0;
    for (int64_t i = 0; i < rows; i++) {
        int64_t best = 0;
        if (weights && weights[i] <= 0)
            continue;
        for (int64_t k = 1; k < columns; k++)
            if (logits[i * columns + k] > logits[i * columns + best])
                best = k;
        right += best == target[i];
        all++;
    }
    return all ? (double)right / (double)all : (double)NAN;
}

mf_status mf_negatives_count(mf_negatives *n, const mf_baseline *b, int64_t i, bool any,
                             const mf_baseline_pair *pairs)
{
    enum { ENOUGH = 8 };
    if (b->counting || i < n->steps) /* again, after a stop within the step */
        return MF_OK;
    n->steps = i + 1;
    n->met += any;
    n->without += !any;
    if (n->met || (n->without < ENOUGH && i + 1 < b->params->steps))
        return MF_OK;
    const char *sample = pairs->sample;
    return mf_hint(mf_fail(MF_INVALID,
                           "all pairs of the first %lld steps show one scan%s%s: there is nothing "
                           "to contrast it with",
                           (long long)(i + 1), sample ? ", " : "", sample ? sample : ""),
                   "more scans; or same_scan_negatives: true, and views of other places are "
                   "negatives");
}

mf_status mf_negatives_save(const mf_negatives *n, mf_artifact *state)
{
    const int64_t values[3] = {n->steps, n->without, n->met};
    return mf_state_put(state, "negatives", MF_I64, 3, values);
}

mf_status mf_negatives_load(mf_negatives *n, const mf_artifact *state)
{
    int64_t values[3];
    MF_TRY(mf_state_get(state, "negatives", MF_I64, 3, values));
    *n = (mf_negatives){values[0], values[1], values[2]};
    return MF_OK;
}
