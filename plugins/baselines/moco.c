/* moco.c - MoCo v2 and v3. Both learn from the keys of a momentum encoder; what they share stands
 * first. Rows of v2 are the query views of a batch; rows of v3 are both views, references first. */
#include "moco.h"
#include "../common/layers.h"
#include "../mass/state.h"
#include "contrast.h"
#include "momentum.h"

#include <massflow/random.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM = -1 };

typedef struct moco {
    mf_encoder encoder;
    mf_momentum slow;
    mf_executable *loss;
    float *features, *gradient; /* [rows,C] */
    float *keys;                /* [rows,dim] */
    float *logits, *bias;       /* v2: [B,1+bank]; v3: [B,B], of one direction */
    int64_t *target;            /* [B] */
    float *weight;              /* [B]: 1 where a row has a negative, else 0 */
    mf_negatives negatives;
    /* v2: */
    float *queue;      /* [bank,dim] */
    int64_t *scans;    /* [bank], of the keys; 0: not known, RANDOM: of none */
    int64_t *incoming; /* [B], of the keys of this step */
    int64_t at;        /* where the next key goes */
} moco;

static const mf_which_view both[2] = {MF_REFERENCE, MF_QUERY};
static const mf_which_view query[1] = {MF_QUERY}, reference[1] = {MF_REFERENCE};

static const mf_moco_params *params_of(const mf_baseline *b)
{
    return (const mf_moco_params *)b->params;
}

static bool is_v3(const mf_moco_params *o)
{
    return !strcmp(o->version, "v3");
}

const mf_method *mf_moco_method(const mf_moco_params *o)
{
    return is_v3(o) ? &mf_moco_v3 : &mf_moco_v2;
}

static mf_status check_unset(const char *name, double value)
{
    return value < 0 && value > -1
               ? mf_fail(MF_INVALID, "%s is %g; it is 0 or more, or -1: the version's", name, value)
               : MF_OK;
}

mf_moco_params mf_moco_resolved(const mf_moco_params *o)
{
    mf_moco_params r = *o;
    if (r.temperature <= 0)
        r.temperature = is_v3(o) ? 1 : 0.2;
    if (r.momentum <= 0)
        r.momentum = is_v3(o) ? 0.99 : 0.999;
    if (r.shared.warmup < 0)
        r.shared.warmup = is_v3(o) ? 0.1 : 0;
    if (r.shared.weight_decay < 0)
        r.shared.weight_decay = is_v3(o) ? 1e-6 : 1e-4;
    return r;
}

mf_status mf_moco_check(const mf_moco_params *o)
{
    MF_TRY(check_unset("warmup", o->shared.warmup));
    MF_TRY(check_unset("weight_decay", o->shared.weight_decay));
    if (!is_v3(o) && o->memory_bank < o->shared.batch_size)
        return mf_fail(MF_INVALID,
                       "memory_bank is %lld, less than the %lld keys of a batch (batch_size)",
                       (long long)o->memory_bank, (long long)o->shared.batch_size);
    return MF_OK;
}

static int64_t dim_of(const mf_moco_params *o)
{
    return o->projection_dim ? o->projection_dim : is_v3(o) ? 256 : 128;
}

static int64_t channels_of(const mf_baseline *b)
{
    return b->iris.channels[MF_IRIS_DEPTHS - 1];
}

/* ---- what both share ------------------------------------------------------------------------- */

/* q, k [1,B,D] and [1,N,D] -> cosine similarities by the temperature, [B,N] */
static mf_value similarities(mf_program *p, const mf_moco_params *o, mf_value q, mf_value k)
{
    const int64_t n = mf_dim(p, q, 0), m = mf_dim(p, k, 0), dim = dim_of(o);
    mf_value x =
        mf_matmul_nt(p, mf_reshape(p, q, SHAPE(1, n, dim)), mf_reshape(p, k, SHAPE(1, m, dim)));
    return mf_scale(p, mf_reshape(p, x, SHAPE(n, m)), (float)(1 / o->temperature));
}

