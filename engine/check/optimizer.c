/* optimizer.c - references of LAMB, AdamW, clipping and averages: some steps of each, weight by
 * weight; and of gradients that are sums of batches. */
#include "check/reference.h"
#include "check/resources.h"
#include "program/weights/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Weights: one element, a few, more than one chunk, zeros, one of norm above 10, one that no
 * gradient reaches. */
enum { WEIGHTS = 6, MOST = 5003, STEPS = 4 };
static const int64_t counts[WEIGHTS] = {1, 7, MOST, 16, 400, 9};
enum { ZERO = 3, LARGE = 4, UNUSED = 5 };

/* Weights, moments and averages in double. size_m: the magnitudes that the first moment adds up;
 * error: what a weight and an average may be wrong by so far. */
typedef struct model {
    double p[WEIGHTS][MOST], m[WEIGHTS][MOST], v[WEIGHTS][MOST], mean[WEIGHTS][MOST];
    double size_m[WEIGHTS][MOST], error[WEIGHTS][MOST], error_mean[WEIGHTS][MOST];
    bool averaging;
} model;

static const mf_optimizer_step steps[] = {
    {MF_LAMB, 0.002, 0.9, 0.999, 1e-6, 1e-5, .grad_scale = 1},
    {MF_LAMB, 0.01f, 0.85f, 0.99, 1e-6, 0.01f, .max_norm = 1, .grad_scale = 0.5, .ema_decay = 0.9},
    {MF_ADAMW, 1e-3, 0.9, 0.999, 1e-8, 0.01f, .max_norm = 100, .grad_scale = 1, .ema_decay = 0.99},
};

/* The gradient of weight k at step t; loss = sum over k of w_k . g_k. */
static float gradient(int k, int64_t i, int t)
{
    return 0.3f * sinf((float)((i + 1) * (k + 2)) + (float)t);
}

static double norm_of(int t, double scale)
{
    double all = 0;
    for (int k = 0; k < UNUSED; k++)
        for (int64_t i = 0; i < counts[k]; i++)
            all += pow((double)gradient(k, i, t), 2);
    return sqrt(all) * scale;
}

static void moments(model *o, int k, int64_t i, const mf_optimizer_step *s, double g)
{
    o->m[k][i] = s->beta1 * o->m[k][i] + (1.0 - s->beta1) * g;
    o->v[k][i] = s->beta2 * o->v[k][i] + (1.0 - s->beta2) * g * g;
    o->size_m[k][i] = s->beta1 * o->size_m[k][i] + (1.0 - s->beta1) * fabs(g);
}

/* A weight is rounded once; its update is a quotient of moments (products 2 a step, square root 3,
 * division 2.5, some sums), by norms that are sums over weights: 2 sqrt(n). */
static void moved(model *o, int k, int64_t i, double update, double size)
{
    double roundings = 16 + 2 * sqrt((double)MOST);
    o->p[k][i] += update;
    o->error[k][i] += FLT_EPSILON * (fabs(o->p[k][i]) + roundings * size);
}

/* One weight's update in double, as Stanford-AIMI/MASS training/lamb_optimizer.py does it. */
static void lamb(model *o, int k, const mf_optimizer_step *s, double scale, int t)
{
    double pp = 0, uu = 0;
    for (int64_t i = 0; i < counts[k]; i++) {
        moments(o, k, i, s, (double)gradient(k, i, t) * scale);
        double u = o->m[k][i] / (sqrt(o->v[k][i]) + s->eps) + s->weight_decay * o->p[k][i];
        pp += o->p[k][i] * o->p[k][i];
        uu += u * u;
    }
    double p = fmin(sqrt(pp), 10), trust = pp == 0 || uu == 0 ? 1 : p / sqrt(uu);
    for (int64_t i = 0; i < counts[k]; i++) {
        double under = sqrt(o->v[k][i]) + s->eps, decay = s->weight_decay * o->p[k][i];
        moved(o, k, i, -s->rate * trust * (o->m[k][i] / under + decay),
              s->rate * trust * (o->size_m[k][i] / under + fabs(decay)));
    }
}

/* torch.optim.AdamW */
static void adamw(model *o, int k, const mf_optimizer_step *s, double scale, int t)
{
    for (int64_t i = 0; i < counts[k]; i++) {
        moments(o, k, i, s, (double)gradient(k, i, t) * scale);
        double first = 1 - pow(s->beta1, t), second = 1 - pow(s->beta2, t);
        double under = sqrt(o->v[k][i] / second) + s->eps, decay = s->weight_decay * o->p[k][i];
        moved(o, k, i, -s->rate * (o->m[k][i] / first / under + decay),
              s->rate * (o->size_m[k][i] / first / under + fabs(decay)));
    }
}

