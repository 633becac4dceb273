/* parity_finetune.c - one step of fine-tuning on given images, labels and tokens. */
#include "parity_tensors.h"

#include "model.h"
#include "tuning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is read: images f32 [N,D,H,W], labels u8 [N,D,H,W], tokens.0..2 [K,11,C]. */
typedef struct batch {
    mf_array *images, *labels, *tokens[MF_IRIS_LEVELS];
    int64_t n, crop[3], k;
} batch;

static void batch_clear(batch *b)
{
    mf_array_unref(b->images);
    mf_array_unref(b->labels);
    for (int i = 0; i < MF_IRIS_LEVELS; i++)
        mf_array_unref(b->tokens[i]);
}

/* The tensor `name` of as many axes, none of them empty. */
static mf_status read_one(const mf_tensors *in, const char *name, mf_dtype dtype, int rank,
                          mf_array **a)
{
    const mf_array *found = mf_tensors_find(in, name);
    if (found && found->rank != rank)
        return mf_fail(MF_INVALID, "input %s has %d axes, not %d", name, found->rank, rank);
    const int64_t *shape;
    return mf_parity_input(in, name, dtype, rank, a, &shape);
}

static mf_status batch_read(const mf_tensors *in, const mf_iris *iris, batch *b)
{
    MF_TRY(read_one(in, "images", MF_F32, 4, &b->images));
    MF_TRY(read_one(in, "labels", MF_U8, 4, &b->labels));
    if (memcmp(b->images->shape, b->labels->shape, 4 * sizeof(int64_t)) != 0)
        return mf_fail(MF_INVALID, "inputs images and labels differ in size");
    b->n = b->images->shape[0];
    memcpy(b->crop, b->images->shape + 1, sizeof b->crop);
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "tokens.%d", i);
        MF_TRY(read_one(in, name, MF_F32, 3, &b->tokens[i]));
        const int64_t *shape = b->tokens[i]->shape;
        b->k = i ? b->k : shape[0];
        if (shape[0] != b->k || shape[1] != MF_IRIS_TOKENS || shape[2] != iris->channels[4 - i])
            return mf_fail(MF_INVALID, "input %s is not [%lld,%d,%lld]", name, (long long)b->k,
                           MF_IRIS_TOKENS, (long long)iris->channels[4 - i]);
    }
    return mf_iris_check_crop(b->crop, iris->positions);
}

/* ---- one item -------------------------------------------------------------------------------- */

static mf_status run_item(mf_executable *e, const batch *b, int64_t i, float *logits,
                          double losses[3])
{
    static const char *const names[3] = {"dice", "bce", "loss"};
    int64_t voxels = b->crop[0] * b->crop[1] * b->crop[2];
    const uint8_t *labels = (const uint8_t *)b->labels->data + i * voxels;
    uint8_t *masks = malloc((size_t)(b->k * voxels));
    if (!masks)
        return mf_no_memory((size_t)(b->k * voxels), "masks");
    for (int64_t k = 0; k < b->k; k++)
        for (int64_t v = 0; v < voxels; v++)
            masks[k * voxels + v] = labels[v] == k + 1;
    mf_status status = mf_executable_set(e, "target", (const float *)b->images->data + i * voxels);
    if (!status)
        status = mf_executable_set(e, "target_masks", masks);
    free(masks);
    MF_TRY(status);
    MF_TRY(mf_executable_run(e));
    if (logits)
        MF_TRY(mf_executable_get(e, "logits", logits + i * b->k * voxels));
    for (int l = 0; l < 3; l++) {
        float value;
        MF_TRY(mf_executable_get(e, names[l], &value));
        losses[l] += (double)value / (double)b->n;
    }
    return MF_OK;
}

static mf_status run_batch(mf_weights *w, mf_executable *e, const batch *b, float *logits,
                           double losses[3])
{
    MF_TRY(mf_weights_begin_batch(w, b->n));
    for (int64_t i = 0; i < b->n; i++) {
        MF_TRY(run_item(e, b, i, logits, losses));
        MF_TRY(mf_weights_end_item(w));
    }
    return MF_OK;
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* Of each weight that learns: its mean gradient over the batch, or its value. */
static mf_status add_weights(mf_weights *w, const mf_tuning *t, const char *prefix, int64_t n,
                             mf_tensors *out)
{
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        char name[256];
        mf_array *a;
        mf_weights_info(w, i, &info);
        if (!mf_tuning_learns(t, info.name))
            continue;
        snprintf(name, sizeof name, "%s%s", prefix, info.name);
        MF_TRY(mf_tensors_make(out, name, MF_F32, info.rank, info.shape, &a));
        MF_TRY(n ? mf_weights_get_gradient(w, i, a->data) : mf_weights_get(w, i, a->data));
        for (int64_t v = 0; v < info.count && n; v++)
            ((float *)a->data)[v] /= (float)n;
    }
    return MF_OK;
}