/* Of `rows` images, [B,columns] logits. */
static mf_status allocate(const mf_baseline *b, moco *m, int64_t rows, int64_t columns)
{
    const size_t n = (size_t)b->params->batch_size, c = (size_t)channels_of(b);
    const size_t dim = (size_t)dim_of(params_of(b));
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

static void close_programs(mf_baseline *b)
{
    moco *m = b->own;
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
    free(m->queue);
    free(m->scans);
    free(m->incoming);
}

/* The loss of the features that are there, then its gradient through the encoder. */
static mf_status learn_rows(mf_baseline *b, const mf_baseline_pair *pairs,
                            const mf_which_view *view, int views, int64_t columns, double *values)
{
    moco *m = b->own;
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

static mf_status save_negatives(mf_baseline *b, mf_artifact *state)
{
    return mf_negatives_save(&((const moco *)b->own)->negatives, state);
}

static mf_status load_negatives(mf_baseline *b, const mf_artifact *state)
{
    return mf_negatives_load(&((moco *)b->own)->negatives, state);
}

static mf_status encode_keys(mf_baseline *b, const mf_baseline_pair *pairs,
                             const mf_which_view *view, int views)
{
    moco *m = b->own;
    MF_TRY(mf_momentum_encode(b, &m->slow, pairs, view, views));
    MF_TRY(mf_executable_run(m->slow.head));
    return mf_executable_get(m->slow.head, "keys", m->keys);
}

/* ---- v2 -------------------------------------------------------------------------------------- */

static mf_value embed_v2(mf_program *p, const mf_moco_params *o, mf_value features)
{
    return mf_contrast_unit(p, mf_contrast_project(p, features, o->projection_hidden, dim_of(o)));
}

static void declare_keys_v2(mf_program *p, const mf_baseline *b, mf_value features)
{
    mf_output(p, "keys", embed_v2(p, params_of(b), features));
}

/* Inputs features [B,C], keys [B,dim], queue [bank,dim], bias and target [B,1+bank], weight [B]. */
static void declare_loss_v2(mf_program *p, const mf_baseline *b)
{
    const mf_moco_params *o = params_of(b);
    const int64_t n = o->shared.batch_size, bank = o->memory_bank, dim = dim_of(o);
    mf_value features = mf_input(p, "features", MF_F32, SHAPE(n, channels_of(b)));
    mf_value keys = mf_input(p, "keys", MF_F32, SHAPE(n, dim));
    mf_value queue = mf_input(p, "queue", MF_F32, SHAPE(bank, dim));
    mf_require_gradient(p, features);
    mf_value q = embed_v2(p, o, features);
    mf_value positive = mf_reshape(p, mf_sum(p, mf_mul(p, q, keys), 1), SHAPE(n, 1));
    positive = mf_scale(p, positive, (float)(1 / o->temperature));
    mf_value logits = mf_concat(p, positive, similarities(p, o, q, queue), 1);
    logits = mf_add(p, logits, mf_input(p, "bias", MF_F32, SHAPE(n, 1 + bank)));
    mf_value loss = mf_cross_entropy(p, logits, mf_input(p, "target", MF_F32, SHAPE(n, 1 + bank)),
                                     mf_input(p, "weight", MF_F32, SHAPE(n)));
    mf_output(p, "logits", logits);
    mf_output(p, "loss", loss);
    mf_differentiate(p, loss);
    mf_output(p, "gradient", mf_gradient(p, features));
}

static mf_status declare_v2(mf_baseline *b)
{
    return mf_encoded_loss_declare(b, declare_loss_v2);
}

/* Random unit vectors of no scan, as the official code begins. */
static void draw_queue(const mf_baseline *b, moco *m)
{
    const int64_t dim = dim_of(params_of(b));
    mf_random random;
    mf_random_seed(&random, (uint64_t)b->params->seed, "queue", 0);
    for (int64_t i = 0; i < params_of(b)->memory_bank; i++) {
        float *key = m->queue + i * dim;
        double square = 0;
        m->scans[i] = RANDOM;
        for (int64_t k = 0; k < dim; k++) {
            key[k] = (float)mf_random_normal(&random);
            square += (double)key[k] * (double)key[k];
        }
        for (int64_t k = 0; k < dim; k++)
            key[k] = (float)((double)key[k] / sqrt(square));
    }
}

static mf_status make_queue(mf_baseline *b)
{
    moco *m = b->own;
    const size_t bank = (size_t)params_of(b)->memory_bank;
    if (m->queue || b->counting) /* it may be large, and nothing reads it then */
        return MF_OK;
    m->queue = calloc(bank * (size_t)dim_of(params_of(b)), sizeof *m->queue);
    m->scans = calloc(bank, sizeof *m->scans);
    m->incoming = calloc((size_t)b->params->batch_size, sizeof *m->incoming);
    if (!m->queue || !m->scans || !m->incoming)
        return mf_no_memory(0, "a memory bank of %zu keys", bank);
    draw_queue(b, m);
    return MF_OK;
}

mf_status mf_moco_set_queue(mf_baseline *b, const float *keys)
{
    moco *m = b->own;
    MF_TRY(make_queue(b));
    memcpy(m->queue, keys,
           (size_t)(params_of(b)->memory_bank * dim_of(params_of(b))) * sizeof *keys);
    return MF_OK;
}

static mf_status open_v2(mf_baseline *b)
{
    moco *m = b->own;
    const int64_t n = b->params->batch_size, columns = 1 + params_of(b)->memory_bank;
    MF_TRY(make_queue(b));
    MF_TRY(allocate(b, m, n, columns));
    MF_TRY(mf_encoder_open(b, b->weights, true, &m->encoder));
    MF_TRY(mf_momentum_open(b, 1, declare_keys_v2, &m->slow));
    MF_TRY(mf_encoded_loss_compile(b, declare_loss_v2, &m->loss));
    return b->counting ? MF_OK /* column 0: its own key */
                       : mf_contrast_set_targets(m->loss, n, columns, m->target);
}

/* Which keys each row is compared with. *any: one has a negative beside the random keys of the
 * beginning. *known: there are other keys than these. */
static void fill_bias_v2(const mf_baseline *b, moco *m, const mf_baseline_pair *pairs, bool *any,
                         bool *known)
{
    const mf_moco_params *o = params_of(b);
    const int64_t n = o->shared.batch_size, bank = o->memory_bank;
    *any = *known = false;
    for (int64_t r = 0; r < n; r++) {
        m->incoming[r] = (int64_t)pairs[r].scan;
        m->weight[r] = 0;
        *any |= r > 0 && !mf_contrast_same(pairs[r].scan, pairs[0].scan);
        for (int64_t k = 0; k < bank; k++) {
            const bool out =
                !o->same_scan_negatives && mf_contrast_same(pairs[r].scan, (uint64_t)m->scans[k]);
            m->bias[r * (1 + bank) + 1 + k] = out ? MF_CONTRAST_NEVER : 0;
            if (!out)
                m->weight[r] = 1;
            *known |= m->scans[k] != RANDOM;
            *any |= m->scans[k] != RANDOM && !out;
        }
    }
}

static mf_status learn_v2(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs, double *values)
{
    moco *m = b->own;
    bool any = false, known = false;
    if (!b->counting)
        fill_bias_v2(b, m, pairs, &any, &known);
    if (any || known) /* a step against random keys alone says nothing of the scans */
        MF_TRY(mf_negatives_count(&m->negatives, b, i, any, pairs));
    MF_TRY(encode_keys(b, pairs, reference, 1));
    MF_TRY(mf_encoder_batch(b, &m->encoder, pairs, query, 1, m->features));
    MF_TRY(mf_executable_set(m->loss, "queue", m->queue));
    return learn_rows(b, pairs, query, 1, 1 + params_of(b)->memory_bank, values);
}

/* Keys of a batch take the place of the oldest. */
static mf_status finish_v2(mf_baseline *b, int64_t i)
{
    moco *m = b->own;
    const int64_t dim = dim_of(params_of(b));
    (void)i;
    for (int64_t r = 0; r < b->params->batch_size && !b->counting; r++) {
        memcpy(m->queue + m->at * dim, m->keys + r * dim, (size_t)dim * sizeof *m->queue);
        m->scans[m->at] = m->incoming[r];
        m->at = (m->at + 1) % params_of(b)->memory_bank;
    }
    return MF_OK;
}

static mf_status save_v2(mf_baseline *b, mf_artifact *state)
{
    moco *m = b->own;
    const int64_t bank = params_of(b)->memory_bank;
    MF_TRY(make_queue(b));
    MF_TRY(save_negatives(b, state));
    MF_TRY(mf_state_put(state, "queue", MF_F32, bank * dim_of(params_of(b)), m->queue));
    MF_TRY(mf_state_put(state, "queue_scans", MF_I64, bank, m->scans));
    return mf_state_put(state, "queue_at", MF_I64, 1, &m->at);
}

static mf_status load_v2(mf_baseline *b, const mf_artifact *state)
{
    moco *m = b->own;
    const int64_t bank = params_of(b)->memory_bank;
    MF_TRY(make_queue(b));
    MF_TRY(load_negatives(b, state));
    MF_TRY(mf_state_get(state, "queue", MF_F32, bank * dim_of(params_of(b)), m->queue));
    MF_TRY(mf_state_get(state, "queue_scans", MF_I64, bank, m->scans));
    MF_TRY(mf_state_get(state, "queue_at", MF_I64, 1, &m->at));
    return m->at >= 0 && m->at < bank
               ? MF_OK
               : mf_fail(MF_CORRUPT, "the saved state has another 'queue_at'");
}

/* Of `views` images of each pair and [B,columns] logits: features of both encoders, gradients,
 * keys; logits, biases and, for a moment, targets. */
static size_t host_bytes_of(const mf_baseline_params *o, const mf_iris *iris, size_t views,
                            size_t columns)
{
    const size_t n = (size_t)o->batch_size, c = (size_t)iris->channels[MF_IRIS_DEPTHS - 1];
    const size_t dim = (size_t)dim_of((const mf_moco_params *)o);
    return (views * n * (3 * c + dim) + 3 * n * columns) * sizeof(float);
}

/* The memory bank, too, and its copy in a checkpoint. */
static size_t host_bytes_v2(const mf_baseline_params *o, const mf_iris *iris)
{
    const size_t bank = (size_t)((const mf_moco_params *)o)->memory_bank;
    const size_t dim = (size_t)dim_of((const mf_moco_params *)o);
    return host_bytes_of(o, iris, 1, 1 + bank) + 2 * bank * (dim * sizeof(float) + sizeof(int64_t));
}

static size_t host_bytes_v3(const mf_baseline_params *o, const mf_iris *iris)
{
    return host_bytes_of(o, iris, 2, (size_t)o->batch_size);
}

static double momentum_v2(const mf_baseline *b, int64_t i)
{
    (void)i;
    return params_of(b)->momentum;
}

/* ---- v3 -------------------------------------------------------------------------------------- */

/* Linear without bias, batch norm, ReLU, linear without bias: [B,C] -> [B,dim] */
static mf_value batch_mlp(mf_program *p, const char *name, const mf_moco_params *o, mf_value x)
{
    const int64_t hidden = o->projection_hidden ? o->projection_hidden : 4096, dim = dim_of(o);
    mf_scope(p, "%s", name);
    x = mf_linear(p, x, mf_weight(p, "fc1.weight", SHAPE(hidden, mf_dim(p, x, 1))), MF_NONE);
    x = mf_mul_rows(p, mf_contrast_batch_norm(p, x), mf_weight(p, "norm1.weight", SHAPE(hidden)));
    x = mf_relu(p, mf_add_rows(p, x, mf_weight(p, "norm1.bias", SHAPE(hidden))));
    x = mf_linear(p, x, mf_weight(p, "fc2.weight", SHAPE(dim, hidden)), MF_NONE);
    mf_scope_end(p);
    return x;
}

/* features [2B,C] -> of each view [B,dim]; batch norms see one view. */
static void project_v3(mf_program *p, const mf_baseline *b, mf_value features, mf_value view[2])
{
    const int64_t n = b->params->batch_size;
    for (int v = 0; v < 2; v++) {
        view[v] = batch_mlp(p, "head", params_of(b), mf_slice(p, features, 0, v * n, n));
        view[v] = mf_contrast_batch_norm(p, view[v]);
    }
}

static void declare_keys_v3(mf_program *p, const mf_baseline *b, mf_value features)
{
    mf_value view[2];
    project_v3(p, b, features, view);
    mf_output(p, "keys", mf_contrast_unit(p, mf_concat(p, view[0], view[1], 0)));
}

/* Inputs features [2B,C], keys [2B,dim], bias and target [B,B], weight [B]; logits are those of the
 * reference views. */
static void declare_loss_v3(mf_program *p, const mf_baseline *b)
{
    const mf_moco_params *o = params_of(b);
    const int64_t n = o->shared.batch_size;
    mf_value features = mf_input(p, "features", MF_F32, SHAPE(2 * n, channels_of(b)));
    mf_value keys = mf_input(p, "keys", MF_F32, SHAPE(2 * n, dim_of(o)));
    mf_value bias = mf_input(p, "bias", MF_F32, SHAPE(n, n));
    mf_value target = mf_input(p, "target", MF_F32, SHAPE(n, n));
    mf_value weight = mf_input(p, "weight", MF_F32, SHAPE(n)), view[2], loss[2];
    mf_require_gradient(p, features);
    project_v3(p, b, features, view);
    for (int v = 0; v < 2; v++) {
        mf_value q = mf_contrast_unit(p, batch_mlp(p, "predictor", o, view[v]));
        mf_value logits = similarities(p, o, q, mf_slice(p, keys, 0, (1 - v) * n, n));
        logits = mf_add(p, logits, bias);
        if (v == 0)
            mf_output(p, "logits", logits);
        loss[v] = mf_cross_entropy(p, logits, target, weight);
    }
    mf_value all = mf_scale(p, mf_add(p, loss[0], loss[1]), (float)(2 * o->temperature));
    mf_output(p, "loss", all);
    mf_differentiate(p, all);
    mf_output(p, "gradient", mf_gradient(p, features));
}

static mf_status declare_v3(mf_baseline *b)
{
    return mf_encoded_loss_declare(b, declare_loss_v3);
}

static mf_status open_v3(mf_baseline *b)
{
    moco *m = b->own;
    const int64_t n = b->params->batch_size;
    MF_TRY(allocate(b, m, 2 * n, n));
    for (int64_t i = 0; i < n; i++)
        m->target[i] = i;
    MF_TRY(mf_encoder_open(b, b->weights, true, &m->encoder));
    MF_TRY(mf_momentum_open(b, 2, declare_keys_v3, &m->slow));
    MF_TRY(mf_encoded_loss_compile(b, declare_loss_v3, &m->loss));
    return b->counting ? MF_OK : mf_contrast_set_targets(m->loss, n, n, m->target);
}

static mf_status learn_v3(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs, double *values)
{
    moco *m = b->own;
    const mf_moco_params *o = params_of(b);
    const int64_t n = o->shared.batch_size;
    bool any = false;
    for (int64_t r = 0; r < n && !b->counting; r++) {
        m->weight[r] = 0;
        for (int64_t k = 0; k < n; k++) {
            const bool out =
                r != k && !o->same_scan_negatives && mf_contrast_same(pairs[r].scan, pairs[k].scan);
            m->bias[r * n + k] = out ? MF_CONTRAST_NEVER : 0;
            if (r != k && !out)
                m->weight[r] = 1;
        }
        any |= m->weight[r] > 0;
    }
    MF_TRY(mf_negatives_count(&m->negatives, b, i, any, pairs));
    MF_TRY(encode_keys(b, pairs, both, 2));
    MF_TRY(mf_encoder_batch(b, &m->encoder, pairs, both, 2, m->features));
    return learn_rows(b, pairs, both, 2, n, values);
}

/* The official code moves the key encoder at the beginning of a step, with that step's momentum; so
 * after step i it is that of the next. */
static double momentum_v3(const mf_baseline *b, int64_t i)
{
    return mf_baseline_cosine(b, i + 1, params_of(b)->momentum, 1);
}

/* ---------------------------------------------------------------------------------------------- */

static const char *const columns[] = {"accuracy", NULL};
const mf_method mf_moco_v2 = {.name = "moco.train",
                              .columns = columns,
                              .size = sizeof(moco),
                              .declare = declare_v2,
                              .open = open_v2,
                              .learn = learn_v2,
                              .finish = finish_v2,
                              .save = save_v2,
                              .load = load_v2,
                              .close = close_programs,
                              .host_bytes = host_bytes_v2,
                              .momentum = momentum_v2};
const mf_method mf_moco_v3 = {.name = "moco.train",
                              .columns = columns,
                              .size = sizeof(moco),
                              /* A batch norm of two rows is +-1, of hardly any gradient. */
                              .least_batch = 8,
                              .least_why = "v3 has batch norms over the pairs of a batch",
                              .declare = declare_v3,
                              .open = open_v3,
                              .learn = learn_v3,
                              .save = save_negatives,
                              .load = load_negatives,
                              .close = close_programs,
                              .host_bytes = host_bytes_v3,
                              .momentum = momentum_v3};
