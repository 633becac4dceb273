/* parity_pretrain.c - steps of pretraining on given pairs of views, as mass.train makes them. */
#include "parity_tensors.h"

#include "model.h"
#include "pretraining.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct run {
    const mf_parity *o;
    mf_iris iris;
    mf_weights *weights;
    mf_executable *program;
    mf_array *query, *query_masks, *reference, *reference_masks;
    int64_t crop[3], voxels, k, steps, batch;
} run;

static void run_clear(run *r)
{
    mf_executable_free(r->program);
    mf_weights_free(r->weights);
    mf_array_unref(r->query);
    mf_array_unref(r->query_masks);
    mf_array_unref(r->reference);
    mf_array_unref(r->reference_masks);
}

/* The tensor `name` of as many axes, of the shape `like` on the first ones; 0 there: any. */
static mf_status read_one(const mf_tensors *in, const char *name, mf_dtype dtype, int rank,
                          const int64_t *like, mf_array **a)
{
    const mf_array *found = mf_tensors_find(in, name);
    const int64_t *shape;
    if (found && found->rank != rank)
        return mf_fail(MF_INVALID, "input %s has %d axes, not %d", name, found->rank, rank);
    MF_TRY(mf_parity_input(in, name, dtype, rank, a, &shape));
    for (int i = 0; i < rank; i++)
        if (like[i] && like[i] != shape[i])
            return mf_fail(MF_INVALID, "axis %d of input %s has %lld entries, not %lld", i, name,
                           (long long)shape[i], (long long)like[i]);
    return MF_OK;
}

static mf_status read_inputs(run *r, const mf_tensors *in)
{
    static const int64_t any[4];
    MF_TRY(read_one(in, "target", MF_F32, 4, any, &r->query));
    const int64_t *shape = r->query->shape;
    MF_TRY(read_one(in, "reference", MF_F32, 4, shape, &r->reference));
    const int64_t masks[5] = {shape[0], 0, shape[1], shape[2], shape[3]};
    MF_TRY(read_one(in, "target_masks", MF_U8, 5, masks, &r->query_masks));
    MF_TRY(read_one(in, "reference_masks", MF_U8, 5, r->query_masks->shape, &r->reference_masks));
    memcpy(r->crop, shape + 1, sizeof r->crop);
    r->voxels = shape[1] * shape[2] * shape[3];
    r->k = r->query_masks->shape[1];
    r->steps = r->o->steps > 0 ? r->o->steps : 1;
    if (shape[0] % r->steps)
        return mf_fail(MF_INVALID, "%lld pairs are not %lld equal batches", (long long)shape[0],
                       (long long)r->steps);
    if (r->steps > r->o->total_steps)
        return mf_fail(MF_INVALID, "--steps %lld: more than --total-steps %lld",
                       (long long)r->steps, (long long)r->o->total_steps);
    r->batch = shape[0] / r->steps;
    return mf_iris_check_crop(r->crop, r->iris.positions);
}

/* Adds the gradients of batch b; sum: the losses' means over it. */
static mf_status learn_batch(run *r, int64_t b, double sum[3])
{
    MF_TRY(mf_weights_begin_batch(r->weights, r->batch));
    for (int64_t i = b * r->batch; i < (b + 1) * r->batch; i++) {
        mf_pretraining_losses l;
        const mf_pretraining_pair pair = {
            .query = (const float *)r->query->data + i * r->voxels,
            .query_masks = (const uint8_t *)r->query_masks->data + i * r->k * r->voxels,
            .reference = (const float *)r->reference->data + i * r->voxels,
            .reference_masks = (const uint8_t *)r->reference_masks->data + i * r->k * r->voxels};
        MF_TRY(mf_pretraining_run(r->program, &pair, &l));
        MF_TRY(mf_weights_end_item(r->weights));
        sum[0] += (double)l.loss / (double)r->batch;
        sum[1] += (double)l.dice / (double)r->batch;
        sum[2] += (double)l.bce / (double)r->batch;
    }
    return MF_OK;
}

static mf_status add_averages(mf_weights *w, mf_tensors *out)
{
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        char name[256];
        mf_array *a;
        mf_weights_info(w, i, &info);
        snprintf(name, sizeof name, "after.ema.%s", info.name);
        MF_TRY(mf_tensors_make(out, name, MF_F32, info.rank, info.shape, &a));
        MF_TRY(mf_weights_get_average(w, i, a->data));
    }
    return MF_OK;
}

static mf_status train(run *r, mf_tensors *out)
{
    static const char *const names[5] = {"losses", "dices", "bces", "norms", "rates"};
    const mf_pretraining how = {
        .schedule = {MF_SCHEDULE_ONE_CYCLE, r->o->rate, r->o->total_steps, 0.05, 25, 1000, 0.9, 0},
        .lamb = true,
        .weight_decay = r->o->weight_decay,
        .max_norm = 1,
        .ema_decay = 0.99,
        .batch = r->batch};
    float *rows[5];
    for (int n = 0; n < 5; n++) {
        mf_array *a;
        MF_TRY(mf_tensors_make(out, names[n], MF_F32, 1, &r->steps, &a));
        rows[n] = a->data;
    }
    for (int64_t i = 0; i < r->steps; i++) {
        double sum[3] = {0}, rate;
        MF_TRY(learn_batch(r, i, sum));
        MF_TRY(mf_pretraining_update(r->weights, &how, i, &rate, rows[3] + i));
        for (int n = 0; n < 3; n++)
            rows[n][i] = (float)sum[n];
        rows[4][i] = (float)rate;
    }
    MF_TRY(mf_parity_weights(r->weights, "after.", false, out));
    return add_averages(r->weights, out);
}

static mf_status work(run *r, mf_device *device, const mf_tensors *weights, const mf_tensors *in,
                      mf_tensors *out)
{
    MF_TRY(mf_iris_from_shapes(mf_tensors_shape, weights, &r->iris));
    MF_TRY(read_inputs(r, in));
    MF_TRY(mf_weights_new(device, &r->weights));
    MF_TRY(mf_model_declare(r->weights, &r->iris));
    MF_TRY(mf_model_load(r->weights, weights));
    MF_TRY(mf_pretraining_compile(r->weights, &r->iris, r->crop, r->k, false, &r->program));
    return train(r, out);
}

mf_status mf_parity_pretrain(mf_device *device, const mf_parity *o, const mf_tensors *weights,
                             const mf_tensors *in, mf_tensors *out)
{
    run r = {.o = o};
    mf_status status = work(&r, device, weights, in, out);
    run_clear(&r);
    return status;
}
