/* dino.c - DINO: the teacher's distribution over prototypes, centered and sharpened, is the
 * student's target. Rows are both views of a batch, references first. */
#include "dino.h"
#include "../common/layers.h"
#include "../mass/model.h"
#include "../mass/state.h"
#include "contrast.h"
#include "momentum.h"

#include <massflow/random.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct dino {
    mf_encoder encoder;
    mf_momentum teacher;
    mf_executable *loss;
    float *features, *gradient; /* [2B,C] */
    float *target;              /* [2B,K] */
    float *seen;                /* [K]: the mean of the teacher's outputs in this step */
    float *center;              /* [K] */
    float *shift;               /* [K]: minus the center */
} dino;

static const mf_which_view both[2] = {MF_REFERENCE, MF_QUERY};

static const mf_dino_params *params_of(const mf_baseline *b)
{
    return (const mf_dino_params *)b->params;
}

/* ---- programs -------------------------------------------------------------------------------- */

/* A batch norm would remove a bias before it, so there is none. */
static mf_value hidden(mf_program *p, const mf_dino_params *o, int layer, mf_value x)
{
    char fc[16], weight[32], norm[16];
    snprintf(fc, sizeof fc, "fc%d", layer);
    snprintf(weight, sizeof weight, "fc%d.weight", layer);
    snprintf(norm, sizeof norm, "norm%d", layer);
    if (strcmp(o->head_norm, "batch") != 0)
        return mf_gelu(p, mf_layer_linear(p, fc, x, o->hidden));
    x = mf_linear(p, x, mf_weight(p, weight, SHAPE(o->hidden, mf_dim(p, x, 1))), MF_NONE);
    return mf_gelu(p, mf_contrast_batch_norm_learned(p, norm, x));
}

/* features [R,C] -> [R,K]: three layers, unit length, then the cosine with each prototype. Batch
 * norms are over all R rows, both views of the batch. */
static mf_value head(mf_program *p, const mf_dino_params *o, mf_value x)
{
    mf_scope(p, "head");
    x = hidden(p, o, 1, x);
    x = hidden(p, o, 2, x);
    x = mf_contrast_unit(p, mf_layer_linear(p, "fc3", x, o->bottleneck));
    mf_value last = mf_weight(p, "last.weight", SHAPE(o->prototypes, o->bottleneck));
    x = mf_linear(p, x, mf_contrast_unit(p, last), MF_NONE);
    mf_scope_end(p);
    return x;
}

/* Inputs features, shift [K] (minus the center), sharpness [1,K] (1 / temperature in each place);
 * outputs target, seen. The two views change places: each is the other's target. */
static void declare_teacher(mf_program *p, const mf_baseline *b, mf_value features)
{
    const mf_dino_params *o = params_of(b);
    const int64_t n = o->shared.batch_size;
    mf_value x = head(p, o, features);
    mf_output(p, "seen", mf_mean(p, x, 0));
    x = mf_add_rows(p, x, mf_input(p, "shift", MF_F32, SHAPE(o->prototypes)));
    x = mf_mul_rows(p, x, mf_input(p, "sharpness", MF_F32, SHAPE(o->prototypes)));
    x = mf_softmax(p, x);
    mf_output(p, "target", mf_concat(p, mf_slice(p, x, 0, n, n), mf_slice(p, x, 0, 0, n), 0));
}

/* Inputs features [2B,C], target [2B,K], weight [2B]: ones. */
static void declare_loss(mf_program *p, const mf_baseline *b)
{
    const mf_dino_params *o = params_of(b);
    const int64_t rows = 2 * o->shared.batch_size;
    mf_value features =
        mf_input(p, "features", MF_F32, SHAPE(rows, mf_iris_deepest_channels(&b->iris)));
    mf_require_gradient(p, features);
    mf_value logits = mf_scale(p, head(p, o, features), (float)(1 / o->student_temperature));
    mf_value loss =
        mf_cross_entropy(p, logits, mf_input(p, "target", MF_F32, SHAPE(rows, o->prototypes)),
                         mf_input(p, "weight", MF_F32, SHAPE(rows)));
    mf_output(p, "loss", loss);
    mf_differentiate(p, loss);
    mf_output(p, "gradient", mf_gradient(p, features));
}