static void step_model(model *o, const mf_optimizer_step *s, int t)
{
    double norm = norm_of(t, s->grad_scale), decay = s->ema_decay;
    double clip = s->max_norm > 0 ? fmin(1, s->max_norm / (norm + 1e-6)) : 1;
    if (decay > 0 && !o->averaging)
        memcpy(o->mean, o->p, sizeof o->p);
    o->averaging |= decay > 0;
    for (int k = 0; k < WEIGHTS; k++) {
        if (k != UNUSED)
            (s->kind == MF_LAMB ? lamb : adamw)(o, k, s, clip * s->grad_scale, t);
        for (int64_t i = 0; o->averaging && i < counts[k]; i++) {
            double from = o->mean[k][i];
            o->mean[k][i] = decay * from + (1.0 - decay) * o->p[k][i];
            o->error_mean[k][i] =
                decay * o->error_mean[k][i] + (1 - decay) * o->error[k][i] +
                2 * FLT_EPSILON * (decay * fabs(from) + (1 - decay) * fabs(o->p[k][i]));
        }
    }
}

typedef struct rig {
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    model *o;
    float *values;
} rig;

static mf_status make(rig *r, mf_device *device)
{
    mf_value loss = MF_NONE;
    r->o = calloc(1, sizeof *r->o);
    r->values = calloc(MOST, sizeof(float));
    if (!r->o || !r->values)
        return mf_no_memory(0, "a check");
    MF_TRY(mf_program_new(&r->p));
    MF_TRY(mf_weights_new(device, &r->w));
    for (int k = 0; k < WEIGHTS; k++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", k);
        mf_value w = mf_weight(r->p, name, 1, &counts[k]);
        if (k == UNUSED)
            continue;
        mf_value x = mf_input(r->p, name, MF_F32, 1, &counts[k]);
        mf_value part = mf_sum(r->p, mf_mul(r->p, w, x), 0);
        loss = k ? mf_add(r->p, loss, part) : part;
    }
    mf_output(r->p, "loss", loss);
    mf_differentiate(r->p, loss);
    MF_TRY(mf_program_compile(r->p, r->w, &r->e));
    for (int k = 0; k < WEIGHTS; k++) {
        for (int64_t i = 0; i < counts[k]; i++) {
            r->values[i] = k == ZERO ? 0 : (k == LARGE ? 3.0f : 0.1f) * cosf((float)(i * 3 + k));
            r->o->p[k][i] = (double)r->values[i];
        }
        MF_TRY(mf_weights_set(r->w, (size_t)k, r->values));
    }
    return MF_OK;
}

static mf_status feed(rig *r, int t)
{
    MF_TRY(mf_weights_clear_gradients(r->w));
    for (int k = 0; k < UNUSED; k++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", k);
        for (int64_t i = 0; i < counts[k]; i++)
            r->values[i] = gradient(k, i, t);
        MF_TRY(mf_executable_set(r->e, name, r->values));
    }
    return mf_executable_run(r->e);
}

/* The gradients of step t as the sum of a batch: items that take turns cancel all but the last. */
static mf_status feed_batch(rig *r, int t)
{
    enum { ITEMS = 7 };
    MF_TRY(mf_weights_begin_batch(r->w, ITEMS));
    for (int item = 0; item < ITEMS; item++) {
        for (int k = 0; k < UNUSED; k++) {
            char name[8];
            snprintf(name, sizeof name, "w%d", k);
            for (int64_t i = 0; i < counts[k]; i++)
                r->values[i] = gradient(k, i, t) * (item % 2 ? -1 : 1);
            MF_TRY(mf_executable_set(r->e, name, r->values));
        }
        MF_TRY(mf_executable_run(r->e));
        MF_TRY(mf_weights_end_item(r->w));
    }
    return MF_OK;
}

