/* simclr.c - SimCLR: NT-Xent of a batch. */
#include "simclr.h"
#include "../common/layers.h"
#include "contrast.h"
#include "encode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct simclr {
    mf_encoder encoder;
    mf_executable *loss;
    float *features, *gradient; /* [2B,C], references first */
    float *logits, *bias;       /* [2B,2B] */
    int64_t *target;            /* [2B]: the row of the other view */
    mf_negatives negatives;
} simclr;

static const mf_which_view views[2] = {MF_REFERENCE, MF_QUERY};

static const mf_simclr_params *params_of(const mf_baseline *b)
{
    return (const mf_simclr_params *)b->params;
}

/* Batch norms are over all R rows, both views of the batch. */
static mf_value project(mf_program *p, const mf_simclr_params *o, mf_value features)
{
    return !strcmp(o->head_norm, "batch")
               ? mf_contrast_project_normed(p, features, o->projection_hidden, o->projection_dim)
               : mf_contrast_project(p, features, o->projection_hidden, o->projection_dim);
}

/* Inputs features [R,C], bias, target [R,R], weight [R]; outputs loss, logits, and gradient (of the
 * features). R = 2B rows; row i's positive is the other view of its pair. */
static void declare_loss(mf_program *p, const mf_baseline *b)
{
    const mf_simclr_params *o = params_of(b);
    const int64_t rows = 2 * o->shared.batch_size, c = mf_iris_deepest_channels(&b->iris);
    mf_value features = mf_input(p, "features", MF_F32, SHAPE(rows, c));
    mf_require_gradient(p, features);
    mf_value z = mf_contrast_unit(p, project(p, o, features));
    z = mf_reshape(p, z, SHAPE(1, rows, o->projection_dim));
    mf_value logits = mf_reshape(p, mf_matmul_nt(p, z, z), SHAPE(rows, rows));
    logits = mf_scale(p, logits, (float)(1 / o->temperature));
    mf_contrast_loss(p, features, logits, rows, rows);
}

static mf_status declare(mf_baseline *b)
{
    return mf_encoded_loss_declare(b, declare_loss);
}

static mf_status open_programs(mf_baseline *b)
{
    simclr *s = b->own;
    const size_t n = (size_t)b->params->batch_size, rows = 2 * n;
    const size_t c = (size_t)mf_iris_deepest_channels(&b->iris);
    const size_t cells = b->counting ? 1 : rows * rows; /* nothing reads them then */
    s->features = calloc(rows * c, sizeof *s->features);
    s->gradient = calloc(rows * c, sizeof *s->gradient);
    s->logits = calloc(cells, sizeof *s->logits);
    s->bias = calloc(cells, sizeof *s->bias);
    s->target = calloc(rows, sizeof *s->target);
    if (!s->features || !s->gradient || !s->logits || !s->bias || !s->target)
        return mf_no_memory(0, "a batch of %zu pairs", n);
    MF_TRY(mf_encoder_open(b, b->weights, true, &s->encoder));
    MF_TRY(mf_encoded_loss_compile(b, declare_loss, &s->loss));
    for (size_t i = 0; i < rows; i++)
        s->target[i] = (int64_t)((i + n) % rows);
    if (!b->counting)
        MF_TRY(mf_contrast_set_targets(s->loss, (int64_t)rows, (int64_t)rows, s->target));
    return mf_contrast_set_weights(s->loss, (int64_t)rows, NULL);
}

/* A row is compared with all others but itself and, where they are no negatives, those of its own
 * scan; its other view stays. *any: a row has a negative; then all rows have one, of another scan.
 */
static void fill_bias(const mf_baseline *b, simclr *s, const mf_baseline_pair *pairs, bool *any)
{
    const int64_t n = b->params->batch_size, rows = 2 * n;
    const bool all = params_of(b)->same_scan_negatives;
    *any = false;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < rows; k++) {
            const bool positive = k == s->target[i];
            const bool out =
                k == i ||
                (!positive && !all &&
                 (i % n == k % n || mf_contrast_same(pairs[i % n].scan, pairs[k % n].scan)));
            s->bias[i * rows + k] = out ? MF_CONTRAST_NEVER : 0;
            *any |= !out && !positive;
        }
}

static mf_status learn(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs, double *values)
{
    simclr *s = b->own;
    const int64_t rows = 2 * b->params->batch_size;
    bool any = false;
    if (!b->counting)
        fill_bias(b, s, pairs, &any);
    MF_TRY(mf_negatives_count(&s->negatives, b, i, any, pairs));
    MF_TRY(mf_encoder_batch(b, &s->encoder, pairs, views, 2, s->features));
    MF_TRY(mf_executable_set(s->loss, "bias", s->bias));
    MF_TRY(mf_encoded_loss_run(b, s->loss, rows, s->features, &values[0], s->gradient));
    if (!b->counting)
        MF_TRY(mf_executable_get(s->loss, "logits", s->logits));
    values[1] = any ? mf_contrast_accuracy(s->logits, rows, rows, s->target, NULL) : (double)NAN;
    return mf_encoder_learn(b, &s->encoder, pairs, views, 2, s->gradient);
}

static void close_programs(mf_baseline *b)
{
    simclr *s = b->own;
    mf_encoder_close(&s->encoder);
    mf_executable_free(s->loss);
    free(s->features);
    free(s->gradient);
    free(s->logits);
    free(s->bias);
    free(s->target);
}

/* Features and their gradients; logits, biases and, for a moment, targets. */
static size_t host_bytes(const mf_baseline_params *o, const mf_iris *iris)
{
    const size_t rows = 2 * (size_t)o->batch_size, c = (size_t)mf_iris_deepest_channels(iris);
    return (2 * rows * c + 3 * rows * rows) * sizeof(float);
}

static mf_status save(mf_baseline *b, mf_artifact *state)
{
    return mf_negatives_save(&((const simclr *)b->own)->negatives, state);
}

static mf_status load(mf_baseline *b, const mf_artifact *state)
{
    return mf_negatives_load(&((simclr *)b->own)->negatives, state);
}

static const char *const columns[] = {"accuracy", NULL};
const mf_method mf_simclr = {.name = "simclr.train",
                             .columns = columns,
                             .size = sizeof(simclr),
                             .least_batch = 2,
                             .least_why = "compares the pairs of a batch",
                             .views = 2,
                             .declare = declare,
                             .open = open_programs,
                             .learn = learn,
                             .save = save,
                             .load = load,
                             .close = close_programs,
                             .host_bytes = host_bytes};
