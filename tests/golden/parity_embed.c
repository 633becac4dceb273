/* parity_embed.c - task embeddings averaged over labelled images, as official code does it. */
#include "examples.h"
#include "model.h"
#include "parity_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct images {
    mf_array *voxels, *labels; /* f32, u16 [N,D,H,W] */
    int64_t n, size[3], k;     /* labels are 1 .. k */
} images;

static void images_clear(images *i)
{
    mf_array_unref(i->voxels);
    mf_array_unref(i->labels);
}

static mf_status images_read(const mf_tensors *in, images *i)
{
    const int64_t *shape, *labels_shape;
    MF_TRY(mf_parity_input(in, "images", MF_F32, 4, &i->voxels, &shape));
    MF_TRY(mf_parity_input(in, "labels", MF_U16, 4, &i->labels, &labels_shape));
    if (memcmp(shape, labels_shape, 4 * sizeof *shape) != 0)
        return mf_fail(MF_INVALID, "inputs images and labels differ in size");
    i->n = shape[0];
    memcpy(i->size, shape + 1, sizeof i->size);
    for (int64_t v = 0; v < mf_array_count(i->labels); v++) {
        int64_t label = ((const uint16_t *)i->labels->data)[v];
        i->k = label > i->k ? label : i->k;
    }
    return i->k ? MF_OK : mf_fail(MF_INVALID, "input labels has no label other than 0");
}

static mf_status average(const images *i, mf_examples *e, mf_tensors *out)
{
    const mf_iris *iris = mf_predictor_iris(e->predictor);
    const int64_t voxels = i->size[0] * i->size[1] * i->size[2];
    MF_TRY(mf_examples_begin(e));
    for (int64_t n = 0; n < i->n; n++)
        MF_TRY(mf_examples_add(e, (const float *)i->voxels->data + n * voxels,
                               (const uint16_t *)i->labels->data + n * voxels, i->size,
                               MF_MODALITY_MR));
    mf_examples_mean(e);
    for (int64_t k = 0; k < i->k; k++)
        if (!e->examples[k])
            return mf_fail(MF_INVALID, "no image shows label %lld", (long long)k + 1);
    for (int level = 0; level < MF_IRIS_LEVELS; level++) {
        const int64_t shape[3] = {i->k, MF_IRIS_TOKENS, iris->channels[4 - level]};
        char name[16];
        mf_array *a;
        snprintf(name, sizeof name, "tokens.%d", level);
        MF_TRY(mf_tensors_make(out, name, MF_F32, 3, shape, &a));
        memcpy(a->data, e->sums.level[level], a->bytes);
    }
    return MF_OK;
}

static mf_status embed(const images *i, const mf_parity *o, mf_predictor *predictor,
                       mf_tensors *out)
{
    mf_examples e = {.predictor = predictor,
                     .crop = {o->size, o->size, o->size},
                     .place = o->evaluate ? MF_EXAMPLE_MIDDLE : MF_EXAMPLE_MEAN,
                     .k = i->k};
    int64_t *labels = calloc((size_t)i->k, sizeof *labels);
    for (int64_t k = 0; k < i->k && labels; k++)
        labels[k] = k + 1;
    e.labels = labels;
    mf_status status = labels ? average(i, &e, out) : mf_no_memory(0, "labels");
    mf_examples_clear(&e);
    free(labels);
    return status;
}

mf_status mf_parity_embed(mf_device *device, const mf_parity *o, const mf_tensors *weights,
                          const mf_tensors *in, mf_tensors *out)
{
    const int64_t crop[3] = {o->size, o->size, o->size};
    mf_predictor *predictor = NULL;
    images i = {0};
    mf_status status = images_read(in, &i);
    if (!status)
        status = mf_predictor_new(device, weights, crop, &predictor);
    if (!status)
        status = embed(&i, o, predictor, out);
    mf_predictor_free(predictor);
    images_clear(&i);
    return status;
}