static mf_status declare(mf_baseline *b)
{
    return mf_encoded_loss_declare(b, declare_loss);
}

/* Layers of the head before the last: a normal of SD 0.02 (the official code cuts it at 100 SD,
 * which none reaches); their biases are 0. */
static mf_status draw(mf_baseline *b, size_t i, bool *drawn)
{
    mf_weight_info info;
    mf_random random;
    mf_weights_info(b->weights, i, &info);
    *drawn = !strncmp(info.name, "head.fc", 7);
    if (!*drawn)
        return MF_OK;
    float *values = calloc((size_t)info.count, sizeof *values);
    if (!values)
        return mf_no_memory((size_t)info.count * sizeof *values, "%s", info.name);
    mf_random_seed(&random, (uint64_t)b->params->seed, info.name, 0);
    for (int64_t k = 0; k < info.count && !mf_model_name_ends(info.name, "bias"); k++)
        values[k] = (float)(0.02 * mf_random_normal(&random));
    mf_status status = mf_weights_set(b->weights, i, values);
    free(values);
    return status;
}

static mf_status make_center(mf_baseline *b)
{
    dino *d = b->own;
    const size_t k = (size_t)params_of(b)->prototypes;
    if (d->center)
        return MF_OK;
    d->center = calloc(k, sizeof *d->center);
    return d->center ? MF_OK : mf_no_memory(k * sizeof *d->center, "the center");
}

static mf_status open_programs(mf_baseline *b)
{
    dino *d = b->own;
    const int64_t rows = 2 * b->params->batch_size;
    const size_t c = (size_t)mf_iris_deepest_channels(&b->iris);
    const size_t k = (size_t)params_of(b)->prototypes;
    d->features = calloc((size_t)rows * c, sizeof *d->features);
    d->gradient = calloc((size_t)rows * c, sizeof *d->gradient);
    d->target = calloc((size_t)rows * k, sizeof *d->target);
    d->seen = calloc(k, sizeof *d->seen);
    d->shift = calloc(k, sizeof *d->shift);
    if (!d->features || !d->gradient || !d->target || !d->seen || !d->shift)
        return mf_no_memory(0, "a batch of %lld views", (long long)rows);
    MF_TRY(make_center(b));
    MF_TRY(mf_encoder_open(b, b->weights, true, &d->encoder));
    MF_TRY(mf_momentum_open(b, 2, declare_teacher, &d->teacher));
    MF_TRY(mf_encoded_loss_compile(b, declare_loss, &d->loss));
    return mf_contrast_set_weights(d->loss, rows, NULL);
}

static void close_programs(mf_baseline *b)
{
    dino *d = b->own;
    mf_encoder_close(&d->encoder);
    mf_momentum_close(&d->teacher);
    mf_executable_free(d->loss);
    free(d->features);
    free(d->gradient);
    free(d->target);
    free(d->seen);
    free(d->center);
    free(d->shift);
}

/* ---- a step ---------------------------------------------------------------------------------- */

/* A linear rise over the first steps, where there is one. */
static double teacher_temperature(const mf_baseline *b, int64_t i)
{
    const mf_dino_params *o = params_of(b);
    const int64_t rising = (int64_t)(o->warmup_teacher * (double)o->shared.steps);
    if (i >= rising)
        return o->teacher_temperature;
    return o->warmup_teacher_temperature +
           (o->teacher_temperature - o->warmup_teacher_temperature) * (double)i / (double)rising;
}

static mf_status teach(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs)
{
    dino *d = b->own;
    const int64_t k = params_of(b)->prototypes;
    mf_executable *teacher = d->teacher.head;
    MF_TRY(mf_momentum_encode(b, &d->teacher, pairs, both, 2));
    for (int64_t c = 0; c < k; c++)
        d->shift[c] = (float)(1 / teacher_temperature(b, i));
    MF_TRY(mf_executable_set(teacher, "sharpness", d->shift));
    for (int64_t c = 0; c < k; c++)
        d->shift[c] = -d->center[c];
    MF_TRY(mf_executable_set(teacher, "shift", d->shift));
    MF_TRY(mf_executable_run(teacher));
    MF_TRY(mf_executable_get(teacher, "seen", d->seen));
    return mf_executable_get(teacher, "target", d->target);
}

