/* moco_v3.c - MoCo v3: both views are queries, the keys of the batch are the negatives. */
#include "moco_v3.h"
#include "../common/layers.h"
#include "moco_parts.h"

static const mf_which_view both[2] = {MF_REFERENCE, MF_QUERY};

static mf_value batch_mlp(mf_program *p, const char *name, const mf_moco_params *o, mf_value x)
{
    return mf_contrast_batch_mlp(p, name, x, o->projection_hidden ? o->projection_hidden : 4096,
                                 mf_moco_dim(o));
}

/* features [2B,C] -> of each view [B,dim]; batch norms see one view. */
static void project(mf_program *p, const mf_baseline *b, mf_value features, mf_value view[2])
{
    const int64_t n = b->params->batch_size;
    for (int v = 0; v < 2; v++) {
        view[v] = batch_mlp(p, "head", mf_moco_params_of(b), mf_slice(p, features, 0, v * n, n));
        view[v] = mf_contrast_batch_norm(p, view[v]);
    }
}

static void declare_keys(mf_program *p, const mf_baseline *b, mf_value features)
{
    mf_value view[2];
    project(p, b, features, view);
    mf_output(p, "keys", mf_contrast_unit(p, mf_concat(p, view[0], view[1], 0)));
}

/* Inputs features [2B,C], keys [2B,dim], bias and target [B,B], weight [B]; logits are those of the
 * reference views. */
static void declare_loss(mf_program *p, const mf_baseline *b)
{
    const mf_moco_params *o = mf_moco_params_of(b);
    const int64_t n = o->shared.batch_size;
    mf_value features = mf_input(p, "features", MF_F32, SHAPE(2 * n, mf_moco_channels(b)));
    mf_value keys = mf_input(p, "keys", MF_F32, SHAPE(2 * n, mf_moco_dim(o)));
    mf_value bias = mf_input(p, "bias", MF_F32, SHAPE(n, n));
    mf_value target = mf_input(p, "target", MF_F32, SHAPE(n, n));
    mf_value weight = mf_input(p, "weight", MF_F32, SHAPE(n)), view[2], loss[2];
    mf_require_gradient(p, features);
    project(p, b, features, view);
    for (int v = 0; v < 2; v++) {
        mf_value q = mf_contrast_unit(p, batch_mlp(p, "predictor", o, view[v]));
        mf_value logits = mf_moco_similarities(p, o, q, mf_slice(p, keys, 0, (1 - v) * n, n));
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

static mf_status declare(mf_baseline *b)
{
    return mf_encoded_loss_declare(b, declare_loss);
}

static mf_status open_programs(mf_baseline *b)
{
    mf_moco *m = b->own;
    const int64_t n = b->params->batch_size;
    MF_TRY(mf_moco_allocate(b, 2 * n, n));
    for (int64_t i = 0; i < n; i++)
        m->target[i] = i;
    MF_TRY(mf_moco_open(b, 2, declare_keys, declare_loss));
    return b->counting ? MF_OK : mf_contrast_set_targets(m->loss, n, n, m->target);
}

static mf_status learn(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs, double *values)
{
    mf_moco *m = b->own;
    const mf_moco_params *o = mf_moco_params_of(b);
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
    MF_TRY(mf_moco_encode_keys(b, pairs, both, 2));
    MF_TRY(mf_encoder_batch(b, &m->encoder, pairs, both, 2, m->features));
    return mf_moco_learn_rows(b, pairs, both, 2, n, values);
}

static size_t host_bytes(const mf_baseline_params *o, const mf_iris *iris)
{
    return mf_moco_host_bytes(o, iris, 2, (size_t)o->batch_size);
}

/* The official code moves the key encoder at the beginning of a step, with that step's momentum; so
 * after step i it is that of the next. */
static double momentum(const mf_baseline *b, int64_t i)
{
    return mf_baseline_cosine(b, i + 1, mf_moco_params_of(b)->momentum, 1);
}

const mf_method mf_moco_v3 = {.name = "moco.train",
                              .columns = mf_moco_columns,
                              .size = sizeof(mf_moco),
                              /* A batch norm of two rows is +-1, of hardly any gradient. */
                              .least_batch = 8,
                              .least_why = "v3 has batch norms over the pairs of a batch",
                              .views = 2,
                              .declare = declare,
                              .open = open_programs,
                              .learn = learn,
                              .save = mf_moco_save_negatives,
                              .load = mf_moco_load_negatives,
                              .close = mf_moco_close,
                              .host_bytes = host_bytes,
                              .momentum = momentum};