static mf_status compare(rig *r, const double (*want)[MOST], const double (*error)[MOST],
                         bool average, mf_check_result *result)
{
    mf_check_number *numbers = calloc(MOST, sizeof *numbers);
    mf_status status = numbers ? MF_OK : mf_no_memory(0, "a check");
    for (int k = 0; k < WEIGHTS && !status; k++) {
        char what[32];
        snprintf(what, sizeof what, "%s %d", average ? "average" : "weight", k);
        for (int64_t i = 0; i < counts[k]; i++)
            numbers[i] = (mf_check_number){want[k][i], error[k][i] / FLT_EPSILON, 0};
        status = average ? mf_weights_get_average(r->w, (size_t)k, r->values)
                         : mf_weights_get(r->w, (size_t)k, r->values);
        if (!status)
            mf_check_compare(result, what, 1, &counts[k], counts[k], r->values, numbers, 1);
    }
    free(numbers);
    return status;
}

static mf_status train(rig *r, mf_optimizer_step step, bool batch, mf_check_result *result)
{
    model *o = r->o;
    for (int t = 1; t <= STEPS; t++) {
        float norm;
        MF_TRY(batch ? feed_batch(r, t) : feed(r, t));
        step.step = t;
        MF_TRY(mf_weights_step(r->w, &step, &norm));
        double want = norm_of(t, step.grad_scale);
        mf_check_compare(result, "norm of the gradient", 0, NULL, 1, &norm,
                         &(mf_check_number){want, want, MOST}, 4);
        step_model(o, &step, t);
        MF_TRY(compare(r, (const double(*)[MOST])o->p, (const double(*)[MOST])o->error, false,
                       result));
    }
    if (!o->averaging)
        return MF_OK;
    return compare(r, (const double(*)[MOST])o->mean, (const double(*)[MOST])o->error_mean, true,
                   result);
}

/* The optimizer's kernels are launched one by one: they are noted by their names. */
static mf_status note(rig *r, const mf_optimizer_step *step, bool batch, mf_check_result *result,
                      mf_check_labels *labels)
{
    static const char *const names[2][4] = {
        {"gradient_sums", "lamb_moments", "lamb_trust", "lamb_apply"}, {"gradient_sums", "adamw"}};
    if (batch)
        MF_TRY(mf_check_note_kernel(r->w->device, r->w->optimizer, "set_aside", result, labels));
    for (int i = 0; i < 5; i++) {
        const char *name =
            i < 4 ? names[step->kind == MF_ADAMW][i] : (step->ema_decay > 0 ? "average" : NULL);
        if (name)
            MF_TRY(mf_check_note_kernel(r->w->device, r->w->optimizer, name, result, labels));
    }
    return MF_OK;
}

/* i: which of the steps, whether its gradients are sums of batches */
static mf_status run(const mf_check_case *c, mf_device *device, mf_check_result *result,
                     mf_check_labels *labels)
{
    rig r = {NULL};
    mf_status status = make(&r, device);
    if (!status) {
        mf_check_note_executable(r.e, result, labels);
        status = train(&r, steps[c->i[0]], c->i[1], result);
    }
    if (!status)
        status = note(&r, &steps[c->i[0]], c->i[1], result, labels);
    mf_executable_free(r.e);
    mf_weights_free(r.w);
    mf_program_free(r.p);
    free(r.o);
    free(r.values);
    return status;
}

/* ---- running statistics of a batch norm --------------------------------------------------------
 */

enum { NORM_VOXELS = 10, NORM_CHANNELS = 3, NORM_ITEMS = 3, NORM_STEPS = 2 };

typedef struct norm_rig {
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
    mf_check_number mean[NORM_CHANNELS], variance[NORM_CHANNELS]; /* as they should be */
} norm_rig;

static float norm_voxel(int step, int item, int v, int c)
{
    return cosf((float)(v * 3 + c + 7 * item + 31 * step)) + 0.5f * (float)c;
}

static mf_status norm_make(norm_rig *r, mf_device *device)
{
    static const int64_t shape[2] = {NORM_VOXELS, NORM_CHANNELS}, c = NORM_CHANNELS;
    static const char *const names[4] = {"gain", "bias", "mean", "variance"};
    mf_value in[4];
    MF_TRY(mf_program_new(&r->p));
    MF_TRY(mf_weights_new(device, &r->w));
    mf_value x = mf_input(r->p, "x", MF_F32, 2, shape);
    for (int k = 0; k < 4; k++)
        in[k] = mf_weight(r->p, names[k], 1, &c);
    mf_value y =
        mf_batch_norm(r->p, x, &(mf_norm_weights){in[0], in[1], in[2], in[3]}, 1e-5f, 0.25f, 1);
    y = mf_sum(
        r->p,
        mf_reshape(r->p, mf_mul(r->p, y, y), 1, (const int64_t[]){NORM_VOXELS * NORM_CHANNELS}), 0);
    mf_output(r->p, "loss", y);
    mf_differentiate(r->p, y);
    MF_TRY(mf_program_compile(r->p, r->w, &r->e));
    for (int i = 0; i < NORM_CHANNELS; i++)
        r->variance[i].value = 1;
    for (size_t k = 0; k < 4; k++)
        MF_TRY(mf_weights_set(r->w, k, (const float[]){k % 3 == 0, k % 3 == 0, k % 3 == 0}));
    return MF_OK;
}