/* Mean entropy of the targets: 0 where all go to one prototype, log K where they say nothing. Both
 * are ways to collapse. */
static double entropy(const float *target, int64_t rows, int64_t columns)
{
    double sum = 0;
    for (int64_t i = 0; i < rows * columns; i++)
        if (target[i] > 0)
            sum -= (double)target[i] * log((double)target[i]);
    return sum / (double)rows;
}

/* Group -1 learns nothing. The optimizer of the last layer counts from its own first step. */
static mf_status freeze(mf_baseline *b, int64_t i)
{
    const int last = mf_weights_find(b->weights, "head.last.weight");
    b->late = (int64_t)(params_of(b)->freeze_last_layer * (double)b->params->steps);
    return mf_weights_set_group(b->weights, (size_t)last, i < b->late ? -1 : MF_BASELINE_LATE);
}

static mf_status learn(mf_baseline *b, int64_t i, const mf_baseline_pair *pairs, double *values)
{
    dino *d = b->own;
    const int64_t rows = 2 * b->params->batch_size;
    MF_TRY(freeze(b, i));
    MF_TRY(teach(b, i, pairs));
    MF_TRY(mf_encoder_batch(b, &d->encoder, pairs, both, 2, d->features));
    MF_TRY(mf_executable_set(d->loss, "target", d->target));
    MF_TRY(mf_encoded_loss_run(b, d->loss, rows, d->features, &values[0], d->gradient));
    values[1] = entropy(d->target, rows, params_of(b)->prototypes);
    return mf_encoder_learn(b, &d->encoder, pairs, both, 2, d->gradient);
}

static mf_status finish(mf_baseline *b, int64_t i)
{
    dino *d = b->own;
    const double keep = params_of(b)->center_momentum;
    (void)i;
    for (int64_t k = 0; k < params_of(b)->prototypes; k++)
        d->center[k] = (float)(keep * (double)d->center[k] + (1 - keep) * (double)d->seen[k]);
    return MF_OK;
}

/* Features of student and teacher, gradients; targets and vectors of the prototypes. */
static size_t host_bytes(const mf_baseline_params *o, const mf_iris *iris)
{
    const size_t rows = 2 * (size_t)o->batch_size, c = (size_t)mf_iris_deepest_channels(iris);
    const size_t k = (size_t)((const mf_dino_params *)o)->prototypes;
    return (3 * rows * c + (rows + 3) * k) * sizeof(float);
}

static mf_status save(mf_baseline *b, mf_artifact *state)
{
    MF_TRY(make_center(b));
    return mf_state_put(state, "center", MF_F32, params_of(b)->prototypes,
                        ((const dino *)b->own)->center);
}

static mf_status load(mf_baseline *b, const mf_artifact *state)
{
    MF_TRY(make_center(b));
    return mf_state_get(state, "center", MF_F32, params_of(b)->prototypes,
                        ((dino *)b->own)->center);
}

static double momentum(const mf_baseline *b, int64_t i)
{
    return mf_baseline_cosine(b, i, params_of(b)->teacher_momentum, 1);
}

static double weight_decay(const mf_baseline *b, int64_t i)
{
    return mf_baseline_cosine(b, i, b->params->weight_decay, params_of(b)->final_weight_decay);
}

static const char *const columns[] = {"teacher_entropy", NULL};
const mf_method mf_dino = {.name = "dino.train",
                           .columns = columns,
                           .size = sizeof(dino),
                           .result_is_average = true,
                           .views = 2,
                           .declare = declare,
                           .draw = draw,
                           .open = open_programs,
                           .learn = learn,
                           .finish = finish,
                           .save = save,
                           .load = load,
                           .close = close_programs,
                           .host_bytes = host_bytes,
                           .momentum = momentum,
                           .weight_decay = weight_decay};
