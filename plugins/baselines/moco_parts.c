/* moco_parts.c - keys of a momentum encoder, and a loss of rows against them. */
#include "moco_parts.h"
#include "../common/layers.h"

#include <stdlib.h>

const mf_moco_params *mf_moco_params_of(const mf_baseline *b)
{
    return (const mf_moco_params *)b->params;
}

int64_t mf_moco_channels(const mf_baseline *b)
{
    return mf_iris_deepest_channels(&b->iris);
}

mf_value mf_moco_similarities(mf_program *p, const mf_moco_params *o, mf_value q, mf_value k)
{
    const int64_t n = mf_dim(p, q, 0), m = mf_dim(p, k, 0), dim = mf_moco_dim(o);
    mf_value x =
        mf_matmul_nt(p, mf_reshape(p, q, SHAPE(1, n, dim)), mf_reshape(p, k, SHAPE(1, m, dim)));
    return mf_scale(p, mf_reshape(p, x, SHAPE(n, m)), (float)(1 / o->temperature));
}

mf_status mf_moco_allocate(mf_baseline *b, int64_t rows, int64_t columns)
{
    mf_moco *m = b->own;
    const size_t n = (size_t)b->params->batch_size, c = (size_t)mf_moco_channels(b);
    const size_t dim = (size_t)mf_moco_dim(mf_moco_params_of(b));
    const size_t cells = b->counting ? 1 : n * (size_t)columns; /* nothing reads them then */
    m->features = calloc((size_t)rows * c, sizeof *m->features);
    m->gradient = calloc((size_t)rows * c, sizeof *m->gradient);
    m->keys = calloc((size_t)rows * dim, sizeof *m->keys);
    m->logits = calloc(cells, sizeof *m->logits);
    m->bias = calloc(cells, sizeof *m->bias);
    m->target = calloc(n, sizeof *m->target);
    m->weight = calloc(n, sizeof *m->weight);
    return m->features && m->gradient && m->keys && m->logits && m->bias && m->target && m->weight
               ? MF_OK
               : mf_no_memory(0, "a batch of %zu pairs", n);
}

mf_status mf_moco_open(mf_baseline *b, int views, mf_momentum_head keys, mf_encoded_loss loss)
{
    mf_moco *m = b->own;
    MF_TRY(mf_encoder_open(b, b->weights, true, &m->encoder));
    MF_TRY(mf_momentum_open(b, views, keys, &m->slow));
    return mf_encoded_loss_compile(b, loss, &m->loss);
}

void mf_moco_close(mf_baseline *b)
{
    mf_moco *m = b->own;
    mf_encoder_close(&m->encoder);
    mf_momentum_close(&m->slow);
    mf_executable_free(m->loss);
    free(m->features);
    free(m->gradient);
    free(m->keys);
    free(m->logits);
    free(m->bias);
    free(m->target);
    free(m->weight);
}

mf_status mf_moco_learn_rows(mf_baseline *b, const mf_baseline_pair *pairs,
                             const mf_which_view *view, int views, int64_t columns, double *values)
{
    mf_moco *m = b->own;
    const int64_t n = b->params->batch_size;
    MF_TRY(mf_executable_set(m->loss, "keys", m->keys));
    MF_TRY(mf_executable_set(m->loss, "bias", m->bias));
    MF_TRY(mf_contrast_set_weights(m->loss, n, m->weight));
    MF_TRY(mf_encoded_loss_run(b, m->loss, views * n, m->features, &values[0], m->gradient));
    if (!b->counting)
        MF_TRY(mf_executable_get(m->loss, "logits", m->logits));
    values[1] = b->counting ? 0 : mf_contrast_accuracy(m->logits, n, columns, m->target, m->weight);
    return mf_encoder_learn(b, &m->encoder, pairs, view, views, m->gradient);
}

mf_status mf_moco_save_negatives(mf_baseline *b, mf_artifact *state)
{
    return mf_negatives_save(&((const mf_moco *)b->own)->negatives, state);
}

mf_status mf_moco_load_negatives(mf_baseline *b, const mf_artifact *state)
{
    return mf_negatives_load(&((mf_moco *)b->own)->negatives, state);
}

mf_status mf_moco_encode_keys(mf_baseline *b, const mf_baseline_pair *pairs,
                              const mf_which_view *view, int views)
{
    mf_moco *m = b->own;
    MF_TRY(mf_momentum_encode(b, &m->slow, pairs, view, views));
    MF_TRY(mf_executable_run(m->slow.head));
    return mf_executable_get(m->slow.head, "keys", m->keys);
}

size_t mf_moco_host_bytes(const mf_baseline_params *o, const mf_iris *iris, size_t views,
                          size_t columns)
{
    const size_t n = (size_t)o->batch_size, c = (size_t)mf_iris_deepest_channels(iris);
    const size_t dim = (size_t)mf_moco_dim((const mf_moco_params *)o);
    return (views * n * (3 * c + dim) + 3 * n * columns) * sizeof(float);
}

const char *const mf_moco_columns[] = {"accuracy", NULL};