/* The reference of a step: mean and unbiased variance of each item, their means, a quarter of the
 * way. */
static void norm_follow(norm_rig *r, int step)
{
    for (int c = 0; c < NORM_CHANNELS; c++) {
        double mean = 0, variance = 0;
        for (int item = 0; item < NORM_ITEMS; item++) {
            double own = 0;
            for (int v = 0; v < NORM_VOXELS; v++)
                own += (double)norm_voxel(step, item, v, c) / NORM_VOXELS;
            for (int v = 0; v < NORM_VOXELS; v++)
                variance += pow((double)norm_voxel(step, item, v, c) - own, 2) / (NORM_VOXELS - 1) /
                            NORM_ITEMS;
            mean += own / NORM_ITEMS;
        }
        r->mean[c] = (mf_check_number){0.75 * r->mean[c].value + 0.25 * mean, 2, NORM_VOXELS};
        r->variance[c] =
            (mf_check_number){0.75 * r->variance[c].value + 0.25 * variance, 2, NORM_VOXELS};
    }
}

static mf_status norm_train(norm_rig *r, mf_check_result *result)
{
    static const int64_t c = NORM_CHANNELS;
    const mf_optimizer_step step = {MF_ADAMW, 1e-3, 0.9,           0.999,
                                    1e-8,     0.01, .max_norm = 1, .grad_scale = 1.0 / NORM_ITEMS,
                                    .step = 1};
    float values[NORM_CHANNELS];
    for (int t = 0; t < NORM_STEPS; t++) {
        MF_TRY(mf_weights_begin_batch(r->w, NORM_ITEMS));
        for (int item = 0; item < NORM_ITEMS; item++) {
            float x[NORM_VOXELS * NORM_CHANNELS];
            for (int i = 0; i < NORM_VOXELS * NORM_CHANNELS; i++)
                x[i] = norm_voxel(t, item, i / NORM_CHANNELS, i % NORM_CHANNELS);
            MF_TRY(mf_executable_set(r->e, "x", x));
            MF_TRY(mf_executable_run(r->e));
            MF_TRY(mf_weights_end_item(r->w));
        }
        MF_TRY(mf_weights_step(r->w, &step, NULL));
        norm_follow(r, t);
        MF_TRY(mf_weights_get(r->w, 2, values));
        mf_check_compare(result, "running mean", 1, &c, c, values, r->mean, 4);
        MF_TRY(mf_weights_get(r->w, 3, values));
        mf_check_compare(result, "running variance", 1, &c, c, values, r->variance, 4);
    }
    return MF_OK;
}

static mf_status run_norm(const mf_check_case *c, mf_device *device, mf_check_result *result,
                          mf_check_labels *labels)
{
    norm_rig r = {NULL};
    (void)c;
    mf_status status = norm_make(&r, device);
    if (!status) {
        mf_check_note_executable(r.e, result, labels);
        status = norm_train(&r, result);
    }
    if (!status)
        status = mf_check_note_kernel(device, r.w->optimizer, "follow", result, labels);
    mf_executable_free(r.e);
    mf_weights_free(r.w);
    mf_program_free(r.p);
    return status;
}

static const mf_check_op op_norm = {"running statistics", .own = run_norm};

static const mf_check_op ops[] = {{"LAMB", .own = run},
                                  {"LAMB, clipped, averaged", .own = run},
                                  {"AdamW, clipped, averaged", .own = run},
                                  {"LAMB, sums of batches", .own = run}};

void mf_check_optimizer(mf_check_list *list)
{
    for (int i = 0; i < COUNT_OF(ops); i++)
        mf_check_add(list, (mf_check_case){.op = &ops[i], .i = {i % 3, i / 3}, .quick = true});
    mf_check_add(list, (mf_check_case){.op = &op_norm, .quick = true});
}
