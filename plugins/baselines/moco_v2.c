/* moco_v2.c - MoCo v2: a query against its key and a memory bank of older keys. */
#include "moco_v2.h"
#include "../common/layers.h"
#include "../mass/state.h"
#include "moco_parts.h"

#include <massflow/random.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM = -1 };

typedef struct moco_v2 {
    mf_moco moco;
    float *queue;      /* [bank,dim] */
    int64_t *scans;    /* [bank], of the keys; 0: not known, RANDOM: of none */
    int64_t *incoming; /* [B], of the keys of this step */
    int64_t at;        /* where the next key goes */
} moco_v2;

static const mf_which_view query[1] = {MF_QUERY}, reference[1] = {MF_REFERENCE};

static mf_value embed(mf_program *p, const mf_moco_params *o, mf_value features)
{
    return mf_contrast_unit(p,
                            mf_contrast_project(p, features, o->projection_hidden, mf_moco_dim(o)));
}

static void declare_keys(mf_program *p, const mf_baseline *b, mf_value features)
{
    mf_output(p, "keys", embed(p, mf_moco_params_of(b), features));
}

/* Inputs features [B,C], keys [B,dim], queue [bank,dim], bias and target [B,1+bank], weight [B]. */
static void declare_loss(mf_program *p, const mf_baseline *b)
{
    const mf_moco_params *o = mf_moco_params_of(b);
    const int64_t n = o->shared.batch_size, bank = o->memory_bank, dim = mf_moco_dim(o);
    mf_value features = mf_input(p, "features", MF_F32, SHAPE(n, mf_moco_channels(b)));
    mf_value keys = mf_input(p, "keys", MF_F32, SHAPE(n, dim));
    mf_value queue = mf_input(p, "queue", MF_F32, SHAPE(bank, dim));
    mf_require_gradient(p, features);
    mf_value q = embed(p, o, features);
    mf_value positive = mf_reshape(p, mf_sum(p, mf_mul(p, q, keys), 1), SHAPE(n, 1));
    positive = mf_scale(p, positive, (float)(1 / o->temperature));
    mf_value logits = mf_concat(p, positive, mf_moco_similarities(p, o, q, queue), 1);
    mf_contrast_loss(p, features, logits, n, 1 + bank);
}

static mf_status declare(mf_baseline *b)
{
    return mf_encoded_loss_declare(b, declare_loss);
}

