/* parity_classify.c - training steps of encoder and classifier on given images, as mass.classify
 * makes them. */
#include "parity_tensors.h"

#include "classifier.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct run {
    const mf_parity *o;
    mf_classifier_shape shape;
    mf_classifier *classifier;
    mf_array *images, *target, *balance; /* balance: weights of classes, or of positives; or NULL */
    const int64_t *size;                 /* N D H W of images */
    int64_t steps, batch;
} run;

static void run_clear(run *r)
{
    mf_classifier_free(r->classifier);
    mf_array_unref(r->images);
    mf_array_unref(r->target);
    mf_array_unref(r->balance);
}

static mf_status read_pooling(const mf_parity *o, const mf_tensors *weights, mf_head *head)
{
    const mf_array *fc = mf_tensors_find(weights, "fc.weight");
    if (!fc || fc->rank != 2)
        return mf_fail(MF_INVALID, "not a classifier: it has no matrix fc.weight");
    head->classes = fc->shape[0];
    head->pooling = mf_tensors_find(weights, "pool.attention.0.weight") ? MF_POOL_ATTENTION
                                                                        : mf_pooling_of(o->pooling);
    return MF_OK;
}

static mf_status read_inputs(const mf_tensors *in, run *r)
{
    const mf_array *target = mf_tensors_find(in, "target"), *images = mf_tensors_find(in, "images");
    const char *name = "class_weights";
    const int64_t *shape;
    mf_head *head = &r->shape.head;
    if (!images || images->rank != 4)
        return mf_fail(MF_INVALID, "input images has %d axes, not 4", images ? images->rank : 0);
    MF_TRY(mf_parity_input(in, "images", MF_F32, 4, &r->images, &r->size));
    head->multi_label = target && target->rank == 2;
    MF_TRY(mf_parity_input(in, "target", head->multi_label ? MF_F32 : MF_I64,
                           head->multi_label ? 2 : 1, &r->target, &shape));
    if (shape[0] != r->size[0] || (head->multi_label && shape[1] != head->classes))
        return mf_fail(MF_INVALID, "target has other cases or classes than images and fc.weight");
    for (int64_t i = 0; i < shape[0] && !head->multi_label; i++) {
        const int64_t class = ((const int64_t *)r->target->data)[i];
        if (class < 0 || class >= head->classes)
            return mf_fail(MF_INVALID, "target %lld is not a class (0 to %lld)", (long long)class,
                           (long long)head->classes - 1);
    }
    r->steps = r->o->steps > 0 ? r->o->steps : 1;
    if (r->size[0] % r->steps)
        return mf_fail(MF_INVALID, "%lld images are not %lld equal batches", (long long)r->size[0],
                       (long long)r->steps);
    r->batch = r->size[0] / r->steps;
    if (head->multi_label)
        name = "pos_weight";
    if (!mf_tensors_find(in, name))
        return MF_OK;
    MF_TRY(mf_parity_input(in, name, MF_F32, 1, &r->balance, &shape));
    return shape[0] == head->classes ? MF_OK
                                     : mf_fail(MF_INVALID, "%s has %lld numbers, for %lld classes",
                                               name, (long long)shape[0], (long long)head->classes);
}

static float balance_of(const run *r, int64_t class)
{
    return r->balance ? ((const float *)r->balance->data)[class] : 1;
}

/* The part of the loss of the batch from `first` on that is case i's. */
static float share_of(const run *r, int64_t first, int64_t i)
{
    const int64_t *class = r->target->data;
    double all = 0;
    if (r->shape.head.multi_label)
        return (float)(1 / (double)r->batch);
    for (int64_t k = first; k < first + r->batch; k++)
        all += (double)balance_of(r, class[k]);
    return (float)((double)balance_of(r, class[i]) / all);
}