static mf_status first_step(mf_weights *w, mf_executable *e, const mf_parity *o, const mf_tuning *t,
                            const batch *b, mf_tensors *out)
{
    const int64_t shape[5] = {b->n, b->k, b->crop[0], b->crop[1], b->crop[2]};
    const mf_tuning_step step = {.rate = o->rate,
                                 .token_rate = o->rate,
                                 .weight_decay = o->weight_decay,
                                 .max_norm = 1,
                                 .batch = b->n,
                                 .step = 1};
    double losses[3] = {0};
    mf_array *logits;
    float norm;
    MF_TRY(mf_tensors_make(out, "logits", MF_F32, 5, shape, &logits));
    MF_TRY(run_batch(w, e, b, logits->data, losses));
    MF_TRY(mf_parity_number(out, "dice", losses[0]));
    MF_TRY(mf_parity_number(out, "bce", losses[1]));
    MF_TRY(mf_parity_number(out, "loss", losses[2]));
    MF_TRY(add_weights(w, t, "grad.", b->n, out));
    MF_TRY(mf_tuning_update(w, &step, &norm));
    MF_TRY(mf_parity_number(out, "norm", (double)norm));
    return add_weights(w, t, "after.", 0, out);
}

/* ---- the model ------------------------------------------------------------------------------- */

static mf_status make(mf_weights *w, const mf_tuning *t, const mf_tensors *weights, const batch *b,
                      bool logits, mf_executable **e)
{
    mf_iris_training values;
    mf_program *p;
    mf_tensors all = {0};
    mf_status status = MF_OK;
    MF_TRY(mf_tuning_declare(w, t));
    for (size_t i = 0; i < weights->count && !status; i++)
        status = mf_tensors_add(&all, weights->item[i].name, mf_array_ref(weights->item[i].array));
    for (int i = 0; i < MF_IRIS_LEVELS && !status; i++) {
        char name[16];
        snprintf(name, sizeof name, "tokens.%d", i);
        status = mf_tensors_add(&all, name, mf_array_ref(b->tokens[i]));
    }
    if (!status)
        status = mf_model_load(w, &all);
    mf_tensors_clear(&all);
    MF_TRY(status);
    MF_TRY(mf_program_new(&p));
    mf_tuning_program(p, t, &values);
    if (logits)
        mf_output(p, "logits", values.logits);
    status = mf_program_compile(p, w, e);
    mf_program_free(p);
    return status;
}

/* The steps, one batch each. With `out` there is one, of which all is collected. */
static mf_status steps(mf_device *device, const mf_parity *o, const mf_iris *iris,
                       const mf_tensors *weights, const batch *b, int count, double *curve,
                       mf_tensors *out)
{
    const mf_tuning t = {
        iris, {b->crop[0], b->crop[1], b->crop[2]}, b->k, !strcmp(o->mode, "probing")};
    mf_weights *w = NULL;
    mf_executable *e = NULL;
    mf_status status = mf_weights_new(device, &w);
    if (!status)
        status = make(w, &t, weights, b, out != NULL, &e);
    if (!status && out)
        status = first_step(w, e, o, &t, b, out);
    for (int i = 0; i < count && !status && !out; i++) {
        const mf_tuning_step step = {.rate = o->rate,
                                     .token_rate = o->rate,
                                     .weight_decay = o->weight_decay,
                                     .max_norm = 1,
                                     .batch = b->n,
                                     .step = i + 1};
        double losses[3] = {0};
        status = run_batch(w, e, &b[i], NULL, losses);
        curve[i] = losses[2];
        if (!status)
            status = mf_tuning_update(w, &step, NULL);
    }
    mf_executable_free(e);
    mf_weights_free(w);
    return status;
}

mf_status mf_parity_finetune(mf_device *device, const mf_parity *o, const mf_tensors *weights,
                             const mf_tensors *in, mf_tensors *out)
{
    mf_iris iris;
    batch b = {0};
    MF_TRY(mf_iris_from_shapes(mf_tensors_shape, weights, &iris));
    mf_status status = batch_read(in, &iris, &b);
    if (!status)
        status = steps(device, o, &iris, weights, &b, 1, NULL, out);
    batch_clear(&b);
    return status;
}

mf_status mf_parity_finetune_curve(mf_device *device, const mf_parity *o, const mf_tensors *weights,
                                   const mf_tensors *in, int count, double *curve)
{
    mf_iris iris;
    MF_TRY(mf_iris_from_shapes(mf_tensors_shape, weights, &iris));
    batch *b = calloc((size_t)count, sizeof *b);
    if (!b)
        return mf_no_memory(0, "batches");
    mf_status status = MF_OK;
    for (int i = 0; i < count && !status; i++)
        status = batch_read(&in[i], &iris, &b[i]);
    if (!status)
        status = steps(device, o, &iris, weights, b, count, curve, NULL);
    for (int i = 0; i < count; i++)
        batch_clear(&b[i]);
    free(b);
    return status;
}