/* Random unit vectors of no scan, as the official code begins. */
static void draw_queue(const mf_baseline *b, moco_v2 *m)
{
    const int64_t dim = mf_moco_dim(mf_moco_params_of(b));
    mf_random random;
    mf_random_seed(&random, (uint64_t)b->params->seed, "queue", 0);
    for (int64_t i = 0; i < mf_moco_params_of(b)->memory_bank; i++) {
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
    moco_v2 *m = b->own;
    const size_t bank = (size_t)mf_moco_params_of(b)->memory_bank;
    if (m->queue || b->counting) /* it may be large, and nothing reads it then */
        return MF_OK;
    m->queue = calloc(bank * (size_t)mf_moco_dim(mf_moco_params_of(b)), sizeof *m->queue);
    m->scans = calloc(bank, sizeof *m->scans);
    m->incoming = calloc((size_t)b->params->batch_size, sizeof *m->incoming);
    if (!m->queue || !m->scans || !m->incoming)
        return mf_no_memory(0, "a memory bank of %zu keys", bank);
    draw_queue(b, m);
    return MF_OK;
}

mf_status mf_moco_set_queue(mf_baseline *b, const float *keys)
{
    moco_v2 *m = b->own;
    MF_TRY(make_queue(b));
    memcpy(m->queue, keys,
           (size_t)(mf_moco_params_of(b)->memory_bank * mf_moco_dim(mf_moco_params_of(b))) *
               sizeof *keys);
    return MF_OK;
}

static mf_status open_programs(mf_baseline *b)
{
    moco_v2 *m = b->own;
    const int64_t n = b->params->batch_size, columns = 1 + mf_moco_params_of(b)->memory_bank;
    MF_TRY(make_queue(b));
    MF_TRY(mf_moco_allocate(b, n, columns));
    MF_TRY(mf_moco_open(b, 1, declare_keys, declare_loss));
    return b->counting ? MF_OK /* column 0: its own key */
                       : mf_contrast_set_targets(m->moco.loss, n, columns, m->moco.target);
}

static void close_bank(mf_baseline *b)
{
    moco_v2 *m = b->own;
    mf_moco_close(b);
    free(m->queue);
    free(m->scans);
    free(m->incoming);
}

/* Which keys each row is compared with. *any: one has a negative beside the random keys of the
 * beginning. *known: there are other keys than these. */
static void fill_bias(const mf_baseline *b, moco_v2 *m, const mf_baseline_pair *pairs, bool *any,
                      bool *known)
{
    const mf_moco_params *o = mf_moco_params_of(b);
    const int64_t n = o->shared.batch_size, bank = o->memory_bank;
    *any = *known = false;
    for (int64_t r = 0; r < n; r++) {
        m->incoming[r] = (int64_t)pairs[r].scan;
        m->moco.weight[r] = 0;
        *any |= r > 0 && !mf_contrast_same(pairs[r].scan, pairs[0].scan);
        for (int64_t k = 0; k < bank; k++) {
            const bool out =
                !o->same_scan_negatives && mf_contrast_same(pairs[r].scan, (uint64_t)m->scans[k]);
            m->moco.bias[r * (1 + bank) + 1 + k] = out ? MF_CONTRAST_NEVER : 0;
            if (!out)
                m->moco.weight[r] = 1;
            *known |= m->scans[k] != RANDOM;
            *any |= m->scans[k] != RANDOM && !out;
        }
    }
}

static mf_status learn(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs, double *values)
{
    moco_v2 *m = b->own;
    bool any = false, known = false;
    if (!b->counting)
        fill_bias(b, m, pairs, &any, &known);
    if (any || known) /* a step against random keys alone says nothing of the scans */
        MF_TRY(mf_negatives_count(&m->moco.negatives, b, i, any, pairs));
    MF_TRY(mf_moco_encode_keys(b, pairs, reference, 1));
    MF_TRY(mf_encoder_batch(b, &m->moco.encoder, pairs, query, 1, m->moco.features));
    MF_TRY(mf_executable_set(m->moco.loss, "queue", m->queue));
    return mf_moco_learn_rows(b, pairs, query, 1, 1 + mf_moco_params_of(b)->memory_bank, values);
}

/* Keys of a batch take the place of the oldest. */
static mf_status finish(mf_baseline *b, int64_t i)
{
    moco_v2 *m = b->own;
    const int64_t dim = mf_moco_dim(mf_moco_params_of(b));
    (void)i;
    for (int64_t r = 0; r < b->params->batch_size && !b->counting; r++) {
        memcpy(m->queue + m->at * dim, m->moco.keys + r * dim, (size_t)dim * sizeof *m->queue);
        m->scans[m->at] = m->incoming[r];
        m->at = (m->at + 1) % mf_moco_params_of(b)->memory_bank;
    }
    return MF_OK;
}

static mf_status save(mf_baseline *b, mf_artifact *state)
{
    moco_v2 *m = b->own;
    const int64_t bank = mf_moco_params_of(b)->memory_bank;
    MF_TRY(make_queue(b));
    MF_TRY(mf_moco_save_negatives(b, state));
    MF_TRY(
        mf_state_put(state, "queue", MF_F32, bank * mf_moco_dim(mf_moco_params_of(b)), m->queue));
    MF_TRY(mf_state_put(state, "queue_scans", MF_I64, bank, m->scans));
    return mf_state_put(state, "queue_at", MF_I64, 1, &m->at);
}

static mf_status load(mf_baseline *b, const mf_artifact *state)
{
    moco_v2 *m = b->own;
    const int64_t bank = mf_moco_params_of(b)->memory_bank;
    MF_TRY(make_queue(b));
    MF_TRY(mf_moco_load_negatives(b, state));
    MF_TRY(
        mf_state_get(state, "queue", MF_F32, bank * mf_moco_dim(mf_moco_params_of(b)), m->queue));
    MF_TRY(mf_state_get(state, "queue_scans", MF_I64, bank, m->scans));
    MF_TRY(mf_state_get(state, "queue_at", MF_I64, 1, &m->at));
    return m->at >= 0 && m->at < bank
               ? MF_OK
               : mf_fail(MF_CORRUPT, "the saved state has another 'queue_at'");
}

/* The memory bank, too, and its copy in a checkpoint. */
static size_t host_bytes(const mf_baseline_params *o, const mf_iris *iris)
{
    const size_t bank = (size_t)((const mf_moco_params *)o)->memory_bank;
    const size_t dim = (size_t)mf_moco_dim((const mf_moco_params *)o);
    return mf_moco_host_bytes(o, iris, 1, 1 + bank) +
           2 * bank * (dim * sizeof(float) + sizeof(int64_t));
}

static double momentum(const mf_baseline *b, int64_t i)
{
    (void)i;
    return mf_moco_params_of(b)->momentum;
}

const mf_method mf_moco_v2 = {.name = "moco.train",
                              .columns = mf_moco_columns,
                              .size = sizeof(moco_v2),
                              .views = 1,
                              .declare = declare,
                              .open = open_programs,
                              .learn = learn,
                              .finish = finish,
                              .save = save,
                              .load = load,
                              .close = close_bank,
                              .host_bytes = host_bytes,
                              .momentum = momentum};