static void fill_target(const run *r, int64_t i, float *target)
{
    const int64_t classes = r->shape.head.classes;
    for (int64_t c = 0; c < classes; c++) {
        if (!r->shape.head.multi_label) {
            target[c] = ((const int64_t *)r->target->data)[i] == c;
            continue;
        }
        const float y = ((const float *)r->target->data)[i * classes + c];
        target[2 * c] = 1 - y;
        target[2 * c + 1] = y * balance_of(r, c);
    }
}

/* Adds the gradients of batch b; *loss: of all of it. */
static mf_status learn_batch(run *r, int64_t b, float *rows, float *logits, double *loss)
{
    const int64_t classes = r->shape.head.classes;
    const int64_t voxels = r->size[1] * r->size[2] * r->size[3];
    float *target = rows, *weight = rows + 2 * classes;
    *loss = 0;
    for (int64_t c = 0; c < classes; c++)
        weight[c] = 1;
    MF_TRY(mf_weights_begin_batch(mf_classifier_weights(r->classifier), r->batch));
    for (int64_t i = b * r->batch; i < (b + 1) * r->batch; i++) {
        float value;
        const mf_classifier_case one = {.image = (const float *)r->images->data + i * voxels,
                                        .target = target,
                                        .weight = weight,
                                        .share = share_of(r, b * r->batch, i)};
        fill_target(r, i, target);
        MF_TRY(mf_classifier_learn(r->classifier, &one, &value, logits + i * classes));
        *loss += (double)value;
    }
    return MF_OK;
}

static mf_status train(run *r, mf_tensors *out)
{
    mf_weights *w = mf_classifier_weights(r->classifier);
    const int64_t classes = r->shape.head.classes, shape[2] = {r->size[0], classes};
    mf_array *logits, *losses, *norms;
    float rows[3 * 256];
    if (classes > 256)
        return mf_fail(MF_INVALID, "%lld classes, more than 256", (long long)classes);
    MF_TRY(mf_tensors_make(out, "logits", MF_F32, 2, shape, &logits));
    MF_TRY(mf_tensors_make(out, "losses", MF_F32, 1, &r->steps, &losses));
    MF_TRY(mf_tensors_make(out, "norms", MF_F32, 1, &r->steps, &norms));
    for (int64_t i = 0; i < r->steps; i++) {
        const mf_classifier_step step = {r->o->rate, r->o->encoder_rate, r->o->weight_decay, 1,
                                         i + 1};
        double value;
        MF_TRY(learn_batch(r, i, rows, logits->data, &value));
        ((float *)losses->data)[i] = (float)value;
        if (i == 0)
            MF_TRY(mf_parity_weights(w, "grad.", true, out));
        MF_TRY(mf_classifier_update(r->classifier, &step, (float *)norms->data + i));
        if (i == 0)
            MF_TRY(mf_parity_weights(w, "after.", false, out));
    }
    MF_TRY(mf_parity_number(out, "loss", (double)*(const float *)losses->data));
    return mf_parity_number(out, "norm", (double)*(const float *)norms->data);
}

static mf_status work(run *r, mf_device *device, const mf_tensors *weights, const mf_tensors *in,
                      mf_tensors *out)
{
    r->shape.trainable = !r->o->frozen;
    MF_TRY(mf_iris_encoder_from_shapes(mf_tensors_shape, weights, &r->shape.iris));
    MF_TRY(read_pooling(r->o, weights, &r->shape.head));
    MF_TRY(read_inputs(in, r));
    memcpy(r->shape.crop, r->size + 1, sizeof r->shape.crop);
    r->shape.head.channels = r->shape.iris.channels[4];
    MF_TRY(mf_classifier_new(device, &r->shape, &r->classifier));
    MF_TRY(mf_classifier_load_encoder(r->classifier, weights));
    MF_TRY(mf_classifier_load_head(r->classifier, weights));
    return train(r, out);
}

mf_status mf_parity_classify(mf_device *device, const mf_parity *o, const mf_tensors *weights,
                             const mf_tensors *in, mf_tensors *out)
{
    run r = {.o = o};
    mf_status status = work(&r, device, weights, in, out);
    run_clear(&r);
    return status;
}
